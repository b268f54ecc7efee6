"""Durable events within one process: the journal on SQLite, and beside it raw inserts of rows of the same bytes.

The raw inserts are made by the driver of SQLite alone, into two kinds of database:

- the journal's own tables and indexes, into which go the very rows that an event leaves there: this is what storing costs,
  without looking up whether the event is there, sealing, hashing and building the tree;
- one table of a number and the entry's bytes, without any index: this is what the disk costs. It could not tell an event
  that is reported again.

Both commit as many rows at a time as the journal can gather from the same callers.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.world import LIST, PARTNER
from portcullis.adapters.sql.journal import SqlJournal
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.ports import Receipt

BATCH = 100
CALLERS = 6

MakeEvent = Callable[[], SharedEvent]
_Rows = dict[str, list[tuple[Any, ...]]]


class NotAcknowledged(Exception):
    """An event got no receipt."""


def settled() -> SharedEvent:
    """Make an event about a case of its own: a subject with a key of its own."""
    return SharedEvent(
        event_id=uuid.uuid4().hex,
        kind=EventKind.SETTLED,
        occurred_at_ms=int(time.time() * 1000),
        list=LIST,
        case_reference=f"(2090) Demo 1 Enforcement {uuid.uuid4().hex[:12]}",
    )


def enforced(decision_ids: Sequence[str]) -> MakeEvent:
    """Give what makes events about these decisions, one after the other."""
    places = iter(range(10**12))

    def make() -> SharedEvent:
        return SharedEvent(
            event_id=uuid.uuid4().hex,
            kind=EventKind.ENFORCED,
            occurred_at_ms=int(time.time() * 1000),
            reference=f"order-{uuid.uuid4().hex[:12]}",
            decision_id=decision_ids[next(places) % len(decision_ids)],
        )

    return make


async def journal_rate(journal: SqlJournal, make: MakeEvent, batches: int) -> float:
    """Give events a second when a few callers each bring one batch after the other.

    Raises:
        NotAcknowledged: an event got no receipt.
    """
    waiting = iter([[make() for _ in range(BATCH)] for _ in range(batches)])
    begin = time.perf_counter()

    async def report() -> None:
        for events in waiting:
            if not all(isinstance(each, Receipt) for each in await journal.record_events(PARTNER, events)):
                raise NotAcknowledged

    await asyncio.gather(*(report() for _ in range(CALLERS)))
    return batches * BATCH / (time.perf_counter() - begin)


class RawRows:
    """Raw inserts of what an event of one kind leaves in the journal's tables."""

    def __init__(self, journal_file: Path, kind: EventKind, folder: Path) -> None:
        """Look at what the newest such event has left."""
        with closing(sqlite3.connect(journal_file)) as journal:
            self._event = _first(journal, "SELECT * FROM events WHERE kind = ? ORDER BY sequence DESC LIMIT 1", kind.value)
            self._log = _first(journal, "SELECT * FROM log WHERE sequence = ?", self._event[0])
            keys = "SELECT * FROM subject_keys ORDER BY key_id DESC LIMIT 1"
            # An event about a decision is sealed under the decision's key, so it brings none of its own.
            self._key = None if kind is EventKind.ENFORCED else _first(journal, keys)
            self._schema = _schema_of(journal, ["log", "events", *(["subject_keys"] if self._key else [])])
        self._folder = folder
        self._kind = kind
        self._count = 0

    def same_tables_rate(self, batches: int) -> float:
        """Give events a second, into the journal's own tables."""
        return self._rate("tables", self._schema, self._rows, batches)

    def one_table_rate(self, batches: int) -> float:
        """Give events a second, into one table without an index."""
        schema = ["CREATE TABLE log (sequence INTEGER PRIMARY KEY, leaf_hash BLOB, entry BLOB)"]
        return self._rate("table", schema, lambda count: {"log": self._rows(count)["log"]}, batches)

    def _rate(self, name: str, schema: list[str], rows: Callable[[int], _Rows], batches: int) -> float:
        """Go on with a database, whose indexes grow from round to round as the journal's do."""
        groups = [rows(CALLERS * BATCH) for _ in range(-(-batches // CALLERS))]
        with _raw_database(self._folder / f"raw-{name}-{self._kind.value}.db", schema) as database:
            begin = time.perf_counter()
            for group in groups:
                database.execute("BEGIN IMMEDIATE")
                for table, values in group.items():
                    places = ",".join("?" * len(values[0]))
                    database.executemany(f"INSERT INTO {table} VALUES ({places})", values)  # noqa: S608 - our own names
                database.execute("COMMIT")
            seconds = time.perf_counter() - begin
        return len(groups) * CALLERS * BATCH / seconds

    def _rows(self, count: int) -> _Rows:
        """Make rows of the same bytes as the journal's, each with keys of its own."""
        begin, self._count = self._count, self._count + count
        numbers = range(begin, self._count)
        rows: _Rows = {
            "log": [(number, os.urandom(len(self._log[1])), self._log[2]) for number in numbers],
            "events": [(number, self._event[1], uuid.uuid4().hex, *self._event[3:]) for number in numbers],
        }
        if self._key:
            key_id, wrapped = self._key[1], self._key[2]
            # The name of a key begins with the time; see `portcullis.adapters.journal_entries`.
            rows["subject_keys"] = [
                (uuid.uuid4().hex, f"{number:012x}{os.urandom((len(key_id) - 12) // 2).hex()}", wrapped)
                for number in numbers
            ]
        return rows


@contextmanager
def _raw_database(file: Path, schema: list[str]) -> Iterator[sqlite3.Connection]:
    """Open a database as the journal opens its own."""
    is_new = not file.exists()
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -32768", "wal_autocheckpoint = 8000"):
            database.execute(f"PRAGMA {pragma}")
        for statement in schema if is_new else ():
            database.execute(statement)
        yield database


def _schema_of(database: sqlite3.Connection, tables: list[str]) -> list[str]:
    """Give the statements that make these tables and their indexes, tables first."""
    wanted = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type DESC"
    return [sql for table in tables for (sql,) in database.execute(wanted, (table,))]


def _first(database: sqlite3.Connection, wanted: str, *values: object) -> tuple[Any, ...]:
    found: tuple[Any, ...] = database.execute(wanted, values).fetchone()
    return found
