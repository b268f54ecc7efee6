"""The life of entries against a plain model, over any order of steps and any passing of time, on every adapter.

Whoever may act tries to; what must hold is asked after every step. Where the rights of subjects are kept as well, disputes
run beside, and their clocks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.rights.rights import SqlRights
from portcullis.domain import dispute_rules
from portcullis.domain.decisions import Outcome, decide
from portcullis.domain.disputes import Case, CaseKind, CaseState, DisputeGround, EntryEffect, Resolution
from portcullis.domain.entries import Entry
from portcullis.domain.entry_life import BULK_STEPS, ReleaseGround, Step, StepNote
from portcullis.domain.errors import (
    NotFound,
    PlanChanged,
    SecondOperatorRequired,
    SecondPersonRequired,
    StepNotAllowed,
    VersionMissed,
)
from portcullis.domain.lapses import lapses_at, with_lapse
from portcullis.domain.plans import Plans
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import join_segments
from portcullis.ports import ENDED_KEPT_S, EntryQuery, EntryStore, PastStep, RightsStore, StoredEntry
from tests.support.clocks import HandClock
from tests.support.databases import clear_registry, migrated_database
from tests.support.life_model import LISTED, Known, LifeModel, Name
from tests.support.policies import NOW, YEAR_S, a_list, policy, published_lists
from tests.support.registry_entries import SEAL_KEY, TOKENISER, an_entry, document, tokens_of

DAY_S = 86_400
LISTS = {
    "court": a_list("court", four_eyes=True, decided_days=3, extension_days=2, stays_on_dispute=True),
    "carrier": a_list("carrier", lapse_s=10 * DAY_S, decided_days=3, extension_days=2),
}
POLICY = policy(*LISTS.values())
NAMES = st.tuples(st.sampled_from(sorted(LISTS)), st.sampled_from(["k1", "q2"]))
PEOPLE = st.sampled_from(["ann", "bob", "cho"])
NUMBERS = range(3)
CONTENTS = st.tuples(
    st.sets(st.sampled_from(NUMBERS), min_size=1, max_size=2).map(sorted),
    st.sampled_from(["first", "second"]),
    st.sampled_from([DAY_S, 3 * DAY_S, YEAR_S]),
)
SINGLE_STEPS = st.sampled_from([Step.APPROVE, Step.REJECT, Step.STAY, Step.LIFT, Step.RELEASE, Step.WITHDRAW, Step.RETRACT])
CASE_STEPS = st.sampled_from(["stay", "lift", "extend", *Resolution, "lapse"])


def check_four_eyes(told: Sequence[PastStep]) -> None:
    """Have every listing and every amendment be the decision of another person than who proposed it."""
    proposer, listed = "", False
    for each in told:
        assert each.step != "put"
        assert each.status not in LISTED or listed or each.step in {"approve", "import"}
        assert each.step != "approve" or each.actor != proposer
        proposer, listed = (each.actor if each.step == "propose" else proposer), each.status in LISTED


class Stores(NamedTuple):
    """A registry, and the rights of subjects in its database where that adapter has them."""

    registry: EntryStore
    rights: RightsStore | None


class LifeMachine(RuleBasedStateMachine):
    """``make`` opens an empty registry."""

    make: Callable[[HandClock], Stores]

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.registry, self.rights = self.make(self.clock)
        self.registry.apply_policy(POLICY, actor="ann")
        self.model = LifeModel()
        self.base = self.registry.head()
        self.numbers: dict[Name, int] = {}
        self.checked: dict[Name, int] = {}
        self.cases = 0
        for name in (("court", "k1"), ("carrier", "k1")):
            self.put(name, ([0], "first", YEAR_S), "ann", None)
        self.take(("court", "k1"), Step.APPROVE, "bob", None)

    def entry_of(self, name: Name, content: tuple[list[int], str, int]) -> Entry:
        numbers, reference, ends = content
        on, identifiers = LISTS[name[0]], tuple(document(number) for number in numbers)
        entry = an_entry(
            name[1], list=name[0], identifiers=identifiers, case_reference=reference, until=NOW + ends, valid_from=NOW - 1
        )
        return with_lapse(entry, on, self.clock.now())

    def note(self, actor: str, word: str = "") -> StepNote:
        return StepNote(actor=actor, why=f"because of {word}", document=f"file {word}")

    # --- what can happen --------------------------------------------------------------------------------------------

    @rule(name=NAMES, content=CONTENTS, actor=PEOPLE, missed=st.sampled_from([None, 0, 0, 0, 1]))
    def put(self, name: Name, content: tuple[list[int], str, int], actor: str, missed: int | None) -> None:
        entry, version = self.entry_of(name, content), self.model.version(name)
        expected = 0 if missed is None else version + missed
        if missed:
            with pytest.raises(VersionMissed) as fault:
                self.registry.put(entry, note=self.note(actor), four_eyes=False, expected_version=expected)
            assert str(version) == fault.value.metadata["present"]
            return
        four_eyes = LISTS[name[0]].four_eyes
        outcome = self.registry.put(entry, note=self.note(actor), four_eyes=four_eyes, expected_version=expected)
        assert self.model.put(entry, actor, four_eyes=four_eyes) == (outcome.changed, outcome.pending)

    @rule(name=NAMES, step=SINGLE_STEPS, actor=PEOPLE, missed=st.sampled_from([None, 0, 0, 0, 1]))
    def take(self, name: Name, step: Step, actor: str, missed: int | None) -> None:
        known, version = self.model.entries.get(name), self.model.version(name)
        expected = 0 if missed is None else version + missed
        note = msgspec.structs.replace(self.note(actor), ground=ReleaseGround.PAID if step is Step.RELEASE else "")

        def run() -> None:
            self.registry.step(*name, step, note=note, expected_version=expected)

        if known is None:
            with pytest.raises(NotFound):
                run()
        elif missed:
            with pytest.raises(VersionMissed):
                run()
        elif not known.may(step) and not (step is Step.RETRACT and known.status in LISTED):
            with pytest.raises(StepNotAllowed) as fault:
                run()
            assert (known.status, ", ".join(known.legal)) == (
                fault.value.metadata["status"],
                fault.value.metadata["allowed"],
            )
        elif step is Step.APPROVE and known.proposer == actor:
            with pytest.raises(SecondPersonRequired):
                run()
        else:
            run()
            self.model.step(known, step, actor)

    @precondition(lambda self: self.model.entries)
    @rule(data=st.data(), actor=PEOPLE)
    def take_a_legal_step(self, data: st.DataObject, actor: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.entries)))
        known = self.model.entries[name]
        others = {"put", "renew", "clear"}
        legal = sorted({*known.legal} - others | ({"retract"} if known.status in LISTED else set()))
        if legal:
            self.take(name, Step(data.draw(st.sampled_from(legal))), actor, 0)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), step=st.sampled_from([Step.APPROVE, Step.APPROVE, Step.REJECT]), actor=PEOPLE)
    def decide_about_a_proposal(self, data: st.DataObject, step: Step, actor: str) -> None:
        self.take(data.draw(st.sampled_from(self.waiting())), step, actor, 0)

    def waiting(self) -> list[Name]:
        return [name for name, known in self.model.entries.items() if known.waiting or known.status == "proposed"]

    @rule(data=st.data(), rows=st.dictionaries(NAMES, CONTENTS, max_size=3), full=st.booleans(), actor=PEOPLE)
    def import_rows(self, data: st.DataObject, rows: dict[Name, Any], actor: str, *, full: bool) -> None:
        list_name = data.draw(st.sampled_from(sorted(LISTS)))
        staged = [self.entry_of(name, content) for name, content in rows.items() if name[0] == list_name]
        put, gone, counts = self.model.compare(staged, list_name, full=full)
        with self.registry.begin_import(list_name, actor=actor) as session:
            session.stage(staged)
            outcome = session.commit(full=full)
        held = bool(put) and LISTS[list_name].four_eyes
        assert (counts, held) == (outcome.counts, outcome.held is not None)
        if held:
            self.model.change()
            self.decide_held(outcome.import_id, put, gone, importer=actor, by=data.draw(PEOPLE))
        elif put or gone:
            self.model.change()
            self.model.import_all(put, gone, actor)

    def decide_held(self, import_id: int, put: list[Entry], gone: list[Name], *, importer: str, by: str) -> None:
        if by == importer:
            with pytest.raises(SecondOperatorRequired):
                self.registry.approve_import(import_id, actor=by, purpose="")
            self.registry.reject_import(import_id, actor=by, purpose="")
            self.model.change()
            return
        self.registry.approve_import(import_id, actor=by, purpose="")
        self.model.change()
        self.model.import_all(put, gone, by)

    @rule(
        step=st.sampled_from(BULK_STEPS),
        list_name=st.sampled_from(sorted(LISTS)),
        prefix=st.sampled_from(["", "k"]),
        actor=PEOPLE,
        meanwhile=st.booleans(),
        data=st.data(),
    )
    def take_many(
        self, step: Step, list_name: str, prefix: str, actor: str, data: st.DataObject, *, meanwhile: bool
    ) -> None:
        query = EntryQuery(list=list_name, key_prefix=prefix)
        found, skipped = self.model.matching(step, list_name, prefix, actor)
        plan = self.registry.matching(step, query, actor=actor)
        assert (len(found), skipped) == (plan.count, plan.skipped)
        assert {each.entry.key for each in found} == {each.key for each in plan.samples}
        planned = [(each.entry.key, len(each.steps)) for each in found]
        if meanwhile:
            self.put((list_name, "k1"), data.draw(CONTENTS), actor, None)
        found, _ = self.model.matching(step, list_name, prefix, actor)
        renewed = lapses_at(LISTS[list_name], self.clock.now()) if step is Step.RENEW else 0

        def run() -> int:
            return self.registry.bulk(step, query, digest=plan.digest, note=self.note(actor), lapses_at=renewed)

        if sorted(planned) != sorted((each.entry.key, len(each.steps)) for each in found):
            with pytest.raises(PlanChanged):
                run()
            return
        assert len(found) == run()
        if found:
            self.model.change()
            self.model.bulk(step, found, actor, renewed)

    @rule(list_name=st.sampled_from(sorted(LISTS)), suspend=st.booleans(), actor=PEOPLE)
    def switch(self, list_name: str, actor: str, *, suspend: bool) -> None:
        self.registry.switch_list(list_name, suspend=suspend, note=self.note(actor))
        self.model.switch(list_name, actor, suspend=suspend)
        told = self.registry.list_switch(list_name)
        expected = (list_name in self.model.suspended, self.model.asked.get(list_name, ""))
        assert expected == (told.suspended, told.requested_by)

    @rule(by=st.sampled_from([3600, DAY_S, 2 * DAY_S, 6 * DAY_S]))
    def let_time_pass(self, by: int) -> None:
        self.clock.advance(by)

    # --- disputes -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.rights is not None)
    @rule(name=NAMES)
    def open_dispute(self, name: Name) -> None:
        assert self.rights is not None
        known = self.model.entries.get(name)
        if known is None or known.status not in LISTED or (known.case and known.case.state is CaseState.OPEN):
            return
        self.cases += 1
        case, effect = dispute_rules.open_case(
            LISTS[name[0]],
            case_id=f"case-{self.cases}",
            entry_id=self.numbers[name],
            kind=CaseKind.DISPUTE,
            ground=DisputeGround.NOT_ME,
            evidence=(),
            actor="sub",
            now=self.clock.now(),
        )
        self.rights.open_case(case, effect, note=self.note("sub"))
        self.model.affect(known, case, effect, "sub")
        self.keep(known, *dispute_rules.assign(case, "rev", approved_by=(), actor="ann", now=self.clock.now()))

    @precondition(lambda self: self.open_cases())
    @rule(data=st.data(), what=CASE_STEPS)
    def go_on_with_a_case(self, data: st.DataObject, what: str) -> None:
        """Take a step of a case as its reviewer, or as the keeper once its time has come."""
        assert self.rights is not None
        known = self.model.entries[data.draw(st.sampled_from(self.open_cases()))]
        case = known.case
        assert case is not None
        try:
            after, effect = self.case_step(case, LISTS[known.entry.list], what)
        except StepNotAllowed:
            # The rules of cases have a suite of their own.
            return
        self.keep(known, after, effect)

    def case_step(self, case: Case, on: Any, what: str) -> tuple[Case, EntryEffect | None]:
        now = self.clock.now()
        if what in {"stay", "lift", "extend"}:
            by: dict[str, Any] = {"why": "a look", "actor": "rev", "now": now}
            if what == "stay":
                return dispute_rules.stay(case, **by)
            if what == "lift":
                return dispute_rules.lift(case, approved_by=(), **by)
            return dispute_rules.extend(case, on, approved_by=(), **by)
        if what == "lapse":
            return dispute_rules.lapse(case, actor="keeper", now=now)
        return dispute_rules.resolve(
            case, Resolution(what), why="looked at", document="", approved_by=(), actor="rev", now=now
        )

    def keep(self, known: Known, case: Case, effect: EntryEffect | None) -> Case:
        assert self.rights is not None
        actor = case.steps[-1].actor
        self.rights.keep_case(case, effect, note=self.note(actor))
        self.model.affect(known, case, effect, actor)
        return case

    def open_cases(self) -> list[Name]:
        cases = ((name, known.case) for name, known in self.model.entries.items())
        return [name for name, case in cases if case is not None and case.state is CaseState.OPEN]

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def the_registry_is_that_of_the_model(self) -> None:
        stored = {name: self.registry.entries(name, after_id=0, limit=100) for name in LISTS}
        self.statuses_versions_and_ends_are_those_of_the_model(stored)
        self.every_version_is_told_with_its_step_and_nobody_lists_alone_where_it_takes_two()
        self.what_waits_is_known_with_who_proposed_it()
        self.who_is_refused_is_who_the_model_says_and_is_told_why(stored)

    def statuses_versions_and_ends_are_those_of_the_model(self, entries: Mapping[str, Sequence[StoredEntry]]) -> None:
        assert self.base + self.model.head == self.registry.head()
        for list_name in LISTS:
            stored = {each.key: each for each in entries[list_name]}
            known = {name[1]: each for name, each in self.model.entries.items() if name[0] == list_name}
            assert known.keys() == stored.keys()
            assert sum(each.status in LISTED for each in known.values()) == self.registry.count_in_force(list_name)
            for key, each in known.items():
                told = stored[key]
                assert self.numbers.setdefault((list_name, key), told.entry_id) == told.entry_id
                expected = (each.status, len(each.steps), each.entry.case_reference, each.entry.until)
                assert expected == (told.status, told.version, told.case_reference, told.until)
                expected_ends = (each.ends, each.lapses_at, each.decide_by, each.waiting is not None)
                assert expected_ends == (told.effective_until, told.lapses_at, told.decide_by, told.pending)

    def every_version_is_told_with_its_step_and_nobody_lists_alone_where_it_takes_two(self) -> None:
        for name, known in self.model.entries.items():
            if self.checked.get(name) == len(known.steps):
                continue
            self.checked[name] = len(known.steps)
            told = self.registry.history(*name)
            assert list(range(1, len(known.steps) + 1)) == [each.version for each in told]
            assert known.steps == [(each.step, each.status, each.actor, each.effective_until) for each in told]
            assert known.entry.identifiers == self.registry.identity(*name).identifiers
            if LISTS[name[0]].four_eyes:
                check_four_eyes(told)

    def what_waits_is_known_with_who_proposed_it(self) -> None:
        waits = [
            (known.proposed_by_change, *name, known.waiting is not None, known.proposer, len(known.steps))
            for name, known in ((name, self.model.entries[name]) for name in self.waiting())
        ]
        told = [(each.list, each.key, each.amendment, each.proposer, each.version) for each in self.registry.proposals()]
        assert [each[1:] for each in sorted(waits)] == told

    def who_is_refused_is_who_the_model_says_and_is_told_why(self, entries: Mapping[str, Sequence[StoredEntry]]) -> None:
        now = self.clock.now()
        stored_entries = {each.entry_id: each for found in entries.values() for each in found}
        with self.registry.view() as view:
            pairs, asked = list(view.index(view.list_numbers)), view.policy
            numbers = view.list_numbers
        assert self.model.suspended == {each.name for each in asked.lists if each.suspended}
        expected = {
            (token, self.numbers[name], known.status == "stayed", known.ends)
            for name, known in self.model.entries.items()
            if known.status in LISTED and known.ends > now - ENDED_KEPT_S
            for token in tokens_of(known.entry)
        }
        assert expected == {(token, each.entry_id, each.stayed, each.until) for token, each in pairs}
        records: defaultdict[bytes, list[tuple[int, Record]]] = defaultdict(list)
        for token, each in pairs:
            stored = stored_entries[each.entry_id]
            assert all((each.legal_basis, each.case_reference, each.redress, each.until, stored.authority, stored.purpose))
            number = numbers[each.list]
            record = Record(number, 0, each.until, each.entry_id, each.case_reference, each.valid_from, stayed=each.stayed)
            records[token].append((number, record))
        editions = tuple(msgspec.structs.replace(each, number=numbers[each.name]) for each in published_lists(asked))
        plan = Plans(asked, editions).plan("lender", "loan.apply", "lending", now)
        for number in NUMBERS:
            self.check(plan, records, document(number), now)

    def check(self, plan: Any, records: dict[bytes, list[tuple[int, Record]]], identifier: Any, now: float) -> None:
        """Refuse exactly the holders of what binds now."""
        found = {
            token: join_segments(
                (number, encode_body(record for other, record in each if other == number))
                for number in sorted({number for number, _ in each})
            )
            for token, each in records.items()
        }
        probes: list[tuple[bytes, bool]] = []
        TOKENISER.probes(identifier.kind, identifier.value, identifier.country, probes)
        verdict = decide(plan, probes, {"amount": 0.0, "divisor": 1}, found.get, now, frozenset())
        binding = {
            self.numbers[name]
            for name, known in self.model.entries.items()
            if identifier in known.entry.identifiers and known.binds(now) and name[0] not in self.model.suspended
        }
        assert (Outcome.RESTRICT if binding else Outcome.ALLOW) == verdict.outcome
        assert binding == {hit.record.entry_id for hit in verdict.hits if hit.record is not None}

    def teardown(self) -> None:
        self.registry.close()
        if isinstance(self.rights, SqlRights):
            self.rights.close()


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[HandClock], Stores]]:
    # PostgreSQL takes the same steps in the suite of examples, test_registry_life; a machine's hundreds are too slow there.
    if request.param == "memory":
        yield lambda clock: Stores(MemoryRegistry(tokeniser=TOKENISER, clock=clock), None)
        return

    with migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as url:

        def emptied(clock: HandClock) -> Stores:
            clear_registry(url)
            registry = SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)
            return Stores(registry, SqlRights(url, clock=clock))

        yield emptied


def test_entries_live_as_the_rules_say(make: Callable[[HandClock], Stores], request: pytest.FixtureRequest) -> None:
    examples = {"memory": 80, "sqlite": 12}[request.node.callspec.params["make"]]
    machine = type("Machine", (LifeMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=35,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
