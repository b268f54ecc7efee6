"""Checks while Redis and the publisher are dead, beside the same checks while they live; then, how soon a change is seen.

Rounds go in turn: alive, dead, alive, dead. Dead is `kill -9` of Valkey and of the publisher for the whole round, and what
comes back is an empty Valkey. The gateway has a processor to itself where there are two; the load shares the other with
everything else, alive and dead. Half a round's calls or more must be made; one call that fails ends the run.

The rate is one at which a worker has time to spare: near its limit a 99th percentile tells how calls queue, and nothing of
what the publisher's absence does to one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import openloop
from benchmarks.http2 import Call
from benchmarks.processes import LOAD_CPU, REPOSITORY, SERVER_CPU, pinned
from benchmarks.snapshots.measuring import changes_seen, is_published, partner_key, question, serving_gateway
from benchmarks.snapshots.parts import Stand, empty_stand_on
from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb import LmdbReplica
from portcullis.demo import people

ROUNDS = 7
ROUND_S = 6.0
RATE = 1_000.0
CHECK_PATH = "/portcullis.v1.CheckService/Check"

_STRANGER = 150_000_000
_PATIENCE_S = 600.0


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """99th percentiles of a check in microseconds, alive and dead by rounds; seconds until a change was seen after each."""

    rate: float
    calls: int
    alive_p99_us: tuple[float, ...]
    dead_p99_us: tuple[float, ...]
    visible_s: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios, dead to alive."""
        return median(dead / alive for dead, alive in zip(self.dead_p99_us, self.alive_p99_us, strict=True))


def measure(registry: Path, rounds: int = ROUNDS) -> Outage:
    """Measure on one registry."""
    key = partner_key(registry)
    alive: list[openloop.Times] = []
    dead: list[openloop.Times] = []
    visible: list[float] = []
    with empty_stand_on(registry) as stand, ExitStack() as held:
        with _living(stand):
            with pinned(LOAD_CPU):
                follower = held.enter_context(stand.part("follower"))
            with closing(LmdbReplica(stand.home / "replica", SystemClock())) as replica:
                stand.wait(follower, "follower", lambda: replica.refresh() or replica.begin() is not None, _PATIENCE_S)
            with pinned(SERVER_CPU):
                held.enter_context(serving_gateway(stand))
            alive.append(_load(stand, key))
        for number in range(rounds):
            dead.append(_load(stand, key))
            returned = time.monotonic()
            with _living(stand):
                first, _ = changes_seen(stand, registry, key, 2)
                visible.append(first)
                if number < rounds - 1:
                    alive.append(_load(stand, key))
            print(
                f"{time.strftime('%H:%M:%S')}   dead {dead[-1].p99_us:,.0f} us, back for {time.monotonic() - returned:.1f} s"
            )
    return Outage(
        rate=RATE,
        calls=sum(each.calls for each in (*alive, *dead)),
        alive_p99_us=tuple(each.p99_us for each in alive),
        dead_p99_us=tuple(each.p99_us for each in dead),
        visible_s=tuple(visible),
    )


@contextmanager
def _living(stand: Stand) -> Iterator[None]:
    """Let Valkey and the publisher live; at the end both are killed."""
    with ExitStack() as held:
        with pinned(LOAD_CPU):
            server = held.enter_context(stand.valkey())
            publisher = held.enter_context(stand.part("publisher"))
        stand.wait(publisher, "publisher", lambda: is_published(stand), _PATIENCE_S)
        yield
        for process in (server, publisher):
            process.kill()
            process.wait()
    (stand.home / "valkey.sock").unlink(missing_ok=True)


def _load(stand: Stand, key: str) -> openloop.Times:
    call = Call(
        host="127.0.0.1",
        port=stand.grpc_port,
        path=CHECK_PATH,
        headers={"authorization": f"Bearer {key}"},
        message=question(people.resident_id(_STRANGER)).SerializeToString(),
    )
    plan = openloop.Plan(call=call, rate=RATE, seconds=ROUND_S)
    with pinned(LOAD_CPU):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.openloop"],
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            check=True,
            env=os.environ,
        )
    return msgspec.json.decode(done.stdout, type=openloop.Times)
