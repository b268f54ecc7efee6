"""The two forms that an event leaves in: a Security Event Token, or a CloudEvent in structured JSON.

An event's id is made of its stream, its log and its place there, so it stays the same however often it is sent:
``STREAM-LOG-MARK``, and ``STREAM-nNUMBER`` for an event about the stream itself. A receiver that keeps the ids it has seen
drops what comes twice. The mark names the place for this stream alone (`portcullis.domain.subjects`), so receivers can't
join what they hold by it, nor count what is none of their business.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.relay.rendering import Fact, tell_notice
from portcullis.exchange.relay.sources import Item
from portcullis.ports import Clock
from portcullis.ports.relay import DeliveryMethod, Notice, SetSigner, Stream

SET_CONTENT = "application/secevent+jwt"
CLOUD_CONTENT = "application/cloudevents+json"

_ID = re.compile(r"([0-9a-f]{32})-(?:n([1-9][0-9]{0,17})|([0-9a-f]{8})-([0-9a-f]{32}))", re.ASCII)
_LOG_LENGTH = 8


class Parcel(NamedTuple):
    """An event in the form that it leaves in."""

    id: str
    body: bytes
    content_type: str


class Delivered(NamedTuple):
    """What an id names: an item of a log's, or a notice; the other one is 0."""

    position: int
    notice: int


class Envelopes:
    """Puts events into their form.

    Args:
        signer: signs tokens.
        names: names places in logs.
        issuer: the transmitter's URL, which receivers know it by.
        clock: dates tokens.
    """

    def __init__(self, signer: SetSigner, *, names: SubjectNames, issuer: str, clock: Clock) -> None:
        self._signer = signer
        self._names = names
        self._clock = clock
        self.issuer = issuer

    def item(self, stream: Stream, item: Item) -> Parcel:
        """Put an event of a stream's log into the stream's form; signing may raise SetupFault."""
        return self._put(stream, item.fact, self._item_id(stream, item.position))

    def notice(self, stream: Stream, notice: Notice) -> Parcel:
        """Put an event about the stream into the stream's form; signing may raise SetupFault."""
        return self._put(stream, tell_notice(notice, stream.stream_id), f"{stream.stream_id}-n{notice.number}")

    def read_id(self, stream: Stream, event_id: str) -> Delivered | None:
        """Read an id of this stream's; None where it is none of its present log."""
        match = _ID.fullmatch(event_id)
        if match is None or match[1] != stream.stream_id:
            return None
        if match[2]:
            return Delivered(0, int(match[2]))
        if match[3] != _log_mark(stream.place.log):
            return None
        position = self._names.position(stream.stream_id, stream.place.log, match[4])
        return Delivered(position, 0) if position is not None else None

    def _item_id(self, stream: Stream, position: int) -> str:
        log = stream.place.log
        return f"{stream.stream_id}-{_log_mark(log)}-{self._names.mark(stream.stream_id, log, position)}"

    def _put(self, stream: Stream, fact: Fact, event_id: str) -> Parcel:
        if stream.settings.method in {DeliveryMethod.PUSH, DeliveryMethod.POLL}:
            return Parcel(event_id, self._token(stream, fact, event_id).encode(), SET_CONTENT)
        return Parcel(event_id, self._cloud_event(stream, fact, event_id), CLOUD_CONTENT)

    def _token(self, stream: Stream, fact: Fact, event_id: str) -> str:
        audience = stream.settings.audience or (stream.holder,)
        return self._signer.sign(
            {
                "iss": self.issuer,
                "iat": int(self._clock.now()),
                "jti": event_id,
                "aud": audience[0] if len(audience) == 1 else list(audience),
                "toe": int(fact.happened_at),
                "sub_id": dict(fact.subject_id),
                "events": {fact.event_type: dict(fact.payload)},
            }
        )

    def _cloud_event(self, stream: Stream, fact: Fact, event_id: str) -> bytes:
        attributes = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"{self.issuer}/streams/{stream.stream_id}",
            "type": fact.event_type,
            "subject": fact.subject,
            "time": datetime.fromtimestamp(fact.happened_at, UTC),
            "datacontenttype": "application/json",
        }
        return JSONFormat().write(CloudEvent(attributes=attributes, data=dict(fact.payload)))


def _log_mark(log: str) -> str:
    """Shorten a log's name, which may hold any character."""
    return sha256(log.encode()).hexdigest()[:_LOG_LENGTH]
