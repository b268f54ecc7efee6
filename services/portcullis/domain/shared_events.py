"""The events that partners report: closed kinds, each with its own facts and nothing else (rule 8)."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class EventKind(StrEnum):
    """What a partner reports."""

    ENFORCED = "ENFORCED"
    REVIEWED = "REVIEWED"
    OVERRIDDEN = "OVERRIDDEN"
    NOTICE_SERVED = "NOTICE_SERVED"
    SETTLEMENT_CLAIMED = "SETTLEMENT_CLAIMED"
    SETTLED = "SETTLED"
    IDENTITY_MISMATCH = "IDENTITY_MISMATCH"
    COMMITMENT_PUBLISHED = "COMMITMENT_PUBLISHED"
    TERMINATED = "TERMINATED"


class SharedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event as a partner reported it; `portcullis.domain.event_rules` says which facts which kind has.

    Attributes:
        event_id: the partner's own name of the event.
        kind: what happened.
        occurred_at_ms: when, Unix milliseconds.
        reference: the partner's own reference of the matter, "" for none. Personal: sealed at rest.
        decision_id: the decision that it is about, "" for none.
        list: the list that it is about, "" where the decision says so.
        case_reference: the authority's own reference, as a reason gave it. Personal: sealed at rest.
        subject: the entry as this partner knows it (`portcullis.domain.subjects`). Personal: sealed at rest.
        code: REVIEWED's verdict, OVERRIDDEN's reason or NOTICE_SERVED's channel: a name of the contract without its prefix.
        commitment_reference: the promise letter's own, which is public.
        url: where its publisher has it.
    """

    event_id: str
    kind: EventKind
    occurred_at_ms: int
    reference: str = ""
    decision_id: str = ""
    list: str = ""
    case_reference: str = ""
    subject: str = ""
    code: str = ""
    commitment_reference: str = ""
    url: str = ""

    def __repr__(self) -> str:
        return f"SharedEvent(kind={self.kind.value!r})"


class KnownDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal knows of a decision that an event is about. ``lists`` gave its reasons, those in shadow not."""

    decision_id: str
    partner: str
    outcome: str
    dry_run: bool
    lists: tuple[str, ...]
