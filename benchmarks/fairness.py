"""``make bench-fairness``: what one partner's flood, at ten times its quota, does to another partner's p99.

The gateway is the real one with one worker. The other partner keeps to a steady rate within its own quota; in each round it
is measured alone and beside the flood, in turn. The exit status is 0 when everything was measured, whether or not the floor
is met (the table says so), and not 0 when an answer was wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from typing import get_args

import grpc
import msgspec

from benchmarks import report, world
from benchmarks.figures import Figure, Floor, Series
from benchmarks.flooding import Plans
from benchmarks.machine import describe_machine
from benchmarks.openloop import Plan, Times
from benchmarks.processes import PINNED_APART, REPOSITORY
from benchmarks.rounds import driver, in_turn
from benchmarks.targets import Target, check_target, gateway, verify
from portcullis.config import Transport
from portcullis.domain.editions import Credential, Edition
from portcullis.gateway.transports import available
from portcullis.v1 import types_pb2

FAIR = Floor("ratio", "at most", 1.2)

QUOTA = 100
"""Checks a second agreed on with the partner that floods."""
TIMES_THE_QUOTA = 10
STEADY = 500.0
"""Calls a second of the partner that is measured."""

_FLOODER = "flooder"
_KEY = "pcl_floodmrk_" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
_METHOD = (
    "The gateway (`portcullis serve gateway`, one worker, a replica of {entries:,} made-up entries) and the load have a "
    "processor each. One partner asks steadily, at random moments; beside it another asks ten times as often as was agreed "
    "with it. Alone and beside the flood are measured in turn within each round. The ratio is the median of the rounds' "
    "ratios."
)


class Pace(msgspec.Struct, frozen=True):
    """How long a run measures."""

    rounds: int
    seconds: float
    entries: int


FULL = Pace(rounds=7, seconds=8.0, entries=100_000)
QUICK = Pace(rounds=1, seconds=1.0, entries=1_000)


class WrongAnswer(Exception):
    """The flood was not refused, or not let through as agreed."""


def main() -> None:
    """Read the arguments, run, and report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fairness", description="Measure what a flood does to others."
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that all of it runs; no floor is judged")
    parser.add_argument(
        "--output", type=Path, default=REPOSITORY / "benchmarks" / "results", help="the folder of the results"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        run = measure(Path(folder), QUICK if arguments.quick else FULL, quick=arguments.quick)
    data, page = report.write(run, arguments.output)
    print(f"\n{report.terminal_table(run)}\n")
    for note in run.notes:
        print(f"note: {note}")
    print(f"written: {page}\n         {data}")


def measure(folder: Path, pace: Pace, *, quick: bool) -> report.Run:
    """Measure both transports; ``folder`` takes the files of the run."""
    at = report.now()
    made = world.build(folder / "home", pace.entries, change=_with_flooder)
    figures = []
    for transport in filter(available, get_args(Transport)):
        with gateway(made, transport) as (address, _):
            target = check_target(made, address, "Check", made.miss, types_pb2.OUTCOME_ALLOW)
            verify(target)
            print(f"{time.strftime('%H:%M:%S')} a flood on {transport}", flush=True)
            figures.append(_beside_a_flood(target, transport, pace))
    return report.Run(
        at=at,
        quick=quick,
        machine=describe_machine(folder),
        entries=pace.entries,
        figures=tuple(figures),
        notes=() if PINNED_APART else ("There is one processor only: server and load share it.",),
        part="fairness",
        method=_METHOD,
    )


def _with_flooder(edition: Edition) -> Edition:
    """Add a partner with a small quota, and its key."""
    policy = edition.policy
    partner = policy.partner_named(world.PARTNER)
    assert partner is not None  # noqa: S101 - the world is of this partner
    quota = msgspec.structs.replace(partner.quota, checks_per_s=QUOTA)
    flooder = msgspec.structs.replace(partner, name=_FLOODER, quota=quota)
    key = Credential("floodmrk", _FLOODER, hashlib.sha256(_KEY.encode()).hexdigest())
    return msgspec.structs.replace(
        edition,
        policy=msgspec.structs.replace(policy, partners=(*policy.partners, flooder)),
        credentials=(*edition.credentials, key),
    )


def _beside_a_flood(target: Target, transport: str, pace: Pace) -> Figure:
    flooding = target._replace(headers={"authorization": f"Bearer {_KEY}"})
    _use_up(flooding)
    steady = _plan(target, STEADY, pace, seed=1)
    flood = _plan(flooding, QUOTA * TIMES_THE_QUOTA, pace, seed=2)
    values = in_turn(
        pace.rounds,
        {
            "alone": lambda: _p99_us(Plans(measured=steady, flood=None)),
            "beside": lambda: _p99_us(Plans(measured=steady, flood=flood)),
        },
    )
    flooded = f"{QUOTA * TIMES_THE_QUOTA:,} calls/s, {TIMES_THE_QUOTA} x quota"
    name = f"p99 at {STEADY:,.0f} calls/s, beside another partner's {flooded}"
    measured, baseline = Series(name, "µs", values["beside"]), Series("p99 alone", "µs", values["alone"])
    return Figure(measured=measured, baseline=baseline, transport=transport, floor=FAIR)


def _use_up(target: Target) -> None:
    """Ask until the quota is used up.

    Raises:
        WrongAnswer: it never is, or at once.
    """
    through = 0
    with grpc.insecure_channel(target.address) as channel:
        ask = channel.unary_unary(target.path)
        try:
            while through < 100 * QUOTA:
                ask(target.message, metadata=tuple(target.headers.items()), timeout=10)
                through += 1
        except grpc.RpcError as fault:
            if through >= QUOTA and fault.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return
            raise
    raise WrongAnswer(f"{through} checks were let through of a partner that may ask {QUOTA} a second")


def _plan(target: Target, rate: float, pace: Pace, seed: int) -> Plan:
    host, _, port = target.address.rpartition(":")
    return Plan(
        host=host,
        port=int(port),
        path=target.path,
        headers=target.headers,
        message=target.message,
        rate=rate,
        seconds=pace.seconds,
        seed=seed,
    )


def _p99_us(plans: Plans) -> float:
    return msgspec.json.decode(driver("benchmarks.flooding", plans), type=Times).p99_us


if __name__ == "__main__":
    main()
