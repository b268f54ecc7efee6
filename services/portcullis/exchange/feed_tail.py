"""The newest part of the feed, held once for all watchers of a process.

One task follows the feed: it waits for an announcement, or a second, reads what was added, and wakes everybody at once.
What the policy can't be looked at for is not held yet: the feed is read on all the same, and what is held already is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from portcullis.domain.changes import FeedChange
from portcullis.exchange.policy_looks import PolicyLooks
from portcullis.ports import Announcer, Clock, FeedEnds, FeedStore

POLL_S: Final = 1.0
"""How often the feed is read where nothing is announced."""

_PAGE: Final = 1_000
_SETTLE_S: Final = 0.02
"""The rest after a look that found nothing, so that false announcements don't keep the database busy."""

_log = structlog.get_logger("portcullis.exchange")


class FeedTail:
    """The last ``ring`` changes of the feed. For one event loop; blocking reads go to threads.

    Args:
        store: the feed.
        announcer: tells when there is more.
        clock: dates each reading by monotonic time, and what is held back by wall time.
        judge_by: looks at the policy, so that what is held can be judged by it; blocks.
        ring: how many changes are held.

    Attributes:
        ends: where the feed begins and ends, as of the last reading; of no name before the first.
        newest: the position up to which changes are known, and the policy is as new as they are.
        held_back_since: since when (Unix seconds) what the feed holds after ``newest`` waits; None where it holds no more.
        turn: counts the times that the feed was found to be another, or shorter than it was.
        grown: set when there is more, and then replaced.
    """

    def __init__(
        self, store: FeedStore, announcer: Announcer, clock: Clock, judge_by: Callable[[], object], *, ring: int
    ) -> None:
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._looks = PolicyLooks(judge_by)
        self._size = ring
        self._ring: list[FeedChange] = []
        self._looking = asyncio.Lock()
        self._read_at = float("-inf")
        self._failing = False
        self._following: asyncio.Task[None] | None = None
        self._shorter = ""
        self.ends = FeedEnds("", 0, 0)
        self.newest = 0
        self.held_back_since: float | None = None
        self.turn = 0
        self.grown = asyncio.Event()

    async def start(self) -> None:
        """Begin to follow; nothing needs to be there yet."""
        self._following = asyncio.create_task(self._follow(), name="feed-tail")

    async def close(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        await self._looks.close()

    @property
    def unread_s(self) -> float:
        """How many seconds ago the feed was last read."""
        return self._clock.monotonic() - self._read_at

    def after(self, position: int, limit: int) -> Sequence[FeedChange] | None:
        """Give changes after a position; None where they are not held any more."""
        first = position - (self.newest - len(self._ring))
        return self._ring[first : first + limit] if first >= 0 else None

    def note_shorter(self, ends: FeedEnds) -> None:
        """Log that the feed was longer than it is, once for each feed."""
        if self._shorter != ends.feed:
            self._shorter = ends.feed
            _log.error(
                "the feed is shorter than it was: the journal was restored from a backup, and who has read further may miss "
                "changes; stop what works on it and run `portcullis journal restored`",
                feed=ends.feed,
                newest=ends.newest,
            )

    async def look(self) -> bool:
        """Read what was added; gives whether there was anything that can be told. Waits a second at most for the policy.

        Raises:
            JournalUnavailable: the feed can't be read.
        """
        async with self._looking:
            before = (self.turn, self.newest)
            while await self._take_page():
                self._wake()
            if (self.turn, self.newest) == before:
                return False
            self._wake()
            return True

    async def _take_page(self) -> bool:
        """Take one page; gives whether there is more that can be told."""
        changes, ends = await asyncio.to_thread(self._read, self.newest)
        self._read_at = self._clock.monotonic()
        if ends.feed != self.ends.feed or ends.newest < self.ends.newest:
            await self._turn_to(ends)
            return False
        self.ends = ends
        self._note_held_back(changes)
        # Begun after the reading: what is there was committed under no later policy.
        known = await self._looks.up_to(self.turn, ends.newest) if self.newest < ends.newest else self.newest
        self._take([each for each in changes if each.position <= known], known)
        self._note_held_back(())
        return self.newest < known

    def _read(self, after: int) -> tuple[Sequence[FeedChange], FeedEnds]:
        changes = self._store.read(after, _PAGE)
        # Asked afterwards: what was read is of the feed that is named now, since no name comes back.
        return changes, self._store.ends()

    async def _turn_to(self, ends: FeedEnds) -> None:
        """Go on with another feed, or one that is shorter now; what it holds already is left to the store."""
        # Nobody is to begin before it is clear what can be told, so that all is noted at once after it.
        known = await self._looks.up_to(self.turn + 1, ends.newest)
        if ends.feed == self.ends.feed:
            self.note_shorter(ends)
        self.ends = ends
        self.turn += 1
        self._skip_to(max(ends.oldest, min(known, ends.newest)))
        self.held_back_since = None
        self._note_held_back(())

    def _note_held_back(self, changes: Sequence[FeedChange]) -> None:
        if self.newest >= self.ends.newest:
            self.held_back_since = None
            return
        since = self._clock.now() if self.held_back_since is None else self.held_back_since
        self.held_back_since = min([since, *(each.happened_at for each in changes[:1])])

    def _take(self, changes: Sequence[FeedChange], known: int) -> None:
        oldest = self.ends.oldest
        if known > self.newest and (known - self.newest > self._size or oldest > self.newest):
            self._skip_to(max(min(oldest, known), known - self._size))
        else:
            self._add(changes)

    def _skip_to(self, position: int) -> None:
        self._ring.clear()
        self.newest = position

    def _add(self, changes: Sequence[FeedChange]) -> None:
        self._ring.extend(changes)
        self.newest += len(changes)
        if len(self._ring) > 2 * self._size:
            del self._ring[: -self._size]

    def _wake(self) -> None:
        grown, self.grown = self.grown, asyncio.Event()
        grown.set()

    async def _follow(self) -> None:
        while True:
            if not await self._try():
                await asyncio.sleep(POLL_S)
                continue
            await self._announcer.wait(self.newest, POLL_S)

    async def _try(self) -> bool:
        """Look once; gives whether the feed could be read, and all of it can be told."""
        try:
            if not await self.look():
                await asyncio.sleep(_SETTLE_S)
        except Exception as fault:  # noqa: BLE001 - whatever it was, watchers are told and it is tried again
            if not self._failing:
                _log.error("the feed can't be read; it is tried again", kind=type(fault).__name__)
            self._failing = True
            return False
        if self._failing:
            _log.info("the feed can be read again")
        self._failing = False
        return self.newest >= self.ends.newest


async def read_after(store: FeedStore, position: int, feed: str, limit: int) -> tuple[Sequence[FeedChange] | None, FeedEnds]:
    """Read changes after a position of a feed from the store; None where they are not kept any more.

    Raises:
        JournalUnavailable: the feed can't be read.
    """
    changes = await asyncio.to_thread(store.read, position, limit)
    ends = await asyncio.to_thread(store.ends)
    if ends.feed != feed:
        return None, ends
    if changes:
        return (changes if changes[0].position == position + 1 else None), ends
    return (changes if ends.oldest <= position <= ends.newest else None), ends
