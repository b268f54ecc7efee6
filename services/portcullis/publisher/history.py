"""The log of published versions: a line of JSON for each, for people who ask what was published when.

It is no part of what is trusted; the newest lines stand in ``log.jsonl``, those before in ``log.1.jsonl``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

LONGEST_LINES = 10_000
"""How many lines a file has before it becomes the older one."""


class ListNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a version changed of one list.

    ``kind`` is base, delta, terms (nothing but terms), rework (nothing a follower sees) or removed. ``records`` are the
    list's, ``changes`` and ``bytes`` the base's or delta's. ``folded`` is how many deltas became one, ``compacted`` says
    that a compacted base was put in force.
    """

    list: str
    kind: str
    records: int
    changes: int = 0
    bytes: int = 0
    folded: int = 0
    compacted: bool = False


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One published version. ``published_at`` is Unix seconds."""

    version: int
    published_at: float
    registry_seq: int
    lists: tuple[ListNote, ...]


class History:
    """The log in one folder. Losing lines costs nothing but the view back, so nothing waits for the disk here."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "log.jsonl"
        self._older = folder / "log.1.jsonl"
        self._lines: int | None = None

    def note(self, note: Note) -> None:
        """Add a line.

        Raises:
            OSError: the disk refused.
        """
        if self._lines is None:
            self._lines = self._count()
        if self._lines >= LONGEST_LINES:
            self._file.replace(self._older)
            self._lines = 0
        with self._file.open("ab") as out:
            out.write(msgspec.json.encode(note) + b"\n")
        self._lines += 1

    def _count(self) -> int:
        try:
            with self._file.open("rb") as lines:
                return sum(1 for _ in lines)
        except FileNotFoundError:
            return 0
