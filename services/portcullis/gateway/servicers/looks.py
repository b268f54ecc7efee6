"""Looks at health: so many a second, by turns among addresses.

Nobody shows a credential to ask for health, so no quota counts who asks. What bounds them:

1. A worker begins `A_BEAT` looks in each beat of `BEAT_S`. The others wait, and each holds a stream of its connection
   meanwhile: a flood is held up at its own side, and costs nothing while it waits. To refuse it would cost as much as to
   answer it, and have it come again at once.
2. Those who wait are let through by turns, one look of each address, and within an address one of each connection
   (`by_turns`). Whoever asks now and then waits for one look of each other address, however many those have sent, and on
   how many connections.
3. An address that has waited `LATE_S` for its turn has it though the beat is over; `LATE_A_BEAT` are begun so at most. A
   thousand addresses, each of which always asks, would else have everybody wait 2.5 s, and whoever looks at a gateway
   after a second takes it for dead.
4. So many wait as `by_turns` says. Beyond them a connection may have one that waits, and further ones are refused.
5. A worker holds `WATCHES_AT_EASE` Watch, of whomever: a proxy's clients share its connections, and those on a Unix socket
   a name. Beyond them a connection holds `WATCHES` at most.

Example: a host asks 1,000 times at once, on as many connections as it likes, and 4 are begun. Another host asks once, 3 ms
later: 7 ms later it is begun, as the second look of the next beat.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from portcullis.domain.errors import Overloaded, WatchesHeld
from portcullis.gateway.by_turns import ByTurns

A_BEAT: Final = 4
BEAT_S: Final = 0.01
"""400 looks a second: a tenth of what a worker on grpcio can answer, and ample for probes, each of which comes once in
seconds."""

LATE_S: Final = 0.5
"""Half the time after which Envoy as shipped gives a probe up."""

LATE_A_BEAT: Final = 8
"""1,200 looks a second with the others, so that a thousand addresses, about as many as a worker on grpcio has connections,
wait for somewhat less than a second. With 10 or 16 a busy host could not keep up: looks came to wait in grpcio's core, which
refuses them, and those who were refused asked again without end."""

WATCHES_AT_EASE: Final = 256
"""Watch that a worker holds without asking on which connections. Each costs some kilobytes and one answer a change."""

WATCHES: Final = 4
"""Watch that one connection holds beyond them. A client watches one service on each of its connections."""


class Looks:
    """Lets looks at health through. One a worker; not for several threads.

    Args:
        monotonic: seconds of a clock that only goes forward.
    """

    def __init__(self, monotonic: Callable[[], float] = monotonic) -> None:
        self._monotonic = monotonic
        self._left = A_BEAT
        self._beats = False
        self._turns = ByTurns[asyncio.Future[None]]()
        self._watches: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many looks wait."""
        return len(self._turns)

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
        if not self._turns.has_room(connection):
            raise Overloaded
        turn = asyncio.get_running_loop().create_future()
        self._turns.add(connection, turn, self._monotonic())
        try:
            await turn
        finally:
            # What was given up waits still.
            self._turns.discard(connection, turn)

    @contextmanager
    def watch(self, connection: str) -> Iterator[None]:
        """Count a Watch of a connection while the context lasts.

        Raises:
            WatchesHeld: many are held, and the connection holds as many as it may then.
        """
        if self._watches.total() >= WATCHES_AT_EASE and self._watches[connection] >= WATCHES:
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
        now = self._monotonic()
        self._left = A_BEAT
        while self._left and self._turns:
            self._left -= self._let_through(now)
        late = LATE_A_BEAT
        while late and self._turns and now - self._turns.first_since() > LATE_S:
            late -= self._let_through(now)
        if self._left < A_BEAT:
            self._go_on()

    def _let_through(self, now: float) -> bool:
        """Let the next look through; False where it was given up a moment ago."""
        turn = self._turns.take(now)
        if turn.done():
            return False
        turn.set_result(None)
        return True
