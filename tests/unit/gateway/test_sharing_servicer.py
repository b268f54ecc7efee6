from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from portcullis.domain.errors import InvalidRequest, PortcullisError
from portcullis.domain.quotas import Quota
from portcullis.gateway.admission import Callers
from portcullis.gateway.front import Front
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.servicers.sharing import MAX_EVENTS, MAX_STREAM, SharingDesks, SharingServicer, _held_up
from portcullis.metrics import CheckTally
from portcullis.v1 import sharing_service_pb2 as pb
from tests.support.gateways import credential
from tests.support.sharing_gateways import bearer, the_policy


class Call:
    """A call of the lender's; it has no deadline."""

    def time_remaining(self) -> None:
        return None

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return bearer("lender-key")


class Faults:
    """A report desk that is only ever given faults."""

    def __init__(self) -> None:
        self.slices: list[int] = []

    async def report(self, policy: Any, partner: str, events: Sequence[Any], **options: Any) -> Sequence[PortcullisError]:
        self.slices.append(len(events))
        return events


def servicer(desk: Faults) -> SharingServicer:
    front = Front(lambda: Callers([credential("lender-key", "lender")]), CheckTally(CollectorRegistry()))
    return SharingServicer(SharingDesks(cast("Any", desk), cast("Any", None)), the_policy, front, Gates())


async def garbage(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"\xff"


async def test_a_stream_of_as_many_events_as_it_takes_is_answered() -> None:
    desk = Faults()

    body = await servicer(desk).stream_events(garbage(MAX_STREAM), cast("Any", Call()))

    assert MAX_STREAM == len(pb.StreamEventsResponse.FromString(body).results)
    assert MAX_EVENTS == max(desk.slices)


async def test_a_stream_of_more_events_than_it_takes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at most 10000"):
        await servicer(Faults()).stream_events(garbage(MAX_STREAM + 1), cast("Any", Call()))


async def test_of_a_batch_that_is_too_large_no_more_is_read_than_shows_it() -> None:
    event = pb.ReportEventsRequest(events=[pb.Event(event_id="1" * 64)]).SerializeToString()
    broken = b"\xff"
    with pytest.raises(InvalidRequest, match="send 1 to 500"):
        await servicer(Faults()).report_events(event * 2_000 + broken, cast("Any", Call()))


async def test_a_large_batch_of_as_many_events_as_it_takes_is_answered() -> None:
    event = pb.ReportEventsRequest(events=[pb.Event(event_id="1" * 200)]).SerializeToString()
    desk = Faults()
    await servicer(desk).report_events(event * MAX_EVENTS, cast("Any", Call()))
    assert desk.slices == [MAX_EVENTS]


async def test_a_stream_that_waits_for_its_rate_goes_on_as_soon_as_its_share_grows() -> None:
    gate = Gate("lender", Quota(events_per_s=1))
    gate.more_events(3_600)
    waiting = asyncio.create_task(_held_up(gate, cast("Any", Call())))
    await asyncio.sleep(0)
    gate.share_events(1_000_000)
    await asyncio.wait_for(waiting, 10)
