"""grpc.health.v1 on both transports: whoever watches is told of each change, and holds up nobody by not reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import get_args

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from portcullis.config import Settings, Transport
from portcullis.gateway.servicers import health as module
from portcullis.gateway.servicers.health import Health
from portcullis.gateway.servicers.looks import Looks
from portcullis.gateway.transport.serving import serving
from portcullis.gateway.transport.transports import available
from tests.support.h2_attacks import INITIAL_WINDOW
from tests.support.h2_raw import HEALTH_WATCH, NOTHING, data, raw_connection, until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
SERVICE = "portcullis.tests.Some"


@pytest.fixture(params=get_args(Transport))
def transport(request: pytest.FixtureRequest) -> Transport:
    if not available(request.param):
        pytest.skip(f"the transport {request.param} is not installed")
    name: Transport = request.param
    return name


@asynccontextmanager
async def asked(transport: Transport) -> AsyncIterator[tuple[int, Health, health_pb2_grpc.HealthStub]]:
    settings = Settings(grpc_port=0, transport=transport, drain_s=0.1)
    async with (
        serving(settings, {SERVICE: {}}) as (port, health),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield port, health, health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_whoever_watches_is_told_of_each_change(transport: Transport, service: str) -> None:
    async with asked(transport) as (_, health, stub), asyncio.timeout(10):
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=service))
        told = [(await watch.read()).status]
        for is_serving in (True, True, False, True):
            health.set(serving=is_serving)
            told += [] if is_serving == (told[-1] == SERVING) else [(await watch.read()).status]
        health.drain()
        health.set(serving=True)
        told.append((await watch.read()).status)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))

    assert [NOT_SERVING, SERVING, NOT_SERVING, SERVING, NOT_SERVING] == told
    assert NOT_SERVING == answer.status


async def test_a_service_that_is_not_here_is_unknown_to_whoever_watches_it(transport: Transport) -> None:
    async with asked(transport) as (_, _, stub), asyncio.timeout(10):
        answer = await stub.Watch(health_pb2.HealthCheckRequest(service="x")).read()

    assert SERVICE_UNKNOWN == answer.status


async def test_who_watches_and_does_not_read_stops_no_change_and_no_drain(transport: Transport) -> None:
    # The connection that does not read is there until the server has stopped.
    async with asyncio.timeout(20), AsyncExitStack() as held, asked(transport) as (port, health, stub):
        silent = await held.enter_async_context(raw_connection(port, settings={INITIAL_WINDOW: 0}))
        for _ in range(3):
            request = silent.request(HEALTH_WATCH)
            await silent.send(request, data(request.stream_id, NOTHING, end=True))
        await silent.flush()
        # The headers of an answer are no part of the window.
        assert await until(lambda: silent.seen["HeadersFrame"] >= 3, 10)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        told = [(await watch.read()).status]
        for times in range(20):
            health.set(serving=not times % 2)
            told.append((await watch.read()).status)

    assert [NOT_SERVING, *[SERVING, NOT_SERVING] * 10] == told


class Unread:
    """The context of a call whose caller does not read."""

    def __init__(self) -> None:
        self.status: grpc.Status | None = None

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def write(self, message: bytes) -> None:
        await asyncio.Event().wait()

    async def abort_with_status(self, status: grpc.Status) -> None:
        self.status = status
        raise grpc.aio.AbortError


async def test_a_watch_that_is_not_read_for_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_WITHIN_S", 0.01)
    context = Unread()
    watch = module.health_handlers(Health(()), Looks())["Watch"].unary_stream
    async with asyncio.timeout(10):
        await watch(b"", context)

    assert context.status is not None
    assert grpc.StatusCode.ABORTED == context.status.code
