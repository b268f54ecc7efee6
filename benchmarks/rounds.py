"""The order of measuring: everything once a round, in turn, so that no figure and its baseline are far apart in time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import batches, durability, inprocess, openloop
from benchmarks.figures import Figure, Floor, Series, p99s
from benchmarks.processes import LOAD_CPU, REPOSITORY, SERVER_CPU, pinned
from benchmarks.targets import Target, load, verify
from benchmarks.world import BATCH, World

Say = Callable[[str], None]

THROUGHPUT = Floor("ratio", "at least", 0.75)
LATENCY = Floor("ratio", "at most", 1.3)
BATCHED = Floor("value", "at least", 100_000)
DECIDED = Floor("value", "at most", 10.0)
RECORDED = Floor("value", "at most", 3_000)
DURABLE = Floor("value", "at least", 10_000)
DURABLE_RATIO = Floor("ratio", "at least", 0.5)

QUIET = 100.0
"""Calls a second at which nobody waits for anybody else."""


class Pace(msgspec.Struct, frozen=True):
    """How long a run measures: seconds of each load, rounds, and calls of what is timed within the process."""

    rounds: int
    load_s: float
    warm_up_s: float
    latency_s: float
    batch_s: float
    calls: int
    appends: int
    spool_s: float
    entries: int


FULL = Pace(
    rounds=5,
    load_s=4.0,
    warm_up_s=1.0,
    latency_s=5.0,
    batch_s=3.0,
    calls=100_000,
    appends=300,
    spool_s=1.5,
    entries=1_000_000,
)
QUICK = Pace(
    rounds=1,
    load_s=0.4,
    warm_up_s=0.1,
    latency_s=0.4,
    batch_s=0.3,
    calls=2_000,
    appends=20,
    spool_s=0.1,
    entries=10_000,
)


def in_turn(rounds: int, measures: Mapping[str, Callable[[], float]]) -> dict[str, tuple[float, ...]]:
    """Measure everything once a round; gives each name's values in the order of the rounds."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            values[name].append(measure())
    return {name: tuple(each) for name, each in values.items()}


def throughput(found: tuple[Target, ...], transport: str, pace: Pace) -> list[Figure]:
    """Load every target with h2load; the targets answer rightly before and after."""
    values = in_turn(pace.rounds, {each.name: _load(each, pace) for each in found})
    for each in found:
        verify(each)
    series = [Series(name, "calls/s", rounds) for name, rounds in values.items()]
    echoes, checks = series[::2], series[1::2]
    floors = (THROUGHPUT, None)
    return [
        Figure(measured=check, baseline=echo, transport=transport, floor=floor)
        for check, echo, floor in zip(checks, echoes, floors, strict=True)
    ]


def _load(target: Target, pace: Pace) -> Callable[[], float]:
    return lambda: load(target, seconds=pace.load_s, warm_up_s=pace.warm_up_s).rate


def latency(found: tuple[Target, ...], transport: str, peak: float, pace: Pace) -> list[Figure]:
    """Offer half of Check's peak load to the miss and to its echo, and take the 99th percentile of their times."""
    echo, miss = found[:2]
    times: dict[str, list[openloop.Times]] = {each.name: [] for each in (echo, miss)}
    for _ in range(pace.rounds):
        for each in (echo, miss):
            times[each.name].append(_offered(each, peak / 2, pace))
    for each in (echo, miss):
        verify(each)
    what = f"of {miss.name}, at {peak / 2:,.0f} calls/s"
    return p99s(what, times[miss.name], f"of {echo.name}", times[echo.name], transport=transport, floor=LATENCY)


def recording(found: tuple[Target, ...], transport: str, folder: Path, pace: Pace) -> list[Figure]:
    """Offer refusals and misses at a quiet rate, and take how much longer the median refusal takes: it is on the disk."""
    miss, hit = found[1], found[3]
    values = in_turn(
        pace.rounds,
        {
            # A disk that was left alone for a while is slower than one that is kept busy.
            "fsync": lambda: durability.raw_fsync_us(folder, pace.appends, pause_s=1 / QUIET),
            "miss": lambda: _offered(miss, QUIET, pace).p50_us,
            "hit": lambda: _offered(hit, QUIET, pace).p50_us,
        },
    )
    for each in (miss, hit):
        verify(each)
    longer = tuple(hit_us - miss_us for hit_us, miss_us in zip(values["hit"], values["miss"], strict=True))
    measured = Series(f"p50 of a RESTRICT above an ALLOW's, at {QUIET:g} calls/s", "µs", longer)
    baseline = Series(f"raw write and fdatasync, at {QUIET:g}/s", "µs", values["fsync"])
    return [Figure(measured=measured, baseline=baseline, transport=transport, floor=RECORDED)]


def _offered(target: Target, rate: float, pace: Pace) -> openloop.Times:
    plan = openloop.Plan(call=target.call, rate=rate, seconds=pace.latency_s, warm_up_s=pace.warm_up_s)
    return msgspec.json.decode(driver("benchmarks.openloop", plan), type=openloop.Times)


def batch(world: World, address: str, transport: str, pace: Pace) -> list[Figure]:
    """Keep one worker busy with batches of misses."""
    values = in_turn(pace.rounds, {"batch": lambda: batch_rate(world, address, pace)})
    measured = Series(f"BatchCheck({BATCH:,}), misses", "checks/s", values["batch"])
    return [Figure(measured=measured, transport=transport, floor=BATCHED)]


def batch_rate(world: World, address: str, pace: Pace) -> float:
    """Keep one worker busy with batches once; gives checks a second."""
    plan = batches.Plan(
        address=address, key=world.key, batch=world.batch.SerializeToString(), checks=BATCH, seconds=pace.batch_s
    )
    return float(driver("benchmarks.batches", plan))


def driver(module: str, plan: msgspec.Struct) -> bytes:
    """Run a module that reads its plan from standard input, on the load's processor; gives what it prints.

    Raises:
        RuntimeError: it ended with a fault; the message shows the end of what it said.
    """
    with pinned(LOAD_CPU):
        done = subprocess.run(
            [sys.executable, "-m", module], input=msgspec.json.encode(plan), capture_output=True, cwd=REPOSITORY, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def in_process(world: World, pace: Pace) -> list[Figure]:
    """Time deciding and its parts, beside an LMDB get alone."""
    world.vouch()
    with pinned(SERVER_CPU), inprocess.measures(world) as measures:
        for measure in measures.values():
            measure(pace.calls // 10)
        values = in_turn(pace.rounds, {name: _calls(measure, pace.calls) for name, measure in measures.items()})
    series = {name: Series(name, "µs", rounds) for name, rounds in values.items()}
    baseline = series.pop(inprocess.LOOK_UP)
    floors = {inprocess.DECIDE: DECIDED}
    return [Figure(measured=each, baseline=baseline, floor=floors.get(name)) for name, each in series.items()]


def _calls(measure: inprocess.Measure, calls: int) -> Callable[[], float]:
    return lambda: measure(calls)


def durable(folder: Path, pace: Pace) -> list[Figure]:
    """Time the spool beside a raw fsync and raw group commits."""
    with pinned(SERVER_CPU), asyncio.Runner() as runner, durability.spool(folder) as spool:

        def awaited(measure: Callable[[], Awaitable[float]]) -> Callable[[], float]:
            async def measured() -> float:
                return await measure()

            return lambda: runner.run(measured())

        values = in_turn(
            pace.rounds,
            {
                "fsync": lambda: durability.raw_fsync_us(folder, pace.appends),
                "single": awaited(lambda: durability.single_append_us(spool, pace.appends)),
                "raw": lambda: durability.raw_group_commit_rate(folder, pace.spool_s),
                "concurrent": awaited(lambda: durability.concurrent_rate(spool, pace.spool_s)),
                "batches": awaited(lambda: durability.batch_rate(spool, pace.spool_s)),
            },
        )
    fsync = Series("raw write and fdatasync", "µs", values["fsync"])
    raw = Series(f"raw writes of {durability.GROUP} and fdatasync", "records/s", values["raw"])
    single = Series("spool, one append at a time", "µs", values["single"])
    concurrent = Series(f"spool, {durability.GROUP} callers of one record", "records/s", values["concurrent"])
    in_batches = Series(f"spool, appends of {durability.GROUP}", "records/s", values["batches"])
    return [
        Figure(measured=single, baseline=fsync),
        Figure(measured=concurrent, baseline=raw),
        Figure(measured=in_batches, baseline=raw, floor=DURABLE_RATIO),
        Figure(measured=in_batches, floor=DURABLE),
    ]


def peak_of(figures: list[Figure]) -> float:
    """Give the median of Check's throughput on a miss."""
    return median(figures[0].measured.rounds)
