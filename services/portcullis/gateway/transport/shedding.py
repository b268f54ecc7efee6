"""Shedding: what can't be answered in time is not begun.

A worker under more load than it can take must spend its time on calls that it finishes. So calls wait in one place alone,
and what finds that place full is refused at the least cost:

- grpcio keeps a queue for each method in its core, from which the event loop takes one call a turn (`transports`). What
  is over the queue's limits is refused there, and so are calls whose deadline has passed; neither costs Python anything.
- The native transport hands calls over by the dozen and has no such queue: `shedding` bounds how many of them a turn of the
  event loop begins, has the others wait for the next, and refuses those that would wait for too long, with a status that
  was made once. The bound (`Room`) halves after each slow turn and doubles after each full one that was not slow, so it
  finds by itself how much is too much, be it many checks or a few large batches. How long a call would wait follows from
  the pace of the latest turns: a queue that is as long as callers' deadlines has everybody answered just too late.
- `Pressure` says how far the event loop is behind. A call whose deadline is nearer than that is refused before anything is
  done for it.

- Who is over the rate that was agreed is refused again before a call of theirs is begun, where the native transport asks
  (`portcullis.gateway.transport.turning`).

Health and the operators' methods live through it: grpcio gives each method a queue of its own, and on the native transport
they have places of their own, whatever else there is to do (`vital`). How many looks at health are answered in a second,
`portcullis.gateway.servicers.looks` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from itertools import chain, islice
from math import inf
from operator import itemgetter
from time import monotonic
from typing import Any, Protocol

import grpc
import structlog
from grpc_status import rpc_status

from portcullis.domain.errors import Overloaded
from portcullis.gateway.messages.statuses import to_status
from portcullis.gateway.transport.handed_over import later, size_of
from portcullis.gateway.transport.turning import NOBODY, RATED, TurnsAway
from portcullis.gateway.transport.vital import VITAL, WAITING_BYTES, VitalCalls

_log = structlog.get_logger(__name__)

TURN_S = 0.02
"""A turn of the event loop that takes longer is a slow one."""

MOST_A_TURN = 1024
"""Calls that a turn begins at most while none is slow."""

LONGEST_WAIT_S = 0.3
"""How long a call on the native transport may have to wait for its turn; a nearer deadline counts instead."""

_METHOD = itemgetter(2)
"""Gives the number of the method of what the library hands over."""

_REMEMBERED = 0.75
"""What is kept at each turn of those before it, for the pace: a few turns decide it."""

_BELIEVED = 4
"""A turn counts at most as so many times as long as those before: that the host paused in one says nothing of the next."""

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

    __slots__ = ("_began", "_begun", "_calls", "_most", "_spent_s")

    def __init__(self) -> None:
        self._begun = 0
        self._began = 0.0
        self._most = MOST_A_TURN
        self._calls = 0.0
        self._spent_s = 0.0

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
        took_s = now - self._began
        if took_s > TURN_S:
            self._most = max(1, self._most // 2)
        elif self._begun >= self._most:
            # A turn that was not full says nothing of fuller ones.
            self._most = min(MOST_A_TURN, self._most * 2)
        if self._calls:
            took_s = min(took_s, max(TURN_S, _BELIEVED * self._begun * self._spent_s / self._calls))
        self._calls = self._begun + self._calls * _REMEMBERED
        self._spent_s = took_s + self._spent_s * _REMEMBERED
        self._begun, self._began = 0, 0.0

    def within(self, seconds: float) -> float:
        """Say how many calls begin in so long at the pace of the latest turns; any number while none is known."""
        return seconds * self._calls / self._spent_s if self._calls and self._spent_s else inf

    def forget(self) -> None:
        """Begin anew, after a quiet while."""
        self._most = MOST_A_TURN
        self._calls = self._spent_s = 0.0


class Backlog:
    """Calls that wait for a turn, in the order in which they came, as `pygrpc_native` hands them over.

    Args:
        most: how many may wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[int, tuple[tuple[Any, ...], float]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        """Count the calls that wait."""
        return len(self._waiting)

    def add(self, event: tuple[Any, ...], now: float, room: Room) -> bool:
        """Have a call wait from a moment of the monotonic clock on; False where it would wait for too long."""
        remaining = event[-1][2]
        longest_s = LONGEST_WAIT_S if remaining is None else min(remaining, LONGEST_WAIT_S)
        before, size = len(self._waiting), size_of(event)
        if before and (before >= min(room.within(longest_s), self._most) or self._bytes + size > WAITING_BYTES):
            return False
        self._waiting[event[1]] = event, now
        self._bytes += size
        return True

    def drop(self, call_id: int) -> bool:
        """Forget a call that was given up; say whether it waited."""
        found = self._waiting.pop(call_id, None)
        if found is None:
            return False
        self._bytes -= size_of(found[0])
        return True

    def take(self, calls: int, now: float) -> list[tuple[Any, ...]]:
        """Give the first of those that wait; their deadlines are nearer by how long they did."""
        first = [self._waiting.pop(call_id) for call_id in list(islice(self._waiting, calls))]
        self._bytes -= sum(size_of(event) for event, _ in first)
        return [later(event, now - came) for event, came in first]


class Shedding:
    """What a kind of `pygrpc_native.aio.Server` has before it to bound what a turn of its event loop begins, and what waits.

    It stands before the library's own taking of calls (`_on_events`, of the release that is pinned), where a call has
    neither a task nor a context yet: a refusal costs a few microseconds, and the way through nothing but a count.

    Attributes:
        waiting_at_most: calls that may wait.
        cancel: the kind of event that gives a call up.
        shed: is called for each refusal.
        turned_away: who is over a rate.
    """

    waiting_at_most: int
    cancel: int
    shed: Callable[[], object]
    turned_away: TurnsAway = NOBODY
    _front: Any
    _stopping: bool
    _table: Any

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._room = Room()
        self._quiet_at = 0.0
        self._backlog = Backlog(self.waiting_at_most)
        self._vital_calls = {service: VitalCalls() for service in VITAL}

    @cached_property
    def _vital(self) -> dict[int, VitalCalls]:
        """Whose calls a vital method's are, by its number; the library numbers all of them when it starts."""
        numbered = list(enumerate(name for name, *_ in self._table))
        return {
            number: calls
            for service, calls in self._vital_calls.items()
            for number, name in numbered
            if name.startswith(service)
        }

    def _on_events(self, events: list[tuple[Any, ...]]) -> None:
        # While the server stops, the library tells everybody so.
        if self.turned_away and not self._stopping:
            if self._room.first():
                self.turned_away.begin()
            events = [each for each in events if not self._turns_away(each)]
            if not events:
                return
        room = self._room
        if room.first():
            now = monotonic()
            if now > self._quiet_at:
                room.forget()
            # Nothing waits while no turn is open.
            self._open_turn(now)
        calls = sum(each[0] != self.cancel for each in events)
        # Nobody overtakes those who wait.
        left = 0 if self._backlog else room.take(calls)
        plain = left == calls and not self._waits() and self._vital.keys().isdisjoint(map(_METHOD, events))
        self._begin(events if plain else list(self._beginning(events, left)))

    def _turns_away(self, event: tuple[Any, ...]) -> bool:
        """Refuse a call of somebody who is over a rate; say whether it was."""
        kind, call_id, method_id = event[:3]
        if kind == self.cancel or self._table[method_id][0] not in RATED:
            return False
        try:
            status = self.turned_away.status(event[-1][0])
        except Exception as fault:  # noqa: BLE001 - others' calls have come with it, and would be lost
            _log.error("a call could not be looked at before it is begun", type=type(fault).__name__)
            return False
        if status is None:
            return False
        self._front.fail(call_id, *_parts(status))
        return True

    def _beginning(self, events: Iterable[tuple[Any, ...]], left: int) -> Iterator[tuple[Any, ...]]:
        """Give what begins now, so many calls and what is no new call; the others wait, or are refused."""
        for event in events:
            kind, call_id, method_id = event[:3]
            if kind == self.cancel:
                if not (self._backlog.drop(call_id) or any(each.drop(call_id) for each in self._vital_calls.values())):
                    yield event
            elif (vital := self._vital.get(method_id)) is not None:
                if vital.may_begin():
                    yield event
                elif not vital.add(event, monotonic()):
                    self._refuse(call_id)
            elif left:
                left -= 1
                yield event
            elif not self._backlog.add(event, monotonic(), self._room):
                self._refuse(call_id)

    def _waits(self) -> bool:
        return bool(self._backlog) or any(self._vital_calls.values())

    def _open_turn(self, now: float) -> list[tuple[Any, ...]]:
        """Begin a turn; gives the vital calls that waited and begin in it."""
        self._room.open(now)
        # The loop's next turn begins with this, and the one after it with the end: what is begun now has run by then.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._end_turn)
        return list(chain.from_iterable(each.open_turn(now) for each in self._vital_calls.values()))

    def _end_turn(self) -> None:
        now = monotonic()
        self._quiet_at = now + _QUIET_S
        self._room.close(now)
        if self._waits():
            vital = self._open_turn(now)
            others = self._backlog.take(self._room.take(len(self._backlog)), now)
            self._begin(list(self._in_time([*vital, *others])))

    def _in_time(self, events: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """Give the calls whose deadline has not gone by while they waited; the others are refused."""
        for event in events:
            if event[-1][2] == 0.0:
                self._refuse(event[1])
            else:
                yield event

    def _refuse(self, call_id: int) -> None:
        self._front.fail(call_id, *_parts(_refusal()))
        self.shed()

    def _begin(self, events: list[tuple[Any, ...]]) -> None:
        super()._on_events(events)  # type: ignore[misc]


def shedding(
    server: type[Any], waiting_at_most: int, shed: Callable[[], object], turned_away: TurnsAway = NOBODY
) -> type[Any]:
    """Give a kind of `pygrpc_native.aio.Server` that sheds.

    Args:
        server: the kind.
        waiting_at_most: calls that may wait.
        shed: is called for each that is refused.
        turned_away: who is over a rate.
    """
    from pygrpc_native._native import EVENT_CANCEL  # noqa: PLC0415 - an extra

    what = {
        "waiting_at_most": waiting_at_most,
        "cancel": EVENT_CANCEL,
        "shed": staticmethod(shed),
        "turned_away": turned_away,
    }
    return type("SheddingServer", (Shedding, server), what)


@cache
def _refusal() -> grpc.Status:
    return rpc_status.to_status(to_status(Overloaded()))


def _parts(status: grpc.Status) -> tuple[int, str, list[tuple[str, str | bytes]]]:
    """Give a status as the library's front takes it: number, details and trailing metadata."""
    return int(status.code.value[0]), str(status.details), list(status.trailing_metadata)
