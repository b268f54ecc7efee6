"""Every error of the SDK, in one family.

    ClientError
    ├── InvalidArgument      a field breaks the contract: ``violations`` name the fields. Mend the question
    ├── Unauthenticated      no API key, a wrong one or a revoked one
    ├── PermissionDenied     the agreement does not cover it: see ``reason`` and ``metadata``
    ├── NotFound             no such thing, or none that you may see
    ├── FailedPrecondition   no list covers the action, or the snapshot or decision named is not here: see ``reason``
    ├── AlreadyExists        another event of this event_id was reported before
    ├── OutOfRange           a cursor whose changes are not kept any more: ``metadata`` has the ``oldest`` that is
    ├── Aborted              a stream that was not read for too long
    ├── ResourceExhausted    a quota or a size limit: wait ``retry_after_s`` if it is given
    ├── Unavailable          the gateway can't be reached, or can't answer just now; the call was tried again already
    ├── DeadlineExceeded     no answer in time; whether a refusal was recorded is not known
    ├── Cancelled            the call was given up on this side
    ├── UnexpectedAnswer     an answer that this release of the SDK can't read safely
    ├── ProofFailed          a log that does not keep its word, or a proof that does not show it
    └── InternalError        a fault of the gateway, or any other status

No error is an answer: none of them means ALLOW. What to do with a customer then is the partner's own, declared choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One faulty field: its path in the question, such as ``identifiers[0].value``, and what is wrong with it."""

    field: str
    description: str


class ClientError(Exception):
    """The root.

    ``status`` is the name of the gRPC status ("" when no call was made), ``reason`` a name of ``error_reason.proto`` or
    "", ``metadata`` what goes with it, ``retry_after_s`` the seconds to wait as the gateway told, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: str = "",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s


class InvalidArgument(ClientError):
    """A field breaks the contract; ``violations`` say which and why."""


class Unauthenticated(ClientError):
    """No API key, a wrong one or a revoked one; the gateway does not tell which."""


class PermissionDenied(ClientError):
    """The agreement does not cover the list, action or purpose, or the method is for another role."""


class NotFound(ClientError):
    """No such thing, or none that this partner may see."""


class FailedPrecondition(ClientError):
    """No list covers the action, or the snapshot asked for or the decision reported on has not arrived."""


class AlreadyExists(ClientError):
    """Another event of this ``event_id`` was reported before."""


class OutOfRange(ClientError):
    """The changes after a cursor are not kept any more; ``metadata["oldest"]`` is where to start from."""


class Aborted(ClientError):
    """A stream was not read for too long."""


class ResourceExhausted(ClientError):
    """A quota is used up or a message is too large. It is never tried again by the SDK."""


class Unavailable(ClientError):
    """The gateway can't be reached or can't answer just now; the SDK has tried again already."""


class DeadlineExceeded(ClientError):
    """No answer within the deadline."""


class Cancelled(ClientError):
    """The call was given up on this side."""


class UnexpectedAnswer(ClientError):
    """An answer that this release of the SDK can't read safely, such as an outcome that it does not know."""


class ProofFailed(ClientError):
    """What the log claims is not so, or the proof does not show it. Keep all of them: they are evidence."""


class InternalError(ClientError):
    """A fault of the gateway, or a status that has no class of its own."""


_BY_STATUS: Mapping[grpc.StatusCode, type[ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}
_BY_NUMBER: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class FailedCall(Protocol):
    """What a call that failed tells, blocking or asynchronous."""

    def code(self) -> grpc.StatusCode:
        """The status."""
        ...

    def details(self) -> str | None:
        """The message."""
        ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """The trailers."""
        ...


def error_of_call(call: FailedCall) -> ClientError:
    """Build the typed error of a failed call; its details are read from the trailers where they are there and whole."""
    return _build(call.code(), call.details() or "", _rich_status(call))


def error_of_status(status: Status) -> ClientError:
    """Build the typed error of one item of a batch or a stream."""
    return _build(_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status)


def _rich_status(call: FailedCall) -> Status:
    """Read the trailer; proxies drop it and intermediaries write their own, so nothing relies on it."""
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()


def _build(code: grpc.StatusCode, message: str, rich: Status) -> ClientError:
    info, request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in rich.details:
        for known in (info, request, retry):
            if detail.Is(known.DESCRIPTOR):
                _unpack(detail.value, known)
    return _BY_STATUS.get(code, InternalError)(
        message or code.name,
        status=code.name,
        reason=info.reason,
        metadata=info.metadata,
        violations=[Violation(each.field, each.description) for each in request.field_violations],
        retry_after_s=retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
    )


def _unpack(value: bytes, into: ErrorInfo | BadRequest | RetryInfo) -> None:
    """Read one detail; one that can't be read is left empty, for the status itself still stands."""
    try:
        into.ParseFromString(value)
    except DecodeError:
        into.Clear()
