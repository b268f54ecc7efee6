"""The desk that partners watch changes at.

The rules:

1. A watcher is a position in the feed and nothing else: no queue is kept for it. It takes what follows from the tail that
   all watchers of the process share, or from the store when it is further behind. So a slow one costs nobody anything.
2. What a partner is told is judged by its agreements at the moment in which each change is given to it, not when it began;
   and by a policy that is no older than the change, or a list agreed on just before would be passed over for good. What the
   policy can't be looked at for is held back; what is known already is told, to whoever comes as well.
3. A cursor is made for one partner alone (`portcullis.domain.subjects`). It says up to where was looked, not what was told
   last: past changes of other lists it moves on with the heartbeats.
4. A cursor that the feed can't go on from is refused with the oldest one that is kept, at the start and in the middle alike.
   So is one from before the partner's feed key was rotated: its names are others now, and it reads what is kept anew. One
   beyond the feed's end is a true one, for nobody else can make it: the journal was restored, which is logged.
5. A heartbeat says how far behind the watcher is, and counts in what is held back from it and that the feed itself may be
   behind the registry. Where the feed can't be read any more, the stream ends rather than say that all is quiet.

Example: of changes 41 to 45 only 43 is on a list of the partner. From the cursor of 40 on it gets 43, with the cursor of 43;
then a heartbeat with that of 45.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from portcullis.domain.changes import OLDEST, Cursor, FeedChange, read_cursor
from portcullis.domain.errors import CursorExpired, InvalidRequest, JournalUnavailable
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.covering import Covering
from portcullis.exchange.feed_tail import FeedTail, read_after
from portcullis.ports import Announcer, Clock, FeedEnds, FeedStore, KnownPolicy, Watched

RING: Final = 10_000
"""How many changes are held in memory for all watchers."""

LOOKED_AT_S: Final = 1.0
"""How often who serves a quiet watch gets to look whether its caller may still be there."""

_PAGE: Final = 500
_READS_AT_ONCE: Final = 4
_MOST_LISTS: Final = 64
_BEHIND_S: Final = 5.0
"""How old the last look of the feeder at the registry, or ours at the feed, may be before it is a fault: both are made at
least every two seconds."""


class FeedWatch:
    """Gives partners the changes on their lists. Implements `portcullis.ports.FeedDesk`; for one event loop.

    Works as an asynchronous context manager, which follows the feed within its block.

    Args:
        store: the feed.
        announcer: tells when there is more.
        subjects: names entries for partners.
        known: what is known of the policy; asked for every change, and looked at anew for whatever the feed grew by.
        clock: wall time judges agreements and lags, monotonic time the age of a look.
        heartbeat_s: seconds between two heartbeats of a quiet stream.
        ring: how many changes are held for all watchers.
    """

    def __init__(
        self,
        store: FeedStore,
        announcer: Announcer,
        subjects: SubjectNames,
        known: KnownPolicy,
        clock: Clock,
        *,
        heartbeat_s: float,
        ring: int = RING,
    ) -> None:
        self._store = store
        self._subjects = subjects
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._covering = Covering(known.policy, clock)
        self._tail = FeedTail(store, announcer, clock, known.look, ring=ring)
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    async def __aenter__(self) -> Self:
        await self._tail.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tail.close()

    async def watch(self, partner: str, cursor: str, lists: Sequence[str]) -> AsyncIterator[Watched | None]:
        """Give changes from a cursor on, without end, and heartbeats; from now on where the cursor is empty.

        None comes after each second of quiet; see `portcullis.ports.sharing.FeedDesk`.

        Raises:
            InvalidRequest: the cursor is none, or more than 64 lists are named.
            NotPermitted: a list is in none of the partner's agreements in force, or is not any more.
            CursorExpired: what followed the cursor is not kept any more, or it is of another feed.
            JournalUnavailable: the feed can't be read.
        """
        if len(lists) > _MOST_LISTS:
            raise InvalidRequest.at("lists", f"are more than {_MOST_LISTS}; name fewer, or none for all of your agreements")
        wanted = frozenset(lists)
        self._covering.demand(partner, wanted)
        reader = await self._begin(partner, cursor)
        if not cursor:
            yield Watched(self._cursor(reader), None, lag_s=self._lag_of(reader, ()))
        beat_at, look_at = self._next_beat(), _next_look()
        while True:
            grown = self._tail.grown
            changes = await self._after(reader)
            if self._covering.feed_epoch(partner) != reader.epoch:
                raise self._expired(partner, self._tail.ends)
            for change in changes:
                reader.position = change.position
                if self._covering.tells(partner, wanted, change):
                    subject = self._subjects.name(partner, change.list_number, change.entry_id, reader.epoch)
                    yield Watched(self._cursor(reader), change, subject)
                    beat_at, look_at = self._next_beat(), _next_look()
            if not changes:
                await _set_or_time(grown, min(beat_at, look_at))
            now = asyncio.get_running_loop().time()
            if now >= beat_at:
                self._covering.demand(partner, wanted)
                yield Watched(self._cursor(reader), None, lag_s=self._lag_of(reader, changes))
                beat_at, look_at = self._next_beat(), _next_look()
            elif now >= look_at:
                self._covering.demand(partner, wanted)
                yield None
                look_at = _next_look()

    async def _begin(self, partner: str, text: str) -> _Reader:
        cursor = read_cursor(text)
        if cursor is None and text not in ("", OLDEST):
            raise InvalidRequest.at("cursor", f'is none; send the last one received, "{OLDEST}" or nothing')
        ends, turn = await self._ends()
        epoch = self._covering.feed_epoch(partner)
        if cursor is None:
            return _Reader(partner, ends.feed, ends.newest if text == "" else ends.oldest, turn, epoch)
        if cursor.feed != ends.feed:
            raise self._expired(partner, ends)
        position = self._subjects.position(partner, cursor.feed, cursor.mark, epoch)
        if position is None:
            if any(self._subjects.position(partner, cursor.feed, cursor.mark, each) is not None for each in range(1, epoch)):
                raise self._expired(partner, ends)
            raise InvalidRequest.at("cursor", f'is none of yours; send the last one received, "{OLDEST}" or nothing')
        if position > ends.newest:
            self._tail.note_shorter(ends)
        if not ends.oldest <= position <= ends.newest:
            raise self._expired(partner, ends)
        return _Reader(partner, ends.feed, position, turn, epoch)

    def _cursor(self, reader: _Reader) -> str:
        return str(Cursor(reader.feed, self._subjects.mark(reader.partner, reader.feed, reader.position, reader.epoch)))

    def _expired(self, partner: str, ends: FeedEnds) -> CursorExpired:
        epoch = self._covering.feed_epoch(partner)
        return CursorExpired(str(Cursor(ends.feed, self._subjects.mark(partner, ends.feed, ends.oldest, epoch))))

    async def _ends(self) -> tuple[FeedEnds, int]:
        """Give where the feed begins and ends, and the turn of the tail that goes with it.

        Between the reading and its answer the feed may become another, and the tail know it: who began with the ends of the
        one and the turn of the other would wait for ever.
        """
        while True:
            turn = self._tail.turn
            async with self._reads:
                ends = await asyncio.to_thread(self._store.ends)
            if ends.feed != self._tail.ends.feed or self._tail.unread_s > _BEHIND_S:
                await self._tail.look()
            if (ends.feed, turn) == (self._tail.ends.feed, self._tail.turn):
                return ends, turn

    async def _after(self, reader: _Reader) -> Sequence[FeedChange]:
        if reader.turn != self._tail.turn:
            raise self._expired(reader.partner, self._tail.ends)
        changes = self._tail.after(reader.position, _PAGE)
        if changes is not None:
            if changes:
                # A watcher that finds all it wants in memory gives the others their turn.
                await asyncio.sleep(0)
            return changes
        async with self._reads:
            kept, ends = await read_after(self._store, reader.position, reader.feed, _PAGE)
        if kept is None:
            raise self._expired(reader.partner, ends)
        # What the tail doesn't hold yet is newer than the policy may be.
        return [change for change in kept if change.position <= self._tail.newest]

    def _lag_of(self, reader: _Reader, looked_at: Collection[FeedChange]) -> float:
        """Say how far behind a watcher is, in seconds.

        Raises:
            JournalUnavailable: nobody knows, since the feed can't be read.
        """
        if self._tail.unread_s > _BEHIND_S:
            raise JournalUnavailable
        now, as_of = self._clock.now(), self._tail.ends.as_of
        next_ones = self._tail.after(reader.position, 1)
        oldest = [each.happened_at for each in (looked_at if next_ones is None else next_ones)]
        if not oldest and self._tail.held_back_since is not None and reader.position < self._tail.ends.newest:
            oldest = [self._tail.held_back_since]
        lag_s = now - max(oldest, default=now)
        feeder_lag_s = now - as_of if as_of else 0.0
        return max(0.0, lag_s, feeder_lag_s if feeder_lag_s > _BEHIND_S else 0.0)

    def _next_beat(self) -> float:
        return asyncio.get_running_loop().time() + self._heartbeat_s


class _Reader:
    """How far one watcher is."""

    __slots__ = ("epoch", "feed", "partner", "position", "turn")

    def __init__(self, partner: str, feed: str, position: int, turn: int, epoch: int) -> None:
        self.epoch = epoch
        self.partner = partner
        self.feed = feed
        self.position = position
        self.turn = turn


def _next_look() -> float:
    return asyncio.get_running_loop().time() + LOOKED_AT_S


async def _set_or_time(event: asyncio.Event, at: float) -> None:
    """Wait for an event, until a time of the loop."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(at):
            await event.wait()
