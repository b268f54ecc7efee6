from __future__ import annotations

import asyncio
import io
import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from portcullis.v1 import caller_service_pb2 as caller_pb2
from portcullis.v1 import check_service_pb2 as check_pb2
from portcullis.v1 import types_pb2
from tests.support.command_homes import portcullis
from tests.support.scripted_gateway import ScriptedGateway, allow, fail, give, serving

ID = "passport:XA:A1234567"
CHECK = ("check", "--action", "rail.ticket.purchase", "--purpose", "ticketing", "--key", "made-up")
REASON = types_pb2.Reason(
    list="court",
    measure="trains",
    effect=types_pb2.EFFECT_RESTRICT,
    authority="Demonstration \x1b[31mCourt",
    legal_basis="Act, article 3",
    case_reference="(2090) 1",
    until=Timestamp(seconds=4_102_444_800),
    redress_url="https://court.demonstration.example/" + "o" * 100,
    message="A [bold]court[/bold] has restricted you.",
)


def refusal(outcome: types_pb2.Outcome = types_pb2.OUTCOME_RESTRICT) -> check_pb2.CheckResponse:
    return check_pb2.CheckResponse(
        decision_id="d" * 32, outcome=outcome, reasons=[REASON], snapshot=types_pb2.SnapshotInfo(version="7")
    )


async def run(gateway: ScriptedGateway, *arguments: str) -> int:
    async with serving(gateway) as target:
        return await asyncio.to_thread(portcullis, *arguments, "--target", target)


async def test_a_refusal_is_shown_with_all_that_the_customer_must_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = ScriptedGateway()
    gateway.script.append(give(refusal()))

    assert 0 == await run(gateway, *CHECK, "--id", ID, "--attr", "train=G101", "--reference", "order-1")

    shown = capsys.readouterr().out
    assert shown.startswith("RESTRICT  rail.ticket.purchase\n")
    for told in ("Act, article 3", "(2090) 1", "2100-01-01 00:00:00 UTC", REASON.redress_url, "snapshot  7", " ms, "):
        assert told in shown
    assert "A [bold]court[/bold] has restricted you." in shown
    assert "\x1b" not in shown
    assert "A1234567" not in shown
    assert "order-1" == gateway.requests[0].partner_reference
    assert "Bearer made-up" == gateway.metadata[0]["authorization"]


async def test_the_notice_of_a_refusal_is_shown_in_the_language_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = ScriptedGateway()
    response = refusal()
    response.reasons[0].notice.CopyFrom(types_pb2.Notice(locale="zh", text="one\x1b[31m\n\ntwo", html="<p>one</p>"))
    gateway.script.append(give(response))

    assert 0 == await run(gateway, *CHECK, "--id", ID, "--locale", "zh-TW", "--redress-number", "PCR-0000-0000-0000-0000")

    shown = capsys.readouterr().out
    assert "\n    to be told to the customer (zh):\n      one\N{REPLACEMENT CHARACTER}[31m\n\n      two\n" in shown
    assert "<p>" not in shown
    assert ("zh-TW", "PCR-0000-0000-0000-0000") == (gateway.requests[0].locale, gateway.requests[0].redress_number)


async def test_the_notice_of_a_refusal_is_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = ScriptedGateway()
    response = refusal()
    response.reasons[0].notice.CopyFrom(types_pb2.Notice(locale="zh", text="t", html="<p>t</p>"))
    gateway.script.append(give(response))

    assert 0 == await run(gateway, *CHECK, "--id", ID, "--json")

    document = json.loads(capsys.readouterr().out)
    assert {"locale": "zh", "text": "t", "html": "<p>t</p>"} == document["reasons"][0]["notice"]


async def test_a_check_in_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = ScriptedGateway()
    gateway.script.append(give(refusal()))

    assert 0 == await run(gateway, *CHECK, "--id", ID, "--json")

    document = json.loads(capsys.readouterr().out)
    assert ("RESTRICT", "d" * 32, "7") == (document["outcome"], document["decision_id"], document["snapshot"]["version"])
    assert "2100-01-01T00:00:00+00:00" == document["reasons"][0]["until"]
    assert document["took_ms"] > 0


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(types_pb2.OUTCOME_ALLOW, 0), (types_pb2.OUTCOME_RESTRICT, 10), (types_pb2.OUTCOME_REVIEW, 11)],
)
async def test_outcomes_become_exit_codes_on_request(outcome: types_pb2.Outcome, code: int) -> None:
    gateway = ScriptedGateway()
    gateway.script.append(give(refusal(outcome)))

    assert code == await run(gateway, *CHECK, "--id", ID, "--exit-code")


async def test_what_rides_along_with_an_answer_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = ScriptedGateway()
    response = allow()
    response.degraded = True
    response.shadow_outcome = types_pb2.OUTCOME_REVIEW
    gateway.script.append(give(response))

    assert 0 == await run(gateway, *CHECK, "--id", ID, "--dry-run")

    shown = capsys.readouterr().out
    assert all(told in shown for told in ("dry run", "out of date", "in shadow: REVIEW"))
    assert gateway.requests[0].dry_run


async def test_identifiers_from_stdin_are_all_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = ScriptedGateway()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ID}\nphone:+447700900123\n"))

    assert 0 == await run(gateway, *CHECK, "--id", "-")

    assert ["passport", "phone"] == [each.kind for each in gateway.requests[0].identifiers]


async def test_an_error_answer_is_told_on_stderr_and_in_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTCULLIS_API_KEY", "made-up")
    gateway = ScriptedGateway()
    bad = BadRequest(field_violations=[BadRequest.FieldViolation(field="identifiers[0].value", description="too short")])
    reason = ErrorInfo(reason="ERROR_REASON_INVALID_FIELD", domain="portcullis")
    gateway.script.append(fail(grpc.StatusCode.INVALID_ARGUMENT, "identifiers[0].value: too short", reason, bad))

    assert 1 == await run(gateway, *CHECK[:-2], "--id", ID, "--json")

    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert ("INVALID_ARGUMENT", "ERROR_REASON_INVALID_FIELD") == (error["status"], error["reason"])
    assert [{"field": "identifiers[0].value", "description": "too short"}] == error["violations"]
    assert "portcullis: identifiers[0].value: too short\n" == captured.err


def test_a_gateway_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == portcullis(*CHECK, "--id", ID, "--target", "127.0.0.1:1", "--timeout", "2")

    assert "portcullis: no gateway answers at 127.0.0.1:1; is the gateway running?" in capsys.readouterr().err


def test_a_key_that_can_be_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis(*CHECK[:-1], "a\nb", "--id", ID, "--target", "127.0.0.1:1")

    assert "--key: api_key:" in capsys.readouterr().err


def test_an_argument_that_is_no_utf_8_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == portcullis(*CHECK, "--id", "passport:XA:\udcff1", "--target", "127.0.0.1:1")

    assert "UTF-8" in capsys.readouterr().err


async def test_a_callers_label_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = ScriptedGateway()
    gateway.script.append(give(caller_pb2.LookupCallerResponse(label="Listed by a court.", reasons=[REASON])))

    assert 0 == await run(gateway, "caller", "+447700900123", "--key", "made-up")

    shown = capsys.readouterr().out
    assert shown.startswith("Listed by a court.\n")
    assert "+447700900123" not in shown
    assert "caller-identification" == gateway.requests[0].purpose


async def test_a_caller_without_a_label_shows_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == await run(ScriptedGateway(), "caller", "+447700900123", "--key", "made-up")
    assert capsys.readouterr().out.startswith("nothing may be shown of this caller\n")
