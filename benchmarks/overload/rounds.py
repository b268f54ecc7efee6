"""What is measured: goodput and latency at five times what the gateway can take, and what attacks cost others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from statistics import median

import grpc
import msgspec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import h2load
from benchmarks.beside import Companion, beside
from benchmarks.figures import Figure, Floor, Series, p99s
from benchmarks.overload.attacking import ATTACKS, Attack
from benchmarks.overload.offering import Offer, Outcome
from benchmarks.rounds import driver
from benchmarks.targets import Target, load

GOODPUT = Floor("ratio", "at least", 0.9)
ADMITTED = Floor("ratio", "at most", 2.0)
OTHERS = Floor("ratio", "at most", 1.2)
GROWTH = Floor("value", "at most", 150.0)

TIMES = 5
DEADLINE_S = 0.5
NEAR_PEAK = 0.9
"""The share of the peak that is offered for the p99 at peak: at the whole of it a queue grows for as long as one looks."""

_HEALTH_EVERY_S = 0.05
_OTHERS_RATE = 400.0
"""Calls a second of the one who is timed: of a hundred the 99th percentile would be the longest, which the host decides."""


class Pace(msgspec.Struct, frozen=True):
    """How long a run measures: rounds, seconds of each load, entries in the replica, and the attacks by their names."""

    rounds: int
    load_s: float
    attack_s: float
    entries: int
    attacks: tuple[str, ...] = tuple(ATTACKS)


FULL = Pace(rounds=5, load_s=4.0, attack_s=3.0, entries=100_000)
QUICK = Pace(rounds=1, load_s=0.5, attack_s=0.5, entries=1_000)


class Unwell(Exception):
    """Health was not answered while the gateway was overloaded."""


def overload(target: Target, transport: str, pace: Pace, streams: int = h2load.STREAMS) -> list[Figure]:
    """Offer the peak, then five times the peak, in turn; look at health all the while.

    Args:
        target: what is called.
        transport: how it is reached.
        pace: how long.
        streams: calls under way on each connection of the load that finds the peak; none of them may be refused.

    Raises:
        Unwell: a look at health failed.
    """
    peaks, at_peak, over, looks = [], [], [], []
    for _ in range(pace.rounds):
        drive = load(target, seconds=pace.load_s, warm_up_s=pace.load_s / 4, streams=streams)
        peaks.append(drive.rate)
        at_peak.append(offer(target, drive.rate * NEAR_PEAK, pace.load_s))
        with healthy(target.address) as seen:
            over.append(offer(target, drive.rate * TIMES, pace.load_s))
        looks.append(max(seen))
    peak = f"its peak, {median(peaks):,.0f} calls/s"
    given = ", ".join(f"{name} {_share(over, name):.0%}" for name in ("good", "refused", "late", "broken", "given_up"))
    return [
        Figure(
            measured=Series(
                f"{target.name}, answered in time at {TIMES} x peak ({given})", "calls/s", _all(over, "goodput")
            ),
            baseline=Series(peak, "calls/s", tuple(peaks)),
            transport=transport,
            floor=GOODPUT,
        ),
        *p99s(
            f"of what is answered of {target.name} at {TIMES} x peak",
            over,
            f"at {NEAR_PEAK:.0%} of the peak",
            at_peak,
            transport=transport,
            floor=ADMITTED,
        ),
        Figure(
            measured=Series(f"slowest look at health, {target.name} at {TIMES} x peak", "ms", tuple(looks)),
            transport=transport,
        ),
    ]


def _all(outcomes: list[Outcome], name: str) -> tuple[float, ...]:
    return tuple(getattr(each, name) for each in outcomes)


def _share(outcomes: list[Outcome], name: str) -> float:
    return sum(getattr(each, name) for each in outcomes) / max(1, sum(each.offered for each in outcomes))


def offer(target: Target, rate: float, seconds: float, *, sleeps: bool = False) -> Outcome:
    """Offer calls at a rate; gives what became of them. Where others use its processor, the driver had better sleep."""
    plan = Offer(
        call=target.call,
        rate=rate,
        seconds=seconds,
        deadline_s=DEADLINE_S,
        warm_up_s=seconds / 4,
        sleeps=sleeps,
    )
    return msgspec.json.decode(driver("benchmarks.overload.offering", plan), type=Outcome)


@contextmanager
def healthy(address: str) -> Iterator[list[float]]:
    """Look at gRPC's health all the while; gives how long each look took, in milliseconds.

    Raises:
        Unwell: a look failed.
    """
    took, faults, stop = [0.0], [], threading.Event()

    def look() -> None:
        with grpc.insecure_channel(address) as channel:
            ask = health_pb2_grpc.HealthStub(channel).Check
            while not stop.wait(_HEALTH_EVERY_S):
                began = time.monotonic()
                try:
                    if ask(health_pb2.HealthCheckRequest(), timeout=5).status != health_pb2.HealthCheckResponse.SERVING:
                        faults.append("not serving")
                except grpc.RpcError as fault:
                    faults.append(str(fault.code()))
                took.append((time.monotonic() - began) * 1000)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()
    if faults:
        raise Unwell(f"{len(faults)} of {len(took) - 1} looks at health failed: {faults[0]}")


def attacked(target: Target, pid: int, transport: str, folder: Path, pace: Pace) -> list[Figure]:
    """Ask quietly, with the attacker's own key, while each attack goes on, on the gateway and on a sink by turns."""
    figures = []
    for name in pace.attacks:
        sink, gateway, grown = [], [], []
        for _ in range(pace.rounds):
            with attacking(Attack(name, 0, ""), folder):
                sink.append(offer(target, _OTHERS_RATE, pace.attack_s, sleeps=True))
            before = _memory_mib(pid)
            port = target.call.port
            with attacking(Attack(name, port, target.headers["authorization"].removeprefix("Bearer ")), folder):
                gateway.append(offer(target, _OTHERS_RATE, pace.attack_s, sleeps=True))
                grown.append(max(0.0, _memory_mib(pid) - before))
        answered = _share(gateway, "good")
        figures += [
            Figure(
                measured=Series(
                    f"{name}: p99 of others in a typical second ({answered:.1%} answered)",
                    "µs",
                    _all(gateway, "typical_p99_us"),
                ),
                baseline=Series("p99 while the same goes into a sink", "µs", _all(sink, "typical_p99_us")),
                transport=transport,
                floor=OTHERS,
            ),
            Figure(measured=Series(f"{name}: memory taken", "MiB", tuple(grown)), transport=transport, floor=GROWTH),
        ]
    return figures


def attacking(attack: Attack, folder: Path) -> AbstractContextManager[Companion]:
    """Let an attack go on, again and again, while the context lasts."""
    return beside("benchmarks.overload.attacking", attack, "attacking", folder / "attacks.log")


def _memory_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
