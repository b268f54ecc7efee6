"""An open-loop driver for unary gRPC calls, which says how long those took that a server has room for.

h2load waits for its own answers and paces calls in bursts, so its percentiles at a given rate are its own. Here each call
has a due moment, and its time counts from that moment: a stalled server can't hide the calls that it kept waiting.

Run as a module it reads a `Plan` as JSON from standard input and prints `Times` as JSON.
"""

from __future__ import annotations

import sys
import time

import msgspec

from benchmarks.arrivals import Arrivals, drive
from benchmarks.http2 import Call, Connection
from benchmarks.quantiles import quantile, typical

_MOST_REFUSED = 0.01
"""A run in which more was refused says nothing of the time of calls."""

PATIENCE_S = 10.0
"""How long after the last call was due an answer is waited for."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to drive: calls a second over all connections. Those due in the first ``warm_up_s`` are not counted.

    It ``sleeps`` as `benchmarks.arrivals.drive` does.
    """

    call: Call
    rate: float
    seconds: float
    warm_up_s: float = 0.5
    connections: int = 8
    seed: int = 1
    sleeps: bool = False

    def arrivals(self, begin: float) -> Arrivals:
        """Connect, and give the calls of a run that begins at a moment of the monotonic clock."""
        return Arrivals([Connection(self.call) for _ in range(self.connections)], self.rate, self.seed, begin)


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Times of a call in microseconds, from its due moment to the end of its stream.

    ``refused`` is the share of the calls that the server refused or had no place for; their times are not among these.

    ``typical_p99_us`` is that of a typical second (`benchmarks.quantiles`).

    ``late_us`` is the driver's own lateness, as a 99th percentile: how long after its due moment a call was written.
    """

    calls: int
    refused: float = 0.0
    rate: float
    p50_us: float
    p99_us: float
    typical_p99_us: float
    late_us: float


class CallFailed(Exception):
    """Too many calls were refused, a connection closed, or calls were left without an answer."""


def run(plan: Plan) -> Times:
    """Drive the plan.

    Raises:
        CallFailed: the times would say nothing.
    """
    begin = time.monotonic()
    last = begin + plan.warm_up_s + plan.seconds
    load = plan.arrivals(begin)
    drive([load], last, last + PATIENCE_S, sleeps=plan.sleeps)
    return summary(plan, load, begin)


def summary(plan: Plan, load: Arrivals, begin: float) -> Times:
    """Give the times of the calls that count, of a run that began at a moment of the monotonic clock.

    Raises:
        CallFailed: there is none, too many were refused, a connection was closed, or calls have no answer yet.
    """
    if not all(each.alive for each in load.connections):
        raise CallFailed("the server closed a connection")
    if load.under_way:
        raise CallFailed(f"calls were still without an answer {PATIENCE_S:g} s after the last was due")
    counted_from = begin + plan.warm_up_s
    answered = [call for each in load.connections for call in each.answered]
    times = sorted(end - due for due, end in answered if due >= counted_from)
    late = sorted(lateness for each in load.connections for lateness in each.lateness)
    if not times:
        raise CallFailed("no call was answered; the rate is too low for the time, or the server refused all")
    refused = sum(due >= counted_from for each in load.connections for due in (*each.refused, *each.broken))
    if refused > _MOST_REFUSED * len(times):
        raise CallFailed(f"the server refused {refused} calls of {refused + len(times)}")
    return Times(
        calls=len(times),
        refused=refused / (refused + len(times)),
        rate=len(times) / plan.seconds,
        p50_us=quantile(times, 0.50) * 1e6,
        p99_us=quantile(times, 0.99) * 1e6,
        typical_p99_us=typical(answered, counted_from, 0.99) * 1e6,
        late_us=quantile(late, 0.99) * 1e6,
    )


if __name__ == "__main__":
    plan_given = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(run(plan_given)))
