from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.domain.errors import (
    DecisionUnknown,
    EventConflict,
    InvalidRequest,
    JournalUnavailable,
    NotFound,
    NotPermitted,
    PortcullisError,
)
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.exchange.proving import Prover
from portcullis.exchange.reporting import EventDesk
from portcullis.ports import AgreedLists, Receipt
from tests.support.clocks import HandClock
from tests.support.decision_records import a_reason, a_record
from tests.support.shared_events import DECISION_ID, an_event
from tests.support.sharing_gateways import fresh_journal, the_policy


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqlJournal]:
    opened = fresh_journal(tmp_path)
    yield opened
    await asyncio.to_thread(opened.close)


class Watchful:
    """A journal that notes what it is asked to record, and fails from one time on."""

    def __init__(self, journal: SqlJournal, *, good_calls: float = math.inf) -> None:
        self._journal = journal
        self._good_calls = good_calls
        self.asked: list[list[str]] = []
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def answers_before(self, partner: str, events: Sequence[SharedEvent]) -> Sequence[Receipt | EventConflict | None]:
        self.looks += 1
        return self._journal.answers_before(partner, events)

    async def record_events(
        self, partner: str, events: Sequence[SharedEvent], agreed: AgreedLists | None = None
    ) -> Sequence[Receipt | PortcullisError]:
        self.asked.append([each.event_id for each in events])
        if len(self.asked) > self._good_calls:
            raise JournalUnavailable
        return await self._journal.record_events(partner, events, agreed)


def desk(journal: Any, patience_s: float = 0.15) -> EventDesk:
    return EventDesk(journal, Prover(journal), SystemClock(), patience_s=patience_s)


def event(event_id: str, kind: EventKind = EventKind.ENFORCED, **changes: Any) -> SharedEvent:
    return an_event(kind, event_id=event_id, occurred_at_ms=int(time.time() * 1000), **changes)


async def report(desk: EventDesk, *events: SharedEvent | PortcullisError, **options: Any) -> list[type[Any]]:
    answers = await desk.report(the_policy(), "lender", events, **options)
    return [type(each) for each in answers]


async def test_each_event_has_its_own_answer_in_its_place(journal: SqlJournal) -> None:
    given = InvalidRequest.at("detail", "is missing")
    journal.record_decisions([a_record(DECISION_ID, partner="lender")])
    events = [
        event("a"),
        given,
        event("b", decision_id="bad"),
        event("c", EventKind.SETTLED, list="elsewhere"),
        event("d", EventKind.SETTLED),
        event("e", decision_id="f" * 32),
    ]

    answers = await desk(journal).report(the_policy(), "lender", events)

    assert [Receipt, InvalidRequest, InvalidRequest, NotPermitted, Receipt, DecisionUnknown] == [
        type(each) for each in answers
    ]
    assert given is answers[1]
    assert ["a", "d"] == [each.event_id for each in answers if isinstance(each, Receipt)]


async def test_what_was_recorded_has_its_first_receipt_whatever_is_forbidden_since(journal: SqlJournal) -> None:
    one = event("a", EventKind.SETTLED)
    (first,) = await desk(journal).report(the_policy(), "lender", [one])
    other, new = msgspec.structs.replace(one, reference="x"), event("b", EventKind.SETTLED)
    for forbidden in (the_policy(events=(EventKind.REVIEWED,)), msgspec.structs.replace(the_policy(), partners=())):
        answers = await desk(journal).report(forbidden, "lender", [one, other, new])
        assert (first, EventConflict, NotPermitted) == (answers[0], type(answers[1]), type(answers[2]))
    late = EventDesk(journal, Prover(journal), HandClock(time.time() + 800 * 86_400), patience_s=0.0)
    answers = await late.report(the_policy(), "lender", [one, new])
    assert (first, InvalidRequest) == (answers[0], type(answers[1]))
    assert 1 == journal.size()


@pytest.mark.parametrize("event_id", ["", "\0", "x" * 200])
async def test_an_id_that_can_be_nobodys_is_not_looked_up(journal: SqlJournal, event_id: str) -> None:
    watchful = Watchful(journal)
    (answer,) = await desk(watchful).report(the_policy(), "lender", [event(event_id, EventKind.SETTLED)])
    assert isinstance(answer, InvalidRequest)
    assert 0 == watchful.looks


async def test_a_kind_that_is_not_agreed_is_refused_without_a_look_at_the_decision(journal: SqlJournal) -> None:
    watchful = Watchful(journal)
    policy = the_policy(events=(EventKind.SETTLED,))

    (answer,) = await desk(watchful).report(policy, "lender", [event("a")])

    assert isinstance(answer, NotPermitted)
    assert [] == watchful.asked


async def test_an_agreement_on_another_list_does_not_cover_a_decisions_own(journal: SqlJournal) -> None:
    lists = (a_reason(), a_reason(list="elsewhere"))
    late, outside = "a" * 32, "b" * 32
    journal.record_decisions([a_record(outside, partner="lender", reasons=lists[1:])])
    reported = asyncio.create_task(
        report(desk(journal, 10.0), event("a", decision_id=outside), event("b", decision_id=late))
    )
    await asyncio.to_thread(journal.record_decisions, [a_record(late, partner="lender", reasons=lists)])

    assert [NotPermitted, NotPermitted] == await reported
    assert 2 == await asyncio.to_thread(journal.size)


async def test_only_what_waits_for_its_decision_is_tried_again(journal: SqlJournal) -> None:
    watchful = Watchful(journal)

    answers = await report(desk(watchful), event("a", EventKind.SETTLED), event("b"))

    assert [Receipt, DecisionUnknown] == answers
    assert ["a", "b"] == watchful.asked[0]
    assert [["b"]] * (len(watchful.asked) - 1) == watchful.asked[1:]
    assert 2 < len(watchful.asked) < 8


async def test_a_decision_that_comes_within_the_patience_is_enough(journal: SqlJournal) -> None:
    reported = asyncio.create_task(report(desk(journal, 10.0), event("a"), event("b", EventKind.SETTLED)))
    deadline = time.monotonic() + 10
    while not await asyncio.to_thread(journal.size):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)
    await asyncio.to_thread(journal.record_decisions, [a_record(DECISION_ID, partner="lender")])

    assert [Receipt, Receipt] == await reported


@pytest.mark.parametrize("within_s", [0.0, -1.0, 0.05])
async def test_the_callers_time_bounds_the_patience(journal: SqlJournal, within_s: float) -> None:
    started = time.monotonic()

    assert [DecisionUnknown] == await report(desk(journal, 60.0), event("a"), within_s=within_s)
    assert time.monotonic() - started < 10


async def test_a_journal_that_fails_at_once_acknowledges_nothing(journal: SqlJournal) -> None:
    with pytest.raises(JournalUnavailable):
        await report(desk(Watchful(journal, good_calls=0)), event("a", EventKind.SETTLED))


async def test_a_journal_that_fails_while_a_decision_is_waited_for_leaves_the_receipts_given(journal: SqlJournal) -> None:
    answers = await report(desk(Watchful(journal, good_calls=1)), event("a", EventKind.SETTLED), event("b"))

    assert [Receipt, DecisionUnknown] == answers


async def test_receipts_are_given_again_and_there_is_no_proof_without_a_checkpoint(journal: SqlJournal) -> None:
    reporting = desk(journal)
    (taken,) = await reporting.report(the_policy(), "lender", [event("a", EventKind.SETTLED)])

    assert (taken, None, ()) == await reporting.receipt("lender", "a")
    assert await reporting.checkpoint() is None
    with pytest.raises(NotFound):
        await reporting.receipt("shop", "a")
    with pytest.raises(InvalidRequest):
        await reporting.consistency(1, 0)
