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
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import grpc
import msgspec

from benchmarks import quantiles, report, world
from benchmarks.figures import Figure, Floor, Series
from benchmarks.flooding import Plans
from benchmarks.machine import describe_machine
from benchmarks.openloop import Plan, Times
from benchmarks.processes import PINNED_APART, REPOSITORY
from benchmarks.rounds import driver
from benchmarks.targets import Target, check_target, gateway, verify
from portcullis.config import Transport
from portcullis.domain.editions import Credential, Edition
from portcullis.gateway.transport.transports import available
from portcullis.v1 import types_pb2

FAIR = Floor("ratio", "at most", 1.2)

TIMES_THE_QUOTA = 10


class Loads(NamedTuple):
    """What is asked of one transport, in calls a second.

    Attributes:
        steady: of the partner that is measured.
        quota: what was agreed with the partner that floods: a hundredth of what a worker can answer.
        large_quota: of another such partner: a twentieth, so that its flood is half of what a worker can answer.
    """

    steady: int
    quota: int
    large_quota: int


LOADS: dict[Transport, Loads] = {"grpcio": Loads(500, 20, 100), "native": Loads(2_000, 200, 1_000)}

_KEYS = {
    quota: f"pcl_flood{quota:x<7}_" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
    for loads in LOADS.values()
    for quota in (loads.quota, loads.large_quota)
}
_METHOD = (
    "The gateway (`portcullis serve gateway`, one worker, a replica of {entries:,} made-up entries) and the load have a "
    "processor each. One partner asks steadily, at random moments; beside it another asks ten times as often as was agreed "
    "with it. Alone and beside each flood are measured in turn within each round. The ratio is the median of the rounds' "
    "ratios."
)
_NOTES = (
    "A worker answers about 2,000 checks a second on grpcio, 20,000 on native. The smaller flood is a tenth of that.",
    "The larger one is half of it: others wait longer then even if each refusal cost no more than an answer.",
    quantiles.NOTE,
)


class Pace(msgspec.Struct, frozen=True):
    """How long a run measures."""

    rounds: int
    seconds: float
    entries: int


FULL = Pace(rounds=9, seconds=6.0, entries=100_000)
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
    made = world.build(folder / "home", pace.entries, change=_with_flooders)
    figures: list[Figure] = []
    for transport in filter(available, get_args(Transport)):
        with gateway(made, transport) as (address, _):
            target = check_target(made, address, "Check", made.miss, types_pb2.OUTCOME_ALLOW)
            verify(target)
            print(f"{time.strftime('%H:%M:%S')} floods on {transport}", flush=True)
            figures += _beside_floods(target, transport, pace)
    return report.Run(
        at=at,
        quick=quick,
        machine=describe_machine(folder),
        entries=pace.entries,
        figures=tuple(figures),
        notes=_NOTES if PINNED_APART else (*_NOTES, "There is one processor only: server and load share it."),
        part="fairness",
        method=_METHOD,
    )


def _with_flooders(edition: Edition) -> Edition:
    """Add a partner of each quota, and its key."""
    policy = edition.policy
    partner = policy.partner_named(world.PARTNER)
    assert partner is not None  # noqa: S101 - the world is of this partner
    partners, credentials = list(policy.partners), list(edition.credentials)
    for per_s, key in _KEYS.items():
        name = f"flooder-{per_s}"
        quota = msgspec.structs.replace(partner.quota, checks_per_s=per_s)
        partners.append(msgspec.structs.replace(partner, name=name, quota=quota))
        credentials.append(Credential(key.split("_")[1], name, hashlib.sha256(key.encode()).hexdigest()))
    return msgspec.structs.replace(
        edition, policy=msgspec.structs.replace(policy, partners=tuple(partners)), credentials=tuple(credentials)
    )


def _beside_floods(target: Target, transport: Transport, pace: Pace) -> Iterator[Figure]:
    loads = LOADS[transport]
    steady = _plan(target, loads.steady, pace, seed=1)
    floods: dict[str, Plan | None] = {"alone": None}
    for quota in loads[1:]:
        flooding = target._replace(headers={"authorization": f"Bearer {_KEYS[quota]}"})
        _use_up(flooding, quota)
        floods[f"{TIMES_THE_QUOTA * quota:,}"] = _plan(flooding, TIMES_THE_QUOTA * quota, pace, seed=2)
    found: dict[str, list[Times]] = {name: [] for name in floods}
    for _ in range(pace.rounds):
        for name, flood in floods.items():
            found[name].append(_times(Plans(measured=steady, flood=flood)))
    alone = found.pop("alone")
    for per_s, beside in found.items():
        what = f"at {loads.steady:,} calls/s, beside another partner's {per_s} calls/s, {TIMES_THE_QUOTA} x quota"
        floor = FAIR if per_s == f"{TIMES_THE_QUOTA * loads.quota:,}" else None
        for name, field, asked in (("p99 of a typical second", "typical_p99_us", floor), ("p99 of all", "p99_us", None)):
            yield Figure(
                measured=Series(f"{name} {what}", "µs", tuple(getattr(each, field) for each in beside)),
                baseline=Series(f"{name} alone", "µs", tuple(getattr(each, field) for each in alone)),
                transport=transport,
                floor=asked,
            )


def _use_up(target: Target, quota: int) -> None:
    """Ask until the quota (checks a second) is used up.

    Raises:
        WrongAnswer: it never is, or at once.
    """
    through = 0
    with grpc.insecure_channel(target.address) as channel:
        ask = channel.unary_unary(target.path)
        try:
            while through < 100 * quota:
                ask(target.message, metadata=tuple(target.headers.items()), timeout=10)
                through += 1
        except grpc.RpcError as fault:
            if through >= quota and fault.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return
            raise
    raise WrongAnswer(f"{through} checks were let through of a partner that may ask {quota} a second")


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


def _times(plans: Plans) -> Times:
    return msgspec.json.decode(driver("benchmarks.flooding", plans), type=Times)


if __name__ == "__main__":
    main()
