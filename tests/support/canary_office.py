"""What is done with a thousand identifiers on a registry and a journal in PostgreSQL, and what is left of it there."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from portcullis.adapters.clock import SystemClock
from portcullis.config import Settings
from portcullis.domain.disputes import DisputeGround, Resolution
from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import PortcullisError
from portcullis.domain.identifiers import Identifier
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.mains.demo import POLICY, MemorySource
from portcullis.mains.desks import open_operator_desks
from portcullis.mains.keys import ensure_keys
from portcullis.mains.parts import open_entry_namer, open_journal, open_registry, open_token_keys
from portcullis.mains.wiring import ProcessWiring
from portcullis.registry.imports import Importer
from portcullis.registry.policy_files import load_policy
from tests.support.canaries import WITNESS, Canaries, bad_rows, court_rows, firms, json_lines, row
from tests.support.canary_calls import Heard
from tests.support.canary_run import CALLERS, CARRIER, COURT, FIRMS
from tests.support.canary_search import Search
from tests.support.databases import KillablePostgres, killable_postgres
from tests.support.decision_records import a_reason, a_record

_NOTE = StepNote(actor="editor", why="reported by the crew")


def given(identifier: Identifier, value: str = "") -> GivenIdentifier:
    return GivenIdentifier(identifier.kind, value or identifier.value, identifier.country)


class Office:
    """The desks on one server; `look` keeps what the databases hold, and stops it."""

    def __init__(self, folder: Path, server: KillablePostgres, held: ExitStack) -> None:
        self.canaries, self.heard, self.server = Canaries(), Heard(), server
        for name in ("registry", "journal"):
            server.create(name)
        self._log_everything()
        # Nothing is published here, so nobody asks the store.
        settings = Settings(
            home=folder,
            registry_url=server.url("registry"),
            journal_url=server.url("journal"),
            redis_url=f"unix://{folder}/none.sock",
        )
        ensure_keys(settings.keys_path)
        self.clock, self.tokeniser = SystemClock(), open_token_keys(settings)
        self.namer = open_entry_namer(settings)
        self.registry = held.enter_context(open_registry(settings, self.tokeniser))
        self.journal = held.enter_context(open_journal(settings))
        self.desks = open_operator_desks(settings, self.registry, self.journal, self.tokeniser, clock=self.clock, held=held)
        with psycopg.connect(server.url("postgres")) as connection:
            self.data = Path(str(connection.execute("SHOW data_directory").fetchall()[0][0]))
        self.log = self.data.parent / "log"
        self.rows: dict[str, bytes] = {}
        self.while_away = ""

    def _log_everything(self) -> None:
        """Have the server write every statement into its log, with what is sent along."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")

    def take_part(self) -> None:
        """Go through everything that is done with identifiers."""
        self.registry.apply_policy(load_policy(POLICY), actor="otto")
        self.import_lists()
        self.keep_lists()
        self.decide()
        self.dispute()
        self.look_back()

    def refused(self, what: Callable[..., object], *arguments: Any, **named: Any) -> str:
        """Do what must be refused, and hear the error with its causes."""
        try:
            what(*arguments, **named)
        except PortcullisError as fault:
            text = "".join(traceback.format_exception(fault))
            self.heard.refuse(text, repr(fault), vars(fault))
            return text
        raise AssertionError("it was taken, and should have been refused")

    def import_lists(self) -> None:
        canaries = self.canaries
        importer = Importer(self.registry, index_tokens=self.namer.index_tokens, clock=self.clock)
        self.listed = court_rows(canaries)
        callers = (row(f"P{number:03}", canaries.take("phone"), names=[canaries.name()]) for number in range(60))
        files = [
            (COURT, "jsonl", json_lines(self.listed)),
            (CALLERS, "jsonl", json_lines(callers)),
            (FIRMS, "csv", firms(canaries).encode()),
            (COURT, "jsonl", json_lines(bad_rows(canaries))),
        ]
        for name, written, content in files:
            report = importer.run(name, written, [MemorySource("rows", content)], actor="editor")
            self.heard.hear(report)
            self.heard.errors += report.rejected
        headless = ",".join(each.value for each in canaries.several("passport", 7)).encode()
        self.refused(importer.run, COURT, "csv", [MemorySource("rows", headless)], actor="editor")

    def keep_lists(self) -> None:
        life, canaries, wiring = self.desks.life, self.canaries, ProcessWiring()
        for number in range(10):
            person, found = canaries.take("cn.resident-id"), canaries.take("passport")
            one = row(f"put-{number}", person, names=[canaries.name()])
            draft = wiring.read_row(json.dumps(one).encode())
            assert life.put_entry(CARRIER, draft, note=_NOTE, expected_version=0).changed
            add = {"note": _NOTE, "expected_version": 0}
            assert life.add_identifiers(CARRIER, one["key"], [given(found)], **add).changed
            spoilt = given(person, canaries.spoilt(person))
            self.refused(life.add_identifiers, CARRIER, one["key"], [spoilt], **add)
            one["identifiers"][0]["value"] = spoilt.value
            bad = wiring.read_row(json.dumps(one).encode())
            self.refused(life.put_entry, CARRIER, bad, **add)
            self.refused(life.put_entry, person.value, draft, **add)
        self.person, self.spoilt, self.draft = person, spoilt, draft

    def decide(self) -> None:
        """Record a refusal for each canary, and what partners report about them."""
        put = self.registry.entry(CARRIER, "put-9")
        records = []
        for number, each in enumerate(self.canaries.all):
            probes: list[tuple[bytes, bool]] = []
            self.tokeniser.held()[0].probes(each.kind, each.value, each.country, probes)
            reason = a_reason(list=CARRIER, entry_id=put.entry_id, case_reference=put.case_reference)
            tokens = tuple(token.hex() for token, _ in probes)
            about = {"tokens": tokens, "reasons": (reason,), "partner": "ticketing", "decided_at": time.time()}
            records.append(a_record(f"{number:032x}", **about))
        assert len(records) == self.journal.record_decisions(records)
        now = {"occurred_at_ms": int(time.time() * 1000)}
        events = [
            SharedEvent(event_id=f"enforced-{number}", kind=EventKind.ENFORCED, decision_id=record.decision_id, **now)
            for number, record in enumerate(records[:100])
        ]
        reference = self.canaries.take("passport").value
        settled = {"list": COURT, "case_reference": WITNESS, "reference": reference}
        events.append(SharedEvent(event_id="settled", kind=EventKind.SETTLED, **settled, **now))
        self.heard.hear(asyncio.run(self.journal.record_events("ticketing", events)))

    def dispute(self) -> None:
        """Let a subject see their record and object, until the entry is taken back."""
        subjects, disputes, person = self.desks.subjects, self.desks.disputes, given(self.person)
        self.refused(subjects.issue_code, self.spoilt, actor="operator")
        code, _ = subjects.issue_code(person, actor="operator")
        self.refused(subjects.begin_session, self.spoilt, code)
        self.refused(subjects.begin_session, person, person.value)
        credential, _ = subjects.begin_session(person, code)
        session = subjects.session(credential)
        assert subjects.record(session, locale="zh-CN").text
        opened = disputes.open_dispute(
            list_name=CARRIER,
            case_reference="Canary report put-9",
            key="",
            ground=DisputeGround.NOT_ME,
            evidence=["letter/1"],
            by=session,
        )
        case_id = opened.case.case_id
        self.refused(disputes.add_evidence, case_id, f"{self.person.value}\n", by=session)
        self.desks.keys.create("rita", "reviewer", "", actor="otto")
        disputes.assign(case_id, "rita", actor="rita", expected_version=0)
        disputes.resolve(
            case_id, Resolution.WITHDRAWN, why="the report was read", document="", actor="rita", expected_version=0
        )
        own, mistaken = given(self.canaries.take("passport")), GivenIdentifier(**self.listed[0]["identifiers"][0])
        clear = {"case_id": "", "why": "compared", "actor": "rita"}
        self.heard.hear(subjects.issue_number(COURT, "0001", mistaken=mistaken, own=own, **clear)[1])
        self.refused(subjects.issue_number, COURT, "0001", mistaken=own, own=mistaken, **clear)

    def look_back(self) -> None:
        """Look at what was done, and erase some of it."""
        assert self.desks.life.reveal(COURT, "0002", actor="editor", purpose="spelling")
        self.heard.hear(self.desks.life.history(CARRIER, "put-9", actor="auditor", purpose="inquiry"))
        impact = self.desks.aftermath.impact(CARRIER, "put-9", actor="auditor", purpose="inquiry")
        assert impact
        self.heard.hear(impact)
        self.heard.hear(self.desks.aftermath.retain(actor="operator", dry_run=True))
        assert 1 == self.desks.subjects.erase(given(self.person), why="asked for", actor="operator")[0]
        self.refused(self.desks.subjects.erase, self.spoilt, why="asked for", actor="operator")

    def keep(self) -> None:
        """Keep every row, then stop the server, so that its files are whole."""
        self.rows = {place: data for name in ("registry", "journal") for place, data in rows_of(self.server.url(name))}
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        self.server.stop()

    def look(self) -> None:
        """Keep what there is, and hear what is said once the server is away."""
        self.keep()
        put = {"note": _NOTE, "expected_version": 0}
        self.while_away = self.refused(self.desks.life.put_entry, CARRIER, self.draft, **put)
        record = a_record("f" * 32, partner_reference="order-1")
        self.while_away += self.refused(self.journal.record_decisions, [record])
        self.while_away += self.refused(self.desks.subjects.issue_code, given(self.person), actor="operator")

    def found_in_rows(self, texts: Mapping[str, str]) -> dict[str, set[str]]:
        """Give what stands in the rows, by database and table."""
        search = Search(texts)
        return {place: search.data(data) for place, data in self.rows.items()}

    def found_in_files(self, texts: Mapping[str, str]) -> dict[str, set[str]]:
        """Give what stands in the server's files, its log beside them; its templates and programs are not of the run."""
        search = Search(texts)
        templates = {"1", "4", "5"}
        paths = [path for path in self.data.rglob("*") if path.is_file() and path.parent.name not in templates]
        return {str(path): search.file(path) for path in [*paths, self.log]}


def rows_of(url: str) -> Iterator[tuple[str, bytes]]:
    """Give every table of a database with all that its rows hold, texts and bytes as they are."""
    with psycopg.connect(url) as connection:
        name = connection.info.dbname
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            rows = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()
            cells = (cell for each in rows for cell in each)
            yield f"{name}.{table}", b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells)


@contextmanager
def opened_office(folder: Path) -> Iterator[Office]:
    """Open the desks on a server of their own.

    Raises:
        NoPostgres: none can be had.
    """
    with killable_postgres() as server, ExitStack() as held:
        yield Office(folder, server, held)
