"""What was seen of a process, of a host's spool and of the journal's log, for the doctor to judge."""

from __future__ import annotations

from typing import NamedTuple


class Exposure(NamedTuple):
    """What a process is given that it should not have, and what to do about it; without a secret's value."""

    what: str
    mend: str


class SpoolExamined(NamedTuple):
    """How a host's spool is. What has been shipped stands in it until its segment ends, some seconds later.

    Attributes:
        bytes_held: bytes of records that stand in it.
        oldest_at: when the oldest of them was decided, Unix seconds; None when none stands there, or it can't be read.
        set_aside: how many segments were found damaged, and are kept for a person to look at.
        free_bytes: room on its disk.
    """

    bytes_held: int
    oldest_at: float | None
    set_aside: int
    free_bytes: int


class LogExamined(NamedTuple):
    """How far the exchange is with the journal's log and with the feed.

    Attributes:
        entries: how many the log has.
        signed: how many the newest checkpoint covers; 0 where none was signed.
        unsigned_since: when the first entry behind it was recorded, Unix seconds; None when there is none.
        fault: why the newest checkpoint can't be believed; "" when it can, or its key is not here.
        is_proven: whether its key is here, so that its signature was looked at.
        fed_until: the time, Unix seconds, as of which the feed holds all that happened; 0 before it has begun.
    """

    entries: int
    signed: int
    unsigned_since: float | None
    fault: str
    is_proven: bool
    fed_until: float
