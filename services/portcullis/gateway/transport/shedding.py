"""Shedding: what can't be answered in time is not begun.

A worker under more load than it can take must spend its time on calls that it finishes. So calls wait in one place alone,
and what finds that place full is refused at the least cost:

- grpcio keeps a queue for each method in its core, from which the event loop takes one call a turn (`transports`). What
  is over the queue's limits is refused there, and so are calls whose deadline has passed; neither costs Python anything.
- The native transport hands calls over by the dozen and has no such queue: `shedding` bounds how many of them a turn of the
  event loop begins, has the others wait for the next, and refuses those for which there is no place, with a status that was
  made once. The bound (`Room`) halves after each slow turn and doubles after each other, so it finds by itself how much is
  too much, be it many checks or a few large batches.
- `Pressure` says how far the event loop is behind. A call whose deadline is nearer than that is refused before anything is
  done for it.

Health and the operators' methods are never refused so: grpcio gives each method a queue of its own, and the native
transport's bound leaves them out.
"""

from __future__ import annotations

import asyncio
from functools import cache
from itertools import islice
from time import monotonic
from typing import Any, Protocol

from grpc_status import rpc_status

from portcullis.domain.errors import Overloaded
from portcullis.gateway.messages.statuses import to_status

VITAL = ("/grpc.health.v1.Health/", "/portcullis.v1.AdminService/")
"""How the names of methods begin that live through a flood."""

TURN_S = 0.02
"""A turn of the event loop that takes longer is a slow one."""

MOST_A_TURN = 1024
"""Calls that a turn begins at most while none is slow."""

_QUIET_S = 0.2
"""After so long without a call all is forgotten."""

_UNNOTICED_S = 0.005
"""A loop that is behind by less than this is not behind: timers are no better."""


class TimedCall(Protocol):
    """A call that may have a deadline."""

    def time_remaining(self) -> float | None:
        """Give the seconds that are left; None without a deadline."""


class Pressure:
    """How far one event loop is behind. The tick measures it; calls look.

    Attributes:
        behind_s: how late the loop runs what is due, in seconds; 0 when that is nothing to speak of.
    """

    __slots__ = ("behind_s",)

    def __init__(self) -> None:
        self.behind_s = 0.0

    def measured(self, late_s: float) -> None:
        """Take how late a timer has just fired: rises are believed at once, falls by half each time."""
        late_s = max(late_s, self.behind_s / 2)
        self.behind_s = late_s if late_s > _UNNOTICED_S else 0.0

    def demand_time(self, context: TimedCall) -> None:
        """Refuse a call that will be too late; ask only while the loop is behind.

        Raises:
            Overloaded: its deadline is nearer than the loop is behind.
        """
        remaining = context.time_remaining()
        if remaining is not None and remaining < self.behind_s:
            raise Overloaded


class Room:
    """How many calls a turn of the event loop may begin. Give it moments of a monotonic clock, in seconds.

    Example: a turn that begins 1,024 calls takes 40 ms. The next begins 512 and takes 20 ms, and there it stays.
    """

    __slots__ = ("_began", "_begun", "_most")

    def __init__(self) -> None:
        self._most = MOST_A_TURN
        self._begun = 0
        self._began = 0.0

    def first(self) -> bool:
        """Say whether no call has come in this turn yet."""
        return not self._began

    def open(self, now: float) -> None:
        """Begin a turn with its first calls."""
        self._began = now

    def take(self, calls: int) -> int:
        """Give how many of these calls may begin."""
        taken = min(calls, self._most - self._begun)
        self._begun += taken
        return taken

    def close(self, now: float) -> None:
        """End the turn, when what it began has had its first turn."""
        slow = now - self._began > TURN_S
        self._most = max(1, self._most // 2) if slow else min(MOST_A_TURN, self._most * 2)
        self._begun, self._began = 0, 0.0

    def forget(self) -> None:
        """Begin anew, after a quiet while."""
        self._most = MOST_A_TURN


class Backlog:
    """Calls that wait for a turn, in the order in which they came, as `pygrpc_native` hands them over.

    Args:
        most: how many may wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[int, tuple[tuple[Any, ...], float]] = {}

    def __len__(self) -> int:
        """Count the calls that wait."""
        return len(self._waiting)

    def add(self, event: tuple[Any, ...], now: float) -> bool:
        """Have a call wait from a moment of the monotonic clock on; False where there is no place."""
        if len(self._waiting) >= self._most:
            return False
        self._waiting[event[1]] = event, now
        return True

    def drop(self, call_id: int) -> bool:
        """Forget a call that was given up; say whether it waited."""
        return self._waiting.pop(call_id, None) is not None

    def take(self, calls: int, now: float) -> list[tuple[Any, ...]]:
        """Give the first of those that wait; their deadlines are nearer by how long they did."""
        first = [self._waiting.pop(call_id) for call_id in list(islice(self._waiting, calls))]
        return [_later(event, now - came) for event, came in first]


def _later(event: tuple[Any, ...], by_s: float) -> tuple[Any, ...]:
    *head, (metadata, peer, remaining) = event
    return (*head, (metadata, peer, None if remaining is None else max(remaining - by_s, 0.0)))


class Shedding:
    """What a kind of `pygrpc_native.aio.Server` has before it to bound what a turn of its event loop begins, and what waits.

    It stands before the library's own taking of calls (`_on_events`, of the release that is pinned), where a call has
    neither a task nor a context yet: a refusal costs a few microseconds, and the way through nothing but a count.
    """

    waiting_at_most: int
    _front: Any
    _table: Any

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._room = Room()
        self._quiet_at = 0.0
        self._backlog = Backlog(self.waiting_at_most)

    def _on_events(self, events: list[tuple[Any, ...]]) -> None:
        room = self._room
        if room.first():
            now = monotonic()
            if now > self._quiet_at:
                room.forget()
            self._open_turn(now)
        # Nobody overtakes those who wait.
        left = 0 if self._backlog else room.take(len(events))
        if left < len(events):
            events = [each for place, each in enumerate(events) if place < left or not self._held_back(each)]
        self._begin(events)

    def _open_turn(self, now: float) -> None:
        self._room.open(now)
        # Behind what is ready now: the next turn begins with it.
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        now = monotonic()
        self._quiet_at = now + _QUIET_S
        self._room.close(now)
        if self._backlog:
            self._open_turn(now)
            self._begin(self._backlog.take(self._room.take(len(self._backlog)), now))

    def _held_back(self, event: tuple[Any, ...]) -> bool:
        """Have a call wait, or refuse it, or forget one that was given up; say whether that was all to be done."""
        kind, call_id, method_id = event[:3]
        if kind == _cancel():
            return self._backlog.drop(call_id)
        if self._table[method_id][0].startswith(VITAL):
            return False
        if not self._backlog.add(event, monotonic()):
            code, details, trailing = _refusal()
            self._front.fail(call_id, code, details, trailing_metadata=trailing)
        return True

    def _begin(self, events: list[tuple[Any, ...]]) -> None:
        super()._on_events(events)  # type: ignore[misc]


@cache
def shedding(server: type[Any], waiting_at_most: int) -> type[Any]:
    """Give a kind of `pygrpc_native.aio.Server` that sheds; so many calls may wait."""
    return type("SheddingServer", (Shedding, server), {"waiting_at_most": waiting_at_most})


@cache
def _cancel() -> int:
    from pygrpc_native._native import EVENT_CANCEL  # noqa: PLC0415 - an extra

    return int(EVENT_CANCEL)


@cache
def _refusal() -> tuple[int, str, list[tuple[str, str | bytes]]]:
    status = rpc_status.to_status(to_status(Overloaded()))
    return int(status.code.value[0]), str(status.details), list(status.trailing_metadata)
