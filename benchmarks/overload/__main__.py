"""``make bench-overload``: five times what the gateway can take, and attacks, with what they cost others.

The exit status is 0 when everything was measured, whether or not the floors are met (the table says so), and not 0 when
health was not answered or a part could not be run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import h2load, quantiles, report, world
from benchmarks.figures import Figure
from benchmarks.machine import describe_machine
from benchmarks.overload import edge, rounds
from benchmarks.overload.rounds import DEADLINE_S, FULL, QUICK, TIMES, Pace
from benchmarks.processes import PINNED_APART, REPOSITORY
from benchmarks.targets import CHECK, Target, check_target, gateway, verify
from benchmarks.world import World
from portcullis.gateway.transport.transports import available
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2

RESULTS = REPOSITORY / "benchmarks" / "results"

_METHOD = (
    "The gateway (`portcullis serve gateway`, one worker, a replica of {entries:,} made-up entries) has a processor of its "
    "own; load, attackers and Envoy share another. Every figure and its baseline were measured in turn within each round. "
    "The ratio is the median of the rounds' ratios."
)
_BATCH = 100
_NOTES = (
    (
        f"The peak is h2load's, with {h2load.CLIENTS * h2load.STREAMS} calls under way. At {TIMES} times it calls come at "
        f"random moments over 8 connections, each with a deadline of {DEADLINE_S:g} s, and their time counts from when "
        "they were due; a call that finds no stream or window free within 20 ms is given up by the caller. The p99 at peak "
        "is of the same driver at the peak's rate."
    ),
    "A Check is too quick on native for this driver to offer five times its peak: batches stand for it there.",
    (
        "Others ask 100 times a second. Attackers repeat their bout of thousands of frames at a pause of 50 ms, with a good "
        "key; in the baseline they do the same to a port that takes it and does nothing, since they share the driver's "
        "processor."
    ),
    f"{quantiles.NOTE} Of others during attacks it is the one meant.",
)


def main() -> None:
    """Read the arguments, run, and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description="Measure overload and attacks.")
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that all of it runs; no floor is judged")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    arguments = parser.parse_args()
    if not h2load.is_installed():
        parser.exit(2, f"{h2load.MISSING}\n")
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        run = measure(Path(folder), QUICK if arguments.quick else FULL, quick=arguments.quick)
    data, page = report.write(run, arguments.output)
    print(f"\n{report.terminal_table(run)}\n")
    for note in run.notes:
        print(f"note: {note}")
    print(f"written: {page}\n         {data}")


def measure(folder: Path, pace: Pace, *, quick: bool) -> report.Run:
    """Measure everything that can be measured here; ``folder`` takes the files of the run."""
    at = report.now()
    made = world.build(folder / "home", pace.entries)
    figures = _grpcio(made, folder, pace)
    if available("native"):
        figures += _native(made, folder, pace)
    return report.Run(
        at=at,
        quick=quick,
        machine=describe_machine(folder),
        entries=pace.entries,
        figures=tuple(figures),
        notes=tuple(_notes()),
        part="overload",
        method=_METHOD,
    )


def _grpcio(made: World, folder: Path, pace: Pace) -> list[Figure]:
    with gateway(made, "grpcio") as (address, pid):
        target = _check(made, address)
        figures = _told("overload on grpcio", rounds.overload(target, "grpcio", pace))
        figures += _told("attacks on grpcio", rounds.attacked(target, pid, "grpcio", folder, pace))
        with _edge(address, folder) as before:
            if before:
                figures += _told("grpcio behind Envoy", rounds.overload(_check(made, before), "Envoy, grpcio", pace))
    return figures


def _native(made: World, folder: Path, pace: Pace) -> list[Figure]:
    with gateway(made, "native") as (address, pid):
        figures = _told("overload on native", rounds.overload(_batch(made, address), "native", pace))
        figures += _told("attacks on native", rounds.attacked(_check(made, address), pid, "native", folder, pace))
        with _edge(address, folder) as before:
            if before:
                figures += _told("native behind Envoy", rounds.overload(_batch(made, before), "Envoy, native", pace))
                attacked = rounds.attacked(_check(made, before), pid, "Envoy, native", folder, pace)
                figures += _told("attacks on native behind Envoy", attacked)
    return figures


@contextmanager
def _edge(address: str, folder: Path) -> Iterator[str]:
    """Give the address of an Envoy before the gateway; "" where there is none to run."""
    if not edge.is_installed():
        yield ""
        return
    with edge.envoy_before(address, folder / "envoy") as before:
        yield before


def _check(made: World, address: str) -> Target:
    target = check_target(made, address, "Check", made.miss, types_pb2.OUTCOME_ALLOW)
    verify(target)
    return target


def _batch(made: World, address: str) -> Target:
    """Describe a batch that fits a stream's first window, about one person: it must not look like going through numbers."""
    message = pb.BatchCheckRequest(requests=[made.miss] * _BATCH).SerializeToString()
    body = made.home / "batch.body"
    body.write_bytes(h2load.frame(message))
    path = CHECK.removesuffix("Check") + "BatchCheck"
    return Target(f"BatchCheck({_BATCH})", address, path, message, body, made.headers, 0, None)


def _notes() -> Iterator[str]:
    yield from _NOTES
    if not edge.is_installed():
        yield "There is no Envoy for this platform, so nothing was measured behind one."
    if not available("native"):
        yield "The transport native is not installed, so it is left out."
    if not PINNED_APART:
        yield "There is one processor only: server and load share it, and the figures are lower for it."


def _told(what: str, figures: list[Figure]) -> list[Figure]:
    """Print figures as they come: a run takes long, and what comes last may fail."""
    print(f"{time.strftime('%H:%M:%S')} measured: {what}", flush=True)
    for each in figures:
        ratio = "" if each.ratio is None else f", ratio {each.ratio:.2f}"
        print(f"  {each.measured.name}: {each.measured.median:,.0f} {each.measured.unit}{ratio}", flush=True)
    return figures


if __name__ == "__main__":
    main()
