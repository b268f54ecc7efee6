"""The inlet of a stream: takes messages as they come, and gives what has come by then in one slice.

A lone message goes on at once; while a slice is dealt with, the next one gathers. No more than one slice waits, so a stream
that sends faster than it is served is held up by the transport's flow control.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

_T = TypeVar("_T")


class _End:
    """Says that a stream has ended, or with which fault."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault


@asynccontextmanager
async def slices(
    bodies: AsyncIterator[bytes], read: Callable[[bytes], _T], limit: int
) -> AsyncIterator[AsyncIterator[list[_T]]]:
    """Give a stream's messages in slices of at most ``limit``; leaving the context gives the stream up.

    Args:
        bodies: the messages; what it raises is raised after the slices of what came before.
        read: reads one as it comes, and does not raise.
        limit: the most messages of a slice, and the most that wait.
    """
    waiting: asyncio.Queue[_T | _End] = asyncio.Queue(limit)
    reader = asyncio.create_task(_fill(waiting, bodies, read), name="inlet")
    try:
        yield _drain(waiting, limit)
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _fill(waiting: asyncio.Queue[_T | _End], bodies: AsyncIterator[bytes], read: Callable[[bytes], _T]) -> None:
    try:
        async for body in bodies:
            await waiting.put(read(body))
    except Exception as fault:  # noqa: BLE001 - it is raised where the slices are read
        await waiting.put(_End(fault))
    else:
        await waiting.put(_End())


async def _drain(waiting: asyncio.Queue[_T | _End], limit: int) -> AsyncIterator[list[_T]]:
    end: _End | None = None
    while end is None:
        taken: list[_T] = []
        while end is None and len(taken) < limit and not (taken and waiting.empty()):
            item = await waiting.get()
            if isinstance(item, _End):
                end = item
            else:
                taken.append(item)
        if taken:
            yield taken
    if end.fault is not None:
        raise end.fault
