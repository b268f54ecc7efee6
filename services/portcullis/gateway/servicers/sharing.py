"""SharingService: what partners report goes to the report desk, what changed on the lists comes from the feed desk.

An item's fault stays with the item; a journal that can't be used fails the call. On a stream of events each slice is durable
before the next one is taken up, so after a failure the partner sends everything again, and what is there gets its receipts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import NamedTuple

from portcullis.domain.errors import InvalidRequest, PortcullisError, ReaderTooSlow
from portcullis.domain.event_rules import is_event_id
from portcullis.domain.policies import Policy
from portcullis.domain.roles import roles_of
from portcullis.domain.shared_events import SharedEvent
from portcullis.gateway.admission import Caller
from portcullis.gateway.front import Context, Front, Handlers
from portcullis.gateway.inlet import slices
from portcullis.gateway.messages.events import (
    drop_unnamed,
    read_event,
    read_named,
    refuse_unnamed,
    within,
    write_checkpoint,
    write_proof,
    write_watched,
)
from portcullis.gateway.messages.receipts import encode_results, write_receipt
from portcullis.gateway.messages.requests import batch_items, parse
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.quotas.gates import Gates
from portcullis.ports import FeedDesk, Receipt, ReportDesk, Watched
from portcullis.v1 import sharing_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["SharingService"].full_name
REPORTING = roles_of(f"{SERVICE}/ReportEvents")
STREAMING = roles_of(f"{SERVICE}/StreamEvents")
WATCHING = roles_of(f"{SERVICE}/WatchChanges")

MAX_EVENTS = 500
MAX_STREAM = 10_000
MAX_EVENT_BYTES = 4096
"""More than any event within the contract's bounds takes, encoded."""

_SMALL_BATCH_BYTES = 64 * 1024
"""A batch of fewer bytes is soon read, however many empty events it has; most have no more."""

READER_PATIENCE_S = 30.0
"""How long one message of a watch may wait for its reader."""

_MARGIN_S = 0.1
"""Kept of the caller's deadline for recording and answering."""

_LOOK_AGAIN_S = 0.25
"""How long a stream waits for its rate at most before it looks again: its share of it may have grown."""

_Item = SharedEvent | PortcullisError


class SharingDesks(NamedTuple):
    """What the service works on."""

    reports: ReportDesk
    feed: FeedDesk


class SharingServicer:
    """Answers SharingService.

    Args:
        desks: what it works on.
        policy: gives the policy in force; may raise NoSnapshot.
        front: makes the handlers.
        gates: bound what each partner asks and reports.
        reader_patience_s: how long one message of a watch may wait for its reader before the watch ends.
    """

    def __init__(
        self,
        desks: SharingDesks,
        policy: Callable[[], Policy],
        front: Front,
        gates: Gates,
        *,
        reader_patience_s: float = READER_PATIENCE_S,
    ) -> None:
        self._desks = desks
        self._policy = policy
        self._front = front
        self._gate_of = gates.of
        self._reader_patience_s = reader_patience_s

    def handlers(self) -> Handlers:
        """Give the service's methods."""
        front = self._front
        return {
            "ReportEvents": front.raw_unary(f"{SERVICE}/ReportEvents", self.report_events),
            "StreamEvents": front.raw_client_stream(f"{SERVICE}/StreamEvents", self.stream_events),
            "GetReceipt": front.unary(f"{SERVICE}/GetReceipt", pb.GetReceiptRequest, self.get_receipt),
            "GetCheckpoint": front.unary(f"{SERVICE}/GetCheckpoint", pb.GetCheckpointRequest, self.get_checkpoint),
            "GetConsistencyProof": front.unary(
                f"{SERVICE}/GetConsistencyProof", pb.GetConsistencyProofRequest, self.get_consistency_proof
            ),
            "WatchChanges": front.raw_server_stream(f"{SERVICE}/WatchChanges", self.watch_changes),
        }

    async def report_events(self, body: bytes, context: Context) -> bytes:
        """Take a batch of events."""
        caller = self._front.admit(context, REPORTING)
        gate = self._gate_of(caller.holder)
        gate.begin_events()
        events = _read_batch(body)
        gate.more_events(len(events) - 1)
        with gate.under_way():
            outcomes = await self._report(caller, events, context, "events[{}]")
        return encode_results(outcomes)

    async def stream_events(self, bodies: AsyncIterator[bytes], context: Context) -> bytes:
        """Take events as they come; the answer comes at the end."""
        first = self._front.admit(context, STREAMING)
        with self._gate_of(first.holder).stream():
            outcomes = await self._take_slices(first, bodies, context)
        return encode_results(outcomes)

    async def _take_slices(
        self, first: Caller, bodies: AsyncIterator[bytes], context: Context
    ) -> list[Receipt | PortcullisError]:
        """Take a stream's events. One that brings too many a second is not refused, but read no faster than was agreed."""
        gate = self._gate_of(first.holder)
        outcomes: list[Receipt | PortcullisError] = []
        async with slices(bodies, _read_streamed, MAX_EVENTS) as arriving:
            async for events in arriving:
                if len(outcomes) + len(events) > MAX_STREAM:
                    raise InvalidRequest.at("event", f"send at most {MAX_STREAM} on a stream; send the rest on another")
                await _held_up(gate, context)
                gate.more_events(len(events) - 1)
                # The key may have been revoked since the stream began.
                self._front.demand_still(first, context, STREAMING)
                outcomes += await self._report(first, events, context, "event")
        return outcomes

    def _reading(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a read of the log, which costs about what an event does.

        Raises:
            QuotaExceeded: the rate of events is used up, or too many calls are under way.
        """
        gate = self._gate_of(caller.holder)
        gate.begin_events()
        return gate.under_way()

    async def get_receipt(self, caller: Caller, request: pb.GetReceiptRequest) -> pb.GetReceiptResponse:
        """Give the receipt of one of the caller's events, with its proof once there is one."""
        if not is_event_id(request.event_id):
            raise InvalidRequest.at("event_id", "must be the id of an event that you have reported")
        with self._reading(caller):
            receipt, checkpoint, hashes = await self._desks.reports.receipt(caller.holder, request.event_id)
        proof = write_proof(checkpoint, hashes) if checkpoint else None
        return pb.GetReceiptResponse(receipt=write_receipt(receipt), inclusion=proof)

    async def get_checkpoint(self, caller: Caller, request: pb.GetCheckpointRequest) -> pb.GetCheckpointResponse:  # noqa: ARG002
        """Give the newest checkpoint."""
        with self._reading(caller):
            checkpoint = await self._desks.reports.checkpoint()
        return pb.GetCheckpointResponse(checkpoint=write_checkpoint(checkpoint) if checkpoint else None)

    async def get_consistency_proof(
        self,
        caller: Caller,
        request: pb.GetConsistencyProofRequest,
    ) -> pb.GetConsistencyProofResponse:
        """Prove that the log has only been added to."""
        with self._reading(caller):
            checkpoint, hashes = await self._desks.reports.consistency(request.first_size, request.second_size)
        return pb.GetConsistencyProofResponse(checkpoint=write_checkpoint(checkpoint), hashes=hashes)

    async def watch_changes(self, body: bytes, context: Context) -> None:
        """Write changes and heartbeats until the caller leaves; a reader that is too slow is told to resume."""
        caller = self._front.admit(context, WATCHING)
        request = parse(pb.WatchChangesRequest, body)
        refuse_unnamed(request)
        watch = self._desks.feed.watch(caller.holder, request.cursor, tuple(request.lists))
        with self._gate_of(caller.holder).stream():
            async with _closing(watch) as watching:
                async for watched in watching:
                    # The key may have been revoked since; where there is nothing to tell, this is looked at each second.
                    self._front.demand_still(caller, context, WATCHING)
                    if watched is not None:
                        await self._write(write_watched(watched).SerializeToString(), context)

    async def _report(
        self, caller: Caller, events: Sequence[_Item], context: Context, place: str
    ) -> list[Receipt | PortcullisError]:
        """Have events taken; faults are counted and have their place in the request."""
        remaining = context.time_remaining()
        within_s = math.inf if remaining is None else max(remaining - _MARGIN_S, 0.0)
        outcomes = await self._desks.reports.report(self._policy(), caller.holder, events, within_s=within_s)
        told = list(outcomes)
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome, PortcullisError):
                self._front.count(outcome)
                told[number] = within(place.format(number), outcome)
        return told

    async def _write(self, message: bytes, context: Context) -> None:
        """Write one message of a watch.

        Raises:
            ReaderTooSlow: nobody has read for too long, so that the transport takes no more.
        """
        try:
            async with asyncio.timeout(self._reader_patience_s):
                await context.write(message)
        except TimeoutError:
            raise ReaderTooSlow from None


async def _held_up(gate: Gate, context: Context) -> None:
    """Wait for the first event of a slice to be let through.

    Raises:
        QuotaExceeded: the caller's deadline comes before.
    """
    while wait_s := gate.events_wait_s():
        remaining = context.time_remaining()
        if remaining is not None and wait_s > remaining - _MARGIN_S:
            raise gate.refusal("events_per_s", wait_s)
        await asyncio.sleep(min(wait_s, _LOOK_AGAIN_S))


def _read_batch(body: bytes) -> list[_Item]:
    if len(body) > _SMALL_BATCH_BYTES and len(batch_items(body, MAX_EVENTS)) > MAX_EVENTS:
        raise _wrong_count()
    request = parse(pb.ReportEventsRequest, body)
    read: Callable[[pb.Event], SharedEvent] = read_named
    if drop_unnamed(request):
        # Somewhere there is something; where, each event by itself is asked.
        request, read = parse(pb.ReportEventsRequest, body), read_event
        refuse_unnamed(request)
    if not 1 <= len(request.events) <= MAX_EVENTS:
        raise _wrong_count()
    return [_read(event, read) for event in request.events]


def _wrong_count() -> InvalidRequest:
    return InvalidRequest.at("events", f"send 1 to {MAX_EVENTS}")


def _read(event: pb.Event, read: Callable[[pb.Event], SharedEvent]) -> _Item:
    try:
        return read(event)
    except PortcullisError as fault:
        return fault


def _read_streamed(body: bytes) -> _Item:
    try:
        if len(body) > MAX_EVENT_BYTES:
            raise InvalidRequest.at("", f"is longer than the {MAX_EVENT_BYTES} bytes that an event can take")
        request = parse(pb.StreamEventsRequest, body)
        refuse_unnamed(request)
        return read_event(request.event)
    except PortcullisError as fault:
        return fault


@asynccontextmanager
async def _closing(watching: AsyncIterator[Watched | None]) -> AsyncIterator[AsyncIterator[Watched | None]]:
    """Let go of a watch at once, rather than when the collector comes by."""
    try:
        yield watching
    finally:
        if isinstance(watching, AsyncGenerator):
            await watching.aclose()
