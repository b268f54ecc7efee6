"""What a stream may be set to, by an operator or by its receiver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from portcullis.domain.endpoints import is_https, is_loopback
from portcullis.domain.errors import FieldViolation, InvalidRequest
from portcullis.ports.relay import DeliveryMethod, StreamSettings

MAX_AUTHORIZATION: Final = 4096
MAX_EVENT_TYPES: Final = 64

NEW_ENDPOINT: Final = "a new endpoint waits for the operator's word"
"""Why a stream is held whose receiver has given it an endpoint."""

_MAX_TEXT: Final = 256
_MAX_PATH: Final = 512
_MAX_AUDIENCES: Final = 8
_POSTED: Final = frozenset({DeliveryMethod.PUSH, DeliveryMethod.WEBHOOK})


def check_settings(settings: StreamSettings, authorization: str, *, loopback: bool) -> None:
    """Refuse settings that can't be; ``loopback`` allows http to this host.

    Raises:
        InvalidRequest: names every field that is wrong.
    """
    violations = [*_endpoint(settings, loopback=loopback), *_texts(settings), *_authorization(settings, authorization)]
    if violations:
        raise InvalidRequest(violations)


def _endpoint(settings: StreamSettings, *, loopback: bool) -> Iterator[FieldViolation]:
    if settings.method in _POSTED:
        if not (is_https(settings.endpoint) or (loopback and is_loopback(settings.endpoint))):
            extra = ", or http to this host" if loopback else ""
            yield FieldViolation("endpoint", f"must be an https URL without user or fragment{extra}, at most 512 characters")
    elif settings.method is DeliveryMethod.FILE:
        path = PurePosixPath(settings.endpoint)
        shown = settings.endpoint.isprintable() and len(settings.endpoint) <= _MAX_PATH
        if not shown or not path.is_absolute() or ".." in path.parts or not path.name:
            yield FieldViolation("endpoint", "must be the absolute path of a file")
    elif settings.endpoint:
        yield FieldViolation("endpoint", "a stream that is polled has none")


def _texts(settings: StreamSettings) -> Iterator[FieldViolation]:
    for name in ("description", "status_reason", "held"):
        if not _is_line(getattr(settings, name)):
            yield FieldViolation(name, f"must be one line of at most {_MAX_TEXT} characters")
    if len(settings.audience) > _MAX_AUDIENCES or not all(each and _is_line(each) for each in settings.audience):
        yield FieldViolation("audience", f"must be at most {_MAX_AUDIENCES} texts")
    requested = settings.events_requested
    if len(requested) > MAX_EVENT_TYPES or not all(each and _is_line(each) for each in requested):
        yield FieldViolation("events_requested", f"must be at most {MAX_EVENT_TYPES} event types")


def _authorization(settings: StreamSettings, authorization: str) -> Iterator[FieldViolation]:
    if authorization and settings.method not in _POSTED:
        yield FieldViolation("authorization", "is for a push endpoint or a webhook alone")
    if len(authorization) > MAX_AUTHORIZATION or not authorization.isascii() or not (authorization or "x").isprintable():
        yield FieldViolation("authorization", "must be printable ASCII")


def _is_line(text: str) -> bool:
    return len(text) <= _MAX_TEXT and (not text or text.isprintable())
