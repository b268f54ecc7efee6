"""The results: a row for each figure and a column for each size, with the floors, as JSON and as a Markdown page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

import msgspec

from benchmarks.figures import Floor
from benchmarks.machine import Machine
from benchmarks.snapshots.measuring import Size
from benchmarks.snapshots.outage import Outage

_MIB = 1 << 20
_MS = 1000.0


class Baselines(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine does without Portcullis, measured in the same run."""

    rows_per_s: float
    records_per_s: float
    start_s: float
    visible_s: tuple[float, ...]


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    at: datetime
    machine: Machine
    baselines: Baselines
    sizes: tuple[Size, ...]
    outage: Outage | None = None
    notes: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """One figure: how it is worked out of a size, its unit, and the floor at `JUDGED` entries."""

    name: str
    unit: str
    value: Callable[[Size, Baselines], float]
    floor: Floor | None = None


DEAD_RATIO = 1.1
BACK_WITHIN_S = 5.0
JUDGED = 10_000_000
"""The size that the floors are for."""


def at_most(limit: float) -> Floor:
    """A bound on the value."""
    return Floor("value", "at most", limit)


def p99(seconds: tuple[float, ...]) -> float:
    """The 99th percentile."""
    return quantiles(seconds, n=100, method="inclusive")[98]


ROWS = (
    Row("registry database", "MiB", lambda size, _: size.built.database_bytes / _MIB),
    Row("import", "rows/s", lambda size, _: size.built.rows_per_s),
    Row("import ÷ raw rows into SQLite", "", lambda size, base: size.built.rows_per_s / base.rows_per_s),
    Row("import, peak memory", "MiB", lambda size, _: size.built.import_peak_bytes / _MIB),
    Row("index keys an entry", "", lambda size, _: size.tokens / size.built.entries),
    Row("first publish", "s", lambda size, _: size.publish_s),
    Row("publisher, peak memory", "MiB", lambda size, _: size.publisher_peak_bytes / _MIB, at_most(1024)),
    Row("publisher restarted, vouching again", "s", lambda size, _: size.publisher_restart_s),
    Row("first sync", "s", lambda size, _: size.sync_s, at_most(90)),
    Row("first sync ÷ raw LMDB load", "", lambda size, base: size.sync_s * base.records_per_s / size.tokens),
    Row("follower, peak memory", "MiB", lambda size, _: size.follower_peak_bytes / _MIB, at_most(1024)),
    Row("replica file an entry", "bytes", lambda size, _: size.replica_bytes / size.built.entries, at_most(64)),
    Row("filter an entry", "bytes", lambda size, _: size.filter_bytes / size.built.entries),
    Row("warm start to SERVING, median", "s", lambda size, _: median(size.warm_start_s), at_most(1.0)),
    Row("warm start ÷ imports alone", "", lambda size, base: median(size.warm_start_s) / base.start_s),
    Row("a change visible, p50", "ms", lambda size, _: median(size.visible_s) * _MS),
    Row("a change visible, p99", "ms", lambda size, _: p99(size.visible_s) * _MS, at_most(250)),
    Row("a change visible, p50 ÷ raw way", "", lambda size, base: median(size.visible_s) / median(base.visible_s)),
)


def write(run: Growth, folder: Path) -> tuple[Path, Path]:
    """Write ``<date>-<machine>-snapshots.json`` and ``.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{run.at:%Y-%m-%d}-{run.machine.slug}-snapshots"
    data, page = folder / f"{name}.json", folder / f"{name}.md"
    data.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    page.write_text(markdown(run))
    return data, page


def markdown(run: Growth) -> str:
    """Write the page."""
    machine = run.machine
    hardware = f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.kernel}, {machine.filesystem}"
    headings = ["figure", *(f"{size.built.entries:,}" for size in run.sizes), "floor", ""]
    table = [headings, ["---"] * len(headings), *(_cells(row, run) for row in ROWS)]
    return (
        "\n\n".join(
            [
                f"# Snapshots by size, {run.at:%Y-%m-%d %H:%M} UTC",
                f"{hardware}; {machine.python}.",
                "\n".join("| " + " | ".join(cells) + " |" for cells in table),
                _baselines(run.baselines),
                *([_outage(run.outage)] if run.outage else []),
                *(f"- {note}" for note in run.notes),
            ]
        )
        + "\n"
    )


def _cells(row: Row, run: Growth) -> list[str]:
    values = [row.value(size, run.baselines) for size in run.sizes]
    judged = [value for value, size in zip(values, run.sizes, strict=True) if size.built.entries == JUDGED]
    verdict = ""
    if row.floor and judged:
        verdict = "met" if judged[0] <= row.floor.limit else "**missed**"
    asked = f"≤ {row.floor.limit:,g} {row.unit} at {JUDGED:,}" if row.floor else ""
    return [row.name, *(f"{_number(value)} {row.unit}".strip() for value in values), asked, verdict]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _baselines(found: Baselines) -> str:
    return (
        f"Baselines of the same run: {found.rows_per_s:,.0f} raw rows/s into SQLite, "
        f"{found.records_per_s:,.0f} raw records/s into LMDB, "
        f"{found.start_s:.2f} s for a Python that imports what a gateway does, "
        f"{median(found.visible_s) * _MS:.2f} ms for a message through Valkey and a durable LMDB record. Memory is the most "
        "that was resident, files that are mapped counted in."
    )


def _outage(found: Outage) -> str:
    verdict = "met" if found.ratio <= DEAD_RATIO else "**missed**"
    seen = "met" if max(found.visible_s) <= BACK_WITHIN_S else "**missed**"
    alive, dead = median(found.alive_p99_us), median(found.dead_p99_us)
    return (
        f"With Valkey and the publisher killed, at {found.rate:,.0f} checks/s in {len(found.dead_p99_us)} rounds in turn "
        f"({found.calls:,} calls, none failed): p99 {dead:,.0f} µs dead, {alive:,.0f} µs alive, ratio {found.ratio:.2f} "
        f"(≤ {DEAD_RATIO} is asked: {verdict}). After they returned, a change was seen {max(found.visible_s):.2f} s after "
        f"its commit at the latest (≤ {BACK_WITHIN_S:g} s: {seen})."
    )
