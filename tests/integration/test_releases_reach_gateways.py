"""A release on the board reaches every gateway within two seconds: two of them, on ports, and a Valkey."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, closing

import grpc
from prometheus_client import CollectorRegistry

from portcullis.adapters.redis.alarms import RedisAlarmBoard
from portcullis.domain.policies import Policy, Probing
from portcullis.domain.probing import Sign
from portcullis.gateway.quotas.alarm_look import looking_at_alarms
from portcullis.metrics import AlarmMetrics
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import Bench, arrival, running_gateway
from tests.support.people import resident_id
from tests.support.policies import a_list, agreement, lender, policy
from tests.support.valkey import running_valkey

REACHES_S = 2.0


def the_policy() -> Policy:
    agreed = agreement(("court",), valid_from=0, valid_until=int(time.time()) + 3600)
    return policy(a_list("court"), partners=(lender(agreed, probing=Probing.STRICT),))


async def is_answered(bench: Bench) -> bool:
    person = resident_id(1)
    identifier = types_pb2.Identifier(kind=person.kind, value=person.value)
    request = pb.CheckRequest(identifiers=[identifier], action="loan.apply", purpose="lending")
    try:
        await bench.call("CheckService/Check", request.SerializeToString())
    except grpc.aio.AioRpcError as refused:
        if refused.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return False
    return True


async def within(benches: list[Bench], *, answered: bool) -> float:
    """Wait until all answer, or none does; gives how long that took, in seconds."""
    began = time.monotonic()
    while [answered] * len(benches) != [await is_answered(each) for each in benches]:
        assert time.monotonic() - began < REACHES_S
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_a_stop_and_its_release_reach_both_gateways_within_two_seconds() -> None:
    async with AsyncExitStack() as held:
        server = held.enter_context(running_valkey())
        benches = []
        for _ in range(2):
            bench = await held.enter_async_context(running_gateway("grpcio"))
            await arrival(bench, bench.publish(the_policy(), {}))
            board = held.enter_context(closing(RedisAlarmBoard(server.url)))
            metrics = AlarmMetrics(CollectorRegistry(), map(str, Sign))
            await held.enter_async_context(looking_at_alarms(bench.gateway.gates.watches, board, metrics))
            benches.append(bench)
        await within(benches, answered=True)

        # Only the first has seen the canaries.
        benches[0].gateway.gates.of("lender").canary([b"one", b"other"])
        await within(benches, answered=False)

        operators = held.enter_context(closing(RedisAlarmBoard(server.url)))
        await asyncio.to_thread(operators.release, "lender", by="olga", at=time.time(), why="their nightly screening")
        await within(benches, answered=True)
