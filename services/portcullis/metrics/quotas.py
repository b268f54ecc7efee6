"""What a worker tells of its partners' quotas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge


class _Gate(Protocol):
    @property
    def partner(self) -> str: ...
    @property
    def refused(self) -> Mapping[str, int]: ...
    def used_parts(self) -> Mapping[str, float]: ...


class QuotaMetrics:
    """The instruments of quotas; flushed about once a second."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refusals = counter(catalogue.QUOTA_REFUSALS, registry)
        self._used = gauge(catalogue.QUOTA_USED, registry)
        self._alone = gauge(catalogue.QUOTA_ALONE, registry)
        self._flushed: dict[tuple[str, str], int] = {}

    def flush(self, gates: Iterable[_Gate], *, shared: bool) -> None:
        """Take in how things stand."""
        self._alone.set(0 if shared else 1)
        for gate in gates:
            for quota, count in gate.refused.items():
                key = (gate.partner, quota)
                self._refusals.labels(*key).inc(count - self._flushed.get(key, 0))
                self._flushed[key] = count
            for quota, part in gate.used_parts().items():
                self._used.labels(gate.partner, quota).set(part)
