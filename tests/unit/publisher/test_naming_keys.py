"""Token keys in the head: a snapshot names those that its records stand under, of lists that stay behind too."""

from __future__ import annotations

from portcullis.domain.token_keys import TokenKey
from tests.support.distribution import entry, token
from tests.support.publishers import World
from tests.support.token_rings import FIRST, SECOND, named


def names(world: World) -> tuple[TokenKey, ...]:
    return tuple(world.snapshot().head.token_keys)


def test_the_keys_of_the_reading_are_named_the_newest_first(world: World) -> None:
    world.registry.token_keys = (named(FIRST),)
    world.tick(0)
    assert names(world) == (named(FIRST),)
    world.registry.token_keys = (named(SECOND), named(FIRST))
    world.registry.put(1, entry(1))
    world.tick(0.1)
    assert names(world) == (named(SECOND), named(FIRST))


def test_a_key_is_named_as_long_as_a_list_that_stays_behind_may_stand_under_it(world: World) -> None:
    world.registry.token_keys = (named(SECOND), named(FIRST))
    world.registry.put(1, entry(1))
    world.registry.put(2, entry(2, "bikes"))
    world.tick(0)
    world.unsignable = {"bikes"}
    world.registry.withdraw(2, "bikes")
    world.registry.put(3, entry(2, "bikes"))
    world.registry.token_keys = (named(SECOND),)
    world.tick(0.1)
    assert names(world) == (named(SECOND), named(FIRST))
    world.unsignable = set()
    for _ in range(8):
        world.tick(1)
    assert names(world) == (named(SECOND),)


def test_a_key_that_only_redress_numbers_need_is_named_for_those(world: World) -> None:
    world.registry.token_keys = (named(SECOND), named(FIRST, records=False))
    world.registry.put(1, entry(1))
    world.tick(0)
    assert names(world) == (named(SECOND), named(FIRST, records=False))


def test_lists_begin_anew_where_the_registry_forgot_what_entries_stood_under(world: World) -> None:
    world.registry.put(1, entry(1))
    world.tick(0)
    moved = {(token(9), number): each for (_, number), each in world.registry.entries.items()}
    world.registry.entries = moved
    world.registry.seq += 1
    world.registry.forgotten_up_to = world.registry.seq
    world.tick(0.1)
    assert {token(9)} == set(world.snapshot().entries()["court"])
