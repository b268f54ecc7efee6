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
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import structlog

from portcullis.domain.day_names import DayNames
from portcullis.domain.evidence import NOTHING
from portcullis.domain.probing import Fresh
from portcullis.domain.shares import share
from portcullis.gateway.quotas.day_counts import DAY_S
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.places import Met, NewSubjects, Place, Seen
from portcullis.metrics.quotas import QuotaMetrics
from portcullis.ports import Clock
from portcullis.ports.quotas import NewSubject, QuotaExchange, Standing

TURN_S = 0.1
_IDLE_TURN_S = 0.5
"""A worker that nobody asks anything tells so less often; the others must not forget it."""
_IDLE_PER_S = 1e-3
_STANDS_S = 3.0
"""How long shares stand as they are while the store does not answer."""
_FLUSH_S = 1.0
_FOLLOWS = 0.5
"""How much of a change in demand is believed at once; the rest follows in the next turns."""
_FRESH_A_TURN = 256
"""So many new subjects are told in a turn, of all partners: a place takes some 30 us for each, one after another."""

_log = structlog.get_logger(__name__)


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


class QuotaSharing:
    """Keeps one worker's gates in agreement with the others'.

    Args:
        gates: this worker's.
        host: where the workers of this host meet.
        store: where those of all hosts do; None where there is no store.
        names: names subjects for the others.
        clock: wall and monotonic time.
        metrics: is told of refusals and use.
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
    ) -> None:
        self._gates = gates
        self._names = names
        self._host = Place(host, names, clock)
        self._store = Place(store, names, clock) if store is not None else None
        self._clock = clock
        self._metrics = metrics
        self._worker = secrets.token_hex(8)
        self._demands: dict[str, _Demand] = {}
        self._turns = 0
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
        if met.standing is not None:
            self._gates.workers = max(met.standing.workers, 1)
        self._go_by(met, seen, day)

    def _look(self, gate: Gate, elapsed_s: float) -> tuple[float, float]:
        demand = self._demands.setdefault(gate.partner, _Demand())
        demand.look(gate, elapsed_s)
        return demand.per_s

    def _see(self, gate: Gate, per_s: tuple[float, float]) -> Seen:
        alone = self._gates.workers == 1
        if not alone and (gate.noted or gate.invalid):
            # The others are to know of it now, not once there is enough for a study here.
            gate.study()
        fresh, day = gate.watch.take_fresh(), gate.day
        return Seen(
            gate.partner,
            *per_s,
            labels=day.own_labels,
            day=day.day,
            depth=day.depth,
            tokens=day.seen,
            tokens_now=len(day.seen),
            counted=gate.watch.counted(),
            fresh=Fresh() if alone else fresh,
            calls=gate.calls.here,
            streams=gate.streams.here,
        )

    def _new_subjects(self, seen: Seen, day: int, most: int) -> Sequence[NewSubject]:
        placed, found = seen.fresh.placed[:most], seen.fresh.found
        names = self._names.names(day, seen.partner, (token for token, *_ in placed))
        cells = (cell.encode() for _, *cells in placed for cell in cells)
        hashed = iter(self._names.names(day, seen.partner, cells))
        return [
            NewSubject(name, cells, place[0] in found)
            for place, name, cells in zip(placed, names, zip(hashed, hashed, hashed, strict=True), strict=True)
        ]

    def _name_new(self, day: int, seen: Sequence[Seen]) -> NewSubjects:
        """Name what was new, as much as a turn takes; where there is more, each partner has its turn."""
        left, named = _FRESH_A_TURN, {}
        self._turns += 1
        first = self._turns % max(len(seen), 1)
        for each in (*seen[first:], *seen[:first]):
            named[each.partner] = self._new_subjects(each, day, left)
            left -= len(named[each.partner])
        return named

    def _meet(self, day: int, seen: Sequence[Seen]) -> Met:
        """Turn at both places; gives what to go by."""
        fresh = self._name_new(day, seen)
        of_all = self._store.turn(self._worker, day, seen, fresh) if self._store is not None else None
        # New subjects are pooled at the one place that is gone by.
        of_host = self._host.turn(self._worker, day, seen, fresh if of_all is None else {})
        self._alone = self._store is not None and of_all is None
        if of_all is not None:
            return of_all
        others = of_host.others if of_host is not None else {}
        if self._store is not None and self._has_met(self._store):
            # Not yet of the host alone.
            self._alone = False
            return Met(None, others)
        if of_host is None and self._has_met(self._host):
            return Met(None, others)
        return of_host or Met(Standing(1, {}), others)

    def _has_met(self, place: Place) -> bool:
        """Whether somebody was met there lately, so that shares stand as they are for a moment."""
        return self._clock.monotonic() - place.met_at < _STANDS_S

    def _go_by(self, met: Met, seen: Sequence[Seen], day: int) -> None:
        for each in seen:
            if met.standing is not None:
                self._share(met.standing, each, day)
            self._gates.of(each.partner).watch.hear_counted(met.others.get(each.partner, NOTHING))

    def _share(self, standing: Standing, seen: Seen, day: int) -> None:
        """Go by what all are asked for, and what is used of the day, of one partner."""
        workers = self._gates.workers
        gate, used = self._gates.of(seen.partner), standing.used.get(seen.partner)
        checks, events = (used.checks_per_s, used.events_per_s) if used else (0.0, 0.0)
        gate.share_checks(share(gate.quota.checks_per_s, seen.checks_per_s, checks, workers))
        gate.share_events(share(gate.quota.events_per_s, seen.events_per_s, events, workers))
        gate.calls.hear(max(used.calls - seen.calls, 0) if used else 0)
        gate.streams.hear(max(used.streams - seen.streams, 0) if used else 0)
        if used and day == gate.day.day and seen.depth == gate.day.depth:
            # This worker's part of the sum is what it told, though more were shown since.
            told = seen.labels if seen.day == day else 0
            gate.day.told(subjects=used.subjects, labels=max(used.labels - told, 0))
        gate.look_again()
