"""The guard of a list: how much may go, who may approve, and when it is too late."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import ImportNotHeld, NotFound, SecondOperatorRequired
from portcullis.domain.guards import ImportState, check_approver, check_held, check_rules, guard_of, least_guard_of
from portcullis.domain.policies import Disclosure, RestrictedList
from tests.support.policies import a_list, measure

LIST = a_list()


@pytest.mark.parametrize(
    ("in_force", "may_go"),
    [(0, 1000), (999, 1000), (20_000, 1000), (20_019, 1000), (20_020, 1001), (50_000, 2500), (15_000_000, 750_000)],
)
def test_a_list_gives_up_five_percent_or_a_thousand_entries(in_force: int, may_go: int) -> None:
    assert (may_go, may_go) == (guard_of(LIST, in_force), guard_of(None, in_force))


def test_a_list_may_have_a_guard_of_its_own() -> None:
    own = a_list(guard_percent=10, guard_entries=3)
    assert [3, 3, 3, 4, 100] == [guard_of(own, in_force) for in_force in (0, 30, 39, 40, 1000)]
    assert 3 == least_guard_of(own)


@given(st.integers(0, 2**32), st.integers(0, 100), st.integers(0, 5000))
def test_a_guard_is_exact_to_the_entry(in_force: int, percent: int, entries: int) -> None:
    may_go = guard_of(a_list(guard_percent=percent, guard_entries=entries), in_force)
    assert may_go >= entries
    assert may_go == entries or may_go * 100 <= in_force * percent < (may_go + 1) * 100


def test_two_people_look_at_a_held_import() -> None:
    check_approver("ann", "bob")
    for same in ("ann", "Ann"):
        with pytest.raises(SecondOperatorRequired, match="another operator must approve it") as caught:
            check_approver("ann", same)
        assert {"importer": "ann"} == caught.value.metadata


def test_only_a_held_import_is_decided() -> None:
    check_held(7, ImportState.HELD)
    with pytest.raises(NotFound):
        check_held(7, None)
    for state in set(ImportState) - {ImportState.HELD}:
        with pytest.raises(ImportNotHeld, match="import 7 is not held any more: "):
            check_held(7, state)


@pytest.mark.parametrize(
    "now",
    [
        None,
        a_list(max_term_s=LIST.max_term_s - 1),
        a_list(identifier_kinds=LIST.identifier_kinds[1:]),
        a_list("court", measure("other")),
        a_list(legal_basis="another law"),
        a_list(purpose="another purpose"),
        a_list("another"),
    ],
)
def test_rules_that_admit_less_or_otherwise_come_in_the_way(now: RestrictedList | None) -> None:
    with pytest.raises(ImportNotHeld, match="import 7"):
        check_rules(7, LIST, now)


def test_a_list_that_was_not_known_then_comes_in_the_way() -> None:
    with pytest.raises(ImportNotHeld):
        check_rules(7, None, LIST)


@pytest.mark.parametrize(
    "change",
    [{}, {"max_term_s": LIST.max_term_s + 1}, {"disclosure": Disclosure.PUBLIC}, {"title": "x"}, {"shadow": True}],
)
def test_rules_that_admit_the_same_and_more_do_not(change: dict[str, object]) -> None:
    check_rules(7, LIST, msgspec.structs.replace(LIST, **change))
