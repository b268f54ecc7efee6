"""How soon many watchers know of a change: from the registry's commit until the last of them has it.

Beside it the bare fan-out: from the call that tells a server which does nothing else until the last stream has the message.
Both are watched at the same time by a process of their own each, and take turns.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import grpc

from benchmarks.beside import beside
from benchmarks.exchange import fanout, watchers
from benchmarks.exchange.stage import Stage
from benchmarks.processes import SERVER_CPU, line_with, running
from benchmarks.snapshots.measuring import opened_registry, stranger_entry
from portcullis.demo import people
from portcullis.v1 import sharing_service_pb2 as pb

_WATCH = "/portcullis.v1.SharingService/WatchChanges"
_CHANNELS = 8
_FIRST_STRANGER = 200_000_000
_PAUSE_S = 0.1

Times = tuple[float, ...]


def share(times: Times, percent: int) -> float:
    """Give a percentile."""
    return quantiles(times, n=100, method="inclusive")[percent - 1]


def measure(stage: Stage, folder: Path, rounds: int, changes: int, streams: int) -> tuple[list[Times], list[Times]]:
    """Give the milliseconds of every change, and of every message of the bare fan-out, by rounds."""
    numbers = itertools.count()
    with (
        opened_registry(stage.registry) as store,
        stage.exchange() as address,
        _bare(folder) as bare_address,
        grpc.insecure_channel(bare_address) as channel,
        _watching(folder, "told", _plan(address, stage.key, _WATCH, streams)) as told,
        _watching(folder, "bare", _plan(bare_address, stage.key, fanout.WATCH, streams)) as bare,
    ):

        def change() -> None:
            number = next(numbers)
            store.put_entry(stranger_entry(store, number, people.resident_id(_FIRST_STRANGER + number)), actor="benchmark")

        def tell() -> float:
            begin = time.monotonic()
            channel.unary_unary(fanout.TELL)(_message())
            return begin

        def put() -> float:
            change()
            return time.monotonic()

        found: tuple[list[Times], list[Times]] = ([], [])
        for _ in range(rounds):
            found[0].append(tuple(told(put) for _ in range(changes)))
            found[1].append(tuple(bare(tell) for _ in range(changes)))
        return found


def _plan(address: str, key: str, method: str, streams: int) -> watchers.Plan:
    return watchers.Plan(address=address, key=key, method=method, streams=streams, channels=_CHANNELS)


@contextmanager
def _bare(folder: Path) -> Iterator[str]:
    """Run the bare fan-out on the server's processor; gives its address."""
    log = folder / "fanout.log"
    with running(["-m", "benchmarks.exchange.fanout"], cpu=SERVER_CPU, log=log) as process:
        yield line_with(process, "fanout ready", log=log).split()[-1]


@contextmanager
def _watching(folder: Path, name: str, plan: watchers.Plan) -> Iterator[Callable[[Callable[[], float]], float]]:
    """Have a process watch; gives what makes a change and waits for its last watcher, in milliseconds from the change."""
    with beside("benchmarks.exchange.watchers", plan, "watching", folder / f"watchers-{name}.log") as watching:

        def told(change: Callable[[], float]) -> float:
            # Changes come at any time of the feeder's turn.
            time.sleep(random.uniform(_PAUSE_S, 2 * _PAUSE_S))  # noqa: S311 - it only spreads the changes
            changed_at = change()
            received_at = float(watching.line_with("received").split()[-1])
            return (received_at - changed_at) * 1e3

        yield told


def _message() -> bytes:
    """Give a message of the size of a change's."""
    change = pb.Change(kind=pb.CHANGE_KIND_ENTRY_ADDED, list="court-judgment-defaulters", subject="0" * 32)
    change.happened_at.GetCurrentTime()
    change.until.GetCurrentTime()
    return pb.WatchChangesResponse(cursor="0" * 26, change=change).SerializeToString()
