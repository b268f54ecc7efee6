"""``make bench-exchange``: durable events, what recording a refusal costs, and changes to many watchers.

The exit status is 0 when everything was measured, whether or not the floors are met (the table says so), and not 0 when an
event got no receipt, a check a wrong answer, or a part could not be run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks import report
from benchmarks.exchange import rounds
from benchmarks.exchange.rounds import FULL, QUICK, Pace
from benchmarks.machine import describe_machine
from benchmarks.processes import PINNED_APART, REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"

_METHOD = (
    "The exchange (`portcullis serve exchange`, SQLite) or the gateway has a processor of its own, the load another; every "
    "figure and its baseline were measured in turn within each round. The ratio is the median of the rounds' ratios."
)
_NOTES = (
    "Six callers each send their next batch of a hundred events when the last one is answered and so on the disk.",
    "Raw group commits hold as many rows as the measured commits did in the same round, of the time that receipts share.",
    "The same rows: what an event leaves, into a copy of the journal with as many rows in its tables and indexes.",
    "ENFORCED is of 5,000 decisions in turn, which the exchange remembers once it has looked them up.",
    "The bare table: a number and the entry's bytes without an index, which could not tell an event that is reported again.",
    "Of changes told, a round makes several; the median of their longest is over the rounds.",
)


def main() -> None:
    """Read the arguments, run, and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description="Measure the two-way exchange.")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that all of it runs; no floor is judged")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        run = measure(Path(folder), QUICK if arguments.quick else FULL, quick=arguments.quick)
    data, page = report.write(run, arguments.output)
    print(f"\n{report.terminal_table(run)}\n")
    for note in run.notes:
        print(f"note: {note}")
    print(f"written: {page}\n         {data}")


def measure(folder: Path, pace: Pace, *, quick: bool) -> report.Run:
    """Measure everything; ``folder`` takes the files of the run."""
    at = report.now()
    _say("durable events")
    figures = rounds.durable_events(folder, pace)
    _say("refusals on the record")
    figures += rounds.recorded_refusals(folder, pace)
    _say("changes to many watchers")
    figures += rounds.told_changes(folder, pace)
    alone = (
        () if PINNED_APART else ("There is one processor only: server and load share it, and the figures are lower for it.",)
    )
    return report.Run(
        at=at,
        quick=quick,
        machine=describe_machine(folder),
        entries=pace.entries,
        figures=tuple(figures),
        notes=(*_NOTES, *alone),
        part="exchange",
        method=_METHOD,
    )


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


if __name__ == "__main__":
    main()
