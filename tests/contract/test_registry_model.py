"""A registry against a plain dict, over any order of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.sql.registry import SqlRegistry
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.errors import NotFound
from portcullis.ports import ImportCounts, RegistryStore
from tests.support.databases import clear_registry, migrated_database
from tests.support.imports import StillClock
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry, document, tokens_of

LISTS = st.sampled_from(["court", "carrier", "secret"])
KEYS = st.sampled_from(["k1", "k2", "k3", "k4"])
# An entry is the same with its identifiers in another order, or one of them twice: the model is given one form of each.
CONTENTS = st.tuples(st.sets(st.integers(0, 3), max_size=3).map(sorted), st.sampled_from(["first", "second"]))
ROWS = st.lists(st.tuples(KEYS, CONTENTS), max_size=6)


def entry_of(list_name: str, key: str, content: tuple[list[int], str]) -> Entry:
    numbers, reference = content
    identifiers = tuple(document(number) for number in numbers)
    return an_entry(key, list=list_name, identifiers=identifiers, case_reference=reference)


class RegistryMachine(RuleBasedStateMachine):
    """``make`` opens an empty registry; the model holds (entry, in force, number, version) by list and key."""

    make: Callable[[], RegistryStore]

    def __init__(self) -> None:
        super().__init__()
        self.registry = self.make()
        self.registry.apply_policy(POLICY, actor="ann")
        self.model: dict[tuple[str, str], tuple[Entry, bool]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.head = self.registry.head()

    def expect_head(self, *, changed: bool) -> None:
        self.head += changed
        assert self.head == self.registry.head()

    def amend(self, entry: Entry) -> str:
        """Change the model; gives the name of the count that the change belongs to."""
        name = (entry.list, entry.key)
        known, in_force = self.model.get(name, (None, False))
        if in_force and known == entry:
            return "unchanged"
        self.model[name] = (entry, True)
        self.versions[name] = self.versions.get(name, 0) + 1
        return "amended" if in_force else "added"

    def drop(self, name: tuple[str, str]) -> None:
        self.model[name] = (self.model[name][0], False)
        self.versions[name] += 1

    @rule(list_name=LISTS, key=KEYS, content=CONTENTS)
    def put(self, list_name: str, key: str, content: tuple[list[int], str]) -> None:
        entry = entry_of(list_name, key, content)
        _, changed = self.registry.put_entry(entry, actor="ann")
        assert (self.amend(entry) != "unchanged") == changed
        self.expect_head(changed=changed)

    @rule(list_name=LISTS, key=KEYS)
    def withdraw(self, list_name: str, key: str) -> None:
        name = (list_name, key)
        if name not in self.model:
            with pytest.raises(NotFound):
                self.registry.withdraw_entry(list_name, key, reason="performed", actor="ann")
            return
        self.registry.withdraw_entry(list_name, key, reason="performed", actor="ann")
        in_force = self.model[name][1]
        if in_force:
            self.drop(name)
        self.expect_head(changed=in_force)

    @rule(list_name=LISTS, rows=ROWS, split=st.integers(0, 6), full=st.booleans(), commits=st.integers(0, 4))
    def import_rows(self, list_name: str, rows: list[Any], split: int, *, full: bool, commits: int) -> None:
        staged = [entry_of(list_name, key, content) for key, content in rows]
        with self.registry.begin_import(list_name, actor="ann") as session:
            session.stage(staged[:split])
            session.stage(staged[split:])
            # One in five is given up.
            counts = session.commit(full=full) if commits else None
        if counts is not None:
            expected = self.expected_counts({entry.key: entry for entry in staged}, list_name, full=full)
            assert expected == counts
            self.expect_head(changed=bool(expected.added + expected.amended + expected.withdrawn))

    def expected_counts(self, last: dict[str, Entry], list_name: str, *, full: bool) -> ImportCounts:
        counts = ImportCounts()
        for entry in last.values():
            name = self.amend(entry)
            setattr(counts, name, getattr(counts, name) + 1)
        for name, (_, in_force) in list(self.model.items()):
            if full and in_force and name[0] == list_name and name[1] not in last:
                self.drop(name)
                counts.withdrawn += 1
        return counts

    @invariant()
    def entries_are_those_of_the_model(self) -> None:
        for list_name in ("court", "carrier", "secret"):
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
            found = [(token, entry.entry_id, entry.list, entry.case_reference) for token, entry in view.index()]
        assert sorted(found) == found
        expected = {
            (token, self.numbers[name], entry.list, entry.case_reference)
            for name, (entry, in_force) in self.model.items()
            if in_force and entry.list != "secret"
            for token in tokens_of(entry)
        }
        assert sorted(expected) == found

    def teardown(self) -> None:
        self.registry.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], RegistryStore]]:
    if request.param == "memory":
        yield lambda: MemoryRegistry(tokeniser=TOKENISER, clock=StillClock())
        return

    with migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:

        def emptied() -> RegistryStore:
            clear_registry(database_url)
            return SqlRegistry(database_url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=StillClock())

        yield emptied


def test_a_registry_is_a_dict_with_a_history(make: Callable[[], RegistryStore], request: pytest.FixtureRequest) -> None:
    # An import on PostgreSQL makes its temporary tables in 20 ms; the steps are the same ones.
    examples = 5 if "postgresql" in request.node.name else 15
    machine = type("Machine", (RegistryMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
