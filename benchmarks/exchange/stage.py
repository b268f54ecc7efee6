"""What the exchange is measured on: a registry, its partner's key, recorded decisions, and the exchange as a process.

The policy is the demonstration's own, whose agreements let the ticket office report every kind of event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

import portcullis.demo
from benchmarks.durability import record
from benchmarks.processes import LOAD_CPU, SERVER_CPU, pinned
from benchmarks.snapshots.measuring import opened_registry, partner_key
from benchmarks.snapshots.parts import Stand, empty_stand_on
from benchmarks.world import unlimited
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.config import Settings, Transport
from portcullis.mains.keys import ensure_keys
from portcullis.mains.parts import open_journal
from portcullis.registry.policy_files import load_policy

_READY_S = 60.0


class Stage(NamedTuple):
    """A stand, the folder of its registry, and a key of the partner's."""

    stand: Stand
    registry: Path
    key: str

    @contextmanager
    def journal(self) -> Iterator[SqlJournal]:
        """Open the journal that the exchange of this stand works on."""
        with open_journal(Settings(home=self.stand.home, keys_dir=self.registry / "keys")) as journal:
            yield journal

    @contextmanager
    def exchange(self, transport: Transport = "grpcio") -> Iterator[str]:
        """Run ``portcullis serve exchange`` on the server's processor; gives its address once it serves."""
        with pinned(LOAD_CPU):
            valkey = self.stand.valkey()
        with pinned(LOAD_CPU), valkey, pinned(SERVER_CPU), self.stand.part("exchange", transport) as process:
            self.stand.wait(process, "exchange", self.stand.is_serving, _READY_S)
            with pinned(LOAD_CPU):
                yield self.stand.address


@contextmanager
def set_up(folder: Path) -> Iterator[Stage]:
    """Make a registry with the demonstration's policy, and a stand on it."""
    registry = folder / "registry"
    ensure_keys(registry / "keys")
    with opened_registry(registry) as store:
        store.apply_policy(unlimited(load_policy(Path(portcullis.demo.__file__).parent / "policy")), actor="benchmark")
    key = partner_key(registry)
    with empty_stand_on(registry) as stand:
        yield Stage(stand, registry, key)


def record_refusals(journal: SqlJournal, count: int) -> Sequence[str]:
    """Record refusals, each of another person; gives their ids."""
    refusals = [msgspec.structs.replace(record(), tokens=(f"{number:032x}",)) for number in range(count)]
    journal.record_decisions(refusals)
    return [each.decision_id for each in refusals]
