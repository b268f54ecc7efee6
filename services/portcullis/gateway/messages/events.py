"""Between the messages of SharingService and the domain.

The schema is closed (rule 8): a field that it does not name is refused wherever it stands in an event, for protobuf would
carry it along unseen. What protobuf can't tell by itself (a missing enum, a time that is none) reaches the rules as an empty
fact, and they name the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import FieldViolation, InvalidRequest, PortcullisError
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.v1 import sharing_service_pb2 as pb

if TYPE_CHECKING:
    from portcullis.ports import StoredCheckpoint, Watched

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

_CHANGES: Mapping[ChangeKind, pb.ChangeKind.ValueType] = MappingProxyType(
    {kind: pb.ChangeKind.Value(f"CHANGE_KIND_{kind.value}") for kind in ChangeKind}
)


def _names(enum: Any, prefix: str) -> Mapping[int, str]:
    """Give the values of an enum as codes; neither the unspecified one nor a number unknown here is among them."""
    return MappingProxyType({number: name.removeprefix(prefix) for name, number in enum.items() if number})


_VERDICTS = _names(pb.ReviewVerdict, "REVIEW_VERDICT_")
_OVERRIDES = _names(pb.OverrideReason, "OVERRIDE_REASON_")
_CHANNELS = _names(pb.NoticeChannel, "NOTICE_CHANNEL_")


# SharedEvent takes what every event says, and the decision's id, in this order; by their names it would take twice as long.


def _read_decision(
    event_id: str, kind: EventKind, at_ms: int, reference: str, detail: pb.Enforced | pb.IdentityMismatch
) -> SharedEvent:
    return SharedEvent(event_id, kind, at_ms, reference, detail.decision_id)


def _read_review(event_id: str, kind: EventKind, at_ms: int, reference: str, detail: pb.Reviewed) -> SharedEvent:
    return SharedEvent(event_id, kind, at_ms, reference, detail.decision_id, code=_VERDICTS.get(detail.verdict, ""))


def _read_override(event_id: str, kind: EventKind, at_ms: int, reference: str, detail: pb.Overridden) -> SharedEvent:
    return SharedEvent(event_id, kind, at_ms, reference, detail.decision_id, code=_OVERRIDES.get(detail.reason, ""))


def _read_notice(event_id: str, kind: EventKind, at_ms: int, reference: str, detail: pb.NoticeServed) -> SharedEvent:
    return SharedEvent(event_id, kind, at_ms, reference, detail.decision_id, code=_CHANNELS.get(detail.channel, ""))


def _read_case(
    event_id: str, kind: EventKind, at_ms: int, reference: str, detail: pb.SettlementClaimed | pb.Settled
) -> SharedEvent:
    return SharedEvent(event_id, kind, at_ms, reference, list=detail.list, case_reference=detail.case_reference)


def _read_commitment(
    event_id: str, kind: EventKind, at_ms: int, reference: str, detail: pb.CommitmentPublished
) -> SharedEvent:
    letter = detail.commitment_reference
    return SharedEvent(event_id, kind, at_ms, reference, list=detail.list, commitment_reference=letter, url=detail.url)


def _read_termination(event_id: str, kind: EventKind, at_ms: int, reference: str, detail: pb.Terminated) -> SharedEvent:
    return SharedEvent(event_id, kind, at_ms, reference, detail.decision_id, list=detail.list, subject=detail.subject)


_READERS: Final[Mapping[str, tuple[EventKind, Callable[[str, EventKind, int, str, Any], SharedEvent]]]] = {
    "enforced": (EventKind.ENFORCED, _read_decision),
    "reviewed": (EventKind.REVIEWED, _read_review),
    "overridden": (EventKind.OVERRIDDEN, _read_override),
    "notice_served": (EventKind.NOTICE_SERVED, _read_notice),
    "settlement_claimed": (EventKind.SETTLEMENT_CLAIMED, _read_case),
    "settled": (EventKind.SETTLED, _read_case),
    "identity_mismatch": (EventKind.IDENTITY_MISMATCH, _read_decision),
    "commitment_published": (EventKind.COMMITMENT_PUBLISHED, _read_commitment),
    "terminated": (EventKind.TERMINATED, _read_termination),
}
"""The kind of each detail's field, and what reads such an event."""


def read_event(message: pb.Event) -> SharedEvent:
    """Read an event; a time finer than a millisecond loses what is finer.

    Raises:
        InvalidRequest: it says what the schema does not name, or not what happened. Fields are relative to the event,
            "" for the event itself; `within` gives them their place.
    """
    which = message.WhichOneof("detail")
    violations = _unnamed(message, which, getattr(message, which) if which else None)
    if violations and which:
        raise InvalidRequest(violations)
    return read_named(message, violations)


def read_named(message: pb.Event, violations: Sequence[FieldViolation] = ()) -> SharedEvent:
    """Read an event that is known to say nothing but what the schema names.

    Raises:
        InvalidRequest: it does not say what happened; ``violations`` tells what else is wrong then.
    """
    which = message.WhichOneof("detail")
    if which is None:
        raise InvalidRequest([*violations, FieldViolation("detail", f"set exactly one of {', '.join(_READERS)}")])
    kind, read = _READERS[which]
    at_ms = _milliseconds(message.occurred_at)
    return read(message.event_id, kind, at_ms, message.reference, getattr(message, which))


def drop_unnamed(message: Message) -> bool:
    """Drop what the schema does not name from a request and all its parts; says whether there was any.

    To look for it field by field takes as long as to read a message; this is done where messages are parsed.
    """
    size = message.ByteSize()
    message.DiscardUnknownFields()
    return message.ByteSize() != size


def refuse_unnamed(message: Message) -> None:
    """Refuse a request that carries fields of its own which the schema does not name; those of its parts are not looked at.

    Raises:
        InvalidRequest: it does.
    """
    if len(UnknownFieldSet(message)):
        raise InvalidRequest([_unnamed_in(message.DESCRIPTOR.name, message)])


def within(place: str, fault: PortcullisError) -> PortcullisError:
    """Give an item's error with its fields under the item's place in the request."""
    if not isinstance(fault, InvalidRequest):
        return fault
    return InvalidRequest(
        [FieldViolation(f"{place}.{each.field}".removesuffix("."), each.description) for each in fault.violations]
    )


def write_checkpoint(checkpoint: StoredCheckpoint) -> pb.Checkpoint:
    """Write a checkpoint."""
    return pb.Checkpoint(size=checkpoint.size, root_hash=checkpoint.root, note=checkpoint.note)


def write_proof(checkpoint: StoredCheckpoint, hashes: Sequence[bytes]) -> pb.InclusionProof:
    """Write an inclusion proof."""
    return pb.InclusionProof(checkpoint=write_checkpoint(checkpoint), hashes=hashes)


def write_watched(watched: Watched) -> pb.WatchChangesResponse:
    """Write what a watcher is given."""
    change = watched.change
    if change is not None:
        told = pb.Change(
            kind=_CHANGES[change.kind],
            list=change.list,
            subject=watched.subject,
            happened_at=_timestamp(round(change.happened_at * 1e3) * _NS_PER_MS),
            until=Timestamp(seconds=change.until),
        )
        return pb.WatchChangesResponse(cursor=watched.cursor, change=told)
    heartbeat = pb.Heartbeat()
    if watched.lag_s > 0:
        heartbeat.lag.FromMilliseconds(int(watched.lag_s * 1e3))
    return pb.WatchChangesResponse(cursor=watched.cursor, heartbeat=heartbeat)


def _unnamed(message: pb.Event, which: str | None, detail: Message | None) -> list[FieldViolation]:
    """Look for what the schema does not name, in every message of an event."""
    found = [_unnamed_in("", message)] if len(UnknownFieldSet(message)) else []
    if len(UnknownFieldSet(message.occurred_at)):
        found.append(_unnamed_in("occurred_at", message.occurred_at))
    if which and detail is not None and len(UnknownFieldSet(detail)):
        found.append(_unnamed_in(which, detail))
    return found


def _unnamed_in(field: str, message: Message) -> FieldViolation:
    name = message.DESCRIPTOR.name
    return FieldViolation(field, f"has fields that {name} does not name; send what the contract names and nothing else")


def _milliseconds(stamp: Timestamp) -> int:
    """Give Unix milliseconds; 0, which the rules refuse, for what is no time."""
    if not 0 <= stamp.nanos < _NS_PER_S:
        return 0
    return stamp.seconds * 1000 + stamp.nanos // _NS_PER_MS


def _timestamp(nanoseconds: int) -> Timestamp:
    return Timestamp(seconds=nanoseconds // _NS_PER_S, nanos=nanoseconds % _NS_PER_S)
