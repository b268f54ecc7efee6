"""What an event says to the system that receives it.

A change is told to a partner by the name that was made for that partner alone, with the list and the entry's end. What a
partner reported is told to the authority of the list with the authority's own case reference, the partner, the decision and
the code. A partner's own reference stays in the journal: it is the partner's, and often names a customer. So

    told of                    the subject is
    a change                   the partner's own name of the entry      opaque
    a case of the authority    the authority's case reference           opaque
    a public promise letter    its URL                                  uri
    anything else reported     the partner's name of the entry, else the decision   opaque
    the stream itself          the stream's id                          opaque
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from portcullis.domain.changes import FeedChange
from portcullis.domain.security_events import CHANGE_TYPES, REPORT_TYPES
from portcullis.ports.relay import Notice, ReportedCase, ReportedEvent


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One event, before it has a form. ``subject_id`` is as in RFC 9493; times are Unix seconds, ``known_at`` the log's."""

    event_type: str
    subject_id: Mapping[str, str]
    payload: Mapping[str, object]
    happened_at: float
    known_at: float

    @property
    def subject(self) -> str:
        """The subject as one text."""
        return self.subject_id.get("id") or self.subject_id.get("uri", "")

    def __repr__(self) -> str:
        return f"Fact({self.event_type!r})"


def tell_change(change: FeedChange, subject: str) -> Fact:
    """Tell a partner of a change, by the partner's own name of the entry."""
    return Fact(
        event_type=CHANGE_TYPES[change.kind],
        subject_id=_opaque(subject),
        payload={"list": change.list, "until": change.until},
        happened_at=change.happened_at,
        known_at=change.happened_at,
    )


def tell_report(reported: ReportedEvent, cases: Sequence[ReportedCase]) -> Fact:
    """Tell an authority of a reported event; ``cases`` are those of its own lists."""
    event = reported.event
    payload: dict[str, object] = {
        "partner": reported.partner,
        "event_id": event.event_id,
        "recorded_at": reported.recorded_at_ms // 1000,
        "cases": [_case(each) for each in cases],
    }
    for name in ("decision_id", "code", "commitment_reference", "url"):
        value = getattr(event, name)
        if value:
            payload[name] = value
    return Fact(
        event_type=REPORT_TYPES[event.kind],
        subject_id=_subject_of(reported, cases),
        payload=payload,
        happened_at=event.occurred_at_ms / 1e3,
        known_at=reported.recorded_at_ms / 1e3,
    )


def tell_notice(notice: Notice, stream_id: str) -> Fact:
    """Tell a receiver about its stream."""
    return Fact(
        event_type=notice.event_type,
        subject_id=_opaque(stream_id),
        payload=notice.payload,
        happened_at=notice.made_at,
        known_at=notice.made_at,
    )


def _subject_of(reported: ReportedEvent, cases: Sequence[ReportedCase]) -> Mapping[str, str]:
    event = reported.event
    if event.url:
        return {"format": "uri", "uri": event.url}
    known = next((each.case_reference for each in cases if each.case_reference), "")
    return _opaque(known or event.subject or event.decision_id or f"{reported.partner}/{event.event_id}")


def _case(case: ReportedCase) -> Mapping[str, str]:
    named = {"list": case.list, "case_reference": case.case_reference}
    return {name: value for name, value in named.items() if value}


def _opaque(name: str) -> Mapping[str, str]:
    return {"format": "opaque", "id": name}
