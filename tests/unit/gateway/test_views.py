"""Views: what a worker answers from, and what of it survives a new version."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import structlog

from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.domain.editions import Edition, Legal
from portcullis.domain.errors import NoSnapshot
from portcullis.domain.token_keys import TokenKey
from portcullis.gateway.views import CompiledEdition, Held, View
from tests.support.clocks import HandClock
from tests.support.gateways import TOKENISER, credential, edition_of, installed
from tests.support.policies import NOW, a_list, measure, policy
from tests.support.token_rings import FIRST, SECOND, Ring, named

HOUR = 3600


class World:
    """A worker's side of a replica, on a clock moved by hand."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.writer = MemoryReplicaWriter(self.clock)
        self.replica = MemoryReplica(self.writer, self.clock)
        self.ring = Ring(FIRST)
        self.held = Held(self.replica, self.clock, tokeniser=self.ring)

    async def publish(self, edition: Edition) -> View:
        installed(self.writer, edition, {})
        return await self.tick()

    async def tick(self) -> View:
        await self.held.refresh()
        return self.held.present()


@pytest.fixture
def world() -> World:
    return World()


def an_edition(version: int = 1, **changes: Any) -> Edition:
    """Every call gives objects of its own, as reading a replica does."""
    lists = (a_list("court", measure("loans")), a_list("carriers", measure("flights")))
    values: dict[str, Any] = {"published_at": float(NOW), "credentials": (credential("key", "lender"),)}
    return edition_of(version, policy(*lists), {}, **(values | changes))


def renumbered(edition: Edition, **changes: Any) -> Edition:
    first, *others = edition.lists
    return msgspec.structs.replace(edition, lists=(msgspec.structs.replace(first, **changes), *others))


def test_before_the_first_version_there_is_no_view(world: World) -> None:
    with pytest.raises(NoSnapshot):
        world.held.present()


async def test_a_version_that_changes_records_alone_keeps_the_plans_the_questions_and_the_callers(world: World) -> None:
    first = await world.publish(an_edition(1))
    second = await world.publish(renumbered(an_edition(2), version=2, stalled_at=NOW - 5.0))
    assert (1, 2) == (first.version, second.version)
    assert first.plans is second.plans
    assert first.tails is second.tails
    assert first.callers is second.callers


@pytest.mark.parametrize(
    "changes", [{"number": 9}, {"measures": ("gone", "loans")}, {"measures": ("loans", "new")}], ids=repr
)
def test_other_numbers_or_bits_make_other_plans_though_the_policy_is_the_same(changes: dict[str, Any]) -> None:
    first = CompiledEdition(an_edition(1), TOKENISER)
    second = CompiledEdition(renumbered(an_edition(2), **changes), TOKENISER, first)
    assert first.plans is not second.plans
    assert first.tails is not second.tails


def test_another_policy_makes_other_plans() -> None:
    first = CompiledEdition(an_edition(1), TOKENISER)
    other = edition_of(2, policy(a_list("court", measure("loans", when="amount > 1.0")), a_list("carriers")), {})
    fewer = edition_of(2, policy(a_list("court", measure("loans"))), {})
    assert first.plans is not CompiledEdition(other, TOKENISER, first).plans
    assert first.plans is not CompiledEdition(fewer, TOKENISER, first).plans


def test_other_keys_make_other_callers_and_no_other_plans() -> None:
    first = CompiledEdition(an_edition(1), TOKENISER)
    second = CompiledEdition(an_edition(2, credentials=()), TOKENISER, first)
    assert first.callers is not second.callers
    assert first.plans is second.plans


def test_what_a_record_rests_on_is_found_by_its_lists_number() -> None:
    edition = renumbered(an_edition(1), number=700, legal=(Legal("Act A", "https://a.example"),))
    legal = CompiledEdition(edition, TOKENISER).legal
    assert ("Act A", "Demonstration Act, section 1") == (legal[700][0].legal_basis, legal[2][0].legal_basis)


async def test_a_view_is_made_anew_at_each_tick_and_never_changed(world: World) -> None:
    first = await world.publish(an_edition(1))
    world.clock.advance(HOUR + 1)
    second = await world.tick()
    assert (0.0, frozenset[int]()) == (first.age_s, first.stale)
    assert (HOUR + 1, frozenset({1, 2})) == (second.age_s, second.stale)
    assert first.compiled is second.compiled


async def test_a_list_that_stalled_goes_out_of_date_by_itself(world: World) -> None:
    await world.publish(an_edition(1, stalled={"carriers": NOW - HOUR + 10.0}))
    assert frozenset() == (await world.tick()).stale
    world.clock.advance(11)
    world.writer.vouch(1, 0.0)
    view = await world.tick()
    assert (0.0, frozenset({2})) == (view.age_s, view.stale)


async def test_a_new_version_is_not_taken_to_be_older_than_the_one_before_where_two_clocks_differ(world: World) -> None:
    await world.publish(an_edition(1))
    world.writer.vouch(1, 0.0)
    assert 0.0 == (await world.tick()).age_s
    world.clock.advance(1)
    # The publisher's clock is two hours behind, and the new version's vouching is not noted yet.
    view = await world.publish(an_edition(2, published_at=NOW - 2.0 * HOUR))
    assert (2, 1.0, frozenset[int]()) == (view.version, view.age_s, view.stale)
    world.clock.advance(1)
    world.writer.vouch(2, 0.5)
    assert 0.5 == (await world.tick()).age_s


async def test_setting_the_wall_clock_makes_no_age_other(world: World) -> None:
    await world.publish(an_edition(1))
    world.writer.vouch(1, 3.0)
    ages = []
    for jump in (2 * HOUR, -4 * HOUR, 2 * HOUR):
        world.clock.set_wall(jump)
        ages.append((await world.tick()).age_s)
    assert [0.0, 0.0, 0.0] == [age - ages[0] for age in ages]


async def test_a_look_does_not_wait_for_the_threads_of_others(world: World) -> None:
    over = threading.Event()
    threads = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(threads)
    blocked = threads.submit(over.wait)
    try:
        async with asyncio.timeout(5):
            await world.held.refresh()
    finally:
        over.set()
        blocked.result()


def keyed(version: int, *keys: TokenKey) -> Edition:
    return an_edition(version, token_keys=keys)


async def test_a_view_looks_under_the_keys_that_its_version_names(world: World) -> None:
    world.ring.keys |= {2: SECOND}
    both = await world.publish(keyed(1, named(SECOND), named(FIRST)))
    alone = await world.publish(keyed(2, named(SECOND)))
    probes: list[tuple[bytes, bool]] = []
    both.probes("phone", "+447700900123", "", probes)
    assert 2 == len(probes)
    assert SECOND.probes == alone.probes


async def test_a_version_whose_key_is_missing_is_not_answered_from_until_the_key_is_here(world: World) -> None:
    first = await world.publish(keyed(1, named(FIRST)))
    world.clock.advance(30.0)
    with structlog.testing.capture_logs() as logs:
        held = await world.publish(keyed(2, named(SECOND), named(FIRST)))
        world.writer.vouch(2, 0.0)
        world.clock.advance(30.0)
        held = await world.tick()
    assert (1, 1) == (first.version, held.version)
    assert 60.0 <= held.age_s
    assert "copy token.2.key" in world.held.fault
    assert ["not answering from the newest snapshot"] == [each["event"] for each in logs]
    world.ring.keys |= {2: SECOND}
    assert 2 == (await world.tick()).version
    assert "" == world.held.fault


async def test_before_the_first_version_that_can_be_looked_up_there_is_no_view(world: World) -> None:
    installed(world.writer, keyed(1, named(SECOND)), {})
    await world.held.refresh()
    with pytest.raises(NoSnapshot):
        world.held.present()
    assert "token.2.key" in world.held.fault
