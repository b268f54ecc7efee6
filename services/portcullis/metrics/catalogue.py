"""The metric catalogue: every metric is named once, here, with its meaning, unit and labels.

``docs/reference/metrics.md`` is made from this file by ``tools/metrics_page.py``. No label ever holds an identifier, a
token, a case reference or anything else about a person.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]
Mode = Literal["", "livemin", "livemax", "livemostrecent"]

SAMPLE_EVERY = 16
"""One check of this many is timed."""


class Definition(NamedTuple):
    """One metric. ``mode`` says how the gauges of several processes become one; ``buckets`` are upper bounds in the unit."""

    part: str
    name: str
    kind: Kind
    meaning: str
    unit: str
    labels: tuple[str, ...] = ()
    mode: Mode = ""
    buckets: tuple[float, ...] = ()


_CHECK_BUCKETS = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0)
_DISK_BUCKETS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0, 5.0)
_PUBLISH_BUCKETS = (5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)

CHECKS = Definition(
    "gateway",
    "portcullis_checks_total",
    "counter",
    "Checks answered, by outcome: allow, restrict or review. A caller's label counts as allow.",
    "checks",
    ("outcome",),
)
CHECKS_DEGRADED = Definition(
    "gateway",
    "portcullis_checks_degraded_total",
    "counter",
    "Checks in which a measure's declared fail mode stood in for a list past its greatest age.",
    "checks",
)
CHECK_ERRORS = Definition(
    "gateway",
    "portcullis_check_errors_total",
    "counter",
    "Calls, batch items and stream items refused, by the name in error_reason.proto without its prefix.",
    "errors",
    ("reason",),
)
HITS = Definition(
    "gateway",
    "portcullis_hits_total",
    "counter",
    "Reasons given, by list and effect; one check may give several.",
    "reasons",
    ("list", "effect"),
)
SHADOW_HITS = Definition(
    "gateway",
    "portcullis_shadow_hits_total",
    "counter",
    "Reasons that a measure, list or partner in shadow would have given, by list and effect.",
    "reasons",
    ("list", "effect"),
)
CALLER_LOOKUPS = Definition(
    "gateway",
    "portcullis_caller_lookups_total",
    "counter",
    "Caller look-ups answered: label or nothing.",
    "look-ups",
    ("answer",),
)
CHECK_SECONDS = Definition(
    "gateway",
    "portcullis_check_duration_seconds",
    "histogram",
    f"Time a single Check took in the servicer; one of {SAMPLE_EVERY} is timed.",
    "seconds",
    buckets=_CHECK_BUCKETS,
)
JOURNAL_RECORDS = Definition(
    "gateway", "portcullis_journal_records_total", "counter", "Decision records made durable before their answer.", "records"
)
JOURNAL_FAILURES = Definition(
    "gateway",
    "portcullis_journal_failures_total",
    "counter",
    "Appends that could not be made durable; their answers were UNAVAILABLE.",
    "appends",
)
JOURNAL_SECONDS = Definition(
    "gateway",
    "portcullis_journal_append_seconds",
    "histogram",
    "Time from handing records to the journal until they were durable.",
    "seconds",
    buckets=_DISK_BUCKETS,
)
SNAPSHOT_VERSION = Definition(
    "gateway",
    "portcullis_snapshot_version",
    "gauge",
    "Version of the snapshot that checks are answered from.",
    "version",
    mode="livemin",
)
SNAPSHOT_PUBLISHED = Definition(
    "gateway",
    "portcullis_snapshot_published_timestamp_seconds",
    "gauge",
    "When the snapshot that checks are answered from was published.",
    "Unix seconds",
    mode="livemin",
)
SNAPSHOT_AGE = Definition(
    "gateway",
    "portcullis_snapshot_age_seconds",
    "gauge",
    "Time since the publisher last vouched for the snapshot held.",
    "seconds",
    mode="livemax",
)
SNAPSHOT_RECORDS = Definition(
    "gateway",
    "portcullis_snapshot_records",
    "gauge",
    "Index records in the snapshot held.",
    "records",
    mode="livemin",
)
FOLLOWER_INSTALLS = Definition(
    "follower",
    "portcullis_follower_installs_total",
    "counter",
    "Snapshots verified and installed in the replica.",
    "snapshots",
)
FOLLOWER_REFUSALS = Definition(
    "follower",
    "portcullis_follower_refusals_total",
    "counter",
    "Published files refused whole, by what was wrong with them; the last good replica stayed.",
    "snapshots",
    ("reason",),
)
FOLLOWER_VERSION = Definition(
    "follower", "portcullis_follower_version", "gauge", "Version now in the replica.", "version", mode="livemostrecent"
)
PUBLISHES = Definition("publisher", "portcullis_publishes_total", "counter", "Snapshots published.", "snapshots")
PUBLISH_FAILURES = Definition(
    "publisher",
    "portcullis_publish_failures_total",
    "counter",
    "Attempts to publish or to vouch that failed, by the part that failed: registry, store or other.",
    "attempts",
    ("reason",),
)
PUBLISH_SECONDS = Definition(
    "publisher",
    "portcullis_publish_seconds",
    "histogram",
    "Time to compile and publish a snapshot.",
    "seconds",
    buckets=_PUBLISH_BUCKETS,
)
PUBLISHED_VERSION = Definition(
    "publisher", "portcullis_published_version", "gauge", "Version last published.", "version", mode="livemostrecent"
)
CHILD_RESTARTS = Definition(
    "stack",
    "portcullis_child_restarts_total",
    "counter",
    "Child processes started again after they ended on their own, by name.",
    "starts",
    ("child",),
)
CHILD_UP = Definition(
    "stack",
    "portcullis_child_up",
    "gauge",
    "1 while the child process runs, 0 while it waits to be started again.",
    "0 or 1",
    ("child",),
)

CATALOGUE: tuple[Definition, ...] = (
    CHECKS,
    CHECKS_DEGRADED,
    CHECK_ERRORS,
    HITS,
    SHADOW_HITS,
    CALLER_LOOKUPS,
    CHECK_SECONDS,
    JOURNAL_RECORDS,
    JOURNAL_FAILURES,
    JOURNAL_SECONDS,
    SNAPSHOT_VERSION,
    SNAPSHOT_PUBLISHED,
    SNAPSHOT_AGE,
    SNAPSHOT_RECORDS,
    FOLLOWER_INSTALLS,
    FOLLOWER_REFUSALS,
    FOLLOWER_VERSION,
    PUBLISHES,
    PUBLISH_FAILURES,
    PUBLISH_SECONDS,
    PUBLISHED_VERSION,
    CHILD_RESTARTS,
    CHILD_UP,
)


def counter(definition: Definition, registry: CollectorRegistry) -> Counter:
    """Build a counter of the catalogue on ``registry``."""
    return Counter(definition.name, definition.meaning, definition.labels, registry=registry)


def gauge(definition: Definition, registry: CollectorRegistry) -> Gauge:
    """Build a gauge of the catalogue on ``registry``."""
    return Gauge(
        definition.name, definition.meaning, definition.labels, registry=registry, multiprocess_mode=definition.mode or "all"
    )


def histogram(definition: Definition, registry: CollectorRegistry) -> Histogram:
    """Build a histogram of the catalogue on ``registry``."""
    return Histogram(definition.name, definition.meaning, definition.labels, registry=registry, buckets=definition.buckets)
