"""What a check says to the person refused, and what a redress number changes, over every transport and kind of call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, get_args

import grpc
import msgspec
import pytest

from portcullis.config import Transport
from portcullis.domain.policies import Effect, NoticeTemplate, OnStale, Partner, Policy, RestrictedList
from portcullis.domain.records import Record
from portcullis.domain.redress_numbers import format_number
from portcullis.domain.tokens import Tokeniser
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2
from tests.support.gateways import TOKENISER, Bench, arrival, refusal, running_gateway
from tests.support.people import passport, phone, resident_id
from tests.support.policies import LOAN, a_list, agreement, measure, policy

LISTED, CLEAN, OWN_PASSPORT, SHARED_PHONE = resident_id(1), resident_id(2), passport(1), phone(1)
UNTIL = int(time.time()) + 3600
DIGITS = "0" * 16
NUMBER = format_number(DIGITS)
OTHER_NUMBER = format_number("A82GG3R05016014Y")


@pytest.fixture(params=get_args(Transport))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with running_gateway(request.param) as running:
        await publish(running, the_policy())
        yield running


async def publish(bench: Bench, rules: Policy, index: Mapping[bytes, list[Record]] | None = None, **changes: Any) -> None:
    version = bench.publish(rules, the_index() if index is None else index, **changes)
    await arrival(bench, version)


def the_policy(*further: RestrictedList, **court: Any) -> Policy:
    lists = (a_list("court", **court), *further)
    agreements = (agreement(tuple(each.name for each in lists), valid_from=0, valid_until=UNTIL),)
    partner = Partner(name="lender", title="A lender", agreements=agreements)
    return policy(*lists, actions=(msgspec.structs.replace(LOAN, title="Apply for a loan"),), partners=(partner,))


def the_index() -> dict[bytes, list[Record]]:
    """One entry by resident ID, and one by a phone number that somebody else has now: OWN_PASSPORT's holder."""
    index: dict[bytes, list[Record]] = {}
    for entry_id, listed in ((1, LISTED), (2, SHARED_PHONE)):
        for token in TOKENISER.index_tokens(listed):
            index.setdefault(token, []).append(a_record(entry_id))
    for own in TOKENISER.index_tokens(OWN_PASSPORT):
        for mistaken in TOKENISER.index_tokens(SHARED_PHONE):
            index[TOKENISER.clearance(DIGITS, own, mistaken)] = [a_record(2)]
    return index


def a_record(entry_id: int, list_number: int = 1) -> Record:
    return Record(list_number, legal_index=0, until=UNTIL, entry_id=entry_id, case_reference=f"case-{entry_id}")


def question(*people: Any, **changes: Any) -> pb.CheckRequest:
    values: dict[str, Any] = {"action": "loan.apply", "purpose": "lending"}
    identifiers = [types_pb2.Identifier(kind=each.kind, value=each.value, country=each.country) for each in people]
    return pb.CheckRequest(identifiers=identifiers, **(values | changes))


async def check(bench: Bench, request: pb.CheckRequest) -> pb.CheckResponse:
    return pb.CheckResponse.FromString(await bench.call("CheckService/Check", request.SerializeToString()))


async def batch(bench: Bench, *requests: pb.CheckRequest) -> list[pb.CheckResult]:
    body = pb.BatchCheckRequest(requests=requests).SerializeToString()
    return list(pb.BatchCheckResponse.FromString(await bench.call("CheckService/BatchCheck", body)).results)


async def stream(bench: Bench, *requests: pb.CheckRequest) -> list[pb.CheckResult]:
    call = bench.channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(
        iter([pb.StreamCheckRequest(check=request).SerializeToString() for request in requests]),
        metadata=[("authorization", "Bearer lender-key")],
        timeout=10,
    )
    return [pb.StreamCheckResponse.FromString(body).result async for body in call]


async def test_a_refusal_carries_the_notice_of_its_list_in_the_language_asked_for(bench: Bench) -> None:
    (reason,) = (await check(bench, question(LISTED))).reasons
    assert "en" == reason.notice.locale
    told = ("Demonstration Court", "Apply for a loan", "section 1", "case-1", reason.redress_url, "Court list")
    assert [] == [words for words in told if words not in reason.notice.text]
    assert reason.notice.html.startswith('<p lang="en">')
    (chinese,) = (await check(bench, question(LISTED, locale="zh-TW"))).reasons
    assert ("zh", True) == (chinese.notice.locale, "提出异议" in chinese.notice.text)


async def test_batches_and_streams_carry_notices_too(bench: Bench) -> None:
    requests = [question(LISTED, locale="zh"), question(CLEAN), question(LISTED, locale="qq")]
    for ask in (batch, stream):
        first, second, third = [result.response for result in await ask(bench, *requests)]
        assert ["zh", "en"] == [first.reasons[0].notice.locale, third.reasons[0].notice.locale]
        assert [] == list(second.reasons)


async def test_a_list_s_own_notice_speaks_and_its_first_for_whoever_asks_for_no_language(bench: Bench) -> None:
    notices = (
        NoticeTemplate("fr", "{authority}, {law}, {objection}"),
        NoticeTemplate("de", "{law} {authority} {objection}"),
    )
    await publish(bench, the_policy(notices=notices))
    spoken = [(await check(bench, question(LISTED, locale=each))).reasons[0].notice.locale for each in ("", "de-AT", "zh")]
    assert ["fr", "de", "zh"] == spoken


async def test_only_a_refusal_has_a_notice(bench: Bench) -> None:
    review = a_list("review", measure(effect=Effect.REVIEW))
    grant = a_list("grant", measure(effect=Effect.GRANT))
    shadow = a_list("shadow", shadow=True)
    token = TOKENISER.index_tokens(LISTED)[0]
    index = {token: [a_record(number, number) for number in (1, 2, 3, 4)]}
    await publish(bench, the_policy(review, grant, shadow), index)
    answer = await check(bench, question(LISTED))
    assert [("court", True), ("review", False), ("grant", False)] == [
        (reason.list, reason.HasField("notice")) for reason in answer.reasons
    ]


async def test_a_refusal_by_a_stale_list_has_a_notice_that_says_so_and_accuses_nobody(bench: Bench) -> None:
    own = (NoticeTemplate("zh-CN", "{authority}{law}{objection}您已被列入名单"),)
    court = {"measures": (measure(on_stale=OnStale.RESTRICT),), "notices": own}
    await publish(bench, the_policy(**court), stalled={"court": 0.0})
    (reason,) = (await check(bench, question(CLEAN))).reasons
    assert ("zh", "", False) == (reason.notice.locale, reason.case_reference, reason.HasField("until"))
    assert "这并不表示您已被列入名单" in reason.notice.text
    (known,) = (await check(bench, question(LISTED))).reasons
    assert ("zh-CN", "case-1") == (known.notice.locale, known.case_reference)


@pytest.mark.parametrize("locale", ["zh_CN", "x" * 33, "q", "en-", "English please"])
async def test_a_language_that_is_written_like_none_is_a_fault_for_listed_and_clean_alike(bench: Bench, locale: str) -> None:
    faulty = question(CLEAN, locale=locale)
    for request in (faulty, question(LISTED, locale=locale)):
        code, _, fields, text = await refusal(check(bench, request))
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["locale"]) == (code, fields)
        assert len(locale) == 1 or locale not in text
    for ask in (batch, stream):
        assert [3, 0] == [result.error.code for result in await ask(bench, faulty, question(CLEAN))]


async def test_whoever_is_mistaken_for_a_listed_subject_is_allowed_with_their_number_and_leaves_no_record(
    bench: Bench,
) -> None:
    mistaken = question(OWN_PASSPORT, SHARED_PHONE)
    assert types_pb2.OUTCOME_RESTRICT == (await check(bench, mistaken)).outcome
    bench.spool.records.clear()
    mistaken.redress_number = NUMBER
    plain = await check(bench, question(CLEAN))
    cleared = await check(bench, mistaken)
    for answer in (plain, cleared):
        answer.decision_id = ""
        answer.snapshot.age.Clear()
    assert plain == cleared
    for ask in (batch, stream):
        assert [types_pb2.OUTCOME_ALLOW] == [result.response.outcome for result in await ask(bench, mistaken)]
    assert {} == bench.spool.records


@pytest.mark.parametrize("written", [NUMBER.lower(), NUMBER.replace("-", " "), NUMBER.replace("-", "").replace("0", "O")])
async def test_a_number_counts_however_it_is_written(bench: Bench, written: str) -> None:
    answer = await check(bench, question(OWN_PASSPORT, SHARED_PHONE, redress_number=written))
    assert types_pb2.OUTCOME_ALLOW == answer.outcome


async def test_a_number_without_its_holder_s_document_or_of_another_clears_nothing(bench: Bench) -> None:
    without = question(SHARED_PHONE, redress_number=NUMBER)
    other = question(passport(2), SHARED_PHONE, redress_number=NUMBER)
    weak = question(msgspec.structs.replace(OWN_PASSPORT, country=""), SHARED_PHONE, redress_number=NUMBER)
    for request in (without, other, weak, question(OWN_PASSPORT, SHARED_PHONE, redress_number=OTHER_NUMBER)):
        assert types_pb2.OUTCOME_RESTRICT == (await check(bench, request)).outcome


async def test_a_number_clears_only_the_entry_that_it_was_given_for_and_the_record_tells_which(bench: Bench) -> None:
    answer = await check(bench, question(LISTED, OWN_PASSPORT, SHARED_PHONE, redress_number=NUMBER))
    assert ["case-1"] == [reason.case_reference for reason in answer.reasons]
    record = bench.spool.records[answer.decision_id]
    assert ((2,), [1]) == (record.cleared, [reason.entry_id for reason in record.reasons])
    assert [] == [secret for secret in (NUMBER, DIGITS) if secret in repr(msgspec.to_builtins(record))]


@pytest.mark.parametrize("number", ["PCR-0000-0000-0000-0001", "PCR", "0", "x" * 500])
async def test_a_number_that_is_none_is_a_fault_for_listed_and_clean_alike(bench: Bench, number: str) -> None:
    faulty = question(CLEAN, redress_number=number)
    for request in (faulty, question(LISTED, redress_number=number)):
        code, _, fields, text = await refusal(check(bench, request))
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["redress_number"]) == (code, fields)
        assert "PCR-XXXX" in text
        assert len(number) < 8 or number not in text
    for ask in (batch, stream):
        assert [3, 0] == [result.error.code for result in await ask(bench, faulty, question(CLEAN))]


async def test_a_fault_of_number_and_language_is_told_before_a_snapshot_is_waited_for(bench: Bench) -> None:
    request = question(CLEAN, redress_number="0", locale="_", at_least_snapshot="999")
    async with asyncio.timeout(5):
        code, _, fields, _ = await refusal(check(bench, request))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["redress_number", "locale"]) == (code, fields)


async def test_a_suspended_list_lets_everybody_go_on_and_is_no_error(bench: Bench) -> None:
    await publish(bench, the_policy(measures=(measure(on_stale=OnStale.RESTRICT),), suspended=True))
    answers = [await check(bench, question(each)) for each in (LISTED, LISTED, CLEAN)]
    assert [(types_pb2.OUTCOME_ALLOW, 0)] * 3 == [(answer.outcome, len(answer.reasons)) for answer in answers]
    assert {} == bench.spool.records
    await publish(bench, the_policy())
    assert types_pb2.OUTCOME_RESTRICT == (await check(bench, question(LISTED))).outcome


def test_the_clearances_of_these_tests_are_those_of_the_gateway_s_key() -> None:
    stranger = Tokeniser(b"another key of these tests")
    assert TOKENISER.clearance(DIGITS, b"o" * 16, b"m" * 16) != stranger.clearance(DIGITS, b"o" * 16, b"m" * 16)
