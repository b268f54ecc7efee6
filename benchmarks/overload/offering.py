"""An open-loop driver that offers more than a server can take, and says what became of every call.

Arrivals are a Poisson process, as in `benchmarks.openloop`, and a call's time counts from when it was due. Each call carries
a deadline. A caller keeps to the streams and the window that the server allows it, as any gRPC library does: a call that
finds no place waits at the caller, and is given up there after its patience. Were it to wait for as long as its deadline,
what the callers hold back would be measured, and not the server.

An answer is known from a refusal by its frames: a refusal is a header block alone ("Trailers-Only").

Run as a module it reads an `Offer` as JSON from standard input and prints an `Outcome` as JSON.
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
from benchmarks.openloop import header_blocks
from benchmarks.quantiles import quantile, typical

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_MAX_CONCURRENT_STREAMS = 3
_LARGER_WINDOW = 2**31 - 1 - 65_535
_DRAIN_S = 2.0
_TURN = 64
"""Calls begun at most before answers are read again."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What to offer: calls a second over all connections, each with this deadline. The warm-up is not counted."""

    host: str
    port: int
    path: str
    headers: dict[str, str]
    message: bytes
    rate: float
    seconds: float
    deadline_s: float
    patience_s: float = 0.02
    warm_up_s: float = 0.5
    connections: int = 8
    seed: int = 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the calls that were due in the time counted.

    ``good`` were answered within their deadline, ``late`` after it, ``refused`` were told no, ``broken`` were lost with
    their stream or connection, ``given_up`` were never sent, and ``unanswered`` got nothing. Times, in microseconds, are of
    the good ones, or the deadline where there is none, the typical one as in `benchmarks.quantiles`; ``late_us`` is the
    driver's own lateness as a 99th percentile.
    """

    offered: int
    good: int
    late: int
    refused: int
    broken: int
    given_up: int
    unanswered: int
    goodput: float
    p50_us: float
    p99_us: float
    typical_p99_us: float
    late_us: float


class _Connection:
    """One HTTP/2 connection whose streams are numbered in the order of their calls."""

    def __init__(self, offer: Offer) -> None:
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": offer.path,
            ":authority": f"{offer.host}:{offer.port}",
            "content-type": "application/grpc",
            "te": "trailers",
            "grpc-timeout": f"{offer.deadline_s * 1000:.0f}m",
            **offer.headers,
        }
        self._first, self._later = header_blocks(fields)
        self._deadline_s, self._patience_s = offer.deadline_s, offer.patience_s
        body = h2load.frame(offer.message)
        self._size = len(body)
        self._tail = _head(len(body), _DATA, _END_STREAM), body
        self._window = 65_535
        self._places = 100
        self._waiting: deque[float] = deque()
        self._due: dict[int, float] = {}
        self._answering: set[int] = set()
        self._next_stream = 1
        self._unread = b""
        self.good: list[tuple[float, float]] = []
        self.late: list[float] = []
        self.refused: list[float] = []
        self.broken: list[float] = []
        self.given_up: list[float] = []
        self.lateness: list[float] = []
        self.alive = True
        self.socket = socket.create_connection((offer.host, offer.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        window = _head(4, _WINDOW_UPDATE, 0) + struct.pack(">II", 0, _LARGER_WINDOW)
        self.socket.sendall(_PREFACE + _head(0, _SETTINGS, 0) + bytes(4) + window)

    @property
    def under_way(self) -> int:
        return len(self._due) + len(self._waiting)

    @property
    def unanswered(self) -> list[float]:
        return list(self._due.values())

    def call(self, due: float) -> None:
        """Begin a call that was due at a moment of the monotonic clock, or let it wait for a place."""
        if self.alive:
            self._waiting.append(due)
        else:
            self.broken.append(due)

    def write(self, now: float) -> None:
        """Send what waits, as far as there is place."""
        out = bytearray()
        while self._waiting and self.alive:
            if now - self._waiting[0] > self._patience_s:
                self.given_up.append(self._waiting.popleft())
                continue
            if len(self._due) >= self._places or self._window < self._size:
                break
            due = self._waiting.popleft()
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            block = self._first if stream == 1 else self._later
            number = struct.pack(">I", stream)
            self._window -= self._size
            self._due[stream] = due
            self.lateness.append(now - due)
            out += _head(len(block), _HEADERS, _END_HEADERS) + number + block + self._tail[0] + number + self._tail[1]
        if out:
            self._send(bytes(out))

    def _send(self, out: bytes) -> None:
        try:
            self.socket.sendall(out)
        except OSError:
            self._lose()

    def _lose(self) -> None:
        self.alive = False
        self.broken += [*self._due.values(), *self._waiting]
        self._due.clear()
        self._waiting.clear()

    def read(self) -> None:
        """Take what has arrived."""
        try:
            block = self.socket.recv(262_144)
        except OSError:
            block = b""
        now = time.monotonic()
        if not block:
            self._lose()
            return
        content = self._unread + block
        place = 0
        while len(content) - place >= 9:
            length = int.from_bytes(content[place : place + 3], "big")
            end = place + 9 + length
            if end > len(content):
                break
            stream = int.from_bytes(content[place + 5 : place + 9], "big")
            self._take(content[place + 3], content[place + 4], stream, content[place + 9 : end], now)
            place = end
        self._unread = content[place:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind == _DATA:
            self._answering.add(stream)
        elif kind == _RST_STREAM and stream in self._due:
            self._answering.discard(stream)
            self.broken.append(self._due.pop(stream))
        elif kind == _WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, at)
                if name == _MAX_CONCURRENT_STREAMS:
                    self._places = value
            self._send(_head(0, _SETTINGS, _ACK) + bytes(4))
        elif kind == _PING and not flags & _ACK:
            self._send(_head(8, _PING, _ACK) + bytes(4) + payload)
        elif kind == _GOAWAY:
            self.alive = False
        if kind in (_HEADERS, _DATA) and flags & _END_STREAM and stream in self._due:
            self._end(stream, now)

    def _end(self, stream: int, now: float) -> None:
        due = self._due.pop(stream)
        if stream not in self._answering:
            self.refused.append(due)
        elif now - due > self._deadline_s:
            self.late.append(due)
        else:
            self.good.append((due, now))
        self._answering.discard(stream)


def _head(length: int, kind: int, flags: int) -> bytes:
    """A frame's head without its stream."""
    return struct.pack(">I", length)[1:] + bytes((kind, flags))


def run(offer: Offer) -> Outcome:
    """Offer the calls; it never sleeps, since its processor is its own."""
    with ExitStack() as held:
        connections = [_Connection(offer) for _ in range(offer.connections)]
        selector = held.enter_context(selectors.DefaultSelector())
        for connection in connections:
            held.enter_context(closing(connection.socket))
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        # A collection would stop the driver for longer than a call takes.
        gc.freeze()
        gc.disable()
        held.callback(gc.enable)
        begin = time.monotonic()
        _drive(offer, connections, selector, begin)
    return _summary(offer, connections, begin)


def _drive(offer: Offer, connections: list[_Connection], selector: selectors.BaseSelector, begin: float) -> None:
    chance = random.Random(offer.seed)  # noqa: S311 - arrivals, not secrets
    last_due = begin + offer.warm_up_s + offer.seconds
    give_up = last_due + offer.deadline_s + _DRAIN_S
    due = begin + chance.expovariate(offer.rate)
    turn = 0
    while (now := time.monotonic()) < give_up and (due < last_due or any(each.under_way for each in connections)):
        begun = 0
        while due <= now and due < last_due and begun < _TURN:
            connections[turn % len(connections)].call(due)
            turn += 1
            begun += 1
            due += chance.expovariate(offer.rate)
        for connection in connections:
            connection.write(now)
        for key, _ in selector.select(0):
            key.data.read()
            if not key.data.alive and not key.data.under_way:
                selector.unregister(key.fileobj)


def _summary(offer: Offer, connections: list[_Connection], begin: float) -> Outcome:
    counted_from = begin + offer.warm_up_s

    def count(what: str) -> int:
        return sum(due >= counted_from for each in connections for due in getattr(each, what))

    good = [call for each in connections for call in each.good]
    times = sorted(end - due for due, end in good if due >= counted_from)
    lateness = sorted(late for each in connections for late in each.lateness)
    parts = {name: count(name) for name in ("late", "refused", "broken", "given_up", "unanswered")}
    return Outcome(
        offered=len(times) + sum(parts.values()),
        good=len(times),
        goodput=len(times) / offer.seconds,
        p50_us=quantile(times or [offer.deadline_s], 0.50) * 1e6,
        p99_us=quantile(times or [offer.deadline_s], 0.99) * 1e6,
        typical_p99_us=(typical(good, counted_from, 0.99) or offer.deadline_s) * 1e6,
        late_us=quantile(lateness, 0.99) * 1e6,
        **parts,
    )


if __name__ == "__main__":
    offer_given = msgspec.json.decode(sys.stdin.buffer.read(), type=Offer)
    sys.stdout.buffer.write(msgspec.json.encode(run(offer_given)))
