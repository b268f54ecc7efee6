"""What the publisher, the follower and the stack's parent count."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge, histogram


class FollowerMetrics:
    """What the follower counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._installs = counter(catalogue.FOLLOWER_INSTALLS, registry)
        self._refusals = counter(catalogue.FOLLOWER_REFUSALS, registry)
        self._version = gauge(catalogue.FOLLOWER_VERSION, registry)

    def installed(self, version: int) -> None:
        """Count an installed snapshot."""
        self._installs.inc()
        self._version.set(version)

    def refused(self, reason: str) -> None:
        """Count a refusal by what was wrong."""
        self._refusals.labels(reason).inc()


class PublisherMetrics:
    """What the publisher counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._publishes = counter(catalogue.PUBLISHES, registry)
        self._failures = counter(catalogue.PUBLISH_FAILURES, registry)
        self._seconds = histogram(catalogue.PUBLISH_SECONDS, registry)
        self._version = gauge(catalogue.PUBLISHED_VERSION, registry)

    def published(self, version: int, seconds: float) -> None:
        """Count a published snapshot and the time it took, in seconds."""
        self._publishes.inc()
        self._seconds.observe(seconds)
        self._version.set(version)

    def failed(self, reason: str) -> None:
        """Count a failed attempt by the part that failed."""
        self._failures.labels(reason).inc()


class StackMetrics:
    """What the stack's parent counts of its children."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._restarts = counter(catalogue.CHILD_RESTARTS, registry)
        self._up = gauge(catalogue.CHILD_UP, registry)

    def known(self, child: str) -> None:
        """Make a child's metrics appear, at nothing."""
        self._restarts.labels(child)
        self._up.labels(child).set(0)

    def restarted(self, child: str) -> None:
        """Count a start after an unwanted end."""
        self._restarts.labels(child).inc()

    def up(self, child: str, *, running: bool) -> None:
        """Note whether a child runs."""
        self._up.labels(child).set(int(running))
