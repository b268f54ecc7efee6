"""The keeper over a registry in SQLite and a journal in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from portcullis.domain.disputes import Case, CaseKind, CaseState, DisputeGround, EntryEffect
from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import ReleaseGround, StepNote
from portcullis.domain.errors import JournalUnavailable, RegistryUnavailable, StepNotAllowed, VersionMissed
from portcullis.domain.policies import Policy
from portcullis.domain.shared_events import EventKind
from portcullis.domain.working_days import add_working_days
from portcullis.metrics.registry import KeeperMetrics
from portcullis.ports import Removed, StoredEntry
from portcullis.registry.disputes import Disputes
from portcullis.registry.keeping import COUNTED_EVERY_S, RETAINED_EVERY_S, Keeper
from portcullis.registry.settling import KEEPER, PartnerReports
from tests.support.decision_records import a_reason, a_record
from tests.support.journals import a_settlement, an_event
from tests.support.policies import NOW, a_list
from tests.support.registry_entries import document
from tests.support.rights_homes import RightsHome, rights_home

DAY_S = 86_400
OWN = document(1)
REFERENCE = "(2090) Demo k1"


class Tally:
    """Counts what the keeper did."""

    def __init__(self) -> None:
        self.did: dict[str, int] = {}
        self.cases: Mapping[str, int] = {}
        self.overdue: Mapping[str, int] = {}
        self.failures: list[tuple[str, str]] = []

    def lapsed(self, disputes: int) -> None:
        self.add("lapsed", disputes)

    def released(self, entries: int) -> None:
        self.add("released", entries)

    def taken_over(self, events: int) -> None:
        self.add("taken over", events)

    def removed(self, what: Sequence[Removed]) -> None:
        self.add("removed", sum(each.count for each in what))

    def open_cases(self, cases: Mapping[str, int], overdue: Mapping[str, int]) -> None:
        self.cases, self.overdue = dict(cases), dict(overdue)

    def failed(self, chore: str, part: str) -> None:
        self.failures.append((chore, part))

    def add(self, what: str, count: int) -> None:
        self.did[what] = self.did.get(what, 0) + count


class Retention:
    """Stands for the job that removes what is no longer kept."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, bool]] = []

    def retain(self, *, actor: str, dry_run: bool) -> Sequence[Removed]:
        self.runs.append((actor, dry_run))
        return [Removed(list="court", kind="looks", count=3), Removed(list="", kind="sessions", count=0)]


class Place:
    """A home with the keeper and the desk on it."""

    def __init__(self, home: RightsHome) -> None:
        self.home = home
        self.tally = Tally()
        self.retention = Retention()
        self.reports = PartnerReports(home.registry, home.rights, home.journal, clock=home.clock)
        self.keeper = self.another()
        self.disputes = Disputes(home.registry, home.registry, home.rights, clock=home.clock)

    def another(self, metrics: Any = None) -> Keeper:
        aftermath: Any = self.retention
        return Keeper(self.home.rights, self.reports, aftermath, clock=self.home.clock, metrics=metrics or self.tally)

    def dispute(self, key: str = "k1", list_name: str = "court") -> Case:
        return self.disputes.open_dispute(
            list_name=list_name, case_reference="", key=key, ground=DisputeGround.NOT_ME, evidence=(), by="otto"
        ).case

    def case(self, case_id: str) -> Case:
        return self.home.rights.case(case_id)

    def entry(self, key: str = "k1") -> StoredEntry:
        return self.home.registry.entry("court", key)

    async def report(self, *events: Any, partner: str = "lender") -> None:
        for each in await self.home.journal.record_events(partner, events):
            assert not isinstance(each, Exception), each

    def decide(self, decision_id: str, *entry_ids: int, **changes: Any) -> None:
        """Record a decision of the lender's that these entries gave reasons."""
        reasons = tuple(a_reason(entry_id=entry_id, **changes) for entry_id in entry_ids)
        self.home.journal.record_decisions([a_record(decision_id, partner="lender", reasons=reasons)])

    def mismatches(self, key: str = "k1") -> list[Case]:
        cases = self.home.rights.cases_of([self.entry(key).entry_id])
        return [case for case in cases if case.kind is CaseKind.IDENTITY_MISMATCH]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    court = a_list("court", settled_days=3, calendar="CN", identifier_kinds=("passport",))
    with rights_home(tmp_path, court, a_list("carrier")) as home:
        home.put("k1", OWN)
        yield Place(home)


def mismatch(event_id: str, decision_id: str = "d" * 32) -> Any:
    return an_event(event_id, EventKind.IDENTITY_MISMATCH, decision_id=decision_id)


def test_an_undecided_dispute_ends_the_entry_by_the_clock_and_then_in_the_record(place: Place) -> None:
    case = place.dispute()
    place.home.clock.advance(30 * DAY_S - 1)
    assert 0 == place.keeper.lapse_undecided()
    assert {place.entry().entry_id} == place.home.in_force()

    place.home.clock.advance(1)
    assert set() == place.home.in_force()
    assert EntryStatus.IN_FORCE == place.entry().status

    assert 1 == place.keeper.lapse_undecided()
    assert 0 == place.keeper.lapse_undecided()
    assert CaseState.LAPSED == place.case(case.case_id).state
    last = place.home.registry.history("court", "k1")[-1]
    assert (EntryStatus.RELEASED, ReleaseGround.DISPUTE_LAPSED, KEEPER) == (last.status, last.ground, last.actor)
    assert {"lapsed": 1} == place.tally.did


def test_more_disputes_than_a_page_lapse_in_one_turn(place: Place) -> None:
    for number in range(120):
        place.home.put(f"n{number}", document(100 + number))
        place.dispute(f"n{number}")
    place.home.clock.advance(30 * DAY_S)
    assert 120 == place.keeper.lapse_undecided()
    assert {place.entry().entry_id} == place.home.in_force()


def test_a_dispute_that_somebody_else_has_closed_meanwhile_is_left_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = place.dispute()
    place.home.clock.advance(30 * DAY_S)
    seen = place.home.rights.undecided(place.home.clock.now())
    assert 1 == place.another().lapse_undecided()

    monkeypatch.setattr(place.home.rights, "undecided", lambda _now, *, limit: seen)
    assert 0 == place.keeper.lapse_undecided()
    assert 2 == place.case(case.case_id).version


async def test_a_settlement_releases_the_entry_after_the_working_days_of_its_list(place: Place) -> None:
    await place.report(a_settlement("s1", case_reference=REFERENCE))
    place.keeper.turn()

    (waiting,) = place.home.rights.waiting()
    assert ("k1", "lender", add_working_days(NOW, 3, "CN")) == (waiting.key, waiting.partner, waiting.release_at)
    place.home.clock.advance(waiting.release_at - NOW - 1)
    place.keeper.turn()
    assert EntryStatus.IN_FORCE == place.entry().status
    place.home.clock.advance(1)
    place.keeper.turn()

    last = place.home.registry.history("court", "k1")[-1]
    assert (EntryStatus.RELEASED, ReleaseGround.SETTLED, KEEPER) == (last.status, last.ground, last.actor)
    assert (1, 1) == (place.tally.did["taken over"], place.tally.did["released"])


async def test_where_the_authority_alone_releases_nothing_waits(place: Place) -> None:
    place.home.put("k1", OWN, list="carrier")
    await place.report(a_settlement("s1", list="carrier", case_reference=REFERENCE))
    await place.report(a_settlement("s2", list="gone", case_reference=REFERENCE))
    assert 0 == place.keeper.take_over_reports()
    assert [] == list(place.home.rights.waiting())


def test_a_settlement_on_a_list_that_gets_its_days_while_reports_are_read_is_not_passed_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.home.put("k1", OWN, list="carrier")
    asyncio.run(place.report(a_settlement("s1", case_reference=REFERENCE)))
    read_policy = place.home.registry.policy

    def read_before_the_change() -> Policy:
        monkeypatch.undo()
        before = read_policy()
        lists = tuple(msgspec.structs.replace(each, settled_days=3) for each in before.lists)
        place.home.registry.apply_policy(msgspec.structs.replace(before, lists=lists), actor="otto")
        asyncio.run(place.report(a_settlement("s2", list="carrier", case_reference=REFERENCE)))
        return before

    monkeypatch.setattr(place.home.registry, "policy", read_before_the_change)
    assert 2 == place.keeper.take_over_reports()
    assert {"court", "carrier"} == {each.list for each in place.home.rights.waiting()}


async def test_what_was_taken_over_is_not_taken_over_again(place: Place) -> None:
    await place.report(a_settlement("s1", case_reference=REFERENCE), an_event("c1", EventKind.SETTLEMENT_CLAIMED))
    assert 1 == place.keeper.take_over_reports()
    await place.report(a_settlement("s2", case_reference="(2090) None"))
    assert 1 == place.keeper.take_over_reports()
    assert 0 == place.keeper.take_over_reports()


async def test_an_identity_mismatch_opens_a_case_on_each_entry_of_its_decision(place: Place) -> None:
    place.home.put("k2", OWN)
    ids = [place.entry(key).entry_id for key in ("k1", "k2")]
    place.decide("d" * 32, *ids)
    await place.report(mismatch("e1"))
    place.keeper.turn()

    for key in ("k1", "k2"):
        (case,) = place.mismatches(key)
        assert (0, False, CaseState.OPEN, None) == (case.decide_by, case.stayed, case.state, case.ground)
        assert [("event:lender/e1", KEEPER)] == [(each.reference, each.added_by) for each in case.evidence]
    assert set(ids) == place.home.in_force()


async def test_a_further_mismatch_is_a_further_document_and_a_closed_case_is_not_opened_again(place: Place) -> None:
    place.decide("d" * 32, place.entry().entry_id)
    await place.report(mismatch("e1"), mismatch("e2"))
    place.keeper.turn()
    (case,) = place.mismatches()
    assert ["event:lender/e1", "event:lender/e2"] == [each.reference for each in case.evidence]

    closed = _resolved(case)
    place.home.rights.keep_case(closed, EntryEffect(), note=StepNote(actor="rita"))
    place.home.clock.advance(1)
    await place.report(mismatch("e3"))
    place.keeper.turn()
    assert [CaseState.RESOLVED, CaseState.OPEN] == [each.state for each in place.mismatches()]


def _resolved(case: Case) -> Case:
    return msgspec.structs.replace(case, state=CaseState.RESOLVED, version=case.version + 1)


async def test_a_keeper_that_was_killed_before_it_noted_how_far_it_was_does_nothing_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.decide("d" * 32, place.entry().entry_id)
    await place.report(mismatch("e1"), a_settlement("s1", case_reference=REFERENCE))
    with monkeypatch.context() as patch:
        patch.setattr(place.home.rights, "mark_read", _fail(RegistryUnavailable("gone")))
        place.keeper.turn()
    assert [("reports", "registry")] == place.tally.failures

    place.keeper.turn()
    (case,) = place.mismatches()
    assert 1 == case.version
    assert 1 == len(place.home.rights.waiting())


async def test_an_entry_that_has_left_its_list_gets_no_case(place: Place) -> None:
    place.decide("d" * 32, place.entry().entry_id, 999)
    place.home.registry.withdraw_entry("court", "k1", reason="an error", actor="ann")
    await place.report(mismatch("e1"))
    assert 1 == place.keeper.take_over_reports()
    assert [] == place.mismatches()


async def test_a_case_that_is_full_of_reports_takes_no_more_and_holds_nobody_up(place: Place) -> None:
    place.decide("d" * 32, place.entry().entry_id)
    await place.report(*(mismatch(f"e{number}") for number in range(70)))
    place.keeper.turn()
    (case,) = place.mismatches()
    assert 64 == len(case.evidence)
    assert [] == place.tally.failures


async def test_another_keeper_that_was_faster_is_no_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.decide("d" * 32, place.entry().entry_id)
    await place.report(mismatch("e1"))
    monkeypatch.setattr(place.home.rights, "open_case", _fail(StepNotAllowed("open", "open", ())))
    place.keeper.turn()
    assert [] == place.tally.failures


def test_open_cases_are_counted_by_list_once_a_minute(place: Place) -> None:
    place.dispute()
    place.home.put("k1", OWN, list="carrier")
    place.dispute(list_name="carrier")
    place.keeper.turn()
    assert ({"court": 1, "carrier": 1}, {}) == (place.tally.cases, place.tally.overdue)

    told = next(case for case in place.home.rights.cases() if case.list == "carrier")
    place.disputes.tell_source(told.case_id, document="letter", actor="otto")
    place.home.clock.advance(COUNTED_EVERY_S - 1)
    place.home.clock.advance(14 * DAY_S)
    place.keeper.turn()
    assert {"court": 1} == place.tally.overdue


def test_what_is_no_longer_kept_is_removed_once_a_day_and_at_the_start(place: Place) -> None:
    for _ in range(3):
        place.keeper.turn()
    assert [(KEEPER, False)] == place.retention.runs
    place.home.clock.advance(RETAINED_EVERY_S)
    place.keeper.turn()
    assert 2 == len(place.retention.runs)
    assert 6 == place.tally.did["removed"]


@pytest.mark.parametrize(
    ("fault", "part"),
    [(JournalUnavailable(), "journal"), (RegistryUnavailable("gone"), "registry"), (ZeroDivisionError(), "other")],
)
def test_a_fault_of_one_chore_keeps_none_of_the_others_and_is_logged_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, fault: Exception, part: str
) -> None:
    place.dispute()
    place.home.clock.advance(30 * DAY_S)
    with monkeypatch.context() as patch:
        patch.setattr(place.home.journal, "events_after", _fail(fault))
        assert not place.keeper.turn()
        assert not place.keeper.turn()
    assert place.keeper.turn()

    assert [("reports", part)] * 2 == place.tally.failures
    assert EntryStatus.RELEASED == place.entry().status
    assert 1 == len(place.retention.runs)


def test_retention_that_failed_is_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place.retention, "retain", _fail(JournalUnavailable()))
        assert not place.keeper.turn()
    assert place.keeper.turn()
    assert [(KEEPER, False)] == place.retention.runs


def test_the_loop_goes_on_through_faults_until_it_is_told_to_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, tried = threading.Event(), threading.Semaphore(0)

    def fails(*_args: object, **_kwargs: object) -> None:
        tried.release()
        raise VersionMissed(1, 2)

    monkeypatch.setattr(place.home.rights, "undecided", fails)
    running = threading.Thread(target=place.keeper.run, args=(stop, 0.001))
    running.start()
    try:
        assert all(tried.acquire(timeout=20) for _ in range(3))
    finally:
        stop.set()
        running.join(20)
    assert not running.is_alive()
    assert ("lapse", "other") in place.tally.failures


def test_the_keepers_work_is_counted_in_metrics(place: Place) -> None:
    registry = CollectorRegistry()
    keeper = place.another(KeeperMetrics(registry))
    case = place.dispute()
    keeper.turn()
    assert 1 == registry.get_sample_value("portcullis_open_cases", {"list": "court"})

    place.home.clock.advance(30 * DAY_S)
    keeper.turn()
    place.home.clock.advance(COUNTED_EVERY_S)
    keeper.turn()

    assert CaseState.LAPSED == place.case(case.case_id).state
    assert 1 == registry.get_sample_value("portcullis_disputes_lapsed_total")
    assert 0 == registry.get_sample_value("portcullis_open_cases", {"list": "court"})
    assert 0 == registry.get_sample_value("portcullis_source_notices_overdue", {"list": "court"})
    assert 6 == registry.get_sample_value("portcullis_records_removed_total", {"kind": "looks"})
    assert 0 == registry.get_sample_value("portcullis_keeper_failures_total", {"chore": "lapse", "part": "registry"})


def _fail(fault: Exception) -> Callable[..., Any]:
    def raises(*_args: object, **_kwargs: object) -> None:
        raise fault

    return raises
