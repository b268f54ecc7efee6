"""The operators' desk of streams. What changes a stream is written against its turn, so that nothing is undone unseen."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from portcullis.domain.errors import InvalidRequest, JournalUnavailable
from portcullis.domain.security_events import STREAM_UPDATED, VERIFICATION
from portcullis.exchange.relay.carrying import READ_AT_ONCE
from portcullis.exchange.relay.judging import after_delivery
from portcullis.exchange.relay.places import past
from portcullis.exchange.relay.setting_up import NEW_ENDPOINT, check_settings
from portcullis.exchange.relay.sources import Source
from portcullis.ports import Clock
from portcullis.ports.relay import CreatedStream, Notice, Place, RelayStore, Side, Stream, StreamSettings, StreamStatus

TOKEN_PREFIX: Final = "pcs"  # noqa: S105 - what every token begins with, so that scanners of leaked secrets find it
MAX_NOTICES: Final = 16
"""How many notices may wait on one stream."""

_ID_BYTES = 16
_TOKEN_BYTES = 32
_TRIES = 8


class Streams:
    """Implements `portcullis.ports.relay.StreamDesk`; every method blocks on the database.

    Args:
        store: the streams.
        sources: the log of each side.
        clock: dates what happens.
        random_bytes: gives so many unpredictable bytes.
    """

    def __init__(
        self,
        store: RelayStore,
        *,
        sources: Mapping[Side, Source],
        clock: Clock,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._sources = sources
        self._clock = clock
        self._random_bytes = random_bytes

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
            Unavailable: a database can't be used.
        """
        source = self._sources[side]
        if not source.knows(holder):
            raise InvalidRequest.at(
                "holder", f"the policy in force knows no such {side.value}; `portcullis policy show` names them"
            )
        unknown = set(settings.events_requested) - set(source.event_types())
        if unknown:
            raise InvalidRequest.at("events_requested", f"must be among {', '.join(source.event_types())}")
        check_settings(settings, authorization, loopback=True)
        return self.add(holder=holder, side=side, settings=settings, authorization=authorization, from_oldest=from_oldest)

    def add(
        self, *, holder: str, side: Side, settings: StreamSettings, authorization: str = "", from_oldest: bool = False
    ) -> CreatedStream:
        """Make a stream with settings that were checked."""
        ends = self._sources[side].ends()
        token = f"{TOKEN_PREFIX}_{base64.urlsafe_b64encode(self._random_bytes(_TOKEN_BYTES)).decode().rstrip('=')}"
        stream = Stream(
            stream_id=self._random_bytes(_ID_BYTES).hex(),
            holder=holder,
            side=side,
            created_at=self._clock.now(),
            settings=settings,
            place=Place(log=ends.log, position=ends.oldest if from_oldest else ends.newest),
        )
        self._store.add(stream, token_digest=token_digest(token), secret=authorization)
        return CreatedStream(stream, token)

    def streams(self) -> Sequence[Stream]:
        """Give all streams, the oldest first."""
        return self._store.streams()

    def stream(self, stream_id: str) -> Stream:
        """Give one stream.

        Raises:
            NotFound: there is no such stream.
        """
        return self._store.stream(stream_id)

    def behind(self, stream: Stream) -> int:
        """Give how many places of its log a stream has before it."""
        ends = self._sources[stream.side].ends()
        return max(0, ends.newest - stream.place.position) if stream.place.log == ends.log else 0

    def pause(self, stream_id: str, reason: str) -> Stream:
        """Hold a stream, and tell its receiver.

        Raises:
            NotFound: there is no such stream.
            InvalidRequest: the reason is no line.
        """

        def hold(stream: Stream) -> Stream:
            settings = msgspec.structs.replace(stream.settings, held=reason or "paused by the operator")
            check_settings(settings, "", loopback=True)
            held = msgspec.structs.replace(stream, settings=settings)
            return held if stream.settings.held else self._tell_status(held, StreamStatus.PAUSED, settings.held)

        return self.change(stream_id, hold)

    def resume(self, stream_id: str) -> Stream:
        """Let a held stream go on, and tell its receiver. One whose receiver has given an endpoint is then held for that.

        Raises:
            NotFound: there is no such stream.
        """

        def let_go(stream: Stream) -> Stream:
            settings = stream.settings
            if settings.unagreed and settings.held != NEW_ENDPOINT:
                # To end a pause is no word about an endpoint that may have come since.
                return msgspec.structs.replace(stream, settings=msgspec.structs.replace(settings, held=NEW_ENDPOINT))
            free = msgspec.structs.replace(stream, settings=msgspec.structs.replace(settings, held="", unagreed=False))
            return self._tell_status(free, StreamStatus.ENABLED, "") if settings.held else free

        return self.change(stream_id, let_go)

    def replay(self, stream_id: str, *, position: int | None = None, skip: bool = False) -> Stream:
        """Let a parked stream go on: where it stands, from another position, or without what parked it.

        Raises:
            NotFound: there is no such stream.
            InvalidRequest: the position is outside of what is kept, or there is no event to skip.
        """

        def go_on(stream: Stream) -> Stream:
            place = self._place_again(stream, position=position, skip=skip)
            free = msgspec.structs.replace(after_delivery(place), parked="", parked_at=0.0, parked_on=0)
            again = msgspec.structs.replace(stream, place=free)
            return self._tell_status(again, StreamStatus.ENABLED, "") if stream.place.parked else again

        return self.change(stream_id, go_on)

    def verify(self, stream_id: str) -> Stream:
        """Send a verification event.

        Raises:
            NotFound: there is no such stream.
            InvalidRequest: too many notices wait already.
        """
        return self.change(stream_id, lambda stream: self.with_notice(stream, VERIFICATION, {}))

    def delete(self, stream_id: str) -> None:
        """Remove a stream.

        Raises:
            NotFound: there is no such stream.
        """
        self._store.stream(stream_id)
        self._store.remove(stream_id)

    def change(self, stream_id: str, change: Callable[[Stream], Stream], *, secret: str | None = None) -> Stream:
        """Change a stream as it stands now, again if it has changed meanwhile; gives it as it stands then."""
        for _ in range(_TRIES):
            wanted = change(self._store.stream(stream_id))
            if self._store.put(wanted, secret=secret):
                return msgspec.structs.replace(wanted, turn=wanted.turn + 1)
        raise JournalUnavailable

    def with_notice(self, stream: Stream, event_type: str, payload: dict[str, str]) -> Stream:
        """Give a stream with one more notice that waits.

        Raises:
            InvalidRequest: too many wait already.
        """
        place = stream.place
        if len(place.notices) >= MAX_NOTICES:
            raise InvalidRequest.at("stream", "too many events about it wait already; let it deliver them first")
        number = place.notices_made + 1
        notice = Notice(number=number, event_type=event_type, payload=payload, made_at=self._clock.now())
        return msgspec.structs.replace(
            stream, place=msgspec.structs.replace(place, notices=(*place.notices, notice), notices_made=number)
        )

    def _tell_status(self, stream: Stream, status: StreamStatus, reason: str) -> Stream:
        """Tell a receiver that wants events of what the operator did; of several changes that wait, the last is enough."""
        if stream.settings.status is not StreamStatus.ENABLED:
            return stream
        others = tuple(each for each in stream.place.notices if each.event_type != STREAM_UPDATED)
        calm = msgspec.structs.replace(stream, place=msgspec.structs.replace(stream.place, notices=others))
        payload = {"status": status.value} | ({"reason": reason} if reason else {})
        return self.with_notice(calm, STREAM_UPDATED, payload)

    def _place_again(self, stream: Stream, *, position: int | None, skip: bool) -> Place:
        source, place = self._sources[stream.side], stream.place
        if position is not None:
            ends = source.ends()
            if not ends.oldest <= position <= ends.newest:
                raise InvalidRequest.at("position", f"must be from {ends.oldest} to {ends.newest}, which is kept")
            return msgspec.structs.replace(place, log=ends.log, position=position, acked=())
        return self._place_without(stream, place.parked_on or self._next(stream)) if skip else place

    def _place_without(self, stream: Stream, what: int) -> Place:
        """Give a stream's place without an event or a notice, as `Place.parked_on` names it; all else stays to be told."""
        place = stream.place
        if what < 0:
            return msgspec.structs.replace(place, notices=tuple(each for each in place.notices if each.number != -what))
        if what == self._next_position(stream):
            return past(place, what)
        return past(msgspec.structs.replace(place, acked=(*place.acked, what)), place.position)

    def _next(self, stream: Stream) -> int:
        """Give what is to be delivered next, as `Place.parked_on` names it.

        Raises:
            InvalidRequest: nothing waits.
        """
        if stream.place.notices:
            return -stream.place.notices[0].number
        position = self._next_position(stream)
        if position is None:
            raise InvalidRequest.at("skip", "no event waits on this stream")
        return position

    def _next_position(self, stream: Stream) -> int | None:
        source, place = self._sources[stream.side], stream.place
        after, newest = place.position, source.ends().newest
        while after < newest:
            batch = source.read(stream, after, READ_AT_ONCE)
            for item in batch.items:
                if item.position not in place.acked:
                    return item.position
            if batch.reached <= after:
                break
            after = batch.reached
        return None


def token_digest(token: str) -> bytes:
    """Give the digest under which a token is known: SHA-256 of its text."""
    return sha256(token.encode(errors="replace")).digest()
