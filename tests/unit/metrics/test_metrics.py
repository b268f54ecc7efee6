import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from portcullis.metrics import CheckTally, FollowerMetrics, PublisherMetrics, StackMetrics
from portcullis.metrics.catalogue import CATALOGUE
from tools.metrics_page import PAGE, page


def verdict(outcome, *hits, degraded=False):
    def hit(name, effect, shadow):
        return SimpleNamespace(measure=SimpleNamespace(list=SimpleNamespace(name=name), shadow=shadow), effect=effect)

    return SimpleNamespace(outcome=outcome, degraded=degraded, hits=[hit(*each) for each in hits])


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_the_page_is_made_from_the_catalogue():
    assert page() == PAGE.read_text()


def test_every_part_builds_what_the_catalogue_says_and_nothing_else(registry):
    for part in (CheckTally, FollowerMetrics, PublisherMetrics, StackMetrics):
        part(registry)
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
    tally.journalled(4, 0.002)
    tally.journal_failed()
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
    assert (4, 1) == (value("journal_records_total"), value("journal_failures_total"))
    assert (1, 1) == (value("check_duration_seconds_count"), value("journal_append_seconds_count"))


def test_the_plain_count_never_falls_back_so_that_sampling_by_its_low_bits_holds(registry):
    tally = CheckTally(registry)
    tally.allowed += 17
    tally.flush()
    assert 17 == tally.allowed


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
