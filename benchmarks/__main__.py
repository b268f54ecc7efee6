"""``python -m benchmarks``: measure, print the table, write the results.

The exit status is 0 when everything was measured, whether or not the floors are met (the table says so), and not 0 when a
target gave a wrong answer or a part could not be run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from benchmarks import changing, h2load, quantiles, report, rounds, world
from benchmarks.command import ALONE, parser, present, say
from benchmarks.figures import Figure
from benchmarks.machine import describe_machine
from benchmarks.profiled import profiles
from benchmarks.rounds import FULL, QUICK, Pace
from benchmarks.targets import targets
from portcullis.config import Transport
from portcullis.gateway.transport.transports import available

_ONE_BODY = (
    "h2load posts one body again and again, so the network figures ask about one person; "
    "the figures within the process go round over a thousand."
)


def main() -> None:
    """Read the arguments, run, and report."""
    given = parser("benchmarks", "Measure, each figure against a baseline.")
    given.add_argument("--profile", action="store_true", help="show where the time goes, even if no floor is missed")
    arguments = given.parse_args()
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        run = measure(Path(folder), QUICK if arguments.quick else FULL, profile=arguments.profile, quick=arguments.quick)
    present(run, arguments.output)


def measure(folder: Path, pace: Pace, *, profile: bool, quick: bool) -> report.Run:
    """Measure everything that can be measured here; ``folder`` takes the files of the run."""
    at = report.now()
    say(f"making {pace.entries:,} entries")
    made = world.build(folder / "home", pace.entries)
    figures: list[Figure] = []
    profiled: list[report.Profile] = []
    for transport in filter(available, get_args(Transport)):
        found = over_the_network(made, transport, pace)
        figures += found
        if profile or (not quick and any(figure.met is False for figure in found)):
            say(f"where the time goes on {transport}")
            profiled += profiles(made, transport, seconds=pace.load_s, load_batches=_batches(made, pace))
    say("deciding and looking up, within one process")
    figures += rounds.in_process(made, pace)
    say("the spool")
    figures += rounds.durable(folder, pace)
    say("checks while the replica changes")
    checks = changing.QUICK_CHECKS if quick else changing.CHECKS
    figures += changing.compare(made, checks, pace.rounds).figures()
    return report.Run(
        at=at,
        quick=quick,
        machine=describe_machine(folder),
        entries=pace.entries,
        figures=tuple(figures),
        notes=tuple(_notes()),
        profiles=tuple(profiled),
    )


def over_the_network(made: world.World, transport: Transport, pace: Pace) -> list[Figure]:
    """Measure one transport: throughput, then latency at half of it, then batches, which alone need no h2load."""
    figures: list[Figure] = []
    with targets(made, transport) as found:
        if h2load.is_installed():
            say(f"throughput on {transport}")
            figures += rounds.throughput(found, transport, pace)
            say(f"latency on {transport}")
            figures += rounds.latency(found, transport, rounds.peak_of(figures), pace)
        say(f"refusals on the record on {transport}")
        figures += rounds.recording(found, transport, made.home, pace)
        say(f"batches on {transport}")
        return figures + rounds.batch(made, found[-1].address, transport, pace)


def _batches(made: world.World, pace: Pace) -> Callable[[str], float]:
    return lambda address: rounds.batch_rate(made, address, pace)


def _notes() -> list[str]:
    notes = [_ONE_BODY, quantiles.NOTE]
    if not h2load.is_installed():
        notes.append(h2load.MISSING)
    notes += ALONE
    notes += [
        f"The transport {each} is not installed, so it is left out." for each in get_args(Transport) if not available(each)
    ]
    return notes


if __name__ == "__main__":
    main()
