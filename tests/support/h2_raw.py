"""An HTTP/2 connection whose frames are written by hand, for what no well-behaved client would send.

Frames are built by hyperframe (RFC 9113) and header blocks by hpack (RFC 7541). What comes back is read beside, so that the
peer is never held up by an attacker that does not read, and counted.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CHECK = "/portcullis.v1.CheckService/Check"
STREAM_CHECK = "/portcullis.v1.CheckService/StreamCheck"
HEALTH = "/grpc.health.v1.Health/Check"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"

NOTHING = bytes(5)
"""A message without a field, with the five bytes that are before each."""

_FLUSH_BYTES = 64 * 1024


class RawConnection:
    """One connection.

    Attributes:
        seen: how many frames of each type came back.
        resets: how many streams the peer has reset, by error code.
        statuses: how many calls the peer has ended, by their gRPC status, "" for none.
        goaway: the error code of the peer's GOAWAY; None without one.
        places: how many streams the peer allows on the connection; None before it has said so.
        closed: whether the peer has closed the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._encoder, self._decoder = Encoder(), Decoder()
        self._next_stream = 1
        self._pending = bytearray()
        self.seen: Counter[str] = Counter()
        self.resets: Counter[int] = Counter()
        self.statuses: Counter[str] = Counter()
        self.goaway: int | None = None
        self.places: int | None = None
        self.closed = asyncio.Event()
        self._reading = asyncio.create_task(self._read(), name="raw-h2")

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()
        with suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()

    async def send(self, *frames: Frame | bytes) -> bool:
        """Write frames, by the dozen; False once the peer is gone."""
        for frame in frames:
            self._pending += frame if isinstance(frame, bytes) else frame.serialize()
        return len(self._pending) < _FLUSH_BYTES or await self.flush()

    async def flush(self) -> bool:
        """Write what waits; False once the peer is gone."""
        if self.closed.is_set():
            return False
        try:
            self._writer.write(bytes(self._pending))
            self._pending.clear()
            await self._writer.drain()
            # Whoever else is on this loop must not wait for the whole of an attack.
            await asyncio.sleep(0)
        except OSError:
            self.closed.set()
        return not self.closed.is_set()

    def request(
        self,
        path: str = CHECK,
        fields: Mapping[str, str] | None = None,
        *,
        end_headers: bool = True,
        key: str | None = None,
    ) -> HeadersFrame:
        """The HEADERS of a gRPC request on the next stream, whose body is still to come."""
        frame = HeadersFrame(self._next_stream)
        self._next_stream += 2
        frame.data = self._encoder.encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "localhost"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                *([("authorization", f"Bearer {key}")] if key is not None else []),
                *(fields or {}).items(),
            ]
        )
        if end_headers:
            frame.flags.add("END_HEADERS")
        return frame

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                frame, length = Frame.parse_frame_header(memoryview(head))
                frame.parse_body(memoryview(await self._reader.readexactly(length)))
                self.seen[type(frame).__name__] += 1
                self._take(frame)
        except (asyncio.IncompleteReadError, OSError, ssl.SSLError):
            self.closed.set()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        elif isinstance(frame, RstStreamFrame):
            self.resets[frame.error_code] += 1
        elif isinstance(frame, HeadersFrame):
            # Each block has to be read, since it may change the table for the next.
            fields = dict(self._decoder.decode(frame.data))
            if "END_STREAM" in frame.flags:
                self.statuses[str(fields.get("grpc-status", ""))] += 1
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.places = frame.settings.get(SettingsFrame.MAX_CONCURRENT_STREAMS, self.places)
            self._pending += _ack_of(frame)
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._pending += _ack_of(frame)


def _ack_of(frame: SettingsFrame | PingFrame) -> bytes:
    ack = type(frame)(0)
    ack.flags.add("ACK")
    if isinstance(ack, PingFrame) and isinstance(frame, PingFrame):
        ack.opaque_data = frame.opaque_data
    return ack.serialize()


@asynccontextmanager
async def raw_connection(
    port: int, tls: ssl.SSLContext | None = None, settings: Mapping[int, int] | None = None
) -> AsyncIterator[RawConnection]:
    """Connect to a port of the loopback and say hello; ``settings`` are the client's, by number."""
    name = "localhost" if tls is not None else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    connection = RawConnection(reader, writer)
    try:
        await connection.send(PREFACE, SettingsFrame(0, settings=dict(settings or {})))
        await connection.flush()
        yield connection
    finally:
        await connection.close()


def data(stream: int, content: bytes, *, end: bool = False) -> DataFrame:
    """A DATA frame."""
    frame = DataFrame(stream, content)
    if end:
        frame.flags.add("END_STREAM")
    return frame


def continuation(stream: int, block: bytes) -> ContinuationFrame:
    """A CONTINUATION frame that is not the last."""
    return ContinuationFrame(stream, block)


async def until(condition: object, within_s: float) -> bool:
    """Wait for an event or a callable; say whether it came true in time."""
    deadline = time.monotonic() + within_s
    while not (condition.is_set() if isinstance(condition, asyncio.Event) else condition()):  # type: ignore[operator]
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(0.01)
    return True
