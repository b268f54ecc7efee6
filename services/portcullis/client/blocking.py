"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc
from grpc_health.v1 import health_pb2

from portcullis.client.channels import HEALTH_CHECK, ChannelGuard, call_metadata, open_channel
from portcullis.client.errors import ClientError, DeadlineExceeded, FailedCall, Unavailable, error_of_call
from portcullis.client.event_messages import (
    EVENT_BATCH,
    checkpoint_of,
    consistency_of,
    event_answers_of,
    message_of,
    proven_receipt_of,
    unreported,
    watched_of,
)
from portcullis.client.events import Event, EventAnswer, Watched
from portcullis.client.messages import BATCH, answer_of, answers_of, caller_of, chunks, decision_of, failed, request_of
from portcullis.client.proofs import Checkpoint, ConsistencyProof, ProvenReceipt
from portcullis.client.resuming import SILENCE_S, Resumption, Watchdog, silent
from portcullis.client.values import Answer, AttributeValue, CallerAnswer, Decision, Identifier, Question
from portcullis.v1 import (
    caller_service_pb2,
    caller_service_pb2_grpc,
    check_service_pb2,
    check_service_pb2_grpc,
    sharing_service_pb2,
    sharing_service_pb2_grpc,
)

_Response = TypeVar("_Response")


class Client:
    """A partner's connection to a gateway; share one between threads, and make it after a fork, never before.

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
        self._channel = open_channel(target, credentials)
        self._guard = ChannelGuard()
        self._checks = check_service_pb2_grpc.CheckServiceStub(self._channel)
        self._callers = caller_service_pb2_grpc.CallerServiceStub(self._channel)
        self._sharing = sharing_service_pb2_grpc.SharingServiceStub(self._channel)
        self._health = self._channel.unary_unary(
            HEALTH_CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    def check(
        self,
        identifiers: Iterable[Identifier],
        *,
        action: str,
        purpose: str,
        attributes: Mapping[str, AttributeValue] | None = None,
        partner_reference: str = "",
        at_least_snapshot: str = "",
        dry_run: bool = False,
        redress_number: str = "",
        locale: str = "",
        timeout_s: float | None = None,
    ) -> Decision:
        """Ask whether one customer may do one thing; the fields are those of `Question`. Blocks on the network.

        Raises:
            ClientError: there is no decision; no kind of error means ALLOW.
        """
        customer = tuple(identifiers)
        reference, snapshot = partner_reference, at_least_snapshot
        question = Question(
            customer, action, purpose, attributes or {}, reference, snapshot, dry_run, redress_number, locale
        )
        return self.ask(question, timeout_s=timeout_s)

    def ask(self, question: Question, *, timeout_s: float | None = None) -> Decision:
        """Ask a question made before. Blocks on the network.

        Raises:
            ClientError: there is no decision; no kind of error means ALLOW.
        """
        self._guard.check()
        try:
            response = self._checks.Check(request_of(question), timeout=self._deadline(timeout_s), metadata=self._metadata)
        except grpc.RpcError as fault:
            raise error_of_call(cast("FailedCall", fault)) from None
        return decision_of(response)

    def batch_check(self, questions: Iterable[Question], *, timeout_s: float | None = None) -> list[Answer]:
        """Ask any number of questions, in calls of up to 1,000; each call is answered from one snapshot. Blocks.

        Gives one answer for each question, in their order. Nothing is raised for a call that fails: each question of it
        gets the call's error, and the other calls stand. ``timeout_s`` is for each call.

        Raises:
            TypeError: a question holds a value of a type that the contract has no place for.
            ValueError: a question holds a whole number beyond 64 bits.
        """
        self._guard.check()
        return [answer for chunk in chunks(questions, BATCH) for answer in self._batch(chunk, self._deadline(timeout_s))]

    def stream_check(self, questions: Iterable[tuple[str, Question]], *, timeout_s: float = 300.0) -> Iterator[Answer]:
        """Ask (request id, question) pairs as they come, and give each answer as it comes. Blocks on the network.

        ``timeout_s`` is for the whole stream. ``questions`` is read in a thread of gRPC's; when it raises, what was asked
        before is answered and then its exception is raised here. Leaving the loop early gives up the stream.

        Raises:
            ClientError: the stream broke; what has no answer yet was not decided.
        """
        self._guard.check()
        faults: list[Exception] = []
        call = self._checks.StreamCheck(_requests(questions, faults), timeout=timeout_s, metadata=self._metadata)
        try:
            for response in call:
                yield answer_of(response.result, response.request_id)
        except grpc.RpcError as fault:
            raise error_of_call(cast("FailedCall", fault)) from None
        finally:
            call.cancel()
        for each in faults:
            raise each

    def lookup_caller(self, phone: str, *, purpose: str = "", timeout_s: float | None = None) -> CallerAnswer:
        """Ask what may be shown of a caller; ``phone`` in E.164 form. Blocks on the network.

        Raises:
            ClientError: there is no answer.
        """
        self._guard.check()
        request = caller_service_pb2.LookupCallerRequest(phone=phone, purpose=purpose)
        try:
            response = self._callers.LookupCaller(request, timeout=self._deadline(timeout_s), metadata=self._metadata)
        except grpc.RpcError as fault:
            raise error_of_call(cast("FailedCall", fault)) from None
        return caller_of(response)

    def report_events(self, events: Iterable[Event], *, timeout_s: float = 10.0) -> list[EventAnswer]:
        """Report any number of events, in calls of up to 500, one after another. Blocks on the network.

        Gives one answer for each event, in their order. Nothing is raised for a call that fails: each event of it gets the
        call's error, and the other calls stand. Report what has no receipt again: an event that is there already gets its
        first receipt. ``timeout_s`` is for each call.

        Raises:
            TypeError: an event holds a value of a type that the contract has no place for.
            ValueError: a time without a zone, or a code that the contract does not name.
        """
        return list(self.stream_events(events, batch=EVENT_BATCH, timeout_s=timeout_s))

    def stream_events(self, events: Iterable[Event], *, batch: int = 100, timeout_s: float = 10.0) -> Iterator[EventAnswer]:
        """Report events as they come, in calls of ``batch``, and give each answer as it comes; as `report_events`.

        No more than one call's events are read ahead. ``timeout_s`` is for each call.
        """
        self._guard.check()
        for chunk in chunks(events, min(batch, EVENT_BATCH)):
            yield from self._report(chunk, timeout_s)

    def get_receipt(self, event_id: str, *, timeout_s: float | None = None) -> ProvenReceipt:
        """Give the receipt of an event that you have reported, with its proof once there is one. Blocks on the network.

        Raises:
            ClientError: there is no receipt; NotFound when you have reported no such event.
        """
        request = sharing_service_pb2.GetReceiptRequest(event_id=event_id)
        return proven_receipt_of(self._called(self._sharing.GetReceipt, request, timeout_s))

    def get_checkpoint(self, *, timeout_s: float | None = None) -> Checkpoint | None:
        """Give the log's newest signed checkpoint, None while the log is empty. Blocks on the network.

        Raises:
            ClientError: there is no answer.
        """
        request = sharing_service_pb2.GetCheckpointRequest()
        response = self._called(self._sharing.GetCheckpoint, request, timeout_s)
        return checkpoint_of(response.checkpoint) if response.HasField("checkpoint") else None

    def get_consistency_proof(
        self, first_size: int, second_size: int = 0, *, timeout_s: float | None = None
    ) -> ConsistencyProof:
        """Give the proof that the log of a later size (0: the newest checkpoint's) adds to an earlier one. Blocks.

        Raises:
            ClientError: there is no proof.
        """
        request = sharing_service_pb2.GetConsistencyProofRequest(first_size=first_size, second_size=second_size)
        return consistency_of(self._called(self._sharing.GetConsistencyProof, request, timeout_s))

    def watch_changes(
        self, cursor: str = "", *, lists: Iterable[str] = (), silence_s: float = SILENCE_S
    ) -> Iterator[Watched]:
        """Give the changes on the lists of your agreements, and heartbeats, without end. Blocks on the network.

        ``cursor`` is the last one that you have dealt with, "" for what happens from now on, "oldest" for everything that is
        kept. Once it was answered, a watch resumes by itself from the last cursor when its stream breaks, or brings
        nothing for ``silence_s`` seconds. Leaving the loop ends it.

        Raises:
            ClientError: there is nothing to watch, or not any more: OutOfRange for a cursor that is too old.
        """
        resumption, named = Resumption(), tuple(lists)
        while True:
            self._guard.check()
            error: ClientError | None = None
            request = sharing_service_pb2.WatchChangesRequest(cursor=cursor, lists=named)
            call = self._sharing.WatchChanges(request, metadata=self._metadata)
            watchdog = Watchdog(call.cancel, silence_s)
            try:
                watchdog.wait_begins()
                for response in call:
                    watchdog.wait_ends()
                    resumption.received()
                    cursor = response.cursor
                    yield watched_of(response)
                    watchdog.wait_begins()
            except grpc.RpcError as fault:
                error = silent(silence_s) if watchdog.has_given_up else error_of_call(cast("FailedCall", fault))
            finally:
                watchdog.close()
                call.cancel()
            time.sleep(resumption.pause_s(error))

    def ready(self, *, timeout_s: float | None = None) -> bool:
        """Ask whether the gateway is there and serves; False when it can't be reached in time. Blocks on the network.

        Raises:
            ClientError: something answered that has no health service.
        """
        self._guard.check()
        try:
            response = self._health(health_pb2.HealthCheckRequest(), timeout=self._deadline(timeout_s))
        except grpc.RpcError as fault:
            error = error_of_call(cast("FailedCall", fault))
            if isinstance(error, Unavailable | DeadlineExceeded):
                return False
            raise error from None
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        """Close the channel; calls under way end as Cancelled."""
        self._guard.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _deadline(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    def _called(self, method: Callable[..., _Response], request: Any, timeout_s: float | None) -> _Response:
        self._guard.check()
        try:
            return method(request, timeout=self._deadline(timeout_s), metadata=self._metadata)
        except grpc.RpcError as fault:
            raise error_of_call(cast("FailedCall", fault)) from None

    def _report(self, events: list[Event], timeout_s: float) -> list[EventAnswer]:
        request = sharing_service_pb2.ReportEventsRequest(events=map(message_of, events))
        try:
            response = self._sharing.ReportEvents(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as fault:
            error: ClientError = error_of_call(cast("FailedCall", fault))
            return unreported(error, events)
        return event_answers_of(response, events)

    def _batch(self, questions: list[Question], timeout_s: float) -> list[Answer]:
        request = check_service_pb2.BatchCheckRequest(requests=map(request_of, questions))
        try:
            response = self._checks.BatchCheck(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as fault:
            error: ClientError = error_of_call(cast("FailedCall", fault))
            return failed(error, len(questions))
        return answers_of(response, len(questions))


def _requests(
    questions: Iterable[tuple[str, Question]], faults: list[Exception]
) -> Iterator[check_service_pb2.StreamCheckRequest]:
    """Write the questions as they come. A fault of theirs ends the stream in order and is kept for the reader."""
    try:
        for request_id, question in questions:
            yield check_service_pb2.StreamCheckRequest(request_id=request_id, check=request_of(question))
    except Exception as fault:  # noqa: BLE001 - whatever the caller's own iterable raises goes back to the caller
        faults.append(fault)
