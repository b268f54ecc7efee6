"""``partner alarms`` and ``partner release``: what they ask for, and what they show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.domain.errors import InvalidRequest, NotFound, RoleRequired
from portcullis.v1 import admin_service_pb2 as pb
from tests.support.command_homes import portcullis
from tests.support.scripted_staff import ScriptedStaff, serving_staff

ALARMS = pb.ListAlarmsResponse(
    alarms=[
        pb.Alarm(
            partner="lender",
            level="stopped",
            signs=["near", "block"],
            raised_at=Timestamp(seconds=4_102_444_800),
            until=Timestamp(seconds=4_102_445_700),
            gateway="host-1",
            probes=1_920,
        ),
        pb.Alarm(partner="shop", level="slowed", signs=["canary"], gateway="host-2", probes=1, released_by="olga"),
    ]
)


@pytest.fixture
def staff() -> Iterator[SimpleNamespace]:
    scripted = ScriptedStaff()
    with serving_staff(scripted) as target:

        def run(*arguments: str) -> int:
            return portcullis("partner", *arguments, "--target", target, "--key", "made-up")

        yield SimpleNamespace(run=run, scripted=scripted)


def test_alarms_are_shown_with_what_ends_them(staff: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    staff.scripted.answers["ListAlarms"] = ALARMS
    assert 0 == staff.run("alarms")
    _, lender, shop = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    for shown in ("lender", "stopped", "near, block", "1,920", "until 2100-01-01 00:15:00 UTC", "host-1"):
        assert shown in lender
    assert "released by olga" in shop
    assert [("ListAlarms", b"")] == staff.scripted.asked


def test_alarms_are_one_json_document(staff: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    staff.scripted.answers["ListAlarms"] = ALARMS
    assert 0 == staff.run("alarms", "--json")
    assert ["lender", "shop"] == [each["partner"] for each in json.loads(capsys.readouterr().out)["alarms"]]


def test_a_release_asks_with_its_reason(staff: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    staff.scripted.answers["ReleaseAlarm"] = pb.ReleaseAlarmResponse()
    assert 0 == staff.run("release", "lender", "--reason", "their nightly screening")
    request = pb.ReleaseAlarmRequest(partner="lender", reason="their nightly screening")
    assert [("ReleaseAlarm", request.SerializeToString())] == staff.scripted.asked
    assert "lender is released" in capsys.readouterr().out


def test_a_release_without_a_reason_asks_nothing(staff: SimpleNamespace) -> None:
    assert 2 == staff.run("release", "lender")
    assert [] == staff.scripted.asked


@pytest.mark.parametrize(
    "refusal",
    [
        NotFound("partner: no partner has this name; ListAlarms gives those with an alarm"),
        InvalidRequest.at("reason", "say why"),
        RoleRequired("operator"),
    ],
)
def test_what_is_refused_fails_and_says_why(
    staff: SimpleNamespace, capsys: pytest.CaptureFixture[str], refusal: Exception
) -> None:
    staff.scripted.answers["ReleaseAlarm"] = refusal
    assert 0 != staff.run("release", "lender", "--reason", "x")
    assert capsys.readouterr().err.strip()
