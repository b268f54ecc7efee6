"""Poll-based delivery (RFC 8936): the receiver asks, acknowledges what it has, and reports what it can't take.

Events may be acknowledged in any order, and are offered again until they are. The stream's place moves on past what is
acknowledged without a gap. An event that the receiver reports as invalid parks the stream there.

An operator may set the place back while an answer is made (`stream replay`). Then what was looked through before counts no
more, nor does what this request says: it was said of the events of before, and those are offered again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import msgspec

from portcullis.domain.errors import JournalUnavailable
from portcullis.exchange.relay.carrying import gap_before
from portcullis.exchange.relay.envelopes import Delivered, Envelopes
from portcullis.exchange.relay.judging import PASSING_CODES, refused
from portcullis.exchange.relay.places import past
from portcullis.exchange.relay.sources import Batch, Source
from portcullis.metrics.relay import RelayMetrics
from portcullis.ports import Clock
from portcullis.ports.relay import Fault, Place, RelayStore, Side, Stream, StreamStatus

MAX_EVENTS: Final = 100
"""How many events an answer holds at most."""

WINDOW: Final = 512
"""How many places of its log after a stream's own are looked through for one answer."""

LONG_POLL_S: Final = 25.0
"""How long an answer waits for an event."""

_WAITING: Final = 64
_WAITING_OF_ONE: Final = 2
"""How many answers to one stream wait: so that no receiver takes the places of the others."""
_LOOK_EVERY_S: Final = 0.25
_TRIES: Final = 5


class PollRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver asks: at most so many events, at once or when there are some; what it has, and what it can't take."""

    max_events: int = MAX_EVENTS
    at_once: bool = False
    ack: tuple[str, ...] = ()
    errors: Mapping[str, str] = msgspec.field(default_factory=dict)


class PollAnswer(NamedTuple):
    """Tokens by their ids in the order of the stream, and whether there are more."""

    sets: Mapping[str, str]
    more: bool


class _Seen(NamedTuple):
    """Up to where the log was looked through for a stream, as it stood at a turn."""

    turn: int
    reached: int


class Polls:
    """Answers polling receivers. Waiting answers are bounded, in all and to one stream; past that an answer comes at once.

    Args:
        store: the streams.
        sources: the log of each side.
        envelopes: makes tokens.
        clock: dates a parking.
        metrics: what is counted.
        long_poll_s: how long an answer waits, in seconds.
    """

    def __init__(
        self,
        store: RelayStore,
        *,
        sources: Mapping[Side, Source],
        envelopes: Envelopes,
        clock: Clock,
        metrics: RelayMetrics,
        long_poll_s: float = LONG_POLL_S,
    ) -> None:
        self._store = store
        self._sources = sources
        self._envelopes = envelopes
        self._clock = clock
        self._metrics = metrics
        self._long_poll_s = long_poll_s
        self._waiting: Counter[str] = Counter()

    async def poll(self, stream_id: str, request: PollRequest) -> PollAnswer:
        """Take acknowledgements and errors, then give events.

        Raises:
            NotFound: there is no such stream.
            Unavailable: a database can't be used.
            SetupFault: tokens can't be signed.
        """
        answer = await asyncio.to_thread(self._exchange, stream_id, request)
        if request.at_once or answer.sets or not request.max_events or not self._may_wait(stream_id):
            return answer
        self._waiting[stream_id] += 1
        try:
            return await self._wait(stream_id, msgspec.structs.replace(request, ack=(), errors={}))
        finally:
            self._waiting -= Counter((stream_id,))

    def _may_wait(self, stream_id: str) -> bool:
        return self._waiting[stream_id] < _WAITING_OF_ONE and self._waiting.total() < _WAITING

    async def _wait(self, stream_id: str, request: PollRequest) -> PollAnswer:
        deadline = self._clock.monotonic() + self._long_poll_s
        while True:
            answer = await asyncio.to_thread(self._exchange, stream_id, request)
            if answer.sets or self._clock.monotonic() >= deadline:
                return answer
            await asyncio.sleep(min(_LOOK_EVERY_S, self._long_poll_s))

    def _exchange(self, stream_id: str, request: PollRequest) -> PollAnswer:
        stream, batch = self._settle(stream_id, request)
        newest = self._sources[stream.side].ends().newest
        while stream.flows and not batch.items and batch.reached < newest:
            stream, batch = self._settle(stream_id, PollRequest(), seen=_Seen(stream.turn, batch.reached))
        return self._offer(stream, batch, request.max_events, newest)

    def _settle(self, stream_id: str, request: PollRequest, seen: _Seen | None = None) -> tuple[Stream, Batch]:
        """Apply what the receiver has said; gives the stream then, and what stands after its place."""
        before: Place | None = None
        for _ in range(_TRIES):
            stream = self._store.stream(stream_id)
            if before is not None and _is_set_back(before, stream.place):
                request = msgspec.structs.replace(request, ack=(), errors={})
            before = stream.place
            source = self._sources[stream.side]
            batch = source.read(stream, _start(stream, seen), WINDOW)
            gap = gap_before(stream.place, source.ends())
            place = self._parked(stream.place, gap) if gap else self._heard(stream, batch, request)
            if place == stream.place:
                return stream, batch
            if self._store.put(msgspec.structs.replace(stream, place=place)):
                self._count(stream, place, batch)
                moved = msgspec.structs.replace(stream, place=place, turn=stream.turn + 1)
                return moved, Batch([item for item in batch.items if item.position > place.position], batch.reached)
        raise JournalUnavailable

    def _heard(self, stream: Stream, batch: Batch, request: PollRequest) -> Place:
        offered = {item.position for item in batch.items}
        named = [each for each in (self._envelopes.read_id(stream, text) for text in request.ack) if each is not None]
        numbers = {each.notice for each in named if each.notice}
        acked = {each.position for each in named if each.position in offered} | set(stream.place.acked)
        place = msgspec.structs.replace(
            _moved_past(stream.place, batch, acked),
            notices=tuple(each for each in stream.place.notices if each.number not in numbers),
        )
        errors = [(self._envelopes.read_id(stream, text), code) for text, code in request.errors.items()]
        wrong = _first_error(errors, offered)
        if wrong is None or place.parked:
            return place
        event, code = wrong
        self._metrics.failed(stream.stream_id, Fault.REFUSED.value)
        if code in PASSING_CODES:
            return place
        return self._parked(place, refused(code), on=event.position or -event.notice)

    def _parked(self, place: Place, reason: str, *, on: int = 0) -> Place:
        if place.parked:
            return place
        return msgspec.structs.replace(place, parked=reason, parked_at=self._clock.now(), parked_on=on)

    def _count(self, stream: Stream, place: Place, batch: Batch) -> None:
        before, after = set(stream.place.acked), set(place.acked)
        taken = len(stream.place.notices) - len(place.notices)
        for item in batch.items:
            if item.position not in before:
                taken += int(item.position <= place.position or item.position in after)
        if taken:
            self._metrics.delivered(stream.stream_id, taken)

    def _offer(self, stream: Stream, batch: Batch, most: int, newest: int) -> PollAnswer:
        notices = stream.place.notices if _hears(stream) else ()
        items = [item for item in batch.items if item.position not in stream.place.acked] if stream.flows else []
        parcels = [self._envelopes.notice(stream, each) for each in notices[:most]]
        given = items[: max(0, most - len(parcels))]
        parcels += [self._envelopes.item(stream, item) for item in given]
        unseen = stream.flows and bool(parcels) and batch.reached < newest
        more = len(notices) > most or len(items) > len(given) or unseen
        return PollAnswer({parcel.id: parcel.body.decode() for parcel in parcels}, more=more)


def _start(stream: Stream, seen: _Seen | None) -> int:
    """Give the position to look on from. Of a stream that was changed since, its place may have been set back."""
    if seen is None or seen.turn != stream.turn:
        return stream.place.position
    return max(stream.place.position, seen.reached)


def _is_set_back(before: Place, now: Place) -> bool:
    """Whether something is to be delivered again that was behind the place before."""
    is_lost = any(each > now.position and each not in now.acked for each in before.acked)
    return now.log != before.log or now.position < before.position or is_lost


def _hears(stream: Stream) -> bool:
    """Whether the receiver may be told of its stream, though it may be held."""
    return stream.settings.status is StreamStatus.ENABLED and not stream.place.parked


def _first_error(named: Collection[tuple[Delivered | None, str]], offered: Collection[int]) -> tuple[Delivered, str] | None:
    """Give the first event that the receiver can't take, and the code that it gives for it."""
    wrong = [(each, code) for each, code in named if each is not None and (each.notice or each.position in offered)]
    return min(wrong, default=None)


def _moved_past(place: Place, batch: Batch, acked: Collection[int]) -> Place:
    """Give a place past everything that is acknowledged without a gap."""
    position = place.position
    for item in batch.items:
        if item.position not in acked:
            break
        position = item.position
    else:
        # Nothing waits: the rest of what was looked through is not for this stream. A short rest is not worth a write.
        if acked or batch.reached - position >= WINDOW:
            position = max(position, batch.reached)
    return past(msgspec.structs.replace(place, acked=tuple(acked)), position)
