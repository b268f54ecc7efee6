"""What every announcer owes; and what one in Redis owes when its server fails or lies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from portcullis.adapters.memory.feed import MemoryAnnouncer
from portcullis.adapters.redis.announcer import STREAM_KEY, RedisAnnouncer
from portcullis.ports import Announcer, FeedEnds
from tests.support.valkey import ValkeyAt, running_valkey

LONG_S = 20.0


@pytest.fixture
def valkey() -> Iterator[ValkeyAt]:
    with running_valkey() as server:
        yield server


@pytest.fixture
def faults() -> list[int]:
    return []


@pytest.fixture
async def redis_announcer(valkey: ValkeyAt, faults: list[int]) -> AsyncIterator[RedisAnnouncer]:
    announcer = RedisAnnouncer(valkey.url, count_fault=lambda: faults.append(1))
    yield announcer
    await announcer.aclose()


@pytest.fixture(params=["memory", "redis"])
def announcer(request: pytest.FixtureRequest) -> Announcer:
    if request.param == "memory":
        return MemoryAnnouncer()
    opened: Announcer = request.getfixturevalue("redis_announcer")
    return opened


def ends(newest: int) -> FeedEnds:
    return FeedEnds("0123abcd", 0, newest)


async def waited(announcer: Announcer, after: int, timeout_s: float = LONG_S) -> float:
    began = time.monotonic()
    await announcer.wait(after, timeout_s)
    return time.monotonic() - began


async def test_whoever_waits_hears_at_once(announcer: Announcer) -> None:
    waiting = [asyncio.create_task(waited(announcer, 4)) for _ in range(20)]
    await asyncio.sleep(0.1)

    await asyncio.to_thread(announcer.announce, ends(5))

    assert max(await asyncio.gather(*waiting)) < LONG_S / 4


async def test_what_was_announced_before_is_heard_too(announcer: Announcer) -> None:
    announcer.announce(ends(5))

    assert await waited(announcer, 4) < LONG_S / 4


async def test_what_is_known_already_wakes_nobody(announcer: Announcer) -> None:
    announcer.announce(ends(5))

    assert await waited(announcer, 5, 0.2) >= 0.2


async def test_many_waiters_use_one_connection(redis_announcer: RedisAnnouncer, valkey: ValkeyAt) -> None:
    waiting = [asyncio.create_task(redis_announcer.wait(4, LONG_S)) for _ in range(50)]
    await asyncio.sleep(0.2)
    with valkey.client() as client:
        clients = [each for each in client.client_list() if each["cmd"] == "xread"]
    redis_announcer.announce(ends(5))
    await asyncio.gather(*waiting)

    assert 1 == len(clients)


async def test_the_stream_stays_short(redis_announcer: RedisAnnouncer, valkey: ValkeyAt) -> None:
    for newest in range(1, 1_000):
        redis_announcer.announce(ends(newest))

    with valkey.client() as client:
        assert client.xlen(STREAM_KEY) < 300


async def test_a_server_that_is_gone_costs_the_time_out_and_nothing_else(
    redis_announcer: RedisAnnouncer, valkey: ValkeyAt, faults: list[int]
) -> None:
    valkey.kill()

    redis_announcer.announce(ends(5))
    assert 0.3 <= await waited(redis_announcer, 4, 0.3) < 5
    assert faults

    valkey.start()
    waiting = asyncio.create_task(waited(redis_announcer, 4))
    while not waiting.done():
        await asyncio.to_thread(redis_announcer.announce, ends(5))
        await asyncio.sleep(0.05)
    assert await waiting < LONG_S / 2


async def test_a_server_that_hangs_holds_nobody_up(
    redis_announcer: RedisAnnouncer, valkey: ValkeyAt, faults: list[int]
) -> None:
    redis_announcer.announce(ends(1))
    assert await waited(redis_announcer, 0) < LONG_S / 4
    valkey.pause()
    try:
        began = time.monotonic()
        for newest in range(2, 1_000):
            redis_announcer.announce(ends(newest))
        assert time.monotonic() - began < 3
        assert await waited(redis_announcer, 2_000, 0.3) < 3
    finally:
        valkey.resume()
    assert faults


async def test_a_server_that_is_full_is_only_counted(
    redis_announcer: RedisAnnouncer, valkey: ValkeyAt, faults: list[int]
) -> None:
    with valkey.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")

    redis_announcer.announce(ends(5))

    assert [1] == faults


async def test_what_somebody_else_writes_wakes_for_a_moment_at_most(
    redis_announcer: RedisAnnouncer, valkey: ValkeyAt
) -> None:
    with valkey.client() as client:
        for newest in (b"", b"none", b"-5", b"9" * 40, b"\xff"):
            client.xadd(STREAM_KEY, {b"feed": b"0123abcd", b"newest": newest})
        client.xadd(STREAM_KEY, {b"other": b"field"})
    assert await waited(redis_announcer, 4, 0.3) >= 0.3

    with valkey.client() as client:
        client.xadd(STREAM_KEY, {b"newest": b"9" * 18})
    assert await waited(redis_announcer, 4) < LONG_S / 4
    deadline = time.monotonic() + LONG_S
    while await waited(redis_announcer, 4, 0.3) < 0.3:
        assert time.monotonic() < deadline


async def test_a_key_of_another_type_is_as_good_as_no_server(
    redis_announcer: RedisAnnouncer, valkey: ValkeyAt, faults: list[int]
) -> None:
    with valkey.client() as client:
        client.set(STREAM_KEY, b"text")

    redis_announcer.announce(ends(5))
    assert await waited(redis_announcer, 4, 0.3) >= 0.3
    assert faults
