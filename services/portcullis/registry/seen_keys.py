"""Which keys an import has brought already, and in which row: on disk, so that a file of any length takes no more memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from portcullis.domain.errors import RegistryUnavailable

_CACHE_KIB = 8 * 1024


class SeenKeys:
    """A set of keys with the place of each one's first row; gone when closed. Not for two threads at a time.

    It lies in a private temporary database of SQLite, of which the page cache alone is in memory.
    """

    def __init__(self) -> None:
        try:
            self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID")
        except sqlite3.Error as fault:
            raise _unavailable() from fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def earlier(self, keys: Mapping[str, str]) -> dict[str, str]:
        """Give the places of those keys that came before, and remember the places of the others.

        ``keys`` maps each key to the place of its row.

        Raises:
            RegistryUnavailable: the temporary disk is full or can't be written.
        """
        try:
            rows = self._database.execute(
                "SELECT seen.key, seen.place FROM json_each(?) AS given JOIN seen ON seen.key = given.value",
                (json.dumps(list(keys)),),
            )
            known: dict[str, str] = dict(rows)
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO seen (key, place) VALUES (?, ?)", [pair for pair in keys.items() if pair[0] not in known]
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as fault:
            raise _unavailable() from fault
        return known

    def close(self) -> None:
        """Remove the database."""
        self._database.close()


def _unavailable() -> RegistryUnavailable:
    return RegistryUnavailable("the temporary disk can't be used; free space there, or set TMPDIR to a folder that has some")
