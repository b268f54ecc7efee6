import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from portcullis.domain.probing import Sign
from portcullis.metrics import (
    AlarmMetrics,
    AnnouncementMetrics,
    CheckpointMetrics,
    CheckTally,
    FeedMetrics,
    FollowerMetrics,
    KeeperMetrics,
    KeyMetrics,
    PublisherMetrics,
    QuotaMetrics,
    RelayMetrics,
    ShipperMetrics,
    StackMetrics,
)
from portcullis.metrics.catalogue import CATALOGUE
from tools.metrics_page import PAGE, page


def verdict(outcome, *hits, degraded=False):
    def hit(name, effect, shadow):
        return SimpleNamespace(measure=SimpleNamespace(list=SimpleNamespace(name=name), shadow=shadow), effect=effect)

    return SimpleNamespace(outcome=outcome, degraded=degraded, hits=[hit(*each) for each in hits])


PARTS = (
    AnnouncementMetrics,
    CheckTally,
    CheckpointMetrics,
    FeedMetrics,
    FollowerMetrics,
    KeeperMetrics,
    KeyMetrics,
    PublisherMetrics,
    QuotaMetrics,
    RelayMetrics,
    ShipperMetrics,
    StackMetrics,
)


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_the_page_is_made_from_the_catalogue():
    assert page() == PAGE.read_text()


def test_every_part_builds_what_the_catalogue_says_and_nothing_else(registry):
    for part in PARTS:
        part(registry)
    AlarmMetrics(registry, map(str, Sign))
    built = {metric.name: metric.type for metric in registry.collect()}
    assert {each.name.removesuffix("_total"): each.kind for each in CATALOGUE} == built


def test_names_are_unique_and_follow_the_conventions():
    names = [each.name for each in CATALOGUE]
    assert len(names) == len(set(names))
    assert all(name.startswith("portcullis_") for name in names)
    assert all(each.name.endswith("_total") for each in CATALOGUE if each.kind == "counter")
    assert all(each.mode for each in CATALOGUE if each.kind == "gauge" and each.part != "stack")


def test_what_was_counted_arrives_with_the_flush_and_only_once(registry):
    tally = CheckTally(registry)
    tally.allowed += 3
    tally.verdict(verdict("RESTRICT", ("ofac-sdn", "RESTRICT", False), ("trial", "REVIEW", True), degraded=True))
    tally.error("ERROR_REASON_UNAUTHENTICATED")
    tally.lookups_empty += 2
    tally.label_shown()
    tally.spooled(4, 0.002)
    tally.spool_failed()
    tally.observe(0.0001)
    assert 0 == registry.get_sample_value("portcullis_checks_total", {"outcome": "allow"})
    tally.flush()
    tally.flush()

    def value(name, **labels):
        return registry.get_sample_value(f"portcullis_{name}", labels)

    assert (3, 1, 0) == tuple(value("checks_total", outcome=each) for each in ("allow", "restrict", "review"))
    assert 1 == value("checks_degraded_total")
    assert 1 == value("hits_total", list="ofac-sdn", effect="RESTRICT")
    assert 1 == value("shadow_hits_total", list="trial", effect="REVIEW")
    assert 1 == value("check_errors_total", reason="UNAUTHENTICATED")
    assert (1, 2) == (value("caller_lookups_total", answer="label"), value("caller_lookups_total", answer="nothing"))
    assert (4, 1) == (value("spool_records_total"), value("spool_failures_total"))
    assert (1, 1) == (value("check_duration_seconds_count"), value("spool_append_seconds_count"))


def test_the_plain_count_never_falls_back_so_that_sampling_by_its_low_bits_holds(registry):
    tally = CheckTally(registry)
    tally.allowed += 17
    tally.flush()
    assert 17 == tally.allowed


class HandTime:
    def __init__(self):
        self.at = 100.0

    def __call__(self):
        return self.at


def test_what_a_follower_counts(registry):
    metrics = FollowerMetrics(registry, reasons=("rollback", "digest-mismatch"))

    def value(name, **labels):
        return registry.get_sample_value(f"portcullis_{name}", labels)

    assert (0, 0) == (
        value("follower_refusals_total", reason="rollback"),
        value("follower_fetched_bytes_total", kind="base"),
    )
    metrics.installed(100, 2.0)
    metrics.applied(101, 0.002)
    metrics.applied(102, 0.004)
    metrics.refused("rollback")
    metrics.fell_back("digest-mismatch")
    metrics.fetched("base", 1000)
    metrics.fetched("delta", 10)
    metrics.fetched("delta", 5)
    assert 102 == value("follower_version")
    metrics.holds(102, 0.5)

    assert (1, 2) == (value("follower_installs_total"), value("follower_applies_total"))
    assert (1, 2) == (value("follower_install_seconds_count"), value("follower_apply_seconds_count"))
    assert 0.006 == pytest.approx(value("follower_apply_seconds_sum"))
    assert (1, 0) == tuple(value("follower_refusals_total", reason=each) for each in ("rollback", "digest-mismatch"))
    assert 1 == value("follower_fallbacks_total", reason="digest-mismatch")
    assert (1000, 15) == tuple(value("follower_fetched_bytes_total", kind=each) for each in ("base", "delta"))
    assert (102, 0.5) == (value("follower_version"), value("follower_vouched_age_seconds"))


def test_when_metadata_expires_is_asked_now_and_then(registry):
    time, asked = HandTime(), []

    def expiries():
        asked.append(time.at)
        return {"root": 5e9, "list-court": time.at}

    metrics = FollowerMetrics(registry, expiries=expiries, monotonic=time)
    for _ in range(3):
        metrics.holds(1, 0.1)
        time.at += 4.0
    metrics.holds(1, 0.1)

    assert [100.0, 112.0] == asked
    expires = "portcullis_metadata_expires_timestamp_seconds"
    assert 5e9 == registry.get_sample_value(expires, {"role": "root"})
    assert 112.0 == registry.get_sample_value(expires, {"role": "list-court"})


def test_what_a_publisher_counts(registry):
    time, held = HandTime(), [2, None, 3]
    metrics = PublisherMetrics(registry, held_imports=lambda: held.pop(0), monotonic=time)

    def value(name, **labels):
        return registry.get_sample_value(f"portcullis_{name}", labels)

    assert 0 == value("publish_failures_total", reason="store")
    metrics.published(100, 0.2, 5000)
    metrics.published(101, 0.1, 50)
    metrics.failed("store")
    metrics.refilled()
    metrics.faulty("court", 3)
    metrics.reworked(folded=64, compacted=False)
    metrics.reworked(folded=0, compacted=True)
    seen = []
    for held_now in (True, False, True):
        metrics.leased(held=held_now)
        seen.append((value("publisher_lease_held"), value("held_imports")))
        time.at += 11.0

    assert (2, 2, 101, 5050) == tuple(
        value(name) for name in ("publishes_total", "publish_seconds_count", "published_version", "published_bytes_total")
    )
    assert (1, 1) == (value("publish_failures_total", reason="store"), value("store_refills_total"))
    assert 3 == value("faulty_entries_total", list="court")
    assert (64, 1) == (value("folded_deltas_total"), value("compactions_total"))
    assert [(1, 2), (0, 2), (1, 3)] == seen


def test_a_list_that_is_stalled_no_more_is_told_so(registry):
    metrics = PublisherMetrics(registry)
    metrics.stalled(["court", "carriers"])
    metrics.stalled({"carriers"})

    stalled = [registry.get_sample_value("portcullis_list_stalled", {"list": each}) for each in ("court", "carriers")]
    assert [0, 1] == stalled


def test_a_list_that_left_is_neither_old_nor_stale(registry):
    tally = CheckTally(registry)
    tally.lists_held({"court": 7.0, "carriers": 1.0}, {"court"})
    first = {
        sample.labels["list"]: sample.value
        for each in registry.collect()
        for sample in each.samples
        if each.name.endswith("list_stale")
    }
    tally.lists_held({"carriers": 2.0}, set())

    def value(name, of):
        return registry.get_sample_value(f"portcullis_list_{name}", {"list": of})

    assert {"court": 1, "carriers": 0} == first
    assert [(0, 0), (2, 0)] == [(value("age_seconds", each), value("stale", each)) for each in ("court", "carriers")]


WORKER = """
import sys
from prometheus_client import CollectorRegistry
from portcullis.metrics import CheckTally
tally = CheckTally(CollectorRegistry())
tally.allowed += int(sys.argv[1])
tally.holding(version=int(sys.argv[2]), published_at=5.0, age_s=float(sys.argv[3]), records=9)
tally.flush()
import os
print(os.getpid())
"""


def test_the_counts_of_several_workers_add_up_and_the_worst_of_their_gauges_shows(tmp_path):
    pids = [
        int(
            subprocess.run(
                [sys.executable, "-c", WORKER, *arguments],
                env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
                check=True,
                capture_output=True,
            ).stdout
        )
        for arguments in (("3", "7", "0.5"), ("4", "8", "2.5"))
    ]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))

    def value(name, **labels):
        return registry.get_sample_value(f"portcullis_{name}", labels)

    assert 7 == value("checks_total", outcome="allow")
    assert (7, 2.5) == (value("snapshot_version"), value("snapshot_age_seconds"))
    mark_process_dead(pids[0], path=str(tmp_path))
    assert 8 == value("snapshot_version")
    assert 7 == value("checks_total", outcome="allow")


def test_every_metric_that_a_rule_looks_at_is_in_the_catalogue():
    root = PAGE.parents[2]
    told = "".join(path.read_text() for path in (root / "deploy").rglob("*") if path.suffix in {".yml", ".yaml", ".json"})
    looked_at = {name.removesuffix("_bucket") for name in re.findall(r"\bportcullis_[a-z_]+", told)}
    assert looked_at <= {each.name for each in CATALOGUE}
