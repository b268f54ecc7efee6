"""Who goes through numbers at a gateway: slowed, stopped, and told nothing about canaries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import msgspec
import pytest

from portcullis.domain.policies import Policy, Probing
from portcullis.domain.probing import Level
from portcullis.domain.records import Record
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import TOKENISER, Bench, arrival, refusal, running_gateway
from tests.support.people import phone, resident_id
from tests.support.policies import a_list, agreement, lender, policy

UNTIL = int(time.time()) + 3600
CANARIES = [resident_id(9_001), resident_id(9_501)]
CLEAN = phone(7)


def the_policy() -> Policy:
    partner = lender(agreement(("court",), valid_from=0, valid_until=UNTIL), probing=Probing.STRICT)
    return policy(a_list("court"), msgspec.structs.replace(a_list("nobody"), measures=(), canary=True), partners=(partner,))


@pytest.fixture(params=["grpcio", "native"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with running_gateway(request.param) as running:
        index = {
            token: [Record(2, legal_index=0, until=UNTIL, entry_id=number + 1, case_reference="canary")]
            for number, each in enumerate(CANARIES)
            for token in TOKENISER.index_tokens(each)
        }
        await arrival(running, running.publish(the_policy(), index))
        yield running


def question(person: object) -> pb.CheckRequest:
    assert hasattr(person, "kind")
    assert hasattr(person, "value")
    identifier = types_pb2.Identifier(kind=person.kind, value=person.value)
    return pb.CheckRequest(identifiers=[identifier], action="loan.apply", purpose="lending")


async def check(bench: Bench, person: object) -> bytes:
    return await bench.call("CheckService/Check", question(person).SerializeToString())


async def test_who_goes_through_ids_is_stopped_within_a_thousand(bench: Bench) -> None:
    answered = 0
    while bench.gateway.gates.of("lender").watch.level is Level.NORMAL and answered < 1_000:
        await check(bench, resident_id(answered))
        answered += 1
    bench.gateway.gates.of("lender").watch.canary([b"one", b"other"])
    code, *_ = await refusal(check(bench, resident_id(answered)))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED is code
    assert Level.NORMAL is not bench.gateway.gates.of("lender").watch.level
    assert answered <= 400


async def test_a_batch_is_stopped_in_its_midst(bench: Bench) -> None:
    body = pb.BatchCheckRequest(requests=[question(resident_id(number)) for number in range(1_000)]).SerializeToString()
    results = pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results
    answered = [place for place, result in enumerate(results) if result.HasField("response")]
    assert list(range(len(answered))) == answered
    assert 64 <= len(answered) <= 400
    assert 8 == results[-1].error.code


async def test_an_answer_about_a_canary_is_that_of_anybody(bench: Bench) -> None:
    seen = pb.CheckResponse.FromString(await check(bench, CANARIES[0]))
    assert (types_pb2.OUTCOME_ALLOW, 0, False) == (seen.outcome, len(seen.reasons), seen.degraded)
    assert {} == bench.spool.records


async def test_two_canaries_stop_at_once(bench: Bench) -> None:
    usual = await check(bench, CLEAN)
    assert len(usual) == len(await check(bench, CANARIES[0]))
    deadline = time.monotonic() + 10
    while bench.gateway.gates.of("lender").watch.level is not Level.STOPPED:
        assert time.monotonic() < deadline
        try:
            await check(bench, CANARIES[1])
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)
    code, reason, _, text = await refusal(check(bench, CLEAN))
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "PROBING_SUSPECTED") == (code, reason)
    assert CANARIES[1].value not in text
