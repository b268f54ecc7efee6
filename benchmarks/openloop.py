"""An open-loop driver for unary gRPC calls: arrivals at seeded random moments, whatever the server does.

h2load waits for its own answers and paces calls in bursts, so its percentiles at a given rate are its own. Here each call
has a due moment (a Poisson process), and its time counts from that moment: a stalled server can't hide the calls that it
kept waiting. The frames are written by hand after RFC 9113 (HTTP/2) and RFC 7541 (HPACK), because a Python gRPC client costs
more than the server under test.

Run as a module it reads a `Plan` as JSON from standard input and prints `Times` as JSON.
"""

from __future__ import annotations

import gc
import random
import selectors
import socket
import struct
import sys
import time
from collections import deque
from contextlib import ExitStack, closing

import msgspec

from benchmarks import h2load
from benchmarks.quantiles import quantile, typical

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_INITIAL_WINDOW = 65_535
_LARGEST_WINDOW = 2**31 - 1
_LARGEST_FRAME = 16_384
_MAX_CONCURRENT_STREAMS = 3
_UNBOUNDED = 2**31
_MOST_REFUSED = 0.01
"""A run in which more was refused says nothing of the time of calls."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to drive: calls a second over all connections.

    Calls due in the first ``warm_up_s`` are not counted. A message must fit the window that a server opens for a stream
    (65,535 bytes).
    """

    host: str
    port: int
    path: str
    headers: dict[str, str]
    message: bytes
    rate: float
    seconds: float
    warm_up_s: float = 0.5
    connections: int = 8
    seed: int = 1


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Times of a call in microseconds, from its due moment to the end of its stream.

    ``refused`` is the share of the calls that the server had no place for (it reset them); their times are not among these.

    ``typical_p99_us`` is that of a typical second (`benchmarks.quantiles`).

    ``late_us`` is the driver's own lateness, as a 99th percentile: how long after its due moment a call was written.
    """

    calls: int
    refused: float = 0.0
    rate: float
    p50_us: float
    p99_us: float
    typical_p99_us: float
    late_us: float


class CallFailed(Exception):
    """A stream was reset, a connection closed, or calls were left without an answer."""


def _hpack_integer(value: int, prefix_bits: int, first: int) -> bytes:
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def _hpack_text(text: str) -> bytes:
    raw = text.encode()
    return _hpack_integer(len(raw), 7, 0) + raw


def header_blocks(fields: dict[str, str]) -> tuple[bytes, bytes]:
    """Give the block of the first call, which enters each field into the dynamic table, and of every later one.

    The table holds the newest entry first, at index 62.
    """
    first = b"".join(b"\x40" + _hpack_text(name) + _hpack_text(value) for name, value in fields.items())
    later = b"".join(_hpack_integer(62 + place, 7, 0x80) for place in reversed(range(len(fields))))
    return first, later


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Connection:
    """One HTTP/2 connection. Streams are numbered in the order of their calls."""

    def __init__(self, plan: Plan) -> None:
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": plan.path,
            ":authority": f"{plan.host}:{plan.port}",
            "content-type": "application/grpc",
            "te": "trailers",
            **plan.headers,
        }
        self._first, self._later = header_blocks(fields)
        self._body = h2load.frame(plan.message)
        self._pieces = [self._body[place : place + _LARGEST_FRAME] for place in range(0, len(self._body), _LARGEST_FRAME)]
        self._due: dict[int, float] = {}
        self._waiting: deque[float] = deque()
        self._next_stream = 1
        self._window = _INITIAL_WINDOW
        self._most_streams = _UNBOUNDED
        self.refused: list[float] = []
        self._unread = b""
        self.finished: list[tuple[float, float]] = []
        self.lateness: list[float] = []
        self.socket = socket.create_connection((plan.host, plan.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        larger = struct.pack(">I", _LARGEST_WINDOW - _INITIAL_WINDOW)
        self.socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_WINDOW_UPDATE, 0, 0, larger))

    @property
    def under_way(self) -> int:
        """Calls that are not answered yet."""
        return len(self._due) + len(self._waiting)

    def call(self, due: float) -> None:
        """Begin a call that was due at a moment of the monotonic clock."""
        self._waiting.append(due)
        self._write()

    def _write(self) -> None:
        while self._waiting and self._window >= len(self._body) and len(self._due) < self._most_streams:
            due = self._waiting.popleft()
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            block = self._first if stream == 1 else self._later
            self._window -= len(self._body)
            self._due[stream] = due
            self.socket.sendall(_frame(_HEADERS, _END_HEADERS, stream, block) + self._data(stream))
            self.lateness.append(time.monotonic() - due)

    def _data(self, stream: int) -> bytes:
        *before, last = self._pieces
        return b"".join(_frame(_DATA, 0, stream, each) for each in before) + _frame(_DATA, _END_STREAM, stream, last)

    def read(self) -> None:
        """Take what has arrived.

        Raises:
            CallFailed: the server gave up a call or the connection.
        """
        block = self.socket.recv(262_144)
        now = time.monotonic()
        if not block:
            raise CallFailed("the server closed the connection")
        data = self._unread + block
        place = 0
        while len(data) - place >= 9:
            length = int.from_bytes(data[place : place + 3], "big")
            end = place + 9 + length
            if end > len(data):
                break
            kind, flags = data[place + 3], data[place + 4]
            stream = int.from_bytes(data[place + 5 : place + 9], "big")
            self._take(kind, flags, stream, data[place + 9 : end], now)
            place = end
        self._unread = data[place:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind in (_HEADERS, _DATA) and flags & _END_STREAM:
            self.finished.append((self._due.pop(stream), now))
            self._write()
        elif kind == _RST_STREAM and stream in self._due:
            # A stream that has had its whole answer may be reset besides (RFC 9113, section 8.1).
            self.refused.append(self._due.pop(stream))
            self._write()
        elif kind == _GOAWAY:
            raise CallFailed("the server went away")
        else:
            self._answer(kind, flags, stream, payload)

    def _answer(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Do what the connection asks for."""
        if kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            self._write()
        elif kind == _SETTINGS and not flags & _ACK:
            self._heed(payload)
            self.socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self.socket.sendall(_frame(_PING, _ACK, 0, payload))

    def _heed(self, settings: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", settings):
            if name == _MAX_CONCURRENT_STREAMS:
                self._most_streams = value


def run(plan: Plan) -> Times:
    """Drive the plan. It never sleeps: its processor is its own, and a sleep would be late by more than it measures.

    Raises:
        CallFailed: a call failed on the HTTP/2 level.
    """
    with ExitStack() as held:
        connections = [Connection(plan) for _ in range(plan.connections)]
        selector = held.enter_context(selectors.DefaultSelector())
        for connection in connections:
            held.enter_context(closing(connection.socket))
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        # A collection would stop the driver for longer than a call takes.
        gc.freeze()
        gc.disable()
        held.callback(gc.enable)
        begin = time.monotonic()
        _drive(plan, connections, selector, begin)
    return summary(plan, connections, begin)


def _drive(plan: Plan, connections: list[Connection], selector: selectors.BaseSelector, begin: float) -> None:
    chance = random.Random(plan.seed)  # noqa: S311 - arrivals, not secrets
    last_due = begin + plan.warm_up_s + plan.seconds
    due = begin + chance.expovariate(plan.rate)
    turn = 0
    while due < last_due or any(connection.under_way for connection in connections):
        now = time.monotonic()
        if now > last_due + 10:
            raise CallFailed("calls were still without an answer 10 s after the last was due")
        while due <= now and due < last_due:
            connections[turn % len(connections)].call(due)
            turn += 1
            due += chance.expovariate(plan.rate)
        for key, _ in selector.select(0):
            key.data.read()


def summary(plan: Plan, connections: list[Connection], begin: float) -> Times:
    """Give the times of the calls that count, of a run that began at a moment of the monotonic clock.

    Raises:
        CallFailed: there is none, or too many were refused.
    """
    counted_from = begin + plan.warm_up_s
    finished = [call for each in connections for call in each.finished]
    times = sorted(end - due for due, end in finished if due >= counted_from)
    late = sorted(lateness for each in connections for lateness in each.lateness)
    if not times:
        raise CallFailed("no call was made; the rate is too low for the time")
    refused = sum(due >= counted_from for each in connections for due in each.refused)
    if refused > _MOST_REFUSED * len(times):
        raise CallFailed(f"the server refused {refused} calls of {refused + len(times)}")
    return Times(
        calls=len(times),
        refused=refused / (refused + len(times)),
        rate=len(times) / plan.seconds,
        p50_us=quantile(times, 0.50) * 1e6,
        p99_us=quantile(times, 0.99) * 1e6,
        typical_p99_us=typical(finished, counted_from, 0.99) * 1e6,
        late_us=quantile(late, 0.99) * 1e6,
    )


if __name__ == "__main__":
    plan_given = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(run(plan_given)))
