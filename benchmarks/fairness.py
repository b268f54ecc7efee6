"""``make bench-fairness``: what one partner's flood, at ten times its quota, does to another partner's p99.

The gateway is the real one with one worker. The other partner keeps to a steady rate within its own quota; in each round it
is measured alone and beside the flood, in turn. The exit status is 0 when everything was measured, whether or not the floor
is met (the table says so), and not 0 when an answer was wrong.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple, get_args

import grpc
import msgspec

from benchmarks import quantiles, report, world
from benchmarks.beside import beside
from benchmarks.command import ALONE, parser, present, say
from benchmarks.figures import Figure, Floor, p99s
from benchmarks.flooding import Found
from benchmarks.machine import describe_machine
from benchmarks.openloop import Plan, Times
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

_FLOOD_S = 120.0
"""A flood begins before what is measured beside it, and ends after that, or in this time."""

_METHOD = (
    "The gateway (`portcullis serve gateway`, one worker, a replica of {entries:,} made-up entries) and the load have a "
    "processor each; the flood comes from what the measured load leaves of its own. One partner asks steadily, at random "
    "moments; beside it another asks ten times as often as was agreed with it. Alone and beside each flood are measured in "
    "turn within each round. The ratio is the median of the rounds' ratios."
)
_NOTES = (
    "A worker answers about 2,000 checks a second on grpcio, 20,000 on native. The smaller flood is a tenth of that.",
    "The larger one is half of it: others wait longer then even if each refusal cost no more than an answer.",
    "What finds no stream waits at its caller: of a flood that is larger than the gateway refuses, the rest is never sent.",
    quantiles.NOTE,
)


class Pace(msgspec.Struct, frozen=True):
    """How long a run measures, and by what it divides the quotas: a busy machine must be able to use them up."""

    rounds: int
    seconds: float
    entries: int
    divisor: int = 1


FULL = Pace(rounds=7, seconds=6.0, entries=100_000)
QUICK = Pace(rounds=1, seconds=1.0, entries=1_000, divisor=10)


class WrongAnswer(Exception):
    """The flood was not refused, or not let through as agreed."""


def main() -> None:
    """Read the arguments, run, and report."""
    arguments = parser("benchmarks.fairness", "Measure what a flood does to others.").parse_args()
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        run = measure(Path(folder), QUICK if arguments.quick else FULL, quick=arguments.quick)
    present(run, arguments.output)


def measure(folder: Path, pace: Pace, *, quick: bool) -> report.Run:
    """Measure both transports; ``folder`` takes the files of the run."""
    at = report.now()
    made = world.build(folder / "home", pace.entries, change=partial(_with_flooders, pace))
    figures: list[Figure] = []
    for transport in filter(available, get_args(Transport)):
        with gateway(made, transport) as (address, _):
            target = check_target(made, address, "Check", made.miss, types_pb2.OUTCOME_ALLOW)
            verify(target)
            say(f"floods on {transport}")
            figures += _beside_floods(target, transport, pace, folder)
    return report.Run(
        at=at,
        quick=quick,
        machine=describe_machine(folder),
        entries=pace.entries,
        figures=tuple(figures),
        notes=(*_NOTES, *ALONE),
        part="fairness",
        method=_METHOD,
    )


def _quotas(transport: Transport, pace: Pace) -> list[int]:
    return [each // pace.divisor for each in LOADS[transport][1:]]


def _key(quota: int) -> str:
    """Give the key of the partner of this quota."""
    return f"pcl_flood{quota:x<7}_" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


def _with_flooders(pace: Pace, edition: Edition) -> Edition:
    """Add a partner of each quota, and its key."""
    policy = edition.policy
    partner = policy.partner_named(world.PARTNER)
    assert partner is not None  # noqa: S101 - the world is of this partner
    partners, credentials = list(policy.partners), list(edition.credentials)
    for per_s in {quota for transport in LOADS for quota in _quotas(transport, pace)}:
        name, key = f"flooder-{per_s}", _key(per_s)
        quota = msgspec.structs.replace(partner.quota, checks_per_s=per_s)
        partners.append(msgspec.structs.replace(partner, name=name, quota=quota))
        credentials.append(Credential(key.split("_")[1], name, hashlib.sha256(key.encode()).hexdigest()))
    return msgspec.structs.replace(
        edition, policy=msgspec.structs.replace(policy, partners=tuple(partners)), credentials=tuple(credentials)
    )


def _beside_floods(target: Target, transport: Transport, pace: Pace, folder: Path) -> Iterator[Figure]:
    steady_rate = LOADS[transport].steady
    steady = Plan(call=target.call, rate=steady_rate, seconds=pace.seconds, sleeps=True)
    alone: list[Times] = []
    floods: dict[int, Plan] = {}
    for quota in _quotas(transport, pace):
        flooding = target._replace(headers={"authorization": f"Bearer {_key(quota)}"})
        _use_up(flooding, quota)
        floods[quota] = Plan(call=flooding.call, rate=TIMES_THE_QUOTA * quota, seconds=_FLOOD_S, seed=2)
    beside: dict[int, list[tuple[Times, Found]]] = {quota: [] for quota in floods}
    for _ in range(pace.rounds):
        alone.append(_timed(steady))
        for quota, flood in floods.items():
            beside[quota].append(_beside_flood(steady, flood, folder))
    for quota, found in beside.items():
        per_s = TIMES_THE_QUOTA * quota
        sent, refused = (median(getattr(each, name) for _, each in found) for name in ("sent", "refused"))
        # Where the machine is too busy to send more than was agreed, there is nothing to refuse.
        if not refused and sent > 2 / TIMES_THE_QUOTA:
            raise WrongAnswer(f"nobody was refused of {per_s} calls a second")
        what = (
            f"at {steady_rate:,} calls/s, beside another partner's {per_s:,} calls/s, {TIMES_THE_QUOTA} x quota "
            f"({sent:.0%} were sent, {refused:.0%} of them refused)"
        )
        yield from p99s(what, [times for times, _ in found], "alone", alone, transport=transport, floor=FAIR)


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


def _timed(plan: Plan) -> Times:
    return msgspec.json.decode(driver("benchmarks.openloop", plan), type=Times)


def _beside_flood(steady: Plan, flood: Plan, folder: Path) -> tuple[Times, Found]:
    """Measure one partner while another floods."""
    with beside("benchmarks.flooding", flood, "flooding", folder / "flood.log") as flooding:
        times = _timed(steady)
        flooding.end()
        return times, msgspec.json.decode(flooding.line_with("sent"), type=Found)


if __name__ == "__main__":
    main()
