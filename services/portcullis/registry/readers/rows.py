"""What a reader makes of a file: one good or bad row after another."""

from __future__ import annotations

import msgspec

from portcullis.domain.entries import EntryDraft


class GoodRow(msgspec.Struct, frozen=True):
    """A row that could be read; whether its entry may stand is for `portcullis.domain.entry_rules`.

    ``labels`` are the source's own names of the numbers in it, one for each; ``dropped`` says which of them the reader left
    out of matching, and why.
    """

    file: str
    line: int
    draft: EntryDraft
    labels: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class BadRow(msgspec.Struct, frozen=True):
    """A row that can't be read: the faulty field and why, without its value. ``key`` is "" where it can't be known."""

    file: str
    line: int
    field: str
    reason: str
    key: str = ""


Row = GoodRow | BadRow
