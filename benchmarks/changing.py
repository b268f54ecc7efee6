"""Checks while the replica changes: does an answer ever mix two versions, does one fail, and what do the changes cost?

The replica is a worker's real one, led on by a process of its own each tenth of a second (`benchmarks.deltas`). The checks
go through the gateway's own handlers, with its tick at work beside them, in one process and without a transport, so that a
million of them pass in a minute. Most find nothing. One in four asks about the twins, two people whose entries tell the
version; now and then a batch asks about them a hundred times, since a batch gives way to the tick while it is decided.

A check's time counts from the end of the one before, so whatever the tick takes of the event loop is in it. Rounds with and
without changes go in turn.

``python -m benchmarks.changing`` runs it; the exit status is 1 if an answer was mixed or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import uvloop
from prometheus_client import CollectorRegistry

from benchmarks import deltas, world
from benchmarks.figures import Figure, Floor, Series
from benchmarks.processes import LOAD_CPU, SERVER_CPU, line_with, pinned, running
from benchmarks.world import ACTION, KIND, PURPOSE, World
from portcullis.adapters.clock import SystemClock
from portcullis.config import Settings
from portcullis.demo import people
from portcullis.domain.identifiers import Identifier
from portcullis.gateway.server import Gateway
from portcullis.gateway.servicers.check import SERVICE
from portcullis.metrics import CheckTally
from portcullis.ports import DecisionRecord
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2

CHECKS = 1_000_000
QUICK_CHECKS = 5_000
ROUNDS = 5
EVERY_S = 0.1
FLOOR = Floor("ratio", "at most", 1.5)

_TWINS_EACH = 4
_BATCH_EACH = 2_000
_BATCH = 100
_TURN_EACH = 16
"""Checks between two turns of the event loop: as many calls as a worker finds waiting when it is busy."""

_FIRST_TWIN = 200_000_000
_TWINS = (people.resident_id(_FIRST_TWIN), people.resident_id(_FIRST_TWIN + 1))


class WrongAnswers(Exception):
    """Answers were mixed or wrong, so their times mean nothing."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one round. ``versions`` is how many versions answered; times are microseconds of a single check."""

    checks: int
    mixed: int
    failed: int
    versions: int
    p50_us: float
    p99_us: float
    p999_us: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The rounds with changes, and those without, in turn."""

    changing: tuple[Seen, ...]
    still: tuple[Seen, ...]

    @property
    def is_right(self) -> bool:
        """Whether no answer was mixed and none failed."""
        return not any(each.mixed or each.failed for each in (*self.changing, *self.still))

    def figures(self) -> list[Figure]:
        """Give the medians and the 99th percentiles, each beside that of the rounds without changes.

        Raises:
            WrongAnswers: an answer was mixed or wrong.
        """
        if not self.is_right:
            raise WrongAnswers(f"answers were mixed or wrong: {self.changing} and {self.still}")
        return [self._figure("p50", lambda seen: seen.p50_us), self._figure("p99", lambda seen: seen.p99_us, FLOOR)]

    def _figure(self, name: str, of: Callable[[Seen], float], floor: Floor | None = None) -> Figure:
        measured = Series(f"{name} of a check, a change each {EVERY_S:g} s", "µs", tuple(map(of, self.changing)))
        baseline = Series(f"{name} of a check, no change", "µs", tuple(map(of, self.still)))
        return Figure(measured=measured, baseline=baseline, floor=floor)


def compare(made: World, checks: int, rounds: int = ROUNDS, every_s: float = EVERY_S) -> Comparison:
    """Make so many checks while the replica changes, in rounds, and as many while it does not."""
    each = -(-checks // rounds)
    changing, still = [], []
    for _ in range(rounds):
        with writer(made, every_s), pinned(SERVER_CPU):
            changing.append(uvloop.run(ask(made, each)))
        # Nobody vouches meanwhile: the lists of the demonstration are good for hours.
        with pinned(SERVER_CPU):
            still.append(uvloop.run(ask(made, each)))
    return Comparison(changing=tuple(changing), still=tuple(still))


@contextmanager
def writer(made: World, every_s: float = EVERY_S) -> Iterator[None]:
    """Lead the replica of a world on while the context lasts; at its begin the first version is in."""
    tokeniser = made.tokeniser()
    (first,), (second,) = (tokeniser.index_tokens(Identifier(KIND, each.value)) for each in _TWINS)
    number = world.number_of(made.edition.policy)
    plan = deltas.Plan(replica=str(made.home / "replica"), number=number, twins=(first, second), every_s=every_s)
    log = made.home / "deltas.log"
    arguments = ["-m", "benchmarks.deltas", msgspec.json.encode(plan).decode()]
    with running(arguments, cpu=LOAD_CPU, log=log) as process:
        line_with(process, deltas.FIRST_LINE, log=log)
        yield


async def ask(made: World, checks: int) -> Seen:
    """Make so many checks of the replica as it is, or as it becomes meanwhile."""
    clock = SystemClock()
    with closing(made.replica()) as replica:
        gateway = Gateway(
            settings=Settings(home=made.home),
            replica=replica,
            spool=_Forgetful(),
            tokeniser=made.tokeniser(),
            subjects=made.subjects(),
            clock=clock,
            tally=CheckTally(CollectorRegistry()),
        )
        await gateway.refresh()
        tick = asyncio.create_task(_tick(gateway))
        try:
            asking = _Asking(made, gateway)
            await asking.warm_up()
            return await asking.run(checks)
        finally:
            tick.cancel()
            await asyncio.gather(tick, return_exceptions=True)


async def _tick(gateway: Gateway) -> None:
    """Do what a worker's tick does to its view."""
    while True:
        await gateway.refresh()
        await asyncio.sleep(gateway.settings.refresh_interval_s)


class _Asking:
    """Asks one gateway, and looks at every answer."""

    def __init__(self, made: World, gateway: Gateway) -> None:
        methods = gateway.services[SERVICE]
        self._check, self._batch = methods["Check"].unary_unary, methods["BatchCheck"].unary_unary
        self._call = _Call(made.headers)
        self._misses = [each.SerializeToString() for each in made.batch.requests]
        twins = _question()
        self._twins = twins.SerializeToString()
        self._many = pb.BatchCheckRequest(requests=[twins] * _BATCH).SerializeToString()
        self._mixed = self._failed = 0
        self._versions: set[str] = set()

    async def warm_up(self) -> None:
        """Let the gateway learn the questions."""
        for body in (*self._misses, *[self._twins] * 200):
            await self._check(body, self._call)

    async def run(self, checks: int) -> Seen:
        """Make so many checks."""
        times, made, last = array("Q"), 0, time.perf_counter_ns()
        while made < checks:
            place = len(times)
            if place % _BATCH_EACH == _BATCH_EACH - 1:
                made += await self._ask_many()
                last = time.perf_counter_ns()
            if place % _TURN_EACH == 0:
                await asyncio.sleep(0)
            twins = place % _TWINS_EACH == 0
            answer = await self._answer(self._twins if twins else self._misses[place % len(self._misses)])
            now = time.perf_counter_ns()
            times.append(now - last)
            made += 1
            # What it takes to look at the answer is not the check's.
            self._look(answer, listed=twins)
            last = time.perf_counter_ns()
        return self._seen(times, made)

    async def _answer(self, body: bytes) -> bytes:
        try:
            answer: bytes = await self._check(body, self._call)
        except Exception:  # noqa: BLE001 - whatever it is, the check has failed
            return b""
        return answer

    async def _ask_many(self) -> int:
        try:
            results = pb.BatchCheckResponse.FromString(await self._batch(self._many, self._call)).results
        except Exception:  # noqa: BLE001 - as above
            results = []
        if len(results) != _BATCH or len({each.response.snapshot.version for each in results}) != 1:
            self._mixed += 1
        for each in results:
            self._look(each.response.SerializeToString(), listed=True)
        return _BATCH

    def _look(self, answer: bytes, *, listed: bool) -> None:
        response = pb.CheckResponse.FromString(answer)
        self._failed += has_failed(response, listed=listed)
        self._mixed += is_mixed(response)
        self._versions.add(response.snapshot.version)

    def _seen(self, times: Sequence[int], made: int) -> Seen:
        ordered = sorted(times)
        p50, p99, p999 = (ordered[int(len(ordered) * share)] / 1000 for share in (0.5, 0.99, 0.999))
        return Seen(
            checks=made,
            mixed=self._mixed,
            failed=self._failed,
            versions=len(self._versions),
            p50_us=p50,
            p99_us=p99,
            p999_us=p999,
        )


def has_failed(response: pb.CheckResponse, *, listed: bool) -> bool:
    """Say whether an answer is not what the customer must get: the twins a refusal with a reason for each, others none."""
    outcome, reasons = (types_pb2.OUTCOME_RESTRICT, len(_TWINS)) if listed else (types_pb2.OUTCOME_ALLOW, 0)
    return response.outcome != outcome or len(response.reasons) != reasons or response.degraded


def is_mixed(response: pb.CheckResponse) -> bool:
    """Say whether an answer holds an entry of another version than it names."""
    return any(each.case_reference != response.snapshot.version for each in response.reasons)


def _question() -> pb.CheckRequest:
    """Ask about the twins as if they were one customer."""
    request = pb.CheckRequest(action=ACTION, purpose=PURPOSE)
    for each in _TWINS:
        request.identifiers.add(kind=each.kind, value=each.value)
    request.attributes.add(name="train").string_value = "G101"
    return request


class _Call:
    """What a handler looks at of its call; an error that ends it is raised."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._metadata = tuple(headers.items())

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    async def abort_with_status(self, status: object) -> None:
        raise RuntimeError(status)


class _Forgetful:
    """A spool that keeps nothing: a million records are not what is measured."""

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Nothing to give up."""


def main() -> int:
    """Read the arguments, run, and report; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.changing", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checks", type=int, default=CHECKS, help="how many checks while the replica changes")
    parser.add_argument("--entries", type=int, default=1_000_000, help="how many entries the replica holds")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="in how many rounds")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        found = compare(world.build(Path(folder) / "home", arguments.entries), arguments.checks, arguments.rounds)
    for name, rounds in (("changing", found.changing), ("still", found.still)):
        for each in rounds:
            print(
                f"{name:9} {each.checks:,} checks, {each.versions} versions, {each.mixed} mixed, {each.failed} failed; "
                f"p50 {each.p50_us:.1f}, p99 {each.p99_us:.1f}, p99.9 {each.p999_us:.1f} µs"
            )
    for figure in found.figures() if found.is_right else ():
        judged = f"({figure.floor}: {'met' if figure.met else 'missed'})" if figure.floor else ""
        print(f"{figure.measured.name}: {figure.measured.median:.1f} µs, {figure.ratio:.2f} of that without {judged}")
    return 0 if found.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
