"""The changes that authorities share with partners, and the cursor that says how far a partner has read."""

from __future__ import annotations

import re
from enum import Enum, StrEnum, auto
from typing import NamedTuple

import msgspec

_CURSOR = re.compile(r"([0-9a-f]{8})-([0-9a-f]{1,32})", re.ASCII)

OLDEST = "oldest"
"""The cursor that asks for everything that is kept."""


class ChangeKind(StrEnum):
    """What happened to an entry."""

    ENTRY_ADDED = "ENTRY_ADDED"
    AMENDED = "AMENDED"
    STAYED = "STAYED"
    RELEASED = "RELEASED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    REINSTATED = "REINSTATED"
    RELEASED_IN_ERROR = "RELEASED_IN_ERROR"


class Standing(Enum):
    """How an entry stands for whoever follows the feed."""

    ABSENT = auto()
    IN_FORCE = auto()
    STAYED = auto()
    RELEASED = auto()
    WITHDRAWN = auto()
    IN_ERROR = auto()
    ENDED = auto()


_BINDING = (Standing.IN_FORCE, Standing.STAYED)


def kind_of(before: Standing, after: Standing) -> ChangeKind | None:
    """Say what one version of an entry after another is to a partner; None where nothing changes for anybody.

    An entry that was released or withdrawn, or has ended, and is in force again, is as good as new. What becomes of one that
    binds nobody any more, such as the withdrawal of one that has ended, or of one that had ended before it was ever told, is
    not told; but that it should never have been there is, to whomever it was ever told.
    """
    if after is Standing.IN_ERROR:
        return None if before in {Standing.ABSENT, Standing.IN_ERROR} else ChangeKind.RELEASED_IN_ERROR
    if after not in _BINDING:
        return _LEFT.get(after) if before in _BINDING else None
    if after is before:
        return ChangeKind.AMENDED
    if after is Standing.STAYED:
        return ChangeKind.STAYED
    return ChangeKind.REINSTATED if before is Standing.STAYED else ChangeKind.ENTRY_ADDED


_LEFT = {
    Standing.ENDED: ChangeKind.EXPIRED,
    Standing.RELEASED: ChangeKind.RELEASED,
    Standing.WITHDRAWN: ChangeKind.WITHDRAWN,
    Standing.ABSENT: ChangeKind.WITHDRAWN,
}


class FeedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change as the feed keeps it.

    ``position`` counts from 1 without gaps, in the order of commits. ``happened_at`` is Unix seconds and ``until`` the
    entry's end, likewise.
    """

    position: int
    kind: ChangeKind
    list: str
    list_number: int
    entry_id: int
    happened_at: float
    until: int


class Cursor(NamedTuple):
    """How far a partner has read: the feed's name (8 hexadecimal digits), and the mark of the place in it.

    The mark is made for that partner alone (`portcullis.domain.subjects`).
    """

    feed: str
    mark: str

    def __str__(self) -> str:
        return f"{self.feed}-{self.mark}"


def read_cursor(text: str) -> Cursor | None:
    """Read a cursor's text; None where it is no cursor."""
    match = _CURSOR.fullmatch(text)
    return Cursor(match[1], match[2]) if match else None
