"""What a gateway worker counts.

The check path counts in plain integers and lists, and flushes about once a second: a Prometheus counter's ``inc`` costs
about as much as a look-up in the replica.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry

from portcullis.metrics import catalogue
from portcullis.metrics.catalogue import counter, gauge, histogram
from portcullis.metrics.marks import Marks


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _Spoken(Protocol):
    @property
    def list(self) -> _Named: ...
    @property
    def shadow(self) -> bool: ...


class _Hit(Protocol):
    @property
    def measure(self) -> _Spoken: ...
    @property
    def effect(self) -> str: ...


class _Verdict(Protocol):
    @property
    def outcome(self) -> str: ...
    @property
    def degraded(self) -> bool: ...
    @property
    def hits(self) -> Sequence[_Hit]: ...


class CheckTally:
    """What one gateway worker counts: plain integers on the check path, Prometheus instruments at each `flush`.

    Not for several threads: the worker's event loop counts and flushes.

    Example: ``tally.allowed += 1`` after an ALLOW without a hit, ``tally.verdict(verdict)`` after any other; once a second
    ``tally.flush()``.

    Attributes:
        allowed: ALLOWs without a hit since the start; only ever grows, so its low bits serve for sampling.
        lookups_empty: caller look-ups that found nothing since the start.
    """

    __slots__ = ("_allowed_flushed", "_counts", "_durations", "_empty_flushed", "_instruments", "allowed", "lookups_empty")

    def __init__(self, registry: CollectorRegistry) -> None:
        self.allowed = 0
        self.lookups_empty = 0
        self._allowed_flushed = 0
        self._empty_flushed = 0
        self._counts: dict[tuple[str, ...], int] = {}
        self._durations: list[tuple[str, float]] = []
        self._instruments = _GatewayInstruments(registry)

    def verdict(self, verdict: _Verdict) -> None:
        """Count a verdict that is no plain miss, with each of its reasons."""
        self._add(("outcome", str(verdict.outcome).lower()))
        if verdict.degraded:
            self._add(("degraded",))
        for hit in verdict.hits:
            kind = "shadow" if hit.measure.shadow else "hit"
            self._add((kind, hit.measure.list.name, str(hit.effect)))

    def label_shown(self) -> None:
        """Count a caller look-up that gave a label."""
        self._add(("label",))

    def error(self, reason: str) -> None:
        """Count a refusal by its name in error_reason.proto, with or without the prefix."""
        self._add(("error", reason.removeprefix("ERROR_REASON_")))

    def observe(self, seconds: float) -> None:
        """Note how long one sampled check took."""
        self._durations.append(("check", seconds))

    def spooled(self, records: int, seconds: float) -> None:
        """Count records made durable, and the time that it took."""
        self._add(("records",), records)
        self._durations.append(("spool", seconds))

    def spool_failed(self) -> None:
        """Count an append that could not be made durable."""
        self._add(("failures",))

    def holding(self, *, version: int, published_at: float, age_s: float, records: int) -> None:
        """Note the snapshot held: Unix seconds of its publication, seconds since it was last vouched for."""
        self._instruments.version.set(version)
        self._instruments.published.set(published_at)
        self._instruments.age.set(age_s)
        self._instruments.records_held.set(records)

    def lists_held(self, ages: Mapping[str, float], stale: Collection[str]) -> None:
        """Note how far each list may be behind its authority (seconds), and which are past their greatest age."""
        self._instruments.lists(ages, stale)

    def flush(self) -> None:
        """Add what was counted since the last flush to the instruments."""
        self._add(("outcome", "allow"), self.allowed - self._allowed_flushed)
        self._add(("nothing",), self.lookups_empty - self._empty_flushed)
        self._allowed_flushed, self._empty_flushed = self.allowed, self.lookups_empty
        counts, self._counts = self._counts, {}
        durations, self._durations = self._durations, []
        for key, count in counts.items():
            self._instruments.count(key, count)
        for what, seconds in durations:
            self._instruments.observe(what, seconds)

    def _add(self, key: tuple[str, ...], count: int = 1) -> None:
        self._counts[key] = self._counts.get(key, 0) + count


class _GatewayInstruments:
    """The Prometheus side of a `CheckTally`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        lookups = counter(catalogue.CALLER_LOOKUPS, registry)
        self._labelled = {
            "outcome": counter(catalogue.CHECKS, registry),
            "error": counter(catalogue.CHECK_ERRORS, registry),
            "hit": counter(catalogue.HITS, registry),
            "shadow": counter(catalogue.SHADOW_HITS, registry),
        }
        self._plain = {
            "degraded": counter(catalogue.CHECKS_DEGRADED, registry),
            "label": lookups.labels("label"),
            "nothing": lookups.labels("nothing"),
            "records": counter(catalogue.SPOOL_RECORDS, registry),
            "failures": counter(catalogue.SPOOL_FAILURES, registry),
        }
        self._durations = {
            "check": histogram(catalogue.CHECK_SECONDS, registry),
            "spool": histogram(catalogue.SPOOL_SECONDS, registry),
        }
        self.version = gauge(catalogue.SNAPSHOT_VERSION, registry)
        self.published = gauge(catalogue.SNAPSHOT_PUBLISHED, registry)
        self.age = gauge(catalogue.SNAPSHOT_AGE, registry)
        self.records_held = gauge(catalogue.SNAPSHOT_RECORDS, registry)
        self._list_age = gauge(catalogue.LIST_AGE, registry)
        self._list_stale = Marks(catalogue.LIST_STALE, registry)
        self._lists: set[str] = set()
        for outcome in ("allow", "restrict", "review"):
            self._labelled["outcome"].labels(outcome)
        # A rule looks at its increase, and a series that begins at 1 has none.
        self._labelled["error"].labels("INTERNAL")

    def count(self, key: tuple[str, ...], count: int) -> None:
        plain = self._plain.get(key[0])
        (plain if plain is not None else self._labelled[key[0]].labels(*key[1:])).inc(count)

    def observe(self, what: str, seconds: float) -> None:
        self._durations[what].observe(seconds)

    def lists(self, ages: Mapping[str, float], stale: Collection[str]) -> None:
        self._lists.update(ages)
        for name in self._lists:
            self._list_age.labels(name).set(ages.get(name, 0.0))
        self._list_stale.set(stale, ages)
