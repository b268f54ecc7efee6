"""Attacks one port again and again until told to stop, and a port that takes whatever is sent and does nothing with it.

Run as a module it reads an `Attack` as JSON from standard input, prints ``attacking`` when it begins, and ends when its
standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import msgspec

from benchmarks.processes import yield_to_others
from tests.support import h2_attacks
from tests.support.h2_attacks import STREAM_CHECK, Target

SINK = "sink"

_PAUSE_S = 0.05
_HELD_S = 0.5


class Attack(msgspec.Struct, frozen=True):
    """Which attack, on which port; port 0: on a sink of its own. ``key`` is a good one."""

    name: str
    port: int
    key: str


async def _held(target: Target, streams: int, **how: object) -> None:
    async with h2_attacks.held_open(target, 8, streams, **how) as siege:  # type: ignore[arg-type]
        for _ in range(5):
            await siege.drip() if how.get("begin_body") else None
            await asyncio.sleep(_HELD_S / 5)


ATTACKS: Mapping[str, Callable[[Target, str], Awaitable[object]]] = {
    "header-only streams": lambda target, key: _held(target, 250, key=key),
    "held streams": lambda target, key: _held(target, 60, path=STREAM_CHECK, key=key),
    "slow bodies": lambda target, key: _held(target, 100, key=key, begin_body=True),
    "health flood": lambda target, key: h2_attacks.health_flood(target, 8, _HELD_S),  # noqa: ARG005
    "rapid reset": lambda target, key: h2_attacks.rapid_reset(target, 2_000, key),
    "CONTINUATION flood": lambda target, key: h2_attacks.continuation_flood(target, 5_000),  # noqa: ARG005
    "ping flood": lambda target, key: h2_attacks.ping_flood(target, 5_000),  # noqa: ARG005
    "SETTINGS flood": lambda target, key: h2_attacks.settings_flood(target, 5_000),  # noqa: ARG005
    "20 kB of metadata": lambda target, key: h2_attacks.large_metadata(target, 100, 20_000, key),
    "oversize messages": lambda target, key: h2_attacks.oversize(target, 100, 100_000_000, key),
}
"""Each is one bout; they follow one another at a pause."""


@asynccontextmanager
async def _sink() -> AsyncIterator[int]:
    """Listen on a port that swallows what it is sent; the same work for an attacker, and none for the gateway."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while await reader.read(262_144):
                pass
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _attack(given: Attack) -> None:
    stop = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    async with _sink() as sink:
        target = Target(given.port or sink)
        print("attacking", flush=True)
        while not stop.done():
            with suppress(OSError):
                await ATTACKS[given.name](target, given.key)
            await asyncio.sleep(_PAUSE_S)


if __name__ == "__main__":
    yield_to_others()
    asyncio.run(_attack(msgspec.json.decode(sys.stdin.buffer.readline(), type=Attack)))
