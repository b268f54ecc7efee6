"""The registry as it once stood, on every adapter: what a decision was made from can always be looked up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from portcullis.domain.errors import NotFound
from portcullis.domain.policies import Policy
from portcullis.ports import Past, PastEntry, RegistryStore
from tests.support.imports import StillClock
from tests.support.policies import NOW, a_list
from tests.support.registries import ADAPTERS, import_rows, opened_registry
from tests.support.registry_entries import POLICY, an_entry


@pytest.fixture(params=ADAPTERS)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistryStore]:
    with opened_registry(request.param, tmp_path, StillClock(), lambda: request.getfixturevalue("postgres")) as store:
        store.apply_policy(POLICY, actor="ann")
        yield store


def the_entry(past: Past) -> PastEntry:
    (entry,) = past.entries
    return entry


def test_an_entry_is_given_as_it_stood_after_each_of_its_changes(registry: RegistryStore) -> None:
    first = an_entry("k1", measures=("loans",))
    stored, _ = registry.put_entry(first, actor="ann")
    added = registry.head()
    registry.put_entry(msgspec.structs.replace(first, until=NOW + 1000, measures=()), actor="ann")
    amended = registry.head()
    registry.withdraw_entry("court", "k1", reason="performed", actor="ann")
    withdrawn = registry.head()
    registry.put_entry(an_entry("k2"), actor="ann")

    def seen(seq: int) -> tuple[int, tuple[str, ...], bool]:
        entry = the_entry(registry.as_of(seq, {stored.entry_id}))
        return entry.until, entry.measures, entry.in_force

    assert (first.until, ("loans",), True) == seen(added)
    assert (NOW + 1000, (), True) == seen(amended)
    assert (NOW + 1000, (), False) == seen(withdrawn) == seen(registry.head())
    assert () == registry.as_of(added - 1, {stored.entry_id}).entries


def test_everything_of_an_entry_that_deciding_looks_at_is_given(registry: RegistryStore) -> None:
    entry = an_entry("k1")
    stored, _ = registry.put_entry(entry, actor="ann")
    expected = PastEntry(
        list="court",
        entry_id=stored.entry_id,
        case_reference=entry.case_reference,
        valid_from=entry.valid_from,
        until=entry.until,
        in_force=True,
        measures=(),
    )
    assert expected == the_entry(registry.as_of(registry.head(), {stored.entry_id, stored.entry_id + 1000}))


def test_an_import_changes_all_of_its_entries_at_once(registry: RegistryStore) -> None:
    import_rows(registry, [an_entry("k1"), an_entry("k2")])
    before = registry.head()
    import_rows(registry, [an_entry("k1", case_reference="another"), an_entry("k2", case_reference="another")])
    ids = {each.entry_id for each in registry.entries("court", after_id=0, limit=10)}
    assert {"(2090) Demo k1", "(2090) Demo k2"} == {each.case_reference for each in registry.as_of(before, ids).entries}
    assert {"another"} == {each.case_reference for each in registry.as_of(before + 1, ids).entries}


def test_the_policy_is_the_one_that_was_in_force(registry: RegistryStore) -> None:
    first = registry.head()
    registry.put_entry(an_entry("k1"), actor="ann")
    other = Policy(lists=(a_list("court"),))
    registry.apply_policy(other, actor="ann")
    assert Policy() == registry.as_of(0, ()).policy
    assert POLICY == registry.as_of(first, ()).policy == registry.as_of(first + 1, ()).policy
    assert other == registry.as_of(first + 2, ()).policy


def test_a_change_that_the_registry_has_not_come_to_is_not_found(registry: RegistryStore) -> None:
    with pytest.raises(NotFound, match="has not come to"):
        registry.as_of(registry.head() + 1, ())
