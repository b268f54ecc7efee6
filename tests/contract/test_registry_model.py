"""A registry against plain dicts, over any order of changes; and a follower who knows only what was touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.errors import NotFound, SecondOperatorRequired
from portcullis.domain.policies import Disclosure, Policy
from portcullis.ports import ENDED_KEPT_S, ImportCounts, ImportOutcome, RegistryStore
from tests.support.databases import clear_registry, migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.registry_entries import SEAL_KEY, TOKENISER, an_entry, document, tokens_of

DAY_S = 86_400
# The court gives up no entry without asking, the carriers one at a time.
GUARDS = {"court": 0, "carrier": 1, "secret": 1000}
LISTS = st.sampled_from(["court", "court", "carrier", "carrier", "secret"])
KEYS = st.sampled_from(["k1", "k2", "k3", "k4"])
# An entry is the same with its identifiers in another order, or one of them twice: the model is given one form of each.
CONTENTS = st.tuples(
    st.sets(st.integers(0, 3), max_size=3).map(sorted),
    st.sampled_from(["first", "second"]),
    st.sampled_from([DAY_S, 3 * DAY_S, YEAR_S]),
)
ROWS = st.lists(st.tuples(KEYS, CONTENTS), max_size=4)

Name = tuple[str, str]
"""A list and a key."""


def entry_of(list_name: str, key: str, content: tuple[list[int], str, int]) -> Entry:
    numbers, reference, ends = content
    identifiers = tuple(document(number) for number in numbers)
    return an_entry(key, list=list_name, identifiers=identifiers, case_reference=reference, until=NOW + ends)


def policy_of(*, carrier: Disclosure) -> Policy:
    disclosures = {"court": Disclosure.RESTRICTED, "carrier": carrier, "secret": Disclosure.AUTHORITY_ONLY}
    lists = (
        a_list(name, disclosure=each, guard_percent=0, guard_entries=GUARDS[name]) for name, each in disclosures.items()
    )
    return Policy(lists=tuple(lists))


class Held(NamedTuple):
    """A held import as the model knows it: what it would put and withdraw, what it leaves alone, and when it was held."""

    list_name: str
    put: list[Entry]
    gone: list[Name]
    unchanged: int
    superseded: int
    seq: int


class RegistryMachine(RuleBasedStateMachine):
    """``make`` opens an empty registry; the model holds (entry, in force, number, version, change) by list and key.

    The follower holds the entry ids by token and list, and learns of changes by ``touched`` alone.
    """

    make: Callable[[StillClock], RegistryStore]

    def __init__(self) -> None:
        super().__init__()
        self.clock = StillClock()
        self.registry = self.make(self.clock)
        self.policy = policy_of(carrier=Disclosure.RESTRICTED)
        self.registry.apply_policy(self.policy, actor="ann")
        self.model: dict[Name, tuple[Entry, bool]] = {}
        self.barred: set[Name] = set()
        self.versions: dict[Name, int] = {}
        self.numbers: dict[Name, int] = {}
        self.changed_at: dict[Name, int] = {}
        self.held: dict[int, Held] = {}
        self.head = self.registry.head()
        self.followed: dict[tuple[bytes, str], list[int]] = {}
        self.follows: set[str] = set()
        self.place = (0, 0.0)

    def expect_head(self, changes: int) -> None:
        self.head += changes
        assert self.head == self.registry.head()

    def published(self) -> set[str]:
        return {each.name for each in self.policy.lists if each.disclosure is not Disclosure.AUTHORITY_ONLY}

    def change_of(self, entry: Entry) -> str:
        """Name the count that putting an entry belongs to."""
        known, in_force = self.model.get((entry.list, entry.key), (None, False))
        if in_force and known == entry:
            return "unchanged"
        return "amended" if in_force else "added"

    def put_in_model(self, entry: Entry, seq: int) -> None:
        name = (entry.list, entry.key)
        self.model[name] = (entry, True)
        self.barred.discard(name)
        self.versions[name] = self.versions.get(name, 0) + 1
        self.changed_at[name] = seq

    def drop(self, name: Name, seq: int) -> None:
        self.model[name] = (self.model[name][0], False)
        self.versions[name] += 1
        self.changed_at[name] = seq

    # --- what can happen --------------------------------------------------------------------------------------------

    @rule(list_name=LISTS, key=KEYS, content=CONTENTS)
    def put(self, list_name: str, key: str, content: tuple[list[int], str, int]) -> None:
        entry = entry_of(list_name, key, content)
        changes = self.change_of(entry) != "unchanged"
        _, changed = self.registry.put_entry(entry, actor="ann")
        assert changes == changed
        self.expect_head(changes)
        if changes:
            self.put_in_model(entry, self.head)

    @rule(list_name=LISTS, key=KEYS)
    def withdraw(self, list_name: str, key: str) -> None:
        name = (list_name, key)
        if name not in self.model:
            with pytest.raises(NotFound):
                self.registry.withdraw_entry(list_name, key, reason="performed", actor="ann")
            return
        self.registry.withdraw_entry(list_name, key, reason="performed", actor="ann")
        in_force = self.model[name][1]
        self.expect_head(in_force)
        if in_force:
            self.drop(name, self.head)
            self.barred.add(name)

    @rule(list_name=LISTS, rows=ROWS, split=st.integers(0, 6), full=st.booleans(), commits=st.integers(0, 4))
    def import_rows(self, list_name: str, rows: list[Any], split: int, *, full: bool, commits: int) -> None:
        staged = [entry_of(list_name, key, content) for key, content in rows]
        with self.registry.begin_import(list_name, actor="ann") as session:
            session.stage(staged[:split])
            session.stage(staged[split:])
            # One in five is given up.
            outcome = session.commit(full=full) if commits else None
        if outcome is not None:
            self.expect_outcome(outcome, {entry.key: entry for entry in staged}, list_name, full=full)

    def expect_outcome(self, outcome: ImportOutcome, last: dict[str, Entry], list_name: str, *, full: bool) -> None:
        rows = [entry for entry in last.values() if (list_name, entry.key) not in self.barred]
        put = [entry for entry in rows if self.change_of(entry) != "unchanged"]
        here = [name for name, (_, in_force) in self.model.items() if name[0] == list_name and in_force]
        gone = [name for name in here if full and name[1] not in last]
        counts = self.counts(put, gone, len(rows) - len(put), len(last) - len(rows))
        void = next((number for number, held in self.held.items() if held.list_name == list_name), None)
        assert (counts, void) == (outcome.counts, outcome.voided)
        self.held.pop(void or 0, None)
        lost = self.lost(put, gone)
        assert (lost > GUARDS[list_name]) == (outcome.held is not None)
        if outcome.held is not None:
            self.expect_head(1 + (void is not None))
            in_force = sum(self.model[name][0].until > self.clock.time for name in here)
            assert (lost, in_force, GUARDS[list_name]) == (
                outcome.held.lost,
                outcome.held.in_force,
                outcome.held.guard,
            )
            self.held[outcome.import_id] = Held(list_name, put, gone, counts.unchanged, counts.superseded, self.head)
            return
        self.expect_head(bool(put or gone) + (void is not None))
        self.apply(put, gone)

    def counts(self, put: list[Entry], gone: list[Name], unchanged: int, superseded: int = 0) -> ImportCounts:
        counts = ImportCounts(unchanged=unchanged, withdrawn=len(gone), superseded=superseded)
        for entry in put:
            name = self.change_of(entry)
            setattr(counts, name, getattr(counts, name) + 1)
        return counts

    def lost(self, put: list[Entry], gone: list[Name]) -> int:
        now = self.clock.time
        lost = sum(self.model[name][0].until > now for name in gone)
        for entry in put:
            before, in_force = self.model.get((entry.list, entry.key), (None, False))
            if before is not None and in_force and before.until > now:
                unrecognisable = bool(before.identifiers) and tokens_of(before).isdisjoint(tokens_of(entry))
                lost += unrecognisable or entry.until <= now
        return lost

    def apply(self, put: list[Entry], gone: list[Name]) -> None:
        for entry in put:
            self.put_in_model(entry, self.head)
        for name in gone:
            self.drop(name, self.head)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), content=CONTENTS)
    def change_what_is_held(self, data: st.DataObject, content: tuple[list[int], str, int]) -> None:
        """Put or withdraw one of the entries that a held import would change."""
        held = self.held[data.draw(st.sampled_from(sorted(self.held)))]
        name = data.draw(st.sampled_from([*((entry.list, entry.key) for entry in held.put), *held.gone]))
        if data.draw(st.booleans()):
            self.put(*name, content)
        else:
            self.withdraw(*name)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        import_id = data.draw(st.sampled_from(sorted(self.held)))
        with pytest.raises(SecondOperatorRequired):
            self.registry.approve_import(import_id, actor="ann", purpose="")
        held = self.held.pop(import_id)
        put = [entry for entry in held.put if self.changed_at.get((entry.list, entry.key), 0) <= held.seq]
        gone = [name for name in held.gone if self.changed_at[name] <= held.seq]
        superseded = held.superseded + len(held.put) + len(held.gone) - len(put) - len(gone)
        expected = self.counts(put, gone, held.unchanged, superseded)
        assert expected == self.registry.approve_import(import_id, actor="bob", purpose="").counts
        self.expect_head(1)
        self.apply(put, gone)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        import_id = data.draw(st.sampled_from(sorted(self.held)))
        self.registry.reject_import(import_id, actor="ann", purpose="half a file")
        del self.held[import_id]
        self.expect_head(1)

    @rule(by=st.sampled_from([-2 * DAY_S, -7200, 7200, DAY_S, 2 * DAY_S]))
    def let_time_pass(self, by: int) -> None:
        self.clock.time += by

    @rule(carrier=st.sampled_from([Disclosure.RESTRICTED, Disclosure.AUTHORITY_ONLY]))
    def change_the_policy(self, carrier: Disclosure) -> None:
        policy = policy_of(carrier=carrier)
        self.expect_head(self.registry.apply_policy(policy, actor="ann"))
        self.policy = policy

    # --- what must hold -----------------------------------------------------------------------------------------------

    @rule()
    def follow(self) -> None:
        """Keep the follower up to date; a list that is published anew is taken whole."""
        with self.registry.view() as view:
            published = self.published()
            self.followed = {pair: ids for pair, ids in self.followed.items() if pair[1] in published}
            last = (b"", "")
            for token, name, entries in view.touched(*self.place):
                assert last < (token, name)
                last = (token, name)
                self.followed[token, name] = [entry.entry_id for entry in entries]
            for token, entry in view.index(published - self.follows):
                ids = self.followed.setdefault((token, entry.list), [])
                if entry.entry_id not in ids:
                    ids.append(entry.entry_id)
            self.follows, self.place = published, (view.seq, view.now)
            expected: dict[tuple[bytes, str], list[int]] = {}
            for token, entry in view.index(view.list_numbers):
                expected.setdefault((token, entry.list), []).append(entry.entry_id)
        assert expected == {pair: ids for pair, ids in self.followed.items() if ids}

    @invariant()
    def entries_are_those_of_the_model(self) -> None:
        for list_name in GUARDS:
            stored = self.registry.entries(list_name, after_id=0, limit=100)
            assert [entry.entry_id for entry in stored] == sorted({entry.entry_id for entry in stored})
            expected = {name: held for name, held in self.model.items() if name[0] == list_name}
            assert {name[1] for name in expected} == {entry.key for entry in stored}
            for entry in stored:
                name = (list_name, entry.key)
                wanted, in_force = expected[name]
                assert (in_force, wanted.case_reference) == (entry.status is EntryStatus.IN_FORCE, entry.case_reference)
                assert self.versions[name] == entry.version
                assert self.numbers.setdefault(name, entry.entry_id) == entry.entry_id
            assert sum(in_force for _, in_force in expected.values()) == self.registry.count_in_force(list_name)

    @invariant()
    def the_index_is_that_of_the_model(self) -> None:
        with self.registry.view() as view:
            assert self.head == view.seq
            found = [
                (token, entry.entry_id, entry.list, entry.case_reference) for token, entry in view.index(view.list_numbers)
            ]
        assert sorted(found) == found
        expected = {
            (token, self.numbers[name], entry.list, entry.case_reference)
            for name, (entry, in_force) in self.model.items()
            if in_force and entry.list in self.published() and entry.until > self.clock.time - ENDED_KEPT_S
            for token in tokens_of(entry)
        }
        assert sorted(expected) == found

    @invariant()
    def the_held_imports_are_those_of_the_model(self) -> None:
        told = [(each.import_id, each.list, each.counts.unchanged) for each in self.registry.held_imports()]
        assert [(number, held.list_name, held.unchanged) for number, held in self.held.items()] == told

    def teardown(self) -> None:
        self.follow()
        self.registry.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[StillClock], RegistryStore]]:
    if request.param == "memory":
        yield lambda clock: MemoryRegistry(tokeniser=TOKENISER, clock=clock)
        return

    with migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:

        def emptied(clock: StillClock) -> RegistryStore:
            clear_registry(database_url)
            return SqlRegistry(database_url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)

        yield emptied


def test_a_registry_is_a_dict_with_a_history(
    make: Callable[[StillClock], RegistryStore], request: pytest.FixtureRequest
) -> None:
    # An import on PostgreSQL makes its temporary tables in 20 ms; the steps are the same ones.
    examples = {"memory": 100, "sqlite": 15, "postgresql": 6}[request.node.callspec.params["make"]]
    machine = type("Machine", (RegistryMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
