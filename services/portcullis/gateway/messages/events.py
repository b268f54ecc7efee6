"""Between the messages of SharingService and the domain.

The schema is closed (rule 8): a field that it does not name is refused wherever it stands in an event, for protobuf would
carry it along unseen. What protobuf can't tell by itself (a missing enum, a time that is none) reaches the rules as an empty
fact, and they name the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import FieldViolation, InvalidRequest, PortcullisError
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.gateway.messages.statuses import to_status
from portcullis.v1 import sharing_service_pb2 as pb

if TYPE_CHECKING:
    from portcullis.ports import Receipt, StoredCheckpoint, Watched

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

_KINDS: Mapping[str, EventKind] = MappingProxyType({kind.value.lower(): kind for kind in EventKind})
"""The kind of each detail's field."""

_CHANGES: Mapping[ChangeKind, pb.ChangeKind.ValueType] = MappingProxyType(
    {kind: pb.ChangeKind.Value(f"CHANGE_KIND_{kind.value}") for kind in ChangeKind}
)


def _names(enum: Any, prefix: str) -> Mapping[int, str]:
    """Give the values of an enum as codes; neither the unspecified one nor a number unknown here is among them."""
    return MappingProxyType({number: name.removeprefix(prefix) for name, number in enum.items() if number})


_VERDICTS = _names(pb.ReviewVerdict, "REVIEW_VERDICT_")
_OVERRIDES = _names(pb.OverrideReason, "OVERRIDE_REASON_")
_CHANNELS = _names(pb.NoticeChannel, "NOTICE_CHANNEL_")


def _facts_of_decision(detail: pb.Enforced | pb.IdentityMismatch) -> dict[str, str]:
    return {"decision_id": detail.decision_id}


def _facts_of_review(detail: pb.Reviewed) -> dict[str, str]:
    return {"decision_id": detail.decision_id, "code": _VERDICTS.get(detail.verdict, "")}


def _facts_of_override(detail: pb.Overridden) -> dict[str, str]:
    return {"decision_id": detail.decision_id, "code": _OVERRIDES.get(detail.reason, "")}


def _facts_of_notice(detail: pb.NoticeServed) -> dict[str, str]:
    return {"decision_id": detail.decision_id, "code": _CHANNELS.get(detail.channel, "")}


def _facts_of_case(detail: pb.SettlementClaimed | pb.Settled) -> dict[str, str]:
    return {"list": detail.list, "case_reference": detail.case_reference}


def _facts_of_commitment(detail: pb.CommitmentPublished) -> dict[str, str]:
    return {"list": detail.list, "commitment_reference": detail.commitment_reference, "url": detail.url}


def _facts_of_termination(detail: pb.Terminated) -> dict[str, str]:
    return {"list": detail.list, "subject": detail.subject, "decision_id": detail.decision_id}


_FACTS: Mapping[EventKind, Callable[[Any], dict[str, str]]] = MappingProxyType(
    {
        EventKind.ENFORCED: _facts_of_decision,
        EventKind.REVIEWED: _facts_of_review,
        EventKind.OVERRIDDEN: _facts_of_override,
        EventKind.NOTICE_SERVED: _facts_of_notice,
        EventKind.SETTLEMENT_CLAIMED: _facts_of_case,
        EventKind.SETTLED: _facts_of_case,
        EventKind.IDENTITY_MISMATCH: _facts_of_decision,
        EventKind.COMMITMENT_PUBLISHED: _facts_of_commitment,
        EventKind.TERMINATED: _facts_of_termination,
    }
)


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
        raise InvalidRequest([*violations, FieldViolation("detail", f"set exactly one of {', '.join(_KINDS)}")])
    kind = _KINDS[which]
    return SharedEvent(
        event_id=message.event_id,
        kind=kind,
        occurred_at_ms=_milliseconds(message.occurred_at),
        reference=message.reference,
        **_FACTS[kind](getattr(message, which)),
    )


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


def write_result(result: pb.EventResult, outcome: Receipt | PortcullisError) -> None:
    """Write what became of one event into its place in the answer: messages made elsewhere and put there cost five times."""
    if isinstance(outcome, PortcullisError):
        result.error.CopyFrom(to_status(outcome))
    else:
        _fill(result.receipt, outcome)


def write_receipt(receipt: Receipt) -> pb.Receipt:
    """Write a receipt."""
    written = pb.Receipt()
    _fill(written, receipt)
    return written


def _fill(written: pb.Receipt, receipt: Receipt) -> None:
    written.event_id = receipt.event_id
    written.sequence = receipt.sequence
    written.entry_hash = receipt.entry_hash
    written.recorded_at.CopyFrom(_recorded_at(receipt.recorded_at_ms))


@lru_cache(maxsize=16)
def _recorded_at(milliseconds: int) -> Timestamp:
    """Give the time of a commit, which all of its receipts share."""
    return _timestamp(milliseconds * _NS_PER_MS)


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
