"""The exchange in its production form, with a Valkey and a PostgreSQL that may be killed, and what its journal must hold."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.client import Receipt
from portcullis.domain.log_entries import decode_entry
from portcullis.mains.keys import RECORD_KEY, ensure_keys, read_key
from tests.support.databases import killable_postgres
from tests.support.parts import Part
from tests.support.processes import wait_for
from tests.support.stack import ROOT, portcullis
from tests.support.valkey import running_valkey

LIST = "court-judgment-defaulters"
PARTNER = "ticketing"
DRAIN_S = 120.0
"""How long what waits may take to arrive, on a machine that does much else."""


class Deployment:
    """The parts of the production form: a gateway's host, and the exchange's, each with a spool of its own."""

    def __init__(self, folder: Path, held: ExitStack, **environment: str) -> None:
        self.folder, self.held = folder, held
        self.home = folder / "home"
        self.home.mkdir()
        ensure_keys(self.home / "keys")
        self.valkey = held.enter_context(running_valkey())
        self.postgres = held.enter_context(killable_postgres())
        self.postgres.create("journal")
        self.environment = {
            "PORTCULLIS_HOME": str(self.home),
            "PORTCULLIS_REDIS_URL": self.valkey.url,
            "PORTCULLIS_JOURNAL_URL": self.postgres.url("journal"),
            "PORTCULLIS_POSTGRES_STORAGE": "disposable",
        } | environment
        self._prepare()
        self.parts: dict[str, Part] = {}
        for name in ("publisher", "follower", "exchange", "gateway", "shipper"):
            self.start(name)
        for part in self.parts.values():
            part.wait_until_ready()

    def start(self, name: str) -> None:
        """Start a part, at the address of the one of this name that was there before."""
        # The exchange ships a spool too, its own home's, so the gateway's host has another folder.
        spool = {"PORTCULLIS_SPOOL_DIR": str(self.folder / "gateway-spool")} if name in {"gateway", "shipper"} else {}
        part = Part(name, self.folder, after=self.parts.get(name), **self.environment, **spool)
        self.held.callback(part.clean_up)
        self.parts[name] = part

    def kill(self, target: str) -> None:
        """Kill one part by its process id and start it again."""
        if target == "valkey":
            self.valkey.kill()
            self.valkey.start()
        elif target == "postgres":
            self.postgres.kill()
            self.postgres.start()
        else:
            self.parts[target].clean_up()
            self.start(target)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one command of the command line with the deployment's settings."""
        return portcullis(*arguments, **self.environment)

    def _prepare(self) -> None:
        rows = ROOT / "services" / "portcullis" / "demo" / "lists" / f"{LIST}.jsonl"
        assert 0 == self.run("policy", "apply", ROOT / "services" / "portcullis" / "demo" / "policy").returncode
        imported = self.run("import", "--list", LIST, "--format", "jsonl", rows)
        assert 0 == imported.returncode, imported.stderr
        self.key = self.run("partner", "key", "new", PARTNER).stdout.strip()


def assert_recorded(deployment: Deployment, answered: Collection[str], receipts: Mapping[str, Receipt]) -> None:
    """Every answered refusal is in the journal once, and every receipt's event, where it says; and the log verifies."""
    journal = SqlJournal(
        deployment.postgres.url("journal"), seal_key=read_key(deployment.home / "keys", RECORD_KEY), clock=SystemClock()
    )
    found: Counter[str] = Counter()
    places: dict[str, tuple[int, bytes]] = {}

    def has_arrived() -> bool:
        for sequence, leaf, data in journal.entries(found.total()):
            entry = decode_entry(data)
            found[entry.id] += 1
            places[entry.id] = (sequence, leaf)
        return set(answered) <= found.keys()

    with closing(journal):
        wait_for(has_arrived, within_s=DRAIN_S, what="every answered refusal in the journal", every_s=0.1)
    assert set(receipts) <= found.keys()
    assert {1} == set(found.values()), "something is there twice"
    assert {each: (receipt.sequence, receipt.entry_hash) for each, receipt in receipts.items()} == {
        each: places[each] for each in receipts
    }
    verified = deployment.run("journal", "verify")
    assert 0 == verified.returncode, verified.stdout + verified.stderr
