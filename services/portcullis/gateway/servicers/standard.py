"""Reflection, a standard service, with requests parsed here, as those of health are (`portcullis.gateway.servicers.health`).

Left to the library, bytes that are no message end a call as UNKNOWN or INTERNAL, and a traceback is logged for each: anyone
could fill the log without a key. Here they are refused as everywhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_status import rpc_status

from portcullis.domain.errors import Unparsable
from portcullis.gateway.front import Handlers, end_with
from portcullis.gateway.messages.requests import parse
from portcullis.gateway.messages.statuses import to_status

REFLECTION = reflection.SERVICE_NAME
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
"""Reflection under its later name; the messages are the same on the wire."""


def reflection_handlers(servicer: reflection.aio.ReflectionServicer) -> Handlers:
    """Give the method of server reflection, for either of its names."""

    async def info(bodies: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        try:
            answers: Any = servicer.ServerReflectionInfo(_parsed(bodies), context)
            async for answer in answers:
                yield answer.SerializeToString()
        except Unparsable as fault:
            status = _status_of(fault)
        else:
            return
        await end_with(status, context)

    return {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(info)}


async def _parsed(bodies: AsyncIterator[bytes]) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    async for body in bodies:
        yield parse(reflection_pb2.ServerReflectionRequest, body)


def _status_of(fault: Unparsable) -> grpc.Status:
    return rpc_status.to_status(to_status(fault))
