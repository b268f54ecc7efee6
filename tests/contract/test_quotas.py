"""Quotas at a gateway, on every transport: what is beyond them is refused early, says when to come again and no more."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, get_args

import grpc
import msgspec
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from portcullis.client import AioClient, Identifier, ResourceExhausted
from portcullis.config import Transport
from portcullis.domain.policies import Disclosure, Effect, Policy
from portcullis.domain.quotas import UNLIMITED
from portcullis.domain.records import Record
from portcullis.gateway.messages.requests import parse
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.servicers import check as check_servicer
from portcullis.v1 import caller_service_pb2, types_pb2
from portcullis.v1 import check_service_pb2 as pb
from tests.support.gateways import TOKENISER, Bench, arrival, credential, refusal, running_gateway
from tests.support.people import phone, resident_id
from tests.support.policies import a_list, agreement, lender, measure, policy

LISTED, CLEAN = resident_id(1), resident_id(2)
LISTED_PHONE, CLEAN_PHONE = phone(1), phone(2)
UNTIL = int(time.time()) + 3600
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED

Serve = Callable[..., Awaitable[Bench]]


def the_policy(**quotas: int) -> Policy:
    label = measure("label", actions=("call.identify",), effect=Effect.NOTICE, message="A known nuisance.")
    shown = {"disclosure": Disclosure.PUBLIC, "published_from": 0, "published_until": UNTIL}
    lists = (a_list("court"), a_list("notices", label, **shown))
    term = {"valid_from": 0, "valid_until": UNTIL}
    agreements = (
        agreement(("court",), **term),
        agreement(("notices",), actions=("call.identify",), purposes=("caller-identification",), **term),
    )
    limited = lender(*agreements, quota=msgspec.structs.replace(UNLIMITED, **quotas))
    free = msgspec.structs.replace(limited, name="shop", quota=UNLIMITED)
    return policy(*lists, partners=(limited, free))


def the_index() -> dict[bytes, list[Record]]:
    index: dict[bytes, list[Record]] = {}
    for number, identifier in ((1, LISTED), (2, LISTED_PHONE)):
        for token in TOKENISER.index_tokens(identifier):
            index.setdefault(token, []).append(Record(number, 0, UNTIL, number, f"case-{number}"))
    return index


@pytest.fixture(params=get_args(Transport))
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Serve]:
    """Publishes a policy with these quotas of the lender, none of the shop."""
    async with running_gateway(request.param) as bench:
        bench.credentials.append(credential("shop-key", "shop"))

        async def published(**quotas: int) -> Bench:
            await arrival(bench, bench.publish(the_policy(**quotas), the_index()))
            return bench

        yield published


def question(person: Any = CLEAN, **changes: Any) -> bytes:
    values: dict[str, Any] = {"action": "loan.apply", "purpose": "lending"}
    given = types_pb2.Identifier(kind=person.kind, value=person.value, country=person.country)
    return pb.CheckRequest(identifiers=[given], **(values | changes)).SerializeToString()


def call_question(person: Any) -> bytes:
    return question(person, action="call.identify", purpose="caller-identification")


async def check(bench: Bench, body: bytes, key: str = "lender-key") -> pb.CheckResponse:
    return pb.CheckResponse.FromString(await bench.call("CheckService/Check", body, key=key))


async def look_up(bench: Bench, person: Any) -> caller_service_pb2.LookupCallerResponse:
    body = caller_service_pb2.LookupCallerRequest(phone=person.value).SerializeToString()
    return caller_service_pb2.LookupCallerResponse.FromString(await bench.call("CallerService/LookupCaller", body))


def details_of(fault: grpc.aio.AioRpcError) -> tuple[dict[str, str], float]:
    """Give an error's metadata, and after how many seconds to come again."""
    status = rpc_status.from_call(fault)  # type: ignore[arg-type]
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, retry):
            detail.Unpack(message)
    return dict(info.metadata), retry.retry_delay.ToNanoseconds() / 1e9


async def test_beyond_the_rate_a_check_is_refused_with_when_to_come_again(serve: Serve) -> None:
    bench = await serve(checks_per_s=1)
    bench.gateway.gates.of("lender").checks.owe(3, time.monotonic())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(bench, question())
    metadata, after_s = details_of(caught.value)
    assert (EXHAUSTED, {"quota": "checks_per_s"}) == (caught.value.code(), metadata)
    assert 0.0 < after_s <= 3.0
    # Hundredths of a second, rounded up, so that few statuses serve all.
    assert after_s * 100 == pytest.approx(round(after_s * 100))
    await asyncio.sleep(after_s)
    await check(bench, question())


async def test_one_partners_flood_is_not_anothers(serve: Serve) -> None:
    bench = await serve(checks_per_s=1)
    answers = [check(bench, question()) for _ in range(30)]
    done = await asyncio.gather(*answers, return_exceptions=True)
    assert any(isinstance(each, grpc.aio.AioRpcError) for each in done)
    assert types_pb2.OUTCOME_RESTRICT == (await check(bench, question(LISTED), key="shop-key")).outcome


async def test_who_is_refused_again_and_again_hears_the_same_and_is_counted_each_time(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await serve(checks_per_s=1)
    gate = bench.gateway.gates.of("lender")
    inside: list[int] = []
    monkeypatch.setattr(Gate, "take", lambda self, checks=1, take=Gate.take: inside.append(checks) or take(self, checks))
    gate.checks.owe(1_000, time.monotonic())
    texts: Counter[str | None] = Counter()
    for number in range(60):
        method = ("CheckService/Check", "CheckService/BatchCheck", "CallerService/LookupCaller")[number % 3]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await bench.call(method, question())
        metadata, after_s = details_of(caught.value)
        assert (EXHAUSTED, {"quota": "checks_per_s"}) == (caught.value.code(), metadata)
        assert 900.0 < after_s <= 1_000.0
        texts[caught.value.details()] += 1
    assert [60] == list(texts.values())
    assert {"checks_per_s": 60} == gate.refused
    # On native all but the first of each second are refused before their handlers begin.
    assert len(inside) < 30 if bench.gateway.settings.transport == "native" else len(inside) == 60
    assert 60 + 1_000 == gate.checks_asked
    # Nothing else is refused with it: neither another partner nor what takes nothing from the rate.
    assert types_pb2.OUTCOME_RESTRICT == (await check(bench, question(LISTED), key="shop-key")).outcome
    health = health_pb2_grpc.HealthStub(bench.channel)
    answer = await health.Check(
        health_pb2.HealthCheckRequest(), metadata=[("authorization", "Bearer lender-key")], timeout=5
    )
    assert health_pb2.HealthCheckResponse.SERVING == answer.status


async def test_a_key_that_is_revoked_while_it_is_over_its_rate_is_told_so_with_the_next_snapshot(serve: Serve) -> None:
    bench = await serve(checks_per_s=1)
    bench.gateway.gates.of("lender").checks.owe(1_000, time.monotonic())
    assert (EXHAUSTED, "QUOTA_EXCEEDED") == (await refusal(check(bench, question())))[:2]
    bench.credentials[:] = [each for each in bench.credentials if each.holder != "lender"]
    await arrival(bench, bench.publish(the_policy(checks_per_s=1), the_index()))
    assert grpc.StatusCode.UNAUTHENTICATED is (await refusal(check(bench, question())))[0]


async def test_what_is_beyond_a_quota_is_refused_before_it_is_read(serve: Serve) -> None:
    bench = await serve(checks_per_s=1)
    for method in ("CheckService/Check", "CheckService/BatchCheck", "CallerService/LookupCaller"):
        bench.gateway.gates.of("lender").checks.owe(10, time.monotonic() + 100)
        assert (EXHAUSTED, "QUOTA_EXCEEDED") == (await refusal(bench.call(method, b"\xff\xff\xff")))[:2]


async def test_a_batch_is_owed_before_the_next_check(serve: Serve) -> None:
    bench = await serve(checks_per_s=10)
    body = pb.BatchCheckRequest(requests=[pb.CheckRequest.FromString(question())] * 100).SerializeToString()
    results = pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results
    assert 100 == len(results)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(bench, question())
    metadata, after_s = details_of(caught.value)
    assert {"quota": "checks_per_s"} == metadata
    assert 7.0 < after_s <= 9.0


async def test_a_batch_of_more_than_was_agreed_is_an_invalid_request(serve: Serve) -> None:
    bench = await serve(batch=5)
    body = pb.BatchCheckRequest(requests=[pb.CheckRequest.FromString(question())] * 6).SerializeToString()
    code, _, fields, text = await refusal(bench.call("CheckService/BatchCheck", body))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["requests"]) == (code, fields)
    assert "1 to 5, as was agreed" in text


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is read whole by the check service, as it is read."""
    read: list[bytes] = []

    def noted(kind: Any, body: bytes) -> Any:
        read.append(body)
        return parse(kind, body)

    monkeypatch.setattr(check_servicer, "parse", noted)
    return read


async def test_a_batch_that_is_too_large_is_refused_without_being_read(serve: Serve, parsed: list[bytes]) -> None:
    bench = await serve(batch=5)
    # Fields with padded lengths, which the short way does not take.
    body = b"\x0a\x82\x80\x00\x08\x01" * 10_000
    code, _, fields, _ = await refusal(bench.call("CheckService/BatchCheck", body))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["requests"], []) == (code, fields, parsed)


async def test_a_batch_in_an_unusual_form_is_answered_like_any(serve: Serve) -> None:
    bench = await serve()
    long = question(LISTED, partner_reference="r" * 20_000)
    usual = [question(LISTED), question(CLEAN)]
    batch = [*(b"\x0a" + bytes([len(each) | 0x80, 0x80, 0]) + each for each in usual), b"\x10\x05"]
    body = b"".join(batch) + pb.BatchCheckRequest(requests=[pb.CheckRequest.FromString(long)]).SerializeToString()
    results = pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results
    assert ["response", "response", "error"] == [each.WhichOneof("result") for each in results]
    assert [1, 0] == [len(each.response.reasons) for each in results[:2]]


async def test_a_days_subjects_stop_hits_and_misses_alike(serve: Serve) -> None:
    bench = await serve(subjects_per_day=1)
    gate = bench.gateway.gates.of("lender")
    await check(bench, question(LISTED))
    gate.study()
    texts = set()
    for body in (question(LISTED), question(CLEAN)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(bench, body)
        metadata, after_s = details_of(caught.value)
        assert {"quota": "subjects_per_day"} == metadata
        assert 0.0 < after_s <= 86_400.0
        texts.add(caught.value.details())
    assert 1 == len(texts)


async def test_used_up_labels_stop_every_look_up_and_every_check_of_a_call(serve: Serve) -> None:
    bench = await serve(labels_per_day=1)
    # The short path learns the form of the question from this one.
    await check(bench, call_question(CLEAN_PHONE))
    assert "" == (await look_up(bench, CLEAN_PHONE)).label
    assert "A known nuisance." == (await look_up(bench, LISTED_PHONE)).label
    asked = (
        look_up(bench, LISTED_PHONE),
        look_up(bench, CLEAN_PHONE),
        *(check(bench, call_question(each)) for each in (LISTED_PHONE, CLEAN_PHONE)),
    )
    for ask in asked:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask
        assert (EXHAUSTED, {"quota": "labels_per_day"}) == (caught.value.code(), details_of(caught.value)[0])
    assert types_pb2.OUTCOME_RESTRICT == (await check(bench, question(LISTED))).outcome
    batch = [pb.CheckRequest.FromString(each) for each in (call_question(CLEAN_PHONE), question(CLEAN))]
    body = pb.BatchCheckRequest(requests=batch).SerializeToString()
    results = pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results
    assert ["error", "response"] == [each.WhichOneof("result") for each in results]
    assert EXHAUSTED.value[0] == results[0].error.code


async def test_a_label_told_by_a_check_counts(serve: Serve) -> None:
    bench = await serve(labels_per_day=2)
    await check(bench, call_question(LISTED_PHONE))
    batch = pb.BatchCheckRequest(requests=[pb.CheckRequest.FromString(call_question(LISTED_PHONE))])
    await bench.call("CheckService/BatchCheck", batch.SerializeToString())
    assert "QUOTA_EXCEEDED" == (await refusal(look_up(bench, CLEAN_PHONE)))[1]


async def test_too_many_calls_at_once_are_refused_and_the_count_comes_back(serve: Serve) -> None:
    bench = await serve(concurrent_calls=2)
    gate = bench.gateway.gates.of("lender")
    bench.spool.holding = asyncio.Event()
    waiting = [asyncio.create_task(check(bench, question(LISTED))) for _ in range(2)]
    await until(lambda: 2 == gate.calls.here)
    for body in (question(LISTED), question(CLEAN)):
        assert (EXHAUSTED, "QUOTA_EXCEEDED") == (await refusal(check(bench, body)))[:2]
    bench.spool.holding.set()
    assert [types_pb2.OUTCOME_RESTRICT] * 2 == [each.outcome for each in await asyncio.gather(*waiting)]
    assert 0 == gate.calls.here
    await check(bench, question(CLEAN))


async def test_calls_given_up_leave_no_count(serve: Serve) -> None:
    bench = await serve(concurrent_calls=500)
    gate = bench.gateway.gates.of("lender")
    bench.spool.holding = asyncio.Event()
    waiting = [asyncio.create_task(check(bench, question(LISTED))) for _ in range(60)]
    await until(lambda: gate.calls.here > 10)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await until(lambda: 0 == gate.calls.here)


def open_stream(bench: Bench) -> Any:
    metadata = [("authorization", "Bearer lender-key")]
    return bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(metadata=metadata, timeout=20)


async def ask(stream: Any, request_id: str, body: bytes) -> pb.StreamCheckResponse:
    item = pb.StreamCheckRequest(request_id=request_id, check=pb.CheckRequest.FromString(body))
    await stream.write(item.SerializeToString())
    return pb.StreamCheckResponse.FromString(await stream.read())


async def test_too_many_streams_are_refused_and_streams_given_up_leave_no_count(serve: Serve) -> None:
    bench = await serve(streams=3)
    gate = bench.gateway.gates.of("lender")
    streams = [open_stream(bench) for _ in range(3)]
    for number, each in enumerate(streams):
        assert str(number) == (await ask(each, str(number), question())).request_id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await open_stream(bench).read()
    assert (EXHAUSTED, ({"quota": "streams"}, 1.0)) == (caught.value.code(), details_of(caught.value))
    for each in streams:
        each.cancel()
    await until(lambda: 0 == gate.streams.here)
    stream = open_stream(bench)
    assert "again" == (await ask(stream, "again", question())).request_id
    await stream.done_writing()
    assert grpc.aio.EOF == await stream.read()
    await until(lambda: 0 == gate.streams.here)


async def test_on_a_stream_the_refusal_stays_with_its_item(serve: Serve) -> None:
    bench = await serve(checks_per_s=1)
    stream = open_stream(bench)
    results = [(await ask(stream, str(number), question())).result for number in range(4)]
    stream.cancel()
    assert ["response", "response", "error", "error"] == [each.WhichOneof("result") for each in results]
    assert EXHAUSTED.value[0] == results[-1].error.code


async def test_on_a_stream_an_item_beyond_the_rate_is_refused_before_it_is_read(serve: Serve, parsed: list[bytes]) -> None:
    bench = await serve(checks_per_s=1)
    bench.gateway.gates.of("lender").checks.owe(100, time.monotonic())
    stream = open_stream(bench)
    refused = await ask(stream, "mine", question())
    await stream.write(b"\xff\xff\xff")
    none = pb.StreamCheckResponse.FromString(await stream.read())
    stream.cancel()
    assert [("mine", EXHAUSTED.value[0]), ("", EXHAUSTED.value[0])] == [
        (each.request_id, each.result.error.code) for each in (refused, none)
    ]
    assert [] == parsed


async def test_on_a_stream_an_item_that_is_no_message_counts_as_a_check(serve: Serve) -> None:
    bench = await serve(checks_per_s=1)
    stream = open_stream(bench)
    codes = []
    for _ in range(3):
        await stream.write(b"\xff")
        codes.append(pb.StreamCheckResponse.FromString(await stream.read()).result.error.code)
    stream.cancel()
    invalid = grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [invalid, invalid, EXHAUSTED.value[0]] == codes


async def test_a_check_that_waits_on_a_stream_is_a_call_and_what_is_found_does_not_show_in_its_quota(serve: Serve) -> None:
    bench = await serve(concurrent_calls=2)
    gate = bench.gateway.gates.of("lender")
    people = [LISTED, CLEAN]
    streams = [open_stream(bench) for _ in people]
    asked = [
        asyncio.create_task(ask(each, "later", question(person, at_least_snapshot="2")))
        for each, person in zip(streams, people, strict=True)
    ]
    await until(lambda: 2 == gate.calls.here)
    for person in people:
        assert (EXHAUSTED, "QUOTA_EXCEEDED") == (await refusal(check(bench, question(person))))[:2]
    await serve(concurrent_calls=2)
    outcomes = [each.result.response.outcome for each in await asyncio.gather(*asked)]
    assert [types_pb2.OUTCOME_RESTRICT, types_pb2.OUTCOME_ALLOW] == outcomes
    assert (1, 0) == (len(bench.spool.records), gate.calls.here)
    for stream in streams:
        stream.cancel()


async def test_calls_that_wait_are_answered_alike_though_fewer_may_be_under_way_by_then(serve: Serve) -> None:
    bench = await serve(concurrent_calls=4)
    gate = bench.gateway.gates.of("lender")
    waiting = [asyncio.create_task(check(bench, question(person, at_least_snapshot="2"))) for person in (LISTED, CLEAN) * 2]
    await until(lambda: 4 == gate.calls.here)
    await serve(concurrent_calls=1)
    outcomes = [each.outcome for each in await asyncio.gather(*waiting)]
    assert [types_pb2.OUTCOME_RESTRICT, types_pb2.OUTCOME_ALLOW] * 2 == outcomes
    assert (2, 0) == (len(bench.spool.records), gate.calls.here)


async def test_another_quota_in_the_policy_counts_at_once(serve: Serve) -> None:
    bench = await serve(batch=1)
    await serve(batch=2)
    body = pb.BatchCheckRequest(requests=[pb.CheckRequest.FromString(question())] * 2).SerializeToString()
    assert 2 == len(pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results)


async def test_the_sdk_tells_when_to_come_again(serve: Serve) -> None:
    bench = await serve(checks_per_s=1)
    bench.gateway.gates.of("lender").checks.owe(3, time.monotonic())
    async with AioClient(f"127.0.0.1:{bench.port}", api_key="lender-key", timeout_s=10.0) as client:
        with pytest.raises(ResourceExhausted) as caught:
            await client.check([Identifier(CLEAN.kind, CLEAN.value)], action="loan.apply", purpose="lending")
    assert caught.value.retry_after_s is not None
    assert 0.0 < caught.value.retry_after_s <= 3.0
    assert {"quota": "checks_per_s"} == caught.value.metadata


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_batch_that_is_decided_again_counts_its_labels_once(serve: Serve) -> None:
    bench = await serve(labels_per_day=3)
    gate = bench.gateway.gates.of("lender")
    asked = [call_question(LISTED_PHONE), call_question(LISTED_PHONE), question(CLEAN, at_least_snapshot="2")]
    body = pb.BatchCheckRequest(requests=[pb.CheckRequest.FromString(each) for each in asked]).SerializeToString()
    waiting = asyncio.create_task(bench.call("CheckService/BatchCheck", body))
    await until(lambda: 1 == gate.calls.here)
    assert 0 == gate.day.labels
    await serve(labels_per_day=3)
    results = pb.BatchCheckResponse.FromString(await waiting).results
    assert ["response"] * 3 == [each.WhichOneof("result") for each in results]
    assert 2 == gate.day.labels


async def test_labels_that_are_used_up_while_a_check_waits_are_not_shown(serve: Serve) -> None:
    bench = await serve(labels_per_day=1)
    gate = bench.gateway.gates.of("lender")
    asked = call_question(LISTED_PHONE)
    later = question(LISTED_PHONE, action="call.identify", purpose="caller-identification", at_least_snapshot="2")
    stream = open_stream(bench)
    single = asyncio.create_task(check(bench, later))
    streamed = asyncio.create_task(ask(stream, "later", later))
    await until(lambda: (2, 1) == (gate.calls.here, gate.streams.here))
    await check(bench, asked)
    await serve(labels_per_day=1)
    assert (EXHAUSTED, "QUOTA_EXCEEDED") == (await refusal(single))[:2]
    assert EXHAUSTED.value[0] == (await streamed).result.error.code
    stream.cancel()
    assert 1 == gate.day.labels
