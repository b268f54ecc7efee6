"""Carrying one stream on, a delivery at a time.

Notices go first, since a receiver asks for them to learn whether anything arrives at all. A place that the log does not
reach back to any more parks the stream: nothing is ever left out without an operator's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from portcullis.domain.errors import SetupFault
from portcullis.exchange.relay.delivering import Deliveries, batch_size
from portcullis.exchange.relay.envelopes import Envelopes, Parcel
from portcullis.exchange.relay.judging import Trouble, after_delivery, after_trouble
from portcullis.exchange.relay.places import move, past
from portcullis.exchange.relay.sources import Batch, Ends, Item, Source
from portcullis.metrics.relay import RelayMetrics
from portcullis.ports import Clock
from portcullis.ports.relay import Fault, Place, RelayStore, Side, Stream, StreamStatus

READ_AT_ONCE: Final = 256
"""How many places of a log are looked through at once."""

_SKIPPED_WRITE: Final = 1000
_SKIPPED_WRITE_EVERY_S: Final = 60.0
_log = structlog.get_logger(__name__)


class Carrier:
    """Carries streams on; what it remembers of them only spares work.

    Args: as `portcullis.exchange.relay.relay.Relay`.
    """

    def __init__(
        self,
        store: RelayStore,
        *,
        sources: Mapping[Side, Source],
        envelopes: Envelopes,
        deliveries: Deliveries,
        clock: Clock,
        metrics: RelayMetrics,
        draw: Callable[[], float],
    ) -> None:
        self._store = store
        self._sources = sources
        self._envelopes = envelopes
        self._deliveries = deliveries
        self._clock = clock
        self._metrics = metrics
        self._draw = draw
        # Stream -> (turn, position looked through to): a quiet stream is not looked through again and again, nor written.
        self._seen: dict[str, tuple[int, int]] = {}
        self._written_at: dict[str, float] = {}

    def has_more(self, stream: Stream, ends: Ends) -> bool:
        """Say whether the log has places that a stream was not looked through for yet, or none of its own any more."""
        start = self._start(stream)
        unwritten = start > stream.place.position and self._clock.monotonic() >= self._write_due(stream.stream_id)
        return stream.place.log != ends.log or start != ends.newest or unwritten

    def forget_all_but(self, streams: Collection[str]) -> None:
        """Forget what is remembered of streams that are gone."""
        for stream_id in self._seen.keys() - streams:
            del self._seen[stream_id]
            self._written_at.pop(stream_id, None)

    async def step(self, stream: Stream, until: float) -> Stream | None:
        """Deliver what is next, and begin nothing after a time; gives the stream as it is then, None when it has to rest.

        Args:
            stream: as it stands, with its lease held.
            until: monotonic seconds.

        Raises:
            Unavailable: a database can't be used.
        """
        if stream.settings.status is not StreamStatus.ENABLED or stream.place.parked or stream.settings.unagreed:
            return None
        if stream.place.notices:
            return await self._deliver_notice(stream)
        if stream.settings.held:
            return None
        return await self._deliver_items(stream, until)

    async def look_after_polled(self, stream: Stream) -> None:
        """Measure how far a polled stream is behind, and move it past what it does not carry.

        Raises:
            Unavailable: a database can't be used.
        """
        trouble, batch = await asyncio.to_thread(self._read, stream)
        if trouble is not None:
            await self._note_trouble(stream, trouble)
            return
        self._note_behind(stream, batch.items)
        if not batch.items:
            await self._skip(stream, batch.reached)

    async def _deliver_notice(self, stream: Stream) -> Stream | None:
        notice = stream.place.notices[0]
        try:
            parcel = await asyncio.to_thread(self._envelopes.notice, stream, notice)
        except SetupFault as fault:
            await self._note_trouble(stream, Trouble(fault=Fault.INTERNAL, reason=fault.message), on=-notice.number)
            return None
        place = msgspec.structs.replace(stream.place, notices=stream.place.notices[1:])
        return await self._send(stream, [parcel], place, on=-notice.number)

    async def _deliver_items(self, stream: Stream, until: float) -> Stream | None:
        trouble, batch = await asyncio.to_thread(self._read, stream)
        if trouble is not None:
            await self._note_trouble(stream, trouble)
            return None
        self._note_behind(stream, batch.items)
        if not batch.items:
            return await self._skip(stream, batch.reached)
        size = batch_size(stream)
        now: Stream | None = stream
        for begin in range(0, len(batch.items), size):
            # Each delivery is of the stream as it stands now: an operator may have paused it.
            if now is None or not now.flows or now.place.notices or self._clock.monotonic() >= until:
                return now
            now = await self._deliver_some(now, batch.items[begin : begin + size])
        if now is not None:
            self._note_behind(now, ())
            self._seen[now.stream_id] = (now.turn, batch.reached)
        return now

    async def _deliver_some(self, stream: Stream, items: Sequence[Item]) -> Stream | None:
        try:
            parcels = await asyncio.to_thread(lambda: [self._envelopes.item(stream, item) for item in items])
        except SetupFault as fault:
            await self._note_trouble(stream, Trouble(fault=Fault.INTERNAL, reason=fault.message), on=items[0].position)
            return None
        self._note_behind(stream, items)
        return await self._send(stream, parcels, past(stream.place, items[-1].position), on=items[0].position)

    async def _send(self, stream: Stream, parcels: Sequence[Parcel], then: Place, *, on: int) -> Stream | None:
        """Deliver parcels, of which the first is what ``on`` names."""
        trouble = await self._deliveries.deliver(stream, parcels)
        if trouble is not None:
            await self._note_trouble(stream, trouble, on=on)
            return None
        self._metrics.delivered(stream.stream_id, len(parcels))
        self._written_at[stream.stream_id] = self._clock.monotonic()
        return await asyncio.to_thread(move, self._store, stream, after_delivery(then))

    async def _note_trouble(self, stream: Stream, trouble: Trouble, *, on: int = 0) -> None:
        self._metrics.failed(stream.stream_id, trouble.fault.value)
        place = after_trouble(stream.place, trouble, on=on, now=self._clock.now(), draw=self._draw)
        if await asyncio.to_thread(move, self._store, stream, place) is None:
            return
        if place.parked:
            _log.error("a stream is parked", stream=stream.stream_id, reason=place.parked)
        elif place.attempts == 1:
            _log.warning("a delivery failed; trying again", stream=stream.stream_id, reason=trouble.reason)

    async def _skip(self, stream: Stream, reached: int) -> Stream | None:
        """Take note that there was nothing for a stream up to a position; written now and then only."""
        skipped, start = reached - stream.place.position, self._start(stream)
        if skipped == 0:
            return None
        if skipped < _SKIPPED_WRITE and self._clock.monotonic() < self._write_due(stream.stream_id):
            self._seen[stream.stream_id] = (stream.turn, reached)
            return stream if reached > start else None
        self._written_at[stream.stream_id] = self._clock.monotonic()
        moved = await asyncio.to_thread(move, self._store, stream, past(stream.place, reached))
        if moved is not None:
            self._seen[stream.stream_id] = (moved.turn, reached)
        return moved

    def _read(self, stream: Stream) -> tuple[Trouble | None, Batch]:
        """Read what waits for a stream, or why nothing can be said of it."""
        source = self._sources[stream.side]
        read = source.read(stream, self._start(stream), READ_AT_ONCE)
        batch = read._replace(items=[item for item in read.items if item.position not in stream.place.acked])
        # Looked at afterwards: what is still kept now was kept while it was read.
        gap = gap_before(stream.place, source.ends())
        return (Trouble(fault=Fault.GAP, reason=gap, final=True) if gap else None), batch

    def _write_due(self, stream_id: str) -> float:
        return self._written_at.get(stream_id, -_SKIPPED_WRITE_EVERY_S) + _SKIPPED_WRITE_EVERY_S

    def _start(self, stream: Stream) -> int:
        turn, reached = self._seen.get(stream.stream_id, (-1, 0))
        return reached if turn == stream.turn and reached > stream.place.position else stream.place.position

    def _note_behind(self, stream: Stream, waiting: Sequence[Item]) -> None:
        since = self._clock.now() - waiting[0].fact.known_at if waiting else 0.0
        self._metrics.behind(stream.stream_id, max(0.0, since))


def gap_before(place: Place, ends: Ends) -> str:
    """Say why a log can't give what follows a place; "" when it can."""
    if place.log != ends.log:
        return (
            f"its place is of another log than the one that is there now; start with `stream replay ID --from {ends.oldest}`"
        )
    if place.position < ends.oldest:
        return f"what follows its place is not kept any more; start it with `stream replay ID --from {ends.oldest}`"
    if place.position > ends.newest:
        return "its place is after the log's end; was a backup restored? then stop what works on it: `journal restored`"
    return ""
