"""A closed-loop driver of ReportEvents: another process keeps a few batches under way until all of them are acknowledged.

The batches are serialised before and the answers are read after the time that is measured, so that the client's own protobuf
work does not bound the figure; every event of every batch must have a receipt of a place of its own in the log.
Run as a module it reads a `Plan` as JSON from standard input and prints a `Taken` as JSON.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence

import grpc
import msgspec

from benchmarks.exchange.events import BATCH, CALLERS, MakeEvent, NotAcknowledged, Taken, enforced, settled, taken
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.v1 import sharing_service_pb2 as pb

METHOD = "/portcullis.v1.SharingService/ReportEvents"
_PATIENCE_S = 60.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to drive: so many batches of events about these decisions; where there are none, each about a case of its own."""

    address: str
    key: str
    batches: int
    decision_ids: Sequence[str] = ()


def run(plan: Plan) -> Taken:
    """Drive the plan; gives how its events were taken.

    Raises:
        NotAcknowledged: an event got no receipt, or two got one place.
        grpc.RpcError: a call failed.
    """
    make = enforced(plan.decision_ids) if plan.decision_ids else settled
    bodies = [_batch(make) for _ in range(plan.batches)]
    answers: list[bytes] = []
    with grpc.insecure_channel(plan.address) as channel:
        grpc.channel_ready_future(channel).result(_PATIENCE_S)
        call = channel.unary_unary(METHOD)
        metadata = (("authorization", f"Bearer {plan.key}"),)
        under_way: deque[grpc.Future[bytes]] = deque()
        begin = time.monotonic()
        for body in bodies:
            if len(under_way) == CALLERS:
                answers.append(under_way.popleft().result())
            under_way.append(call.future(body, metadata=metadata, timeout=_PATIENCE_S))
        answers += [each.result() for each in under_way]
        seconds = time.monotonic() - begin
    return taken(seconds, [receipt.recorded_at.ToNanoseconds() for receipt in _receipts(plan, answers)])


def _receipts(plan: Plan, answers: list[bytes]) -> list[pb.Receipt]:
    results = [result for answer in answers for result in pb.ReportEventsResponse.FromString(answer).results]
    places = {result.receipt.sequence: result.receipt for result in results if result.HasField("receipt")}
    if len(places) != plan.batches * BATCH:
        raise NotAcknowledged(f"{len(places)} of {plan.batches * BATCH} events have a receipt of their own")
    return list(places.values())


def _batch(make: MakeEvent) -> bytes:
    return pb.ReportEventsRequest(events=[_message(make()) for _ in range(BATCH)]).SerializeToString()


def _message(event: SharedEvent) -> pb.Event:
    message = pb.Event(event_id=event.event_id, reference=event.reference)
    message.occurred_at.FromMilliseconds(event.occurred_at_ms)
    if event.kind is EventKind.ENFORCED:
        message.enforced.decision_id = event.decision_id
    else:
        message.settled.list, message.settled.case_reference = event.list, event.case_reference
    return message


if __name__ == "__main__":
    print(msgspec.json.encode(run(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan))).decode())
