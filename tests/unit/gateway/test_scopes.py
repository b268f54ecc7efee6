"""Scopes: on which lists a key may act, looked up where the keys stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from portcullis.domain.errors import InvalidRequest, NotFound, OutsideScope, Unauthenticated
from portcullis.domain.roles import Role
from portcullis.gateway.admission import Caller
from portcullis.gateway.scopes import EVERY_LIST, KEPT_S, Scope, Scopes
from tests.support.clocks import HandClock

RITA = Caller("rita", Role.REVIEWER, "id-rita")


class Keys:
    """Keys' lists, and how often they were looked up."""

    def __init__(self, lists: Sequence[str] | None) -> None:
        self.lists = lists
        self.asked = 0

    def lists_of(self, holder: str, key_id: str) -> Sequence[str]:
        self.asked += 1
        if self.lists is None:
            raise Unauthenticated
        return self.lists


class World:
    """Scopes over keys that a test changes, by a clock moved by hand."""

    def __init__(self, *lists: str) -> None:
        self.keys = Keys(lists)
        self.clock = HandClock()
        self.scopes = Scopes(cast("Any", self.keys), self.clock)


def test_a_key_without_lists_covers_every_list_and_what_concerns_all() -> None:
    for list_name in ("court", ""):
        EVERY_LIST.demand(list_name)
    assert "" == EVERY_LIST.one("")


def test_a_limited_key_covers_its_lists_and_never_what_concerns_all() -> None:
    scope = Scope(("court",))
    scope.demand("court")
    for outside in ("bikes", ""):
        with pytest.raises(OutsideScope) as caught:
            scope.demand(outside)
        assert {"list": outside} == caught.value.metadata


def test_what_an_id_names_is_not_there_for_a_key_that_does_not_cover_its_lists() -> None:
    kept = {"own": ("court",), "outside": ("bikes",), "both": ("court", "bikes"), "untold": ()}

    def lists_of(name: str) -> Sequence[str]:
        if name not in kept:
            raise NotFound("it is not there")
        return kept[name]

    def find(scope: Scope, name: str) -> str:
        return scope.found("case_id", lambda: (lists_of(name), name)[1], lists_of)

    assert "own" == find(Scope(("court",)), "own")
    told = set()
    for name in ("outside", "both", "untold", "nothing"):
        with pytest.raises(NotFound) as caught:
            find(Scope(("court",)), name)
        told.add((caught.value.message, *caught.value.metadata))
    assert 1 == len(told)
    assert list(kept) == [find(EVERY_LIST, name) for name in kept]
    with pytest.raises(NotFound, match="it is not there"):
        find(EVERY_LIST, "nothing")


def test_without_a_list_a_limited_key_is_given_what_is_of_its_own() -> None:
    kept = {"court": [1, 2], "bikes": [3], "moon": [4], "": [1, 2, 3, 4]}
    assert [1, 2, 3] == Scope(("court", "bikes")).each("", kept.__getitem__)
    assert [3] == Scope(("court", "bikes")).each("bikes", kept.__getitem__)
    assert [1, 2, 3, 4] == EVERY_LIST.each("", kept.__getitem__)
    with pytest.raises(OutsideScope):
        Scope(("court", "bikes")).each("moon", kept.__getitem__)


def test_what_is_asked_of_one_list_at_a_time_names_it_where_several_are_covered() -> None:
    assert "court" == Scope(("court",)).one("")
    assert "bikes" == Scope(("court", "bikes")).one("bikes")
    with pytest.raises(InvalidRequest, match=r"list: .* court, bikes"):
        Scope(("court", "bikes")).one("")


def test_an_answer_is_used_again_for_a_moment_and_not_longer() -> None:
    world = World("court")
    assert [("court",)] * 3 == [world.scopes.of(RITA).lists for _ in range(3)]
    assert 1 == world.keys.asked
    world.keys.lists = ("bikes",)
    world.clock.advance(KEPT_S)
    assert ("bikes",) == world.scopes.of(RITA).lists


def test_a_key_that_has_ended_opens_nothing_within_the_moment() -> None:
    world = World("court")
    world.scopes.of(RITA)
    world.keys.lists = None
    world.clock.advance(KEPT_S)
    with pytest.raises(Unauthenticated):
        world.scopes.of(RITA)


async def test_what_is_outside_is_refused_before_anything_is_done() -> None:
    world, done = World("court"), []
    await world.scopes.on(RITA, "court", done.append, "court")
    with pytest.raises(OutsideScope):
        await world.scopes.on(RITA, "bikes", done.append, "bikes")
    assert ["court"] == done


def test_a_subject_has_no_key_to_be_limited_by() -> None:
    world = World("court")
    assert EVERY_LIST == world.scopes.of(Caller("", Role.SUBJECT, "", "pcs_x"))
    assert 0 == world.keys.asked
