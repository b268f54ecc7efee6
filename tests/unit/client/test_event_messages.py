from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from portcullis.client import (
    ChangeKind,
    Enforced,
    Event,
    Heartbeat,
    NoticeServed,
    Overridden,
    Reviewed,
    Settled,
    Terminated,
    UnexpectedAnswer,
)
from portcullis.client.event_messages import event_answers_of, event_of, message_of, watched_of
from portcullis.client.events import Change, Detail
from portcullis.gateway.messages.events import read_event
from portcullis.v1 import sharing_service_pb2 as pb
from tests.support.policies import NOW
from tests.support.shared_events import events
from tests.support.sharing_gateways import message_of as shared_message

AT = datetime(2026, 11, 23, 12, 30, 0, 250_000, tzinfo=UTC)


@given(events(NOW).map(shared_message))
def test_an_event_is_the_same_on_both_sides_of_the_wire(message: pb.Event) -> None:
    assert message == message_of(event_of(message))
    read_event(message_of(event_of(message)))


# A code is never empty.
@pytest.mark.parametrize("kind", [each for each in get_args(Detail) if each not in (Reviewed, Overridden, NoticeServed)])
def test_a_detail_without_facts_is_still_written_as_its_kind(kind: type[Any]) -> None:
    fields = dict.fromkeys(kind.__slots__, "")

    assert message_of(Event("event-1", AT, kind(**fields))).WhichOneof("detail") is not None


def test_an_event_without_a_zone_or_of_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="occurred_at"):
        message_of(Event("event-1", datetime(2026, 11, 23), Enforced("0" * 32)))  # noqa: DTZ001
    with pytest.raises(TypeError, match="detail"):
        message_of(Event("event-1", AT, "ENFORCED"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="MAYBE"):
        message_of(Event("event-1", AT, Reviewed("0" * 32, "MAYBE")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.Event(occurred_at=Timestamp(seconds=5)), "detail: "),
        (pb.Event(enforced=pb.Enforced()), "occurred_at: "),
        (pb.Event(occurred_at=Timestamp(seconds=5), reviewed=pb.Reviewed()), "reviewed.verdict: "),
        (pb.Event(occurred_at=Timestamp(seconds=5), overridden=pb.Overridden(reason=99)), "overridden.reason: "),  # type: ignore[arg-type]
    ],
)
def test_a_message_that_lacks_what_every_event_has_is_refused_by_field(message: pb.Event, field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}"):
        event_of(message)


def test_no_repr_names_a_person() -> None:
    secret = "(2090) Demo 1"
    shown = repr(
        [
            Event("event-1", AT, Settled("court", secret), reference=secret),
            Event("event-2", AT, Terminated("court", subject=secret)),
            Change("c", ChangeKind.STAYED, "court", secret, AT, AT),
        ]
    )

    assert secret not in shown


def test_an_answer_that_does_not_fit_its_event_is_no_receipt() -> None:
    reported = [Event("event-1", AT, Enforced("0" * 32)), Event("event-2", AT, Enforced("0" * 32))]
    mine, others = pb.EventResult(receipt=pb.Receipt(event_id="event-1")), pb.EventResult()

    fitting = event_answers_of(pb.ReportEventsResponse(results=[mine, mine]), reported)
    missing = event_answers_of(pb.ReportEventsResponse(results=[mine, others]), reported)
    short = event_answers_of(pb.ReportEventsResponse(results=[mine]), reported)

    assert [True, False] == [each.receipt is not None for each in fitting]
    assert isinstance(fitting[1].error, UnexpectedAnswer)
    assert isinstance(missing[1].error, UnexpectedAnswer)
    assert [UnexpectedAnswer, UnexpectedAnswer] == [type(each.error) for each in short]
    with pytest.raises(UnexpectedAnswer):
        short[0].get()


@given(st.integers(9, 1000))
def test_a_kind_of_change_from_a_later_release_is_unknown_and_its_cursor_stands(kind: int) -> None:
    message = pb.WatchChangesResponse(cursor="c", change=pb.Change(kind=kind))  # type: ignore[arg-type]

    change = watched_of(message)

    assert isinstance(change, Change)
    assert (ChangeKind.UNKNOWN, "c") == (change.kind, change.cursor)


def test_a_message_that_is_no_change_is_a_heartbeat() -> None:
    beat = pb.WatchChangesResponse(cursor="c", heartbeat=pb.Heartbeat())
    beat.heartbeat.lag.FromMilliseconds(1500)

    assert Heartbeat("c", 1.5) == watched_of(beat)
    assert Heartbeat("c", 0.0) == watched_of(pb.WatchChangesResponse(cursor="c"))
