"""What a view of a registry shows the publisher, on every adapter: lists and their numbers, the index, what is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portcullis.domain.entries import Entry
from portcullis.domain.policies import Disclosure, Policy
from portcullis.ports import ENDED_KEPT_S, RegistryStore
from tests.support.imports import StillClock
from tests.support.policies import NOW, a_list
from tests.support.registries import ADAPTERS, import_rows, opened_registry
from tests.support.registry_entries import POLICY, an_entry, document, tokens_of

Touched = dict[tuple[str, str], list[str]]
"""The case references under each (token, list) that was touched."""


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(params=ADAPTERS)
def registry(request: pytest.FixtureRequest, tmp_path: Path, clock: StillClock) -> Iterator[RegistryStore]:
    with opened_registry(request.param, tmp_path, clock, lambda: request.getfixturevalue("postgres")) as store:
        store.apply_policy(POLICY, actor="ann")
        yield store


def numbers(registry: RegistryStore) -> dict[str, int]:
    with registry.view() as view:
        return dict(view.list_numbers)


def touched(registry: RegistryStore, after: int, now_then: float = NOW) -> Touched:
    with registry.view() as view:
        found = [(token, name, [each.case_reference for each in now]) for token, name, now in view.touched(after, now_then)]
    pairs = [(token, name) for token, name, _ in found]
    assert sorted(set(pairs)) == pairs
    return {(token.hex(), name): references for token, name, references in found}


def under(entry: Entry, *references: str) -> Touched:
    """What is expected under each token of an entry; by default its own case reference."""
    return {(token.hex(), entry.list): list(references) for token in tokens_of(entry)}


def put(registry: RegistryStore, entry: Entry) -> Entry:
    registry.put_entry(entry, actor="ann")
    return entry


# --- the numbers of the lists ------------------------------------------------------------


def test_every_list_of_the_policy_has_a_number_of_16_bits(registry: RegistryStore) -> None:
    found = numbers(registry)
    assert {"court", "carrier", "secret"} == found.keys()
    assert 3 == len(set(found.values()))
    assert all(0 < number < 2**16 for number in found.values())


def test_a_number_stays_with_its_list_and_is_never_given_to_another(registry: RegistryStore) -> None:
    first = numbers(registry)
    registry.apply_policy(Policy(lists=(a_list("new"), a_list("court"))), actor="ann")
    second = numbers(registry)
    registry.apply_policy(POLICY, actor="ann")
    assert ({"new", "court"}, first["court"]) == (second.keys(), second["court"])
    assert second["new"] not in first.values()
    assert first == numbers(registry)


# --- the index ------------------------------------------------------------


def test_the_index_holds_the_lists_that_are_asked_for(registry: RegistryStore) -> None:
    for name in ("court", "carrier", "secret", "unknown"):
        put(registry, an_entry("k1", document(1), list=name))
    with registry.view() as view:
        for asked, found in (
            ({"court"}, {"court"}),
            ({"court", "carrier"}, {"court", "carrier"}),
            (view.list_numbers, {"court", "carrier"}),
            ({"secret", "unknown", "nowhere"}, set()),
            ((), set()),
        ):
            assert found == {entry.list for _, entry in view.index(asked)}


def test_a_small_list_among_large_ones_is_indexed_like_any_other(registry: RegistryStore) -> None:
    import_rows(registry, [an_entry(f"k{number}", document(number)) for number in range(300)])
    few = [an_entry(f"k{number}", document(number // 2), list="carrier") for number in range(20)]
    import_rows(registry, few, list_name="carrier")
    registry.withdraw_entry("carrier", "k7", reason="performed", actor="ann")
    with registry.view() as view:
        found = list(view.index({"carrier"}))
        everything = [pair for pair in view.index(view.list_numbers) if pair[1].list == "carrier"]
    assert 2 * 19 == len(found)
    assert everything == found


def test_an_entry_that_has_ended_stays_in_the_index_for_a_day(registry: RegistryStore, clock: StillClock) -> None:
    put(registry, an_entry("k1", until=NOW + 10))
    for later, entries in ((10, 2), (10 + ENDED_KEPT_S - 1, 2), (10 + ENDED_KEPT_S, 0)):
        clock.time = NOW + later
        with registry.view() as view:
            assert (NOW + later, entries) == (view.now, len(list(view.index({"court"}))))


# --- the changes ------------------------------------------------------------


def test_a_view_says_when_each_change_was_made(registry: RegistryStore, clock: StillClock) -> None:
    clock.time = NOW + 1.25
    put(registry, an_entry("one"))
    with registry.view() as view:
        told = [view.changed_at(seq) for seq in (view.seq - 1, view.seq, view.seq + 1, 0)]
    assert [NOW, NOW + 1.25, 0.0, 0.0] == told


# --- what is touched ------------------------------------------------------------


def test_nothing_is_touched_when_nothing_has_changed(registry: RegistryStore) -> None:
    put(registry, an_entry("k1"))
    assert {} == touched(registry, registry.head())


def test_a_new_entry_touches_each_of_its_tokens(registry: RegistryStore) -> None:
    head = registry.head()
    entry = put(registry, an_entry("k1", document(1), document(2, "XB")))
    assert under(entry, entry.case_reference) == touched(registry, head)
    assert {} == touched(registry, registry.head())


def test_an_amended_entry_touches_what_it_was_found_by_and_what_it_is(registry: RegistryStore) -> None:
    before = put(registry, an_entry("k1", document(1), case_reference="before"))
    head = registry.head()
    after = put(registry, an_entry("k1", document(2), case_reference="after"))
    assert under(before) | under(after, "after") == touched(registry, head)


def test_a_withdrawn_entry_leaves_nothing_under_its_tokens(registry: RegistryStore) -> None:
    entry = put(registry, an_entry("k1"))
    head = registry.head()
    registry.withdraw_entry("court", "k1", reason="performed", actor="ann")
    assert under(entry) == touched(registry, head)


def test_a_version_that_came_and_went_is_passed_over(registry: RegistryStore) -> None:
    before = put(registry, an_entry("k1", document(1)))
    head = registry.head()
    put(registry, an_entry("k1", document(2)))
    registry.withdraw_entry("court", "k1", reason="performed", actor="ann")
    put(registry, an_entry("k1", document(3)))
    now = put(registry, an_entry("k1", document(4), case_reference="now"))
    assert under(before) | under(now, "now") == touched(registry, head)


def test_an_entry_that_came_and_went_touches_nothing(registry: RegistryStore) -> None:
    head = registry.head()
    put(registry, an_entry("k1"))
    registry.withdraw_entry("court", "k1", reason="performed", actor="ann")
    assert {} == touched(registry, head)


def test_a_token_of_several_entries_gives_those_of_the_changed_list_alone(registry: RegistryStore) -> None:
    shared = document(1)
    put(registry, an_entry("k1", shared, case_reference="first"))
    put(registry, an_entry("k1", shared, list="carrier", case_reference="elsewhere"))
    head = registry.head()
    second = put(registry, an_entry("k2", shared, case_reference="second"))
    assert under(second, "first", "second") == touched(registry, head)
    registry.withdraw_entry("court", "k1", reason="performed", actor="ann")
    registry.withdraw_entry("carrier", "k1", reason="performed", actor="ann")
    elsewhere = {(token.hex(), "carrier"): list[str]() for token in tokens_of(second)}
    assert under(second, "second") | elsewhere == touched(registry, head)


def test_an_import_touches_what_it_changes(registry: RegistryStore) -> None:
    import_rows(registry, [an_entry(f"k{number}", document(number)) for number in range(5)])
    head = registry.head()
    amended = an_entry("k1", document(11), case_reference="amended")
    added = an_entry("k9", document(9), case_reference="added")
    import_rows(registry, [an_entry("k0", document(0)), amended, added])
    gone = [under(an_entry(f"k{number}", document(number))) for number in (1, 2, 3, 4)]
    expected = under(amended, "amended") | under(added, "added")
    for each in gone:
        expected |= each
    assert expected == touched(registry, head)


def test_what_never_leaves_the_registry_touches_nothing(registry: RegistryStore) -> None:
    head = registry.head()
    put(registry, an_entry("k1", list="secret"))
    put(registry, an_entry("k1", list="unknown"))
    registry.apply_policy(Policy(lists=(a_list("court", disclosure=Disclosure.AUTHORITY_ONLY),)), actor="ann")
    put(registry, an_entry("k1"))
    assert {} == touched(registry, head)


def test_an_entry_is_touched_when_it_leaves_the_index_by_age(registry: RegistryStore, clock: StillClock) -> None:
    entry = put(registry, an_entry("k1", until=NOW + 10))
    head, leaves = registry.head(), NOW + 10 + ENDED_KEPT_S
    for then, now, expected in (
        (NOW, leaves - 1, {}),
        (NOW, leaves, under(entry)),
        (leaves - 1, leaves, under(entry)),
        (leaves, leaves + 1, {}),
    ):
        clock.time = now
        assert expected == touched(registry, head, then), (then, now)


def test_an_entry_is_touched_when_a_clock_that_was_ahead_is_set_right(registry: RegistryStore, clock: StillClock) -> None:
    entry = put(registry, an_entry("k1", until=NOW + 10))
    head = registry.head()
    clock.time = NOW
    assert under(entry, entry.case_reference) == touched(registry, head, NOW + 2 * ENDED_KEPT_S)


def test_thousands_of_changes_come_in_order_and_once_each(registry: RegistryStore) -> None:
    rows = [an_entry(f"k{number}", document(number // 3), case_reference=str(number)) for number in range(1500)]
    head = registry.head()
    import_rows(registry, rows)
    found = touched(registry, head)
    assert 1000 == len(found)
    assert {3} == {len(references) for references in found.values()}


def test_what_is_touched_is_that_of_one_moment(registry: RegistryStore) -> None:
    head = registry.head()
    put(registry, an_entry("k1"))
    with registry.view() as view:
        before = list(view.touched(head, view.now))
        put(registry, an_entry("k1", document(7)))
        registry.withdraw_entry("court", "k1", reason="performed", actor="ann")
        assert before == list(view.touched(head, view.now))
