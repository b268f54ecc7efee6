"""Durable events within one process: the journal on SQLite, and beside it raw inserts of rows of the same bytes.

The raw inserts are made by the driver of SQLite alone, into two kinds of database:

- a copy of the journal, into whose tables and indexes go the very rows that an event leaves there: this is what storing
  costs, without looking up whether the event is there, sealing, hashing and building the tree;
- one table of a number and the entry's bytes, without any index: this is what the disk costs. It could not tell an event
  that is reported again.

Both commit as many rows at a time as the journal's own commits held just before.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.world import LIST, PARTNER
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.ports import Receipt

BATCH = 100
CALLERS = 6

MakeEvent = Callable[[], SharedEvent]
_Rows = dict[str, list[tuple[Any, ...]]]


class NotAcknowledged(Exception):
    """An event got no receipt."""


class Taken(NamedTuple):
    """How events were taken: so many a second, and so many by one commit, on average."""

    rate: float
    by_commit: float


def taken(seconds: float, recorded_at: Collection[object]) -> Taken:
    """Sum up receipts by their times: those of one commit share one, and no two commits fit into one millisecond."""
    return Taken(len(recorded_at) / seconds, len(recorded_at) / len(set(recorded_at)))


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


async def report_to(journal: SqlJournal, make: MakeEvent, batches: int) -> Taken:
    """Report to a journal as a few callers who each bring one batch after the other.

    Raises:
        NotAcknowledged: an event got no receipt.
    """
    waiting = iter([[make() for _ in range(BATCH)] for _ in range(batches)])
    receipts: list[Receipt] = []
    begin = time.perf_counter()

    async def report() -> None:
        for events in waiting:
            receipts.extend(each for each in await journal.record_events(PARTNER, events) if isinstance(each, Receipt))

    await asyncio.gather(*(report() for _ in range(CALLERS)))
    seconds = time.perf_counter() - begin
    if len(receipts) != batches * BATCH:
        raise NotAcknowledged
    return taken(seconds, [each.recorded_at_ms for each in receipts])


class RawRows:
    """Raw inserts of what an event of one kind leaves in the journal's tables.

    Args:
        tables: a copy of the journal as it stands, with at least one such event in it.
        table: an empty database.
        kind: the events'.
    """

    def __init__(self, tables: sqlite3.Connection, table: sqlite3.Connection, kind: EventKind) -> None:
        self._tables = tables
        self._table = table
        self._event = _first(tables, "SELECT * FROM events WHERE kind = ? ORDER BY sequence DESC LIMIT 1", kind.value)
        self._log = _first(tables, "SELECT * FROM log WHERE sequence = ?", self._event[0])
        keys = "SELECT * FROM subject_keys ORDER BY key_id DESC LIMIT 1"
        # An event about a decision is sealed under the decision's key, so it brings none of its own.
        self._key = None if kind is EventKind.ENFORCED else _first(tables, keys)
        self._next = _first(tables, "SELECT max(sequence) + 1 FROM log")[0]
        table.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, leaf_hash BLOB, entry BLOB)")

    def same_tables_rate(self, batches: int, by_commit: float) -> float:
        """Give events a second, into the journal's own tables, so many by one commit."""
        return self._rate(self._tables, [self._rows(count) for count in _counts(batches, by_commit)])

    def one_table_rate(self, batches: int, by_commit: float) -> float:
        """Give events a second, into one table without an index, so many by one commit."""
        return self._rate(self._table, [{"log": self._rows(count)["log"]} for count in _counts(batches, by_commit)])

    def _rate(self, database: sqlite3.Connection, groups: list[_Rows]) -> float:
        begin = time.perf_counter()
        for group in groups:
            database.execute("BEGIN IMMEDIATE")
            for table, values in group.items():
                places = ",".join("?" * len(values[0]))
                database.executemany(f"INSERT INTO {table} VALUES ({places})", values)  # noqa: S608 - our own names
            database.execute("COMMIT")
        return sum(len(group["log"]) for group in groups) / (time.perf_counter() - begin)

    def _rows(self, count: int) -> _Rows:
        """Make the rows of one commit, of the same bytes as the journal's, each with keys of its own."""
        numbers = range(self._next, self._next + count)
        self._next = numbers.stop
        rows: _Rows = {
            "log": [(number, os.urandom(len(self._log[1])), self._log[2]) for number in numbers],
            "events": [(number, self._event[1], uuid.uuid4().hex, *self._event[3:]) for number in numbers],
        }
        if self._key:
            key_id, wrapped = self._key[1], self._key[2]
            # The name of a key begins with the commit's time; see `portcullis.adapters.journal_entries`.
            at_ms, random_bytes = int(key_id[:12], 16) + numbers.start, (len(key_id) - 12) // 2
            rows["subject_keys"] = [
                (uuid.uuid4().hex, f"{at_ms:012x}{os.urandom(random_bytes).hex()}", wrapped) for _ in numbers
            ]
        return rows


@contextmanager
def raw_rows(journal_file: Path, kind: EventKind, folder: Path) -> Iterator[RawRows]:
    """Open databases for raw inserts as the journal opens its own, and keep them open: they pay for their checkpoints."""
    folder.mkdir(exist_ok=True)
    with (
        closing(sqlite3.connect(journal_file)) as journal,
        closing(sqlite3.connect(folder / f"tables-{kind.value}.db", isolation_level=None)) as tables,
        closing(sqlite3.connect(folder / f"table-{kind.value}.db", isolation_level=None)) as table,
    ):
        # Random keys go all over an index, so what a commit costs grows with what is there already.
        journal.backup(tables)
        for database in (tables, table):
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -32768", "wal_autocheckpoint = 8000"):
                database.execute(f"PRAGMA {pragma}")
        yield RawRows(tables, table, kind)


def _counts(batches: int, by_commit: float) -> list[int]:
    """Share the events of some batches out to commits."""
    commits = max(1, round(batches * BATCH / by_commit))
    whole, over = divmod(batches * BATCH, commits)
    return [whole + 1] * over + [whole] * (commits - over)


def _first(database: sqlite3.Connection, wanted: str, *values: object) -> tuple[Any, ...]:
    found: tuple[Any, ...] = database.execute(wanted, values).fetchone()
    return found
