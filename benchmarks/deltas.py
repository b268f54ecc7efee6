"""A writer that leads a replica on to its next version at even intervals, as a follower of a busy publisher does.

In every version the twins, two made-up people, are listed with the version's number as their case reference, so an answer
that mixes two versions shows itself. Beside them a hundred other tokens come in each version, and those of the one before
go.

Run as a module it takes a `Plan` as JSON for its argument, prints a line once the first version is in, and goes on until it
is told to stop or its parent is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import msgspec

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb import LmdbReplicaWriter
from portcullis.domain.editions import Edition
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import TOKEN_BYTES, Change

FIRST_LINE = "the first version is in"

_OTHERS = 100
_YEAR_S = 365 * 86_400


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to write: on which list, the twins' tokens, and how many seconds a version lasts."""

    replica: str
    number: int
    twins: tuple[bytes, bytes]
    every_s: float = 0.1


def next_version(
    held: Edition, plan: Plan, body_of: Callable[[bytes, int], bytes], now: float
) -> tuple[Edition, list[Change]]:
    """Make the version after the one held, and the changes that lead to it."""
    version = max(held.version + 1, int(now * 1000))
    changes = sorted(_changes(held.version, version, plan, now))
    lists = []
    for each in held.lists:
        if each.number == plan.number:
            digest = MultisetDigest(each.digest, each.records)
            for token, number, body in changes:
                digest.replace(token, body_of(token, number), body)
            each = msgspec.structs.replace(each, version=version, records=digest.count, digest=digest.hex())  # noqa: PLW2901
        lists.append(each)
    return msgspec.structs.replace(held, version=version, published_at=now, lists=tuple(lists)), changes


def _changes(before: int, version: int, plan: Plan, now: float) -> Iterator[Change]:
    until = int(now) + _YEAR_S
    for entry, token in enumerate(plan.twins, start=1):
        yield token, plan.number, encode_body([Record(plan.number, 0, until, entry, str(version))])
    for token in _others(before):
        yield token, plan.number, b""
    for entry, token in enumerate(_others(version), start=3):
        yield token, plan.number, encode_body([Record(plan.number, 0, until, entry, "(2090) Demo")])


def _others(version: int) -> Iterator[bytes]:
    for number in range(_OTHERS):
        yield blake2b(f"{version}-{number}".encode(), digest_size=TOKEN_BYTES).digest()


def write(plan: Plan, stopped: threading.Event, written: Callable[[int], None]) -> int:
    """Write a version each interval until stopped; gives how many, and tells of each."""
    clock, parent, count = SystemClock(), os.getppid(), 0
    with closing(LmdbReplicaWriter(Path(plan.replica), clock)) as writer:
        due = clock.monotonic()
        while not stopped.is_set() and os.getppid() == parent:
            held = writer.held()
            assert held is not None  # noqa: S101 - the parent has installed one
            edition, changes = next_version(held, plan, writer.body, clock.now())
            writer.apply(edition, changes)
            count += 1
            written(edition.version)
            due += plan.every_s
            stopped.wait(max(0.0, due - clock.monotonic()))
    return count


def main() -> None:
    """Write until told to stop."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    stopped, told = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())

    def written(version: int) -> None:
        if not told.is_set():
            print(FIRST_LINE, version, flush=True)
            told.set()

    write(plan, stopped, written)


if __name__ == "__main__":
    main()
