"""Security events on the wire: what our events are called there, and what a Security Event Token's claims have to be.

    iss, iat, jti      there, with the right types                                              RFC 8417, 2.2
    events             an object of at least one event, each named by a URI and itself an object RFC 8417, 2.2
    aud, sub, txn, toe where they are there, of the right types                                  RFC 8417, 2.2
    sub_id             an object with a format                                                   RFC 9493, 3
    one event, a sub_id, and neither sub nor exp                                                 Shared Signals 1.0, 4.1

An event's name is ``urn:portcullis:change:KIND`` or ``urn:portcullis:report:KIND``, with the kind of the contract in lower
case and hyphens: ``urn:portcullis:change:entry-added``. The namespace is ours by use, not by registration.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import PortcullisError
from portcullis.domain.shared_events import EventKind

SET_TYPE = "secevent+jwt"
"""The ``typ`` of a token's header (RFC 8417, 2.3)."""

VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
"""The event that shows a receiver that its stream works."""
STREAM_UPDATED = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"
"""The event that tells a receiver that the transmitter has paused or resumed its stream."""

CHANGE_TYPES: Mapping[ChangeKind, str] = MappingProxyType(
    {kind: f"urn:portcullis:change:{kind.value.lower().replace('_', '-')}" for kind in ChangeKind}
)
"""What happened to an entry, told to partners."""
REPORT_TYPES: Mapping[EventKind, str] = MappingProxyType(
    {kind: f"urn:portcullis:report:{kind.value.lower().replace('_', '-')}" for kind in EventKind}
)
"""What a partner reported, told to the authority of the list."""

_ERR_INVALID = "invalid_request"


class SetInvalid(PortcullisError):
    """What was received is no token that may be believed; ``err`` is a code of RFC 8935, 2.4."""

    def __init__(self, message: str, err: str = _ERR_INVALID) -> None:
        super().__init__(message)
        self.err = err


class SecurityEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a token. Times are Unix seconds; ``audience`` is empty where the token names none."""

    issuer: str
    issued_at: float
    id: str
    events: Mapping[str, Mapping[str, object]]
    audience: tuple[str, ...] = ()
    subject: str = ""
    subject_id: Mapping[str, object] | None = None
    transaction: str = ""
    happened_at: float | None = None
    expires: bool = False


def read_claims(claims: object) -> SecurityEvent:
    """Read the claims of a Security Event Token.

    Raises:
        SetInvalid: they break RFC 8417.
    """
    if not isinstance(claims, Mapping):
        raise SetInvalid("claims: must be an object")
    return SecurityEvent(
        issuer=_text(claims, "iss"),
        issued_at=_time(claims, "iat"),
        id=_text(claims, "jti"),
        events=_events(claims.get("events")),
        audience=_audience(claims.get("aud")),
        subject=_text(claims, "sub") if "sub" in claims else "",
        subject_id=_subject_id(claims["sub_id"]) if "sub_id" in claims else None,
        transaction=_text(claims, "txn") if "txn" in claims else "",
        happened_at=_time(claims, "toe") if "toe" in claims else None,
        expires="exp" in claims,
    )


def check_shared_signals(event: SecurityEvent) -> None:
    """Hold a token against the profile of Shared Signals 1.0.

    Raises:
        SetInvalid: it breaks it.
    """
    if event.subject_id is None:
        raise SetInvalid("sub_id: is missing")
    if event.subject:
        raise SetInvalid("sub: must not be there; the subject stands in sub_id")
    if event.expires:
        raise SetInvalid("exp: must not be there; what has happened does not expire")
    if len(event.events) != 1:
        raise SetInvalid("events: must hold one event")


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise SetInvalid(f"{name}: must be a text")
    return value


def _time(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise SetInvalid(f"{name}: must be a number of seconds")
    return float(value)


def _audience(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, list) or not all(isinstance(each, str) and each for each in several):
        raise SetInvalid("aud: must be a text or a list of texts")
    return tuple(several)


def _subject_id(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping) or not isinstance(value.get("format"), str) or not value["format"]:
        raise SetInvalid("sub_id: must be an object with a format")
    return value


def _events(value: object) -> Mapping[str, Mapping[str, object]]:
    if not isinstance(value, Mapping) or not value:
        raise SetInvalid("events: must be an object with an event")
    for name, event in value.items():
        if not isinstance(name, str) or not _is_uri(name) or not isinstance(event, Mapping):
            raise SetInvalid("events: every event must be an object named by a URI")
    return value


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and bool(parts.netloc or parts.path)
