from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import DecisionUnknown, InvalidRequest
from portcullis.domain.event_rules import check_event
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.gateway.messages.events import (
    drop_unnamed,
    read_event,
    read_named,
    refuse_unnamed,
    within,
    write_checkpoint,
    write_proof,
    write_watched,
)
from portcullis.ports import StoredCheckpoint, Watched
from portcullis.v1 import sharing_service_pb2 as pb
from tests.support.policies import NOW
from tests.support.shared_events import SUBJECT, an_event, events
from tests.support.sharing_gateways import a_change, message_of

UNKNOWN = b"\xfa\x06\x05hello"


def violations(message: pb.Event) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        read_event(message)
    assert "hello" not in str(caught.value)
    return [each.field for each in caught.value.violations]


@given(events(NOW))
def test_what_is_written_is_read_again(event: SharedEvent) -> None:
    body = message_of(event).SerializeToString()

    assert event == read_event(pb.Event.FromString(body))


@given(st.binary(max_size=200))
def test_whatever_parses_is_read_or_refused_and_what_is_read_can_be_judged(body: bytes) -> None:
    try:
        message = pb.Event.FromString(body)
    except Exception:  # noqa: BLE001 - what does not parse never gets here
        return
    try:
        event = read_event(message)
    except InvalidRequest:
        return
    check_event(event, NOW)


@pytest.mark.parametrize("kind", EventKind)
def test_a_detail_that_is_empty_is_still_of_its_kind_and_left_to_the_rules(kind: EventKind) -> None:
    message = pb.Event(event_id="event-1")
    getattr(message, kind.value.lower()).SetInParent()

    event = read_event(message)

    assert (kind, 0) == (event.kind, event.occurred_at_ms)
    fields = [each.field for each in check_event(event, NOW)]
    assert "occurred_at" == fields[0]
    assert all(field.startswith(f"{kind.value.lower()}.") for field in fields[1:])


@pytest.mark.parametrize("kind", EventKind)
def test_an_unknown_field_is_refused_in_the_event_and_in_its_detail(kind: EventKind) -> None:
    name = kind.value.lower()
    message = message_of(an_event(kind))
    outside = pb.Event.FromString(message.SerializeToString() + UNKNOWN)
    getattr(message, name).MergeFromString(UNKNOWN)

    assert [""] == violations(outside)
    assert [name] == violations(message)


def test_an_unknown_field_of_the_time_is_refused() -> None:
    message = message_of(an_event())
    message.occurred_at.MergeFromString(UNKNOWN)

    assert ["occurred_at"] == violations(message)


def test_an_event_that_does_not_say_what_happened_is_refused() -> None:
    assert ["detail"] == violations(pb.Event(event_id="event-1"))


def test_an_unknown_field_of_a_request_is_refused() -> None:
    refuse_unnamed(pb.ReportEventsRequest())
    with pytest.raises(InvalidRequest, match="ReportEventsRequest"):
        refuse_unnamed(pb.ReportEventsRequest.FromString(UNKNOWN))


@pytest.mark.parametrize("kind", EventKind)
def test_what_the_schema_does_not_name_is_found_and_dropped_wherever_it_stands(kind: EventKind) -> None:
    sound = message_of(an_event(kind)).SerializeToString()
    request = pb.ReportEventsRequest(events=[pb.Event.FromString(sound)] * 3)
    assert not drop_unnamed(request)
    assert pb.ReportEventsRequest(events=[pb.Event.FromString(sound)] * 3) == request

    def spoil_detail(event: pb.Event) -> None:
        getattr(event, kind.value.lower()).MergeFromString(UNKNOWN)

    for spoil in (
        lambda: request.MergeFromString(UNKNOWN),
        lambda: request.events[1].MergeFromString(UNKNOWN),
        lambda: request.events[2].occurred_at.MergeFromString(UNKNOWN),
        lambda: spoil_detail(request.events[0]),
    ):
        spoil()
        assert drop_unnamed(request)
        assert not drop_unnamed(request)


@given(events(NOW))
def test_an_event_without_unnamed_fields_is_read_as_any_other(event: SharedEvent) -> None:
    message = message_of(event)
    assert read_event(message) == read_named(message)


@pytest.mark.parametrize(
    ("detail", "field"),
    [
        ({"reviewed": pb.Reviewed(decision_id="0" * 32)}, "reviewed.verdict"),
        ({"reviewed": pb.Reviewed(decision_id="0" * 32, verdict=99)}, "reviewed.verdict"),
        ({"overridden": pb.Overridden(decision_id="0" * 32)}, "overridden.reason"),
        ({"overridden": pb.Overridden(decision_id="0" * 32, reason=-1)}, "overridden.reason"),
        ({"notice_served": pb.NoticeServed(decision_id="0" * 32)}, "notice_served.channel"),
        ({"notice_served": pb.NoticeServed(decision_id="0" * 32, channel=5)}, "notice_served.channel"),
    ],
)
def test_a_code_that_is_missing_or_unknown_is_named(detail: dict[str, pb.Reviewed], field: str) -> None:
    event = read_event(pb.Event(event_id="event-1", occurred_at=Timestamp(seconds=NOW), **detail))  # type: ignore[arg-type]

    assert [field] == [each.field for each in check_event(event, NOW)]


@pytest.mark.parametrize(
    ("stamp", "milliseconds"),
    [
        (Timestamp(seconds=5, nanos=1_999_999), 5001),
        (Timestamp(seconds=-1, nanos=999_000_000), -1),
        (Timestamp(seconds=5, nanos=-1), 0),
        (Timestamp(seconds=5, nanos=1_000_000_000), 0),
        (Timestamp(seconds=2**63 - 1), (2**63 - 1) * 1000),
    ],
)
def test_a_time_loses_what_is_finer_than_a_millisecond(stamp: Timestamp, milliseconds: int) -> None:
    message = pb.Event(occurred_at=stamp, enforced=pb.Enforced())

    assert milliseconds == read_event(message).occurred_at_ms


def test_an_items_fields_get_its_place_and_other_errors_stay_as_they_are() -> None:
    fault = within("events[3]", InvalidRequest.at("enforced.decision_id", "is none"))
    other = DecisionUnknown()

    assert "events[3].enforced.decision_id: is none" == str(fault)
    assert "events[3]: is none" == str(within("events[3]", InvalidRequest.at("", "is none")))
    assert other is within("events[3]", other)


def test_checkpoints_and_proofs_are_written() -> None:
    checkpoint = StoredCheckpoint(size=8, root=bytes(range(32)), signed_at=5.0, note="a note")

    assert pb.Checkpoint(size=8, root_hash=bytes(range(32)), note="a note") == write_checkpoint(checkpoint)
    assert [b"a", b"b"] == write_proof(checkpoint, [b"a", b"b"]).hashes


@pytest.mark.parametrize("kind", ChangeKind)
def test_every_kind_of_change_is_written(kind: ChangeKind) -> None:
    change = a_change(kind=kind, happened_at=1_800_000_000.25, until=1_900_000_000)

    message = write_watched(Watched("0011aabb-5", change, SUBJECT))

    assert f"CHANGE_KIND_{kind.value}" == pb.ChangeKind.Name(message.change.kind)
    assert ("0011aabb-5", "court", SUBJECT) == (message.cursor, message.change.list, message.change.subject)
    assert 1_800_000_000_250 == message.change.happened_at.ToMilliseconds()
    assert Timestamp(seconds=1_900_000_000) == message.change.until


def test_a_heartbeat_tells_its_lag_only_when_there_is_one() -> None:
    quiet, behind = write_watched(Watched("c", None)), write_watched(Watched("c", None, lag_s=1.5))

    assert ("heartbeat", False) == (quiet.WhichOneof("message"), quiet.heartbeat.HasField("lag"))
    assert 1500 == behind.heartbeat.lag.ToMilliseconds()
