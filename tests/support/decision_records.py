"""Decision records for the suites of the spool and of the journal."""

from __future__ import annotations

from typing import Any

from portcullis.ports import DecisionRecord, RecordedReason
from tests.support.policies import NOW, YEAR_S


def a_reason(**changes: Any) -> RecordedReason:
    """The reason of a refusal."""
    values: dict[str, Any] = {
        "list": "court",
        "measure": "loans",
        "effect": "RESTRICT",
        "authority": "Demonstration Court",
        "legal_basis": "Demonstration Act, section 1",
        "case_reference": "(2090) Demo 1",
        "entry_id": 1,
        "until": NOW + YEAR_S,
        "weak": False,
        "shadow": False,
    }
    return RecordedReason(**(values | changes))


def a_record(decision_id: str = "d1", **changes: Any) -> DecisionRecord:
    """A refusal, with everything that a record can hold."""
    values: dict[str, Any] = {
        "decided_at": NOW + 0.25,
        "partner": "lending",
        "action": "loan.apply",
        "purpose": "lending",
        "outcome": "RESTRICT",
        "shadow_outcome": "RESTRICT",
        "degraded": False,
        "dry_run": False,
        "snapshot_version": 7,
        "registry_seq": 41,
        "stale": (),
        "partner_reference": "order 1",
        "tokens": ("00" * 16, "01" * 16),
        "attributes": {"amount": 12.5, "stars": 4, "train": "G101", "express": True},
        "reasons": (a_reason(),),
        "cleared": (4, 2**31),
    }
    return DecisionRecord(decision_id=decision_id, **(values | changes))
