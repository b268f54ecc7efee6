"""What a partner's stream carries: what its agreements in force cover, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.domain.changes import ChangeKind
from portcullis.domain.policies import Disclosure, Partner
from portcullis.exchange.relay.sources import PartnerSource
from portcullis.ports.relay import DeliveryMethod, Side, Stream
from tests.support.clocks import HandClock
from tests.support.policies import YEAR_S, KnownLate, a_list, agreement, policy
from tests.support.relays import NAMES, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def with_agreement(world: World, **changes: Any) -> None:
    lists = (a_list("court"), a_list("secret", disclosure=Disclosure.AUTHORITY_ONLY))
    partner = Partner(name="lender", title="A lender", agreements=(agreement(("court", "secret"), **changes),))
    world.policy = policy(*lists, partners=(partner,))


def carried(world: World, stream: Stream) -> list[int]:
    batch = world.sources[Side.PARTNER].read(stream, 0, 100)
    assert world.feed.ends().newest == batch.reached
    return [item.position for item in batch.items]


def test_a_list_that_never_leaves_the_registry_is_not_told_of(world: World) -> None:
    stream = world.stream(DeliveryMethod.POLL)
    with_agreement(world)
    world.grow(1, list="secret")
    world.grow(2)
    world.grow(3, list="gone")

    assert [2] == carried(world, stream)


def test_a_list_agreed_on_since_the_last_look_is_told_of_the_change_that_followed(world: World) -> None:
    stream = world.stream(DeliveryMethod.POLL)
    earlier = world.policy
    with_agreement(world)
    world.grow(1)
    nothing_agreed = msgspec.structs.replace(earlier, partners=())
    source = PartnerSource(world.feed, known=KnownLate(world.policy, nothing_agreed), names=NAMES, clock=world.clock)

    assert [1] == [item.position for item in source.read(stream, 0, 100).items]


def test_only_the_kinds_of_the_agreement_are_told(world: World) -> None:
    stream = world.stream(DeliveryMethod.POLL)
    with_agreement(world, changes=(ChangeKind.WITHDRAWN,))
    world.grow(1)
    world.grow(2, kind=ChangeKind.WITHDRAWN)

    assert [2] == carried(world, stream)


def test_nothing_is_told_before_and_after_the_agreement(world: World) -> None:
    assert isinstance(world.clock, HandClock)
    stream = world.stream(DeliveryMethod.POLL)
    world.grow(1)

    assert [1] == carried(world, stream)
    world.clock.advance(YEAR_S)
    assert [] == carried(world, stream)


def test_a_partner_that_left_the_policy_is_told_nothing(world: World) -> None:
    stream = world.stream(DeliveryMethod.POLL)
    world.grow(1)
    world.policy = msgspec.structs.replace(world.policy, partners=())

    assert [] == carried(world, stream)
    assert not world.sources[Side.PARTNER].knows("lender")
