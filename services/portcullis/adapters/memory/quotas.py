"""The exchange of quotas within one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.evidence import NOTHING, Counts
from portcullis.ports.quotas import DAYS_KEPT, POOLED, SEEN_AT_LEAST, SILENT_MS, Load, NewSubject, Standing, Use, Used


class MemoryQuotaExchange:
    """Meets in memory. Implements `portcullis.ports.quotas.QuotaExchange`; safe for threads.

    Args:
        silent_ms: how long a silent worker is remembered.
        monotonic: seconds.

    Attributes:
        failing: while it is set, nobody can be met.
    """

    def __init__(self, *, silent_ms: int = SILENT_MS, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._silent_s = silent_ms / 1000
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[float, dict[str, Load]]] = {}
        self._labels: dict[tuple[int, str], dict[str, int]] = {}
        self._subjects: dict[tuple[int, int, str], set[bytes]] = {}
        self._counted: dict[tuple[int, str], Counts] = {}
        self._pools: dict[tuple[int, str], _Pool] = {}
        self.failing = False

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        """Tell and learn; as `QuotaExchange.turn`."""
        if self.failing:
            raise StoreUnavailable("the exchange of quotas was told to fail")
        with self._lock:
            now = self._monotonic()
            self._asked[worker] = now, {use.partner: use.load for use in uses}
            self._asked = {name: row for name, row in self._asked.items() if now - row[0] < self._silent_s}
            self._labels = {key: kept for key, kept in self._labels.items() if day - key[0] < DAYS_KEPT}
            self._subjects = {key: kept for key, kept in self._subjects.items() if day - key[0] < DAYS_KEPT}
            self._counted = {key: kept for key, kept in self._counted.items() if day - key[0] < DAYS_KEPT}
            self._pools = {key: kept for key, kept in self._pools.items() if day - key[0] < DAYS_KEPT}
            return Standing(len(self._asked), {use.partner: self._take(worker, day, use) for use in uses})

    def _take(self, worker: str, day: int, use: Use) -> Used:
        labels = self._labels.setdefault((day, use.partner), {})
        labels[worker] = use.labels
        subjects = self._subjects.setdefault((day, use.depth, use.partner), set())
        subjects.update(use.subjects)
        load = Load.of_all(row[use.partner] for _, row in self._asked.values() if use.partner in row)
        pooled = self._pools.setdefault((day, use.partner), _Pool()).take(use.fresh)
        before = self._counted.get((day, use.partner), NOTHING)
        counted = self._counted[day, use.partner] = before.plus(use.counted).plus(pooled)
        return Used(
            checks_per_s=load.checks_per_s,
            events_per_s=load.events_per_s,
            labels=sum(labels.values()),
            subjects=len(subjects),
            counted=counted,
            calls=load.calls,
            streams=load.streams,
        )

    def close(self) -> None:
        """Do nothing: what was told stays."""


class _Pool:
    """Subjects that were new to every worker, counted some dozens at a time."""

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._pooled = self._found = 0
        self._cells: tuple[set[bytes], ...] = (set(), set(), set())

    def take(self, fresh: Sequence[NewSubject]) -> Counts:
        """Add subjects; gives what the pools say that became full."""
        counted = NOTHING
        for each in fresh:
            if not self._is_new(each.name):
                continue
            self._pooled += 1
            self._found += each.found
            for cells, cell in zip(self._cells, each.cells, strict=True):
                cells.add(cell)
            if self._pooled == POOLED:
                counted = counted.plus(self._close())
        return counted

    def _is_new(self, name: bytes) -> bool:
        new = name not in self._young and name not in self._old
        if len(self._young) >= SEEN_AT_LEAST:
            self._old, self._young = self._young, set()
        self._young.add(name)
        return new

    def _close(self) -> Counts:
        near, block, region = (POOLED - len(cells) for cells in self._cells)
        full = Counts(near, block, region, self._found, POOLED)
        self._pooled = self._found = 0
        for cells in self._cells:
            cells.clear()
        return full
