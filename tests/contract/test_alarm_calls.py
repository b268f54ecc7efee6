"""Operators see alarms and release partners over gRPC."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from portcullis.domain.alarms import Alarm
from portcullis.v1 import admin_service_pb2 as pb
from tests.support.gateways import Bench, arrival, refusal, running_gateway
from tests.support.policies import policy
from tests.support.staff import StaffHome


@pytest.fixture
def home(tmp_path: Path) -> StaffHome:
    return StaffHome(tmp_path)


@pytest.fixture
async def bench(home: StaffHome) -> AsyncIterator[Bench]:
    async with running_gateway("grpcio", home.desks) as running:
        await arrival(running, running.publish(policy(), {}))
        yield running


def alarm() -> Alarm:
    now = time.time()
    return Alarm(
        partner="lender",
        level="stopped",
        signs=("near",),
        raised_at=now,
        until=now + 900,
        gateway="host-1",
        probes=192,
    )


async def listed(bench: Bench) -> list[pb.Alarm]:
    body = await bench.call("AdminService/ListAlarms", pb.ListAlarmsRequest().SerializeToString(), key="operator-key")
    return list(pb.ListAlarmsResponse.FromString(body).alarms)


async def release(bench: Bench, partner: str, reason: str, key: str = "operator-key") -> None:
    request = pb.ReleaseAlarmRequest(partner=partner, reason=reason)
    await bench.call("AdminService/ReleaseAlarm", request.SerializeToString(), key=key)


async def test_an_operator_sees_an_alarm_and_releases_the_partner(home: StaffHome, bench: Bench) -> None:
    assert [] == await listed(bench)
    home.desks.alarms.put([alarm()])
    (seen,) = await listed(bench)
    assert ("lender", "stopped", ["near"], 192, "host-1", "") == (
        seen.partner,
        seen.level,
        list(seen.signs),
        seen.probes,
        seen.gateway,
        seen.released_by,
    )

    with capture_logs() as lines:
        await release(bench, "lender", "their nightly screening")

    # What somebody wrote may name a customer: it stands on the board, and in no log.
    assert [{"event": "partner released", "partner": "lender", "by": "olga", "log_level": "warning"}] == lines
    assert ["olga"] == [each.released_by for each in await listed(bench)]
    board = home.desks.alarms.look()
    assert [] == list(board.holding(time.time()))
    assert "their nightly screening" == board.releases["lender"].why


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501])
async def test_a_release_says_why(bench: Bench, reason: str) -> None:
    code, _, fields, _ = await refusal(release(bench, "lender", reason))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["reason"]) == (code, fields)


async def test_a_partner_that_is_not_there_is_not_released(bench: Bench) -> None:
    code, *_ = await refusal(release(bench, "nobody", "a mistake"))
    assert grpc.StatusCode.NOT_FOUND is code


async def test_a_partner_releases_nobody(bench: Bench) -> None:
    code, *_ = await refusal(release(bench, "lender", "let me", key="lender-key"))
    assert grpc.StatusCode.PERMISSION_DENIED is code
