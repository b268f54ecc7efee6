"""What lives through a flood on the native transport: health and the operators' methods, each with places of its own.

1. A turn of the event loop begins `VITAL_A_TURN` calls of each of these services, whatever else it begins.
2. Further ones wait for the next turn, however long that takes, by turns among addresses (`portcullis.gateway.by_turns`):
   so nobody waits behind a flood of another's while turns are slow.
3. So many wait as that says, and of these services each for itself: who floods one refuses nobody in the other. Requests
   wait with `WAITING_BYTES` at most; `SMALL_BYTES` are no matter, so that who fills them refuses no look at health.
"""

from __future__ import annotations

from typing import Any, Final

from portcullis.gateway.by_turns import ByTurns
from portcullis.gateway.transport.handed_over import later, peer_of, size_of

VITAL: Final = ("/grpc.health.v1.Health/", "/portcullis.v1.AdminService/")
"""How the names of methods begin that live through a flood."""

VITAL_A_TURN: Final = 32
"""Of each of these a turn of the event loop begins so many at most: about a millisecond's worth."""

WAITING_BYTES: Final = 64 * 2**20
"""Bytes of requests that wait at most: nobody has looked yet at who sends them."""

SMALL_BYTES: Final = 1024
"""A request that is as small as any look at health: as many as may wait of them are no memory to speak of."""


class VitalCalls:
    """The calls of one vital service: how many this turn may still begin, and which wait for another."""

    def __init__(self) -> None:
        self._left = VITAL_A_TURN
        self._turns = ByTurns[int]()
        self._waiting: dict[int, tuple[tuple[Any, ...], float]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Count the calls that wait."""
        return len(self._waiting)

    def may_begin(self) -> bool:
        """Take a place of this turn; False where none is left."""
        if not self._left:
            return False
        self._left -= 1
        return True

    def add(self, event: tuple[Any, ...], now: float) -> bool:
        """Have a call wait from a moment of the monotonic clock on; False where there is no room for it."""
        size, peer = size_of(event), peer_of(event)
        if not self._turns.has_room(peer) or (size > SMALL_BYTES and self._bytes + size > WAITING_BYTES):
            return False
        self._turns.add(peer, event[1], now)
        self._waiting[event[1]] = event, now
        self._bytes += size
        return True

    def drop(self, call_id: int) -> bool:
        """Forget a call that was given up; say whether it waited."""
        if call_id not in self._waiting:
            return False
        event, _ = self._waiting[call_id]
        self._turns.discard(peer_of(event), call_id)
        self._let_go(call_id)
        return True

    def open_turn(self, now: float) -> list[tuple[Any, ...]]:
        """Begin a turn of the loop; gives those that waited and begin in it, their deadlines nearer by how long they did."""
        begun = [self._let_go(self._turns.take(now)) for _ in range(min(VITAL_A_TURN, len(self)))]
        self._left = VITAL_A_TURN - len(begun)
        return [later(event, now - came) for event, came in begun]

    def _let_go(self, call_id: int) -> tuple[tuple[Any, ...], float]:
        event, came = self._waiting.pop(call_id)
        self._bytes -= size_of(event)
        return event, came
