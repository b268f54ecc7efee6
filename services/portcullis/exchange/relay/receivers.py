"""What receivers do with their own streams: the management API of Shared Signals 1.0, section 8.1, apart from HTTP.

A receiver shows the token of one stream, or a partner's API key, which stands for all streams of that partner. Streams to
webhooks and files are the operator's: for a receiver there are none. An endpoint that a receiver gives waits for the
operator's word before anything is posted to it, so that nobody makes this host post where it should not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from portcullis.domain.errors import InvalidRequest, NotFound, NotPermitted, PortcullisError, Unauthenticated
from portcullis.domain.security_events import VERIFICATION
from portcullis.exchange.relay.desk import Streams, token_digest
from portcullis.exchange.relay.setting_up import NEW_ENDPOINT, check_settings
from portcullis.exchange.relay.sources import Source
from portcullis.ports import Clock
from portcullis.ports.relay import DeliveryMethod, RelayStore, Side, Stream, StreamSettings, StreamStatus

MAX_STREAMS: Final = 8
"""How many streams one partner may make."""

MIN_VERIFICATION_S: Final = 30
"""How many seconds lie between two verification events that a receiver asks for."""

_MAX_STATE = 1024
_MAX_REASON = 256
_TOKENS: Final = frozenset({DeliveryMethod.PUSH, DeliveryMethod.POLL})


class TooSoon(PortcullisError):
    """A receiver asks more often than it may."""

    def __init__(self) -> None:
        super().__init__(f"a verification event may be asked for every {MIN_VERIFICATION_S} seconds; wait, then ask again")


class Receiver(NamedTuple):
    """Who asks: the holder of streams, or of one stream only where ``stream_id`` names it."""

    holder: str
    side: Side
    stream_id: str = ""


class Wish(NamedTuple):
    """What a receiver wants of its stream; None for what it does not speak of."""

    method: DeliveryMethod | None = None
    endpoint: str = ""
    authorization: str = ""
    events_requested: tuple[str, ...] | None = None
    description: str | None = None


class Receivers:
    """The receivers' desk; every method blocks on the database, and may raise Unavailable.

    Args:
        desk: the operators' desk.
        store: the streams.
        sources: the log of each side.
        partner_of: names the partner whose API key a text is; None where it is none that is in force.
        clock: paces verification.
    """

    def __init__(
        self,
        desk: Streams,
        *,
        store: RelayStore,
        sources: Mapping[Side, Source],
        partner_of: Callable[[str], str | None],
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._store = store
        self._sources = sources
        self._partner_of = partner_of
        self._clock = clock

    def authenticate(self, bearer: str) -> Receiver:
        """Name who shows a token or key.

        Raises:
            Unauthenticated: it is none.
        """
        if bearer:
            stream = self._store.by_token(token_digest(bearer))
            if stream is not None:
                return Receiver(stream.holder, stream.side, stream.stream_id)
            partner = self._partner_of(bearer)
            if partner is not None:
                return Receiver(partner, Side.PARTNER)
        raise Unauthenticated

    def create(self, receiver: Receiver, wish: Wish) -> Stream:
        """Make a stream for a partner.

        Raises:
            NotPermitted: the token is of one stream only, or the partner has as many as it may.
            InvalidRequest: a setting that can't be.
        """
        if receiver.stream_id:
            raise NotPermitted("this token is of one stream only; make streams with the partner's API key")
        if len(self.streams(receiver)) >= MAX_STREAMS:
            raise NotPermitted(f"a partner has at most {MAX_STREAMS} streams; delete one first")
        settings = _settings(
            StreamSettings(method=DeliveryMethod.POLL), wish._replace(method=wish.method or DeliveryMethod.POLL)
        )
        check_settings(settings, wish.authorization, loopback=False)
        created = self._desk.add(
            holder=receiver.holder, side=receiver.side, settings=settings, authorization=wish.authorization
        )
        return created.stream

    def streams(self, receiver: Receiver) -> Sequence[Stream]:
        """Give a receiver's streams, the oldest first."""
        return [each for each in self._store.streams() if _is_of(each, receiver)]

    def stream(self, receiver: Receiver, stream_id: str) -> Stream:
        """Give one of a receiver's streams.

        Raises:
            NotFound: it has no such stream.
        """
        stream = self._store.stream(stream_id)
        if not _is_of(stream, receiver):
            raise NotFound("stream_id: you have no such stream")
        return stream

    def update(self, receiver: Receiver, stream_id: str, wish: Wish, *, replace: bool) -> Stream:
        """Change what a wish speaks of; ``replace`` sets the rest back to what it is without a word.

        Raises:
            NotFound: it has no such stream.
            InvalidRequest: a setting that can't be.
        """
        self.stream(receiver, stream_id)
        whole = Wish(method=DeliveryMethod.POLL, events_requested=(), description="")
        full = (
            whole._replace(**{name: value for name, value in wish._asdict().items() if value is not None})
            if replace
            else wish
        )
        # A delivery that is given anew is given whole, its authorization header too.
        secret = full.authorization if full.method is not None else None

        def changed(stream: Stream) -> Stream:
            settings = _settings(stream.settings, full)
            check_settings(settings, secret or "", loopback=False)
            return msgspec.structs.replace(stream, settings=settings)

        return self._desk.change(stream_id, changed, secret=secret)

    def delete(self, receiver: Receiver, stream_id: str) -> None:
        """Remove a stream.

        Raises:
            NotFound: it has no such stream.
        """
        self.stream(receiver, stream_id)
        self._store.remove(stream_id)

    def set_status(self, receiver: Receiver, stream_id: str, status: StreamStatus, reason: str) -> Stream:
        """Enable, pause or disable a stream. What happens while it is disabled is not held for it.

        Raises:
            NotFound: it has no such stream.
            InvalidRequest: the reason is no line.
        """
        self.stream(receiver, stream_id)
        if len(reason) > _MAX_REASON or not (reason or "x").isprintable():
            raise InvalidRequest.at("reason", f"must be one line of at most {_MAX_REASON} characters")

        def changed(stream: Stream) -> Stream:
            place = stream.place
            if stream.settings.status is StreamStatus.DISABLED and status is not StreamStatus.DISABLED:
                ends = self._sources[stream.side].ends()
                place = msgspec.structs.replace(place, log=ends.log, position=ends.newest, acked=(), notices=())
            settings = msgspec.structs.replace(stream.settings, status=status, status_reason=reason)
            return msgspec.structs.replace(stream, settings=settings, place=place)

        return self._desk.change(stream_id, changed)

    def verify(self, receiver: Receiver, stream_id: str, state: str | None) -> None:
        """Send a verification event with the receiver's own word.

        Raises:
            NotFound: it has no such stream.
            TooSoon: it has asked a moment ago.
            InvalidRequest: the word is too long.
        """
        self.stream(receiver, stream_id)
        if state is not None and len(state) > _MAX_STATE:
            raise InvalidRequest.at("state", f"must have at most {_MAX_STATE} characters")

        def asked(stream: Stream) -> Stream:
            now = self._clock.now()
            if now - stream.place.verify_asked_at < MIN_VERIFICATION_S:
                raise TooSoon
            told = self._desk.with_notice(stream, VERIFICATION, {"state": state} if state is not None else {})
            return msgspec.structs.replace(told, place=msgspec.structs.replace(told.place, verify_asked_at=now))

        self._desk.change(stream_id, asked)

    def events_supported(self, stream: Stream) -> Sequence[str]:
        """Give the types of events that a stream of this side may carry."""
        return self._sources[stream.side].event_types()


def _is_of(stream: Stream, receiver: Receiver) -> bool:
    if stream.settings.method not in _TOKENS or (stream.holder, stream.side) != (receiver.holder, receiver.side):
        return False
    return receiver.stream_id in {"", stream.stream_id}


def _settings(settings: StreamSettings, wish: Wish) -> StreamSettings:
    changed = settings
    if wish.method is not None:
        changed = msgspec.structs.replace(changed, method=wish.method, endpoint=wish.endpoint)
        is_new = wish.method is DeliveryMethod.PUSH and (settings.method, settings.endpoint) != (wish.method, wish.endpoint)
        if is_new:
            changed = msgspec.structs.replace(changed, held=changed.held or NEW_ENDPOINT, unagreed=True)
        elif wish.method is DeliveryMethod.POLL:
            changed = msgspec.structs.replace(
                changed, held="" if changed.held == NEW_ENDPOINT else changed.held, unagreed=False
            )
    if wish.events_requested is not None:
        changed = msgspec.structs.replace(changed, events_requested=wish.events_requested)
    if wish.description is not None:
        changed = msgspec.structs.replace(changed, description=wish.description)
    return changed
