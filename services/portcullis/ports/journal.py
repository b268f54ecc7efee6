"""The journal: the durable record of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from portcullis.ports.looks import Look


class RecordedReason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of a recorded decision; ``entry_id`` is 0 when the list was out of date and no entry applied."""

    list: str
    measure: str
    effect: str
    authority: str
    legal_basis: str
    case_reference: str
    entry_id: int
    until: int
    weak: bool
    shadow: bool


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The durable record of one decision that gave a reason. ``tokens`` stand for the identifiers, in hexadecimal.

    ``decided_at`` is Unix seconds. ``attributes`` are those that the conditions of the action look at.
    """

    decision_id: str
    decided_at: float
    partner: str
    action: str
    purpose: str
    outcome: str
    shadow_outcome: str
    degraded: bool
    dry_run: bool
    snapshot_version: int
    partner_reference: str
    tokens: tuple[str, ...]
    attributes: dict[str, str | int | float | bool]
    reasons: tuple[RecordedReason, ...]


class Journal(Protocol):
    """The record of decisions. What ``append`` has returned for is on the disk."""

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Make records durable; concurrent calls share one commit.

        Raises:
            RecordUnavailable: they are not durable, and the decisions must not be given.
        """
        ...

    def get(self, decision_id: str, *, actor: str, purpose: str) -> DecisionRecord:
        """Give one record, and note durably who looked at it and why.

        Raises:
            NotFound: no such decision.
        """
        ...

    def looks(self, decision_id: str) -> Sequence[Look]:
        """Give the looks at one record in their order."""
        ...

    def close(self) -> None:
        """Write what is waiting, then give up the database."""
        ...
