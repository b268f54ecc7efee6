"""Both SDK clients against the real gateway, on every transport."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import get_args

import pytest

from portcullis.client import (
    Effect,
    FailedPrecondition,
    Identifier,
    InvalidArgument,
    Outcome,
    PermissionDenied,
    Question,
    Unauthenticated,
    Unavailable,
)
from portcullis.config import Transport
from portcullis.domain.policies import Disclosure, Partner, Policy
from portcullis.domain.policies import Effect as MeasureEffect
from portcullis.domain.records import Record
from tests.support.gateways import TOKENISER, Bench, arrival, running_gateway
from tests.support.people import passport, phone, resident_id
from tests.support.policies import a_list, agreement, measure, policy
from tests.support.scripted_gateway import AioDriver, BlockingDriver, Driver

LISTED, CLEAN = resident_id(1), resident_id(2)
PASSPORT = passport(1)
CALLER = phone(1)
UNTIL = int(time.time()) + 3600


def the_policy() -> Policy:
    lists = (
        a_list("court", measure(when="amount >= 1.0")),
        a_list(
            "notices",
            measure("label", actions=("call.identify",), effect=MeasureEffect.NOTICE, message="A known nuisance."),
            disclosure=Disclosure.PUBLIC,
            published_from=0,
            published_until=UNTIL,
        ),
        a_list("elsewhere", measure("rail", actions=("rail.ticket.purchase",), when='train.startsWith("G")')),
    )
    terms = {"valid_from": 0, "valid_until": UNTIL}
    agreements = (
        agreement(("court",), actions=("loan.apply", "rail.ticket.purchase"), **terms),
        agreement(("notices",), actions=("call.identify",), purposes=("caller-identification",), **terms),
    )
    return policy(*lists, partners=(Partner("lender", "Lender", agreements),))


def the_index() -> dict[bytes, list[Record]]:
    index: dict[bytes, list[Record]] = {}
    for number, listed in ((1, LISTED), (1, PASSPORT), (2, CALLER)):
        for token in TOKENISER.index_tokens(listed):
            record = Record(number, legal_index=0, until=UNTIL, entry_id=len(index) + 1, case_reference="case 1")
            index.setdefault(token, []).append(record)
    return index


def of(listed: object) -> Identifier:
    """The SDK's identifier of one of the domain's."""
    return Identifier(listed.kind, listed.value, listed.country)  # type: ignore[attr-defined]


def loan(*people: object, **fields: object) -> Question:
    return Question(tuple(map(of, people)), "loan.apply", "lending", **({"attributes": {"amount": 5}} | fields))  # type: ignore[arg-type]


@pytest.fixture(params=get_args(Transport))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with running_gateway(request.param) as bench:
        yield bench


@pytest.fixture(params=[BlockingDriver, AioDriver], ids=["blocking", "aio"])
async def driver(request: pytest.FixtureRequest, bench: Bench) -> AsyncIterator[Driver]:
    driver: Driver = request.param(f"127.0.0.1:{bench.port}", api_key="lender-key", timeout_s=10.0)
    try:
        yield driver
    finally:
        await driver.close()


@pytest.fixture
async def served(bench: Bench, driver: Driver) -> Driver:
    await arrival(bench, bench.publish(the_policy(), the_index()))
    return driver


async def test_a_listed_customer_is_restricted_with_the_whole_reason(served: Driver) -> None:
    decision = await served.check([of(LISTED)], action="loan.apply", purpose="lending", attributes={"amount": 5.5})

    assert Outcome.RESTRICT == decision.outcome
    (reason,) = decision.reasons
    assert ("court", "loans", Effect.RESTRICT) == (reason.list, reason.measure, reason.effect)
    assert ("Demonstration Court", "case 1") == (reason.authority, reason.case_reference)
    assert reason.until is not None
    assert UNTIL == reason.until.timestamp()
    assert "1" == decision.snapshot.version


async def test_a_customer_on_no_list_is_allowed(served: Driver) -> None:
    decision = await served.check([of(CLEAN)], action="loan.apply", purpose="lending")

    assert decision.allowed
    assert () == decision.reasons


async def test_a_passport_without_its_country_is_for_a_person_to_review(served: Driver) -> None:
    decision = await served.check(
        [Identifier("passport", PASSPORT.value)], action="loan.apply", purpose="lending", attributes={"amount": 5}
    )

    assert Outcome.REVIEW == decision.outcome
    assert not decision.allowed


async def test_a_batch_of_more_than_a_thousand_comes_back_in_order(served: Driver) -> None:
    questions = [loan(LISTED if number % 100 == 0 else CLEAN) for number in range(1203)]
    questions[7] = loan(Identifier("passport", "!", "XA"))

    answers = await served.batch_check(questions)

    assert isinstance(answers[7].error, InvalidArgument)
    assert "requests[7]" not in str(answers[7].error)
    assert ["identifiers[0].value"] == [each.field for each in answers[7].error.violations]
    restricted = [place for place, answer in enumerate(answers) if answer.decision and not answer.decision.allowed]
    assert list(range(0, 1203, 100)) == restricted


async def test_a_stream_answers_each_question_by_its_id(served: Driver) -> None:
    questions = [("a", loan(LISTED)), ("b", loan(CLEAN)), ("c", loan(Identifier("passport", "!", "XA")))]

    answers = {answer.request_id: answer for answer in await served.stream_check(questions, timeout_s=10)}

    assert Outcome.RESTRICT == answers["a"].get().outcome
    assert Outcome.ALLOW == answers["b"].get().outcome
    assert isinstance(answers["c"].error, InvalidArgument)


async def test_a_caller_on_a_public_list_has_a_label(served: Driver) -> None:
    answer = await served.lookup_caller(CALLER.value)

    assert answer.found
    assert [Effect.NOTICE] == [reason.effect for reason in answer.reasons]
    assert not (await served.lookup_caller(phone(2).value)).found


async def test_each_refusal_of_the_gateway_has_its_own_error(served: Driver, bench: Bench) -> None:
    with pytest.raises(InvalidArgument) as invalid:
        await served.check([], action="loan.apply", purpose="lending")
    with pytest.raises(PermissionDenied) as outside:
        await served.check([of(CLEAN)], action="loan.apply", purpose="gossip")
    with pytest.raises(FailedPrecondition) as uncovered:
        await served.check([of(CLEAN)], action="rail.ticket.purchase", purpose="lending", attributes={"train": "G101"})
    with pytest.raises(FailedPrecondition) as behind:
        await served.check([of(CLEAN)], action="loan.apply", purpose="lending", at_least_snapshot="99", timeout_s=0.5)

    assert ["identifiers"] == [each.field for each in invalid.value.violations]
    assert [
        "ERROR_REASON_OUTSIDE_AGREEMENT",
        "ERROR_REASON_ACTION_NOT_COVERED",
        "ERROR_REASON_SNAPSHOT_BEHIND",
    ] == [each.value.reason for each in (outside, uncovered, behind)]


async def test_a_refusal_that_can_not_be_recorded_is_unavailable(served: Driver, bench: Bench) -> None:
    bench.spool.failing = True

    with pytest.raises(Unavailable) as caught:
        await served.check([of(LISTED)], action="loan.apply", purpose="lending", attributes={"amount": 5})

    assert "ERROR_REASON_RECORD_UNAVAILABLE" == caught.value.reason


async def test_before_the_first_snapshot_nothing_is_answered(driver: Driver) -> None:
    assert not await driver.ready()
    with pytest.raises(Unavailable) as caught:
        await driver.check([of(CLEAN)], action="loan.apply", purpose="lending")

    assert "ERROR_REASON_NO_SNAPSHOT" == caught.value.reason


@pytest.mark.parametrize("key", ["wrong-key", None])
async def test_a_wrong_key_and_none_are_unauthenticated(served: Driver, bench: Bench, key: str | None) -> None:
    stranger = type(served)(f"127.0.0.1:{bench.port}", api_key=key, timeout_s=10.0)
    try:
        with pytest.raises(Unauthenticated) as caught:
            await stranger.check([of(CLEAN)], action="loan.apply", purpose="lending")
    finally:
        await stranger.close()

    assert "ERROR_REASON_UNAUTHENTICATED" == caught.value.reason
