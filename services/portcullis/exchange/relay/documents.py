"""The documents of Shared Signals 1.0: what the transmitter says of itself and of its streams, and what receivers write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from portcullis.domain.endpoints import is_https, is_loopback
from portcullis.domain.errors import InvalidRequest, SetupFault
from portcullis.exchange.relay.polling import MAX_EVENTS, PollRequest
from portcullis.exchange.relay.receivers import MIN_VERIFICATION_S, Wish
from portcullis.exchange.relay.setting_up import MAX_EVENT_TYPES
from portcullis.ports.relay import DeliveryMethod, Stream, StreamStatus

PUSH: Final = "urn:ietf:rfc:8935"
POLL: Final = "urn:ietf:rfc:8936"
WELL_KNOWN: Final = "/.well-known/ssf-configuration"

Document = Mapping[str, object]

_METHODS: Final = {PUSH: DeliveryMethod.PUSH, POLL: DeliveryMethod.POLL}
_MAX_ACKS: Final = 1024


class Addresses:
    """Where a transmitter is found.

    Args:
        issuer: its URL, without query, fragment or a slash at the end.

    Raises:
        SetupFault: it is no URL that can be an issuer.
    """

    def __init__(self, issuer: str) -> None:
        if not (is_https(issuer) or is_loopback(issuer)) or issuer.endswith("/") or "?" in issuer:
            raise SetupFault(
                "the relay's issuer must be an https URL without query or slash at the end; http is for this host alone"
            )
        self.issuer = issuer
        self.path = urlsplit(issuer).path

    @property
    def well_known(self) -> str:
        """The path of the transmitter's configuration: the issuer's own path comes after it."""
        return f"{WELL_KNOWN}{self.path}"

    def poll(self, stream: Stream) -> str:
        """Give the URL that a stream is polled at."""
        return f"{self.issuer}/ssf/poll/{stream.stream_id}"

    def configuration(self) -> Document:
        """Say what the transmitter offers."""
        return {
            "spec_version": "1_0",
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks.json",
            "delivery_methods_supported": [PUSH, POLL],
            "configuration_endpoint": f"{self.issuer}/ssf/stream",
            "status_endpoint": f"{self.issuer}/ssf/status",
            "verification_endpoint": f"{self.issuer}/ssf/verify",
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6750"}],
            "default_subjects": "ALL",
        }

    def stream(self, stream: Stream, supported: Sequence[str]) -> Document:
        """Say what a stream is set to; its authorization header is never shown."""
        settings = stream.settings
        is_push = settings.method is DeliveryMethod.PUSH
        audience = settings.audience or (stream.holder,)
        document: dict[str, object] = {
            "stream_id": stream.stream_id,
            "iss": self.issuer,
            "aud": audience[0] if len(audience) == 1 else list(audience),
            "delivery": {
                "method": PUSH if is_push else POLL,
                "endpoint_url": settings.endpoint if is_push else self.poll(stream),
            },
            "events_supported": list(supported),
            "events_delivered": [
                each for each in supported if not settings.events_requested or each in settings.events_requested
            ],
            "min_verification_interval": MIN_VERIFICATION_S,
        }
        if settings.events_requested:
            document["events_requested"] = list(settings.events_requested)
        if settings.description:
            document["description"] = settings.description
        return document


def status_document(stream: Stream) -> Document:
    """Say whether a stream flows, and why not."""
    status, reason = stream.settings.status, stream.settings.status_reason
    if status is StreamStatus.ENABLED and not stream.flows:
        status, reason = StreamStatus.PAUSED, stream.place.parked or stream.settings.held
    document: dict[str, object] = {"stream_id": stream.stream_id, "status": status.value}
    return document | ({"reason": reason} if reason else {})


def read_wish(document: Document) -> Wish:
    """Read what a receiver wants of its stream.

    Raises:
        InvalidRequest: names the member that is wrong.
    """
    wish = Wish()
    if document.get("delivery") is not None:
        wish = _read_delivery(document["delivery"])
    if document.get("events_requested") is not None:
        wish = wish._replace(events_requested=_texts(document, "events_requested", MAX_EVENT_TYPES))
    if document.get("description") is not None:
        wish = wish._replace(description=read_text(document, "description"))
    return wish


def check_supplied(document: Document, present: Document) -> None:
    """Refuse what a receiver writes where only the transmitter may.

    Raises:
        InvalidRequest: a member that differs.
    """
    for name in ("iss", "aud", "events_supported", "events_delivered", "min_verification_interval"):
        if name in document and document[name] != present[name]:
            raise InvalidRequest.at(name, "is the transmitter's; leave it out, or write it as it is")


def read_poll(document: Document) -> PollRequest:
    """Read a poll request (RFC 8936, 2.2).

    Raises:
        InvalidRequest: names the member that is wrong.
    """
    most, at_once = document.get("maxEvents", MAX_EVENTS), document.get("returnImmediately", False)
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise InvalidRequest.at("maxEvents", "must be a number from 0")
    if not isinstance(at_once, bool):
        raise InvalidRequest.at("returnImmediately", "must be true or false")
    return PollRequest(
        max_events=min(most, MAX_EVENTS),
        at_once=at_once,
        ack=_texts(document, "ack", _MAX_ACKS) if "ack" in document else (),
        errors=_read_errors(document.get("setErrs", {})),
    )


def read_text(document: Document, name: str) -> str:
    """Read a member that is a text.

    Raises:
        InvalidRequest: it is none, or missing.
    """
    value = document.get(name)
    if not isinstance(value, str):
        raise InvalidRequest.at(name, "must be a text")
    return value


def _read_delivery(value: object) -> Wish:
    if not isinstance(value, Mapping):
        raise InvalidRequest.at("delivery", "must be an object")
    method = _METHODS.get(read_text(value, "method"))
    if method is None:
        raise InvalidRequest.at("delivery.method", f"must be {PUSH} or {POLL}")
    if method is DeliveryMethod.POLL:
        return Wish(method=method)
    authorization = read_text(value, "authorization_header") if value.get("authorization_header") is not None else ""
    return Wish(method=method, endpoint=read_text(value, "endpoint_url"), authorization=authorization)


def _read_errors(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or len(value) > _MAX_ACKS:
        raise InvalidRequest.at("setErrs", f"must be an object of at most {_MAX_ACKS} members")
    errors = {}
    for jti, error in value.items():
        if not isinstance(error, Mapping) or not isinstance(error.get("err"), str):
            raise InvalidRequest.at("setErrs", "every member must be an object with err")
        errors[str(jti)] = str(error["err"])
    return errors


def _texts(document: Document, name: str, most: int) -> tuple[str, ...]:
    value = document[name]
    if not isinstance(value, list) or len(value) > most or not all(isinstance(each, str) for each in value):
        raise InvalidRequest.at(name, f"must be a list of at most {most} texts")
    return tuple(value)
