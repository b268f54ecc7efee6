"""The feed in memory, and how its growth is told within one process."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from portcullis.domain.changes import FeedChange
from portcullis.ports import BEGINNING, FeedEnds, Progress


class MemoryFeed:
    """A feed of one process. Implements `portcullis.ports.FeedStore`; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._feed = secrets.token_hex(4)
        self._oldest = 0
        self._changes: list[FeedChange] = []
        self._progress = BEGINNING

    def ends(self) -> FeedEnds:
        """Say where the feed begins and ends."""
        with self._lock:
            newest = self._oldest + len(self._changes)
            return FeedEnds(self._feed, self._oldest, newest, as_of=float(self._progress.ended_until))

    def progress(self) -> Progress:
        """Say how far the feed has taken over the registry."""
        return self._progress

    def read(self, after: int, limit: int) -> Sequence[FeedChange]:
        """Give changes after a position, in their order."""
        with self._lock:
            first = max(0, after - self._oldest)
            return self._changes[first : first + limit]

    def append(self, changes: Sequence[FeedChange], then: Progress, *, expected: Progress) -> bool:
        """Add changes at the end, and note the progress; False, and nothing done, when it is not what was expected."""
        with self._lock:
            if self._progress != expected:
                return False
            newest = self._oldest + len(self._changes)
            self._changes += [
                msgspec.structs.replace(change, position=position) for position, change in enumerate(changes, newest + 1)
            ]
            self._progress = then
            return True

    def trim(self, before: float) -> int:
        """Forget changes that happened before a time (Unix seconds), from the old end on."""
        with self._lock:
            kept = (place for place, change in enumerate(self._changes) if change.happened_at >= before)
            gone = next(kept, len(self._changes))
            del self._changes[:gone]
            self._oldest += gone
            return gone

    def begin_anew(self, *, expected: Progress) -> bool:
        """Forget everything and begin another feed; False, and nothing done, when the progress is not what was expected."""
        with self._lock:
            if self._progress != expected:
                return False
            self._reset()
            return True


class MemoryAnnouncer:
    """Tells the waiters of one process, on any event loop, from any thread. Implements `portcullis.ports.Announcer`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def announce(self, ends: FeedEnds) -> None:
        """Wake whoever waits."""
        with self._lock:
            self._newest = ends.newest
            waiting, self._waiting = self._waiting, set()
        for each in waiting:
            # A loop that was closed meanwhile waits for nothing any more.
            with suppress(RuntimeError):
                each.get_loop().call_soon_threadsafe(_wake, each)

    async def wait(self, after: int, timeout_s: float) -> None:
        """Wait until the feed is said to have grown past a position, or the time is over."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._newest > after:
                return
            self._waiting.add(woken)
        try:
            await asyncio.wait([woken], timeout=timeout_s)
        finally:
            with self._lock:
                self._waiting.discard(woken)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
