"""What durability costs: the journal beside a raw fsync and beside raw group commits, on the same disk.

The raw group commit is SQLite with the journal's own guarantees (WAL, ``synchronous=FULL``) and nothing around it: a hundred
rows of a record's size, one ``executemany``, one COMMIT.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.sql.journal import SqlJournal
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.ports import DecisionRecord, RecordedReason

GROUP = 100
_UNDER_WAY = 4


def record() -> DecisionRecord:
    """Make the record of a refusal, with an id of its own."""
    reason = RecordedReason(
        list="court-judgment-defaulters",
        measure="trains",
        effect="RESTRICT",
        authority="Demonstration Court",
        legal_basis="Rules on Restricting High Consumption, Article 3",
        case_reference="(2090) Demo 1",
        entry_id=1,
        until=4_000_000_000,
        weak=False,
        shadow=False,
    )
    return DecisionRecord(
        decision_id=uuid.uuid4().hex,
        decided_at=time.time(),
        partner="ticketing",
        action="rail.ticket.purchase",
        purpose="ticketing",
        outcome="RESTRICT",
        shadow_outcome="",
        degraded=False,
        dry_run=False,
        snapshot_version=1,
        partner_reference="",
        tokens=("00" * 16,),
        attributes={"train": "G101"},
        reasons=(reason,),
    )


@contextmanager
def journal(folder: Path) -> Iterator[SqlJournal]:
    """Open a fresh journal, as a gateway has it."""
    url = f"sqlite:///{folder / 'measured-journal.db'}"
    migrate_journal(url)
    opened = SqlJournal(url, clock=SystemClock())
    try:
        yield opened
    finally:
        opened.close()


async def single_append_us(measured: SqlJournal, appends: int) -> float:
    """Give the median microseconds of one append when nobody else appends."""
    times = []
    for _ in range(appends):
        each = (record(),)
        begin = time.perf_counter()
        await measured.append(each)
        times.append(time.perf_counter() - begin)
    return median(times) * 1e6


async def concurrent_rate(measured: SqlJournal, seconds: float) -> float:
    """Give records a second from `GROUP` callers at a time, each appending one record: they share commits."""
    return await _rate(measured, seconds, callers=GROUP, size=1)


async def batch_rate(measured: SqlJournal, seconds: float) -> float:
    """Give records a second when each append brings `GROUP`, from a few callers at a time."""
    return await _rate(measured, seconds, callers=_UNDER_WAY, size=GROUP)


async def _rate(measured: SqlJournal, seconds: float, *, callers: int, size: int) -> float:
    begin = time.perf_counter()
    count = 0

    async def append() -> None:
        nonlocal count
        while time.perf_counter() - begin < seconds:
            await measured.append([record() for _ in range(size)])
            count += size

    await asyncio.gather(*(append() for _ in range(callers)))
    return count / (time.perf_counter() - begin)


def raw_fsync_us(folder: Path, writes: int) -> float:
    """Give the median microseconds of writing a record's bytes to the end of a file and forcing them to the disk."""
    body = msgspec.json.encode(record())
    times = []
    with (folder / "raw.log").open("ab", buffering=0) as file:
        for _ in range(writes):
            begin = time.perf_counter()
            file.write(body)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return median(times) * 1e6


def raw_group_commit_rate(folder: Path, seconds: float) -> float:
    """Give rows a second of raw group commits; making the rows is part of it, as it is for the journal."""
    with closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, record BLOB NOT NULL)")
        begin = time.perf_counter()
        count = 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            rows = [(each.decision_id, msgspec.json.encode(each)) for each in (record() for _ in range(GROUP))]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO rows VALUES (?, ?)", rows)
            connection.execute("COMMIT")
            count += GROUP
        return count / elapsed
