"""Reading what is asked for with a step: which one, on which entries, why, and having seen which version.

Here stands what only the wire has: enumerations, times, messages that may be absent. What may be said in words, the desks
read, whoever asks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from google.protobuf.message import Message

from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import InvalidRequest
from portcullis.gateway.admission import Caller
from portcullis.ports import EntryQuery
from portcullis.v1 import registry_service_pb2 as pb
from portcullis.v1 import types_pb2

MAX_IDENTIFIERS = 64
MAX_LOCALE = 32
_MAX_PROOF = 256
_MAX_SECONDS = 2**32 - 1

GROUNDS: Mapping[ReleaseGround, pb.ReleaseGround.ValueType] = {
    ReleaseGround.PERFORMED: pb.RELEASE_GROUND_PERFORMED,
    ReleaseGround.PAID: pb.RELEASE_GROUND_PAID,
    ReleaseGround.OVERTURNED: pb.RELEASE_GROUND_OVERTURNED,
    ReleaseGround.TERM_OVER: pb.RELEASE_GROUND_TERM_OVER,
    ReleaseGround.SETTLED: pb.RELEASE_GROUND_SETTLED,
    ReleaseGround.DISPUTE_LAPSED: pb.RELEASE_GROUND_DISPUTE_LAPSED,
}
"""Why an entry is released, on the wire."""
_GROUNDS_READ = {number: ground for ground, number in GROUNDS.items()}
_BULK_STEPS = {
    pb.BULK_STEP_APPROVE: Step.APPROVE,
    pb.BULK_STEP_RENEW: Step.RENEW,
    pb.BULK_STEP_RELEASE: Step.RELEASE,
}


class Said(Protocol):
    """A request that says why, and on which document."""

    @property
    def why(self) -> str:
        """What is kept with the step."""
        ...

    @property
    def document(self) -> str:
        """The document's reference."""
        ...


class Versioned(Protocol):
    """A request that names the version its sender has seen."""

    @property
    def expected_version(self) -> int:
        """The version, 0 for whatever stands."""
        ...


def read_note(caller: Caller, request: Said, *, ground: str = "") -> StepNote:
    """Read who takes a step, why and on which document."""
    return StepNote(actor=caller.holder, why=request.why, document=request.document, ground=ground)


def read_expected(request: Versioned) -> int:
    """Read the version that the caller has seen.

    Raises:
        InvalidRequest: it is below 0.
    """
    if request.expected_version < 0:
        raise InvalidRequest.at("expected_version", "can't be below 0; give the version that you have seen")
    return request.expected_version


def read_ground(ground: pb.ReleaseGround.ValueType) -> ReleaseGround:
    """Read why an entry is released.

    Raises:
        InvalidRequest: it is not said.
    """
    read = _GROUNDS_READ.get(ground)
    if read is None:
        raise InvalidRequest.at(
            "ground", "must be RELEASE_GROUND_PERFORMED, _PAID, _OVERTURNED or _TERM_OVER: why the entry ends"
        )
    return read


def read_bulk(step: pb.BulkStep.ValueType, ground: pb.ReleaseGround.ValueType) -> tuple[Step, str]:
    """Read the step of a bulk request and, for a release, its ground.

    Raises:
        InvalidRequest: it is no such step, or a ground where none belongs.
    """
    read = _BULK_STEPS.get(step)
    if read is None:
        raise InvalidRequest.at("step", "must be BULK_STEP_APPROVE, BULK_STEP_RENEW or BULK_STEP_RELEASE")
    if read is Step.RELEASE:
        return read, read_ground(ground)
    if ground:
        raise InvalidRequest.at("ground", "belongs to a release alone; leave it unset")
    return read, ""


def read_query(query: pb.EntryQuery) -> EntryQuery:
    """Read which entries are meant.

    Raises:
        InvalidRequest: no list is named, or a time is out of bounds.
    """
    if not query.list:
        raise InvalidRequest.at("query.list", "must name a list")
    return EntryQuery(
        list=query.list,
        key_prefix=query.key_prefix,
        case_reference_prefix=query.case_reference_prefix,
        valid_from_before=read_seconds(query, "valid_from_before", "query") or 0,
        until_before=read_seconds(query, "until_before", "query") or 0,
    )


def read_seconds(message: Message, field: str, within: str) -> int | None:
    """Read a time as Unix seconds; None where it is not given. ``within`` names the message in the request.

    Raises:
        InvalidRequest: it lies before 1970 or after 2106.
    """
    if not message.HasField(field):
        return None
    seconds: int = getattr(message, field).seconds
    if not 0 <= seconds <= _MAX_SECONDS:
        raise InvalidRequest.at(f"{within}.{field}", "must lie between 1970 and 2106")
    return seconds


def read_given(identifiers: Sequence[types_pb2.Identifier]) -> tuple[GivenIdentifier, ...]:
    """Read identifiers as they were written."""
    return tuple(GivenIdentifier(each.kind, each.value, each.country) for each in identifiers)


def read_identifier(message: Message, field: str) -> GivenIdentifier:
    """Read the one identifier of a field.

    Raises:
        InvalidRequest: there is none.
    """
    if not message.HasField(field):
        raise InvalidRequest.at(field, "must be given: its kind, its value and, where the kind asks for it, its country")
    (given,) = read_given([getattr(message, field)])
    return given


def read_proof(proof: str) -> str:
    """Read what proves who a subject is.

    Raises:
        InvalidRequest: there is none, or it is longer than any.
    """
    if not 1 <= len(proof) <= _MAX_PROOF:
        raise InvalidRequest.at("proof", f"must be 1 to {_MAX_PROOF} characters: the code that you were given")
    return proof


def read_locale(locale: str) -> str:
    """Read the language of a text.

    Raises:
        InvalidRequest: it is longer than any.
    """
    if len(locale) > MAX_LOCALE:
        raise InvalidRequest.at("locale", f"must be at most {MAX_LOCALE} characters, such as zh-CN")
    return locale
