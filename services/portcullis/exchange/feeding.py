"""The feeder: carries what changed in the registry into the feed, each change once and in the order of commits.

The rules:

1. The registry is read as one snapshot: its changes since the last one taken over, then the entries whose end has come since
   the last end told. So nothing can slip in between, and what is told of an entry always fits what was told before.
2. Changes and progress are written together, and only while the progress is the one that was read. So a feeder that was
   killed goes on where it was, and of two feeders one finds that the other was faster and begins again from there.
3. An end is judged by the wall clock, and told once. A later ``until`` puts the entry in force again, and has its own end.
4. What was written is announced. An announcement that is lost costs a watcher a second, not a change.
5. While nothing happens, the feed is still marked as complete every two seconds, so that watchers can tell quiet from lag.
6. A registry that lacks the change taken over last is another one, or was restored from an older backup. What was told may
   not be true of it, so the feed begins anew under another name: every cursor ends, and partners check again whom they act
   upon.
7. No fault ends the loop. Each is counted at every try, and logged when it begins and when it is over.

Example: the registry is at change 40 and the feed has taken over 38. An import of a million entries is change 39, a
withdrawal is change 40. The feeder writes a thousand changes at a time, and is killed after 300,000. The next one begins
after the last entry of those in change 39, and comes to the withdrawal in the end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

import structlog

from portcullis.domain.changes import FeedChange
from portcullis.domain.errors import JournalUnavailable, RegistryUnavailable
from portcullis.ports import BEGINNING, Announcer, ChangeSource, ChangesRead, Clock, FeedStore, Progress

DAY_S: Final = 86_400.0

_PAGE: Final = 1_000
_MARKED_EVERY_S: Final = 2
_TRIMMED_EVERY_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 2.0

_log = structlog.get_logger("portcullis.exchange")


class FeedCounts(Protocol):
    """Where the feeder's events are counted."""

    def fed(self, changes: int, lag_s: float) -> None:
        """Count changes that were put into the feed, and how long before the last of them had happened."""
        ...

    def trimmed(self, changes: int) -> None:
        """Count changes that were forgotten by age."""
        ...

    def failed(self, part: str) -> None:
        """Count a failed try by the part that failed: registry, journal or other."""
        ...


class Feeder:
    """Feeds one feed from one registry.

    Args:
        source: the registry.
        store: the feed.
        announcer: told of what was fed.
        clock: wall time judges ends and ages, monotonic time everything else.
        kept_d: how many days a change is kept.
        metrics: where its events are counted.
    """

    def __init__(  # noqa: PLR0917 - what it works on, then what it is told
        self,
        source: ChangeSource,
        store: FeedStore,
        announcer: Announcer,
        clock: Clock,
        kept_d: int,
        metrics: FeedCounts,
    ) -> None:
        self._source = source
        self._store = store
        self._announcer = announcer
        self._clock = clock
        self._kept_s = kept_d * DAY_S
        self._counts = metrics
        self._stop = threading.Event()
        self._fault = ""
        self._trimmed_at: float | None = None
        # Up to where this feeder looked last, stored or not: the feed itself is asked no more than once a second while
        # nothing happens.
        self._seen = BEGINNING

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Feed until told to stop, looking every ``interval_s`` seconds; less often while it fails."""
        self._stop = stop
        failures = 0
        while not stop.is_set():
            failures = 0 if self._try() else failures + 1
            stop.wait(min(_LONGEST_PAUSE_S, interval_s * 2 ** min(failures, 10)) if failures else interval_s)

    def feed_once(self) -> int:
        """Take over what happened since the last time; gives how many changes were put into the feed.

        Raises:
            RegistryUnavailable: the registry can't be read.
            JournalUnavailable: the feed can't be read or written.
        """
        now = self._clock.now()
        if not self._is_due(self._seen, now):
            return 0
        progress = self._store.progress()
        if progress == BEGINNING:
            start = self._source.feed_start(now - self._kept_s, now)
            if not self._store.append((), start, expected=progress):
                return 0
            progress = start
        with self._source.changes(progress, now) as read:
            if not read.follows:
                self._begin_anew(progress)
                return 0
            return self._take_over(read, progress)

    def trim(self) -> int:
        """Forget what is older than is kept; gives how many changes that were.

        Raises:
            JournalUnavailable: the feed can't be written.
        """
        forgotten, before = 0, self._clock.now() - self._kept_s
        while not self._stop.is_set() and (gone := self._store.trim(before)):
            forgotten += gone
        if forgotten:
            self._counts.trimmed(forgotten)
        return forgotten

    def _is_due(self, progress: Progress, now: float) -> bool:
        """Say whether there may be something to take over; cheap, since it is asked many times a second."""
        unfinished = progress.entry_id or progress.ended_entry_id
        return bool(unfinished or int(now) > progress.ended_until or self._source.head() != progress.registry_seq)

    def _take_over(self, read: ChangesRead, progress: Progress) -> int:
        fed = 0
        for changes, then in _pages(read):
            if not (changes or _is_worth_noting(progress, then)):
                self._seen = then
                continue
            if not self._store.append(changes, then, expected=progress):
                break
            progress = self._seen = then
            if changes:
                fed += len(changes)
                self._counts.fed(len(changes), max(0.0, self._clock.now() - changes[-1].happened_at))
                self._announcer.announce(self._store.ends())
            if self._stop.is_set():
                break
        return fed

    def _begin_anew(self, progress: Progress) -> None:
        if self._store.begin_anew(expected=progress):
            _log.error(
                "the registry lacks the change that the feed had taken over last, so the feed begins anew; every partner is "
                "told to check again whom it acts upon",
                registry_seq=progress.registry_seq,
            )

    def _try(self) -> bool:
        try:
            self.feed_once()
            self._trim_in_turn()
        except RegistryUnavailable:
            self._note_fault("registry")
        except JournalUnavailable:
            self._note_fault("journal")
        except Exception as fault:  # noqa: BLE001 - rule 7
            # The class alone: a message may quote what was read.
            self._note_fault("other", kind=type(fault).__name__)
        else:
            if self._fault:
                _log.info("the feed is fed again", part_that_failed=self._fault)
                self._fault = ""
            return True
        return False

    def _note_fault(self, part: str, **details: str) -> None:
        self._counts.failed(part)
        if part != self._fault:
            _log.error("the feed can't be fed; it is tried again", part_that_failed=part, **details)
            self._fault = part

    def _trim_in_turn(self) -> None:
        now = self._clock.monotonic()
        if self._trimmed_at is None or now - self._trimmed_at >= _TRIMMED_EVERY_S:
            self.trim()
            self._trimmed_at = now


def _is_worth_noting(progress: Progress, then: Progress) -> bool:
    """Say whether a progress without changes is written: it costs a commit."""
    moved = then._replace(ended_until=0) != progress._replace(ended_until=0)
    return moved or then.ended_until - progress.ended_until >= _MARKED_EVERY_S


def _pages(read: ChangesRead) -> Iterator[tuple[Sequence[FeedChange], Progress]]:
    """Cut what was read into pages, each with the progress that it leads to; the last one, maybe empty, leads to the end."""
    page = list(islice(read.changes, _PAGE))
    while following := list(islice(read.changes, _PAGE)):
        yield [change for change, _ in page], page[-1][1]
        page = following
    yield [change for change, _ in page], read.then
