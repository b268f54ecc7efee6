"""A look at a record: who, when and why (rule 11)."""

from __future__ import annotations

import msgspec


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a decision's record or at an entry: who, when (Unix seconds) and why."""

    actor: str
    at: float
    purpose: str
