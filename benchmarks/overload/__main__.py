"""``make bench-overload``: five times what the gateway can take, and attacks, with what they cost others.

The exit status is 0 when everything was measured, whether or not the floors are met (the table says so), and not 0 when
health was not answered or a part could not be run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import get_args

import msgspec

from benchmarks import h2load, quantiles, report, world
from benchmarks.command import ALONE, parser, present, say
from benchmarks.figures import Figure
from benchmarks.machine import describe_machine
from benchmarks.overload import edge, rounds
from benchmarks.overload.attacking import ATTACKS
from benchmarks.overload.rounds import DEADLINE_S, FULL, NEAR_PEAK, QUICK, TIMES, Pace
from benchmarks.targets import Gateway, Target, batch_target, check_target, gateway, verify
from benchmarks.world import World
from portcullis.config import Transport
from portcullis.gateway.transport.transports import available
from portcullis.v1 import types_pb2

_METHOD = (
    "The gateway (`portcullis serve gateway`, one worker, a replica of {entries:,} made-up entries) has a processor of its "
    "own; load, attackers and Envoy share another. Every figure and its baseline were measured in turn within each round. "
    "The ratio is the median of the rounds' ratios."
)
_BATCH = 100
_BATCH_STREAMS = 4
_LARGE_BATCH = 350
_LARGE_STREAMS = 2
"""With the connections of h2load it makes the 16 batches that Envoy, as shipped, lets through to a worker."""

_OF_OVERLOAD = (
    (
        f"The peak is h2load's, with {h2load.CLIENTS * h2load.STREAMS} calls under way, or "
        f"{h2load.CLIENTS * _BATCH_STREAMS} batches. At {TIMES} times it calls come at random moments over 16 connections, "
        f"each with a deadline of {DEADLINE_S:g} s, and their time counts from when they were due; a call that finds no "
        "stream or window free waits at its caller until its deadline, as gRPC's "
        f"clients have calls wait. The p99 at peak is of the same driver at {NEAR_PEAK:.0%} of the peak's rate."
    ),
    (
        "A Check is too quick on native for this driver to offer five times its peak, and anywhere for Envoy, which shares "
        "the driver's processor: batches stand for it there. Behind Envoy the peak is with the 16 batches under way that it "
        "lets through."
    ),
    quantiles.NOTE,
)
_OF_ATTACKS = (
    (
        "Others ask 400 times a second. Attackers repeat their bout of thousands of frames at a pause of 50 ms, with a good "
        "key, on what others and Envoy leave of the driver's processor: real ones have machines of their own. In the "
        "baseline they do the same to a port of their own process that takes it and does nothing."
    ),
    "Memory is the gateway's resident memory after the attack, without Envoy's; the median hides what one round took.",
    f"{quantiles.NOTE} Of others during attacks it is the one meant.",
)
_PARTS = {"overload": _OF_OVERLOAD, "attacks": _OF_ATTACKS}


def main() -> None:
    """Read the arguments, run, and report."""
    given = parser("benchmarks.overload", "Measure overload and attacks.")
    given.add_argument("--only", choices=_PARTS, help="measure this alone")
    given.add_argument(
        "--attack", choices=ATTACKS, action="append", help="measure this attack alone; may be given more than once"
    )
    given.add_argument("--rounds", type=int, help="how many rounds; more where the host is unquiet")
    arguments = given.parse_args()
    if not h2load.is_installed():
        given.exit(2, f"{h2load.MISSING}\n")
    parts = ("attacks",) if arguments.attack else (arguments.only,) if arguments.only else tuple(_PARTS)
    pace = QUICK if arguments.quick else FULL
    pace = msgspec.structs.replace(
        pace, rounds=arguments.rounds or pace.rounds, attacks=tuple(arguments.attack or pace.attacks)
    )
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        runs = measure(Path(folder), pace, parts, quick=arguments.quick)
    for run in runs:
        present(run, arguments.output)


def measure(folder: Path, pace: Pace, parts: Sequence[str], *, quick: bool) -> list[report.Run]:
    """Measure what can be measured here of these parts; ``folder`` takes the files of the run."""
    at, machine = report.now(), describe_machine(folder)
    made = world.build(folder / "home", pace.entries)
    figures: dict[str, list[Figure]] = {part: [] for part in parts}
    for transport in filter(available, get_args(Transport)):
        with gateway(made, transport) as served, closing(_ways(served, transport, folder)) as ways:
            for name, address in ways:
                if "overload" in figures:
                    figures["overload"] += _told(f"overload on {name}", _overload(made, address, name, pace))
                if "attacks" in figures:
                    attacked = rounds.attacked(_check(made, address), served.pid, name, folder, pace)
                    figures["attacks"] += _told(f"attacks on {name}", attacked)
    return [
        report.Run(
            at=at,
            quick=quick,
            machine=machine,
            entries=pace.entries,
            figures=tuple(figures[part]),
            notes=(*_PARTS[part], *_missing()),
            # A run of some of them leaves the page of all as it is.
            part=part if pace.attacks == FULL.attacks else f"some-{part}",
            method=_METHOD,
        )
        for part in parts
    ]


def _ways(served: Gateway, transport: str, folder: Path) -> Generator[tuple[str, str]]:
    """Give each way to a gateway by its name, and where it begins: bare, and through Envoy where there is one to run."""
    yield transport, served.address
    if edge.is_installed():
        with edge.envoy_before(served.address, folder / "envoy") as before:
            yield f"Envoy, {transport}", before


def _overload(made: World, address: str, name: str, pace: Pace) -> list[Figure]:
    if name.startswith("Envoy"):
        large = batch_target(made, address, made.miss, _LARGE_BATCH)
        return rounds.overload(large, name, pace, streams=_LARGE_STREAMS)
    batch = batch_target(made, address, made.miss, _BATCH)
    batches = rounds.overload(batch, name, pace, streams=_BATCH_STREAMS)
    return batches if name == "native" else rounds.overload(_check(made, address), name, pace) + batches


def _check(made: World, address: str) -> Target:
    target = check_target(made, address, "Check", made.miss, types_pb2.OUTCOME_ALLOW)
    verify(target)
    return target


def _missing() -> Iterator[str]:
    if not edge.is_installed():
        yield "There is no Envoy for this platform, so nothing was measured behind one."
    if not available("native"):
        yield "The transport native is not installed, so it is left out."
    yield from ALONE


def _told(what: str, figures: list[Figure]) -> list[Figure]:
    """Print figures as they come: a run takes long, and what comes last may fail."""
    say(f"measured: {what}")
    for each in figures:
        ratio = "" if each.ratio is None else f", ratio {each.ratio:.2f}"
        print(f"  {each.measured.name}: {each.measured.median:,.0f} {each.measured.unit}{ratio}", flush=True)
    return figures


if __name__ == "__main__":
    main()
