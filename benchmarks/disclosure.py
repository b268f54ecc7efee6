"""``make bench-disclosure``: whether an answer's size or time tells more than the answer itself.

Four comparisons, each of as many pairs as asked for, in an order drawn by a seeded generator:

- a miss and another miss: what no difference looks like here;
- a miss and somebody on a list that is none of the partner's business;
- a miss and somebody on a list of the agreement, whose entry does not speak about what was asked: the same answer again;
- a miss and a RESTRICT: there the answer itself tells, and the question is what an encrypted connection tells others.

Within the process the handler is called without a transport, records are kept in memory, and processor time is taken: it
leaves out what else the machine does, so it finds more than anybody outside can. Over the network the gateway is the real
one, on a processor of its own, with its spool on the disk, and one connection asks.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import grpc
import msgspec

from benchmarks import inprocess, world
from benchmarks.command import RESULTS, say
from benchmarks.machine import Machine, describe_machine
from benchmarks.processes import LOAD_CPU, SERVER_CPU, pinned
from benchmarks.report import now
from benchmarks.targets import CHECK, gateway
from benchmarks.welch import Welch, welch, without_slowest
from benchmarks.world import World, question
from portcullis.config import Transport
from portcullis.gateway.servicers.check import SERVICE
from portcullis.gateway.transport.transports import available
from portcullis.v1 import check_service_pb2 as pb
from portcullis.v1 import types_pb2

PAIRS = 100_000
QUICK_PAIRS = 2_000
ENTRIES = 100_000
_SEED = 20_170_327
_WARM_UP = 200
_ORDINARY_TRAIN = "K101"
"""A train that the court's list leaves open to everybody."""

_HEADINGS = (
    "compared",
    "where",
    "answers",
    "means",
    "difference",
    "t",
    "degrees of freedom",
    "p",
    "questions at least",
)

Ask = Callable[[bytes], bytes]
Clock = Callable[[], int]
"""Nanoseconds."""


class Kinds(msgspec.Struct, frozen=True):
    """Two kinds of questions to compare: each some bodies, of which one is drawn at a time."""

    name: str
    first: tuple[bytes, ...]
    second: tuple[bytes, ...]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison: all answers, and all but the slowest 5 %."""

    name: str
    place: str
    all: Welch
    trimmed: Welch


class Sized(msgspec.Struct, frozen=True):
    """The sizes that answers of one kind had, in bytes."""

    name: str
    sizes: tuple[int, ...]


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run."""

    at: str
    quick: bool
    machine: Machine
    entries: int
    compared: tuple[Compared, ...]
    sized: tuple[Sized, ...]


def kinds_of(made: World) -> tuple[Kinds, ...]:
    """Give the four comparisons. Everybody is asked about in the same words, as long to the byte."""
    half = len(made.unlisted) // 2
    misses, others = _bodies(made.unlisted[:half]), _bodies(made.unlisted[half:])
    ordinary = _bodies(made.unlisted[:half], _ORDINARY_TRAIN)
    return (
        Kinds("a miss and another miss", misses, others),
        Kinds("a miss and an entry of a list that is not asked", misses, _bodies(made.silent)),
        Kinds("a miss and an entry that does not speak", ordinary, _bodies(made.listed, _ORDINARY_TRAIN)),
        Kinds("a miss and a RESTRICT", misses, _bodies(made.listed)),
    )


def _bodies(numbers: Sequence[str], train: str = "G101") -> tuple[bytes, ...]:
    return tuple(question(number, train).SerializeToString(deterministic=True) for number in numbers)


def timed(ask: Ask, kinds: Kinds, pairs: int, draw: random.Random, clock: Clock) -> tuple[list[int], list[int]]:
    """Ask so many pairs, the two of each in an order that is drawn; gives the nanoseconds of the answers of each kind."""
    times: tuple[list[int], list[int]] = ([], [])
    choice, chance = draw.choice, draw.random
    for turn in range(_WARM_UP + pairs):
        both = (0, choice(kinds.first)), (1, choice(kinds.second))
        for which, body in both if chance() < 0.5 else both[::-1]:
            begin = clock()
            ask(body)
            taken = clock() - begin
            if turn >= _WARM_UP:
                times[which].append(taken)
    return times


def compare(ask: Ask, made: World, place: str, pairs: int, clock: Clock) -> Iterator[Compared]:
    """Make the four comparisons."""
    draw = random.Random(_SEED)  # noqa: S311 - an order that can be had again
    for kinds in kinds_of(made):
        say(f"{kinds.name}, {place}")
        first, second = timed(ask, kinds, pairs, draw, clock)
        yield Compared(
            name=kinds.name, place=place, all=welch(first, second), trimmed=welch(*without_slowest(first, second))
        )


@contextmanager
def handler(made: World, method: str = "Check") -> Iterator[Ask]:
    """Give the gateway's own handler, as a transport would call it; nothing in it waits."""
    made.vouch()
    replica = made.replica()
    try:
        answer = inprocess.gateway_of(made, replica, made.tokeniser()).services[SERVICE][method].unary_unary
        call = inprocess.Call(made.headers)

        def ask(body: bytes) -> bytes:
            under_way = answer(body, call)
            while True:
                try:
                    under_way.send(None)
                except StopIteration as done:
                    given: bytes = done.value
                    return given

        yield ask
    finally:
        replica.close()


@contextmanager
def caller(made: World, transport: Transport) -> Iterator[Ask]:
    """Run the gateway on its processor and give what asks it over one connection."""
    with gateway(made, transport) as (address, _), grpc.insecure_channel(address) as channel:
        method = channel.unary_unary(CHECK)
        metadata = tuple(made.headers.items())

        def ask(body: bytes) -> bytes:
            given: bytes = method(body, metadata=metadata, timeout=10)
            return given

        yield ask


def sizes(made: World) -> tuple[Sized, ...]:
    """Give the sizes of answers: exact, since nothing on the way depends on what they say."""
    listed = [question(number) for number in made.listed]
    chinese = [pb.CheckRequest.FromString(each.SerializeToString()) for each in listed]
    for each in chinese:
        each.locale = "zh-CN"
    several = {
        "ALLOW: on no list": _bodies(made.unlisted),
        "ALLOW: on a list that is not asked": _bodies(made.silent),
        "ALLOW: an entry that does not speak": _bodies(made.listed, _ORDINARY_TRAIN),
        "RESTRICT, with a notice in English": _serialised(listed),
        "RESTRICT, with a notice in Chinese": _serialised(chinese),
    }
    with handler(made) as ask:
        found = [_sized(name, [ask(body) for body in bodies]) for name, bodies in several.items()]
    misses = [question(number) for number in made.unlisted]
    with handler(made, "BatchCheck") as ask:
        for hits in (0, 1, 10, 20, 50):
            batch = pb.BatchCheckRequest(requests=listed[:hits] + misses[hits:])
            found.append(_sized(f"a batch of {len(misses):,}, {hits} refused", [ask(batch.SerializeToString())]))
    return tuple(found)


def _serialised(requests: Sequence[pb.CheckRequest]) -> list[bytes]:
    return [each.SerializeToString(deterministic=True) for each in requests]


def _sized(name: str, answers: Sequence[bytes]) -> Sized:
    return Sized(name, tuple(sorted({len(each) for each in answers})))


def measure(folder: Path, pairs: int, entries: int, transports: Sequence[Transport], *, quick: bool) -> Findings:
    """Measure everything; ``folder`` takes the files of the run.

    Raises:
        inprocess.UnexpectedAnswer: a question was not answered as its kind is.
    """
    at = now()
    made = world.build(folder / "home", entries, silent=world.BATCH)
    with pinned(SERVER_CPU), handler(made) as ask:
        _verify(ask, made)
        compared = list(compare(ask, made, "in process", pairs, time.thread_time_ns))
    for transport in transports:
        with pinned(LOAD_CPU), caller(made, transport) as ask:
            _verify(ask, made)
            compared += compare(ask, made, f"network, {transport}", pairs, time.perf_counter_ns)
    return Findings(
        at=f"{at:%Y-%m-%d %H:%M}",
        quick=quick,
        machine=describe_machine(folder),
        entries=entries,
        compared=tuple(compared),
        sized=sizes(made),
    )


def _verify(ask: Ask, made: World) -> None:
    expected = (types_pb2.OUTCOME_ALLOW,) * 3 + (types_pb2.OUTCOME_RESTRICT,)
    found = tuple(pb.CheckResponse.FromString(ask(kinds.second[0])).outcome for kinds in kinds_of(made))
    if expected != found:
        raise inprocess.UnexpectedAnswer("a question was not answered as its kind is")


def markdown(found: Findings) -> str:
    """Write the page."""
    machine = found.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    hardware = f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {machine.kernel}, {machine.filesystem}"
    quick = ", a quick run: not for judging" if found.quick else ""
    sized = [(each.name, ", ".join(f"{size:,}" for size in each.sizes)) for each in found.sized]
    return f"""# What sizes and times disclose: {found.at} UTC{quick}

{hardware}; {machine.python}; {versions}.

The replica holds {found.entries:,} made-up entries. Pairs were asked in a seeded random order on one connection. Welch's
t-test; the interval is that of 95 % of the difference of means; the bound is how many questions of each kind somebody has to
ask at least to tell the two apart (95 % certain, found in 95 % of tries), for the largest difference in the interval. The
second line of each leaves out the slowest 5 % of both together. In process, times are the processor's: what else the machine
does is not in them.

## Times

{_table(_HEADINGS, _rows(found))}

## Sizes

{_table(("answer", "bytes"), sized)}

A refusal takes as long as its record needs to be on the disk: that is seen over the network and can't be hidden without
making every answer wait as long.
"""


def _rows(found: Findings) -> list[tuple[str, ...]]:
    rows = []
    for each in found.compared:
        for name, result in ((each.name, each.all), ("… without the slowest 5 %", each.trimmed)):
            first, second = result.means_ns
            rows.append(
                (
                    name,
                    each.place,
                    f"{result.answers:,}",
                    f"{first:,.0f} and {second:,.0f} ns",
                    f"{result.difference_ns:+,.0f} ± {result.margin_ns:,.0f} ns",
                    f"{result.t:.1f}",
                    f"{result.degrees:,.0f}",
                    f"{result.p:.2g}",
                    f"{result.questions:,.0f}",
                )
            )
    return rows


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (headings, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(headings), *lines[1:]])


def write(found: Findings, folder: Path) -> tuple[Path, Path]:
    """Write ``<date>-<machine>-disclosure.json`` and ``.md``; a second run of a day replaces the first."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{found.at[:10]}-{found.machine.slug}-disclosure" + ("-quick" if found.quick else "")
    data, page = folder / f"{name}.json", folder / f"{name}.md"
    data.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    page.write_text(markdown(found))
    return data, page


def main() -> None:
    """Read the arguments, run, and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disclosure", description="Compare sizes and times.")
    parser.add_argument("--quick", action="store_true", help="few pairs, to see that all of it runs")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of each comparison")
    parser.add_argument("--in-process", action="store_true", help="leave the network out")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    arguments = parser.parse_args()
    transports = [] if arguments.in_process else [each for each in get_args(Transport) if available(each)]
    pairs = QUICK_PAIRS if arguments.quick else arguments.pairs
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        found = measure(Path(folder), pairs, ENTRIES, transports, quick=arguments.quick)
    data, page = write(found, arguments.output)
    print(f"\n{markdown(found)}\nwritten: {page}\n         {data}")


if __name__ == "__main__":
    main()
