"""What the journal in memory keeps beside the log, to find and count by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from portcullis.domain.decisions import Outcome
from portcullis.domain.log_facts import DecisionFacts
from portcullis.domain.shared_events import EventKind, KnownDecision
from portcullis.ports import Receipt


class KeptDecision:
    """A decision: its place and facts, and what an event is matched with."""

    def __init__(self, sequence: int, key_id: str, facts: DecisionFacts, known: KnownDecision) -> None:
        self.sequence = sequence
        self.key_id = key_id
        self.facts = facts
        self.known = known


class KeptEvent:
    """An event: its kind, digest and receipt, and what of it is counted."""

    def __init__(
        self, kind: EventKind, digest: bytes, receipt: Receipt, counted: Sequence[tuple[str, str, str, str, str]]
    ) -> None:
        self.kind = kind
        self.digest = digest
        self.receipt = receipt
        self.counted = counted


def refused(kept: KeptDecision) -> Iterable[tuple[str, str, str, str, str]]:
    """Give what a decision counts as in `portcullis.ports.Refusals`, once for each list whose reason made it."""
    facts = kept.facts
    if facts.dry_run or facts.outcome == Outcome.ALLOW:
        return
    shaping = {each.list for each in facts.reasons if not each.shadow and each.effect == facts.outcome}
    for name in shaping:
        yield month_of(facts.decided_at), name, facts.action, kept.known.partner, facts.outcome


def month_of(seconds: float) -> str:
    """Write the month of a time in Unix seconds, in UTC, as "2026-11"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m")
