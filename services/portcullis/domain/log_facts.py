"""What an entry of the journal says in clear: its ``facts``, by kind (`portcullis.domain.log_entries`).

Nothing here tells who somebody is, so all of it stays when a person is erased and the counts that are made of it stay right.
"""

from __future__ import annotations

import msgspec

from portcullis.domain.shared_events import EventKind


class ReasonFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One reason of a decision, without its entry."""

    list: str
    measure: str
    effect: str
    authority: str
    legal_basis: str
    weak: bool
    shadow: bool


class DecisionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A decision, without the person; the fields are those of `portcullis.ports.DecisionRecord`."""

    decided_at: float
    action: str
    purpose: str
    outcome: str
    shadow_outcome: str
    degraded: bool
    dry_run: bool
    snapshot_version: int
    registry_seq: int
    stale: tuple[str, ...]
    reasons: tuple[ReasonFacts, ...]


class EventFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A reported event, without the person; the fields are those of SharedEvent.

    ``digest`` is keyed and covers the whole event: it tells an event that is reported again from another of the same id,
    and nothing to whoever does not hold the key.
    """

    kind: EventKind
    occurred_at_ms: int
    decision_id: str
    list: str
    code: str
    commitment_reference: str
    url: str
    digest: bytes


class ErasureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure: which keys are gone, who destroyed them and why.

    ``blank`` is how many more rows that find decisions say nobody any more (`portcullis.adapters.sql.journal.erasure`), less
    those of decisions that can't be read any more either; None in entries from before this was told.
    """

    key_ids: tuple[str, ...]
    actor: str
    purpose: str
    blank: int | None = None


class TimelineFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A restore from a backup: which timeline (`portcullis.domain.timelines`) begins here, who said so and why."""

    timeline: str
    actor: str
    purpose: str


DECISION_FACTS = msgspec.json.Decoder(DecisionFacts)
EVENT_FACTS = msgspec.json.Decoder(EventFacts)
ERASURE_FACTS = msgspec.json.Decoder(ErasureFacts)
TIMELINE_FACTS = msgspec.json.Decoder(TimelineFacts)
