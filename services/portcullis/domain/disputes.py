"""Disputes: a subject's objection to an entry, and its clocks; `portcullis.domain.dispute_rules` says what may be done."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class CaseKind(StrEnum):
    """How a case came about."""

    DISPUTE = "DISPUTE"
    IDENTITY_MISMATCH = "IDENTITY_MISMATCH"


class CaseState(StrEnum):
    """Where a case stands."""

    OPEN = "OPEN"
    RESOLVED = "RESOLVED"
    LAPSED = "LAPSED"


class DisputeGround(StrEnum):
    """What the subject says."""

    NOT_ME = "NOT_ME"
    PERFORMED = "PERFORMED"
    WRONG_FACTS = "WRONG_FACTS"
    TERM_OVER = "TERM_OVER"
    UNLAWFUL = "UNLAWFUL"


class Resolution(StrEnum):
    """How a reviewer decides."""

    UPHELD = "UPHELD"
    RELEASED = "RELEASED"
    WITHDRAWN = "WITHDRAWN"
    CLEARED = "CLEARED"


class CaseStepKind(StrEnum):
    """What can happen in a case."""

    OPEN = "open"
    EVIDENCE = "evidence"
    ASSIGN = "assign"
    TELL_SOURCE = "tell-source"
    STAY = "stay"
    LIFT = "lift"
    EXTEND = "extend"
    RESOLVE = "resolve"
    LAPSE = "lapse"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The reference of a document, who brought it and when (Unix seconds)."""

    reference: str
    added_by: str
    added_at: float


class CaseStep(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened in a case; ``at`` is Unix seconds."""

    step: CaseStepKind
    at: float
    actor: str
    why: str = ""
    document: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One objection to one entry, from its beginning to its end. Times are Unix seconds, 0 where there is none.

    ``version`` counts its changes from 1, and each of ``steps`` is one of them. ``decide_by`` is 0 for a case that does not
    lapse.
    """

    case_id: str
    list: str
    entry_id: int
    kind: CaseKind
    ground: DisputeGround | None
    state: CaseState = CaseState.OPEN
    opened_at: float
    tell_source_by: float
    source_told_at: float = 0
    decide_by: int = 0
    extended: bool = False
    stayed: bool = False
    reviewer: str = ""
    resolution: Resolution | None = None
    closed_at: float = 0
    evidence: tuple[Evidence, ...] = ()
    steps: tuple[CaseStep, ...] = ()
    version: int = 1


class EntryEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of a case does to its entry, in the same transaction.

    ``steps`` are taken in their order (`portcullis.domain.entry_life`), and passed over where the entry stands so that they
    can't be taken: it has left the list meanwhile, is stayed already, or another open case stays it. ``decide_by`` is until
    when the entry may bind because of this case (Unix seconds), 0 where it has no say in that; of several open disputes the
    earliest counts. ``ground`` is that of a release.
    """

    steps: tuple[str, ...] = ()
    decide_by: int = 0
    ground: str = ""
