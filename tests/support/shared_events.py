"""Events that partners report, whole and by the hundred."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from portcullis.domain.event_rules import CODES, MAX_AHEAD_S, MAX_BEHIND_S
from portcullis.domain.shared_events import EventKind, SharedEvent
from tests.support.policies import NOW

DECISION_ID = "0123456789abcdef" * 2
SUBJECT = "fedcba9876543210" * 2

FACTS: dict[EventKind, dict[str, str]] = {
    EventKind.ENFORCED: {"decision_id": DECISION_ID},
    EventKind.REVIEWED: {"decision_id": DECISION_ID, "code": "UPHELD"},
    EventKind.OVERRIDDEN: {"decision_id": DECISION_ID, "code": "EMERGENCY"},
    EventKind.NOTICE_SERVED: {"decision_id": DECISION_ID, "code": "SCREEN"},
    EventKind.SETTLEMENT_CLAIMED: {"list": "court", "case_reference": "(2090) Demo 1"},
    EventKind.SETTLED: {"list": "court", "case_reference": "(2090) Demo 1"},
    EventKind.IDENTITY_MISMATCH: {"decision_id": DECISION_ID},
    EventKind.COMMITMENT_PUBLISHED: {
        "list": "court",
        "commitment_reference": "promise-1",
        "url": "https://provider.example/promises/1",
    },
    EventKind.TERMINATED: {"list": "rentals", "subject": SUBJECT},
}
"""The facts of each kind."""


def an_event(kind: EventKind = EventKind.ENFORCED, **changes: Any) -> SharedEvent:
    """An event with the facts of its kind."""
    values: dict[str, Any] = {"event_id": "event-1", "occurred_at_ms": NOW * 1000 - 1, **FACTS[kind]}
    return SharedEvent(kind=kind, **(values | changes))


_REFERENCE = "ABCXYZabcxyz0189._:/-"
_IDS = st.text(_REFERENCE, min_size=1, max_size=64)
_REFERENCES = st.text(_REFERENCE, min_size=1, max_size=128)
_HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
_LINES = st.text(min_size=1, max_size=128).filter(str.isprintable)


def _facts(kind: EventKind) -> st.SearchStrategy[dict[str, str]]:
    if kind in (EventKind.SETTLED, EventKind.SETTLEMENT_CLAIMED):
        return st.fixed_dictionaries({"list": _REFERENCES.map(lambda text: text[:64]), "case_reference": _LINES})
    if kind is EventKind.COMMITMENT_PUBLISHED:
        path = st.text("abcxyz/-._~%", max_size=480)
        return st.fixed_dictionaries(
            {
                "list": st.just("court"),
                "commitment_reference": _REFERENCES,
                "url": path.map("https://provider.example/{}".format),
            }
        )
    if kind is EventKind.TERMINATED:
        by = st.sampled_from(("subject", "decision_id"))
        return st.builds(lambda which, name: {"list": "rentals", which: name}, by, _HEX)
    codes = {"code": st.sampled_from(sorted(CODES[kind]))} if kind in CODES else {}
    return st.fixed_dictionaries({"decision_id": _HEX, **codes})


def events(now: float) -> st.SearchStrategy[SharedEvent]:
    """Good events of every kind at a time."""
    times = st.integers(round((now - MAX_BEHIND_S) * 1000), round((now + MAX_AHEAD_S) * 1000))
    heads = st.fixed_dictionaries({"event_id": _IDS, "occurred_at_ms": times, "reference": st.just("") | _REFERENCES})
    return st.sampled_from(EventKind).flatmap(
        lambda kind: st.builds(lambda head, facts: SharedEvent(kind=kind, **head, **facts), heads, _facts(kind))
    )
