"""A run's results: JSON for programs, a Markdown table for people, and the same table on the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, Series
from benchmarks.machine import Machine

_METHOD = (
    "The replica holds {entries:,} made-up entries. Server and load are pinned to a processor each; every figure and its "
    "baseline were measured in turn within each round. The ratio is the median of the rounds' ratios."
)
_HEADINGS = ("figure", "transport", "median", "baseline", "ratio", "rounds", "floor", "")


class Profile(msgspec.Struct, frozen=True):
    """Where the time of one target went: lines of a profile, the dearest function first."""

    target: str
    transport: str
    lines: tuple[str, ...]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run. ``notes`` say what was left out, and why.

    ``part`` is the part of the system that it measured, "" for checks. ``method`` is what the page says of it;
    ``{entries}`` in it is the number of entries.
    """

    at: datetime
    quick: bool
    machine: Machine
    entries: int
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    profiles: tuple[Profile, ...] = ()
    part: str = ""
    method: str = _METHOD

    @property
    def missed(self) -> tuple[Figure, ...]:
        """The figures below their floor. A quick run is too short to judge."""
        return () if self.quick else tuple(figure for figure in self.figures if figure.met is False)


def now() -> datetime:
    """The moment of a run, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def write(run: Run, folder: Path) -> tuple[Path, Path]:
    """Write ``<date>-<machine>.json`` and ``.md``; a second run of a day replaces the first.

    The part that was measured is in the name, and that the run was a quick one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join(filter(None, (f"{run.at:%Y-%m-%d}", run.machine.slug, run.part, "quick" if run.quick else "")))
    data, page = folder / f"{name}.json", folder / f"{name}.md"
    data.write_bytes(msgspec.json.format(msgspec.json.encode(_plain(run)), indent=1) + b"\n")
    page.write_text(markdown(run))
    return data, page


def _plain(run: Run) -> dict[str, object]:
    """The run with what its figures derive."""
    plain: dict[str, object] = msgspec.to_builtins(run)
    plain["figures"] = [
        {**msgspec.to_builtins(figure), "median": figure.measured.median, "ratio": figure.ratio, "met": figure.met}
        for figure in run.figures
    ]
    return plain


def markdown(run: Run) -> str:
    """Write the page."""
    machine = run.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    hardware = f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.kernel}, {machine.filesystem}"
    parts = [
        f"# Benchmark of {run.at:%Y-%m-%d %H:%M} UTC" + (", a quick run: not for judging" if run.quick else ""),
        f"{hardware}; {machine.python}; {versions}.",
        run.method.format(entries=run.entries),
        _markdown_table([_HEADINGS, *rows(run)]),
    ]
    if run.missed:
        parts.append("## Floors missed\n\n" + "\n".join(_shortfall(figure) for figure in run.missed))
    if run.notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in run.notes))
    parts += [_profile_section(profile) for profile in run.profiles]
    return "\n\n".join(parts) + "\n"


def rows(run: Run) -> list[tuple[str, ...]]:
    """Give the table's rows without its headings."""
    return [_row(figure, judge=not run.quick) for figure in run.figures]


def terminal_table(run: Run) -> str:
    """Give the table in columns of equal width."""
    table = [_HEADINGS, *rows(run)]
    widths = [max(len(row[place]) for row in table) for place in range(len(_HEADINGS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)


def _row(figure: Figure, *, judge: bool) -> tuple[str, ...]:
    verdict = {True: "met", False: "**missed**", None: ""}[figure.met] if judge else ""
    return (
        figure.measured.name,
        figure.transport,
        _amount(figure.measured),
        f"{_amount(figure.baseline)} ({figure.baseline.name})" if figure.baseline else "",
        f"{figure.ratio:.2f}" if figure.ratio is not None else "",
        _spread(figure),
        str(figure.floor or ""),
        verdict,
    )


def _amount(series: Series) -> str:
    digits = 0 if series.median >= 100 else 2
    return f"{series.median:,.{digits}f} {series.unit}"


def _spread(figure: Figure) -> str:
    """The lowest and the highest round, of the ratio where there is one."""
    numbers = figure.ratios or figure.measured.rounds
    digits = 2 if figure.ratios or max(numbers) < 100 else 0
    return f"{len(numbers)}: {min(numbers):,.{digits}f} to {max(numbers):,.{digits}f}"


def _markdown_table(table: list[tuple[str, ...]]) -> str:
    heading, *others = ("| " + " | ".join(row) + " |" for row in table)
    rule = "|" + " --- |" * len(table[0])
    return "\n".join([heading, rule, *others])


def _shortfall(figure: Figure) -> str:
    where = f" on {figure.transport}" if figure.transport else ""
    missed = f"{figure.judged:,.2f} where {figure.floor} is asked, short by {figure.short_by:.0%}"
    return f"- {figure.measured.name}{where}: {missed}."


def _profile_section(profile: Profile) -> str:
    body = "\n".join(profile.lines)
    return f"## Where the time goes: {profile.target} on {profile.transport}\n\n```\n{body}\n```"
