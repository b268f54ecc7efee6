"""A driver of many streams: another process holds them open and says when each message has reached every one.

Run as a module it reads a `Plan` as one line of JSON from standard input, prints ``watching`` when every stream has had its
first message, and then for each round of messages ``received`` and the moment (seconds of the monotonic clock, which all
processes of a machine share) at which the last stream had it. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TypeAlias

import grpc
import msgspec
import uvloop

from portcullis.v1 import sharing_service_pb2 as pb

_COME_AGAIN = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
_AGAIN_AFTER_S = (0.05, 0.5)

# The stubs make these generic, the library does not: the aliases are texts.
_Call: TypeAlias = "grpc.aio.UnaryStreamCall[bytes, bytes]"
_Eof: TypeAlias = "grpc.aio.EOFType"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to open: so many streams of a method, over a few channels."""

    address: str
    key: str
    method: str
    streams: int
    channels: int


class _Round:
    """How many streams have had how many changes."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._had: Counter[int] = Counter()

    def note(self, number: int) -> None:
        """Note that one more stream has had its change of this number; 0 is the first message."""
        self._had[number] += 1
        if self._had[number] == self._streams:
            print(f"received {time.monotonic()}" if number else "watching", flush=True)


async def run(plan: Plan) -> None:
    """Watch until standard input ends."""
    # Channels of one target would share one connection otherwise.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(plan.address, options=options) for _ in range(plan.channels)]
    rounds = _Round(plan.streams)
    streams = [asyncio.create_task(_watch(plan, channels[number % plan.channels], rounds)) for number in range(plan.streams)]
    ended = asyncio.create_task(_end_of_input())
    done, _ = await asyncio.wait([ended, *streams], return_when=asyncio.FIRST_COMPLETED)
    for each in streams:
        each.cancel()
    for channel in channels:
        await channel.close()
    for each in done:
        each.result()


async def _watch(plan: Plan, channel: grpc.aio.Channel, rounds: _Round) -> None:
    """Note the first message, and then every change; later heartbeats don't count.

    Raises:
        RuntimeError: the stream ended.
    """
    call, body = await _opened(plan, channel)
    number = 0
    while body is not grpc.aio.EOF:
        if not number or pb.WatchChangesResponse.FromString(body).HasField("change"):
            rounds.note(number)
            number += 1
        body = await call.read()
    raise RuntimeError("a stream ended")


async def _opened(plan: Plan, channel: grpc.aio.Channel) -> tuple[_Call, bytes | _Eof]:
    """Open a stream; gives it with its first message.

    A server refuses some of a thousand streams that come at once, and they come again a moment later, as the SDK does.
    """
    metadata = (("authorization", f"Bearer {plan.key}"),)
    while True:
        call = channel.unary_stream(plan.method)(pb.WatchChangesRequest().SerializeToString(), metadata=metadata)
        try:
            return call, await call.read()
        except grpc.aio.AioRpcError as fault:
            if fault.code() not in _COME_AGAIN:
                raise
        await asyncio.sleep(random.uniform(*_AGAIN_AFTER_S))  # noqa: S311 - it only spreads the calls


async def _end_of_input() -> None:
    """Wait in a thread that nobody has to wait for."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        sys.stdin.buffer.read()
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)))
