"""Who follows a registry sees what stands in it, whatever becomes of its entries in between.

A publisher learns of changes by what was touched alone, a partner by the feed alone. Steps of people and of cases, imports,
renewals, redress numbers and erasures come in any order; those that the rules refuse change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.rights.rights import SqlRights
from portcullis.domain import dispute_rules
from portcullis.domain.disputes import Case, CaseKind, DisputeGround, Resolution
from portcullis.domain.entry_life import BULK_STEPS, Step, StepNote
from portcullis.domain.errors import PortcullisError
from portcullis.domain.lapses import lapses_at, with_lapse
from portcullis.domain.tokens import TOKEN_BYTES
from portcullis.ports import BEGINNING, ENDED_KEPT_S, EntryQuery, IndexedEntry, RedressNumber
from tests.support.clocks import HandClock
from tests.support.databases import clear_registry, migrated_database
from tests.support.feeds import STANDS, thought_after
from tests.support.policies import NOW, YEAR_S, a_list, policy
from tests.support.registry_entries import SEAL_KEY, TOKENISER, an_entry, document

DAY_S = 86_400
LISTS = {
    "court": a_list("court", four_eyes=True, decided_days=3, stays_on_dispute=True),
    "carrier": a_list("carrier", lapse_s=10 * DAY_S, decided_days=3),
}
NAMES = st.tuples(st.sampled_from(sorted(LISTS)), st.sampled_from(["k1", "q2"]))
CONTENTS = st.tuples(
    st.sets(st.integers(0, 2), min_size=1, max_size=2).map(sorted),
    st.sampled_from(["first", "second"]),
    st.sampled_from([DAY_S, 3 * DAY_S, YEAR_S]),
)
PEOPLE = st.sampled_from(["ann", "bob"])
SINGLE_STEPS = [each for each in Step if each not in {Step.PUT, Step.RENEW, Step.CLEAR}]
NOTE = StepNote(actor="rev", why="as told")


class Followed(RuleBasedStateMachine):
    """``make`` opens an empty registry with the rights of its subjects."""

    make: Callable[[HandClock], tuple[SqlRegistry, SqlRights]]

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.registry, self.rights = self.make(self.clock)
        self.registry.apply_policy(policy(*LISTS.values()), actor="ann")
        self.indexed: dict[tuple[bytes, str], tuple[IndexedEntry, ...]] = {}
        self.place = (0, 0.0)
        self.progress = BEGINNING._replace(ended_until=int(self.clock.now()))
        self.partner: dict[int, str] = {}
        self.cases: dict[str, Case] = {}
        self.numbers = 0

    # --- what can happen --------------------------------------------------------------------------------------------

    @rule(name=NAMES, content=CONTENTS, actor=PEOPLE, four_eyes=st.booleans())
    def put(self, name: tuple[str, str], content: tuple[list[int], str, int], actor: str, *, four_eyes: bool) -> None:
        numbers, reference, ends = content
        identifiers = tuple(document(number) for number in numbers)
        entry = an_entry(name[1], *identifiers, list=name[0], case_reference=reference, until=NOW + ends, valid_from=NOW - 1)
        entry = with_lapse(entry, LISTS[name[0]], self.clock.now())
        self.registry.put(entry, note=StepNote(actor=actor), four_eyes=four_eyes and LISTS[name[0]].four_eyes)

    @rule(name=NAMES, step=st.sampled_from(SINGLE_STEPS), actor=PEOPLE)
    def take(self, name: tuple[str, str], step: Step, actor: str) -> None:
        with suppress(PortcullisError):
            self.registry.step(*name, step, note=StepNote(actor=actor, why="because"))

    @rule(
        list_name=st.sampled_from(sorted(LISTS)),
        rows=st.dictionaries(st.sampled_from(["k1", "q2"]), CONTENTS, max_size=2),
        full=st.booleans(),
        approved=st.booleans(),
    )
    def import_rows(
        self, list_name: str, rows: dict[str, tuple[list[int], str, int]], *, full: bool, approved: bool
    ) -> None:
        entries = [
            with_lapse(
                an_entry(key, *map(document, numbers), list=list_name, case_reference=reference, until=NOW + ends),
                LISTS[list_name],
                self.clock.now(),
            )
            for key, (numbers, reference, ends) in rows.items()
        ]
        with self.registry.begin_import(list_name, actor="ann") as session:
            session.stage(entries)
            outcome = session.commit(full=full)
        if outcome.held is not None and approved:
            self.registry.approve_import(outcome.import_id, actor="bob", purpose="")

    @rule(step=st.sampled_from(BULK_STEPS), list_name=st.sampled_from(sorted(LISTS)))
    def take_many(self, step: Step, list_name: str) -> None:
        query = EntryQuery(list=list_name)
        planned = self.registry.matching(step, query, actor="bob")
        renewed = lapses_at(LISTS[list_name], self.clock.now()) if step is Step.RENEW else 0
        self.registry.bulk(step, query, digest=planned.digest, note=StepNote(actor="bob"), lapses_at=renewed)

    @rule(list_name=st.sampled_from(sorted(LISTS)), suspend=st.booleans())
    def switch(self, list_name: str, *, suspend: bool) -> None:
        for actor in ("ann", "bob"):
            self.registry.switch_list(list_name, suspend=suspend, note=StepNote(actor=actor))

    @rule(name=NAMES)
    def open_dispute(self, name: tuple[str, str]) -> None:
        with suppress(PortcullisError):
            case, effect = dispute_rules.open_case(
                LISTS[name[0]],
                case_id=f"case-{len(self.cases)}",
                entry_id=self.registry.entry(*name).entry_id,
                kind=CaseKind.DISPUTE,
                ground=DisputeGround.NOT_ME,
                evidence=(),
                actor="sub",
                now=self.clock.now(),
            )
            self.rights.open_case(case, effect, note=NOTE)
            assigned = dispute_rules.assign(case, "rev", approved_by=(), actor="ann", now=self.clock.now())
            self.cases[case.case_id] = self.rights.keep_case(*assigned, note=NOTE)

    @precondition(lambda self: self.cases)
    @rule(data=st.data(), resolution=st.sampled_from([None, *Resolution]))
    def decide(self, data: st.DataObject, resolution: Resolution | None) -> None:
        """Resolve a case, or note that nobody has in time."""
        case = self.cases[data.draw(st.sampled_from(sorted(self.cases)))]
        now = self.clock.now()
        with suppress(PortcullisError):
            if resolution is None:
                after = dispute_rules.lapse(case, actor="keeper", now=now)
            else:
                after = dispute_rules.resolve(
                    case, resolution, why="looked at", document="", approved_by=(), actor="rev", now=now
                )
            self.cases[case.case_id] = self.rights.keep_case(*after, note=NOTE)

    @rule(name=NAMES)
    def issue_a_number(self, name: tuple[str, str]) -> None:
        self.numbers += 1
        number = RedressNumber(
            number_id=f"n{self.numbers}",
            list=name[0],
            key=name[1],
            issued_by="rev",
            issued_at=self.clock.now(),
            case_id="",
            # Every second one has clearances in common with another.
            clearances=tuple(bytes([each] * TOKEN_BYTES) for each in (self.numbers % 2, self.numbers % 200 + 2)),
        )
        with suppress(PortcullisError):
            self.rights.issue_number(number, note=NOTE)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def revoke_a_number(self, data: st.DataObject) -> None:
        with suppress(PortcullisError):
            self.rights.revoke_number(f"n{data.draw(st.integers(1, self.numbers))}", note=NOTE)

    @rule(number=st.integers(0, 2))
    def erase_someone(self, number: int) -> None:
        self.rights.erase_of(TOKENISER.index_tokens(document(number)), note=NOTE)

    @rule(list_name=st.sampled_from(sorted(LISTS)), days=st.sampled_from([0, 1]))
    def forget_who_is_gone(self, list_name: str, days: int) -> None:
        before = self.clock.now() - days * DAY_S
        self.rights.forget_identities(list_name, before, self.rights.old_identities(list_name, before), note=NOTE)

    @rule(days=st.sampled_from([0.1, 1, 2, 6, 30]))
    def let_time_pass(self, days: float) -> None:
        self.clock.advance(days * DAY_S)

    # --- what followers see -------------------------------------------------------------------------------------------

    @rule()
    def publish(self) -> None:
        """Take over what was touched; it comes to what a reader of the whole index sees."""
        with self.registry.view() as view:
            for token, name, entries in view.touched(*self.place):
                self.indexed[token, name] = entries
            self.place = (view.seq, view.now)
            whole: dict[tuple[bytes, str], tuple[IndexedEntry, ...]] = {}
            for token, entry in view.index(view.list_numbers):
                whole[token, entry.list] = (*whole.get((token, entry.list), ()), entry)
            kept = {
                pair: tuple(each for each in entries if each.until > view.now - ENDED_KEPT_S)
                for pair, entries in self.indexed.items()
            }
        assert whole == {pair: entries for pair, entries in kept.items() if entries}

    @rule(at_once=st.sampled_from([1, 3, 1_000]))
    def tell_partners(self, at_once: int) -> None:
        """Read the feed on; at its end partners know who is bound and who is not."""
        with self.registry.changes(self.progress, self.clock.now()) as read:
            assert read.follows
            told = list(read.changes)
        for change, _ in told[:at_once]:
            self.partner[change.entry_id] = thought_after(self.partner.get(change.entry_id), change.kind)
        if len(told) > at_once:
            self.progress = told[at_once - 1][1]
            return
        self.progress = read.then
        stored = (each for name in LISTS for each in self.registry.entries(name, after_id=0, limit=100))
        bound = {
            each.entry_id: STANDS[each.status]
            for each in stored
            if each.status in STANDS and each.effective_until > read.then.ended_until
        }
        assert bound == {entry_id: thought for entry_id, thought in self.partner.items() if thought != "gone"}

    def teardown(self) -> None:
        self.publish()
        self.tell_partners(1_000)
        self.registry.close()
        self.rights.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[HandClock], tuple[SqlRegistry, SqlRights]]]:
    def no_server() -> None:
        raise AssertionError

    with migrated_database("sqlite", "registry", tmp_path, no_server) as url:  # type: ignore[arg-type]

        def emptied(clock: HandClock) -> tuple[SqlRegistry, SqlRights]:
            clear_registry(url)
            registry = SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)
            return registry, SqlRights(url, clock=clock)

        yield emptied


def test_followers_see_what_stands_whatever_becomes_of_entries(
    make: Callable[[HandClock], tuple[SqlRegistry, SqlRights]],
) -> None:
    run_state_machine_as_test(
        type("Machine", (Followed,), {"make": staticmethod(make)}),
        settings=settings(
            max_examples=10,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
