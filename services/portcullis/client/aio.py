"""The asyncio client: the surface of the blocking one."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from portcullis.client.channels import HEALTH_CHECK, ChannelGuard, call_metadata, channel_options
from portcullis.client.errors import DeadlineExceeded, Unavailable, error_of_call
from portcullis.client.messages import BATCH, answer_of, answers_of, caller_of, chunks, decision_of, failed, request_of
from portcullis.client.values import Answer, AttributeValue, CallerAnswer, Decision, Identifier, Question
from portcullis.v1 import caller_service_pb2, caller_service_pb2_grpc, check_service_pb2, check_service_pb2_grpc

Questions = Iterable[tuple[str, Question]] | AsyncIterable[tuple[str, Question]]


class AioClient:
    """A partner's connection to a gateway, for one event loop; make it inside the loop, and after a fork, never before.

    Args:
        target: the gateway, as gRPC names it: ``host:port``, ``dns:///name:port``, ``unix:/path``.
        api_key: the partner's key; it travels as ``authorization: Bearer KEY``.
        timeout_s: the deadline of a call in seconds, its retries included, where the call gives none.
        credentials: TLS credentials of the channel; None for plain text, which is for loopback and private networks.

    Raises:
        ValueError: the key can't be a key.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:50051",
        *,
        api_key: str | None = None,
        timeout_s: float = 1.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._metadata = call_metadata(api_key)
        self._timeout_s = timeout_s
        options = channel_options(target)
        self._channel = (
            grpc.aio.insecure_channel(target, options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options)
        )
        self._guard = ChannelGuard()
        self._checks = check_service_pb2_grpc.CheckServiceStub(self._channel)
        self._callers = caller_service_pb2_grpc.CallerServiceStub(self._channel)
        self._health = self._channel.unary_unary(
            HEALTH_CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def check(
        self,
        identifiers: Iterable[Identifier],
        *,
        action: str,
        purpose: str,
        attributes: Mapping[str, AttributeValue] | None = None,
        partner_reference: str = "",
        at_least_snapshot: str = "",
        dry_run: bool = False,
        timeout_s: float | None = None,
    ) -> Decision:
        """Ask whether one customer may do one thing; the fields are those of `Question`.

        Raises:
            ClientError: there is no decision; no kind of error means ALLOW.
        """
        question = Question(
            tuple(identifiers), action, purpose, attributes or {}, partner_reference, at_least_snapshot, dry_run
        )
        return await self.ask(question, timeout_s=timeout_s)

    async def ask(self, question: Question, *, timeout_s: float | None = None) -> Decision:
        """Ask a question made before.

        Raises:
            ClientError: there is no decision; no kind of error means ALLOW.
        """
        self._guard.check()
        try:
            response = await self._checks.Check(
                request_of(question), timeout=self._deadline(timeout_s), metadata=self._metadata
            )
        except grpc.aio.AioRpcError as fault:
            raise error_of_call(fault) from None
        return decision_of(response)

    async def batch_check(self, questions: Iterable[Question], *, timeout_s: float | None = None) -> list[Answer]:
        """Ask any number of questions, in calls of up to 1,000, one after another; each is answered from one snapshot.

        Gives one answer for each question, in their order. Nothing is raised for a call that fails: each question of it
        gets the call's error, and the other calls stand. ``timeout_s`` is for each call.

        Raises:
            TypeError: a question holds a value of a type that the contract has no place for.
            ValueError: a question holds a whole number beyond 64 bits.
        """
        self._guard.check()
        answers: list[Answer] = []
        for chunk in chunks(questions, BATCH):
            answers += await self._batch(chunk, self._deadline(timeout_s))
        return answers

    async def stream_check(self, questions: Questions, *, timeout_s: float = 300.0) -> AsyncIterator[Answer]:
        """Ask (request id, question) pairs as they come, and give each answer as it comes.

        ``timeout_s`` is for the whole stream. When ``questions`` raises, what was asked before is answered and then its
        exception is raised here. Leaving the loop early gives up the stream.

        Raises:
            ClientError: the stream broke; what has no answer yet was not decided.
        """
        self._guard.check()
        faults: list[Exception] = []
        call = self._checks.StreamCheck(_requests(questions, faults), timeout=timeout_s, metadata=self._metadata)
        try:
            async for response in call:
                yield answer_of(response.result, response.request_id)
        except grpc.aio.AioRpcError as fault:
            raise error_of_call(fault) from None
        finally:
            call.cancel()
        for each in faults:
            raise each

    async def lookup_caller(self, phone: str, *, purpose: str = "", timeout_s: float | None = None) -> CallerAnswer:
        """Ask what may be shown of a caller; ``phone`` in E.164 form.

        Raises:
            ClientError: there is no answer.
        """
        self._guard.check()
        request = caller_service_pb2.LookupCallerRequest(phone=phone, purpose=purpose)
        try:
            response = await self._callers.LookupCaller(request, timeout=self._deadline(timeout_s), metadata=self._metadata)
        except grpc.aio.AioRpcError as fault:
            raise error_of_call(fault) from None
        return caller_of(response)

    async def ready(self, *, timeout_s: float | None = None) -> bool:
        """Ask whether the gateway is there and serves; False when it can't be reached in time.

        Raises:
            ClientError: something answered that has no health service.
        """
        self._guard.check()
        try:
            response = await self._health(health_pb2.HealthCheckRequest(), timeout=self._deadline(timeout_s))
        except grpc.aio.AioRpcError as fault:
            error = error_of_call(fault)
            if isinstance(error, Unavailable | DeadlineExceeded):
                return False
            raise error from None
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close the channel; calls under way end as Cancelled."""
        self._guard.close()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _deadline(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    async def _batch(self, questions: list[Question], timeout_s: float) -> list[Answer]:
        request = check_service_pb2.BatchCheckRequest(requests=map(request_of, questions))
        try:
            response = await self._checks.BatchCheck(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as fault:
            return failed(error_of_call(fault), len(questions))
        return answers_of(response, len(questions))


async def _requests(questions: Questions, faults: list[Exception]) -> AsyncIterator[check_service_pb2.StreamCheckRequest]:
    """Write the questions as they come. A fault of theirs ends the stream in order and is kept for the reader."""
    try:
        async for request_id, question in _each(questions):
            yield check_service_pb2.StreamCheckRequest(request_id=request_id, check=request_of(question))
    except Exception as fault:  # noqa: BLE001 - whatever the caller's own iterable raises goes back to the caller
        faults.append(fault)


async def _each(questions: Questions) -> AsyncIterator[tuple[str, Question]]:
    if isinstance(questions, AsyncIterable):
        async for each in questions:
            yield each
    else:
        for each in questions:
            yield each
