"""The relay: streams of events to systems of partners and authorities, and what carries them there.

A stream has a place in one log: the feed of changes for a partner, the journal for an authority. The place moves on only
when the receiver has taken what stands before it, so everything is delivered at least once and in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from portcullis.domain.errors import PortcullisError
from portcullis.domain.shared_events import SharedEvent


class Side(StrEnum):
    """Whose system a stream leads to, and so what it carries."""

    PARTNER = "partner"
    AUTHORITY = "authority"


class DeliveryMethod(StrEnum):
    """How a stream's events get there."""

    PUSH = "push"
    POLL = "poll"
    WEBHOOK = "webhook"
    FILE = "file"


class StreamStatus(StrEnum):
    """What the receiver wants of its stream, in the words of Shared Signals 1.0."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is set to.

    Attributes:
        method: how events get there.
        endpoint: the URL that takes them, or the file's path; "" for a stream that is polled.
        audience: the ``aud`` of its tokens.
        events_requested: the event types asked for; empty for all.
        description: the holder's own words.
        status: what the receiver wants.
        status_reason: why, in the receiver's words.
        held: why the operator holds it, "" when it is not held.
        unagreed: whether its receiver gave the endpoint, and the operator has not agreed to it: nothing is posted there.
    """

    method: DeliveryMethod
    endpoint: str = ""
    audience: tuple[str, ...] = ()
    events_requested: tuple[str, ...] = ()
    description: str = ""
    status: StreamStatus = StreamStatus.ENABLED
    status_reason: str = ""
    held: str = ""
    unagreed: bool = False


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An event about the stream itself, which waits for delivery; numbered from 1 within its stream."""

    number: int
    event_type: str
    payload: dict[str, str]
    made_at: float


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream is.

    Attributes:
        log: the log that ``position`` counts in.
        position: everything up to it is with the receiver, or none of its business.
        acked: positions after it that a polling receiver has acknowledged out of their order, ascending.
        notices: events about the stream that wait, the oldest first.
        notices_made: how many there have ever been.
        verify_asked_at: when the receiver last asked for a verification event, Unix seconds.
        attempts: how often the next event has failed in a row.
        failing_since: Unix seconds, 0 while nothing fails.
        retry_at: when to try again, Unix seconds.
        parked: why the stream waits for an operator, "" when it does not.
        parked_at: since when, Unix seconds.
        parked_on: what it was that the receiver would not take: an event's position, or a notice's number, negative; 0 where
            nothing by itself was at fault.
    """

    log: str
    position: int
    acked: tuple[int, ...] = ()
    notices: tuple[Notice, ...] = ()
    notices_made: int = 0
    verify_asked_at: float = 0.0
    attempts: int = 0
    failing_since: float = 0.0
    retry_at: float = 0.0
    parked: str = ""
    parked_at: float = 0.0
    parked_on: int = 0


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. ``turn`` counts its changes: who changes a stream says which turn was read. Secrets are not in it."""

    stream_id: str
    holder: str
    side: Side
    created_at: float
    settings: StreamSettings
    place: Place
    turn: int = 0

    @property
    def flows(self) -> bool:
        """Whether events may leave."""
        return self.settings.status is StreamStatus.ENABLED and not self.settings.held and not self.place.parked


class RelayStore(Protocol):
    """The streams and their places. Any method blocks, and may raise JournalUnavailable."""

    def add(self, stream: Stream, *, token_digest: bytes = b"", secret: str = "") -> None:
        """Add a stream. ``token_digest`` is the SHA-256 of the receiver's token, ``secret`` the authorization header."""
        ...

    def streams(self) -> Sequence[Stream]:
        """Give all streams, the oldest first."""
        ...

    def stream(self, stream_id: str) -> Stream:
        """Give one stream.

        Raises:
            NotFound: there is no such stream.
        """
        ...

    def by_token(self, token_digest: bytes) -> Stream | None:
        """Give the stream that a token was made for."""
        ...

    def secret(self, stream_id: str) -> str:
        """Give the authorization header of a stream, "" where it has none.

        Raises:
            NotFound: there is no such stream.
        """
        ...

    def put(self, stream: Stream, *, secret: str | None = None) -> bool:
        """Write a stream's settings and place, if ``stream.turn`` is still its turn; the turn becomes one more.

        A ``secret`` of None stays as it is. Gives False, and does nothing, when the stream has changed or is gone.
        """
        ...

    def lease(self, stream_id: str, owner: str, *, now: float, until: float) -> bool:
        """Take or prolong the lease of a stream until a time (Unix seconds); False while another has it, or it is gone."""
        ...

    def release(self, stream_id: str, owner: str) -> None:
        """Give the lease back, where it is held."""
        ...

    def remove(self, stream_id: str) -> bool:
        """Remove a stream; False where there was none."""
        ...

    def close(self) -> None:
        """Give up the database."""
        ...


class ReportedCase(NamedTuple):
    """A list that an event is about, and the authority's own reference of the case; "" where it is not known any more."""

    list: str
    case_reference: str

    def __repr__(self) -> str:
        return f"ReportedCase(list={self.list!r})"


class ReportedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the journal has it. ``recorded_at_ms`` is Unix milliseconds."""

    sequence: int
    partner: str
    recorded_at_ms: int
    event: SharedEvent
    cases: tuple[ReportedCase, ...]


class ReportedEvents(Protocol):
    """What partners reported, in the order of the journal. Any method blocks, and may raise JournalUnavailable."""

    def timeline(self) -> str:
        """Name the log as those know it who keep places in it (`portcullis.domain.timelines`)."""
        ...

    def size(self) -> int:
        """Give how many entries the log has."""
        ...

    def read(self, begin: int, limit: int) -> Sequence[ReportedEvent]:
        """Give events from a sequence on, ascending; personal fields are empty where their key was erased."""
        ...


class SetSigner(Protocol):
    """Signs Security Event Tokens."""

    def sign(self, claims: Mapping[str, object]) -> str:
        """Give the token in its compact form.

        Raises:
            SetupFault: the key file can't be read.
        """
        ...

    def jwks(self) -> Mapping[str, object]:
        """Give the public keys as a JWK set (RFC 7517): that which signs, and the one before it.

        Raises:
            SetupFault: the key file can't be read.
        """
        ...


class Fault(StrEnum):
    """Why something did not get there: the label that failures are counted by."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    TLS = "tls"
    STATUS = "status"
    REFUSED = "refused"
    ENDPOINT = "endpoint"
    DISK = "disk"
    GAP = "gap"
    INTERNAL = "internal"


class DeliveryFault(PortcullisError):
    """Something did not get to the receiver. The message holds nothing of what was sent, nor of what came back."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class Reply(NamedTuple):
    """A receiver's answer; of its body at most 16 KiB. ``retry_after_s`` is what it asks for, where it does."""

    status: int
    body: bytes
    retry_after_s: float | None = None


class Poster(Protocol):
    """Posts to receivers."""

    async def post(self, url: str, body: bytes, *, content_type: str, authorization: str) -> Reply:
        """Post a body and give the answer, whatever its status; redirects are not followed.

        Raises:
            DeliveryFault: no answer came in time, or the URL may not be used.
        """
        ...

    async def close(self) -> None:
        """Give up the connections."""
        ...


class LineFiles(Protocol):
    """Files that lines are added to."""

    def append(self, path: str, lines: Sequence[bytes]) -> None:
        """Add lines, each without its end; they are on the disk when this returns. Blocks.

        Raises:
            DeliveryFault: the disk refused, or the path may not be used.
        """
        ...


class CreatedStream(NamedTuple):
    """A new stream, and the token that its receiver shows; the token is kept nowhere."""

    stream: Stream
    token: str


class StreamDesk(Protocol):
    """What operators do with streams. Any method blocks, and may raise JournalUnavailable or NotFound."""

    def create(
        self,
        *,
        holder: str,
        side: Side,
        settings: StreamSettings,
        authorization: str = "",
        from_oldest: bool = False,
    ) -> CreatedStream:
        """Make a stream that begins with what comes next, or with the oldest that is kept.

        Raises:
            InvalidRequest: no such partner or authority, or a setting that can't be.
        """
        ...

    def streams(self) -> Sequence[Stream]:
        """Give all streams."""
        ...

    def stream(self, stream_id: str) -> Stream:
        """Give one stream."""
        ...

    def behind(self, stream: Stream) -> int:
        """Give how many places of its log a stream has before it; not all need be for it."""
        ...

    def pause(self, stream_id: str, reason: str) -> Stream:
        """Hold a stream; its receiver is told when it goes on, and its status says so at once."""
        ...

    def resume(self, stream_id: str) -> Stream:
        """Let a held stream go on; one whose receiver has given an endpoint is held for that first, until the next time."""
        ...

    def replay(self, stream_id: str, *, position: int | None = None, skip: bool = False) -> Stream:
        """Let a parked stream go on: where it stands, from another position (what follows it), or without what parked it.

        To ``skip`` leaves out what the receiver would not take, and of a stream that nothing parked, what is next.

        Raises:
            InvalidRequest: the position is outside of what is kept, or there is no event to skip.
        """
        ...

    def verify(self, stream_id: str) -> Stream:
        """Send a verification event."""
        ...

    def delete(self, stream_id: str) -> None:
        """Remove a stream."""
        ...
