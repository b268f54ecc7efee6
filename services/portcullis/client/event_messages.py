"""Between the SDK's values of the exchange and the contract's messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.client import events as values
from portcullis.client.errors import ClientError, UnexpectedAnswer, error_of_status
from portcullis.client.proofs import Checkpoint, ConsistencyProof, InclusionProof, ProvenReceipt
from portcullis.v1 import sharing_service_pb2 as pb

EVENT_BATCH = 500
"""The contract's greatest number of events in one ReportEvents."""

_DETAILS: Mapping[str, type[Any]] = {
    "enforced": values.Enforced,
    "reviewed": values.Reviewed,
    "overridden": values.Overridden,
    "notice_served": values.NoticeServed,
    "settlement_claimed": values.SettlementClaimed,
    "settled": values.Settled,
    "identity_mismatch": values.IdentityMismatch,
    "commitment_published": values.CommitmentPublished,
    "terminated": values.Terminated,
}
_FIELDS: Mapping[type[Any], str] = {kind: name for name, kind in _DETAILS.items()}
_CODES: Mapping[str, tuple[type[Any], Any, str]] = {
    "verdict": (values.ReviewVerdict, pb.ReviewVerdict, "REVIEW_VERDICT_"),
    "reason": (values.OverrideReason, pb.OverrideReason, "OVERRIDE_REASON_"),
    "channel": (values.NoticeChannel, pb.NoticeChannel, "NOTICE_CHANNEL_"),
}
_CHANGES = {number: values.ChangeKind(name.removeprefix("CHANGE_KIND_")) for name, number in pb.ChangeKind.items() if number}


def message_of(event: values.Event) -> pb.Event:
    """Write an event as its message.

    Raises:
        TypeError: a field is of a type that the contract has no place for.
        ValueError: a time without a zone, or a code that the contract does not name.
    """
    name = _FIELDS.get(type(event.detail))
    if name is None:
        raise TypeError("detail: it must be one of the kinds of portcullis.client.events")
    if event.occurred_at.tzinfo is None:
        raise ValueError("occurred_at: give it a time zone, as in datetime.now(UTC)")
    message = pb.Event(event_id=event.event_id, reference=event.reference)
    message.occurred_at.FromDatetime(event.occurred_at)
    part = getattr(message, name)
    # A detail whose fields are all empty is still the one that is set.
    part.SetInParent()
    for each in fields(event.detail):
        setattr(part, each.name, _plain(each.name, getattr(event.detail, each.name)))
    return message


def event_of(message: pb.Event) -> values.Event:
    """Read an event's message.

    Raises:
        ValueError: something is missing that every event has; the message begins with the field's name.
    """
    name = message.WhichOneof("detail")
    if name is None:
        raise ValueError(f"detail: set one of {', '.join(_DETAILS)}")
    if not message.HasField("occurred_at"):
        raise ValueError("occurred_at: say when it happened")
    kind, part = _DETAILS[name], getattr(message, name)
    facts = {each.name: _valued(name, each.name, getattr(part, each.name)) for each in fields(kind)}
    return values.Event(
        event_id=message.event_id,
        occurred_at=_time(message.occurred_at),
        detail=kind(**facts),
        reference=message.reference,
    )


def receipt_of(message: pb.Receipt) -> values.Receipt:
    """Read a receipt."""
    return values.Receipt(message.event_id, message.sequence, _time(message.recorded_at), message.entry_hash)


def event_answers_of(response: pb.ReportEventsResponse, reported: list[values.Event]) -> list[values.EventAnswer]:
    """Read a batch's results, in order.

    They belong to the events by their place, and a receipt names its event besides; what does not fit is no receipt.
    """
    if len(response.results) != len(reported):
        return unreported(UnexpectedAnswer("the gateway did not answer every event of the batch"), reported)
    return [_answer_of(result, event.event_id) for result, event in zip(response.results, reported, strict=True)]


def unreported(error: ClientError, reported: list[values.Event]) -> list[values.EventAnswer]:
    """Give every event of a call that failed the call's error."""
    return [values.EventAnswer(event.event_id, error=error) for event in reported]


def proven_receipt_of(response: pb.GetReceiptResponse) -> ProvenReceipt:
    """Read a receipt with its proof, where it has one."""
    proof = response.inclusion
    inclusion = (
        InclusionProof(checkpoint_of(proof.checkpoint), tuple(proof.hashes)) if response.HasField("inclusion") else None
    )
    return ProvenReceipt(receipt_of(response.receipt), inclusion)


def checkpoint_of(message: pb.Checkpoint) -> Checkpoint:
    """Read a checkpoint."""
    return Checkpoint(message.size, message.root_hash, message.note)


def consistency_of(response: pb.GetConsistencyProofResponse) -> ConsistencyProof:
    """Read a consistency proof."""
    return ConsistencyProof(checkpoint_of(response.checkpoint), tuple(response.hashes))


def watched_of(response: pb.WatchChangesResponse) -> values.Watched:
    """Read what a watch gave; a message that is neither counts as a heartbeat, for its cursor still stands."""
    if response.WhichOneof("message") != "change":
        return values.Heartbeat(response.cursor, response.heartbeat.lag.ToNanoseconds() / 1e9)
    change = response.change
    return values.Change(
        cursor=response.cursor,
        kind=_CHANGES.get(change.kind, values.ChangeKind.UNKNOWN),
        list=change.list,
        subject=change.subject,
        happened_at=_time(change.happened_at),
        until=_time(change.until),
    )


def _answer_of(result: pb.EventResult, event_id: str) -> values.EventAnswer:
    which = result.WhichOneof("result")
    if which == "receipt" and result.receipt.event_id == event_id:
        return values.EventAnswer(event_id, receipt=receipt_of(result.receipt))
    if which == "error":
        return values.EventAnswer(event_id, error=error_of_status(result.error))
    return values.EventAnswer(event_id, error=UnexpectedAnswer("the gateway left this event unanswered"))


def _plain(name: str, value: str) -> str | int:
    if name not in _CODES:
        return value
    _, enum, prefix = _CODES[name]
    number: int = enum.Value(f"{prefix}{value}")
    return number


def _valued(detail: str, name: str, value: Any) -> Any:
    if name not in _CODES:
        return value
    kind, enum, prefix = _CODES[name]
    if value not in enum.values() or not value:
        raise ValueError(f"{detail}.{name}: must be one of {', '.join(each.value for each in kind)}")
    return kind(enum.Name(value).removeprefix(prefix))


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
