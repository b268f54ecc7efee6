"""What durability costs: the spool beside a raw fsync and beside raw group commits, on the same disk.

The raw group commit has the spool's own guarantee and nothing around it: the JSON of a hundred records, one write to the end
of a file, one ``fdatasync``.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.spool import FileSpool
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
        registry_seq=1,
        stale=(),
        partner_reference="",
        tokens=("00" * 16,),
        attributes={"train": "G101"},
        reasons=(reason,),
    )


@contextmanager
def spool(folder: Path) -> Iterator[FileSpool]:
    """Open a fresh spool, as a gateway has it."""
    with closing(FileSpool(folder / "measured-spool", clock=SystemClock())) as opened:
        yield opened


async def single_append_us(measured: FileSpool, appends: int) -> float:
    """Give the median microseconds of one append when nobody else appends."""
    times = []
    for _ in range(appends):
        each = (record(),)
        begin = time.perf_counter()
        await measured.append(each)
        times.append(time.perf_counter() - begin)
    return median(times) * 1e6


async def concurrent_rate(measured: FileSpool, seconds: float) -> float:
    """Give records a second from `GROUP` callers at a time, each appending one record: they share commits."""
    return await _rate(measured, seconds, callers=GROUP, size=1)


async def batch_rate(measured: FileSpool, seconds: float) -> float:
    """Give records a second when each append brings `GROUP`, from a few callers at a time."""
    return await _rate(measured, seconds, callers=_UNDER_WAY, size=GROUP)


async def _rate(measured: FileSpool, seconds: float, *, callers: int, size: int) -> float:
    begin = time.perf_counter()
    count = 0

    async def append() -> None:
        nonlocal count
        while time.perf_counter() - begin < seconds:
            await measured.append([record() for _ in range(size)])
            count += size

    await asyncio.gather(*(append() for _ in range(callers)))
    return count / (time.perf_counter() - begin)


def raw_fsync_us(folder: Path, writes: int, *, pause_s: float = 0.0) -> float:
    """Give the median microseconds of writing a record's bytes to the end of a file and forcing them to the disk."""
    body = msgspec.json.encode(record())
    times = []
    with (folder / "raw.log").open("ab", buffering=0) as file:
        for _ in range(writes):
            time.sleep(pause_s)
            begin = time.perf_counter()
            file.write(body)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return median(times) * 1e6


def raw_group_commit_rate(folder: Path, seconds: float) -> float:
    """Give records a second of raw group commits; making the records is part of it, as it is for the spool."""
    with (folder / "raw-groups.log").open("ab", buffering=0) as file:
        begin = time.perf_counter()
        count = 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            file.write(b"".join(msgspec.json.encode(record()) for _ in range(GROUP)))
            os.fdatasync(file.fileno())
            count += GROUP
        return count / elapsed
