"""Attacks on a gateway's own port, on both transports: no crash, bounded memory and descriptors, and others are answered.

How much slower others get is measured by `make bench-overload`; here a machine that is busy with other things must not fail
a test, so what is asserted of time is loose. Each attack prints its figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from portcullis.gateway.transport.transports import CONNECTIONS, STREAMS
from tests.support import h2_attacks as attacks
from tests.support.attacked_gateway import AttackedGateway, attacked_gateway
from tests.support.bystanders import bystanders
from tests.support.h2_attacks import STREAM_CHECK, Target, Toll
from tests.support.h2_raw import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

KEY = "shop-key"
GROWTH_MIB = 120.0
"""How much the resident memory may grow by one attack; what is held by any of these is below the half of it."""


class Gauge(NamedTuple):
    gateway: AttackedGateway
    transport: str

    @property
    def target(self) -> Target:
        return Target(self.gateway.port)


@pytest.fixture(scope="module", params=["grpcio", "native"])
def attacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gauge]:
    if request.param == "native":
        pytest.importorskip("pygrpc_native")
    log = tmp_path_factory.mktemp("attacked") / "log"
    with attacked_gateway(log, transport=request.param, max_message_bytes=1_000_000) as gateway:
        yield Gauge(gateway, request.param)


async def under(attacked: Gauge, name: str, attack: Callable[[], Awaitable[Toll]]) -> Toll:
    """Attack while others go on; the gateway lives, takes no more than it may, and gives all of it back but memory."""
    gateway = attacked.gateway
    before, descriptors = gateway.memory_mib(), gateway.descriptors()
    async with bystanders(gateway.port) as seen:
        assert await until(lambda: seen.checks and seen.looks, 10)
        toll = await attack()
        during, answered = gateway.memory_mib(), len(seen.checks)
        # They go on when it is over.
        assert await until(lambda: len(seen.checks) > answered + 3, 10)
    print(
        f"{attacked.transport} {name}: {toll.sent} in {toll.seconds:.2f} s, cut {toll.cut} code {toll.code}, "
        f"reset {toll.reset}, ended {toll.answered}; memory {before:.0f} -> {during:.0f} MiB; others: {len(seen.checks)} "
        f"checks, {seen.failed} failed, p99 {seen.p99_ms:.1f} ms; health {len(seen.looks)}, {seen.sick} failed, "
        f"slowest {seen.slowest_look_ms:.0f} ms"
    )
    assert gateway.is_alive()
    assert during - before < GROWTH_MIB
    assert 0 == seen.sick
    assert seen.failed <= max(3, len(seen.checks) // 10)
    assert await until(lambda: gateway.descriptors() <= descriptors + 2, 10)
    return toll


async def test_header_only_streams_hold_up_nobody(attacked: Gauge) -> None:
    async def attack() -> Toll:
        async with attacks.held_open(attacked.target, 8, 500) as siege:
            await asyncio.sleep(0.3)
            return siege.toll()

    toll = await under(attacked, "header-only streams", attack)

    assert 4000 == toll.sent


async def test_streams_held_open_with_a_good_key_hold_up_nobody(attacked: Gauge) -> None:
    async def attack() -> Toll:
        async with attacks.held_open(attacked.target, 8, 500, path=STREAM_CHECK, key=KEY) as siege:
            await asyncio.sleep(0.3)
            return siege.toll()

    await under(attacked, "held streams", attack)


async def test_bodies_that_come_byte_by_byte_hold_up_nobody(attacked: Gauge) -> None:
    async def attack() -> Toll:
        async with attacks.held_open(attacked.target, 8, 250, key=KEY, begin_body=True) as siege:
            for _ in range(4):
                await siege.drip()
                await asyncio.sleep(0.1)
            return siege.toll()

    await under(attacked, "slow bodies", attack)


async def test_a_rapid_reset_is_survived_where_the_transport_does_not_cut_it(attacked: Gauge) -> None:
    await under(attacked, "rapid reset", lambda: attacks.rapid_reset(attacked.target, 5_000, KEY))


async def test_a_header_block_without_end_is_never_taken_up(attacked: Gauge) -> None:
    toll = await under(attacked, "CONTINUATION flood", lambda: attacks.continuation_flood(attacked.target, 5_000))

    # grpcio mostly ends the stream alone, and throws away what else comes for it.
    assert toll.cut or attacked.transport == "grpcio"
    assert 0 == toll.good


async def test_a_flood_of_pings_is_survived_and_on_grpcio_costs_its_connection(attacked: Gauge) -> None:
    toll = await under(attacked, "ping flood", lambda: attacks.ping_flood(attacked.target, 20_000))

    assert toll.cut or attacked.transport == "native"


async def test_a_flood_of_settings_is_survived(attacked: Gauge) -> None:
    await under(attacked, "SETTINGS flood", lambda: attacks.settings_flood(attacked.target, 20_000))


async def test_20_kb_of_metadata_are_never_answered_with_a_decision(attacked: Gauge) -> None:
    toll = await under(attacked, "20 kB of metadata", lambda: attacks.large_metadata(attacked.target, 200, 20_000, KEY))

    assert 0 == toll.good


async def test_a_message_over_the_limit_is_refused_before_it_is_sent(attacked: Gauge) -> None:
    toll = await under(attacked, "oversize messages", lambda: attacks.oversize(attacked.target, 200, 100_000_000, KEY))

    assert 0 == toll.good


async def test_idle_connections_over_the_bound_are_hung_up_on(attacked: Gauge) -> None:
    if attacked.transport == "native":
        pytest.skip("the native transport has no bound on connections: Envoy has it")
    found = 0

    async def attack() -> Toll:
        nonlocal found
        async with attacks.connections_held(attacked.target, CONNECTIONS + 100) as opened:
            await until(lambda: sum(each.closed.is_set() for each in opened) >= 100, 5)
            found = sum(not each.closed.is_set() for each in opened)
            assert attacked.gateway.descriptors() <= CONNECTIONS + 64
            return Toll(len(opened), 0.0, cut=False, code=None, reset=0, answered=0, good=0)

    # Those who come meanwhile would be hung up on too: the bystanders are connected before.
    await under(attacked, "idle connections", attack)

    assert found <= CONNECTIONS


async def test_a_connection_gets_no_more_places_than_it_is_told_of(attacked: Gauge) -> None:
    async with attacks.held_open(attacked.target, 1, 2, path=STREAM_CHECK, key=KEY) as siege:
        assert STREAMS == siege.places
