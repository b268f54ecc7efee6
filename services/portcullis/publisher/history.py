"""Writes the log of published versions (`portcullis.domain.history`)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from portcullis.domain.history import LOG_FILES, Version

LONGEST_LINES = 10_000
"""How many lines a file has before it becomes the older one."""


class History:
    """The log in one folder. Losing lines costs nothing but the view back, so nothing waits for the disk here."""

    def __init__(self, folder: Path) -> None:
        self._file, self._older = (folder / name for name in LOG_FILES)
        self._lines: int | None = None

    def note(self, note: Version) -> None:
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
