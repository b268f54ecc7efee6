"""A list of canaries shows in nothing that a partner or the statistics get: every answer is that of somebody unlisted."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from portcullis.config import Transport
from portcullis.domain.policies import Disclosure, Effect, Policy, Probing
from portcullis.domain.records import Record
from portcullis.v1 import caller_service_pb2, sharing_service_pb2, types_pb2
from portcullis.v1 import check_service_pb2 as pb
from tests.support.gateways import TOKENISER, Bench, arrival, refusal, running_gateway
from tests.support.people import phone, resident_id
from tests.support.policies import a_list, agreement, lender, measure, policy
from tests.support.sharing_gateways import a_change, running_sharing

UNTIL = int(time.time()) + 3600
CANARY, CANARY_PHONE = resident_id(9_001), phone(901)
CLEAN, CLEAN_PHONE = resident_id(7), phone(7)
HEADERS = [("authorization", "Bearer lender-key")]
NOTICE = measure("label", actions=("call.identify",), effect=Effect.NOTICE, message="A known nuisance.")
HIDDEN = msgspec.structs.replace(a_list("nobody"), measures=(), canary=True)


def the_policy() -> Policy:
    term = {"valid_from": 0, "valid_until": UNTIL}
    callers = agreement(("notices",), actions=("call.identify",), purposes=("caller-identification",), **term)
    return policy(
        a_list("court"),
        a_list("notices", NOTICE, disclosure=Disclosure.PUBLIC, published_from=0, published_until=UNTIL),
        HIDDEN,
        partners=(lender(agreement(("court",), **term), callers, probing=Probing.WATCH),),
    )


@pytest.fixture(params=get_args(Transport))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with running_gateway(request.param) as running:
        index = {
            token: [Record(3, legal_index=0, until=UNTIL, entry_id=number + 1, case_reference="canary")]
            for number, each in enumerate((CANARY, CANARY_PHONE))
            for token in TOKENISER.index_tokens(each)
        }
        await arrival(running, running.publish(the_policy(), index))
        yield running


def question(person: Any, **changes: Any) -> pb.CheckRequest:
    identifier = types_pb2.Identifier(kind=person.kind, value=person.value)
    return pb.CheckRequest(identifiers=[identifier], action="loan.apply", purpose="lending", **changes)


def without_age(answer: Any) -> bytes:
    """Take away how old the snapshot is by now, and the padding, which makes up for the bytes that the age takes."""
    assert not any(answer.padding)
    answer.ClearField("padding")
    answer.snapshot.ClearField("age")
    return answer.SerializeToString(deterministic=True)


def without_own(answer: pb.CheckResponse) -> bytes:
    """Take away all that differs between any two answers."""
    assert answer.decision_id
    answer.ClearField("decision_id")
    return without_age(answer)


@pytest.mark.parametrize("changes", [{}, {"dry_run": True}, {"locale": "zh-CN"}])
async def test_a_check_of_a_canary_is_answered_byte_for_byte_as_of_anybody(bench: Bench, changes: dict[str, Any]) -> None:
    seen = []
    for person in (CANARY, CLEAN):
        body = await bench.call("CheckService/Check", question(person, **changes).SerializeToString())
        seen.append((len(body), without_own(pb.CheckResponse.FromString(body))))
    assert seen[0] == seen[1]
    assert [("canary",)] == [each.signs for each in bench.gateway.gates.watches.raised]


async def test_a_batch_and_a_stream_say_no_more(bench: Bench) -> None:
    request = pb.BatchCheckRequest(requests=[question(CANARY), question(CLEAN)])
    results = pb.BatchCheckResponse.FromString(
        await bench.call("CheckService/BatchCheck", request.SerializeToString())
    ).results
    call = bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(metadata=HEADERS, timeout=10)
    streamed = []
    for person in (CANARY, CLEAN):
        await call.write(pb.StreamCheckRequest(request_id="r", check=question(person)).SerializeToString())
        streamed.append(pb.StreamCheckResponse.FromString(await call.read()).result)
    await call.done_writing()
    for hidden, usual in (results, streamed):
        assert without_own(usual.response) == without_own(hidden.response)


async def test_a_caller_that_is_a_canary_has_no_label(bench: Bench) -> None:
    seen = []
    for each in (CANARY_PHONE, CLEAN_PHONE):
        body = await bench.call(
            "CallerService/LookupCaller", caller_service_pb2.LookupCallerRequest(phone=each.value).SerializeToString()
        )
        seen.append((len(body), without_age(caller_service_pb2.LookupCallerResponse.FromString(body))))
    assert seen[0] == seen[1]


async def test_a_canary_leaves_no_decision_so_neither_statistics_nor_impact_know_of_it(bench: Bench) -> None:
    """Both are made from recorded decisions."""
    await bench.call("CheckService/Check", question(CANARY).SerializeToString())
    await bench.call("CheckService/Check", question(CANARY, dry_run=True).SerializeToString())
    lookup = caller_service_pb2.LookupCallerRequest(phone=CANARY_PHONE.value)
    await bench.call("CallerService/LookupCaller", lookup.SerializeToString())
    assert {} == bench.spool.records


@pytest.mark.parametrize("named", [(), ("court",)])
async def test_a_change_of_canaries_is_in_no_partners_feed(tmp_path: Path, named: tuple[str, ...]) -> None:
    async with running_sharing("grpcio", tmp_path) as bench:
        bench.policy = msgspec.structs.replace(bench.policy, lists=(*bench.policy.lists, HIDDEN))
        watch = bench.watch(lists=named)
        await watch.read()
        hidden = [a_change(number, list="nobody", list_number=4) for number in range(1, 4)]
        bench.grow([*hidden, a_change(9)])
        seen = [sharing_service_pb2.WatchChangesResponse.FromString(await watch.read()) for _ in range(4)]
        changes = [each.change for each in seen if each.HasField("change")]
        assert ["court"] == [each.list for each in changes]
        watch.cancel()


async def test_who_names_it_is_told_what_is_told_of_a_list_that_is_not_there(tmp_path: Path) -> None:
    async with running_sharing("grpcio", tmp_path) as bench:
        bench.policy = msgspec.structs.replace(bench.policy, lists=(*bench.policy.lists, HIDDEN))
        assert await refusal(bench.watch(lists=("nowhere",)).read()) == await refusal(bench.watch(lists=("nobody",)).read())
