from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from portcullis.gateway.inlet import slices


async def coming(bodies: Iterable[bytes], fault: Exception | None = None) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body
    if fault is not None:
        raise fault


async def taken(bodies: AsyncIterator[bytes], limit: int = 3) -> list[list[int]]:
    async with slices(bodies, len, limit) as arriving:
        return [each async for each in arriving]


async def test_everything_comes_once_and_in_order_in_slices_no_larger_than_agreed() -> None:
    got = await taken(coming(bytes(number) for number in range(10)))

    assert list(range(10)) == [number for each in got for number in each]
    assert max(map(len, got)) <= 3


async def test_a_stream_of_nothing_has_no_slices() -> None:
    assert [] == await taken(coming([]))


async def test_a_lone_message_does_not_wait_for_another() -> None:
    forever = asyncio.Event()

    async def one() -> AsyncIterator[bytes]:
        yield b"abc"
        await forever.wait()

    async with slices(one(), len, 3) as arriving:
        assert [3] == await anext(arriving)


async def test_a_fault_of_the_stream_comes_after_what_came_before_it() -> None:
    async with slices(coming([b"a", b"bb"], ValueError("broken")), len, 1) as arriving:
        got = [await anext(arriving), await anext(arriving)]
        with pytest.raises(ValueError, match="broken"):
            await anext(arriving)

    assert [[1], [2]] == got


async def test_a_stream_is_read_no_further_than_one_slice_ahead() -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b""

    async with slices(endless(), len, 3) as arriving:
        await anext(arriving)
        for _ in range(20):
            await asyncio.sleep(0)

    assert asked <= 8


async def test_leaving_gives_the_stream_up() -> None:
    released = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            released.set()

    async with slices(waiting(), len, 3) as arriving:
        await anext(arriving)

    assert released.is_set()
