"""Cases and their clocks against plain objects, over any order of steps and any passing of time, on SQLite.

The model knows nothing of the rules' code: it says by itself what may be done, when an entry binds, and how each dispute
ends.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from portcullis.domain.disputes import CaseKind, CaseState, DisputeGround, Resolution
from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.errors import SecondPersonRequired, StepNotAllowed
from portcullis.domain.shared_events import EventKind
from portcullis.ports import AftermathDesk, Removed
from portcullis.registry.disputes import Disputes
from portcullis.registry.keeping import Keeper
from portcullis.registry.settling import PartnerReports
from tests.support.databases import clear_registry
from tests.support.decision_records import a_reason, a_record
from tests.support.journals import an_event
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.registry_entries import an_entry, document
from tests.support.rights_homes import RightsHome

DAY_S = 86_400
LISTS = {
    "court": a_list("court", decided_days=30, extension_days=15),
    "carrier": a_list("carrier", decided_days=10, extension_days=0, stays_on_dispute=True),
}
NAMES = (("court", "k1"), ("carrier", "k1"))
PEOPLE = ("ann", "rita", "rob")
WHICH = st.sampled_from(NAMES)
EDITORS = st.sampled_from(["ann", "ann", "ann", "rob"])
REVIEWERS = st.sampled_from(["rita", "rita", "rita", "rob", "ann"])
# "" stands for whoever reviews the case.
ACTORS = st.sampled_from(["", "", "", "rita", "rob", "ann"])
KINDS = st.sampled_from([CaseKind.DISPUTE, CaseKind.DISPUTE, CaseKind.IDENTITY_MISMATCH])


@dataclass
class ModelCase:
    """A case as the model knows it."""

    case_id: str
    kind: CaseKind
    decide_by: int
    stayed: bool
    state: CaseState = CaseState.OPEN
    reviewer: str = ""
    extended: bool = False

    def is_open_at(self, now: float) -> bool:
        """Whether something else than the lapse can be noted."""
        return self.state is CaseState.OPEN and (not self.decide_by or now < self.decide_by)


@dataclass
class ModelEntry:
    """An entry as the model knows it."""

    until: int
    status: EntryStatus = EntryStatus.IN_FORCE
    approvers: set[str] = field(default_factory=set)
    cases: list[ModelCase] = field(default_factory=list)
    was_upheld: bool = False

    def open_cases(self) -> list[ModelCase]:
        """The cases that nobody has closed."""
        return [case for case in self.cases if case.state is CaseState.OPEN]

    def last(self, kind: CaseKind) -> ModelCase | None:
        """The newest case of a kind."""
        return next((case for case in reversed(self.cases) if case.kind is kind), None)

    def ends_at(self) -> int:
        """When it stops to bind if nobody acts any more."""
        return min([self.until, *(case.decide_by for case in self.open_cases() if case.decide_by)])

    def leave(self, status: EntryStatus) -> None:
        """Take it off its list, if it is on it."""
        if self.status in LISTED:
            self.status = status

    def settle_stay(self) -> None:
        """Stay it as long as one open case does."""
        if self.status in LISTED:
            stayed = any(case.stayed for case in self.open_cases())
            self.status = EntryStatus.STAYED if stayed else EntryStatus.IN_FORCE


def has_cases(machine: DisputeMachine) -> bool:
    """Whether there is anything to do in a case."""
    return any(entry.open_cases() for entry in machine.model.values())


class NothingKept:
    """Removes nothing: what is kept how long is another suite's."""

    def retain(self, *, actor: str, dry_run: bool) -> list[Removed]:
        return []


class DisputeMachine(RuleBasedStateMachine):
    """``make`` opens an empty registry."""

    make: Callable[[], RightsHome]

    def __init__(self) -> None:
        super().__init__()
        self.home = self.make()
        for name in PEOPLE:
            self.home.give_key(name)
        home = self.home
        self.desk = Disputes(home.registry, home.registry, home.rights, clock=home.clock)
        reports = PartnerReports(home.registry, home.rights, home.journal, clock=home.clock)
        aftermath: AftermathDesk = NothingKept()  # type: ignore[assignment]
        self.keeper = Keeper(home.rights, reports, aftermath, clock=home.clock, metrics=Uncounted())
        self.numbers = itertools.count(1)
        self.ids: dict[tuple[str, str], int] = {}
        self.model: dict[tuple[str, str], ModelEntry] = {}
        for place, each in enumerate(NAMES):
            self.model[each] = ModelEntry(until=NOW + (60 * DAY_S if place else YEAR_S))
            self.put_in(each, "ann")
            self.ids[each] = self.home.registry.entry(*each).entry_id

    def tried(self, allowed: bool, call: Callable[[], Any], *, second_person: bool = False) -> bool:
        """Do a step; it must be refused where the model does not allow it, and why it must be is the model's to say."""
        if allowed and not second_person:
            call()
            return True
        with pytest.raises(SecondPersonRequired if allowed else StepNotAllowed):
            call()
        return False

    def case_at(self, name: tuple[str, str], kind: CaseKind) -> tuple[ModelEntry, ModelCase] | None:
        """Find the newest case of an entry, of this kind if there is one."""
        entry = self.model[name]
        case = entry.last(kind) or next(iter(entry.cases), None)
        return (entry, case) if case else None

    # --- what can happen --------------------------------------------------------------------------------------------

    @rule(name=WHICH, actor=EDITORS)
    def put(self, name: tuple[str, str], actor: str) -> None:
        self.put_in(name, actor)

    def put_in(self, name: tuple[str, str], actor: str) -> None:
        entry = self.model[name]
        number = next(self.numbers)
        identifiers = (document(1), document(1_000 + number))
        self.home.put_entry(an_entry(name[1], *identifiers, list=name[0], until=entry.until), actor=actor)
        entry.approvers.add(actor)
        if entry.status not in LISTED:
            entry.status = EntryStatus.IN_FORCE
            entry.settle_stay()

    @rule(name=WHICH)
    def withdraw(self, name: tuple[str, str]) -> None:
        if self.model[name].status in LISTED:
            self.home.registry.withdraw_entry(*name, reason="an error", actor="ann")
            self.model[name].status = EntryStatus.WITHDRAWN

    @rule(name=WHICH, by_subject=st.booleans())
    def dispute(self, name: tuple[str, str], by_subject: bool) -> None:
        self.object_to(name, by_subject=by_subject)

    def object_to(self, name: tuple[str, str], *, by_subject: bool) -> None:
        entry, (list_name, key) = self.model[name], name
        by = self.home.session_of(document(1)) if by_subject else "otto"
        reference = f"(2090) Demo {key}" if by_subject else ""
        opened: list[str] = []

        def call() -> None:
            view = self.desk.open_dispute(
                list_name=list_name, case_reference=reference, key=key, ground=DisputeGround.NOT_ME, evidence=(), by=by
            )
            opened.append(view.case.case_id)

        free = all(case.kind is not CaseKind.DISPUTE for case in entry.open_cases())
        if self.tried(entry.status in LISTED and free, call):
            on = LISTS[list_name]
            decide_by = int(self.home.clock.now()) + on.decided_days * DAY_S
            stays = on.stays_on_dispute and not entry.was_upheld
            entry.cases.append(ModelCase(opened[0], CaseKind.DISPUTE, decide_by, stays))
            entry.settle_stay()

    @precondition(lambda self: any(entry.status in LISTED and not entry.open_cases() for entry in self.model.values()))
    @rule()
    def dispute_and_assign(self) -> None:
        name = next(name for name, entry in self.model.items() if entry.status in LISTED and not entry.open_cases())
        self.object_to(name, by_subject=True)
        self.assign_to(name, CaseKind.DISPUTE, "rita")

    @rule(name=WHICH)
    def report_mismatch(self, name: tuple[str, str]) -> None:
        entry, number = self.model[name], next(self.numbers)
        decision_id = f"{number:032x}"
        reason = a_reason(list=name[0], entry_id=self.ids[name])
        self.home.journal.record_decisions([a_record(decision_id, partner="lender", reasons=(reason,))])
        event = an_event(f"e{number}", EventKind.IDENTITY_MISMATCH, decision_id=decision_id)
        asyncio.run(self.home.journal.record_events("lender", [event]))
        assert 1 == self.keeper.take_over_reports()
        cases = [case for case in self.home.rights.cases_of([self.ids[name]]) if case.kind is CaseKind.IDENTITY_MISMATCH]
        known = {case.case_id for case in entry.cases}
        fresh = [case for case in cases if case.case_id not in known]
        reported = any(case.kind is CaseKind.IDENTITY_MISMATCH for case in entry.open_cases())
        assert (entry.status in LISTED and not reported) == bool(fresh)
        entry.cases += [ModelCase(case.case_id, case.kind, 0, stayed=False) for case in fresh]

    @precondition(has_cases)
    @rule(name=WHICH, kind=KINDS, reviewer=REVIEWERS)
    def assign(self, name: tuple[str, str], kind: CaseKind, reviewer: str) -> None:
        self.assign_to(name, kind, reviewer)

    def assign_to(self, name: tuple[str, str], kind: CaseKind, reviewer: str) -> None:
        if found := self.case_at(name, kind):
            entry, case = found
            allowed = case.is_open_at(self.home.clock.now())
            call = lambda: self.desk.assign(case.case_id, reviewer, actor="otto", expected_version=0)  # noqa: E731
            if self.tried(allowed, call, second_person=reviewer in entry.approvers):
                case.reviewer = reviewer

    @precondition(has_cases)
    @rule(name=WHICH, kind=KINDS, actor=ACTORS)
    def stay(self, name: tuple[str, str], kind: CaseKind, actor: str) -> None:
        if found := self.case_at(name, kind):
            entry, case = found
            actor = actor or case.reviewer or "rob"
            allowed = case.is_open_at(self.home.clock.now()) and not case.stayed
            call = lambda: self.desk.stay(case.case_id, why="x", actor=actor, expected_version=0)  # noqa: E731
            if self.tried(allowed, call, second_person=case.reviewer not in {"", actor}):
                case.stayed = True
                entry.settle_stay()

    @precondition(has_cases)
    @rule(name=WHICH, kind=KINDS, actor=ACTORS)
    def lift(self, name: tuple[str, str], kind: CaseKind, actor: str) -> None:
        if found := self.case_at(name, kind):
            entry, case = found
            actor = actor or case.reviewer or "rob"
            allowed = case.is_open_at(self.home.clock.now()) and case.stayed
            second = case.reviewer not in {"", actor} or actor in entry.approvers
            call = lambda: self.desk.lift(case.case_id, why="x", actor=actor, expected_version=0)  # noqa: E731
            if self.tried(allowed, call, second_person=second):
                case.stayed = False
                entry.settle_stay()

    @precondition(has_cases)
    @rule(name=WHICH, kind=KINDS, actor=ACTORS)
    def extend(self, name: tuple[str, str], kind: CaseKind, actor: str) -> None:
        if found := self.case_at(name, kind):
            entry, case = found
            if not actor and not case.reviewer:
                self.assign_to(name, case.kind, "rita")
            actor = actor or case.reviewer or "rob"
            days = LISTS[name[0]].extension_days
            can = bool(case.reviewer and case.decide_by and not case.extended and days)
            second = actor != case.reviewer or actor in entry.approvers
            call = lambda: self.desk.extend(case.case_id, why="x", actor=actor, expected_version=0)  # noqa: E731
            if self.tried(can and case.is_open_at(self.home.clock.now()), call, second_person=second):
                case.extended = True
                case.decide_by += days * DAY_S

    @precondition(has_cases)
    @rule(name=WHICH, kind=KINDS, actor=ACTORS, resolution=st.sampled_from(Resolution))
    def resolve(self, name: tuple[str, str], kind: CaseKind, actor: str, resolution: Resolution) -> None:
        if found := self.case_at(name, kind):
            entry, case = found
            if not actor and not case.reviewer:
                self.assign_to(name, case.kind, "rita")
            actor = actor or case.reviewer or "rob"
            allowed = bool(case.reviewer) and case.is_open_at(self.home.clock.now())
            second = actor != case.reviewer or actor in entry.approvers
            call = lambda: self.desk.resolve(  # noqa: E731
                case.case_id, resolution, why="x", document="", actor=actor, expected_version=0
            )
            if self.tried(allowed, call, second_person=second):
                self.close(entry, case, CaseState.RESOLVED)
                entry.was_upheld |= resolution is Resolution.UPHELD
                if resolution is Resolution.RELEASED:
                    entry.leave(EntryStatus.RELEASED)
                elif resolution is Resolution.WITHDRAWN:
                    # It may be found never to have been right also after it has left its list.
                    entry.status = EntryStatus.IN_ERROR

    @rule(days=st.sampled_from([0.5, 4.0, 9.0, 16.0]))
    def let_time_pass(self, days: float) -> None:
        self.home.clock.advance(days * DAY_S)

    @precondition(lambda self: self.next_deadline() is not None)
    @rule(before=st.sampled_from([1, 0, -1]))
    def come_to_the_next_deadline(self, before: int) -> None:
        deadline = self.next_deadline()
        assert deadline is not None
        self.home.clock.advance(max(0, deadline - before - self.home.clock.now()))

    @rule()
    def keep(self) -> None:
        now, noted = self.home.clock.now(), 0
        for entry in self.model.values():
            for case in entry.open_cases():
                if not case.is_open_at(now):
                    self.close(entry, case, CaseState.LAPSED)
                    entry.leave(EntryStatus.RELEASED)
                    noted += 1
        assert noted == self.keeper.lapse_undecided()
        assert 0 == self.keeper.lapse_undecided()

    def close(self, entry: ModelEntry, case: ModelCase, state: CaseState) -> None:
        case.state, case.stayed = state, False
        entry.settle_stay()

    def next_deadline(self) -> int | None:
        open_cases = [case for entry in self.model.values() for case in entry.open_cases()]
        return min((case.decide_by for case in open_cases if case.decide_by), default=None)

    # --- what is always so ------------------------------------------------------------------------------------------

    @invariant()
    def an_entry_binds_no_longer_than_its_open_disputes_may_take(self) -> None:
        for name, entry in self.model.items():
            stored = self.home.registry.entry(*name)
            assert entry.status == stored.status
            if entry.status in LISTED:
                assert entry.ends_at() == stored.effective_until

    @invariant()
    def the_index_binds_whom_the_model_binds(self) -> None:
        now = self.home.clock.now()
        for list_name in LISTS:
            expected = {
                self.ids[name]
                for name, entry in self.model.items()
                if name in self.ids
                and name[0] == list_name
                and entry.status is EntryStatus.IN_FORCE
                and now < entry.ends_at()
            }
            assert expected == self.home.in_force(list_name)

    @invariant()
    def cases_are_those_of_the_model(self) -> None:
        for entry in self.model.values():
            for case in entry.cases:
                stored = self.home.rights.case(case.case_id)
                told = (stored.state, stored.decide_by, stored.stayed, stored.extended, stored.reviewer)
                assert (case.state, case.decide_by, case.stayed, case.extended, case.reviewer) == told
                assert len(stored.steps) == stored.version
                assert sum(each.step == "extend" for each in stored.steps) <= 1

    def teardown(self) -> None:
        self.keep()
        self.home.close()


class Uncounted:
    """Counts nothing."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args: None


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], RightsHome]:
    first = RightsHome(tmp_path, *LISTS.values())
    first.close()

    def emptied() -> RightsHome:
        clear_registry(first.url)
        return RightsHome(tmp_path, *LISTS.values(), url=first.url)

    return emptied


def test_disputes_run_by_their_clocks(make: Callable[[], RightsHome]) -> None:
    machine = type("Machine", (DisputeMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=16, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)),
    )
