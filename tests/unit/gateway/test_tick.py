"""The worker's tick: what keeps answers fresh, whatever becomes of the replica's files."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog

from portcullis.adapters.memory.replica import MemoryReplica
from portcullis.domain.policies import OnStale, Partner
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import Bench, arrival, running_gateway
from tests.support.people import resident_id
from tests.support.policies import a_list, agreement, measure, policy

MAX_AGE_S = 1


async def outcome(bench: Bench) -> int:
    person = resident_id(1)
    request = pb.CheckRequest(
        identifiers=[types_pb2.Identifier(kind=person.kind, value=person.value)], action="loan.apply", purpose="lending"
    )
    return pb.CheckResponse.FromString(await bench.call("CheckService/Check", request.SerializeToString())).outcome


async def test_a_list_goes_out_of_date_even_while_the_replica_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    court = a_list("court", measure(on_stale=OnStale.REVIEW), max_age_s=MAX_AGE_S)
    until = int(time.time()) + 3600
    partner = Partner(name="lender", title="A lender", agreements=(agreement(valid_from=0, valid_until=until),))
    async with running_gateway("grpcio") as bench:
        await arrival(bench, bench.publish(policy(court, partners=(partner,)), {}))
        assert types_pb2.OUTCOME_ALLOW == await outcome(bench)

        def broken(_: MemoryReplica) -> bool:
            raise RuntimeError("the disk is gone")

        with structlog.testing.capture_logs() as logs:
            monkeypatch.setattr(MemoryReplica, "refresh", broken)
            deadline = time.monotonic() + 10
            while await outcome(bench) != types_pb2.OUTCOME_REVIEW:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
        assert ["RuntimeError"] == [each["type"] for each in logs]
