"""The bare echo: what the transport and protobuf cost on their own, as a servicer of generated code would be.

It parses a message with one bytes field of the request's size and serialises one of the response's size
(``google.protobuf.BytesValue``, so no contract of its own is needed). One method stands for each size of answer.
Run as a module it serves on a free port of loopback and prints ``echo ready ADDRESS``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import get_args

import grpc
import uvloop
from google.protobuf.wrappers_pb2 import BytesValue

from portcullis.config import Settings, Transport
from portcullis.gateway.collecting import settle
from portcullis.gateway.front import Handlers
from portcullis.gateway.transport.serving import serving

SERVICE = "portcullis.benchmarks.Echo"

Handler = Callable[[BytesValue, grpc.aio.ServicerContext], Awaitable[BytesValue]]


def sized_message(size: int) -> bytes:
    """Give a serialised message of ``size`` bytes, from 3 to 16,386: its one field is filled up."""
    overhead = 2 if size <= 129 else 3
    return bytes(BytesValue(value=b"x" * (size - overhead)).SerializeToString())


def _answering(size: int) -> Handler:
    filling = BytesValue.FromString(sized_message(size)).value

    async def echo(request: BytesValue, context: grpc.aio.ServicerContext) -> BytesValue:  # noqa: ARG001 - grpc's signature
        return BytesValue(value=filling)

    return echo


def handlers(sizes: dict[str, int]) -> Handlers:
    """Give one method for each size of answer, made as generated code makes them."""
    return {
        name: grpc.unary_unary_rpc_method_handler(
            _answering(size),
            request_deserializer=BytesValue.FromString,
            response_serializer=BytesValue.SerializeToString,
        )
        for name, size in sizes.items()
    }


async def serve(transport: Transport, sizes: dict[str, int]) -> None:
    """Serve until SIGTERM, with the gateway's own server, options and manner of registration."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    settings = Settings(transport=transport, grpc_host="127.0.0.1", grpc_port=0, drain_s=0)
    async with serving(settings, {SERVICE: handlers(sizes)}) as (port, _):
        settle()
        print(f"echo ready 127.0.0.1:{port}", flush=True)
        await stopped.wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transport", choices=get_args(Transport), required=True)
    parser.add_argument("sizes", nargs="+", metavar="NAME=BYTES")
    arguments = parser.parse_args()
    sizes = {name: int(size) for name, _, size in (each.partition("=") for each in arguments.sizes)}
    uvloop.run(serve(arguments.transport, sizes))


if __name__ == "__main__":
    main()
