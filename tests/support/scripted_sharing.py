"""A SharingService whose answers a test writes, so that what people read of them is the same at every run."""
# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

from portcullis.v1 import sharing_service_pb2 as pb
from portcullis.v1 import sharing_service_pb2_grpc

RECORDED_AT = 1_800_000_000


class ScriptedSharing(sharing_service_pb2_grpc.SharingServiceServicer):
    """Gives each event a receipt unless ``errors`` has another answer for its id; each watch gives the next script.

    Attributes:
        failing: the status that every batch fails with, None for none.
    """

    def __init__(self) -> None:
        self.errors: dict[str, status_pb2.Status] = {}
        self.failing: status_pb2.Status | None = None
        self.batches: list[list[str]] = []
        self.sequences: dict[str, int] = {}
        self.watches: list[pb.WatchChangesRequest] = []
        self.scripts: deque[Sequence[pb.WatchChangesResponse]] = deque()

    async def ReportEvents(self, request: pb.ReportEventsRequest, context: Any) -> pb.ReportEventsResponse:
        self.batches.append([each.event_id for each in request.events])
        if self.failing is not None:
            await context.abort_with_status(rpc_status.to_status(self.failing))
        return pb.ReportEventsResponse(results=[self._result(each) for each in request.events])

    def _result(self, event: pb.Event) -> pb.EventResult:
        if event.event_id in self.errors:
            return pb.EventResult(error=self.errors[event.event_id])
        sequence = self.sequences.setdefault(event.event_id, len(self.sequences))
        receipt = pb.Receipt(event_id=event.event_id, sequence=sequence, entry_hash=bytes([sequence % 256]) * 32)
        receipt.recorded_at.seconds = RECORDED_AT + sequence
        return pb.EventResult(receipt=receipt)

    async def WatchChanges(self, request: pb.WatchChangesRequest, context: Any) -> AsyncIterator[pb.WatchChangesResponse]:
        self.watches.append(request)
        for each in self.scripts.popleft() if self.scripts else ():
            yield each
        if self.scripts:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(sharing: ScriptedSharing) -> AsyncIterator[str]:
    """Serve on a free loopback port; gives the target."""
    server = grpc.aio.server()
    sharing_service_pb2_grpc.add_SharingServiceServicer_to_server(sharing, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
