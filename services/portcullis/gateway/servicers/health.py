"""grpc.health.v1: how this server is, and each of its services.

The messages are the library's and its servicer is not: that one writes to whoever watches under the lock that every change
takes, so somebody who watches and does not read stops all changes, a worker's first SERVING and its drain among them. Here
whoever watches waits alone, and not for long. Requests are parsed here, as in `standard`, each in its turn (`looks`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from portcullis.domain.errors import NotFound, PortcullisError, ReaderTooSlow
from portcullis.gateway.front import Handlers, end_with
from portcullis.gateway.messages.requests import parse
from portcullis.gateway.messages.statuses import to_status
from portcullis.gateway.servicers.looks import Looks

HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

READ_WITHIN_S: Final = 5.0
"""How long a message of a watch may wait for its reader. On native a thread waits with it."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """How this server is, and each of its services, all alike. It begins with NOT_SERVING.

    Args:
        services: their names.
    """

    def __init__(self, services: Iterable[str]) -> None:
        # "" is the server as a whole.
        self._services = frozenset(("", *services))
        self._serving = False
        self._drained = False
        self._change = asyncio.Event()

    @property
    def change(self) -> asyncio.Event:
        """What is set at the next change."""
        return self._change

    def set(self, *, serving: bool) -> None:
        """Say whether requests are answered; the same again costs nothing."""
        if self._drained or serving == self._serving:
            return
        self._serving = serving
        self._change.set()
        self._change = asyncio.Event()

    def drain(self) -> None:
        """Say NOT_SERVING from now on, whatever is set."""
        self.set(serving=False)
        self._drained = True

    def of(self, service: str) -> health_pb2.HealthCheckResponse:
        """Say how a service is; SERVICE_UNKNOWN for what is none."""
        if service not in self._services:
            return health_pb2.HealthCheckResponse(status=_UNKNOWN)
        return health_pb2.HealthCheckResponse(status=_SERVING if self._serving else _NOT_SERVING)


def health_handlers(health: Health, looks: Looks) -> Handlers:
    """Give the methods of grpc.health.v1 that are served: Check and Watch. ``looks`` bounds both."""

    async def check(body: bytes, context: Any) -> bytes:
        try:
            await looks.turn(context.peer())
            answer = health.of(parse(health_pb2.HealthCheckRequest, body).service)
            if answer.status == _UNKNOWN:
                raise NotFound("this server has no such service")
            return answer.SerializeToString()
        except PortcullisError as fault:
            status = rpc_status.to_status(to_status(fault))
        return await end_with(status, context)

    async def watch(body: bytes, context: Any) -> None:
        connection = context.peer()
        try:
            await looks.turn(connection)
            request = parse(health_pb2.HealthCheckRequest, body)
            with looks.watch(connection):
                await _tell(health, request.service, context)
        except grpc.aio.InternalError:
            # So grpcio says that a message can't be written: the caller is gone, and nobody is there to be told.
            return
        except PortcullisError as fault:
            status = rpc_status.to_status(to_status(fault))
        await end_with(status, context)

    return {
        "Check": grpc.unary_unary_rpc_method_handler(check),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
    }


async def _tell(health: Health, service: str, context: Any) -> None:
    """Write how a service is, and again after each change, without end.

    Raises:
        ReaderTooSlow: nobody reads.
    """
    told = None
    while True:
        # Taken before it is looked at, so that no change comes between.
        change = health.change
        if (answer := health.of(service)) != told:
            try:
                async with asyncio.timeout(READ_WITHIN_S):
                    await context.write(answer.SerializeToString())
            except TimeoutError:
                raise ReaderTooSlow("watch again") from None
            told = answer
        await change.wait()
