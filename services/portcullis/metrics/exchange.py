"""What the exchange counts: checkpoints of the journal, and the feed of changes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge


class CheckpointMetrics:
    """What the signing of checkpoints counts, on ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._size = gauge(catalogue.CHECKPOINT_SIZE, registry)
        self._failures = counter(catalogue.CHECKPOINT_FAILURES, registry)
        for part in ("journal", "disk", "log"):
            self._failures.labels(part)

    def signed(self, size: int) -> None:
        """Note a new checkpoint, of so many entries."""
        self._size.set(size)

    def failed(self, part: str) -> None:
        """Count a failed try by the part that failed."""
        self._failures.labels(part).inc()


class FeedMetrics:
    """What the feed counts, on ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._changes = counter(catalogue.FEED_CHANGES, registry)
        self._trimmed = counter(catalogue.FEED_TRIMMED, registry)
        self._lag = gauge(catalogue.FEED_LAG, registry)
        self._failures = counter(catalogue.FEED_FAILURES, registry)
        for part in ("registry", "journal", "other"):
            self._failures.labels(part)

    def fed(self, changes: int, lag_s: float) -> None:
        """Count changes that were put into the feed, and how long before the last of them had happened."""
        self._changes.inc(changes)
        self._lag.set(lag_s)

    def trimmed(self, changes: int) -> None:
        """Count changes that were forgotten by age."""
        self._trimmed.inc(changes)

    def failed(self, part: str) -> None:
        """Count a failed try by the part that failed."""
        self._failures.labels(part).inc()


class AnnouncementMetrics:
    """What hearing of the feed's growth counts, on ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._faults = counter(catalogue.ANNOUNCEMENT_FAULTS, registry)

    def fault(self) -> None:
        """Count a fault of the store."""
        self._faults.inc()
