"""The alert rules: what they look at is counted, each has a section in the runbook, and what matters is watched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from portcullis.domain.errors import Refusal
from portcullis.metrics.catalogue import CATALOGUE, Definition

ROOT = Path(__file__).resolve().parents[3]
RUNBOOK = "docs/runbooks/operate.md"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
METRICS = {each.name: each for each in CATALOGUE}

# What the ways of snapshots, decisions and events are judged by, and the metric that tells it.
WATCHED = {
    "version": {"portcullis_snapshot_version", "portcullis_published_version"},
    "age": {"portcullis_snapshot_age_seconds", "portcullis_follower_vouched_age_seconds"},
    "age of a list": {"portcullis_list_stale", "portcullis_list_stalled"},
    "bytes fetched": {"portcullis_follower_fetched_bytes_total"},
    "bytes published": {"portcullis_published_bytes_total"},
    "apply time": {"portcullis_follower_apply_seconds_bucket", "portcullis_follower_install_seconds_bucket"},
    "installs": {"portcullis_follower_installs_total"},
    "refusals by reason": {"portcullis_follower_refusals_total"},
    "fallbacks": {"portcullis_follower_fallbacks_total"},
    "lease": {"portcullis_publisher_lease_held"},
    "folds": {"portcullis_folded_deltas_total"},
    "compactions": {"portcullis_compactions_total"},
    "expiry": {"portcullis_metadata_expires_timestamp_seconds"},
    "held imports": {"portcullis_held_imports"},
    "publishing": {"portcullis_publish_failures_total", "portcullis_publish_seconds_bucket"},
    "refills": {"portcullis_store_refills_total"},
    "records of decisions": {"portcullis_spool_failures_total"},
    "backlog of the spool": {"portcullis_spool_oldest_age_seconds"},
    "damage of the spool": {"portcullis_spool_faults_total"},
    "shipping": {"portcullis_shipper_failures_total"},
    "checkpoints": {"portcullis_journal_checkpoint_failures_total", "portcullis_journal_checkpoint_entries"},
    "feed": {"portcullis_feed_lag_seconds", "portcullis_feed_failures_total"},
    "announcements": {"portcullis_feed_announcement_faults_total"},
    "relay": {"portcullis_relay_parked", "portcullis_relay_behind_seconds", "portcullis_relay_failures_total"},
}


def looked_at(rule: dict[str, Any]) -> set[str]:
    return set(re.findall(r"\bportcullis_\w+", rule["expr"]))


def definition(name: str) -> Definition | None:
    found = METRICS.get(name)
    if found is None and name.endswith("_bucket"):
        found = METRICS.get(name.removesuffix("_bucket"))
        return found if found is not None and found.kind == "histogram" else None
    return found if found is not None and found.kind != "histogram" else None


def headings() -> set[str]:
    text = (ROOT / RUNBOOK).read_text()
    return {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_looks_at_metrics_of_the_catalogue_as_what_they_are(rule: dict[str, Any]) -> None:
    assert {name for name in looked_at(rule) if definition(name) is None} == set()
    for name in looked_at(rule):
        rated = re.search(rf"(rate|increase)\({name}[^)]*\[", rule["expr"]) is not None
        assert rated == (definition(name).kind != "gauge"), name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_names_only_labels_that_its_metrics_have(rule: dict[str, Any]) -> None:
    has = {label for name in looked_at(rule) for label in definition(name).labels} | {"instance", "job", "le"}
    text = " ".join(rule["annotations"].values())

    assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", rule["expr"])) <= has
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= has
    for group in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        assert {name.strip() for name in group.split(",")} <= has


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_and_has_its_section_in_the_runbook(rule: dict[str, Any]) -> None:
    page, _, heading = rule["annotations"]["runbook"].partition("#")

    assert {"summary", "action", "runbook"} == rule["annotations"].keys()
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert RUNBOOK == page
    assert rule["alert"].lower() == heading
    assert heading in headings()


def test_a_journal_that_was_tampered_with_wakes_somebody_at_once_and_by_a_rule_of_its_own() -> None:
    rules = [rule for rule in RULES if "portcullis_journal_checkpoint_failures_total" in rule["expr"]]
    (tampered,) = [rule for rule in rules if 'part="log"' in rule["expr"]]

    assert ("page", False) == (tampered["labels"]["severity"], "for" in tampered)
    assert all('part!="log"' in rule["expr"] for rule in rules if rule is not tampered)


def test_no_two_rules_have_one_name() -> None:
    names = [rule["alert"] for rule in RULES]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("what", WATCHED)
def test_everything_that_the_ways_are_judged_by_has_a_rule(what: str) -> None:
    assert WATCHED[what] <= {name for rule in RULES for name in looked_at(rule)}


def test_the_runbook_knows_every_reason_of_a_refusal() -> None:
    text = (ROOT / RUNBOOK).read_text()
    section = text[text.index("### SnapshotRefused") : text.index("### FellBackToBase")]
    malformed = {each for each in Refusal if each.value.endswith("-malformed")} | {Refusal.DIGEST_MISMATCH}

    assert {each.value for each in Refusal if each not in malformed} <= set(re.findall(r"`([a-z-]+)`", section))
    assert "| the others |" in section
