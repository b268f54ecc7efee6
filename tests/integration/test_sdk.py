"""Both SDK clients over the wire, against a gRPC server whose answers the tests write."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2

from portcullis.client import (
    Client,
    DeadlineExceeded,
    FailedPrecondition,
    Identifier,
    InternalError,
    InvalidArgument,
    Outcome,
    PermissionDenied,
    Question,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
)
from portcullis.v1 import caller_service_pb2 as caller_pb2
from portcullis.v1 import check_service_pb2 as check_pb2
from portcullis.v1 import types_pb2
from tests.support.scripted_gateway import (
    AioDriver,
    BlockingDriver,
    Driver,
    ScriptedGateway,
    allow,
    fail,
    fail_plainly,
    give,
    hang,
    serving,
    status_of,
)

KEY = "pcl_aaaaaaaa_made-up"
PASSPORT = Identifier("passport", "A1234567", "XA")
QUESTION = Question((PASSPORT,), "rail.ticket.purchase", "ticketing", {"train": "G101"})
Ask = Callable[..., Driver]


@pytest.fixture
async def gateway() -> ScriptedGateway:
    return ScriptedGateway()


@pytest.fixture(params=[BlockingDriver, AioDriver], ids=["blocking", "aio"])
async def driver(request: pytest.FixtureRequest, gateway: ScriptedGateway) -> AsyncIterator[Driver]:
    async with serving(gateway) as target:
        driver: Driver = request.param(target, api_key=KEY, timeout_s=5.0)
        try:
            yield driver
        finally:
            await driver.close()


async def check(driver: Driver, **fields: object) -> object:
    return await driver.check([PASSPORT], action="rail.ticket.purchase", purpose="ticketing", **fields)


async def test_a_check_carries_the_key_and_every_field(driver: Driver, gateway: ScriptedGateway) -> None:
    decision = await driver.check(
        [PASSPORT],
        action="rail.ticket.purchase",
        purpose="ticketing",
        attributes={"train": "G101", "seats": 2, "fare": 1.5, "refundable": True},
        partner_reference="order-1",
        at_least_snapshot="5",
        dry_run=True,
    )

    assert Outcome.ALLOW == decision.outcome
    assert "7" == decision.snapshot.version
    assert f"Bearer {KEY}" == gateway.metadata[0]["authorization"]
    assert str(gateway.metadata[0]["user-agent"]).startswith("portcullis-python/")
    assert (
        check_pb2.CheckRequest(
            identifiers=[types_pb2.Identifier(kind="passport", value="A1234567", country="XA")],
            action="rail.ticket.purchase",
            purpose="ticketing",
            attributes=[
                types_pb2.Attribute(name="train", string_value="G101"),
                types_pb2.Attribute(name="seats", int_value=2),
                types_pb2.Attribute(name="fare", double_value=1.5),
                types_pb2.Attribute(name="refundable", bool_value=True),
            ],
            partner_reference="order-1",
            at_least_snapshot="5",
            dry_run=True,
        )
        == gateway.requests[0]
    )


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_a_gateway_that_is_not_able_or_too_busy_is_asked_again(
    driver: Driver, gateway: ScriptedGateway, code: grpc.StatusCode
) -> None:
    gateway.script.extend([fail(code, "not yet")] * 2)

    decision = await check(driver)

    assert Outcome.ALLOW == decision.outcome
    assert 3 == len(gateway.requests)


async def test_attempts_are_bounded(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.extend([fail(grpc.StatusCode.UNAVAILABLE, "not yet")] * 10)

    with pytest.raises(Unavailable):
        await check(driver)

    assert 4 == len(gateway.requests)


async def test_retries_are_throttled_while_a_gateway_keeps_failing(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.extend([fail(grpc.StatusCode.UNAVAILABLE, "not yet")] * 100)

    for _ in range(10):
        with pytest.raises(Unavailable):
            await check(driver)

    assert len(gateway.requests) < 25


async def test_a_used_up_quota_is_never_asked_again(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(
        fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota", RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000)))
    )

    with pytest.raises(ResourceExhausted) as caught:
        await check(driver)

    assert 2.5 == caught.value.retry_after_s
    assert 1 == len(gateway.requests)


async def test_a_call_ends_at_its_deadline(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(hang)

    with pytest.raises(DeadlineExceeded) as caught:
        await check(driver, timeout_s=0.1)

    assert "DEADLINE_EXCEEDED" == caught.value.status


async def test_an_invalid_question_names_its_fields(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(
        fail(
            grpc.StatusCode.INVALID_ARGUMENT,
            "identifiers[0].value: the check digit is wrong",
            ErrorInfo(reason="ERROR_REASON_INVALID_FIELD", domain="portcullis"),
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field="identifiers[0].value", description="the check digit is wrong")
                ]
            ),
        )
    )

    with pytest.raises(InvalidArgument) as caught:
        await check(driver)

    assert "ERROR_REASON_INVALID_FIELD" == caught.value.reason
    assert [("identifiers[0].value", "the check digit is wrong")] == [
        (each.field, each.description) for each in caught.value.violations
    ]


async def test_a_refused_permission_says_what_the_agreement_lacks(driver: Driver, gateway: ScriptedGateway) -> None:
    info = ErrorInfo(reason="ERROR_REASON_OUTSIDE_AGREEMENT", domain="portcullis", metadata={"action": "loan.apply"})
    gateway.script.append(fail(grpc.StatusCode.PERMISSION_DENIED, "outside the agreement", info))

    with pytest.raises(PermissionDenied) as caught:
        await check(driver)

    assert "ERROR_REASON_OUTSIDE_AGREEMENT" == caught.value.reason
    assert {"action": "loan.apply"} == caught.value.metadata


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated),
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition),
        (grpc.StatusCode.INTERNAL, InternalError),
        (grpc.StatusCode.UNIMPLEMENTED, InternalError),
    ],
)
async def test_a_status_without_details_still_has_its_own_type(
    driver: Driver, gateway: ScriptedGateway, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    gateway.script.append(fail_plainly(code, "said a proxy"))

    with pytest.raises(kind, match="said a proxy") as caught:
        await check(driver)

    assert kind is caught.type


async def test_details_that_are_no_protobuf_are_passed_over(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(fail_plainly(grpc.StatusCode.PERMISSION_DENIED, "no", (("grpc-status-details-bin", b"\xff\xff"),)))

    with pytest.raises(PermissionDenied, match="no"):
        await check(driver)


async def test_an_unknown_outcome_never_passes_for_an_allow(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(give(check_pb2.CheckResponse(decision_id="x", outcome=9)))

    with pytest.raises(UnexpectedAnswer):
        await check(driver)


async def test_a_batch_of_any_size_goes_in_calls_of_a_thousand(driver: Driver, gateway: ScriptedGateway) -> None:
    questions = (Question((PASSPORT,), "a.b", "p", partner_reference=str(number)) for number in range(2500))

    answers = await driver.batch_check(questions)

    assert [1000, 1000, 500] == [len(request.requests) for request in gateway.requests]
    assert [str(number) for number in range(2500)] == [answer.get().decision_id for answer in answers]


async def test_a_faulty_item_of_a_batch_keeps_its_fault_to_itself(driver: Driver, gateway: ScriptedGateway) -> None:
    status = status_of(
        grpc.StatusCode.INVALID_ARGUMENT,
        "action: unknown",
        BadRequest(field_violations=[BadRequest.FieldViolation(field="action", description="unknown")]),
    )
    results = [check_pb2.CheckResult(error=status), check_pb2.CheckResult(response=allow()), check_pb2.CheckResult()]
    gateway.script.append(give(check_pb2.BatchCheckResponse(results=results)))

    faulty, good, empty = await driver.batch_check([QUESTION] * 3)

    assert isinstance(faulty.error, InvalidArgument)
    assert "action" == faulty.error.violations[0].field
    assert Outcome.ALLOW == good.get().outcome
    with pytest.raises(UnexpectedAnswer):
        empty.get()


async def test_a_failed_call_of_a_batch_fails_its_own_questions_only(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(fail(grpc.StatusCode.PERMISSION_DENIED, "no"))

    answers = await driver.batch_check([QUESTION] * 1001)

    assert [True] * 1000 + [False] == [isinstance(answer.error, PermissionDenied) for answer in answers]


async def test_a_batch_with_too_few_answers_gives_none(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(give(check_pb2.BatchCheckResponse(results=[check_pb2.CheckResult(response=allow())])))

    answers = await driver.batch_check([QUESTION] * 2)

    assert [True, True] == [isinstance(answer.error, UnexpectedAnswer) for answer in answers]


async def test_a_stream_answers_with_the_request_ids(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.extend(
        [
            give(check_pb2.CheckResult(response=allow())),
            give(check_pb2.CheckResult(error=status_of(grpc.StatusCode.INVALID_ARGUMENT, "bad"))),
        ]
    )

    answers = await driver.stream_check([("one", QUESTION), ("two", QUESTION), ("three", QUESTION)])

    assert ["one", "two", "three"] == [answer.request_id for answer in answers]
    assert [None, InvalidArgument, None] == [answer.error and type(answer.error) for answer in answers]


async def test_a_broken_stream_raises(driver: Driver, gateway: ScriptedGateway) -> None:
    gateway.script.append(fail(grpc.StatusCode.UNAVAILABLE, "draining"))

    with pytest.raises(Unavailable, match="draining"):
        await driver.stream_check([("one", QUESTION)])


async def test_a_fault_of_the_asker_comes_back_after_the_answers(driver: Driver, gateway: ScriptedGateway) -> None:
    def questions() -> Iterator[tuple[str, Question]]:
        yield "one", QUESTION
        raise LookupError("the order is gone")

    with pytest.raises(LookupError, match="the order is gone"):
        await driver.stream_check(questions())

    assert 1 == len(gateway.requests)


async def test_leaving_a_stream_early_gives_it_up(driver: Driver, gateway: ScriptedGateway) -> None:
    answer = await driver.first_of_stream([("one", QUESTION), ("two", QUESTION)])

    assert "one" == answer.request_id
    await asyncio.wait_for(gateway.stream_ended.wait(), 5)


async def test_a_caller_without_a_label_is_not_found(driver: Driver) -> None:
    assert not (await driver.lookup_caller("+447700900123")).found


async def test_a_caller_with_a_label_shows_it_with_its_reasons(driver: Driver, gateway: ScriptedGateway) -> None:
    reason = types_pb2.Reason(list="caller-notices", effect=types_pb2.EFFECT_NOTICE, authority="Demonstration")
    gateway.script.append(give(caller_pb2.LookupCallerResponse(label="Listed", reasons=[reason], decision_id="d")))

    answer = await driver.lookup_caller("+447700900123", purpose="caller-identification")

    assert ("Listed", "caller-notices", "NOTICE") == (answer.label, answer.reasons[0].list, answer.reasons[0].effect)
    assert "caller-identification" == gateway.requests[0].purpose


async def test_a_gateway_is_ready_when_its_health_says_so(driver: Driver, gateway: ScriptedGateway) -> None:
    assert await driver.ready()
    await gateway.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert not await driver.ready()


@pytest.mark.parametrize("make", [BlockingDriver, AioDriver])
async def test_a_gateway_that_is_not_there_is_unavailable_and_not_ready(make: type[Driver]) -> None:
    async with serving(ScriptedGateway()) as target:
        pass
    driver = make(target, api_key=KEY, timeout_s=2.0)
    try:
        assert not await driver.ready()
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await check(driver)
    finally:
        await driver.close()


@pytest.mark.parametrize("make", [BlockingDriver, AioDriver])
async def test_a_forward_proxy_of_the_environment_is_not_used_on_loopback(
    make: type[Driver], gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(gateway) as target:
        driver = make(target, timeout_s=5.0)
        try:
            assert Outcome.ALLOW == (await check(driver)).outcome
        finally:
            await driver.close()


async def test_a_closed_client_says_so(driver: Driver) -> None:
    await driver.close()

    with pytest.raises(RuntimeError, match="closed"):
        await check(driver)


def test_a_client_from_before_a_fork_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client("127.0.0.1:1") as client:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="fork"):
            client.ready()
        monkeypatch.undo()
