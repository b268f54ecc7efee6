"""Between the SDK's values and the contract's messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.client.errors import ClientError, UnexpectedAnswer, error_of_status
from portcullis.client.values import (
    Answer,
    AttributeValue,
    CallerAnswer,
    Decision,
    Effect,
    Notice,
    Outcome,
    Question,
    Reason,
    Snapshot,
)
from portcullis.v1 import caller_service_pb2, check_service_pb2, types_pb2

BATCH = 1000
"""The contract's greatest number of questions in one BatchCheck."""

_T = TypeVar("_T")

_OUTCOMES = {
    types_pb2.OUTCOME_ALLOW: Outcome.ALLOW,
    types_pb2.OUTCOME_RESTRICT: Outcome.RESTRICT,
    types_pb2.OUTCOME_REVIEW: Outcome.REVIEW,
}
_EFFECTS = {
    types_pb2.EFFECT_RESTRICT: Effect.RESTRICT,
    types_pb2.EFFECT_REVIEW: Effect.REVIEW,
    types_pb2.EFFECT_NOTICE: Effect.NOTICE,
    types_pb2.EFFECT_GRANT: Effect.GRANT,
}


def chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Split into lists of at most ``size``, reading no further than the list in hand."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def request_of(question: Question) -> check_service_pb2.CheckRequest:
    """Write a question as its message.

    Raises:
        ValueError: a whole number of the attributes is beyond 64 bits.
        TypeError: a field or an attribute is of a type that the contract has no place for.
    """
    return check_service_pb2.CheckRequest(
        identifiers=[
            types_pb2.Identifier(kind=each.kind, value=each.value, country=each.country) for each in question.identifiers
        ],
        action=question.action,
        purpose=question.purpose,
        attributes=[_attribute(name, value) for name, value in question.attributes.items()],
        partner_reference=question.partner_reference,
        at_least_snapshot=question.at_least_snapshot,
        dry_run=question.dry_run,
        redress_number=question.redress_number,
        locale=question.locale,
    )


def _attribute(name: str, value: AttributeValue) -> types_pb2.Attribute:
    match value:
        case bool():
            return types_pb2.Attribute(name=name, bool_value=value)
        case int():
            return types_pb2.Attribute(name=name, int_value=value)
        case float():
            return types_pb2.Attribute(name=name, double_value=value)
        case _:
            return types_pb2.Attribute(name=name, string_value=value)


def decision_of(response: check_service_pb2.CheckResponse) -> Decision:
    """Read a decision.

    Raises:
        UnexpectedAnswer: the outcome is none that this release knows; it must not pass for an ALLOW.
    """
    outcome = _OUTCOMES.get(response.outcome)
    if outcome is None:
        raise UnexpectedAnswer("the gateway answered with an outcome that this SDK does not know; update it")
    return Decision(
        decision_id=response.decision_id,
        outcome=outcome,
        reasons=tuple(map(reason_of, response.reasons)),
        snapshot=_snapshot(response.snapshot),
        degraded=response.degraded,
        cache_ttl_s=response.cache_ttl.ToNanoseconds() / 1e9,
        shadow_outcome=_OUTCOMES.get(response.shadow_outcome),
    )


def reason_of(message: types_pb2.Reason) -> Reason:
    """Read one reason."""
    return Reason(
        list=message.list,
        measure=message.measure,
        effect=_EFFECTS.get(message.effect, Effect.UNKNOWN),
        authority=message.authority,
        legal_basis=message.legal_basis,
        case_reference=message.case_reference,
        until=_time(message.until) if message.HasField("until") else None,
        redress_url=message.redress_url,
        message=message.message,
        subject=message.subject,
        notice=_notice(message.notice) if message.HasField("notice") else None,
    )


def _notice(message: types_pb2.Notice) -> Notice:
    return Notice(locale=message.locale, text=message.text, html=message.html)


def caller_of(response: caller_service_pb2.LookupCallerResponse) -> CallerAnswer:
    """Read what may be shown of a caller."""
    return CallerAnswer(
        label=response.label,
        reasons=tuple(map(reason_of, response.reasons)),
        snapshot=_snapshot(response.snapshot),
        decision_id=response.decision_id,
        degraded=response.degraded,
    )


def answer_of(result: check_service_pb2.CheckResult, request_id: str = "") -> Answer:
    """Read one item of a batch or a stream; whatever is wrong with it stays with it."""
    match result.WhichOneof("result"):
        case "response":
            try:
                return Answer(decision=decision_of(result.response), request_id=request_id)
            except UnexpectedAnswer as fault:
                return Answer(error=fault, request_id=request_id)
        case "error":
            return Answer(error=error_of_status(result.error), request_id=request_id)
        case _:
            return Answer(error=UnexpectedAnswer("the gateway left this item unanswered"), request_id=request_id)


def answers_of(response: check_service_pb2.BatchCheckResponse, asked: int) -> list[Answer]:
    """Read a batch's answers, in order.

    They belong to the questions by their place alone, so with a wrong number of them none can be trusted.
    """
    if len(response.results) != asked:
        return failed(UnexpectedAnswer("the gateway did not answer every item of the batch"), asked)
    return [answer_of(result) for result in response.results]


def failed(error: ClientError, asked: int) -> list[Answer]:
    """Give every question of a call that failed the call's error."""
    return [Answer(error=error)] * asked


def _snapshot(message: types_pb2.SnapshotInfo) -> Snapshot:
    return Snapshot(
        version=message.version,
        published_at=_time(message.published_at) if message.HasField("published_at") else None,
        age_s=message.age.ToNanoseconds() / 1e9,
    )


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
