"""Calls that come at seeded random moments, whatever the server does: a Poisson process over several connections."""

from __future__ import annotations

import gc
import random
import selectors
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from benchmarks.http2 import Connection

_TURN = 64
"""Calls begun at most before answers are read again."""


_LONGEST_SLEEP_S = 0.02


class Arrivals:
    """One caller's calls, dealt out over its connections.

    Args:
        connections: what carries them.
        rate: calls a second.
        seed: of the moments at which they are due.
        begin: before any is due, in seconds of the monotonic clock.
    """

    def __init__(self, connections: Sequence[Connection], rate: float, seed: int, begin: float) -> None:
        self.connections = connections
        self._rate = rate
        self._chance = random.Random(seed)  # noqa: S311 - arrivals, not secrets
        self._due = begin + self._chance.expovariate(rate)
        self._turn = 0

    @property
    def under_way(self) -> bool:
        """Whether the end of a call is waited for."""
        return any(each.under_way for each in self.connections)

    @property
    def next_due(self) -> float:
        """When the next call is due."""
        return self._due

    def begin_due(self, now: float, last: float) -> None:
        """Begin the calls that are due by now, and none that is due at the end of the run or later."""
        begun = 0
        while self._due <= now and self._due < last and begun < _TURN:
            self.connections[self._turn % len(self.connections)].call(self._due)
            self._turn += 1
            begun += 1
            self._due += self._chance.expovariate(self._rate)
        for each in self.connections:
            each.write(now)


def drive(
    loads: Sequence[Arrivals],
    last: float,
    give_up: float,
    *,
    sleeps: bool = False,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Drive loads until a moment, and on until the first one's calls have ended, or up to another moment.

    Where its processor is its own it never sleeps, for a sleep is late by more than it measures. Where others work there
    too it ``sleeps`` while nothing is due: who never sleeps is made to wait its turn, for milliseconds. It ends at once
    when it is told that all ``is_over``. It closes the connections.
    """
    with ExitStack() as held:
        selector = held.enter_context(selectors.DefaultSelector())
        for load in loads:
            for connection in load.connections:
                held.enter_context(closing(connection.socket))
                selector.register(connection.socket, selectors.EVENT_READ, connection)
        # A collection would stop the driver for longer than a call takes.
        gc.freeze()
        gc.disable()
        held.callback(gc.enable)
        while (now := time.monotonic()) < give_up and (now < last or loads[0].under_way) and not is_over():
            for load in loads:
                load.begin_due(now, last)
            pause = min(each.next_due for each in loads) - now if sleeps else 0.0
            for key, _ in selector.select(min(max(pause, 0.0), _LONGEST_SLEEP_S)):
                key.data.read()
                if not key.data.alive and not key.data.under_way:
                    selector.unregister(key.fileobj)
