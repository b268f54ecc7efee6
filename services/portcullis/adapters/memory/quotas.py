"""The exchange of quotas within one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from portcullis.domain.errors import StoreUnavailable
from portcullis.ports.quotas import DAYS_KEPT, SILENT_MS, Standing, Use, Used


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
        self._asked: dict[str, tuple[float, dict[str, tuple[float, float]]]] = {}
        self._labels: dict[tuple[int, str], dict[str, int]] = {}
        self._subjects: dict[tuple[int, int, str], set[bytes]] = {}
        self.failing = False

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        """Tell and learn; as `QuotaExchange.turn`."""
        if self.failing:
            raise StoreUnavailable("the exchange of quotas was told to fail")
        with self._lock:
            now = self._monotonic()
            self._asked[worker] = now, {use.partner: (use.checks_per_s, use.events_per_s) for use in uses}
            self._asked = {name: row for name, row in self._asked.items() if now - row[0] < self._silent_s}
            self._labels = {key: kept for key, kept in self._labels.items() if day - key[0] < DAYS_KEPT}
            self._subjects = {key: kept for key, kept in self._subjects.items() if day - key[0] < DAYS_KEPT}
            return Standing(len(self._asked), {use.partner: self._take(worker, day, use) for use in uses})

    def _take(self, worker: str, day: int, use: Use) -> Used:
        labels = self._labels.setdefault((day, use.partner), {})
        labels[worker] = use.labels
        subjects = self._subjects.setdefault((day, use.depth, use.partner), set())
        subjects.update(use.subjects)
        asked = [row.get(use.partner, (0.0, 0.0)) for _, row in self._asked.values()]
        return Used(sum(each[0] for each in asked), sum(each[1] for each in asked), sum(labels.values()), len(subjects))

    def close(self) -> None:
        """Do nothing: what was told stays."""
