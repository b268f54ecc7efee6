"""What every journal does, in memory, on SQLite and on PostgreSQL; and what the durable ones do when things go wrong."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import event as sql_event

from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.domain.errors import (
    DecisionUnknown,
    EventConflict,
    InvalidRequest,
    JournalUnavailable,
    NotFound,
    NotPermitted,
    SetupFault,
)
from portcullis.domain.log_entries import EntryKind, decode_entry
from portcullis.domain.log_facts import ERASURE_FACTS
from portcullis.domain.merkle import EMPTY_ROOT, Frontier, HashesMissing, leaf_hash
from portcullis.domain.shared_events import EventKind, KnownDecision
from portcullis.ports import (
    DecisionRecord,
    Erasure,
    Journal,
    Look,
    Receipt,
    Refusals,
    Reported,
    StoredCheckpoint,
)
from tests.support.databases import migrated_database
from tests.support.decision_records import a_reason, a_record
from tests.support.imports import StillClock
from tests.support.journals import SEAL_KEY, a_settlement, an_event, sql_journal
from tests.support.policies import NOW

ROOT = Path(__file__).resolve().parents[2]
ANN = {"actor": "ann", "purpose": "a complaint"}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryJournal(clock=StillClock())
            return
        database_url = stack.enter_context(
            migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres"))
        )
        yield stack.enter_context(closing(sql_journal(database_url)))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    with migrated_database("sqlite", "journal", tmp_path, NotImplemented):
        yield tmp_path / "journal.db"


def record_of(journal: Journal, decision_id: str) -> DecisionRecord | None:
    return journal.decision(decision_id, **ANN).record


def kinds(journal: Journal) -> list[tuple[EntryKind, str]]:
    entries = [decode_entry(entry) for _, _, entry in journal.entries(0)]
    return [(entry.kind, entry.id) for entry in entries]


async def report(journal: Journal, *events: object, partner: str = "lending") -> list[object]:
    return list(await journal.record_events(partner, events))  # type: ignore[arg-type]


# --- decisions ------------------------------------------------------------


def test_a_decision_is_given_as_it_was_made(journal: Journal) -> None:
    bare = a_record("d2", tokens=(), attributes={}, reasons=(), partner_reference="", degraded=True)
    assert journal.record_decisions([a_record("d1"), bare]) == 2
    assert a_record("d1") == record_of(journal, "d1")
    assert bare == record_of(journal, "d2")


def test_decisions_stand_in_the_log_in_their_order(journal: Journal) -> None:
    journal.record_decisions([a_record("d1"), a_record("d2")])
    journal.record_decisions([a_record("d0")])
    assert kinds(journal) == [(EntryKind.DECISION, name) for name in ("d1", "d2", "d0")]
    assert [journal.decision(name, **ANN).sequence for name in ("d1", "d2", "d0")] == [0, 1, 2]


def test_a_decision_is_recorded_once(journal: Journal) -> None:
    assert journal.record_decisions([a_record("d1"), a_record("d1", partner="other")]) == 1
    assert journal.record_decisions([a_record("d2"), a_record("d1", partner="other"), a_record("d3")]) == 2
    assert journal.decision("d1", **ANN).partner == "lending"
    assert [name for _, name in kinds(journal)] == ["d1", "d2", "d3"]


def test_any_number_of_decisions_is_taken_at_once(journal: Journal) -> None:
    assert journal.record_decisions([]) == 0
    records = [a_record(f"d{number}", tokens=(f"{number % 9:032x}",)) for number in range(2_300)]
    assert journal.record_decisions(records) == 2_300
    assert journal.record_decisions(records) == 0
    assert records[2_299] == record_of(journal, "d2299")
    assert [name for _, name in kinds(journal)] == [record.decision_id for record in records]


def test_every_look_at_a_decision_is_noted(journal: Journal) -> None:
    journal.record_decisions([a_record("d1"), a_record("d2")])
    journal.decision("d1", actor="ann", purpose="a complaint")
    journal.decision("d1", actor="bob", purpose="an audit")
    expected = [Look(actor="ann", at=NOW, purpose="a complaint"), Look(actor="bob", at=NOW, purpose="an audit")]
    assert expected == list(journal.looks("d1"))
    assert list(journal.looks("d2")) == []


def test_a_decision_that_is_not_recorded_is_not_found(journal: Journal) -> None:
    with pytest.raises(NotFound):
        journal.decision("d1", **ANN)
    assert list(journal.looks("d1")) == []
    assert journal.known_decision("d1") is None


def test_what_an_event_is_matched_with_leaves_out_lists_in_shadow(journal: Journal) -> None:
    reasons = (a_reason(list="b"), a_reason(list="s", shadow=True), a_reason(list="a"), a_reason(list="b", measure="m2"))
    journal.record_decisions([a_record("d1", reasons=reasons, outcome="REVIEW", dry_run=True)])
    expected = KnownDecision(decision_id="d1", partner="lending", outcome="REVIEW", dry_run=True, lists=("b", "a"))
    assert expected == journal.known_decision("d1")


# --- events ------------------------------------------------------------


async def test_an_event_gets_a_receipt_that_is_given_again(journal: Journal) -> None:
    journal.record_decisions([a_record("d1")])
    (receipt,) = await report(journal, an_event("e1", decision_id="d1"))
    ((sequence, own, entry),) = journal.entries(1)
    assert receipt == Receipt(event_id="e1", sequence=1, recorded_at_ms=int(NOW * 1000), entry_hash=own)
    assert (sequence, leaf_hash(entry)) == (1, own)
    assert receipt == journal.receipt("lending", "e1")
    assert await report(journal, an_event("e1", decision_id="d1")) == [receipt]
    assert journal.size() == 2


async def test_another_event_of_the_same_id_is_a_conflict(journal: Journal) -> None:
    (first,) = await report(journal, a_settlement("e1"))
    again, other, new = await report(journal, a_settlement("e1"), a_settlement("e1", reference="x"), a_settlement("e2"))
    assert (first, EventConflict) == (again, type(other))
    assert isinstance(new, Receipt)
    within = await report(
        journal, a_settlement("e3"), a_settlement("e3", case_reference="(2090) Demo 2"), a_settlement("e3")
    )
    assert isinstance(within[1], EventConflict)
    assert within[0] == within[2]
    assert journal.size() == 3


async def test_what_was_answered_before_is_given_without_a_rule_and_nothing_is_recorded(journal: Journal) -> None:
    (first,) = await report(journal, a_settlement("e1"))
    asked = [a_settlement("e1"), a_settlement("e1", reference="x"), a_settlement("e2")]
    again, other, none = journal.answers_before("lending", asked)
    assert (first, EventConflict, None) == (again, type(other), none)
    assert [None] * 3 == list(journal.answers_before("ticketing", asked))
    assert [] == list(journal.answers_before("lending", []))
    assert journal.size() == 1


async def test_an_event_id_is_its_partners_own(journal: Journal) -> None:
    (first,) = await report(journal, a_settlement("e1"))
    (second,) = await report(journal, a_settlement("e1", reference="x"), partner="ticketing")
    assert (first, second) == (journal.receipt("lending", "e1"), journal.receipt("ticketing", "e1"))
    with pytest.raises(NotFound):
        journal.receipt("rental", "e1")


async def test_an_event_must_fit_the_decision_that_it_names(journal: Journal) -> None:
    journal.record_decisions([a_record("d1"), a_record("d2", partner="other"), a_record("d3", outcome="REVIEW")])
    answers = await report(
        journal,
        an_event("e0", decision_id="d0"),
        an_event("e2", decision_id="d2"),
        an_event("e3", decision_id="d3"),
        an_event("e1", decision_id="d1"),
        an_event("e4", EventKind.TERMINATED, decision_id="d1", list="carrier"),
        an_event("e5", EventKind.TERMINATED, decision_id="d1", list="court"),
    )
    assert [DecisionUnknown, DecisionUnknown, InvalidRequest, Receipt, InvalidRequest, Receipt] == list(map(type, answers))
    assert journal.size() == 5


async def test_a_refused_event_may_be_reported_again_once_its_decision_is_there(journal: Journal) -> None:
    (answer,) = await report(journal, an_event("e1", decision_id="d1"))
    assert isinstance(answer, DecisionUnknown)
    journal.record_decisions([a_record("d1")])
    (answer,) = await report(journal, an_event("e1", decision_id="d1"))
    assert isinstance(answer, Receipt)


async def test_fifty_concurrent_duplicates_are_one_entry_with_one_receipt(journal: Journal) -> None:
    answers = await asyncio.gather(*(report(journal, a_settlement("e1")) for _ in range(50)))
    assert [[journal.receipt("lending", "e1")]] * 50 == answers
    assert journal.size() == 1


async def test_events_that_are_there_already_leave_no_gap_among_new_ones(journal: Journal) -> None:
    cases = [a_settlement(f"e{number}", case_reference=f"(2090) Demo {number % 70}") for number in range(260)]
    first = await report(journal, *cases[100:140])
    other = a_settlement("e120", reference="another")
    again = await report(journal, *cases[:120], other, *cases[121:], cases[0], a_settlement("e1", reference="another"))
    assert again[100:120] == first[:20]
    assert again[121:140] == first[21:]
    assert isinstance(again[120], EventConflict)
    assert again[260] == again[0]
    assert isinstance(again[261], EventConflict)
    sequences = [each.sequence for each in again[:260] if isinstance(each, Receipt)]
    assert set(range(260)) - {20} == set(sequences)
    assert journal.size() == 260
    keys = {decode_entry(entry).key_id for _, _, entry in journal.entries(0)}
    assert len(keys) == 70
    assert list(journal.index_faults()) == []


async def test_an_event_of_a_remembered_decision_is_judged_as_one_of_a_decision_looked_up(url: str) -> None:
    reasons = (a_reason(), a_reason(list="carrier"), a_reason(list="tax", shadow=True))
    with closing(sql_journal(url)) as recorder, closing(sql_journal(url)) as other:
        recorder.record_decisions([a_record("d1", reasons=reasons), a_record("d2", outcome="REVIEW")])
        agreed = {EventKind.ENFORCED: {"court"}}
        for number, journal in enumerate((recorder, other, other)):
            events = [an_event(f"e{number}{name}", decision_id=name) for name in ("d1", "d2", "d3")]
            outcomes = [type(each) for each in await journal.record_events("lending", events)]
            assert [Receipt, InvalidRequest, DecisionUnknown] == outcomes
            (refused,) = await journal.record_events("lending", [an_event(f"f{number}", decision_id="d1")], agreed)
            assert isinstance(refused, NotPermitted)
        assert [f"e{number}d1" for number in range(3)] == [name for _, name in kinds(other)][2:]


async def test_many_callers_are_served_at_once_each_in_its_order(journal: Journal) -> None:
    names = [[f"e{caller}-{number}" for number in range(7)] for caller in range(60)]
    answers = await asyncio.gather(*(report(journal, *map(a_settlement, own)) for own in names))
    assert [[answer.event_id for answer in own] for own in answers] == names  # type: ignore[attr-defined]
    sequences = [[answer.sequence for answer in own] for own in answers]  # type: ignore[attr-defined]
    assert sorted(itertools.chain(*sequences)) == list(range(420))
    assert all(own == sorted(own) for own in sequences)


async def test_nothing_to_report_is_nothing_to_wait_for(journal: Journal) -> None:
    assert await report(journal) == []


async def test_a_closed_journal_takes_no_more_events(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalUnavailable):
        await report(journal, a_settlement("e1"))


# --- the log ------------------------------------------------------------


def test_a_new_log_has_a_name_of_its_own_and_is_empty(journal: Journal) -> None:
    assert journal.origin() == journal.origin()
    assert MemoryJournal(clock=StillClock()).origin() != journal.origin()
    assert (0, EMPTY_ROOT, None) == (journal.size(), journal.root(0), journal.checkpoint())
    assert ([], []) == (list(journal.leaf_hashes(0, 10)), list(journal.entries(0)))


async def test_the_tree_is_that_of_the_entries(journal: Journal) -> None:
    frontier, roots = Frontier(), {}
    for begin in range(0, 700, 140):
        journal.record_decisions([a_record(f"d{number}") for number in range(begin, begin + 100)])
        await report(journal, *(a_settlement(f"e{number}") for number in range(begin, begin + 40)))
    tiles = []
    for sequence, own, entry in journal.entries(0):
        assert leaf_hash(entry) == own
        tiles += frontier.append(own)
        roots[sequence + 1] = frontier.root()
    assert journal.size() == 700
    assert [roots[size] for size in (1, 255, 256, 257, 700)] == [journal.root(size) for size in (1, 255, 256, 257, 700)]
    assert [each for _, _, each in tiles] == list(journal.tile_hashes(1, 0, 9))
    assert list(journal.leaf_hashes(698, 999)) == [own for _, own, _ in journal.entries(698)]
    assert list(journal.index_faults()) == []
    with pytest.raises(HashesMissing):
        journal.root(701)


def test_a_checkpoint_is_kept_as_it_was_first_signed(journal: Journal) -> None:
    first = StoredCheckpoint(size=5, root=bytes(32), signed_at=NOW, note="five")
    third = StoredCheckpoint(size=7, root=bytes(32), signed_at=NOW + 2, note="seven")
    for each in (first, third, StoredCheckpoint(size=5, root=bytes(32), signed_at=NOW + 1, note="another")):
        journal.keep_checkpoint(each)
    assert (third, first, None) == (journal.checkpoint(), journal.checkpoint(5), journal.checkpoint(6))


# --- people ------------------------------------------------------------


async def test_an_event_of_a_decision_is_refused_where_a_list_of_it_is_not_agreed(journal: Journal) -> None:
    shadowed = a_reason(list="bikes", shadow=True)
    journal.record_decisions([a_record("d1", reasons=(a_reason(), a_reason(list="carrier"), shadowed))])
    enforced, settled = an_event("e1", decision_id="d1"), a_settlement("e2")
    for agreed in ({}, {EventKind.ENFORCED: {"court"}}, {EventKind.REVIEWED: {"court", "carrier"}}):
        refused, taken = await journal.record_events("lending", [enforced, settled], agreed)
        assert (NotPermitted, Receipt) == (type(refused), type(taken))
    agreed = {EventKind.ENFORCED: {"court", "carrier"}}
    (receipt,) = await journal.record_events("lending", [enforced], agreed)
    assert isinstance(receipt, Receipt)
    assert [receipt] == await journal.record_events("lending", [enforced], {})


async def test_an_erased_person_can_not_be_read_and_the_tree_stays(journal: Journal) -> None:
    ann, bob = "00" * 16, "01" * 16
    journal.record_decisions(
        [a_record("d1", tokens=(ann,)), a_record("d2", tokens=(bob, ann)), a_record("d3", tokens=(bob,))]
    )
    (before,) = await report(journal, an_event("e1", decision_id="d1", reference="order 1"))
    entries, root = list(journal.entries(0)), journal.root(4)
    assert Erasure(keys=1, left=1) == journal.erase([bytes.fromhex(ann)], actor="dpo", purpose="her request")
    stored = journal.decision("d1", **ANN)
    assert ("lending", 0, None) == (stored.partner, stored.sequence, stored.record)
    assert record_of(journal, "d2") == a_record("d2", tokens=(bob, ann))
    assert (entries, root) == (list(journal.entries(0))[:4], journal.root(4))
    assert [before] == await report(journal, an_event("e1", decision_id="d1", reference="order 1"))
    told = decode_entry(next(journal.entries(4))[2])
    facts = ERASURE_FACTS.decode(told.facts)
    assert ("dpo", "her request", (decode_entry(entries[0][2]).key_id,)) == (facts.actor, facts.purpose, facts.key_ids)
    assert list(journal.index_faults()) == []


def test_an_erased_decision_is_not_found_by_its_other_tokens_either(journal: Journal) -> None:
    ann, bob = "00" * 16, "01" * 16
    journal.record_decisions([a_record("d1", tokens=(ann, bob)), a_record("d2", tokens=(bob, ann))])
    assert Erasure(keys=1, left=1) == journal.erase([bytes.fromhex(ann)], actor="dpo", purpose="")
    # Of what mentions the other token, d1 is unreadable already, and d2 goes with its key: none is left.
    assert Erasure(keys=1, left=0) == journal.erase([bytes.fromhex(bob)], actor="dpo", purpose="")
    assert list(journal.index_faults()) == []


def test_an_erasure_leaves_nothing_that_joins_an_erased_decision_with_another_token(file: Path) -> None:
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        tokens = ("00" * 16, "01" * 16)
        journal.record_decisions([a_record("d1", tokens=tokens), a_record("d2", tokens=tokens[::-1])])
        journal.erase([bytes(16)], actor="dpo", purpose="")
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT sequence, handle FROM decision_handles ORDER BY handle").fetchall()
    assert [1, 1] == [sequence for sequence, _ in found]
    assert "erased-0" == found[1][1]


async def test_a_person_who_comes_again_after_an_erasure_has_another_key(journal: Journal) -> None:
    journal.record_decisions([a_record("d1")])
    journal.erase([bytes(16)], actor="dpo", purpose="")
    assert Erasure(keys=0, left=0) == journal.erase([bytes(16)], actor="dpo", purpose="")
    journal.record_decisions([a_record("d2")])
    assert (None, a_record("d2")) == (record_of(journal, "d1"), record_of(journal, "d2"))
    (receipt,) = await report(journal, an_event("e1", decision_id="d1", reference="order 1"))
    entry = decode_entry(next(journal.entries(receipt.sequence))[2])  # type: ignore[attr-defined]
    assert ("", b"") == (entry.key_id, entry.sealed)


def test_nobody_to_erase_is_no_entry(journal: Journal) -> None:
    assert Erasure(keys=0, left=0) == journal.erase([], actor="dpo", purpose="")
    assert journal.size() == 0


async def test_the_entries_name_nobody(journal: Journal) -> None:
    journal.record_decisions([a_record("d1", tokens=("ab" * 16,))])
    await report(journal, a_settlement("e1", reference="order-77"), an_event("e2", decision_id="d1", reference="order-77"))
    for _, _, entry in journal.entries(0):
        for personal in (b"ab" * 16, b"order", b"Demo 1", b"G101", b'"amount"'):
            assert personal not in entry


# --- counts ------------------------------------------------------------

NOVEMBER, DECEMBER = 1_796_083_199.9, 1_796_083_200.0
"""The last tenth of a second of November 2026, and the first moment of December, UTC."""


def test_refusals_are_counted_by_the_lists_that_made_the_outcome(journal: Journal) -> None:
    notice, review = a_reason(list="calls", effect="NOTICE"), a_reason(list="bikes", effect="REVIEW")
    reasons = (
        a_reason(),
        a_reason(measure="more"),
        a_reason(list="sanctions"),
        notice,
        review,
        a_reason(list="s", shadow=True),
    )
    journal.record_decisions(
        [
            a_record("d1", decided_at=NOVEMBER, reasons=reasons),
            a_record("d2", decided_at=NOVEMBER),
            a_record("d3", decided_at=DECEMBER),
            a_record("d4", decided_at=DECEMBER, outcome="REVIEW", reasons=(review,), partner="rental"),
            a_record("d5", decided_at=DECEMBER, outcome="ALLOW", reasons=(notice,)),
            a_record("d6", decided_at=DECEMBER, dry_run=True),
        ]
    )
    common = {"action": "loan.apply"}
    assert list(journal.refusals()) == [
        Refusals(month="2026-11", list="court", partner="lending", outcome="RESTRICT", count=2, **common),
        Refusals(month="2026-11", list="sanctions", partner="lending", outcome="RESTRICT", count=1, **common),
        Refusals(month="2026-12", list="bikes", partner="rental", outcome="REVIEW", count=1, **common),
        Refusals(month="2026-12", list="court", partner="lending", outcome="RESTRICT", count=1, **common),
    ]


async def test_reports_are_counted_by_their_lists_or_their_decisions(journal: Journal) -> None:
    reasons = (a_reason(), a_reason(measure="more"), a_reason(list="sanctions"), a_reason(list="s", shadow=True))
    journal.record_decisions([a_record("d1", reasons=reasons)])
    await report(
        journal,
        an_event("e1", decision_id="d1"),
        an_event("e2", EventKind.OVERRIDDEN, decision_id="d1", code="EMERGENCY"),
        an_event("e3", EventKind.TERMINATED, decision_id="d1", list="court"),
        a_settlement("e4"),
        a_settlement("e5", case_reference="another"),
    )
    month = time.strftime("%Y-%m", time.gmtime(NOW))
    rows = [
        ("court", "ENFORCED", "", 1),
        ("court", "OVERRIDDEN", "EMERGENCY", 1),
        ("court", "SETTLED", "", 2),
        ("court", "TERMINATED", "", 1),
        ("sanctions", "ENFORCED", "", 1),
        ("sanctions", "OVERRIDDEN", "EMERGENCY", 1),
    ]
    assert list(journal.reported()) == [
        Reported(month=month, list=name, partner="lending", kind=kind, code=code, count=count)
        for name, kind, code, count in rows
    ]


# --- the durable ones ------------------------------------------------------------


async def test_everything_is_there_after_a_restart(url: str) -> None:
    with closing(sql_journal(url)) as journal:
        journal.record_decisions([a_record("d1")])
        receipts = await report(journal, a_settlement("e1"), an_event("e2", decision_id="d1"))
        before = (journal.origin(), journal.size(), journal.root(3), list(journal.entries(0)))
    with closing(sql_journal(url)) as again:
        assert before == (again.origin(), again.size(), again.root(3), list(again.entries(0)))
        assert receipts == await report(again, a_settlement("e1"), an_event("e2", decision_id="d1"))
        assert a_record("d1") == record_of(again, "d1")


async def test_closing_writes_what_is_waiting(url: str) -> None:
    journal = sql_journal(url)
    waiting = [asyncio.ensure_future(report(journal, a_settlement(f"e{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(journal.close)
    await asyncio.gather(*waiting)
    with closing(sql_journal(url)) as again:
        assert again.receipt("lending", "e49").event_id == "e49"


async def test_another_seal_key_is_refused(url: str) -> None:
    with closing(sql_journal(url)) as journal:
        journal.record_decisions([a_record("d1")])
    with closing(SqlJournal(url, seal_key=b"x" * 32, clock=StillClock())) as other:
        with pytest.raises(SetupFault, match=r"record\.key"):
            other.record_decisions([a_record("d2")])
        with pytest.raises(JournalUnavailable):
            await report(other, a_settlement("e1"))
        with pytest.raises(JournalUnavailable):
            other.decision("d1", **ANN)


def test_a_log_that_lost_its_head_is_not_begun_anew(file: Path) -> None:
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        journal.record_decisions([a_record("d1")])
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("DELETE FROM log_head")
        with pytest.raises(JournalUnavailable):
            journal.record_decisions([a_record("d2")])


async def test_what_another_process_erased_is_neither_read_nor_written_under_its_key(url: str) -> None:
    with closing(sql_journal(url)) as journal, closing(sql_journal(url)) as other:
        journal.record_decisions([a_record("d1")])
        assert record_of(journal, "d1") == a_record("d1")
        await report(journal, an_event("e1", decision_id="d1", reference="order-1"))
        other.erase([bytes(16)], actor="dpo", purpose="")
        assert record_of(journal, "d1") is None
        await report(journal, an_event("e2", decision_id="d1", reference="order-2"))
        journal.record_decisions([a_record("d2")])
        old, _, _, event, new = (decode_entry(entry).key_id for _, _, entry in journal.entries(0))
        assert ("", True) == (event, new not in ("", old))


async def test_a_row_that_was_slipped_in_behind_the_log_fails_a_commit_rather_than_be_written_over(file: Path) -> None:
    slipped_in = "INSERT INTO events VALUES (2, 'lending', 'e9', 'SETTLED', '', 'court', NULL, 0, 0, x'00')"
    with closing(sqlite3.connect(file)) as database, closing(sql_journal(f"sqlite:///{file}")) as journal:
        await report(journal, a_settlement("e0"))
        with database:
            database.execute(slipped_in)
        with pytest.raises(JournalUnavailable):
            await report(journal, a_settlement("e1"), a_settlement("e2"), a_settlement("e0"))
        assert [(0, "e0"), (2, "e9")] == database.execute("SELECT sequence, event_id FROM events ORDER BY 1").fetchall()
        assert any(line.startswith("events 2:") for line in journal.index_faults())


async def test_nothing_personal_is_in_the_file_and_an_erased_key_neither(file: Path) -> None:
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        journal.record_decisions([a_record("d1", tokens=("ab" * 16,))])
        await report(
            journal, a_settlement("e1", reference="order-77"), an_event("e2", decision_id="d1", reference="order-77")
        )
        with closing(sqlite3.connect(file)) as other:
            wrapped = [row[0] for row in other.execute("SELECT wrapped FROM subject_keys ORDER BY wrapped")]
        journal.erase([b"\xab" * 16], actor="dpo", purpose="")
        kept = b"".join(path.read_bytes() for path in file.parent.iterdir())
        assert sorted(each in kept for each in wrapped) == [False, True]
    kept = b"".join(path.read_bytes() for path in file.parent.iterdir())
    for personal in (b"ab" * 16, b"\xab" * 16, b"order-77", b"Demo 1", b"G101", b'"amount"'):
        assert personal not in kept


async def test_a_caller_that_gives_up_does_not_disturb_the_others(url: str) -> None:
    with closing(sql_journal(url)) as journal:
        calls = [asyncio.ensure_future(report(journal, a_settlement(f"e{number}"))) for number in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answers[0], Receipt) for answers in results[1::2])  # type: ignore[index]
        await report(journal, a_settlement("later"))


async def test_more_than_may_wait_is_refused_at_once(file: Path) -> None:
    journal = SqlJournal(f"sqlite:///{file}", seal_key=SEAL_KEY, clock=StillClock(), waiting_events=10)
    with closing(journal), closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        calls = [asyncio.ensure_future(report(journal, a_settlement(f"e{number}"))) for number in range(15)]
        refused, _ = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
        assert [JournalUnavailable] * 5 == [type(call.exception()) for call in refused]
        other.execute("COMMIT")
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, list) for result in results) == 10
        await report(journal, a_settlement("later"))


async def test_a_lock_held_too_long_refuses_and_heals(file: Path) -> None:
    journal = SqlJournal(f"sqlite:///{file}", seal_key=SEAL_KEY, clock=StillClock(), write_wait_s=0.1)
    with closing(journal):
        journal.record_decisions([a_record("d1")])
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalUnavailable):
                await report(journal, a_settlement("e1"))
            with pytest.raises(JournalUnavailable):
                journal.record_decisions([a_record("d2")])
            with pytest.raises(JournalUnavailable):
                journal.decision("d1", **ANN)
        assert (1, []) == (journal.size(), list(journal.looks("d1")))
        await report(journal, a_settlement("e1"))
        assert a_record("d1") == record_of(journal, "d1")


async def test_a_full_disk_refuses_and_leaves_nothing_and_heals(file: Path) -> None:
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        limit = {"pages": 60}

        @sql_event.listens_for(journal._engine, "checkout")
        def set_limit(raw: sqlite3.Connection, *_: object) -> None:
            raw.execute(f"PRAGMA max_page_count = {limit['pages']}").fetchall()

        journal.record_decisions([a_record("small")])
        big = [a_record(f"big{number}", partner_reference="x" * 1000) for number in range(200)]
        with pytest.raises(JournalUnavailable):
            journal.record_decisions(big)
        with pytest.raises(JournalUnavailable):
            await report(journal, *(a_settlement(f"e{number}", reference="x" * 128) for number in range(500)))
        assert journal.size() == 1
        limit["pages"] = 1_000_000
        assert journal.record_decisions(big) == 200
        assert big[199] == record_of(journal, "big199")


async def test_a_database_that_is_gone_refuses() -> None:
    with closing(sql_journal("postgresql://nobody@127.0.0.1:1/none")) as journal:
        with pytest.raises(JournalUnavailable) as refused:
            journal.record_decisions([a_record()])
        assert refused.value.__cause__ is None
        with pytest.raises(JournalUnavailable):
            await report(journal, a_settlement("e1"))
        with pytest.raises(JournalUnavailable):
            journal.size()


# --- several processes ------------------------------------------------------------


def child(role: str, url: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.sql_children", role, url, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def whole(journal: Journal) -> list[str]:
    """Give the ids in the log, once it is proven to be gapless, hashed and indexed right."""
    frontier, names = Frontier(), []
    for expected, (sequence, own, entry) in enumerate(journal.entries(0)):
        assert (expected, leaf_hash(entry)) == (sequence, own)
        frontier.append(own)
        names.append(decode_entry(entry).id)
    assert (len(names), frontier.root()) == (journal.size(), journal.root(journal.size()))
    assert list(journal.index_faults()) == []
    return names


def test_several_processes_append_to_one_log(url: str) -> None:
    with (
        child("report", url, "a", 100) as first,
        child("report", url, "b", 100) as second,
        child("decide", url, "c", 100) as third,
    ):
        told = [process.communicate(timeout=60)[0].split() for process in (first, second, third)]
    assert [0, 0, 0] == [first.returncode, second.returncode, third.returncode]
    with closing(sql_journal(url)) as journal:
        names = whole(journal)
        assert sorted(names) == sorted(itertools.chain(*told))
        # Each process's own come in the order in which it brought them.
        assert [name for name in names if name.startswith("c")] == told[2]


@pytest.mark.parametrize(
    ("url", "role", "seed"),
    [("sqlite", "report", 1), ("sqlite", "decide", 2), ("postgresql", "report", 3), ("postgresql", "decide", 4)],
    indirect=["url"],
)
def test_what_a_killed_process_was_told_is_in_the_log_without_a_gap(url: str, role: str, seed: int) -> None:
    acknowledged: list[str] = []
    with child(role, url, "a", 0) as process:
        assert process.stdout is not None
        # The kill falls on any point of a commit: more are written while the lines are read.
        while len(acknowledged) < 150:
            acknowledged.append(process.stdout.readline().strip())
        time.sleep(random.Random(seed).uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    with closing(sql_journal(url)) as journal:
        journal.record_decisions([a_record("after")])
        names = whole(journal)
        assert set(acknowledged) <= set(names)
        assert len(names) == len(set(names))


def test_what_is_recorded_is_written_out_without_the_person() -> None:
    for text in (repr(a_record("d1")), repr(a_reason())):
        for personal in ("Demo", "order", "G101", "00" * 16, "12.5"):
            assert personal not in text


def test_the_checkpoints_are_given_from_a_size_on_in_their_order(journal: Journal) -> None:
    kept = [StoredCheckpoint(size=size, root=bytes(32), signed_at=NOW, note=f"note {size}") for size in (9, 2, 1_200)]
    for each in kept:
        journal.keep_checkpoint(each)
    assert [2, 9, 1_200] == [each.size for each in journal.checkpoints_from(-5)]
    assert [kept[0], kept[2]] == list(journal.checkpoints_from(3))
    assert [] == list(journal.checkpoints_from(1_201))
