"""A real gRPC server whose answers a test writes, and either SDK client driven the same way.

It stands where a gateway stands, so that the clients' deadlines, retries and errors run over the wire; it decides nothing.
"""
# ruff: noqa: N802 - the contract names the methods

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from portcullis.client import AioClient, Answer, CallerAnswer, Client, Decision
from portcullis.v1 import caller_service_pb2 as caller_pb2
from portcullis.v1 import caller_service_pb2_grpc, check_service_pb2_grpc, types_pb2
from portcullis.v1 import check_service_pb2 as check_pb2

Step = Callable[[Any, Any], Awaitable[Any]]


def allow(decision_id: str = "a" * 32) -> check_pb2.CheckResponse:
    """An ALLOW of snapshot 7."""
    return check_pb2.CheckResponse(
        decision_id=decision_id, outcome=types_pb2.OUTCOME_ALLOW, snapshot=types_pb2.SnapshotInfo(version="7")
    )


def status_of(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    """A google.rpc.Status with packed details."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def fail(code: grpc.StatusCode, message: str, *details: Message) -> Step:
    """A step that ends the call with a rich error."""

    async def step(_request: Any, context: Any) -> None:
        await context.abort_with_status(rpc_status.to_status(status_of(code, message, *details)))

    return step


def fail_plainly(code: grpc.StatusCode, message: str, trailers: tuple[tuple[str, bytes], ...] = ()) -> Step:
    """A step that ends the call with a bare status, as a proxy would."""

    async def step(_request: Any, context: Any) -> None:
        await context.abort(code, message, trailers)

    return step


def give(response: Message) -> Step:
    """A step that answers."""

    async def step(_request: Any, _context: Any) -> Message:
        return response

    return step


async def hang(_request: Any, _context: Any) -> None:
    """A step that never answers; the client's deadline ends it."""
    await asyncio.Event().wait()


class ScriptedGateway(check_service_pb2_grpc.CheckServiceServicer, caller_service_pb2_grpc.CallerServiceServicer):
    """Takes the next step of its script for each call, and ALLOWs when the script is done."""

    def __init__(self) -> None:
        self.script: deque[Step] = deque()
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.stream_ended = asyncio.Event()
        self.health = health.aio.HealthServicer()

    async def _play(self, request: Any, context: Any, default: Step) -> Any:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        step = self.script.popleft() if self.script else default
        return await step(request, context)

    async def Check(self, request: Any, context: Any) -> Any:
        return await self._play(request, context, give(allow()))

    async def BatchCheck(self, request: Any, context: Any) -> Any:
        results = [check_pb2.CheckResult(response=allow(each.partner_reference)) for each in request.requests]
        return await self._play(request, context, give(check_pb2.BatchCheckResponse(results=results)))

    async def LookupCaller(self, request: Any, context: Any) -> Any:
        return await self._play(request, context, give(caller_pb2.LookupCallerResponse()))

    async def StreamCheck(self, request_iterator: Any, context: Any) -> Any:
        try:
            async for request in request_iterator:
                result = await self._play(request, context, give(check_pb2.CheckResult(response=allow())))
                yield check_pb2.StreamCheckResponse(request_id=request.request_id, result=result)
        finally:
            self.stream_ended.set()


@asynccontextmanager
async def serving(gateway: ScriptedGateway) -> AsyncIterator[str]:
    """Serve on a free loopback port; gives the target."""
    server = grpc.aio.server()
    check_service_pb2_grpc.add_CheckServiceServicer_to_server(gateway, server)
    caller_service_pb2_grpc.add_CallerServiceServicer_to_server(gateway, server)
    health_pb2_grpc.add_HealthServicer_to_server(gateway.health, server)
    await gateway.health.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class BlockingDriver:
    """Drives the blocking client in a thread, so that the server's loop runs on."""

    def __init__(self, target: str, **options: Any) -> None:
        self.client = Client(target, **options)

    async def check(self, *args: Any, **fields: Any) -> Decision:
        return await asyncio.to_thread(self.client.check, *args, **fields)

    async def batch_check(self, questions: Any, **fields: Any) -> list[Answer]:
        return await asyncio.to_thread(self.client.batch_check, questions, **fields)

    async def stream_check(self, questions: Any, **fields: Any) -> list[Answer]:
        return await asyncio.to_thread(lambda: list(self.client.stream_check(questions, **fields)))

    async def first_of_stream(self, questions: Any) -> Answer:
        def first() -> Answer:
            answers = self.client.stream_check(questions)
            answer = next(iter(answers))
            answers.close()  # type: ignore[attr-defined]
            return answer

        return await asyncio.to_thread(first)

    async def lookup_caller(self, phone: str, **fields: Any) -> CallerAnswer:
        return await asyncio.to_thread(self.client.lookup_caller, phone, **fields)

    async def ready(self, **fields: Any) -> bool:
        return await asyncio.to_thread(self.client.ready, **fields)

    async def close(self) -> None:
        await asyncio.to_thread(self.client.close)


class AioDriver:
    """Drives the asyncio client."""

    def __init__(self, target: str, **options: Any) -> None:
        self.client = AioClient(target, **options)

    async def check(self, *args: Any, **fields: Any) -> Decision:
        return await self.client.check(*args, **fields)

    async def batch_check(self, questions: Any, **fields: Any) -> list[Answer]:
        return await self.client.batch_check(questions, **fields)

    async def stream_check(self, questions: Any, **fields: Any) -> list[Answer]:
        return [answer async for answer in self.client.stream_check(questions, **fields)]

    async def first_of_stream(self, questions: Any) -> Answer:
        answers = self.client.stream_check(questions)
        answer = await anext(answers)
        await answers.aclose()  # type: ignore[attr-defined]
        return answer

    async def lookup_caller(self, phone: str, **fields: Any) -> CallerAnswer:
        return await self.client.lookup_caller(phone, **fields)

    async def ready(self, **fields: Any) -> bool:
        return await self.client.ready(**fields)

    async def close(self) -> None:
        await self.client.close()


Driver = BlockingDriver | AioDriver
