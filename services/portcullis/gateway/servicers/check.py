"""CheckService: Check, BatchCheck and StreamCheck over the check desk.

No call keeps a view while it waits, for a snapshot or for the spool: a version that is read can't be cleared away, and
there is room for only so many.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import grpc

from portcullis.domain.errors import (
    InvalidRequest,
    PortcullisError,
    ProbingSuspected,
    Refused,
    SnapshotBehind,
    Unauthenticated,
)
from portcullis.domain.plans import CALL_IDENTIFY
from portcullis.domain.roles import roles_of
from portcullis.gateway.desk import Answer, CheckDesk
from portcullis.gateway.front import Context, Front, Handlers, end_with
from portcullis.gateway.messages.answers import streamed
from portcullis.gateway.messages.padding import BATCH_TAG, batch_bytes, padded, varint
from portcullis.gateway.messages.requests import MAX_NAME, batch_items, parse, request_id_of, wanted_version
from portcullis.gateway.messages.statuses import to_status
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.turned_away import TurnedAway
from portcullis.gateway.short_path import split_batch
from portcullis.gateway.views import Held, View
from portcullis.metrics.catalogue import SAMPLE_EVERY
from portcullis.v1 import check_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["CheckService"].full_name
ROLES = roles_of(f"{SERVICE}/Check")
"""Who may call this service: one answer for its three methods."""

MAX_BATCH = 1000
_SHARE = 64
"""Checks of a batch between two turns of the event loop, so that a batch does not hold up single checks."""

_LONGEST_WAIT_S = 30.0
_MARGIN_S = 0.05
"""Kept of the caller's deadline for the error to travel."""

_FARTHEST_AHEAD = 1_000_000
"""How many versions a snapshot that is asked for may be ahead: days of publishing.

What is farther is a mistake, perhaps somebody's number in the wrong field, and an error would tell it back.
"""

_UNREAD_S = 0.05
"""How long a stream is not read after a refusal."""

_RESULT_FIELD = b"\x0a"


class _Batch:
    """A batch under way: the framed items in their places, and those that are not framed yet."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.answers: dict[int, Answer] = {}
        self.faults: dict[int, PortcullisError] = {}
        self.labels = 0


class CheckServicer:
    """Answers CheckService.

    Args:
        held: what this worker serves from.
        desk: decides and records.
        front: makes the handlers.
        gates: bound what each partner asks.
        turned_away: lets single checks and batches through the gates, and remembers whom it does not.
        refresh_interval_s: how often the replica is looked at while a call waits for a snapshot.
    """

    def __init__(  # noqa: PLR0917 - what it answers from, then what bounds who asks
        self, held: Held, desk: CheckDesk, front: Front, gates: Gates, turned_away: TurnedAway, refresh_interval_s: float
    ) -> None:
        self._held = held
        self._desk = desk
        self._gate_of = gates.of
        self._take = turned_away.take
        self._front = front
        self._admit = front.admit_among
        self._pressure = front.pressure
        self._tally = desk.tally
        self._refresh_interval_s = refresh_interval_s

    def handlers(self) -> Handlers:
        """Give the service's methods."""
        return {
            # Check has its way out in itself: another coroutine around it would cost a tenth of the call.
            "Check": grpc.unary_unary_rpc_method_handler(self.check),
            "BatchCheck": self._front.raw_unary(f"{SERVICE}/BatchCheck", self.batch_check),
            "StreamCheck": self._front.raw_stream(f"{SERVICE}/StreamCheck", self.stream_check),
        }

    async def check(self, body: bytes, context: Context) -> bytes:
        """Answer one check."""
        tally = self._tally
        sampled = not tally.allowed % SAMPLE_EVERY
        started = time.perf_counter() if sampled else 0.0
        try:
            if self._pressure.behind_s:
                self._pressure.demand_time(context)
            view = self._held.present()
            holder = self._admit(view.callers, context, ROLES).holder
            gate = self._gate_of(holder)
            self._take(gate, context)
            if gate.labels_used_up or not self._desk.passes(view, holder, body, gate):
                request = parse(pb.CheckRequest, body)
                if request.action == CALL_IDENTIFY:
                    gate.may_show()
                if request.at_least_snapshot:
                    wanted = self._vetted(view, holder, request, gate)
                    del view
                    with gate.under_way():
                        view, holder = await self._waited(wanted, context)
                    gate = self._gate_of(holder)
                    if request.action == CALL_IDENTIFY:
                        # Others may have been shown the last labels meanwhile.
                        gate.may_show()
                answer = self._desk.check(view, holder, request, gate, body)
                if answer is not None:
                    del view
                    return await self._recorded(gate, request, answer)
            tally.allowed += 1
            if sampled:
                tally.observe(time.perf_counter() - started)
            return view.line.miss(self._desk.next_id())
        except Exception as fault:  # noqa: BLE001 - the one way out
            status = self._front.status_of(fault)
        return await end_with(status, context)

    async def _recorded(self, gate: Gate, request: pb.CheckRequest, answer: Answer) -> bytes:
        """Give an answer once its record is durable."""
        with gate.decided():
            if request.action == CALL_IDENTIFY and answer.response.reasons:
                gate.label_shown()
            await self._desk.make_durable((answer,))
        return answer.alone()

    def _vetted(self, view: View, holder: str, request: pb.CheckRequest, gate: Gate) -> int:
        """Say what is wrong with a check before it waits for a snapshot; gives the version that it wants."""
        self._desk.vet(view, holder, request, gate)
        return wanted_version(request.at_least_snapshot)

    async def _waited(self, wanted: int, context: Context) -> tuple[View, str]:
        """Wait for a snapshot; gives it, and the caller as it is known there: a key that it has revoked is refused."""
        view = await self._arrival(wanted, context)
        return view, self._admit(view.callers, context, ROLES).holder

    async def batch_check(self, body: bytes, context: Context) -> bytes:
        """Answer a batch from one version, in order; an item's fault stays with the item."""
        gate = self._gate_of(self._admit(self._held.present().callers, context, ROLES).holder)
        self._take(gate, context)
        most = min(gate.quota.batch or MAX_BATCH, MAX_BATCH)
        # A batch of more is refused at the price of one check, so no more of it is taken apart.
        items = split_batch(body, most)
        if items is None:
            items = batch_items(body, most)
        if not 1 <= len(items) <= most:
            raise InvalidRequest.at("requests", f"send 1 to {most}" + (", as was agreed" if most < MAX_BATCH else ""))
        gate.more_checks(len(items) - 1)
        with gate.under_way():
            return await self._answer_batch(gate, items, context)

    async def _answer_batch(self, gate: Gate, items: Sequence[bytes], context: Context) -> bytes:
        view = self._held.present()
        while True:
            batch = _Batch()
            wanted = await self._decide(view, gate, items, batch)
            arrived = wanted <= view.version
            del view
            if arrived:
                return await self._settle(batch)
            # Nothing of the batch was recorded yet: it is decided again, from the version that an item wants.
            gate.labels_kept_back(batch.labels)
            view, present = await self._waited(wanted, context)
            if present != gate.partner:
                # The credential is another partner's by now, as a certificate's name can be.
                raise Unauthenticated

    async def _decide(self, view: View, gate: Gate, items: Sequence[bytes], batch: _Batch) -> int:
        """Decide the items; gives the highest version that one wants: if it is not here, the rest is idle."""
        desk, parts, holder = self._desk, batch.parts, gate.partner
        passes, next_id, miss = desk.passes, desk.next_id, view.line.batch_miss
        highest = 0
        refusal: ProbingSuspected | None = None
        for place, item in enumerate(items):
            if place % _SHARE == _SHARE - 1:
                await asyncio.sleep(0)
                refusal = gate.held_back()
            try:
                if refusal is not None:
                    raise refusal
                if gate.labels_used_up or not passes(view, holder, item, gate):
                    request = parse(pb.CheckRequest, item)
                    if request.action == CALL_IDENTIFY:
                        gate.may_show()
                    wanted = _reachable(wanted_version(request.at_least_snapshot), view)
                    answer = desk.check(view, holder, request, gate, item)
                    # What is faulty for another reason is answered as it is: the others need not wait for its version.
                    highest = max(highest, wanted)
                    if answer is not None:
                        if request.action == CALL_IDENTIFY and answer.response.reasons:
                            gate.label_shown()
                            batch.labels += 1
                        batch.answers[place] = answer
                        parts.append(b"")
                        continue
                parts.append(miss(next_id()))
            except PortcullisError as fault:
                batch.faults[place] = _detached(fault)
                parts.append(b"")
        return highest

    async def _settle(self, batch: _Batch) -> bytes:
        """Count the batch and put the answers that give reasons in their places, once they are durable; else their fault."""
        self._tally.allowed += len(batch.parts) - len(batch.answers) - len(batch.faults)
        try:
            await self._desk.make_durable(tuple(batch.answers.values()))
        except PortcullisError as fault:
            batch.faults |= {place: fault for place, answer in batch.answers.items() if answer.record.reasons}
        for place, answer in batch.answers.items():
            batch.parts[place] = _framed(pb.CheckResult(response=answer.response))
        for place, error in batch.faults.items():
            self._front.count(error)
            batch.parts[place] = _framed(pb.CheckResult(error=to_status(error)))
        return padded(b"".join(batch.parts), BATCH_TAG, batch_bytes(len(batch.parts)))

    async def stream_check(self, bodies: AsyncIterator[bytes], context: Context) -> None:
        """Answer checks as they come, in their order; an item's fault stays with the item.

        Nothing of a version is kept between items: an idle stream must not hold an old replica.
        """
        holder = self._admit(self._held.present().callers, context, ROLES).holder
        with self._gate_of(holder).stream():
            async for body in bodies:
                try:
                    answer = await self._answer_streamed(body, context)
                except Unauthenticated:
                    raise
                except PortcullisError as fault:
                    self._front.count(fault)
                    result = pb.CheckResult(error=to_status(fault))
                    request_id = request_id_of(body)[:MAX_NAME]
                    answer = pb.StreamCheckResponse(request_id=request_id, result=result).SerializeToString()
                    if isinstance(fault, Refused):
                        # What is not read fills the window of the stream, and so holds its sender up.
                        await asyncio.sleep(min(fault.retry_after_s, _UNREAD_S))
                await context.write(answer)

    async def _answer_streamed(self, body: bytes, context: Context) -> bytes:
        # A key may have been revoked since the stream began.
        gate = self._gate_of(self._admit(self._held.present().callers, context, ROLES).holder)
        gate.take()
        item = parse(pb.StreamCheckRequest, body)
        if len(item.request_id) > MAX_NAME:
            raise InvalidRequest.at("request_id", f"must be at most {MAX_NAME} characters")
        return streamed(item.request_id, await self._answer_item(gate, item.check, context))

    async def _answer_item(self, gate: Gate, request: pb.CheckRequest, context: Context) -> bytes:
        view, holder = self._held.present(), gate.partner
        if request.action == CALL_IDENTIFY:
            gate.may_show()
        if request.at_least_snapshot:
            wanted = self._vetted(view, holder, request, gate)
            del view
            with gate.under_way():
                view, holder = await self._waited(wanted, context)
            gate = self._gate_of(holder)
            if request.action == CALL_IDENTIFY:
                gate.may_show()
        answer = self._desk.check(view, holder, request, gate)
        if answer is None:
            self._tally.allowed += 1
            return view.line.miss(self._desk.next_id())
        del view
        return await self._recorded(gate, request, answer)

    async def _arrival(self, wanted: int, context: Context) -> View:
        """Wait until a version is here, as long as the caller's deadline lets it; gives the view of it.

        Raises:
            InvalidRequest: no snapshot can have it yet.
            SnapshotBehind: it did not arrive.
        """
        _reachable(wanted, self._held.present())
        remaining = context.time_remaining()
        patience = _LONGEST_WAIT_S if remaining is None else min(remaining - _MARGIN_S, _LONGEST_WAIT_S)
        clock = self._desk.clock
        deadline = clock.monotonic() + patience
        while (view := self._held.present()).version < wanted:
            if clock.monotonic() >= deadline:
                raise SnapshotBehind(
                    "the snapshot asked for has not arrived; ask again, or without at_least_snapshot",
                    metadata={"held": str(view.version), "wanted": str(wanted)},
                )
            await asyncio.sleep(self._refresh_interval_s)
        return view


def _reachable(wanted: int, view: View) -> int:
    """Give the version wanted.

    Raises:
        InvalidRequest: no snapshot can have it yet.
    """
    if wanted > view.version + _FARTHEST_AHEAD:
        raise InvalidRequest.at("at_least_snapshot", "is no snapshot's yet; send a version as an answer gave it")
    return wanted


def _detached(fault: PortcullisError) -> PortcullisError:
    """Take its history from an error that is kept for a while: the calls that it came through had the view."""
    fault.__context__ = None
    return fault.with_traceback(None)


def _framed(result: pb.CheckResult) -> bytes:
    body = result.SerializeToString()
    return _RESULT_FIELD + varint(len(body)) + body
