"""What the commands of the benchmarks share: their arguments, what they print, and where results go."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks import report
from benchmarks.processes import PINNED_APART, REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"

ALONE = () if PINNED_APART else ("There is one processor only: server and load share it, and the figures are lower for it.",)
"""The note of a machine on which the figures say less."""


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """Make a parser that takes ``--quick`` and ``--output``."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("--quick", action="store_true", help="a few seconds, to see that all of it runs; no floor is judged")
    made.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    return made


def say(what: str) -> None:
    """Print what is done now, and when it began."""
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def present(run: report.Run, output: Path) -> None:
    """Print a run's table and notes, and write its results."""
    data, page = report.write(run, output)
    print(f"\n{report.terminal_table(run)}\n")
    for note in run.notes:
        print(f"note: {note}")
    print(f"written: {page}\n         {data}")
