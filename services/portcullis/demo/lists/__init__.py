"""The demonstration lists: made-up subjects, one JSON Lines file a list, written by ``tools/demo_lists.py``.

Their dates count from `REFERENCE_DAY`. `moved_rows` shifts them to the day of the loading, so that a demonstration is in
force whenever it is started, for the terms that real entries have.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec

DIRECTORY = Path(__file__).parent
REFERENCE_DAY = date(2026, 1, 1)
"""The day that the dates of the files count from."""


def list_files() -> dict[str, Path]:
    """Give the files by the names of their lists, in the order of the names."""
    return {path.stem: path for path in sorted(DIRECTORY.glob("*.jsonl"))}


def rows(name: str) -> Iterator[dict[str, Any]]:
    """Give the rows of one list, as they stand in its file."""
    with (DIRECTORY / f"{name}.jsonl").open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line)


def moved_rows(name: str, today: date) -> Iterator[bytes]:
    """Give the lines of one list, with every date as far from ``today`` as the file has it from the reference day."""
    days = today - REFERENCE_DAY
    for row in rows(name):
        moved = {field: _moved(row[field], days) for field in ("valid_from", "until")}
        yield msgspec.json.encode({**row, **moved}) + b"\n"


def _moved(day: str, days: timedelta) -> str:
    return (date.fromisoformat(day) + days).isoformat()
