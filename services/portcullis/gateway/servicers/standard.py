"""Health and reflection, the standard services, with requests parsed here.

Left to the library, bytes that are no message end a call as UNKNOWN or INTERNAL, and a traceback is logged for each: anyone
could fill the log without a key. Here they are refused as everywhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_status import rpc_status

from portcullis.domain.errors import Unparsable
from portcullis.gateway.front import Handlers, end_with
from portcullis.gateway.messages.requests import parse
from portcullis.gateway.messages.statuses import to_status

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
REFLECTION = reflection.SERVICE_NAME
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
"""Reflection under its later name; the messages are the same on the wire."""


def health_handlers(servicer: health_aio.HealthServicer) -> Handlers:
    """Give the methods of grpc.health.v1 that the library's servicer has: Check and Watch."""

    # The stubs say whose messages a context carries; here it carries bytes, and the library's servicer does not mind.
    async def check(body: bytes, context: Any) -> bytes:
        try:
            request = parse(health_pb2.HealthCheckRequest, body)
        except Unparsable as fault:
            status = _status_of(fault)
        else:
            answer: health_pb2.HealthCheckResponse = await servicer.Check(request, context)
            return answer.SerializeToString()
        return await end_with(status, context)

    async def watch(body: bytes, context: Any) -> None:
        try:
            request = parse(health_pb2.HealthCheckRequest, body)
        except Unparsable as fault:
            status = _status_of(fault)
        else:
            await servicer.Watch(request, context)
            return
        await end_with(status, context)

    return {
        "Check": grpc.unary_unary_rpc_method_handler(check),
        "Watch": grpc.unary_stream_rpc_method_handler(
            watch, response_serializer=health_pb2.HealthCheckResponse.SerializeToString
        ),
    }


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
