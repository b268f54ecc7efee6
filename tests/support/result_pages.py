"""Pages of what a long run came to, among the results of the benchmarks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.report import now


def keep_page(name: str, title: str, parts: Iterable[str]) -> None:
    """Print a page and write it as ``<date>-<name>.md`` into the folder that PORTCULLIS_RESULTS names.

    The make targets name one; without it, as in the ordinary suite, nothing is done.
    """
    given = os.environ.get("PORTCULLIS_RESULTS")
    if not given:
        return
    folder, at = Path(given), now()
    machine = describe_machine(folder)
    where = f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.kernel}; {machine.python}."
    page = "\n\n".join([f"# {title}, {at:%Y-%m-%d %H:%M} UTC", where, *parts]) + "\n"
    print(f"\n{page}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{at:%Y-%m-%d}-{name}.md").write_text(page, encoding="utf-8")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table; numbers have their thousands apart."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = ([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
