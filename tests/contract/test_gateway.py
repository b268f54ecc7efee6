"""The contract of CheckService and CallerService, on every transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, get_args

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from portcullis.config import Transport
from portcullis.domain.policies import Disclosure, Effect, Partner, Policy, Probing
from portcullis.domain.records import Record
from portcullis.gateway.quotas.gate import Gate
from portcullis.v1 import caller_service_pb2, types_pb2
from portcullis.v1 import check_service_pb2 as pb
from tests.support.gateways import SUBJECTS, TOKENISER, Bench, arrival, credential, refusal, running_gateway
from tests.support.people import passport, phone, resident_id
from tests.support.policies import LOAN, a_list, agreement, measure, policy

LISTED, CLEAN = resident_id(1), resident_id(2)
LISTED_PASSPORT = passport(1)
LISTED_PHONE = phone(1)
UNTIL = int(time.time()) + 3600


@pytest.fixture(params=get_args(Transport))
async def bare(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with running_gateway(request.param) as bench:
        yield bench


@pytest.fixture
async def bench(bare: Bench) -> Bench:
    bare.publish(the_policy(), the_index())
    await serving(bare)
    return bare


def the_policy(**changes: Any) -> Policy:
    lists = (
        a_list("court", measure(when="amount >= 0.0")),
        a_list(
            "notices",
            measure("label", actions=("call.identify",), effect=Effect.NOTICE, message="A known nuisance."),
            disclosure=Disclosure.PUBLIC,
            published_from=0,
            published_until=UNTIL,
        ),
        a_list("elsewhere", measure("rail", actions=("rail.ticket.purchase",), when='train.startsWith("G")')),
    )
    agreements = (
        agreement(("court",), valid_from=0, valid_until=UNTIL, actions=("loan.apply", "call.identify")),
        agreement(
            ("notices",),
            valid_from=0,
            valid_until=UNTIL,
            actions=("call.identify",),
            purposes=("caller-identification",),
        ),
    )
    partner = Partner(name="lender", title="A lender", agreements=agreements, **({"probing": Probing.WATCH} | changes))
    return policy(*lists, partners=(partner,))


def the_index() -> dict[bytes, list[Record]]:
    def record(list_number: int, entry_id: int) -> Record:
        return Record(list_number, legal_index=0, until=UNTIL, entry_id=entry_id, case_reference=f"case-{entry_id}")

    index: dict[bytes, list[Record]] = {}
    for number, identifier in ((1, LISTED), (1, LISTED_PASSPORT), (2, LISTED_PHONE)):
        for token in TOKENISER.index_tokens(identifier):
            index.setdefault(token, []).append(record(number, len(index) + 1))
    return index


def identifier(given: Any) -> types_pb2.Identifier:
    return types_pb2.Identifier(kind=given.kind, value=given.value, country=given.country)


def question(*people: Any, **changes: Any) -> pb.CheckRequest:
    values: dict[str, Any] = {"action": "loan.apply", "purpose": "lending"}
    return pb.CheckRequest(identifiers=[identifier(each) for each in people or (CLEAN,)], **(values | changes))


async def serving(bench: Bench) -> None:
    deadline = time.monotonic() + 10
    while await health(bench) != health_pb2.HealthCheckResponse.SERVING:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def health(bench: Bench, service: str = "") -> int:
    call = bench.channel.unary_unary("/grpc.health.v1.Health/Check")
    answer = await call(health_pb2.HealthCheckRequest(service=service).SerializeToString())
    return int(health_pb2.HealthCheckResponse.FromString(answer).status)


async def check(bench: Bench, request: pb.CheckRequest, **options: Any) -> pb.CheckResponse:
    return pb.CheckResponse.FromString(await bench.call("CheckService/Check", request.SerializeToString(), **options))


async def test_a_customer_on_no_list_is_allowed_and_leaves_no_record(bench: Bench) -> None:
    answer = await check(bench, question(CLEAN))
    assert types_pb2.OUTCOME_ALLOW == answer.outcome
    assert (0, 32, str(bench.version)) == (len(answer.reasons), len(answer.decision_id), answer.snapshot.version)
    assert {} == bench.spool.records


async def test_a_listed_customer_is_restricted_with_all_that_must_be_told(bench: Bench) -> None:
    answer = await check(bench, question(LISTED, partner_reference="order-1"))
    assert types_pb2.OUTCOME_RESTRICT == answer.outcome
    (reason,) = answer.reasons
    assert ("court", "loans", types_pb2.EFFECT_RESTRICT) == (reason.list, reason.measure, reason.effect)
    assert ("Demonstration Court", "Demonstration Act, section 1") == (reason.authority, reason.legal_basis)
    assert ("https://redress.example/court", UNTIL) == (reason.redress_url, reason.until.seconds)
    assert reason.case_reference.startswith("case-")
    assert SUBJECTS.name("lender", 1, int(reason.case_reference.removeprefix("case-"))) == reason.subject


async def test_a_refusal_is_on_the_record_before_the_answer(bench: Bench) -> None:
    answer = await check(bench, question(LISTED, partner_reference="order-1"))
    record = bench.spool.records[answer.decision_id]
    assert ("lender", "loan.apply", "lending", "RESTRICT") == (
        record.partner,
        record.action,
        record.purpose,
        record.outcome,
    )
    assert ("order-1", {"amount": 0.0}, bench.version) == (
        record.partner_reference,
        record.attributes,
        record.snapshot_version,
    )
    assert (bench.version, ()) == (record.registry_seq, record.stale)


async def test_a_refusal_that_cannot_be_recorded_is_not_given(bench: Bench) -> None:
    bench.spool.failing = True
    code, reason, _, _ = await refusal(check(bench, question(LISTED)))
    assert (grpc.StatusCode.UNAVAILABLE, "RECORD_UNAVAILABLE") == (code, reason)
    assert types_pb2.OUTCOME_ALLOW == (await check(bench, question(CLEAN))).outcome


async def test_every_identifier_of_the_customer_counts(bench: Bench) -> None:
    answer = await check(bench, question(CLEAN, LISTED_PASSPORT))
    assert types_pb2.OUTCOME_RESTRICT == answer.outcome


async def test_the_same_passport_number_of_another_country_is_not_touched(bench: Bench) -> None:
    other = types_pb2.Identifier(kind="passport", value=LISTED_PASSPORT.value, country="XQ")
    request = pb.CheckRequest(identifiers=[other], action="loan.apply", purpose="lending")
    assert types_pb2.OUTCOME_ALLOW == (await check(bench, request)).outcome


async def test_a_passport_without_a_country_is_reviewed_at_most(bench: Bench) -> None:
    weak = types_pb2.Identifier(kind="passport", value=LISTED_PASSPORT.value)
    request = pb.CheckRequest(identifiers=[weak], action="loan.apply", purpose="lending")
    answer = await check(bench, request)
    assert (types_pb2.OUTCOME_REVIEW, [types_pb2.EFFECT_REVIEW]) == (
        answer.outcome,
        [reason.effect for reason in answer.reasons],
    )
    assert "may concern somebody else" in answer.reasons[0].message


async def test_a_dry_run_is_recorded_as_a_look_and_no_refusal(bench: Bench) -> None:
    answer = await check(bench, question(LISTED, dry_run=True))
    assert types_pb2.OUTCOME_RESTRICT == answer.outcome
    assert bench.spool.records[answer.decision_id].dry_run


async def test_what_is_in_shadow_is_recorded_and_not_disclosed(bench: Bench) -> None:
    version = bench.publish(the_policy(shadow=True), the_index())
    answer = await check(bench, question(LISTED, at_least_snapshot=str(version)))
    assert (types_pb2.OUTCOME_ALLOW, types_pb2.OUTCOME_RESTRICT) == (answer.outcome, answer.shadow_outcome)
    assert [] == list(answer.reasons)
    assert [True] == [reason.shadow for reason in bench.spool.records[answer.decision_id].reasons]


WRONG_DIGIT = CLEAN.value[:-1] + ("0" if CLEAN.value[-1] != "0" else "1")

BAD_REQUESTS = {
    "a wrong check digit": (
        pb.CheckRequest(
            identifiers=[types_pb2.Identifier(kind="cn.resident-id", value=WRONG_DIGIT)],
            action="loan.apply",
            purpose="lending",
        ),
        ["identifiers[0].value"],
    ),
    "an unknown kind": (
        pb.CheckRequest(
            identifiers=[identifier(CLEAN), types_pb2.Identifier(kind="shoe-size", value="44")],
            action="loan.apply",
            purpose="lending",
        ),
        ["identifiers[1].kind"],
    ),
    "an unknown country": (
        pb.CheckRequest(
            identifiers=[types_pb2.Identifier(kind="passport", value="P1234567", country="QQ")],
            action="loan.apply",
            purpose="lending",
        ),
        ["identifiers[0].country"],
    ),
    "no action": (question(action=""), ["action"]),
    "no purpose": (question(purpose=""), ["purpose"]),
    "no identifiers": (pb.CheckRequest(action="loan.apply", purpose="lending"), ["identifiers"]),
    "nine identifiers": (question(*[CLEAN] * 9), ["identifiers"]),
    "an over-long reference": (question(partner_reference="r" * 129), ["partner_reference"]),
    "a malformed snapshot": (question(at_least_snapshot="-4"), ["at_least_snapshot"]),
    "an attribute of the wrong type": (
        question(attributes=[types_pb2.Attribute(name="amount", string_value="much")]),
        ["attributes[0].value"],
    ),
    "an attribute without a value": (
        question(attributes=[types_pb2.Attribute(name="amount")]),
        ["attributes[0].value"],
    ),
    "an attribute that the action does not declare": (
        question(attributes=[types_pb2.Attribute(name="weather", string_value="wet")]),
        ["attributes[0].name"],
    ),
    "several faults at once": (
        question(*[CLEAN] * 9, action="", partner_reference="r" * 200),
        ["identifiers", "action", "partner_reference"],
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_bad_input_names_every_faulty_field_and_no_value(bench: Bench, name: str) -> None:
    request, expected = BAD_REQUESTS[name]
    code, reason, fields, text = await refusal(check(bench, request))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", expected) == (code, reason, fields)
    for each in request.identifiers:
        assert each.value not in text


async def test_bytes_that_are_no_protobuf_are_an_invalid_argument(bench: Bench) -> None:
    code, reason, _, _ = await refusal(bench.call("CheckService/Check", b"\xff\xff\xff"))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "UNPARSABLE") == (code, reason)


async def test_a_message_over_the_limit_is_refused(bench: Bench) -> None:
    code, _, _, _ = await refusal(bench.call("CheckService/Check", b"\0" * 1_100_000))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == code


async def test_no_key_a_wrong_key_and_a_revoked_key_get_the_same_answer(bench: Bench) -> None:
    bench.credentials.append(credential("old-key", "lender"))
    await arrival(bench, bench.publish(the_policy(), the_index()))
    await check(bench, question(), key="old-key")
    bench.credentials.pop()
    await arrival(bench, bench.publish(the_policy(), the_index()))
    answers = [await refusal(check(bench, question(LISTED), key=key)) for key in (None, "wrong-key", "old-key", "")]
    assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED") == answers[0][:2]
    assert [answers[0]] * 4 == answers


async def test_admission_comes_before_the_body_is_parsed(bench: Bench) -> None:
    code, _, _, _ = await refusal(bench.call("CheckService/Check", b"\xff\xff", key="wrong-key"))
    assert grpc.StatusCode.UNAUTHENTICATED == code


async def test_an_operators_key_is_not_for_checking(bench: Bench) -> None:
    code, reason, _, _ = await refusal(check(bench, question(), key="operator-key"))
    assert (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED") == (code, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "rail.ticket.purchase", "attributes": [types_pb2.Attribute(name="train", string_value="G1")]},
        {"action": "rail.ticket.purchase", "attributes": [types_pb2.Attribute(name="weather", string_value="wet")]},
        {"action": "tea.drink"},
        {"purpose": "curiosity"},
    ],
)
async def test_what_lies_outside_the_agreement_is_denied_with_the_reason(bench: Bench, changes: dict[str, Any]) -> None:
    code, reason, _, _ = await refusal(check(bench, question(LISTED, **changes)))
    assert (grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_AGREEMENT") == (code, reason)


async def test_an_action_that_no_list_covers_is_an_error_and_no_silent_allow(bench: Bench) -> None:
    code, reason, _, _ = await refusal(check(bench, question(action="call.identify")))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "ACTION_NOT_COVERED") == (code, reason)


async def test_before_the_first_snapshot_nothing_is_answered_and_health_says_so(bare: Bench) -> None:
    assert health_pb2.HealthCheckResponse.NOT_SERVING == await health(bare)
    assert health_pb2.HealthCheckResponse.NOT_SERVING == await health(bare, "portcullis.v1.CheckService")
    code, reason, _, _ = await refusal(check(bare, question()))
    assert (grpc.StatusCode.UNAVAILABLE, "NO_SNAPSHOT") == (code, reason)
    bare.publish(the_policy(), the_index())
    await serving(bare)
    assert types_pb2.OUTCOME_ALLOW == (await check(bare, question())).outcome


async def test_a_check_waits_for_the_snapshot_it_wants(bench: Bench) -> None:
    waiting = asyncio.create_task(check(bench, question(CLEAN, at_least_snapshot=str(bench.version + 1))))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    index = the_index()
    for token in TOKENISER.index_tokens(CLEAN):
        index[token] = [Record(1, 0, UNTIL, 99, "case-99")]
    version = bench.publish(the_policy(), index)
    answer = await waiting
    assert (str(version), types_pb2.OUTCOME_RESTRICT) == (answer.snapshot.version, answer.outcome)


async def test_a_snapshot_that_does_not_come_in_time_is_an_error_that_names_the_one_held(bench: Bench) -> None:
    wanted = str(bench.version + 5)
    code, reason, _, text = await refusal(check(bench, question(at_least_snapshot=wanted), timeout=0.5))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "SNAPSHOT_BEHIND") == (code, reason)
    assert wanted in text


async def test_a_batch_answers_in_order_and_keeps_a_fault_with_its_item(bench: Bench) -> None:
    requests = [question(LISTED), question(action=""), question(CLEAN), question(purpose="curiosity")]
    body = pb.BatchCheckRequest(requests=requests).SerializeToString()
    results = pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results
    assert ["response", "error", "response", "error"] == [result.WhichOneof("result") for result in results]
    assert [types_pb2.OUTCOME_RESTRICT, types_pb2.OUTCOME_ALLOW] == [
        results[0].response.outcome,
        results[2].response.outcome,
    ]
    assert [3, 7] == [results[1].error.code, results[3].error.code]
    assert [results[0].response.decision_id] == list(bench.spool.records)


async def batch(bench: Bench, *requests: pb.CheckRequest, timeout: float = 10.0) -> list[pb.CheckResult]:
    body = pb.BatchCheckRequest(requests=requests).SerializeToString()
    answer = await bench.call("CheckService/BatchCheck", body, timeout=timeout)
    return list(pb.BatchCheckResponse.FromString(answer).results)


def faulty_fields(result: pb.CheckResult) -> list[str]:
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in result.error.details)
    return [violation.field for violation in bad.field_violations]


async def test_a_version_that_no_snapshot_can_have_yet_is_the_fault_of_its_item_alone(bench: Bench) -> None:
    far = str(bench.version + 10_000_000)
    results = await batch(bench, question(LISTED), question(CLEAN, at_least_snapshot=far), question(CLEAN))
    assert ["response", "error", "response"] == [result.WhichOneof("result") for result in results]
    assert (3, ["at_least_snapshot"]) == (results[1].error.code, faulty_fields(results[1]))
    assert far not in str(results[1])
    assert [results[0].response.decision_id] == list(bench.spool.records)


async def test_an_item_that_is_faulty_makes_its_batch_wait_for_no_snapshot(bench: Bench) -> None:
    never = str(bench.version + 5)
    faulty = [question(action="", at_least_snapshot=never), question(purpose="curiosity", at_least_snapshot=never)]
    results = await batch(bench, question(LISTED), *faulty, question(CLEAN), timeout=5.0)
    assert ["response", "error", "error", "response"] == [result.WhichOneof("result") for result in results]
    assert [3, 7] == [result.error.code for result in results[1:3]]


async def test_an_identifier_that_could_not_be_what_it_says_is_noted_of_a_check_that_wants_a_snapshot_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []
    monkeypatch.setattr(Gate, "miswritten", lambda gate: noted.append(gate.partner))
    for wanted in ("", str(bench.version)):
        wrong = question(at_least_snapshot=wanted)
        wrong.identifiers[0].value = "1101"
        code, _, fields, _ = await refusal(check(bench, wrong))
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["identifiers[0].value"]) == (code, fields)
    assert ["lender"] * 2 == noted
    assert grpc.StatusCode.INVALID_ARGUMENT == (await refusal(check(bench, question(action="", at_least_snapshot="1"))))[0]
    assert ["lender"] * 2 == noted


async def test_a_batch_of_a_thousand_is_answered_whole(bench: Bench) -> None:
    requests = [question(LISTED if place % 100 == 7 else resident_id(place + 10)) for place in range(1000)]
    body = pb.BatchCheckRequest(requests=requests).SerializeToString()
    results = pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results
    refused = [place for place, result in enumerate(results) if result.response.outcome == types_pb2.OUTCOME_RESTRICT]
    assert list(range(7, 1000, 100)) == refused
    assert 1000 == len({result.response.decision_id for result in results})


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_of_none_or_too_many_is_refused(bench: Bench, count: int) -> None:
    body = pb.BatchCheckRequest(requests=[question()] * count).SerializeToString()
    code, _, fields, _ = await refusal(bench.call("CheckService/BatchCheck", body))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["requests"]) == (code, fields)


async def test_a_batch_whose_refusal_cannot_be_recorded_answers_the_others(bench: Bench) -> None:
    bench.spool.failing = True
    body = pb.BatchCheckRequest(requests=[question(LISTED), question(CLEAN)]).SerializeToString()
    results = pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results
    assert (14, types_pb2.OUTCOME_ALLOW) == (results[0].error.code, results[1].response.outcome)


async def test_a_stream_answers_each_item_in_its_turn_and_goes_on_after_a_fault(bench: Bench) -> None:
    items = [
        pb.StreamCheckRequest(request_id="1", check=question(LISTED)),
        pb.StreamCheckRequest(request_id="2", check=question(action="")),
        pb.StreamCheckRequest(request_id="3", check=question(CLEAN)),
    ]
    call = bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(
        iter([item.SerializeToString() for item in items]), metadata=[("authorization", "Bearer lender-key")], timeout=10
    )
    answers = [pb.StreamCheckResponse.FromString(body) async for body in call]
    assert ["1", "2", "3"] == [answer.request_id for answer in answers]
    assert [types_pb2.OUTCOME_RESTRICT, types_pb2.OUTCOME_ALLOW] == [
        answers[0].result.response.outcome,
        answers[2].result.response.outcome,
    ]
    assert 3 == answers[1].result.error.code


async def test_a_stream_without_a_key_is_refused(bench: Bench) -> None:
    call = bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(iter([b""]), timeout=10)
    code, _, _, _ = await refusal(call.read())
    assert grpc.StatusCode.UNAUTHENTICATED == code


async def test_a_stream_ends_when_its_key_is_revoked(bench: Bench) -> None:
    call = bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(
        metadata=[("authorization", "Bearer lender-key")], timeout=10
    )
    await call.write(pb.StreamCheckRequest(request_id="1", check=question()).SerializeToString())
    assert "1" == pb.StreamCheckResponse.FromString(await call.read()).request_id
    bench.credentials[:] = [credential("another-key", "lender")]
    await arrival(bench, bench.publish(the_policy(), the_index()))
    await call.write(pb.StreamCheckRequest(request_id="2", check=question()).SerializeToString())
    code, _, _, _ = await refusal(call.read())
    assert grpc.StatusCode.UNAUTHENTICATED == code


async def look_up(bench: Bench, number: str, **options: Any) -> caller_service_pb2.LookupCallerResponse:
    body = caller_service_pb2.LookupCallerRequest(phone=number).SerializeToString()
    return caller_service_pb2.LookupCallerResponse.FromString(
        await bench.call("CallerService/LookupCaller", body, **options)
    )


async def test_a_caller_on_a_public_list_gets_its_label_on_the_record(bench: Bench) -> None:
    answer = await look_up(bench, LISTED_PHONE.value)
    assert ("A known nuisance.", ["notices"]) == (answer.label, [reason.list for reason in answer.reasons])
    (record,) = bench.spool.records.values()
    assert SUBJECTS.name("lender", 2, record.reasons[0].entry_id) == answer.reasons[0].subject
    assert [answer.decision_id] == list(bench.spool.records)


async def test_a_caller_on_no_list_gets_nothing_and_leaves_no_record(bench: Bench) -> None:
    answer = await look_up(bench, phone(2).value)
    assert ("", [], "") == (answer.label, list(answer.reasons), answer.decision_id)
    assert {} == bench.spool.records


async def test_a_label_in_shadow_is_recorded_and_neither_shown_nor_counted_as_shown(bench: Bench) -> None:
    await arrival(bench, bench.publish(the_policy(shadow=True), the_index()))
    tally = bench.gateway.desk.tally
    answer = await look_up(bench, LISTED_PHONE.value)
    assert ("", [], "") == (answer.label, list(answer.reasons), answer.decision_id)
    assert (1, 1) == (len(bench.spool.records), tally.lookups_empty)


async def test_a_phone_that_is_none_is_an_invalid_argument_without_its_digits(bench: Bench) -> None:
    code, _, fields, text = await refusal(look_up(bench, "+44999"))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["phone"]) == (code, fields)
    assert "44999" not in text


async def test_reflection_describes_every_service_and_method(bench: Bench) -> None:
    def described() -> dict[str, list[str]]:
        with grpc.insecure_channel(f"127.0.0.1:{bench.port}") as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            found = {}
            for name in database.get_services():
                file = database.FindFileContainingSymbol(name)
                (service,) = [each for each in file.service if f"{file.package}.{each.name}" == name]
                found[name] = sorted(method.name for method in service.method)
            return found

    services = await asyncio.to_thread(described)
    assert ["BatchCheck", "Check", "StreamCheck"] == services["portcullis.v1.CheckService"]
    assert ["LookupCaller"] == services["portcullis.v1.CallerService"]
    assert {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= set(services)


async def test_a_method_that_is_not_there_says_so(bench: Bench) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await bench.call("CheckService/Nonsense", b"")
    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()


def test_the_loan_action_of_these_tests_needs_no_attribute() -> None:
    assert not any(attribute.required for attribute in LOAN.attributes)
