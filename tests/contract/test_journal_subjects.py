"""What every journal tells about a subject, and how it forgets those about whom nothing was decided for long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.domain.log_entries import EntryKind, decode_entry
from portcullis.domain.log_facts import ERASURE_FACTS
from portcullis.domain.log_findings import LogFinding, Note, Place
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.verifying import verify_log
from portcullis.ports import Erasure, Journal, Look, Receipt, ReportedBy, StoredDecision
from tests.support.databases import migrated_database
from tests.support.decision_records import a_reason, a_record
from tests.support.imports import StillClock
from tests.support.journals import SEAL_KEY, a_settlement, an_event, sql_journal
from tests.support.policies import NOW
from tests.support.signers import SignCounts, SignerInMemory

ANN: dict[str, Any] = {"actor": "ann", "purpose": "a complaint"}
FIRST, SECOND, THIRD = (bytes([number]) * 16 for number in range(3))
DAY_S = 86_400
ALL_KINDS = dict.fromkeys(EventKind)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryJournal(clock=StillClock())
            return
        url = stack.enter_context(
            migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres"))
        )
        yield stack.enter_context(closing(sql_journal(url)))


def decided(journal: Journal, decision_id: str, *tokens: bytes, at: float = 0, **changes: object) -> None:
    record = a_record(decision_id, tokens=tuple(token.hex() for token in tokens), decided_at=NOW + at, **changes)
    journal.record_decisions([record])


def names(found: Sequence[StoredDecision]) -> list[str]:
    return [each.decision_id for each in found]


def known_events(journal: Journal) -> list[SharedEvent]:
    found = journal.events_after(-1, ALL_KINDS, limit=50).events
    return [each.event for each in found if each.event is not None]


def erasures(journal: Journal) -> list[tuple[str, str, int]]:
    entries = [decode_entry(entry) for _, _, entry in journal.entries(0)]
    facts = [ERASURE_FACTS.decode(entry.facts) for entry in entries if entry.kind == EntryKind.ERASURE]
    return [(each.actor, each.purpose, len(each.key_ids)) for each in facts]


# --- decisions about a subject ------------------------------------------------------------


def test_a_subject_has_the_decisions_that_asked_about_any_of_their_tokens_in_the_order_of_time(journal: Journal) -> None:
    decided(journal, "d2", FIRST, SECOND, at=2)
    decided(journal, "d1", SECOND, at=1)
    decided(journal, "d3", THIRD, at=3)
    decided(journal, "d4", THIRD, FIRST, at=4)
    assert ["d2", "d4"] == names(journal.decisions_of([FIRST], **ANN))
    assert ["d1", "d2", "d4"] == names(journal.decisions_of([FIRST, SECOND], **ANN))
    assert [] == names(journal.decisions_of([b"\x09" * 16], **ANN))
    assert [] == names(journal.decisions_of([], **ANN))


def test_a_subjects_decision_is_given_as_it_was_made(journal: Journal) -> None:
    journal.record_decisions([a_record("d1")])
    expected = StoredDecision(sequence=0, decision_id="d1", partner="lending", record=a_record("d1"))
    assert [expected] == list(journal.decisions_of([FIRST], **ANN))


def test_a_look_is_noted_beside_each_decision_that_is_given_and_no_other(journal: Journal) -> None:
    decided(journal, "d1", FIRST)
    decided(journal, "d2", FIRST, reasons=(a_reason(entry_id=2),))
    decided(journal, "d3", SECOND)
    journal.decisions_of([FIRST], **ANN)
    journal.decisions_of([FIRST], actor="bob", purpose="impact", about=("court", 2))
    ann, bob = Look(actor="ann", at=NOW, purpose="a complaint"), Look(actor="bob", at=NOW, purpose="impact")
    seen = journal.looks_at(["d1", "d2", "d3", "d4"])
    assert {"d1": [ann], "d2": [ann, bob], "d3": [], "d4": []} == {key: list(looks) for key, looks in seen.items()}


def test_only_decisions_that_an_entry_has_caused_are_given_when_asked_about_it(journal: Journal) -> None:
    decided(journal, "d1", FIRST, reasons=(a_reason(list="court", entry_id=1), a_reason(list="bank", entry_id=2)))
    decided(journal, "d2", FIRST, reasons=(a_reason(list="court", entry_id=2),))
    decided(journal, "d3", FIRST, reasons=(a_reason(list="court", entry_id=1, shadow=True), a_reason(list="bank")))
    assert ["d1"] == names(journal.decisions_of([FIRST], about=("court", 1), **ANN))
    assert ["d1"] == names(journal.decisions_of([FIRST], about=("bank", 2), **ANN))
    assert [] == names(journal.decisions_of([FIRST], about=("carrier", 1), **ANN))


def test_a_decision_whose_key_was_erased_is_left_out(journal: Journal) -> None:
    decided(journal, "d1", FIRST, SECOND)
    decided(journal, "d2", SECOND)
    journal.erase([FIRST], actor="ann", purpose="asked")
    assert ["d2"] == names(journal.decisions_of([FIRST, SECOND], **ANN))
    assert [] == list(journal.entries_of_decision("d1"))


def test_a_decision_tells_which_entries_gave_it_reasons_and_no_look_is_noted(journal: Journal) -> None:
    reasons = (
        a_reason(list="bank", entry_id=7),
        a_reason(list="court", entry_id=1, shadow=True),
        a_reason(list="carrier", entry_id=0),
        a_reason(list="bank", entry_id=7, measure="other"),
        a_reason(list="court", entry_id=3, weak=True),
    )
    decided(journal, "d1", FIRST, reasons=reasons)
    assert [("bank", 7), ("court", 3)] == list(journal.entries_of_decision("d1"))
    assert [] == list(journal.entries_of_decision("d0"))
    assert [] == list(journal.looks("d1"))


# --- events in their order ------------------------------------------------------------


async def test_events_of_some_kinds_are_read_on_from_where_one_was(journal: Journal) -> None:
    decided(journal, "d1", FIRST)
    first, mismatch = a_settlement("e1"), an_event("e2", EventKind.IDENTITY_MISMATCH, decision_id="d1")
    await journal.record_events("lending", [first, mismatch])
    await journal.record_events("other", [a_settlement("e1", reference="order-2")])
    begin = journal.events_after(-1, {EventKind.SETTLED: None, EventKind.IDENTITY_MISMATCH: None}, limit=2)
    assert [(1, "lending", first, NOW), (2, "lending", mismatch, NOW)] == [
        (each.sequence, each.partner, each.event, each.recorded_at) for each in begin.events
    ]
    assert 2 == begin.up_to
    rest = journal.events_after(begin.up_to, {EventKind.SETTLED: None}, limit=2)
    assert [(3, "other")] == [(each.sequence, each.partner) for each in rest.events]
    decided(journal, "d2", FIRST)
    assert ([], 4) == tuple(journal.events_after(rest.up_to, ALL_KINDS, limit=2))
    assert ([], 4) == tuple(journal.events_after(-1, {EventKind.TERMINATED: None}, limit=2))
    assert ([], 9) == tuple(journal.events_after(9, ALL_KINDS, limit=2))


async def test_events_of_a_kind_are_narrowed_to_the_lists_that_they_name(journal: Journal) -> None:
    here, there = a_settlement("e1"), a_settlement("e2")
    await journal.record_events("lending", [here, there])
    assert [here, there] == [
        each.event for each in journal.events_after(-1, {EventKind.SETTLED: [here.list, "another"]}, limit=10).events
    ]
    assert ([], 1) == tuple(journal.events_after(-1, {EventKind.SETTLED: ["another"]}, limit=10))
    assert ([], 1) == tuple(journal.events_after(-1, {EventKind.SETTLED: []}, limit=10))


def test_an_empty_log_has_no_events_and_leaves_the_reader_where_it_is(journal: Journal) -> None:
    assert ([], -1) == tuple(journal.events_after(-1, ALL_KINDS, limit=10))


async def test_an_event_that_was_erased_is_given_without_what_it_said(journal: Journal) -> None:
    decided(journal, "d1", FIRST)
    await journal.record_events("lending", [an_event("e1", decision_id="d1", reference="order-1"), a_settlement("e2")])
    journal.erase([FIRST], actor="ann", purpose="asked")
    await journal.record_events("lending", [an_event("e3", decision_id="d1", reference="order-1")])
    found = journal.events_after(-1, ALL_KINDS, limit=10).events
    assert [None, a_settlement("e2"), an_event("e3", decision_id="d1")] == [each.event for each in found]


# --- forgetting who fell quiet ------------------------------------------------------------


def test_subjects_about_whom_nothing_was_decided_for_long_are_forgotten(journal: Journal) -> None:
    decided(journal, "d1", FIRST, at=-3 * DAY_S)
    decided(journal, "d2", FIRST, at=-2 * DAY_S)
    decided(journal, "d3", SECOND, at=-3 * DAY_S)
    decided(journal, "d4", SECOND)
    before = {"court": NOW - DAY_S}
    assert 1 == journal.erase_quiet(before, actor="clock", dry_run=True)
    assert ["d1", "d2"] == names(journal.decisions_of([FIRST], **ANN))
    assert 1 == journal.erase_quiet(before, actor="clock", dry_run=False)
    assert [] == names(journal.decisions_of([FIRST], **ANN))
    assert journal.decision("d1", **ANN).record is None
    assert ["d3", "d4"] == names(journal.decisions_of([SECOND], **ANN))
    assert [("clock", "retention", 1)] == erasures(journal)
    assert [] == list(journal.index_faults())


def test_a_log_whose_quiet_subjects_were_forgotten_is_proven_against_the_checkpoint_of_before(journal: Journal) -> None:
    decided(journal, "d1", FIRST, at=-2 * DAY_S)
    decided(journal, "d2", SECOND)
    signer = SignerInMemory()
    before = Checkpointer(journal, signer, StillClock(), SignCounts()).sign_once()
    assert before is not None
    assert 1 == journal.erase_quiet({"court": NOW - DAY_S}, actor="clock", dry_run=False)
    found: list[LogFinding] = []
    verified = verify_log(journal, signer.key, [Note(Place.GIVEN, before.note)], found=found.append)
    assert ([], 3) == (found, verified.size)


def test_the_list_that_keeps_longest_counts_and_one_that_is_not_named_keeps_for_good(journal: Journal) -> None:
    both = (a_reason(list="court"), a_reason(list="bank", shadow=True))
    decided(journal, "d1", FIRST, at=-5 * DAY_S, reasons=both)
    decided(journal, "d2", SECOND, at=-5 * DAY_S)
    decided(journal, "d3", THIRD, at=-5 * DAY_S, reasons=(a_reason(list="other"),))
    before = {"court": NOW - 4 * DAY_S, "bank": NOW - 6 * DAY_S}
    assert 1 == journal.erase_quiet(before, actor="clock", dry_run=False)
    assert ["d1", "d3"] == names(journal.decisions_of([FIRST, SECOND, THIRD], **ANN))
    before = {"court": NOW - 4 * DAY_S, "bank": NOW - 4 * DAY_S, "": NOW - 4 * DAY_S}
    assert 2 == journal.erase_quiet(before, actor="clock", dry_run=True)
    assert 2 == journal.erase_quiet(before, actor="clock", dry_run=False)
    assert 0 == journal.erase_quiet(before, actor="clock", dry_run=False)
    assert [("clock", "retention", 1), ("clock", "retention", 2)] == erasures(journal)


def test_decisions_without_a_reason_or_a_token_are_forgotten_by_the_time_of_every_other_list(journal: Journal) -> None:
    decided(journal, "d1", at=-2 * DAY_S, reasons=())
    decided(journal, "d2", FIRST, at=-2 * DAY_S, reasons=())
    assert 0 == journal.erase_quiet({"court": NOW}, actor="clock", dry_run=False)
    assert 2 == journal.erase_quiet({"": NOW}, actor="clock", dry_run=False)
    assert (None, None) == (journal.decision("d1", **ANN).record, journal.decision("d2", **ANN).record)


def test_one_who_is_forgotten_may_come_again_under_another_key(journal: Journal) -> None:
    decided(journal, "d1", FIRST, SECOND, at=-2 * DAY_S)
    assert 1 == journal.erase_quiet({"court": NOW - DAY_S}, actor="clock", dry_run=False)
    decided(journal, "d2", FIRST)
    assert ["d2"] == names(journal.decisions_of([FIRST, SECOND], **ANN))
    assert 0 == journal.erase_quiet({"court": NOW - DAY_S}, actor="clock", dry_run=False)
    assert [] == list(journal.index_faults())


async def test_keys_of_events_without_a_decision_stay(journal: Journal) -> None:
    (receipt,) = await journal.record_events("lending", [a_settlement("e1")])
    assert isinstance(receipt, Receipt)
    assert 0 == journal.erase_quiet({"court": NOW + DAY_S, "": NOW + DAY_S}, actor="clock", dry_run=False)
    assert [] == erasures(journal)
    assert [a_settlement("e1")] == [each.event for each in journal.events_after(-1, ALL_KINDS, limit=5).events]


async def test_what_was_reported_by_a_case_or_a_name_goes_when_that_is_given_and_nothing_else_does(journal: Journal) -> None:
    ended = an_event("e2", EventKind.TERMINATED, list="court", subject="a" * 32)
    kept = [a_settlement("e3", case_reference="another"), a_settlement("e4", list="carrier")]
    decided(journal, "d1", FIRST)
    await journal.record_events("lending", [a_settlement("e1"), ended, *kept])
    named = ReportedBy(cases=[("court", "(2090) Demo 1"), ("court", "none")], subjects=["a" * 32, "b" * 32])

    assert 2 == journal.erase_reports(named, actor="clock", purpose="retention", dry_run=True)
    assert 4 == len(known_events(journal))
    assert 2 == journal.erase_reports(named, actor="clock", purpose="retention")
    assert kept == known_events(journal)
    assert ["d1"] == names(journal.decisions_of([FIRST], **ANN))
    # What is not there is not told.
    assert 0 == journal.erase_reports(named, actor="clock", purpose="retention")
    assert [("clock", "retention", 2)] == erasures(journal)
    assert [] == list(journal.index_faults())


async def test_what_was_reported_goes_in_the_same_entry_of_the_log_as_the_person(journal: Journal) -> None:
    decided(journal, "d1", FIRST)
    await journal.record_events("lending", [a_settlement("e1")])
    named = ReportedBy(cases=[("court", "(2090) Demo 1")])

    assert Erasure(keys=2, left=0) == journal.erase([FIRST], actor="ann", purpose="asked", reported=named)
    assert ([], []) == (known_events(journal), names(journal.decisions_of([FIRST], **ANN)))
    assert [("ann", "asked", 2)] == erasures(journal)


async def test_many_reports_are_erased_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portcullis.adapters.sql.journal.journal._ERASED_AT_ONCE", 2)
    with migrated_database("sqlite", "journal", tmp_path, NotImplemented) as url, closing(sql_journal(url)) as journal:
        await journal.record_events("lending", [a_settlement(f"e{n}", case_reference=f"case {n}") for n in range(5)])
        named = ReportedBy(cases=[("court", f"case {n}") for n in range(9)])
        assert 5 == journal.erase_reports(named, actor="clock", purpose="retention")
        assert [2, 2, 1] == [count for _, _, count in erasures(journal)]


def test_many_quiet_subjects_are_forgotten_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portcullis.adapters.sql.journal.journal._ERASED_AT_ONCE", 3)
    monkeypatch.setattr("portcullis.adapters.sql.journal.journal.QUIET_AT_ONCE", 5)
    monkeypatch.setattr("portcullis.adapters.sql.journal.subjects.QUIET_AT_ONCE", 5)
    with (
        migrated_database("sqlite", "journal", tmp_path, NotImplemented) as url,
        closing(SqlJournal(url, seal_key=SEAL_KEY, clock=StillClock())) as journal,
    ):
        journal.record_decisions([a_record(f"d{number}", tokens=(f"{number:032x}",)) for number in range(12)])
        assert 12 == journal.erase_quiet({"court": NOW + 1}, actor="clock", dry_run=True)
        assert 12 == journal.erase_quiet({"court": NOW + 1}, actor="clock", dry_run=False)
        assert [3, 2, 3, 2, 2] == [count for _, _, count in erasures(journal)]
        assert [] == list(journal.index_faults())


def test_one_whom_a_decision_names_while_the_quiet_are_forgotten_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with migrated_database("sqlite", "journal", tmp_path, NotImplemented) as url, closing(sql_journal(url)) as journal:
        decided(journal, "d1", FIRST, at=-2 * DAY_S)
        decided(journal, "d2", SECOND, at=-2 * DAY_S)
        find = SqlJournal._read

        def found_then_decided(self: SqlJournal, work: Any) -> Any:
            found = find(self, work)
            monkeypatch.setattr(SqlJournal, "_read", find)
            decided(journal, "d3", FIRST)
            return found

        monkeypatch.setattr(SqlJournal, "_read", found_then_decided)
        assert 1 == journal.erase_quiet({"court": NOW - DAY_S}, actor="clock", dry_run=False)
        assert ["d1", "d3"] == names(journal.decisions_of([FIRST, SECOND], **ANN))
