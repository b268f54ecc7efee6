"""The feed: what changed on the lists, in the order of commits, for partners to read at their own pace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from portcullis.domain.changes import FeedChange


class FeedEnds(NamedTuple):
    """Where the feed ``feed`` (8 hexadecimal digits) begins and ends.

    ``oldest`` is the position after which everything is kept, ``newest`` the last one; equal when there is nothing.
    ``as_of`` is the time (Unix seconds) as of which the feed is known to hold all that happened; 0 before it has begun.
    """

    feed: str
    oldest: int
    newest: int
    as_of: float = 0.0


class Progress(NamedTuple):
    """How far the feed has taken over the registry: its changes, and the ends of entries.

    The registry's changes up to ``registry_seq``, which was made at ``registry_at`` (Unix seconds), and the ends up to
    ``ended_until`` (Unix seconds) are all in the feed. Where ``entry_id`` is not 0, of that last change only the entries up
    to this one are, so that a change of a million entries needn't be taken over at once; ``ended_entry_id`` likewise, of
    the entries that end at ``ended_until``.
    """

    registry_seq: int
    ended_until: int
    registry_at: float = 0.0
    entry_id: int = 0
    ended_entry_id: int = 0

    def has_told_end(self, until: int, entry_id: int) -> bool:
        """Say whether the feed is past the end of an entry that ends at ``until`` (Unix seconds)."""
        if until == self.ended_until:
            return self.ended_entry_id == 0 or entry_id <= self.ended_entry_id
        return until < self.ended_until


BEGINNING = Progress(0, 0)
"""The progress of a feed that nothing was ever taken over into."""


class ChangesRead(NamedTuple):
    """What happened in the registry since a progress, all of one reading.

    ``changes`` gives each change, its position 0, with the progress that it leads to; in bounded memory. ``then`` is the
    progress once all are taken over. Where ``follows`` is False there is nothing to give: the registry lacks the change
    that was taken over last, since it is another one, or an old copy.
    """

    follows: bool
    changes: Iterator[tuple[FeedChange, Progress]]
    then: Progress


class ChangeSource(Protocol):
    """The registry, as the feed reads it. Any method blocks, and may raise RegistryUnavailable."""

    def head(self) -> int:
        """The number of the last committed change of the registry. Cheap."""
        ...

    def feed_start(self, since: float, now: float) -> Progress:
        """Say where a feed begins that holds what was changed since a time, and what ends from now on (Unix seconds)."""
        ...

    def changes(self, after: Progress, now: float) -> AbstractContextManager[ChangesRead]:
        """Read what happened since a progress: first the changes in the order of their commits, then the ends in theirs.

        An end is an entry in force whose ``until`` has come at ``now`` (Unix seconds). Lists that never leave the registry
        are left out, and so is an entry that had ended before it could be told. The reading holds no writer up.
        """
        ...


class FeedStore(Protocol):
    """The feed's table. Any method blocks, and may raise JournalUnavailable."""

    def ends(self) -> FeedEnds:
        """Say where the feed begins and ends. Cheap."""
        ...

    def read(self, after: int, limit: int) -> Sequence[FeedChange]:
        """Give changes after a position, in their order."""
        ...

    def progress(self) -> Progress:
        """Say how far the feed has taken over the registry."""
        ...

    def append(self, changes: Sequence[FeedChange], then: Progress, *, expected: Progress) -> bool:
        """Add changes at the end, and note the progress, in one transaction.

        False, and nothing done, when the progress is not what was expected any more: another process was faster.
        """
        ...

    def trim(self, before: float) -> int:
        """Forget changes that happened before a time (Unix seconds), from the old end on; gives how many.

        Some thousands at most are forgotten at once, so that nobody waits for long: 0 says that there are no more.
        """
        ...

    def begin_anew(self, *, expected: Progress) -> bool:
        """Forget everything and begin another feed, of another name, so that no cursor of this one is good any more.

        False, and nothing done, when the progress is not what was expected.
        """
        ...


class Announcer(Protocol):
    """Tells other processes that the feed has grown. It may lose what it is told, and never blocks for long."""

    def announce(self, ends: FeedEnds) -> None:
        """Tell that the feed has grown; faults are counted, not raised."""
        ...

    async def wait(self, after: int, timeout_s: float) -> None:
        """Wait until the feed is said to have grown past a position, or the time is over, or nothing can be heard."""
        ...
