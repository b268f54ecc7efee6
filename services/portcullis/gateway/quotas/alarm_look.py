"""How a worker's watches and the alarm board know of one another: a look twice a second, beside the calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import structlog

from portcullis.domain.alarms import Alarm
from portcullis.domain.errors import StoreUnavailable
from portcullis.gateway.quotas.watches import Watches
from portcullis.metrics import AlarmMetrics
from portcullis.ports import AlarmBoard

LOOK_EVERY_S = 0.5
"""So a release counts at every worker within two seconds."""

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def looking_at_alarms(watches: Watches, board: AlarmBoard, metrics: AlarmMetrics) -> AsyncIterator[None]:
    """Put alarms up as they are raised, and go by those of others, while the context lasts.

    Without the board each worker goes by what it has seen itself, and its alarms wait for the board to come back. What a
    board has lost is put up again by whoever knows of it.
    """
    raised = asyncio.Event()

    def told(alarm: Alarm) -> None:
        metrics.raised(alarm.signs)
        raised.set()

    watches.on_alarm.append(told)
    # A thread of its own: the loop's may all wait for a database.
    with ThreadPoolExecutor(1, thread_name_prefix="portcullis-alarms") as thread:
        look = _Look(watches, board, metrics, thread)
        looking = asyncio.create_task(look.forever(raised), name="alarm-look")
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            watches.on_alarm.remove(told)


class _Look:
    def __init__(self, watches: Watches, board: AlarmBoard, metrics: AlarmMetrics, thread: ThreadPoolExecutor) -> None:
        self._watches = watches
        self._board = board
        self._metrics = metrics
        self._thread = thread
        self._reachable = True

    async def forever(self, raised: asyncio.Event) -> None:
        while True:
            raised.clear()
            try:
                await self.once()
                self._reachable = True
            except Exception as fault:  # noqa: BLE001 - the worker goes by what it has seen itself, and looks again
                if self._reachable or not isinstance(fault, StoreUnavailable):
                    _log.warning(
                        "the alarm board can't be used; going by this worker's own alarms", type=type(fault).__name__
                    )
                self._reachable = False
                self._watches.say(None)
            self._metrics.levels(self._watches.levels())
            with suppress(TimeoutError):
                # Where the board is away, an alarm raised meanwhile waits for the next look.
                await asyncio.wait_for(raised.wait() if self._reachable else asyncio.Event().wait(), LOOK_EVERY_S)

    async def once(self) -> None:
        loop = asyncio.get_running_loop()
        own = list(self._watches.raised)
        if own:
            await loop.run_in_executor(self._thread, self._board.put, own)
            del self._watches.raised[: len(own)]
        seen = await loop.run_in_executor(self._thread, self._board.look)
        self._watches.hear(seen)
        self._watches.say(seen)
        lacking = self._watches.lacking(seen)
        if lacking:
            # The store has begun anew. Operators must see who is held back, and later workers go by it.
            await loop.run_in_executor(self._thread, self._board.put, lacking)
