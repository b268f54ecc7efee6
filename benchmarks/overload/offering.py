"""An open-loop driver that offers more than a server can take, and says what became of every call.

A call's time counts from when it was due, and so does its deadline. Until then it waits at its caller for a place
(`benchmarks.http2`), as gRPC's clients have calls wait; what is left of the deadline goes with it.

Run as a module it reads an `Offer` as JSON from standard input and prints an `Outcome` as JSON.
"""

from __future__ import annotations

import sys
import time

import msgspec

from benchmarks.arrivals import Arrivals, drive
from benchmarks.http2 import Call, Connection
from benchmarks.quantiles import quantile, typical

_DRAIN_S = 2.0


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What to offer: calls a second over all connections, each with this deadline. The warm-up is not counted.

    It ``sleeps`` as `benchmarks.arrivals.drive` does.
    """

    call: Call
    rate: float
    seconds: float
    deadline_s: float
    warm_up_s: float = 0.5
    connections: int = 16
    seed: int = 1
    sleeps: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the calls that were due in the time counted.

    ``good`` were answered within their deadline, ``late`` after it, ``refused`` were told no, ``broken`` were lost with
    their stream or connection, ``given_up`` were never sent, and ``unanswered`` got nothing. Times, in microseconds, are of
    all that were answered, or the deadline where none was, the typical one as in `benchmarks.quantiles`; ``late_us`` is how
    long calls waited at their caller, as a 99th percentile.
    """

    offered: int
    good: int
    late: int
    refused: int
    broken: int
    given_up: int
    unanswered: int
    goodput: float
    p50_us: float
    p99_us: float
    typical_p99_us: float
    late_us: float


def run(offer: Offer) -> Outcome:
    """Offer the calls."""
    connections = [Connection(offer.call, offer.deadline_s) for _ in range(offer.connections)]
    begin = time.monotonic()
    last = begin + offer.warm_up_s + offer.seconds
    arrivals = Arrivals(connections, offer.rate, offer.seed, begin)
    drive([arrivals], last, last + offer.deadline_s + _DRAIN_S, sleeps=offer.sleeps)
    return _summary(offer, connections, begin + offer.warm_up_s)


def _summary(offer: Offer, connections: list[Connection], counted_from: float) -> Outcome:
    def count(what: str) -> int:
        return sum(due >= counted_from for each in connections for due in getattr(each, what))

    answered = [(due, end) for each in connections for due, end in each.answered if due >= counted_from]
    good = [(due, end) for due, end in answered if end - due <= offer.deadline_s]
    times = sorted(end - due for due, end in answered) or [offer.deadline_s]
    lateness = sorted(late for each in connections for late in each.lateness)
    parts = {name: count(name) for name in ("refused", "broken", "given_up", "unanswered")}
    return Outcome(
        offered=len(answered) + sum(parts.values()),
        good=len(good),
        late=len(answered) - len(good),
        goodput=len(good) / offer.seconds,
        p50_us=quantile(times, 0.50) * 1e6,
        p99_us=quantile(times, 0.99) * 1e6,
        typical_p99_us=(typical(answered, counted_from, 0.99) or offer.deadline_s) * 1e6,
        late_us=quantile(lateness, 0.99) * 1e6,
        **parts,
    )


if __name__ == "__main__":
    offer_given = msgspec.json.decode(sys.stdin.buffer.read(), type=Offer)
    sys.stdout.buffer.write(msgspec.json.encode(run(offer_given)))
