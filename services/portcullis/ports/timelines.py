"""Beginning a timeline: what has to be done to a journal that was restored from a backup (`portcullis.domain.timelines`)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from portcullis.ports.looks import Look
from portcullis.ports.relay import Stream


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A timeline that has begun.

    Attributes:
        timeline: its name.
        log: the log's name from now on, as those know it who keep places in it.
        entries: how many entries the log has, with the one that tells of this.
        feed: the feed's name from now on.
        fed_until: as of when the feed held all that had happened, Unix seconds; 0 where it never did.
        carried_over: the streams that go on, as they are now.
        left: the streams that stay as they were, since their place is of another log still.
    """

    timeline: str
    log: str
    entries: int
    feed: str
    fed_until: float
    carried_over: tuple[Stream, ...]
    left: tuple[Stream, ...]


class TimelineStore(Protocol):
    """The journal's database, as a whole. Any method blocks, and may raise JournalUnavailable."""

    def begin(self, timeline: str, *, since: int, from_oldest: bool, look: Look) -> Timeline:
        """Begin a timeline, in one transaction: log, feed and streams go by their new names.

        ``look`` says who does it, when and why. Nothing that is there is removed. A stream goes on from its place, but not
        from beyond the end of its log, and with nothing acknowledged out of order; one to an authority goes on after
        ``since`` entries of the log at most. With ``from_oldest`` each goes on from the oldest that is kept.
        """
        ...
