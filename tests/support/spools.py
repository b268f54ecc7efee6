"""Spools that crash, and what reads them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from portcullis.adapters.spool import FileSpool
from portcullis.adapters.spool.reading import SET_ASIDE
from portcullis.ports import DecisionRecord, SpoolReader


def crash(spool: FileSpool) -> None:
    """End a writer as a kill does: its lock is gone, and its segment has no seal."""
    spool._commits.close()
    spool._closing.set()
    spool._retiring.join()
    if spool._segment is not None:
        os.close(spool._segment._descriptor)


def segments(folder: Path) -> list[Path]:
    """The segments of a spool, in their order."""
    return sorted(folder.glob("*.segment"))


def set_aside(folder: Path) -> list[Path]:
    """The segments that were set aside."""
    return sorted(folder.glob(f"*{SET_ASIDE}"))


def ids(records: Sequence[DecisionRecord]) -> list[str]:
    return [record.decision_id for record in records]


def drained(reader: SpoolReader, limit: int = 1000) -> list[DecisionRecord]:
    """Read and release whatever is there."""
    found: list[DecisionRecord] = []
    while (spooled := reader.read(limit)).records:
        found += spooled.records
        reader.release(spooled.mark)
    return found
