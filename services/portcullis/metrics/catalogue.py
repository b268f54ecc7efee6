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
_APPLY_BUCKETS = (1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0)
_APPLY_BUCKETS = (1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_INSTALL_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 90.0, 180.0, 600.0)
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
ALARM_LEVEL = Definition(
    "gateway",
    "portcullis_alarm_level",
    "gauge",
    "What is done about a partner whose questions look like somebody going through numbers: 0 nothing, 1 slowed, 2 stopped.",
    "level",
    ("partner",),
    mode="livemax",
)
ALARMS = Definition(
    "gateway",
    "portcullis_alarms_total",
    "counter",
    "Alarms raised that a partner goes through numbers, by each sign they rest on; an alarm of two signs counts for both.",
    "alarms",
    ("sign",),
)
SPOOL_RECORDS = Definition(
    "gateway", "portcullis_spool_records_total", "counter", "Decision records made durable before their answer.", "records"
)
SPOOL_FAILURES = Definition(
    "gateway",
    "portcullis_spool_failures_total",
    "counter",
    "Appends that could not be made durable; their answers were UNAVAILABLE.",
    "appends",
)
SPOOL_SECONDS = Definition(
    "gateway",
    "portcullis_spool_append_seconds",
    "histogram",
    "Time from handing records to the spool until they were durable.",
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
LIST_AGE = Definition(
    "gateway",
    "portcullis_list_age_seconds",
    "gauge",
    "How far a list may be behind its authority: time since the publisher last vouched for the snapshot held, or, where "
    "that is longer, since when it can't bring the list up to date. 0 for a list that left.",
    "seconds",
    ("list",),
    mode="livemax",
)
LIST_STALE = Definition(
    "gateway",
    "portcullis_list_stale",
    "gauge",
    "1 while a list is past its greatest age, so that its measures' declared fail modes apply.",
    "0 or 1",
    ("list",),
    mode="livemax",
)
QUOTA_REFUSALS = Definition(
    "gateway",
    "portcullis_quota_refusals_total",
    "counter",
    "Calls, streams and items refused because a partner's quota was used up, by the partner and its quota.",
    "refusals",
    ("partner", "quota"),
)
QUOTA_USED = Definition(
    "gateway",
    "portcullis_quota_used_ratio",
    "gauge",
    "How much of a partner's quota is used, for those that are no rates: calls and streams at one worker, and subjects and "
    "labels of the day at all workers.",
    "0 to 1",
    ("partner", "quota"),
    mode="livemax",
)
QUOTA_ALONE = Definition(
    "gateway",
    "portcullis_quota_alone",
    "gauge",
    "1 while the store does not answer, so that quotas hold for each host by itself.",
    "0 or 1",
    mode="livemax",
)
SHIPPED_RECORDS = Definition(
    "shipper",
    "portcullis_shipped_records_total",
    "counter",
    "Decision records that the journal has taken from this host's spool.",
    "records",
)
SHIPPER_FAILURES = Definition(
    "shipper",
    "portcullis_shipper_failures_total",
    "counter",
    "Tries to ship that failed, by the part that failed: journal, disk or other; the records wait.",
    "tries",
    ("reason",),
)
SPOOL_FAULTS = Definition(
    "shipper",
    "portcullis_spool_faults_total",
    "counter",
    "Segments of the spool that end with the rest of a crash (torn), or that were damaged and set aside (damaged).",
    "segments",
    ("kind",),
)
SPOOL_WAITING = Definition(
    "shipper",
    "portcullis_spool_waiting_bytes",
    "gauge",
    "Bytes of records in the spool that the journal has not taken yet.",
    "bytes",
    mode="livemostrecent",
)
SPOOL_AGE = Definition(
    "shipper",
    "portcullis_spool_oldest_age_seconds",
    "gauge",
    "Time since the oldest decision was made that the journal has not taken yet; 0 when none waits.",
    "seconds",
    mode="livemostrecent",
)
FOLLOWER_INSTALLS = Definition(
    "follower",
    "portcullis_follower_installs_total",
    "counter",
    "Versions for which the replica was built anew, from bases and deltas.",
    "versions",
)
FOLLOWER_INSTALL_SECONDS = Definition(
    "follower",
    "portcullis_follower_install_seconds",
    "histogram",
    "Time to fetch, prove and build a replica anew.",
    "seconds",
    buckets=_INSTALL_BUCKETS,
)
FOLLOWER_APPLIES = Definition(
    "follower",
    "portcullis_follower_applies_total",
    "counter",
    "Versions that the replica was led on to by deltas, in one transaction each.",
    "versions",
)
FOLLOWER_APPLY_SECONDS = Definition(
    "follower",
    "portcullis_follower_apply_seconds",
    "histogram",
    "Time to fetch, prove and apply the deltas that lead to a version.",
    "seconds",
    buckets=_APPLY_BUCKETS,
)
FOLLOWER_REFUSALS = Definition(
    "follower",
    "portcullis_follower_refusals_total",
    "counter",
    "Published files refused whole, by what was wrong with them; the last good replica stayed.",
    "snapshots",
    ("reason",),
)
FOLLOWER_FALLBACKS = Definition(
    "follower",
    "portcullis_follower_fallbacks_total",
    "counter",
    "Ways by deltas that were given up for the bases, by what was wrong with them.",
    "ways",
    ("reason",),
)
FOLLOWER_FETCHED_BYTES = Definition(
    "follower",
    "portcullis_follower_fetched_bytes_total",
    "counter",
    "Bytes of records fetched and proven, by the kind of file: base or delta.",
    "bytes",
    ("kind",),
)
FOLLOWER_VERSION = Definition(
    "follower", "portcullis_follower_version", "gauge", "Version now in the replica.", "version", mode="livemostrecent"
)
FOLLOWER_AGE = Definition(
    "follower",
    "portcullis_follower_vouched_age_seconds",
    "gauge",
    "Time since the publisher last vouched for the version in the replica, as of the follower's last look.",
    "seconds",
    mode="livemostrecent",
)
METADATA_EXPIRES = Definition(
    "follower",
    "portcullis_metadata_expires_timestamp_seconds",
    "gauge",
    "When the metadata that this host trusts expires, by its role: root, targets, snapshot, timestamp, head or list-NAME.",
    "Unix seconds",
    ("role",),
    mode="livemostrecent",
)
PUBLISHES = Definition("publisher", "portcullis_publishes_total", "counter", "Snapshots published.", "snapshots")
PUBLISH_FAILURES = Definition(
    "publisher",
    "portcullis_publish_failures_total",
    "counter",
    "Attempts to publish or to vouch that failed, by the part that failed: registry, store, disk, keys or other.",
    "attempts",
    ("reason",),
)
PUBLISH_SECONDS = Definition(
    "publisher",
    "portcullis_publish_seconds",
    "histogram",
    "Time from reading the registry until a snapshot stood in the store.",
    "seconds",
    buckets=_PUBLISH_BUCKETS,
)
PUBLISHED_VERSION = Definition(
    "publisher", "portcullis_published_version", "gauge", "Version last published.", "version", mode="livemostrecent"
)
PUBLISHED_BYTES = Definition(
    "publisher", "portcullis_published_bytes_total", "counter", "Bytes sent to the store with the snapshots.", "bytes"
)
STORE_REFILLS = Definition(
    "publisher",
    "portcullis_store_refills_total",
    "counter",
    "Times that the store did not hold what was put there, and was filled again.",
    "times",
)
LIST_STALLED = Definition(
    "publisher",
    "portcullis_list_stalled",
    "gauge",
    "1 while the publisher can't bring a list up to date; the other lists go on.",
    "0 or 1",
    ("list",),
    mode="livemostrecent",
)
FAULTY_ENTRIES = Definition(
    "publisher",
    "portcullis_faulty_entries_total",
    "counter",
    "Entries that were left out of a snapshot or cut to fit it, by list; its log names the reasons.",
    "entries",
    ("list",),
)
FOLDED_DELTAS = Definition(
    "publisher",
    "portcullis_folded_deltas_total",
    "counter",
    "Deltas that were folded into one with others.",
    "deltas",
)
COMPACTIONS = Definition(
    "publisher",
    "portcullis_compactions_total",
    "counter",
    "Bases that were compacted: made anew of a base and its deltas.",
    "bases",
)
LEASE_HELD = Definition(
    "publisher",
    "portcullis_publisher_lease_held",
    "gauge",
    "1 while this publisher works, 0 while it waits for another.",
    "0 or 1",
    mode="livemostrecent",
)
HELD_IMPORTS = Definition(
    "publisher",
    "portcullis_held_imports",
    "gauge",
    "Imports in the registry that wait for a second operator, since they would take away more than their list's guard.",
    "imports",
    mode="livemostrecent",
)
CHECKPOINT_SIZE = Definition(
    "exchange",
    "portcullis_journal_checkpoint_entries",
    "gauge",
    "Entries of the journal that the newest signed checkpoint covers.",
    "entries",
    mode="livemostrecent",
)
CHECKPOINT_FAILURES = Definition(
    "exchange",
    "portcullis_journal_checkpoint_failures_total",
    "counter",
    "Checkpoints that could not be signed, by what failed: journal, disk, or log, where the journal does not begin with "
    "what was signed last: somebody has changed or shortened it.",
    "tries",
    ("part",),
)
FEED_CHANGES = Definition(
    "exchange",
    "portcullis_feed_changes_total",
    "counter",
    "Changes of lists that were put into the feed for partners.",
    "changes",
)
FEED_TRIMMED = Definition(
    "exchange",
    "portcullis_feed_trimmed_total",
    "counter",
    "Changes that the feed has forgotten by their age.",
    "changes",
)
FEED_LAG = Definition(
    "exchange",
    "portcullis_feed_lag_seconds",
    "gauge",
    "How long before it was put into the feed the last change had happened.",
    "seconds",
    mode="livemax",
)
FEED_FAILURES = Definition(
    "exchange",
    "portcullis_feed_failures_total",
    "counter",
    "Tries to bring the feed up to date that failed, by the part that failed: registry, journal or other.",
    "tries",
    ("part",),
)
ANNOUNCEMENT_FAULTS = Definition(
    "exchange",
    "portcullis_feed_announcement_faults_total",
    "counter",
    "Times that the store could not be told, or asked, that the feed has grown; the feed is read every second all the same.",
    "faults",
)

RELAY_DELIVERED = Definition(
    "exchange",
    "portcullis_relay_delivered_total",
    "counter",
    "Events that a stream's receiver has taken; what was delivered twice counts twice.",
    "events",
    ("stream",),
)
RELAY_FAILURES = Definition(
    "exchange",
    "portcullis_relay_failures_total",
    "counter",
    "Tries to deliver that failed, by what was wrong: connection, timeout, tls, status, refused, endpoint, disk, gap or "
    "internal.",
    "tries",
    ("stream", "fault"),
)
RELAY_PARKED = Definition(
    "exchange",
    "portcullis_relay_parked",
    "gauge",
    "1 while a stream waits for an operator, since its next event can't be delivered.",
    "0 or 1",
    ("stream",),
    mode="livemostrecent",
)
RELAY_BEHIND = Definition(
    "exchange",
    "portcullis_relay_behind_seconds",
    "gauge",
    "Since when the next event of a stream waits for its receiver; 0 while none does.",
    "seconds",
    ("stream",),
    mode="livemostrecent",
)
DISPUTES_LAPSED = Definition(
    "exchange",
    "portcullis_disputes_lapsed_total",
    "counter",
    "Disputes that nobody had decided in time; their entries were released.",
    "disputes",
)
SETTLED_RELEASES = Definition(
    "exchange",
    "portcullis_settled_releases_total",
    "counter",
    "Entries that were released after a partner had reported them as settled and nobody had objected in time.",
    "entries",
)
REPORTS_TAKEN = Definition(
    "exchange",
    "portcullis_reports_taken_over_total",
    "counter",
    "Reports of partners, of a settlement or an identity mismatch, that were taken over into the registry.",
    "events",
)
RECORDS_REMOVED = Definition(
    "exchange",
    "portcullis_records_removed_total",
    "counter",
    "Records that were removed since they are no longer kept, by kind.",
    "records",
    ("kind",),
)
OPEN_CASES = Definition(
    "exchange",
    "portcullis_open_cases",
    "gauge",
    "Disputes and reported identity mismatches that nobody has decided yet, by list.",
    "cases",
    ("list",),
    mode="livemostrecent",
)
OVERDUE_NOTICES = Definition(
    "exchange",
    "portcullis_source_notices_overdue",
    "gauge",
    "Open cases whose source should have been told by now, and was not, by list.",
    "cases",
    ("list",),
    mode="livemostrecent",
)
KEEPER_FAILURES = Definition(
    "exchange",
    "portcullis_keeper_failures_total",
    "counter",
    "Tries of the registry's keeper that failed, by chore (lapse, release, reports, count or retention) and by the part "
    "that failed: registry, journal or other.",
    "tries",
    ("chore", "part"),
)
TOKENS_RENEWED = Definition(
    "exchange",
    "portcullis_tokens_renewed_total",
    "counter",
    "Entries that came over to the token key in use.",
    "entries",
)
TOKENS_UNREADABLE = Definition(
    "exchange",
    "portcullis_tokens_unreadable",
    "gauge",
    "Entries that can't be opened, and so stay under a former token key.",
    "entries",
    mode="livemostrecent",
)
RENEWAL_FAILURES = Definition(
    "exchange",
    "portcullis_token_renewal_failures_total",
    "counter",
    "Tries to bring entries over to the token key in use that failed.",
    "tries",
)
KEY_AGE_DAYS = Definition(
    "exchange",
    "portcullis_key_age_days",
    "gauge",
    "How old each key in use of this home is, by its name; see `portcullis keys`.",
    "days",
    ("key",),
    mode="livemostrecent",
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
    QUOTA_REFUSALS,
    QUOTA_USED,
    QUOTA_ALONE,
    CHECK_SECONDS,
    ALARM_LEVEL,
    ALARMS,
    SPOOL_RECORDS,
    SPOOL_FAILURES,
    SPOOL_SECONDS,
    SNAPSHOT_VERSION,
    SNAPSHOT_PUBLISHED,
    SNAPSHOT_AGE,
    SNAPSHOT_RECORDS,
    LIST_AGE,
    LIST_STALE,
    SHIPPED_RECORDS,
    SHIPPER_FAILURES,
    SPOOL_FAULTS,
    SPOOL_WAITING,
    SPOOL_AGE,
    FOLLOWER_INSTALLS,
    FOLLOWER_INSTALL_SECONDS,
    FOLLOWER_APPLIES,
    FOLLOWER_APPLY_SECONDS,
    FOLLOWER_REFUSALS,
    FOLLOWER_FALLBACKS,
    FOLLOWER_FETCHED_BYTES,
    FOLLOWER_VERSION,
    FOLLOWER_AGE,
    METADATA_EXPIRES,
    PUBLISHES,
    PUBLISH_FAILURES,
    PUBLISH_SECONDS,
    PUBLISHED_VERSION,
    PUBLISHED_BYTES,
    STORE_REFILLS,
    LIST_STALLED,
    FAULTY_ENTRIES,
    FOLDED_DELTAS,
    COMPACTIONS,
    LEASE_HELD,
    HELD_IMPORTS,
    CHECKPOINT_SIZE,
    CHECKPOINT_FAILURES,
    FEED_CHANGES,
    FEED_TRIMMED,
    FEED_LAG,
    FEED_FAILURES,
    ANNOUNCEMENT_FAULTS,
    RELAY_DELIVERED,
    RELAY_FAILURES,
    RELAY_PARKED,
    RELAY_BEHIND,
    DISPUTES_LAPSED,
    SETTLED_RELEASES,
    REPORTS_TAKEN,
    RECORDS_REMOVED,
    OPEN_CASES,
    OVERDUE_NOTICES,
    KEEPER_FAILURES,
    TOKENS_RENEWED,
    TOKENS_UNREADABLE,
    RENEWAL_FAILURES,
    KEY_AGE_DAYS,
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
