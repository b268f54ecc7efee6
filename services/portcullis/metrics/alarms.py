"""What a gateway worker counts of alarms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge


class AlarmMetrics:
    """What a gateway worker counts of alarms, on ``registry``, by these ``signs``."""

    def __init__(self, registry: CollectorRegistry, signs: Iterable[str]) -> None:
        self._level = gauge(catalogue.ALARM_LEVEL, registry)
        self._alarms = counter(catalogue.ALARMS, registry)
        for sign in signs:
            self._alarms.labels(sign)

    def raised(self, signs: Iterable[str]) -> None:
        """Count an alarm by its signs."""
        for sign in signs:
            self._alarms.labels(sign).inc()

    def levels(self, levels: Mapping[str, int]) -> None:
        """Note what is done about each partner."""
        for partner, level in levels.items():
            self._level.labels(partner).set(level)
