"""Two open-loop loads from one driver: a partner that keeps to its quota, and one that floods, each on its own connections.

Both come from one process, so that the processor which they share serves them in turn and not at the whim of a scheduler.
Run as a module it reads `Plans` as JSON from standard input and prints the `Times` of the first one's calls as JSON.
"""

from __future__ import annotations

import gc
import random
import selectors
import sys
import time
from contextlib import ExitStack, closing

import msgspec

from benchmarks.openloop import CallFailed, Connection, Plan, Times, summary


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    """What to drive: the one that is measured, and the flood; None for no flood. Both go on for the first one's time."""

    measured: Plan
    flood: Plan | None


class _Load:
    """One plan under way."""

    def __init__(self, plan: Plan, selector: selectors.BaseSelector, held: ExitStack) -> None:
        self.plan = plan
        self.connections = [Connection(plan) for _ in range(plan.connections)]
        for each in self.connections:
            held.enter_context(closing(each.socket))
            selector.register(each.socket, selectors.EVENT_READ, each)
        self._chance = random.Random(plan.seed)  # noqa: S311 - arrivals, not secrets
        self._due = time.monotonic()
        self._turn = 0

    def begin_due(self, now: float, last: float) -> None:
        """Begin the calls that are due by now."""
        while self._due <= now and self._due < last:
            self.connections[self._turn % len(self.connections)].call(self._due)
            self._turn += 1
            self._due += self._chance.expovariate(self.plan.rate)


def run(plans: Plans) -> Times:
    """Drive the plans.

    Raises:
        CallFailed: a call failed on the HTTP/2 level.
    """
    with ExitStack() as held:
        selector = held.enter_context(selectors.DefaultSelector())
        loads = [_Load(plan, selector, held) for plan in (plans.measured, plans.flood) if plan is not None]
        gc.freeze()
        gc.disable()
        held.callback(gc.enable)
        begin = time.monotonic()
        last = begin + plans.measured.warm_up_s + plans.measured.seconds
        measured = loads[0].connections
        while (now := time.monotonic()) < last or any(each.under_way for each in measured):
            if now > last + 10:
                raise CallFailed("calls were still without an answer 10 s after the last was due")
            for each in loads:
                each.begin_due(now, last)
            for key, _ in selector.select(0):
                key.data.read()
        return summary(plans.measured, measured, begin)


if __name__ == "__main__":
    plans_given = msgspec.json.decode(sys.stdin.buffer.read(), type=Plans)
    sys.stdout.buffer.write(msgspec.json.encode(run(plans_given)))
