"""The worker's tick: what keeps answers fresh, whatever becomes of the replica's files."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
import structlog

from portcullis.adapters.memory.replica import MemoryReplica
from portcullis.domain.policies import OnStale, Partner
from portcullis.domain.quotas import Quota
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import Bench, arrival, running_gateway
from tests.support.people import resident_id
from tests.support.policies import a_list, agreement, lender, measure, policy

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


async def test_no_number_stays_in_memory_for_longer_than_a_moment() -> None:
    until = int(time.time()) + 3600
    partner = Partner(name="lender", title="A lender", agreements=(agreement(valid_from=0, valid_until=until),))
    async with running_gateway("grpcio") as bench:
        await arrival(bench, bench.publish(policy(a_list("court"), partners=(partner,)), {}))
        await outcome(bench)
        asked = time.monotonic()
        while bench.gateway.gates.of("lender").noted:
            assert time.monotonic() < asked + 5
            await asyncio.sleep(0.02)


async def test_pressure_falls_while_a_look_at_the_replica_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    looking, done = threading.Event(), threading.Event()

    def slow(_: MemoryReplica) -> bool:
        looking.set()
        return not done.wait(10)

    async with running_gateway("grpcio") as bench:
        monkeypatch.setattr(MemoryReplica, "refresh", slow)
        try:
            await until(looking.is_set)
            bench.gateway.front.pressure.measured(1.0)
            await until(lambda: not bench.gateway.front.pressure.behind_s)
        finally:
            done.set()


async def test_the_gates_go_by_an_edition_however_it_comes_to_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_gateway("grpcio") as bench:
        await arrival(bench, bench.publish(policy(partners=(lender(),)), {}))
        real = MemoryReplica.refresh

        def silent(self: MemoryReplica) -> bool:
            real(self)
            return False

        monkeypatch.setattr(MemoryReplica, "refresh", silent)
        bench.publish(policy(partners=(lender(quota=Quota(batch=7)),)), {})
        await until(lambda: 7 == bench.gateway.gates.of("lender").quota.batch)


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
