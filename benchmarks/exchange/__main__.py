"""``make bench-exchange``: durable events, what recording a refusal costs, and changes to many watchers.

The exit status is 0 when everything was measured, whether or not the floors are met (the table says so), and not 0 when an
event got no receipt, a check a wrong answer, or a part could not be run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.command import ALONE, parser, present, say
from benchmarks.exchange import rounds
from benchmarks.exchange.rounds import FULL, QUICK, Pace
from benchmarks.machine import describe_machine

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
    arguments = parser("benchmarks.exchange", "Measure the two-way exchange.").parse_args()
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        run = measure(Path(folder), QUICK if arguments.quick else FULL, quick=arguments.quick)
    present(run, arguments.output)


def measure(folder: Path, pace: Pace, *, quick: bool) -> report.Run:
    """Measure everything; ``folder`` takes the files of the run."""
    at = report.now()
    say("durable events")
    figures = rounds.durable_events(folder, pace)
    say("refusals on the record")
    figures += rounds.recorded_refusals(folder, pace)
    say("changes to many watchers")
    figures += rounds.told_changes(folder, pace)
    return report.Run(
        at=at,
        quick=quick,
        machine=describe_machine(folder),
        entries=pace.entries,
        figures=tuple(figures),
        notes=(*_NOTES, *ALONE),
        part="exchange",
        method=_METHOD,
    )


if __name__ == "__main__":
    main()
