"""Quota sharing: how this worker's gates agree with those of the other workers, ten times a second and beside all calls.

There are two places to meet: the store, for the workers of all hosts, and a file of this host. Both are told at each turn.
While the store answers it says how a partner's rates are shared and what is used of its day. When it does not, the shares
stay as they are for a moment; then the host goes by itself: a partner that reaches three hosts may then ask three times as
much, rather than be refused where it has done nothing wrong. Without either place the worker goes by itself, likewise.

What the watches for probing have counted is told in the same turn, and which subjects were new, by hashes; so that who goes
through numbers over many workers is seen as soon as at one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import NamedTuple

import structlog

from portcullis.domain.crowding import cells_of
from portcullis.domain.day_names import DayNames
from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.evidence import NOTHING, Counts
from portcullis.domain.probing import Fresh
from portcullis.domain.shares import share
from portcullis.gateway.quotas.day_counts import DAY_S
from portcullis.gateway.quotas.gates import Gate, Gates
from portcullis.metrics.quotas import QuotaMetrics
from portcullis.ports import Clock
from portcullis.ports.quotas import NewSubject, QuotaExchange, Standing, Use

TURN_S = 0.1
_IDLE_TURN_S = 0.5
"""A worker that nobody asks anything tells so less often; the others must not forget it."""
_IDLE_PER_S = 1e-3
_STANDS_S = 3.0
"""How long shares stand as they are while the store does not answer."""
_REST_S = 1.0
"""How long a place that failed is left alone."""
_FLUSH_S = 1.0
_FOLLOWS = 0.5
"""How much of a change in demand is believed at once; the rest follows in the next turns."""
_LOST = 0.95
"""Where fewer subjects are known than this part of those told, the place has lost them: they are told again."""
_TOLD_AGAIN_AFTER_S = 10.0
"""But not at once: a place that is full, and so keeps losing them, is not told some thousand names ten times a second."""

_log = structlog.get_logger(__name__)


class _Seen(NamedTuple):
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


class _Demand:
    """What a gate is asked for, a second."""

    def __init__(self) -> None:
        self._asked = (0, 0)
        self.per_s = (0.0, 0.0)

    def look(self, gate: Gate, elapsed_s: float) -> None:
        """Take in what was asked since the last look, so many seconds ago."""
        asked = (gate.checks_asked, gate.events.asked)
        fresh = ((now - before) / elapsed_s for now, before in zip(asked, self._asked, strict=True))
        checks, events = (max(old + _FOLLOWS * (new - old), 0.0) for new, old in zip(fresh, self.per_s, strict=True))
        self._asked, self.per_s = asked, (checks, events)


_NewSubjects = Mapping[str, Sequence[NewSubject]]
"""Subjects that were new to this worker since the last turn, by partner."""


class _Met(NamedTuple):
    """What was learned in a turn: how things stand, and what the others' watches have counted since the last, by partner."""

    standing: Standing
    others: Mapping[str, Counts]


class _CountedThere:
    """What one partner's watches have counted, as told at one place: by this worker, and by the others."""

    __slots__ = ("_others", "_own")

    def __init__(self) -> None:
        self._own = NOTHING
        self._others: Counts | None = None

    def fresh(self, counted: Counts) -> Counts:
        """Give what this worker has not told yet."""
        return counted.minus(self._own)

    def told(self, counted: Counts, of_all: Counts) -> Counts:
        """Note what was told, and give what the others have counted since the last time; nothing at the first."""
        self._own = counted
        # Less than before where the place has lost what was told: what comes from then on counts.
        others, before = of_all.minus(counted), self._others
        self._others = others
        return NOTHING if before is None else others.minus(before).grown()


class _Place:
    """One place to meet, and what was told there. Used from the turning thread alone."""

    def __init__(self, exchange: QuotaExchange, names: DayNames, clock: Clock) -> None:
        self._exchange = exchange
        self._names = names
        self._clock = clock
        self._told: dict[tuple[str, int, int], int] = {}
        self._again_at: dict[str, float] = {}
        self._counted: dict[str, _CountedThere] = {}
        self._resting_until = 0.0
        self.met_at = -_STANDS_S

    def turn(self, worker: str, day: int, gates: Sequence[_Seen], fresh: _NewSubjects) -> _Met | None:
        """Tell and learn; None where nobody can be met."""
        now = self._clock.monotonic()
        if now < self._resting_until:
            return None
        self._told = {key: count for key, count in self._told.items() if key[1] == day}
        try:
            standing = self._exchange.turn(worker, day, [self._use(each, day, fresh[each.partner]) for each in gates])
        except StoreUnavailable:
            self._resting_until = now + _REST_S
            return None
        others: dict[str, Counts] = {}
        for each in gates:
            used = standing.used.get(each.partner)
            others[each.partner] = self._there(each.partner).told(each.counted, used.counted if used else NOTHING)
            lost = used is None or used.subjects < _LOST * each.tokens_now - 1
            again = lost and now >= self._again_at.get(each.partner, 0.0)
            if again:
                self._again_at[each.partner] = now + _TOLD_AGAIN_AFTER_S
            self._told[each.partner, day, each.depth] = 0 if again else each.tokens_now
        self.met_at = self._clock.monotonic()
        return _Met(standing, others)

    def _there(self, partner: str) -> _CountedThere:
        return self._counted.setdefault(partner, _CountedThere())

    def _use(self, seen: _Seen, day: int, new: Sequence[NewSubject]) -> Use:
        told = self._told.get((seen.partner, day, seen.depth), 0)
        fresh = seen.tokens[told : seen.tokens_now] if seen.day == day else ()
        names = self._names.names(day, seen.partner, fresh)
        labels = seen.labels if seen.day == day else 0
        counted = self._there(seen.partner).fresh(seen.counted)
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
        self._exchange.close()


class QuotaSharing:
    """Keeps one worker's gates in agreement with the others'.

    Args:
        gates: this worker's.
        host: where the workers of this host meet.
        store: where those of all hosts do; None where there is no store.
        names: names subjects for the others.
        clock: wall and monotonic time.
        metrics: is told of refusals and use.
        speaks: whether this worker may tell operators what all watches have found; one that answers no checks leaves it to
            those that do.
    """

    def __init__(
        self,
        gates: Gates,
        *,
        host: QuotaExchange,
        store: QuotaExchange | None,
        names: DayNames,
        clock: Clock,
        metrics: QuotaMetrics,
        speaks: bool = True,
    ) -> None:
        self._gates = gates
        self._names = names
        self._host = _Place(host, names, clock)
        self._store = _Place(store, names, clock) if store is not None else None
        self._clock = clock
        self._metrics = metrics
        # The first by name speaks.
        self._worker = ("a" if speaks else "z") + secrets.token_hex(8)
        self._demands: dict[str, _Demand] = {}
        self._looked_at = clock.monotonic()
        self._told_at = self._looked_at - _IDLE_TURN_S
        self._alone = False
        self._flush_at = 0.0
        self._fault_name = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Agree while the context lasts; the first turn is over when it begins."""
        try:
            with ThreadPoolExecutor(1, "portcullis-quotas") as thread:
                await self._try_turn(thread)
                task = asyncio.create_task(self._run(thread), name="quota-sharing")
                try:
                    yield
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    self._metrics.flush(self._gates.all.values(), shared=not self._alone)
        finally:
            self._host.close()
            if self._store is not None:
                self._store.close()

    async def _run(self, thread: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(TURN_S)
            await self._try_turn(thread)

    async def _try_turn(self, thread: ThreadPoolExecutor) -> None:
        try:
            await self.turn(thread)
            if self._clock.monotonic() >= self._flush_at:
                self._flush_at = self._clock.monotonic() + _FLUSH_S
                self._metrics.flush(self._gates.all.values(), shared=not self._alone)
            self._fault_name = ""
        except Exception as fault:  # noqa: BLE001 - the shares stand; the next turn may do better
            if type(fault).__name__ != self._fault_name:
                self._fault_name = type(fault).__name__
                _log.error("quotas could not be agreed on; the shares stay as they are", type=self._fault_name)

    async def turn(self, thread: ThreadPoolExecutor) -> None:
        """Tell, learn and go by it; the telling is done in ``thread``."""
        now = self._clock.monotonic()
        elapsed_s = max(now - self._looked_at, 1e-3)
        self._looked_at = now
        gates = list(self._gates.all.values())
        demands = [self._look(gate, elapsed_s) for gate in gates]
        idle = not any(sum(each) > _IDLE_PER_S for each in demands)
        if idle and now - self._told_at < _IDLE_TURN_S:
            return
        self._told_at = now
        seen = list(map(self._see, gates, demands))
        day = int(self._clock.now() // DAY_S)
        met = await asyncio.get_running_loop().run_in_executor(thread, self._meet, day, seen)
        if met is not None:
            self._go_by(met, seen, day)

    def _look(self, gate: Gate, elapsed_s: float) -> tuple[float, float]:
        demand = self._demands.setdefault(gate.partner, _Demand())
        demand.look(gate, elapsed_s)
        return demand.per_s

    def _see(self, gate: Gate, per_s: tuple[float, float]) -> _Seen:
        alone = self._gates.workers == 1
        if not alone and (gate.noted or gate.invalid):
            # The others are to know of it now, not once there is enough for a study here.
            gate.study()
        fresh, day = gate.watch.take_fresh(), gate.day
        return _Seen(
            gate.partner,
            *per_s,
            labels=day.own_labels,
            day=day.day,
            depth=day.depth,
            tokens=day.seen,
            tokens_now=len(day.seen),
            counted=gate.watch.counted(),
            fresh=Fresh() if alone else fresh,
            calls=gate.calls,
            streams=gate.streams,
        )

    def _new_subjects(self, seen: _Seen, day: int) -> Sequence[NewSubject]:
        notes, found = seen.fresh.notes, seen.fresh.found
        names = self._names.names(day, seen.partner, (note[2] for note in notes))
        cells = (cell.encode() for cells in cells_of(notes) for cell in cells)
        hashed = iter(self._names.names(day, seen.partner, cells))
        return [
            NewSubject(name, cells, note[2] in found)
            for note, name, cells in zip(notes, names, zip(hashed, hashed, hashed, strict=True), strict=True)
        ]

    def _meet(self, day: int, seen: Sequence[_Seen]) -> _Met | None:
        """Turn at both places; gives what to go by, None for as before."""
        fresh = {each.partner: self._new_subjects(each, day) for each in seen}
        of_host = self._host.turn(self._worker, day, seen, fresh)
        self._alone = False
        if self._store is not None:
            of_all = self._store.turn(self._worker, day, seen, fresh)
            if of_all is not None:
                return of_all
            if self._clock.monotonic() - self._store.met_at < _STANDS_S:
                return None
        self._alone = self._store is not None
        if of_host is None and self._clock.monotonic() - self._host.met_at < _STANDS_S:
            return None
        return of_host or _Met(Standing(1, {}), {})

    def _go_by(self, met: _Met, seen: Sequence[_Seen], day: int) -> None:
        standing = met.standing
        workers = max(standing.workers, 1)
        self._gates.workers = workers
        for each in seen:
            gate, used = self._gates.of(each.partner), standing.used.get(each.partner)
            checks, events = (used.checks_per_s, used.events_per_s) if used else (0.0, 0.0)
            quota = gate.quota
            gate.share_checks(share(quota.checks_per_s, each.checks_per_s, checks, workers))
            gate.share_events(share(quota.events_per_s, each.events_per_s, events, workers))
            gate.hear_elsewhere(
                calls=max(used.calls - each.calls, 0) if used else 0,
                streams=max(used.streams - each.streams, 0) if used else 0,
            )
            if used and day == gate.day.day and each.depth == gate.day.depth:
                # This worker's part of the sum is what it told, though more were shown since.
                told = each.labels if each.day == day else 0
                gate.day.told(subjects=used.subjects, labels=max(used.labels - told, 0))
            gate.look_again()
            others = met.others.get(each.partner, NOTHING)
            gate.watch.hear_counted(others, speaks=used is None or used.first)
