"""Looks at health: so many a second, by turns among connections.

Nobody shows a credential to ask for health, so no quota counts who asks. What bounds them:

1. A worker begins `A_BEAT` looks in each beat of `BEAT_S`. The others wait, and each holds a stream of its connection
   meanwhile: a flood is held up at its own side, and costs nothing while it waits. To refuse it would cost as much as to
   answer it, and have it come again at once.
2. Those who wait are let through by turns, one look of each connection. Whoever asks now and then waits for one look of
   each other connection, however many those have sent.
3. `WAITING_AT_MOST` looks wait. Beyond them a connection may have one that waits, and further ones are refused.
4. A connection holds `WATCHES` Watch at most.

Example: one connection asks 1,000 times at once, and 4 are begun. Another asks once, 3 ms later: 7 ms later it is begun, as
the second look of the next beat.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from portcullis.domain.errors import Overloaded, WatchesHeld

A_BEAT: Final = 4
BEAT_S: Final = 0.01
"""400 looks a second: a tenth of what a worker on grpcio can answer, and ample for probes, each of which comes once in
seconds."""

WAITING_AT_MOST: Final = 4096
"""Looks that wait, each with its stream: the places of 128 connections on grpcio, of 256 on native."""

WATCHES: Final = 4
"""Watch that one connection holds at once. A client watches one service on each of its connections."""


class Looks:
    """Lets looks at health through. One a worker; not for several threads."""

    def __init__(self) -> None:
        self._left = A_BEAT
        self._beats = False
        # By connection, in the order in which their turns come.
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}
        self._count = 0
        self._watches: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many looks wait."""
        return self._count

    async def turn(self, connection: str) -> None:
        """Wait for the turn of a look.

        Args:
            connection: whose it is, as a call's context names its peer.

        Raises:
            Overloaded: too many wait, and one of this connection is among them.
        """
        if self._left:
            # Where something is left of a beat, nobody waits.
            self._left -= 1
            self._go_on()
            return
        if self._count >= WAITING_AT_MOST and connection in self._waiting:
            raise Overloaded
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(connection, {})[turn] = None
        self._count += 1
        try:
            await turn
        finally:
            self._count -= 1
            if turn.cancelled():
                self._forget(connection, turn)

    @contextmanager
    def watch(self, connection: str) -> Iterator[None]:
        """Count a Watch of a connection while the context lasts.

        Raises:
            WatchesHeld: the connection holds as many as it may.
        """
        if self._watches[connection] >= WATCHES:
            raise WatchesHeld(WATCHES)
        self._watches[connection] += 1
        try:
            yield
        finally:
            self._watches[connection] -= 1
            if not self._watches[connection]:
                del self._watches[connection]

    def _go_on(self) -> None:
        if not self._beats:
            self._beats = True
            asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _beat(self) -> None:
        self._beats = False
        self._left = A_BEAT
        while self._left and self._waiting:
            self._left -= self._let_through()
        if self._left < A_BEAT:
            self._go_on()

    def _let_through(self) -> bool:
        """Let a look of the next connection through; False where it was given up a moment ago."""
        connection, turns = next(iter(self._waiting.items()))
        turn = next(iter(turns))
        self._forget(connection, turn)
        if connection in self._waiting:
            # Its next turn comes after everybody else's.
            self._waiting[connection] = self._waiting.pop(connection)
        if turn.done():
            return False
        turn.set_result(None)
        return True

    def _forget(self, connection: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(connection, {})
        turns.pop(turn, None)
        if not turns:
            self._waiting.pop(connection, None)
