"""What the relay counts, by stream; a stream's id says nothing of a person."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge


class RelayMetrics:
    """What the relay counts, on ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._delivered = counter(catalogue.RELAY_DELIVERED, registry)
        self._failures = counter(catalogue.RELAY_FAILURES, registry)
        self._parked = gauge(catalogue.RELAY_PARKED, registry)
        self._behind = gauge(catalogue.RELAY_BEHIND, registry)
        self._known: frozenset[str] = frozenset()

    def streams(self, present: Collection[str], parked: Collection[str]) -> None:
        """Note which streams there are, and which of them are parked; one that left is at nothing from then on."""
        for stream_id in present:
            self._delivered.labels(stream_id)
            self._parked.labels(stream_id).set(int(stream_id in parked))
        for stream_id in self._known.difference(present):
            self._parked.labels(stream_id).set(0)
            self._behind.labels(stream_id).set(0)
        self._known = frozenset(present)

    def delivered(self, stream_id: str, events: int) -> None:
        """Count events that a receiver has taken."""
        self._delivered.labels(stream_id).inc(events)

    def failed(self, stream_id: str, fault: str) -> None:
        """Count a try that failed, by what was wrong."""
        self._failures.labels(stream_id, fault).inc()

    def behind(self, stream_id: str, seconds: float) -> None:
        """Note since how many seconds the next event of a stream waits; 0 when none does."""
        self._behind.labels(stream_id).set(seconds)
