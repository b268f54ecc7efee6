"""What is counted of keys: how old those in use are, and how entries come over to another token key."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge


class KeyMetrics:
    """What is counted of keys, on ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._renewed = counter(catalogue.TOKENS_RENEWED, registry)
        self._unreadable = gauge(catalogue.TOKENS_UNREADABLE, registry)
        self._failures = counter(catalogue.RENEWAL_FAILURES, registry)
        self._ages = gauge(catalogue.KEY_AGE_DAYS, registry)
        self._named: set[str] = set()

    def renewed(self, entries: int) -> None:
        """Count entries that came over to the key in use."""
        self._renewed.inc(entries)

    def unreadable(self, entries: int) -> None:
        """Note how many entries of the last pass can't be opened."""
        self._unreadable.set(entries)

    def renewal_failed(self) -> None:
        """Count a try that failed."""
        self._failures.inc()

    def ages(self, days: Mapping[str, float]) -> None:
        """Note how old each key in use is, in days; one that is no longer in use is left out."""
        for name in self._named - days.keys():
            self._ages.remove(name)
        self._named = set(days)
        for name, age in days.items():
            self._ages.labels(name).set(age)
