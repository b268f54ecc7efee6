"""Decisions that are remembered: as of the last erasure alone, and never more than there is room for."""

from __future__ import annotations

from portcullis.adapters.sql.journal.decisions import FoundDecision
from portcullis.adapters.sql.journal.recent import RecentDecisions
from portcullis.domain.shared_events import KnownDecision


def found(name: str, sequence: int = 0) -> dict[str, FoundDecision]:
    known = KnownDecision(decision_id=name, partner="lending", outcome="RESTRICT", dry_run=False, lists=("court",))
    return {name: FoundDecision(sequence, None, known)}


def test_a_decision_is_found_as_it_was_remembered() -> None:
    recent = RecentDecisions()
    recent.remember(found("d1") | found("d2", 1), 0)
    assert found("d2", 1) == recent.find({"d2", "d3"}, 0)


def test_after_an_erasure_nothing_that_was_read_before_is_found() -> None:
    recent = RecentDecisions()
    recent.remember(found("d1"), 7)
    assert {} == recent.find(["d1"], 9)
    # As when another thread comes late with what it has read before the erasure.
    recent.remember(found("d2"), 7)
    assert {} == recent.find(["d2"], 9)
    recent.remember(found("d1"), 9)
    assert found("d1") == recent.find(["d1"], 9)


def test_the_oldest_make_room() -> None:
    recent = RecentDecisions(limit=3)
    for number in range(5):
        recent.remember(found(f"d{number}"), 0)
    recent.remember(found("d2"), 0)
    recent.remember(found("d5"), 0)
    assert {"d2", "d4", "d5"} == recent.find([f"d{number}" for number in range(6)], 0).keys()
