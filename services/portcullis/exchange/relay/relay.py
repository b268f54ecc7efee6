"""The relay's service: looks after all streams, and carries each on in a task of its own.

A stream is carried on by whoever holds its lease. Its events leave one after the other; the place is written after each
delivery, so what is lost in a crash is the note that an event has arrived, never the event. One receiver that is slow or
down costs its own stream time and nobody else's, as long as fewer than `AT_ONCE` are.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from portcullis.domain.errors import Unavailable
from portcullis.exchange.relay.carrying import Carrier
from portcullis.exchange.relay.delivering import Deliveries
from portcullis.exchange.relay.envelopes import Envelopes
from portcullis.exchange.relay.sources import Ends, Source
from portcullis.metrics.relay import RelayMetrics
from portcullis.ports import Clock
from portcullis.ports.relay import DeliveryMethod, RelayStore, Side, Stream, StreamStatus

AT_ONCE = 64
"""How many streams are carried on at the same time."""
LOOK_EVERY_S = 0.5
"""How often the relay looks for what is new, and for streams that were changed."""
LEASE_S = 30.0
"""How long a relay that has died keeps another from its streams; longer than a delivery may take."""

_POLLED_EVERY_S = 10.0
_THREADS = 3 * AT_ONCE
"""Receivers' names are looked up in the threads that the database is asked in, and a lookup can't be broken off."""
_log = structlog.get_logger(__name__)


class Relay:
    """Delivers every stream's events. ``run`` works in a thread of its own, until it is told to stop.

    Args:
        store: the streams.
        sources: the log of each side.
        envelopes: the forms that events leave in.
        deliveries: the ways out.
        clock: time.
        metrics: what is counted.
        owner: this relay's name for leases, another for each process.
        look_every_s: how often to look for what is new, in seconds.
        lease_s: how long a lease lasts, in seconds.
        draw: gives a random number in [0, 1), which spreads retries.
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
        owner: str,
        look_every_s: float = LOOK_EVERY_S,
        lease_s: float = LEASE_S,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._sources = sources
        self._deliveries = deliveries
        self._clock = clock
        self._metrics = metrics
        self._owner = owner
        self._look_every_s = look_every_s
        self._lease_s = lease_s
        self._carrier = Carrier(
            store, sources=sources, envelopes=envelopes, deliveries=deliveries, clock=clock, metrics=metrics, draw=draw
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._polled_at: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; what is under way is given up and done again by the next relay."""
        asyncio.run(self._run(stop))

    async def _run(self, stop: threading.Event) -> None:
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="portcullis-relay")
        asyncio.get_running_loop().set_default_executor(threads)
        await self.serve(stop)

    async def serve(self, stop: threading.Event) -> None:
        """Work until told to stop, in the caller's event loop."""
        places = asyncio.Semaphore(AT_ONCE)
        try:
            while not stop.is_set():
                await self._look_safely(places)
                await _pause(stop, self._look_every_s)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._deliveries.close()

    async def _look_safely(self, places: asyncio.Semaphore) -> None:
        try:
            await self._look(places)
        except Unavailable as fault:
            _log.warning("the relay can't read its streams; trying again", fault=fault.reason)
        except Exception as fault:  # noqa: BLE001 - without a next look nothing would be delivered any more
            _log.error("the relay's look failed; trying again", type=type(fault).__name__)

    async def _look(self, places: asyncio.Semaphore) -> None:
        streams = await asyncio.to_thread(self._store.streams)
        self._metrics.streams(
            {each.stream_id for each in streams}, {each.stream_id for each in streams if each.place.parked}
        )
        self._tasks = {stream_id: task for stream_id, task in self._tasks.items() if not task.done()}
        self._carrier.forget_all_but({each.stream_id for each in streams})
        ends: dict[Side, Ends] = {}
        for stream in streams:
            if stream.side not in ends:
                ends[stream.side] = await asyncio.to_thread(self._sources[stream.side].ends)
            if stream.stream_id not in self._tasks and self._is_due(stream, ends[stream.side]):
                work = self._watch if stream.settings.method is DeliveryMethod.POLL else self._carry
                task = asyncio.create_task(self._do(work, stream, places), name=f"relay-{stream.stream_id}")
                self._tasks[stream.stream_id] = task

    def _is_due(self, stream: Stream, ends: Ends) -> bool:
        if stream.settings.status is not StreamStatus.ENABLED or stream.place.parked or stream.settings.unagreed:
            return False
        if stream.settings.method is DeliveryMethod.POLL:
            return self._is_polled_due(stream)
        if stream.place.retry_at > self._clock.now():
            return False
        return bool(stream.place.notices) or (not stream.settings.held and self._carrier.has_more(stream, ends))

    def _is_polled_due(self, stream: Stream) -> bool:
        now = self._clock.monotonic()
        if now < self._polled_at.get(stream.stream_id, 0.0):
            return False
        self._polled_at[stream.stream_id] = now + _POLLED_EVERY_S
        return True

    async def _do(self, work: Callable[[Stream], Awaitable[None]], stream: Stream, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await work(stream)
            except Unavailable as fault:
                _log.warning("a stream can't go on; trying again", stream=stream.stream_id, fault=fault.reason)
            except Exception as fault:  # noqa: BLE001 - one stream's fault is not the others'
                _log.error("a stream failed; trying again", stream=stream.stream_id, type=type(fault).__name__)

    async def _watch(self, stream: Stream) -> None:
        await self._carrier.look_after_polled(stream)

    async def _carry(self, found: Stream) -> None:
        try:
            if not await self._lease(found.stream_id):
                return
            stream: Stream | None = await asyncio.to_thread(self._store.stream, found.stream_id)
            until = self._clock.monotonic() + self._lease_s / 3
            while stream is not None:
                stream = await self._carrier.step(stream, until)
                if self._clock.monotonic() >= until:
                    if not await self._lease(found.stream_id):
                        return
                    until = self._clock.monotonic() + self._lease_s / 3
        finally:
            with contextlib.suppress(Unavailable):
                await asyncio.shield(asyncio.to_thread(self._store.release, found.stream_id, self._owner))

    async def _lease(self, stream_id: str) -> bool:
        """Take or prolong a lease. Whoever is told to stop meanwhile learns the outcome first, and can give it back."""
        now = self._clock.now()
        taking = asyncio.ensure_future(
            asyncio.to_thread(self._store.lease, stream_id, self._owner, now=now, until=now + self._lease_s)
        )
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])
            with contextlib.suppress(Unavailable):
                taking.result()
            raise


async def _pause(stop: threading.Event, seconds: float) -> None:
    await asyncio.to_thread(stop.wait, seconds)
