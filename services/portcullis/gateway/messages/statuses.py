"""Errors become gRPC statuses here, and nowhere else.

Each carries ``google.rpc.ErrorInfo`` with a reason of ``error_reason.proto``; field violations ride in ``BadRequest``, and
what may pass by itself carries ``RetryInfo``. Whatever is not a `PortcullisError` is INTERNAL and says nothing: an unknown
exception's text might hold a person's number.
"""

from __future__ import annotations

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from portcullis.domain import errors

DOMAIN = "portcullis"

_RETRY_AFTER_NS = 200_000_000

_CODES: tuple[tuple[type[errors.PortcullisError], int], ...] = (
    # The most special first: the first match counts.
    (errors.InvalidRequest, code_pb2.INVALID_ARGUMENT),
    (errors.Unparsable, code_pb2.INVALID_ARGUMENT),
    (errors.PolicyInvalid, code_pb2.INVALID_ARGUMENT),
    (errors.Unauthenticated, code_pb2.UNAUTHENTICATED),
    (errors.NotPermitted, code_pb2.PERMISSION_DENIED),
    (errors.NotCovered, code_pb2.FAILED_PRECONDITION),
    (errors.SnapshotBehind, code_pb2.FAILED_PRECONDITION),
    (errors.ImportNotHeld, code_pb2.FAILED_PRECONDITION),
    (errors.StepNotAllowed, code_pb2.FAILED_PRECONDITION),
    (errors.VersionMissed, code_pb2.ABORTED),
    (errors.PlanChanged, code_pb2.ABORTED),
    (errors.DecisionUnknown, code_pb2.FAILED_PRECONDITION),
    (errors.EventConflict, code_pb2.ALREADY_EXISTS),
    (errors.CursorExpired, code_pb2.OUT_OF_RANGE),
    (errors.ReaderTooSlow, code_pb2.ABORTED),
    (errors.NotFound, code_pb2.NOT_FOUND),
    (errors.Refused, code_pb2.RESOURCE_EXHAUSTED),
    (errors.Unavailable, code_pb2.UNAVAILABLE),
)


def to_status(fault: BaseException) -> status_pb2.Status:
    """Translate any error into a rich status."""
    if not isinstance(fault, errors.PortcullisError):
        return _status(code_pb2.INTERNAL, "internal error", errors.PortcullisError.reason, {})
    code = next((code for kind, code in _CODES if isinstance(fault, kind)), code_pb2.INTERNAL)
    message = "internal error" if code == code_pb2.INTERNAL else fault.message
    status = _status(code, message, fault.reason, fault.metadata)
    if isinstance(fault, errors.InvalidRequest):
        _attach(status, _bad_request(fault))
    if isinstance(fault, errors.Refused):
        _attach(status, _retry_info(int(fault.retry_after_s * 1e9)))
    if isinstance(fault, errors.Unavailable | errors.DecisionUnknown):
        _attach(status, _retry_info(_RETRY_AFTER_NS))
    return status


def _retry_info(after_ns: int) -> error_details_pb2.RetryInfo:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromNanoseconds(after_ns)
    return retry


def _status(code: int, message: str, reason: str, metadata: dict[str, str]) -> status_pb2.Status:
    status = status_pb2.Status(code=code, message=message)
    _attach(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    return status


def _bad_request(fault: errors.InvalidRequest) -> error_details_pb2.BadRequest:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
        for violation in fault.violations
    ]
    return error_details_pb2.BadRequest(field_violations=violations)


def _attach(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
