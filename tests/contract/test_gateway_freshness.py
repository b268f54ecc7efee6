"""How old the lists may be, on every transport: ages, fail modes, clocks that jump, and snapshots that are waited for."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, get_args

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from portcullis.adapters.clock import SystemClock
from portcullis.config import Transport
from portcullis.domain.policies import Disclosure, Effect, OnStale, Partner, Policy
from portcullis.domain.records import Record
from portcullis.gateway.views import View
from portcullis.v1 import caller_service_pb2, types_pb2
from portcullis.v1 import check_service_pb2 as pb
from tests.support.gateways import TOKENISER, Bench, arrival, credential, refusal, running_gateway
from tests.support.people import phone, resident_id
from tests.support.policies import NOW, a_list, agreement, measure, policy
from tests.support.raw_clocks import Host

LISTED, CLEAN, CALLER = resident_id(1), resident_id(2), phone(1)
HOUR = 3600
ENDS = NOW + 3 * HOUR
"""When the entries, the agreements and the publication period of these tests end."""


@pytest.fixture(params=get_args(Transport))
def transport(request: pytest.FixtureRequest) -> Transport:
    return request.param  # type: ignore[no-any-return]


class Moved(NamedTuple):
    """A gateway whose host's clocks a test moves."""

    bench: Bench
    host: Host

    async def until(self, ask: Callable[[], Awaitable[Any]], expected: object) -> None:
        """Wait until the gateway answers as expected: its tick takes the new time up within milliseconds."""
        deadline = time.monotonic() + 10
        while (answer := await ask()) != expected:
            assert time.monotonic() < deadline, f"{answer} is not {expected}"
            await asyncio.sleep(0.005)

    async def some_ticks(self) -> None:
        """Let the gateway look at the replica and at the clock a few times."""
        first, seen = self.bench.gateway.held.view, 0
        while seen < 3:
            if self.bench.gateway.held.view is not first:
                first, seen = self.bench.gateway.held.view, seen + 1
            await asyncio.sleep(0.002)


@pytest.fixture
async def moved(transport: Transport) -> AsyncIterator[Moved]:
    host = Host()
    async with running_gateway(transport, clock=SystemClock(host.clocks)) as bench:
        yield Moved(bench, host)


def the_policy(**changes: Any) -> Policy:
    """Two lists on loans, of which one may be an hour old and refuses when it is older, and a public list of callers."""
    lists = (
        a_list("court", measure(on_stale=OnStale.RESTRICT), max_age_s=HOUR),
        a_list("slow", measure("slow", effect=Effect.REVIEW, on_stale=OnStale.ALLOW), max_age_s=100 * HOUR),
        a_list(
            "notices",
            measure("label", actions=("call.identify",), effect=Effect.NOTICE, message="A known nuisance."),
            disclosure=Disclosure.PUBLIC,
            max_age_s=HOUR,
            published_from=0,
            published_until=ENDS,
        ),
    )
    agreements = (
        agreement(("court", "slow"), valid_from=NOW - HOUR, valid_until=ENDS),
        agreement(("slow",), purposes=("slow-lending",), valid_from=NOW - HOUR, valid_until=ENDS),
        agreement(
            ("notices",), actions=("call.identify",), purposes=("caller-identification",), valid_from=0, valid_until=ENDS
        ),
    )
    return policy(*lists, partners=(Partner(name="lender", title="A lender", agreements=agreements),), **changes)


def the_index(until: int = ENDS) -> dict[bytes, list[Record]]:
    index: dict[bytes, list[Record]] = {}
    for number, identifier in ((1, LISTED), (3, CALLER)):
        for token in TOKENISER.index_tokens(identifier):
            index[token] = [Record(number, 0, until, number, f"case-{number}")]
    return index


def question(person: Any = CLEAN, **changes: Any) -> pb.CheckRequest:
    values: dict[str, Any] = {"action": "loan.apply", "purpose": "lending"}
    identifier = types_pb2.Identifier(kind=person.kind, value=person.value, country=person.country)
    return pb.CheckRequest(identifiers=[identifier], **(values | changes))


async def check(bench: Bench, request: pb.CheckRequest, **options: Any) -> pb.CheckResponse:
    return pb.CheckResponse.FromString(await bench.call("CheckService/Check", request.SerializeToString(), **options))


async def batch(bench: Bench, *requests: pb.CheckRequest, **options: Any) -> list[pb.CheckResult]:
    body = pb.BatchCheckRequest(requests=requests).SerializeToString()
    return list(pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body, **options)).results)


async def stream(bench: Bench, *requests: pb.CheckRequest, timeout: float = 10.0) -> list[pb.CheckResult]:
    bodies = [pb.StreamCheckRequest(request_id="1", check=each).SerializeToString() for each in requests]
    call = bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(
        iter(bodies), metadata=[("authorization", "Bearer lender-key")], timeout=timeout
    )
    return [pb.StreamCheckResponse.FromString(body).result async for body in call]


async def look_up(bench: Bench) -> caller_service_pb2.LookupCallerResponse:
    body = caller_service_pb2.LookupCallerRequest(phone=CALLER.value).SerializeToString()
    return caller_service_pb2.LookupCallerResponse.FromString(await bench.call("CallerService/LookupCaller", body))


async def every_way(bench: Bench, request: pb.CheckRequest) -> list[tuple[int, bool]]:
    """Give a check's outcome and whether it is degraded, alone, in a batch and on a stream."""
    answers = [
        await check(bench, request),
        (await batch(bench, request))[0].response,
        (await stream(bench, request))[0].response,
    ]
    return [(each.outcome, each.degraded) for each in answers]


ALLOW, RESTRICT = (types_pb2.OUTCOME_ALLOW, False), (types_pb2.OUTCOME_RESTRICT, False)
DEGRADED = (types_pb2.OUTCOME_RESTRICT, True)


async def test_an_answer_tells_how_long_ago_the_publisher_vouched(moved: Moved) -> None:
    bench, host = moved
    version = bench.publish(the_policy(), the_index(), published_at=NOW)
    await arrival(bench, version)

    async def age() -> int:
        ages = {(await check(bench, question(each))).snapshot.age.ToSeconds() for each in (CLEAN, LISTED)}
        ages.add((await batch(bench, question()))[0].response.snapshot.age.ToSeconds())
        ages.add((await stream(bench, question()))[0].response.snapshot.age.ToSeconds())
        ages.add((await look_up(bench)).snapshot.age.ToSeconds())
        return ages.pop() if len(ages) == 1 else -1

    assert 0 == await age()
    host.wait(90)
    await moved.until(age, 90)
    bench.writer.vouch(version, 2.0)
    await moved.until(age, 2)


async def test_past_its_greatest_age_a_list_does_what_it_declares_whichever_way_it_is_asked(moved: Moved) -> None:
    bench, host = moved
    version = bench.publish(the_policy(), the_index(), published_at=NOW)
    await arrival(bench, version)
    assert [ALLOW] * 3 == await every_way(bench, question())
    host.wait(HOUR + 1)
    await moved.until(lambda: every_way(bench, question()), [DEGRADED] * 3)
    assert [ALLOW] * 3 == await every_way(bench, question(purpose="slow-lending"))
    (reason,) = (await check(bench, question())).reasons
    assert ("court", types_pb2.EFFECT_RESTRICT, "") == (reason.list, reason.effect, reason.case_reference)
    assert "" == reason.subject
    assert "out of date" in reason.message
    bench.writer.vouch(version, 0.0)
    await moved.until(lambda: every_way(bench, question()), [ALLOW] * 3)


async def test_a_refusal_for_want_of_a_fresh_list_is_on_the_record_as_that(moved: Moved) -> None:
    bench, host = moved
    await arrival(bench, bench.publish(the_policy(), the_index(), published_at=NOW))
    host.wait(HOUR + 1)
    await moved.until(lambda: every_way(bench, question()), [DEGRADED] * 3)
    record = bench.spool.records[(await check(bench, question())).decision_id]
    assert (True, [("court", 0)]) == (record.degraded, [(each.list, each.entry_id) for each in record.reasons])
    # The list of callers is out of date as well, but nobody asked it.
    assert ("court",) == record.stale


async def test_a_label_of_a_list_that_is_out_of_date_is_not_shown_and_the_answer_says_so(moved: Moved) -> None:
    bench, host = moved
    await arrival(bench, bench.publish(the_policy(), the_index(), published_at=NOW))
    fresh = await look_up(bench)
    assert ("A known nuisance.", False) == (fresh.label, fresh.degraded)
    host.wait(HOUR + 1)

    async def seen() -> tuple[str, bool, str]:
        answer = await look_up(bench)
        return answer.label, answer.degraded, answer.decision_id

    await moved.until(seen, ("", True, ""))


async def test_a_list_that_the_publisher_cannot_bring_up_to_date_is_older_than_its_snapshot(moved: Moved) -> None:
    bench, host = moved
    stalled = {"court": NOW - HOUR + 60, "notices": NOW - HOUR - 1}
    version = bench.publish(the_policy(), the_index(), published_at=NOW, stalled=stalled)
    await arrival(bench, version)
    assert [ALLOW] * 3 == await every_way(bench, question())
    assert (await look_up(bench)).degraded
    host.wait(61)
    bench.writer.vouch(version, 0.0)
    await moved.until(lambda: every_way(bench, question()), [DEGRADED] * 3)
    assert [ALLOW] * 3 == await every_way(bench, question(purpose="slow-lending"))
    assert 0 == (await check(bench, question())).snapshot.age.ToSeconds()
    await arrival(bench, bench.publish(the_policy(), the_index(), published_at=NOW + 61))
    assert [ALLOW] * 3 == await every_way(bench, question())
    assert not (await look_up(bench)).degraded


@pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR, 30 * 24 * HOUR])
async def test_a_clock_that_jumps_changes_no_decision_no_age_and_no_end(moved: Moved, jump: int) -> None:
    bench, host = moved
    # The entry has an hour to run, and the agreement three.
    await arrival(bench, bench.publish(the_policy(), the_index(until=NOW + HOUR), published_at=NOW))

    async def all_of_it() -> tuple[Any, ...]:
        answer = await check(bench, question(LISTED))
        record = bench.spool.records[answer.decision_id]
        return (
            await every_way(bench, question()),
            await every_way(bench, question(LISTED)),
            (await look_up(bench)).label,
            answer.snapshot.age.ToSeconds(),
            round(record.decided_at) - NOW,
        )

    before = await all_of_it()
    assert ([ALLOW] * 3, [RESTRICT] * 3, "A known nuisance.", 0, 0) == before
    host.set_wall(jump)
    await moved.some_ticks()
    assert before == await all_of_it()
    host.wait(600)
    await moved.until(all_of_it, (*before[:3], 600, 600))
    host.set_wall(-jump)
    await moved.some_ticks()
    assert (*before[:3], 600, 600) == await all_of_it()


@pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR])
async def test_real_time_ends_entries_and_agreements_whatever_the_clock_says(moved: Moved, jump: int) -> None:
    bench, host = moved
    version = bench.publish(the_policy(), the_index(until=NOW + HOUR), published_at=NOW)
    await arrival(bench, version)
    host.set_wall(jump)
    host.wait(HOUR - 1)
    bench.writer.vouch(version, 0.0)
    await moved.until(lambda: every_way(bench, question(LISTED)), [RESTRICT] * 3)
    host.wait(2)
    await moved.until(lambda: every_way(bench, question(LISTED)), [ALLOW] * 3)
    host.wait(2 * HOUR)
    await moved.some_ticks()
    code, reason, _, _ = await refusal(check(bench, question()))
    assert (grpc.StatusCode.PERMISSION_DENIED, "OUTSIDE_AGREEMENT") == (code, reason)


UNTIL = int(time.time()) + HOUR


@pytest.fixture
async def bench(transport: Transport) -> AsyncIterator[Bench]:
    """A gateway on the real clock, with one version published."""
    async with running_gateway(transport) as bench:
        await arrival(bench, publish(bench))
        yield bench


def publish(bench: Bench) -> int:
    """Publish the next version; nothing else changes."""
    lender = Partner(name="lender", title="A lender", agreements=(agreement(valid_from=0, valid_until=UNTIL),))
    index = {token: [Record(1, 0, UNTIL, 1, "case-1")] for token in TOKENISER.index_tokens(LISTED)}
    return bench.publish(policy(partners=(lender,)), index)


def held_and_wanted(details: Any) -> tuple[str, str]:
    """Give the versions that a SNAPSHOT_BEHIND names."""
    info = error_details_pb2.ErrorInfo()
    for detail in details:
        detail.Unpack(info)
    assert "ERROR_REASON_SNAPSHOT_BEHIND" == info.reason
    return info.metadata["held"], info.metadata["wanted"]


async def test_a_snapshot_that_does_not_come_within_the_deadline_is_refused_with_the_one_held(bench: Bench) -> None:
    begun = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check(bench, question(at_least_snapshot="99"), timeout=0.4)
    assert grpc.StatusCode.FAILED_PRECONDITION == caught.value.code()
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert ("1", "99") == held_and_wanted(status.details if status else ())
    assert 0.3 < time.monotonic() - begun < 0.4 + 5


async def test_a_snapshot_that_is_here_already_is_not_waited_for(bench: Bench) -> None:
    for version in ("1", "0"):
        assert "1" == (await check(bench, question(at_least_snapshot=version), timeout=5)).snapshot.version


async def test_a_batch_waits_for_the_highest_snapshot_that_an_item_wants(bench: Bench) -> None:
    requests = (question(), question(at_least_snapshot="2"), question(LISTED, at_least_snapshot="1"))
    waiting = asyncio.create_task(batch(bench, *requests))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    publish(bench)
    assert ["2"] * 3 == [each.response.snapshot.version for each in await waiting]
    assert 1 == len(bench.spool.records)


async def test_a_batch_whose_snapshot_does_not_come_is_refused_with_the_one_held(bench: Bench) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await batch(bench, question(LISTED), question(at_least_snapshot="99"), timeout=0.4)
    assert grpc.StatusCode.FAILED_PRECONDITION == caught.value.code()
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert ("1", "99") == held_and_wanted(status.details if status else ())
    assert {} == bench.spool.records


async def test_an_item_on_a_stream_waits_for_the_snapshot_it_wants(bench: Bench) -> None:
    waiting = asyncio.create_task(stream(bench, question(LISTED, at_least_snapshot="2"), question()))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    publish(bench)
    assert ["2", "2"] == [each.response.snapshot.version for each in await waiting]


async def test_an_item_on_a_stream_whose_snapshot_does_not_come_gets_its_error_within_the_deadline(bench: Bench) -> None:
    (result,) = await stream(bench, question(at_least_snapshot="99"), timeout=0.6)
    assert (9, ("1", "99")) == (result.error.code, held_and_wanted(result.error.details))


@pytest.mark.parametrize("number", ["447700900777", "13900000001"])
async def test_a_number_that_can_be_no_version_is_refused_at_once_and_not_told_back(bench: Bench, number: str) -> None:
    asked = question(at_least_snapshot=number)
    begun = time.monotonic()
    code, _, fields, text = await refusal(check(bench, asked, timeout=20))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["at_least_snapshot"]) == (code, fields)
    assert number not in text
    for (result,) in (await batch(bench, asked, timeout=20), await stream(bench, asked, timeout=20)):
        assert 3 == result.error.code
        assert number not in str(result)
    assert time.monotonic() - begun < 5


async def test_what_is_wrong_with_a_check_is_said_before_it_waits(bench: Bench) -> None:
    begun = time.monotonic()
    code, _, fields, _ = await refusal(check(bench, question(action="", at_least_snapshot="99"), timeout=20))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["action"]) == (code, fields)
    assert time.monotonic() - begun < 5


async def test_a_key_that_the_snapshot_waited_for_has_revoked_is_refused(bench: Bench) -> None:
    waiting = asyncio.create_task(refusal(check(bench, question(at_least_snapshot="2"))))
    await asyncio.sleep(0.02)
    bench.credentials[:] = [credential("another-key", "lender")]
    publish(bench)
    assert grpc.StatusCode.UNAUTHENTICATED == (await waiting)[0]


async def test_calls_that_wait_keep_no_version_alive(bench: Bench) -> None:
    late = question(at_least_snapshot="9")
    waiting = [check(bench, late), batch(bench, question(action=""), late), stream(bench, late)]
    answers = asyncio.gather(*waiting)
    while bench.version < 8:
        await asyncio.sleep(0.02)
        await arrival(bench, publish(bench))
    gc.collect()
    views = [each for each in gc.get_objects() if isinstance(each, View) and each.callers is bench.gateway.callers()]
    assert {each.version for each in views} <= {7, 8}
    assert not answers.done()
    publish(bench)
    await answers


async def test_a_call_that_waits_for_the_spool_keeps_no_version_alive(bench: Bench) -> None:
    bench.spool.holding = asyncio.Event()
    answers = asyncio.gather(
        check(bench, question(LISTED)), batch(bench, question(LISTED), question(action="")), stream(bench, question(LISTED))
    )
    while bench.version < 8:
        await asyncio.sleep(0.02)
        await arrival(bench, publish(bench))
    gc.collect()
    views = [each for each in gc.get_objects() if isinstance(each, View) and each.callers is bench.gateway.callers()]
    assert {each.version for each in views} <= {7, 8}
    assert not answers.done()
    bench.spool.holding.set()
    await answers
