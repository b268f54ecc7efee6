"""What the publisher, the follower, the shipper and the stack's parent count."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge, histogram
from portcullis.metrics.marks import Marks

PROBE_EVERY_S = 10.0
"""How often what is not told but asked for is asked: a file or a database stands behind it."""


class FollowerMetrics:
    """What the follower counts.

    Args:
        registry: where the instruments are built.
        reasons: what a refusal may be counted by. Each appears at 0, so that the first one is seen to be an increase.
        expiries: gives when the metadata that is trusted expires, Unix seconds by role. It is asked now and then, by whoever
            notes what is held, and must not raise.
        monotonic: seconds.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        reasons: Collection[str] = (),
        expiries: Callable[[], Mapping[str, float]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._installs = counter(catalogue.FOLLOWER_INSTALLS, registry)
        self._install_seconds = histogram(catalogue.FOLLOWER_INSTALL_SECONDS, registry)
        self._applies = counter(catalogue.FOLLOWER_APPLIES, registry)
        self._apply_seconds = histogram(catalogue.FOLLOWER_APPLY_SECONDS, registry)
        self._refusals = counter(catalogue.FOLLOWER_REFUSALS, registry)
        self._fallbacks = counter(catalogue.FOLLOWER_FALLBACKS, registry)
        self._fetched = counter(catalogue.FOLLOWER_FETCHED_BYTES, registry)
        self._version = gauge(catalogue.FOLLOWER_VERSION, registry)
        self._age = gauge(catalogue.FOLLOWER_AGE, registry)
        self._expires = gauge(catalogue.METADATA_EXPIRES, registry)
        self._expiries = _Seldom(expiries, monotonic)
        for reason in reasons:
            self._refusals.labels(reason)
            self._fallbacks.labels(reason)
        for kind in ("base", "delta"):
            self._fetched.labels(kind)

    def installed(self, version: int, seconds: float) -> None:
        """Count a version that a replica was built anew for, and the time it took."""
        self._installs.inc()
        self._install_seconds.observe(seconds)
        self._version.set(version)

    def applied(self, version: int, seconds: float) -> None:
        """Count a version that the replica was led on to, and the time it took."""
        self._applies.inc()
        self._apply_seconds.observe(seconds)
        self._version.set(version)

    def refused(self, reason: str) -> None:
        """Count a refusal by what was wrong."""
        self._refusals.labels(reason).inc()

    def fell_back(self, reason: str) -> None:
        """Count a way by deltas that was given up for the bases, by what was wrong with it."""
        self._fallbacks.labels(reason).inc()

    def fetched(self, kind: str, size: int) -> None:
        """Count a file of records, base or delta, with its length in bytes."""
        self._fetched.labels(kind).inc(size)

    def holds(self, version: int, age_s: float) -> None:
        """Note the version in the replica, and how many seconds ago the publisher vouched for it."""
        self._version.set(version)
        self._age.set(age_s)
        for role, expires_at in (self._expiries.ask() or {}).items():
            self._expires.labels(role).set(expires_at)


class PublisherMetrics:
    """What the publisher counts.

    Args:
        registry: where the instruments are built.
        held_imports: gives how many imports wait for a second operator, or None when that can't be known just now. It is
            asked now and then, by whoever notes the lease, and must not raise.
        monotonic: seconds.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        held_imports: Callable[[], int | None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publishes = counter(catalogue.PUBLISHES, registry)
        self._failures = counter(catalogue.PUBLISH_FAILURES, registry)
        self._seconds = histogram(catalogue.PUBLISH_SECONDS, registry)
        self._version = gauge(catalogue.PUBLISHED_VERSION, registry)
        self._bytes = counter(catalogue.PUBLISHED_BYTES, registry)
        self._refills = counter(catalogue.STORE_REFILLS, registry)
        self._stalled = Marks(catalogue.LIST_STALLED, registry)
        self._faulty = counter(catalogue.FAULTY_ENTRIES, registry)
        self._folded = counter(catalogue.FOLDED_DELTAS, registry)
        self._compactions = counter(catalogue.COMPACTIONS, registry)
        self._lease = gauge(catalogue.LEASE_HELD, registry)
        self._held = gauge(catalogue.HELD_IMPORTS, registry)
        self._held_imports = _Seldom(held_imports, monotonic)
        for part in ("registry", "store", "disk", "keys", "other"):
            self._failures.labels(part)

    def published(self, version: int, seconds: float, sent_bytes: int) -> None:
        """Count a published version, the time it took (seconds), and what was sent."""
        self._publishes.inc()
        self._seconds.observe(seconds)
        self._bytes.inc(sent_bytes)
        self._version.set(version)

    def failed(self, part: str) -> None:
        """Count a failed try by the part that failed."""
        self._failures.labels(part).inc()

    def refilled(self) -> None:
        """Count that the store did not hold what was put there."""
        self._refills.inc()

    def stalled(self, lists: Collection[str]) -> None:
        """Note which lists can't be brought up to date just now."""
        self._stalled.set(lists)

    def faulty(self, list_name: str, entries: int) -> None:
        """Count entries of a list that were left out or cut."""
        self._faulty.labels(list_name).inc(entries)

    def reworked(self, *, folded: int, compacted: bool) -> None:
        """Count how many deltas were folded to one, and whether a base was compacted."""
        self._folded.inc(folded)
        self._compactions.inc(int(compacted))

    def leased(self, *, held: bool) -> None:
        """Note whether this publisher works, or waits for another."""
        self._lease.set(int(held))
        count = self._held_imports.ask()
        if count is not None:
            self._held.set(count)


class ShipperMetrics:
    """What the shipper counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shipped = counter(catalogue.SHIPPED_RECORDS, registry)
        self._failures = counter(catalogue.SHIPPER_FAILURES, registry)
        self._faults = counter(catalogue.SPOOL_FAULTS, registry)
        self._waiting = gauge(catalogue.SPOOL_WAITING, registry)
        self._age = gauge(catalogue.SPOOL_AGE, registry)
        for part in ("journal", "disk", "other"):
            self._failures.labels(part)
        for kind in ("torn", "damaged"):
            self._faults.labels(kind)

    def shipped(self, records: int) -> None:
        """Count records that the journal has taken."""
        self._shipped.inc(records)

    def failed(self, part: str) -> None:
        """Count a try that failed, by the part that failed."""
        self._failures.labels(part).inc()

    def fault(self, kind: str) -> None:
        """Count a fault of a segment: torn or damaged."""
        self._faults.labels(kind).inc()

    def waiting(self, size: int, age_s: float) -> None:
        """Note how many bytes of records wait, and how many seconds ago the oldest was decided."""
        self._waiting.set(size)
        self._age.set(age_s)


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


_Answer = TypeVar("_Answer")


class _Seldom(Generic[_Answer]):
    """Asks for something at most every `PROBE_EVERY_S`; in between it gives None."""

    def __init__(self, probe: Callable[[], _Answer | None] | None, monotonic: Callable[[], float]) -> None:
        self._probe = probe
        self._monotonic = monotonic
        self._due = monotonic()

    def ask(self) -> _Answer | None:
        now = self._monotonic()
        if self._probe is None or now < self._due:
            return None
        self._due = now + PROBE_EVERY_S
        return self._probe()
