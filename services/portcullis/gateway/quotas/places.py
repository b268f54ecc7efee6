"""A place where workers meet to agree on quotas, as one of them sees it: what it has told there, and what it has heard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from portcullis.domain.day_names import DayNames
from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.evidence import NOTHING, Counts
from portcullis.domain.probing import Fresh
from portcullis.ports import Clock
from portcullis.ports.quotas import NewSubject, QuotaExchange, Standing, Use

_REST_S = 1.0
"""How long a place that failed is left alone."""
_LOST = 0.95
"""Where fewer subjects are known than this part of those told, the place has lost them: they are told again."""
_TOLD_AGAIN_AFTER_S = 10.0
"""But not at once: a place that is full, and so keeps losing them, is not told some thousand names ten times a second."""


class Seen(NamedTuple):
    """One gate as it stands at the beginning of a turn."""

    partner: str
    checks_per_s: float
    events_per_s: float
    labels: int
    day: int
    depth: int
    tokens: Sequence[bytes]
    tokens_now: int
    counted: Counts
    fresh: Fresh
    calls: int
    streams: int


NewSubjects = Mapping[str, Sequence[NewSubject]]
"""Subjects that were new to this worker since the last turn, by partner."""


class Met(NamedTuple):
    """What was learned in a turn: how things stand, None for as before; what the others' watches counted, by partner."""

    standing: Standing | None
    others: Mapping[str, Counts]


class _CountedThere:
    """What one partner's watches have counted on a day, as told at one place: by this worker, and by the others.

    It is told once at most. Who got no answer may have been heard all the same, and what is told again would count twice.
    """

    __slots__ = ("_counted", "_day", "_others", "_own")

    def __init__(self) -> None:
        self._day = -1
        self._counted = self._own = NOTHING
        self._others: Counts | None = None

    def tell(self, counted: Counts, day: int) -> Counts:
        """Give what this worker has counted since the last time."""
        if day != self._day:
            # A place begins a day with nothing, so all that it has then is news to whoever was there before.
            self._others = NOTHING if self._others is not None and day == self._day + 1 else None
            self._day, self._own = day, NOTHING
        fresh, self._counted = counted.minus(self._counted), counted
        self._own = self._own.plus(fresh)
        return fresh

    def hear(self, of_all: Counts) -> Counts:
        """Give what the others have counted since the last time; nothing at the first."""
        # Less than before where the place has lost what was told: what comes from then on counts.
        others, before = of_all.minus(self._own), self._others
        self._others = others
        return NOTHING if before is None else others.minus(before).grown()

    def heard_nothing(self) -> None:
        """Go on from what the others have told when the place answers again, for nobody knows what it has heard."""
        self._others = None


class Place:
    """One place to meet, and what was told there. Used from the turning thread alone."""

    def __init__(self, exchange: QuotaExchange, names: DayNames, clock: Clock) -> None:
        self._exchange = exchange
        self._names = names
        self._clock = clock
        self._told: dict[tuple[str, int, int], int] = {}
        self._again_at: dict[str, float] = {}
        self._counted: dict[str, _CountedThere] = {}
        self._resting_until = 0.0
        self.met_at = -math.inf

    def turn(self, worker: str, day: int, gates: Sequence[Seen], fresh: NewSubjects) -> Met | None:
        """Tell and learn; None where nobody can be met."""
        now = self._clock.monotonic()
        if now < self._resting_until:
            return None
        self._told = {key: count for key, count in self._told.items() if key[1] == day}
        try:
            uses = [self._use(each, day, fresh.get(each.partner, ())) for each in gates]
            standing = self._exchange.turn(worker, day, uses)
        except StoreUnavailable:
            self._resting_until = now + _REST_S
            for there in self._counted.values():
                there.heard_nothing()
            return None
        others: dict[str, Counts] = {}
        for each in gates:
            used = standing.used.get(each.partner)
            others[each.partner] = self._there(each.partner).hear(used.counted if used else NOTHING)
            lost = used is None or used.subjects < _LOST * each.tokens_now - 1
            again = lost and now >= self._again_at.get(each.partner, 0.0)
            if again:
                self._again_at[each.partner] = now + _TOLD_AGAIN_AFTER_S
            self._told[each.partner, day, each.depth] = 0 if again else each.tokens_now
        self.met_at = self._clock.monotonic()
        return Met(standing, others)

    def _there(self, partner: str) -> _CountedThere:
        return self._counted.setdefault(partner, _CountedThere())

    def _use(self, seen: Seen, day: int, new: Sequence[NewSubject]) -> Use:
        told = self._told.get((seen.partner, day, seen.depth), 0)
        fresh = seen.tokens[told : seen.tokens_now] if seen.day == day else ()
        names = self._names.names(day, seen.partner, fresh)
        labels = seen.labels if seen.day == day else 0
        counted = self._there(seen.partner).tell(seen.counted, day)
        return Use(
            seen.partner,
            seen.checks_per_s,
            seen.events_per_s,
            labels,
            seen.depth,
            names,
            counted,
            new,
            seen.calls,
            seen.streams,
        )

    def close(self) -> None:
        """Give up the way to it."""
        self._exchange.close()
