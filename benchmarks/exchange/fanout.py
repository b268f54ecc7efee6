"""The bare fan-out: a server that writes one message to every stream when it is told to, and does nothing else.

Run as a module it serves on the transport that the exchange has and prints ``fanout ready`` with its address. A call of
`TELL` has every stream of `WATCH` get the bytes that were sent with it.
"""

from __future__ import annotations

import asyncio

import grpc
import uvloop

from portcullis.config import Settings
from portcullis.gateway.transport.serving import serving
from portcullis.v1 import sharing_service_pb2 as pb

SERVICE = "portcullis.benchmark.Fanout"
WATCH = f"/{SERVICE}/Watch"
TELL = f"/{SERVICE}/Tell"


class Fanout:
    """What every stream waits for."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self._message = b""

    async def watch(self, _body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        """Write a first message, and then each as it is told."""
        told = self._told
        await context.write(pb.WatchChangesResponse(heartbeat=pb.Heartbeat()).SerializeToString())
        while await told.wait():
            told = self._told
            await context.write(self._message)

    async def tell(self, body: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """Have a message written to every stream."""
        told, self._told, self._message = self._told, asyncio.Event(), body
        told.set()
        return b""


async def run() -> None:
    """Serve until the process is ended."""
    fanout = Fanout()
    handlers = {
        "Watch": grpc.unary_stream_rpc_method_handler(fanout.watch),
        "Tell": grpc.unary_unary_rpc_method_handler(fanout.tell),
    }
    async with serving(Settings(grpc_port=0), {SERVICE: handlers}) as (port, _):
        print(f"fanout ready 127.0.0.1:{port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run())
