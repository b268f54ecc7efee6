"""One HTTP/2 connection that carries unary gRPC calls, at the least cost to the processor that drives it.

The frames are written by hand after RFC 9113 (HTTP/2) and RFC 7541 (HPACK), because a Python gRPC client costs more than the
server under test. A connection keeps to the streams and the window that the server allows it, as any gRPC library does: a
call that finds no place waits at the caller.

An answer is known from a refusal by its frames: a refusal is a header block alone ("Trailers-Only").
"""

from __future__ import annotations

import math
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping

import msgspec

from benchmarks import h2load

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_MAX_CONCURRENT_STREAMS = 3
_PLACES_AT_FIRST = 100
"""Streams that a connection has until the server's settings come."""
_INITIAL_WINDOW = 65_535
_LARGEST_WINDOW = 2**31 - 1
_LARGEST_FRAME = 16_384


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


def header_blocks(fields: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Give the block of the first call, which enters each field into the dynamic table, and of every later one.

    The table holds the newest entry first, at index 62.
    """
    first = b"".join(b"\x40" + _hpack_text(name) + _hpack_text(value) for name, value in fields.items())
    later = b"".join(_hpack_integer(62 + place, 7, 0x80) for place in reversed(range(len(fields))))
    return first, later


def _head(kind: int, flags: int, payload: bytes) -> bytes:
    """Give the head of a frame without its stream."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags))


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    """Give a frame of the connection itself."""
    return _head(kind, flags, payload) + bytes(4) + payload


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What every call of a driver asks, of whom.

    Attributes:
        host: a name or a number.
        port: of TCP.
        path: the method.
        headers: what a call carries besides what gRPC asks for.
        message: must fit the window that a server opens for a stream (65,535 bytes).
    """

    host: str
    port: int
    path: str
    headers: dict[str, str]
    message: bytes


class Connection:
    """One connection, whose streams are numbered in the order of their calls.

    Args:
        call: what every call asks.
        deadline_s: each call's own, from when it was due; one that found no place until then is given up. None for none.

    Attributes:
        answered: when each call was due that was answered, and when its answer had come, in seconds of the monotonic clock.
        refused: when the calls were due that were told no.
        broken: the same of those that were lost with their stream or connection.
        given_up: the same of those that found no place.
        lateness: how long after it was due each call was written.
        alive: the connection takes calls.
    """

    def __init__(self, call: Call, deadline_s: float | None = None) -> None:
        asked = {":method": "POST", ":scheme": "http", ":path": call.path, ":authority": f"{call.host}:{call.port}"}
        self._blocks = header_blocks({**asked, "content-type": "application/grpc", "te": "trailers", **call.headers})
        body = h2load.frame(call.message)
        self._size = len(body)
        self._pieces = [body[place : place + _LARGEST_FRAME] for place in range(0, len(body), _LARGEST_FRAME)]
        self._deadline_s = math.inf if deadline_s is None else deadline_s
        self._window = _INITIAL_WINDOW
        self._places = _PLACES_AT_FIRST
        self._waiting: deque[float] = deque()
        self._due: dict[int, float] = {}
        self._answering: set[int] = set()
        self._next_stream = 1
        self._unread = b""
        self.answered: list[tuple[float, float]] = []
        self.refused: list[float] = []
        self.broken: list[float] = []
        self.given_up: list[float] = []
        self.lateness: list[float] = []
        self.alive = True
        self.socket = socket.create_connection((call.host, call.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        window = struct.pack(">I", _LARGEST_WINDOW - _INITIAL_WINDOW)
        self.socket.sendall(_PREFACE + _frame(_SETTINGS, 0, b"") + _frame(_WINDOW_UPDATE, 0, window))

    @property
    def under_way(self) -> int:
        """Calls of which nobody knows yet what becomes of them."""
        return len(self._due) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Calls that found no place yet."""
        return len(self._waiting)

    @property
    def unanswered(self) -> list[float]:
        """When the calls were due that were sent and got nothing."""
        return list(self._due.values())

    def call(self, due: float) -> None:
        """Let a call that was due at a moment of the monotonic clock wait for its place; `write` sends it."""
        if self.alive:
            self._waiting.append(due)
        else:
            self.broken.append(due)

    def write(self, now: float) -> None:
        """Send what waits, as far as there is place."""
        out = bytearray()
        while self._waiting:
            if now - self._waiting[0] > self._deadline_s:
                self.given_up.append(self._waiting.popleft())
                continue
            if len(self._due) >= self._places or self._window < self._size:
                break
            due = self._waiting.popleft()
            stream, self._next_stream = self._next_stream, self._next_stream + 2
            self._window -= self._size
            self._due[stream] = due
            self.lateness.append(now - due)
            out += self._request(stream, due + self._deadline_s - now)
        if out:
            self._send(bytes(out))

    def _request(self, stream: int, left_s: float) -> bytes:
        number = struct.pack(">I", stream)
        block = self._blocks[stream > 1]
        if left_s < math.inf:
            block += b"\0" + _hpack_text("grpc-timeout") + _hpack_text(f"{max(left_s * 1000, 1):.0f}m")
        out = _head(_HEADERS, _END_HEADERS, block) + number + block
        *before, last = self._pieces
        for piece in before:
            out += _head(_DATA, 0, piece) + number + piece
        return out + _head(_DATA, _END_STREAM, last) + number + last

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
        data = self._unread + block
        place = 0
        while len(data) - place >= 9:
            end = place + 9 + int.from_bytes(data[place : place + 3], "big")
            if end > len(data):
                break
            stream = int.from_bytes(data[place + 5 : place + 9], "big")
            self._take(data[place + 3], data[place + 4], stream, data[place + 9 : end], now)
            place = end
        self._unread = data[place:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if stream in self._due:
            self._advance(kind, flags, stream, now)
        elif not stream:
            self._heed(kind, flags, payload)

    def _advance(self, kind: int, flags: int, stream: int, now: float) -> None:
        """Take a frame of a call under way."""
        if kind == _DATA:
            self._answering.add(stream)
        if kind == _RST_STREAM:
            self._answering.discard(stream)
            self.broken.append(self._due.pop(stream))
        elif kind in (_HEADERS, _DATA) and flags & _END_STREAM:
            due = self._due.pop(stream)
            if stream in self._answering:
                self._answering.remove(stream)
                self.answered.append((due, now))
            else:
                self.refused.append(due)

    def _heed(self, kind: int, flags: int, payload: bytes) -> None:
        """Do what the connection asks for."""
        if kind == _WINDOW_UPDATE:
            self._window += int.from_bytes(payload, "big")
        elif kind == _SETTINGS and not flags & _ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == _MAX_CONCURRENT_STREAMS:
                    self._places = value
            self._send(_frame(_SETTINGS, _ACK, b""))
        elif kind == _PING and not flags & _ACK:
            self._send(_frame(_PING, _ACK, payload))
        elif kind == _GOAWAY:
            self.alive = False
