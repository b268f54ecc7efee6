"""Journals and events for the suites of the journal."""

from __future__ import annotations

from typing import Any

from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.ports import Clock
from tests.support.imports import StillClock
from tests.support.policies import NOW

SEAL_KEY = bytes(range(32))


def sql_journal(url: str, clock: Clock | None = None) -> SqlJournal:
    """Open a journal on a migrated database."""
    return SqlJournal(url, seal_key=SEAL_KEY, clock=clock or StillClock())


def an_event(event_id: str, kind: EventKind = EventKind.ENFORCED, **facts: Any) -> SharedEvent:
    """Make an event that happened now."""
    return SharedEvent(event_id=event_id, kind=kind, occurred_at_ms=int(NOW * 1000), **facts)


def a_settlement(event_id: str, **changes: Any) -> SharedEvent:
    """Make an event that needs no decision."""
    facts = {"list": "court", "case_reference": "(2090) Demo 1", "reference": "order-1"}
    return an_event(event_id, EventKind.SETTLED, **(facts | changes))
