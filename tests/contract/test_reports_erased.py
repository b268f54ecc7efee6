"""Erasing what partners reported about a person by a case or a name rather than by a decision, on both databases."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.adapters.log_signing import LogSigner
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import JournalUnavailable, RegistryUnavailable
from portcullis.domain.identifiers import Identifier
from portcullis.domain.log_entries import EntryKind, decode_entry
from portcullis.domain.log_facts import ERASURE_FACTS
from portcullis.domain.log_findings import LogFinding
from portcullis.domain.policies import Policy
from portcullis.domain.shared_events import EventKind
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.verifying import verify_log
from portcullis.ports import Receipt, Removed, SubjectErasure
from portcullis.registry import aftermath as aftermath_rules
from portcullis.registry.aftermath import Aftermath
from portcullis.registry.subject_codes import SubjectCodes
from portcullis.registry.subject_records import SubjectRecords
from portcullis.registry.subjects import Subjects
from tests.support.clocks import HandClock
from tests.support.databases import PostgresServer, migrated_database
from tests.support.decision_records import a_record
from tests.support.journals import a_settlement, an_event, sql_journal
from tests.support.policies import a_list, lender
from tests.support.registry_entries import TOKENISER, document
from tests.support.rights_homes import SUBJECTS, RightsHome
from tests.support.signers import SignCounts

ANN, BOB = document(1), document(2)
NOTE = StepNote(actor="otto", why="seen by others")
LISTS = (a_list("court", kept_after_end_s=10 * 86_400), a_list("carrier"))
ERASE: dict[str, Any] = {"why": "asked for", "actor": "otto"}


class World:
    """A registry and a journal on databases, with the desks of erasure and retention on both."""

    def __init__(self, folder: Path, registry_url: str, journal_url: str) -> None:
        clock = HandClock()
        self.journal: SqlJournal = sql_journal(journal_url, clock)
        self.home = RightsHome(folder, *LISTS, url=registry_url, journal=self.journal, clock=clock)
        self.signer = LogSigner(bytes(range(32)), folder / "keys")
        self.partners("lender", "ticketing")
        home = self.home
        codes = SubjectCodes(home.rights, tokeniser=TOKENISER, clock=clock)
        records = SubjectRecords(
            registry=home.registry, life=home.registry, rights=home.rights, journal=self.journal, clock=clock
        )
        self.desk = Subjects(
            home.registry,
            home.rights,
            self.journal,
            tokeniser=TOKENISER,
            codes=codes,
            verifier=codes,
            records=records,
            names=home.names,
            clock=clock,
        )
        self.aftermath = Aftermath(
            registry=home.registry,
            life=home.registry,
            rights=home.rights,
            journal=self.journal,
            acknowledgements=MemorySnapshotStore(),
            signer=self.signer,
            names=home.names,
            clock=clock,
        )

    def partners(self, *names: str) -> None:
        """Have a policy with these partners and no other."""
        made = tuple(msgspec.structs.replace(lender(), name=name) for name in names)
        self.home.registry.apply_policy(Policy(lists=LISTS, partners=made), actor="otto")

    def put(self, key: str, *identifiers: Identifier, case: str = "") -> int:
        """Put an entry of the court's list in force; gives its number."""
        return self.home.put(key, *identifiers, case_reference=case or f"case {key}").entry_id

    def end(self, *keys: str) -> None:
        for key in keys:
            self.home.registry.withdraw_entry("court", key, reason="an error", actor="ann")

    def report(self, *events: Any, partner: str = "lender") -> None:
        receipts = asyncio.run(self.journal.record_events(partner, events))
        assert [Receipt] * len(events) == [type(each) for each in receipts]

    def settled(self, event_id: str, case: str, **changes: Any) -> None:
        self.report(a_settlement(event_id, case_reference=case, **changes))

    def terminated(self, event_id: str, entry_id: int, *, partner: str = "lender", epoch: int = 1) -> None:
        (number,) = [number for number, own in self.home.rights.traces_of([entry_id]).entries if own == entry_id]
        subject = SUBJECTS.name(partner, number, entry_id, epoch)
        event = an_event(event_id, EventKind.TERMINATED, list="court", subject=subject, reference="customer-7")
        self.report(event, partner=partner)

    def erase(self, identifier: Identifier) -> SubjectErasure:
        return self.desk.erase(GivenIdentifier(identifier.kind, identifier.value, identifier.country), **ERASE)

    def readable(self) -> list[str]:
        """Name the events that can still be read."""
        found = self.journal.events_after(-1, dict.fromkeys(EventKind), limit=1_000).events
        return sorted(each.event.event_id for each in found if each.event is not None)

    def erasures(self) -> list[int]:
        """Count the keys of each erasure in the log."""
        entries = [decode_entry(entry) for _, _, entry in self.journal.entries(0)]
        return [len(ERASURE_FACTS.decode(each.facts).key_ids) for each in entries if each.kind == EntryKind.ERASURE]

    def faults(self) -> list[LogFinding]:
        """Verify the journal."""
        Checkpointer(self.journal, self.signer, self.home.clock, SignCounts()).sign_once()
        findings: list[LogFinding] = []
        verify_log(self.journal, self.signer.key, found=findings.append)
        return findings


@contextmanager
def opened(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    def server() -> PostgresServer:
        found: PostgresServer = request.getfixturevalue("postgres")
        return found

    with ExitStack() as held:
        urls = [held.enter_context(migrated_database(kind, role, folder, server)) for role in ("registry", "journal")]
        world = World(folder, *urls)
        held.enter_context(closing(world.home))
        yield world


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with opened(request.param, tmp_path, request) as made:
        yield made


def test_what_was_reported_by_a_case_or_a_name_is_erased_with_the_person_and_anothers_stays(world: World) -> None:
    hers, his = world.put("k1", ANN), world.put("k2", BOB)
    world.settled("hers-settled", "case k1")
    world.report(an_event("hers-claimed", EventKind.SETTLEMENT_CLAIMED, list="court", case_reference="case k1"))
    world.terminated("hers-terminated", hers)
    world.terminated("hers-elsewhere", hers, partner="ticketing")
    world.settled("his-settled", "case k2")
    world.terminated("his-terminated", his)
    world.journal.record_decisions([a_record("d1", tokens=(TOKENISER.index_tokens(ANN)[0].hex(),))])
    world.end("k1", "k2")

    # The decision's key, that of the case, and one for the entry's name at each partner.
    assert SubjectErasure(entries=1, keys=4, kept=0, left=0) == world.erase(ANN)

    assert ["his-settled", "his-terminated"] == world.readable()
    assert [4] == world.erasures()
    assert [] == world.faults()


def test_what_was_reported_under_an_earlier_feed_key_by_a_partner_that_is_gone_is_erased_too(world: World) -> None:
    world.partners("lender", "ticketing", "carpool")
    hers = world.put("k1", ANN)
    world.terminated("never-rotated", hers, partner="carpool")
    world.terminated("first-key", hers, partner="ticketing")
    for epoch in (2, 3):
        assert epoch == world.home.registry.rotate_feed_key("ticketing", note=NOTE)
    world.terminated("second-key", hers, partner="ticketing", epoch=2)
    world.terminated("third-key", hers, partner="ticketing", epoch=3)
    world.partners("lender")
    world.end("k1")

    assert 4 == world.erase(ANN).keys
    assert [] == world.readable()


def test_what_was_reported_of_a_case_that_the_entry_had_before_is_erased_too(world: World) -> None:
    world.put("k1", ANN, case="case 17")
    world.settled("before", "case 17")
    world.put("k1", ANN, case="case 18")
    world.settled("after", "case 18")
    world.end("k1")

    assert 2 == world.erase(ANN).keys
    assert [] == world.readable()


def test_a_case_of_several_people_is_readable_until_the_last_of_them_is_erased(world: World) -> None:
    hers, his = world.put("k1", ANN, case="case 17"), world.put("k2", BOB, case="case 17")
    world.settled("settled", "case 17")
    world.terminated("hers", hers)
    world.terminated("his", his)
    world.end("k1", "k2")

    assert SubjectErasure(entries=1, keys=1, kept=0, left=0) == world.erase(ANN)
    assert ["his", "settled"] == world.readable()

    assert SubjectErasure(entries=1, keys=2, kept=0, left=0) == world.erase(BOB)
    assert [] == world.readable()


def test_a_case_of_the_same_name_on_another_list_is_another_case(world: World) -> None:
    world.put("k1", ANN, case="case 17")
    world.home.put("k1", BOB, list="carrier", case_reference="case 17")
    world.settled("court", "case 17")
    world.settled("carrier", "case 17", list="carrier")
    world.end("k1")

    world.erase(ANN)
    assert ["carrier"] == world.readable()


def test_of_a_person_who_still_stands_the_reports_of_ended_entries_alone_are_erased(world: World) -> None:
    ended, stands = world.put("k1", ANN), world.put("k2", ANN)
    world.terminated("ended", ended)
    world.terminated("stands", stands)
    world.settled("stands-settled", "case k2")
    world.end("k1")

    assert SubjectErasure(entries=1, keys=1, kept=1, left=0) == world.erase(ANN)
    assert ["stands", "stands-settled"] == world.readable()

    # Nothing more to destroy is no entry of the log.
    assert SubjectErasure(entries=0, keys=0, kept=1, left=0) == world.erase(ANN)
    assert [1] == world.erasures()


def test_an_erasure_that_was_broken_off_between_the_databases_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hers = world.put("k1", ANN)
    world.settled("settled", "case k1")
    world.terminated("terminated", hers)
    world.end("k1")

    def dies(*arguments: object, **named: object) -> Any:
        raise RegistryUnavailable("broken off")

    with monkeypatch.context() as broken:
        broken.setattr(world.home.rights, "erase_of", dies)
        with pytest.raises(RegistryUnavailable):
            world.erase(ANN)
    assert [] == world.readable()
    assert world.home.registry.identity("court", "k1") is not None
    # What is reported in between is found as well, since the registry still knows whose it is.
    world.settled("late", "case k1")

    assert SubjectErasure(entries=1, keys=1, kept=0, left=0) == world.erase(ANN)
    assert [] == world.readable()
    assert [] == world.faults()


def test_while_the_journal_is_away_the_registry_forgets_nothing_that_would_find_its_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("k1", ANN)
    world.settled("settled", "case k1")
    world.end("k1")
    world.home.clock.advance(11 * 86_400)

    def dies(*arguments: object, **named: object) -> Any:
        raise JournalUnavailable

    with monkeypatch.context() as away:
        away.setattr(world.journal, "erase", dies)
        away.setattr(world.journal, "erase_reports", dies)
        with pytest.raises(JournalUnavailable):
            world.erase(ANN)
        with pytest.raises(JournalUnavailable):
            world.aftermath.retain(actor="clock", dry_run=False)

    assert SubjectErasure(entries=1, keys=1, kept=0, left=0) == world.erase(ANN)
    assert [] == world.readable()


def test_an_entry_that_ends_while_its_person_is_erased_is_left_to_the_next_erasure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = world.put("k1", ANN), world.put("k2", ANN)
    world.terminated("first", first)
    world.terminated("second", second)
    world.end("k1")
    erase_of = world.home.rights.erase_of

    def ends_before(*arguments: Any, **named: Any) -> tuple[int, int]:
        world.end("k2")
        return erase_of(*arguments, **named)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(world.home.rights, "erase_of", ends_before)
        assert SubjectErasure(entries=1, keys=1, kept=1, left=0) == world.erase(ANN)

    assert ["second"] == world.readable()
    assert SubjectErasure(entries=1, keys=1, kept=0, left=0) == world.erase(ANN)
    assert [] == world.readable()


def test_retention_ends_what_was_reported_with_who_the_entry_was_about(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two entries of one case that are forgotten one after the other: the report goes with the last.
    monkeypatch.setattr(aftermath_rules, "FORGOTTEN_AT_ONCE", 1)
    old, _, young = world.put("k1", ANN, case="case 17"), world.put("k2", BOB, case="case 17"), world.put("k3", ANN)
    world.settled("settled", "case 17")
    world.terminated("old", old)
    world.end("k1", "k2")
    world.home.clock.advance(9 * 86_400)
    world.terminated("young", young)
    world.end("k3")
    world.home.clock.advance(2 * 86_400)

    # Of a shared case a look ahead can't tell that its other entry goes as well.
    due = [Removed(list="court", kind="identities", count=2), Removed(list="court", kind="reports", count=1)]
    assert due == list(world.aftermath.retain(actor="clock", dry_run=True))
    assert ["old", "settled", "young"] == world.readable()
    done = [Removed(list="court", kind="identities", count=2), Removed(list="court", kind="reports", count=2)]
    assert done == list(world.aftermath.retain(actor="clock", dry_run=False))
    assert [] == list(world.aftermath.retain(actor="clock", dry_run=False))

    assert ["young"] == world.readable()
    assert [1, 1] == world.erasures()
    assert [] == world.faults()


def test_no_file_of_sqlite_holds_the_key_of_a_report_that_was_erased(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with opened("sqlite", tmp_path, request) as world:
        world.terminated("terminated", world.put("k1", ANN))
        world.settled("settled", "case k1")
        world.end("k1")
        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
            keys = [bytes(key) for (key,) in connection.execute("SELECT wrapped FROM subject_keys")]
        assert [True, True] == [_stands_in_a_file(tmp_path, key) for key in keys]

        world.erase(ANN)

        assert [False, False] == [_stands_in_a_file(tmp_path, key) for key in keys]


def _stands_in_a_file(folder: Path, value: bytes) -> bool:
    return any(value in file.read_bytes() for file in folder.rglob("*") if file.is_file())
