"""What the registry's keeper counts: what it did, what failed, and the cases that are open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge


class RemovedCount(Protocol):
    """How many records of one kind were removed."""

    @property
    def kind(self) -> str:
        """What they were."""
        ...

    @property
    def count(self) -> int:
        """How many."""
        ...


class KeeperMetrics:
    """What the keeper counts, on ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lapsed = counter(catalogue.DISPUTES_LAPSED, registry)
        self._released = counter(catalogue.SETTLED_RELEASES, registry)
        self._taken_over = counter(catalogue.REPORTS_TAKEN, registry)
        self._removed = counter(catalogue.RECORDS_REMOVED, registry)
        self._open = gauge(catalogue.OPEN_CASES, registry)
        self._overdue = gauge(catalogue.OVERDUE_NOTICES, registry)
        self._failures = counter(catalogue.KEEPER_FAILURES, registry)
        self._lists: set[str] = set()
        for chore in ("lapse", "release", "reports", "count", "retention"):
            for part in ("registry", "journal", "other"):
                self._failures.labels(chore, part)

    def lapsed(self, disputes: int) -> None:
        """Count disputes that were not decided in time."""
        self._lapsed.inc(disputes)

    def released(self, entries: int) -> None:
        """Count entries that were released after a settlement."""
        self._released.inc(entries)

    def taken_over(self, events: int) -> None:
        """Count partners' reports that were taken over."""
        self._taken_over.inc(events)

    def removed(self, what: Iterable[RemovedCount]) -> None:
        """Count records that were removed by age."""
        for each in what:
            self._removed.labels(each.kind).inc(each.count)

    def open_cases(self, cases: Mapping[str, int], overdue: Mapping[str, int]) -> None:
        """Note how many cases are open by list, and of how many the source should have been told."""
        # A list whose last case was closed says 0 from then on.
        self._lists.update(cases)
        self._set(self._open, cases)
        self._set(self._overdue, overdue)

    def failed(self, chore: str, part: str) -> None:
        """Count a failed try of a chore by the part that failed."""
        self._failures.labels(chore, part).inc()

    def _set(self, measured: Gauge, values: Mapping[str, int]) -> None:
        for name in self._lists:
            measured.labels(name).set(values.get(name, 0))
