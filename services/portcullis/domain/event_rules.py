"""Which events may be reported: what each kind says, when, about what, and by whom (rule 8).

    kind                   decision_id   list   case_reference   code      others
    ENFORCED               yes
    REVIEWED               yes                                   verdict
    OVERRIDDEN             yes                                   reason
    NOTICE_SERVED          yes                                   channel
    SETTLEMENT_CLAIMED                   yes    yes
    SETTLED                              yes    yes
    IDENTITY_MISMATCH      yes
    COMMITMENT_PUBLISHED                 yes                               commitment_reference, url
    TERMINATED             one of        yes                               or subject

Agreements are those in force when the event is reported, not when it happened nor when its decision was made: after the end
nothing is shared any more, either way. The record of the decision itself stands, and so do receipts.

A reference is no place for a text: it has 1 to 128 characters of ``A-Z a-z 0-9 . _ : / -``. A case reference is the
authority's own, as a reason gave it, so it is any line of 1 to 128 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from portcullis.domain.decisions import Outcome
from portcullis.domain.errors import DecisionUnknown, FieldViolation, InvalidRequest, NotPermitted, PortcullisError
from portcullis.domain.policies import Agreement, Policy
from portcullis.domain.shared_events import EventKind, KnownDecision, SharedEvent
from portcullis.domain.subjects import SUBJECT_LENGTH

MAX_AHEAD_S = 300.0
"""How far a partner's clock may be ahead."""

MAX_BEHIND_S = 400 * 86_400.0
"""How long after the fact an event may be reported."""

CODES: Mapping[EventKind, frozenset[str]] = MappingProxyType(
    {
        EventKind.REVIEWED: frozenset({"UPHELD", "CLEARED"}),
        EventKind.OVERRIDDEN: frozenset(
            {"AUTHORITY_PERMIT", "EMERGENCY", "PARTNER_ERROR", "ENTRY_CHANGED", "PROTECTED_NEED"}
        ),
        EventKind.NOTICE_SERVED: frozenset({"SCREEN", "PAPER", "MESSAGE", "SPOKEN"}),
    }
)
"""The codes of each kind that has one."""

CODE_FIELDS: Mapping[EventKind, str] = MappingProxyType(
    {EventKind.REVIEWED: "verdict", EventKind.OVERRIDDEN: "reason", EventKind.NOTICE_SERVED: "channel"}
)
"""What the contract calls them."""

_PLACES: Mapping[EventKind, str] = MappingProxyType({kind: kind.value.lower() for kind in EventKind})
"""The field of each kind's details."""

_EVENT_ID = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
_REFERENCE = re.compile(r"[A-Za-z0-9._:/-]{1,128}", re.ASCII)
_DECISION_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SUBJECT = re.compile(rf"[0-9a-f]{{{SUBJECT_LENGTH}}}", re.ASCII)
_MAX_CASE = 128
_MAX_URL = 512
_MAX_NAME = 64

_OF_DECISIONS = frozenset(
    {
        EventKind.ENFORCED,
        EventKind.REVIEWED,
        EventKind.OVERRIDDEN,
        EventKind.NOTICE_SERVED,
        EventKind.IDENTITY_MISMATCH,
    }
)
_FITTING: Mapping[EventKind, tuple[frozenset[str], str]] = MappingProxyType(
    {
        EventKind.ENFORCED: (
            frozenset({Outcome.RESTRICT}),
            "it did not restrict, so there was no refusal to carry out",
        ),
        EventKind.REVIEWED: (frozenset({Outcome.REVIEW}), "it did not ask for a review"),
        EventKind.OVERRIDDEN: (
            frozenset({Outcome.RESTRICT, Outcome.REVIEW}),
            "it allowed, so there was nothing to override",
        ),
    }
)
"""The outcomes that a decision must have for an event of this kind, and what is said of any other."""

_OF_CASES = frozenset({EventKind.SETTLEMENT_CLAIMED, EventKind.SETTLED})


def is_event_id(text: str) -> bool:
    """Tell whether a text can be an event's id."""
    return _EVENT_ID.fullmatch(text) is not None


def check_event(event: SharedEvent, now: float) -> list[FieldViolation]:
    """Give everything that is wrong with an event by itself; ``now`` is Unix seconds. Fields have the contract's names."""
    kind = event.kind
    found = _check_head(event, now)
    # Nearly every event is sound, and a generator that gives nothing takes longer to make than what it looks at.
    _CHECKS[kind](event, _PLACES[kind], found)
    return found


def lists_of(event: SharedEvent, decision: KnownDecision | None) -> tuple[str, ...]:
    """Give the lists that an event is about: its own, or those of its decision."""
    if event.list:
        return (event.list,)
    return decision.lists if decision else ()


def permit_list(event: SharedEvent, policy: Policy, partner: str, now: float) -> PortcullisError | None:
    """Say why a partner may not report this kind of event about the list that the event names; None when it may.

    An event that names none is about every list of its decision: `permit_kind` first, and `match_decision` once it is known.
    """
    source = policy.list_named(event.list)
    if source is None or not any(event.list in each.lists for each in _agreements(policy, partner, now)):
        return NotPermitted("list: none of your agreements in force has it", metadata={"field": "list"})
    if not any(event.list in each.lists and event.kind in each.events for each in _agreements(policy, partner, now)):
        return _kind_not_permitted(event)
    if event.kind is EventKind.TERMINATED and not source.takes_terminations:
        return NotPermitted("list: it takes no reports of terminations", metadata={"list": event.list})
    return None


def permit_kind(event: SharedEvent, policy: Policy, partner: str, now: float) -> PortcullisError | None:
    """Say why a partner may report this kind of event under none of its agreements in force; None when it may."""
    if any(event.kind in each.events for each in _agreements(policy, partner, now)):
        return None
    return _kind_not_permitted(event)


def agreed_lists(kind: EventKind, policy: Policy, partner: str, now: float) -> frozenset[str]:
    """Give the lists of the partner's agreements in force that cover reporting this kind of event."""
    return frozenset(name for each in _agreements(policy, partner, now) if kind in each.events for name in each.lists)


def match_decision(
    event: SharedEvent, decision: KnownDecision | None, partner: str, agreed: Collection[str] | None = None
) -> PortcullisError | None:
    """Say why an event does not fit the decision that it names; None when it does. Another's decision is an unknown one.

    ``agreed`` has the lists that the partner may report this kind about (`agreed_lists`); None when that is not asked. An
    event that names no list of its own tells the authority of each list of its decision, so all of them must be agreed.
    """
    if decision is None or decision.partner != partner:
        return DecisionUnknown()
    why = _unfit(event, decision)
    if why:
        return InvalidRequest.at(f"{event.kind.value.lower()}.decision_id", f"{why}; report what was decided")
    if agreed is None or event.list:
        return None
    # Every event of a decision comes by here. As in `check_event`, a generator would cost more than what it looks at.
    for name in decision.lists:
        if name not in agreed:
            return NotPermitted(
                f"detail: your agreements in force do not cover reporting {event.kind.value} about every list of that"
                " decision",
                metadata={"kind": event.kind.value},
            )
    return None


def _agreements(policy: Policy, partner: str, now: float) -> list[Agreement]:
    found = policy.partner_named(partner)
    return [each for each in found.agreements if each.is_in_force(now)] if found else []


def _kind_not_permitted(event: SharedEvent) -> NotPermitted:
    return NotPermitted(
        f"detail: your agreements in force do not cover reporting {event.kind.value}", metadata={"kind": event.kind.value}
    )


def _unfit(event: SharedEvent, decision: KnownDecision) -> str:
    """Say why a decision of the partner's own is none that this can be reported of; "" when it is one."""
    why = ""
    fitting = _FITTING.get(event.kind)
    if decision.dry_run:
        why = "it was a dry run, on which nobody acts"
    elif fitting is not None and decision.outcome not in fitting[0]:
        why = fitting[1]
    elif event.list and event.list not in decision.lists:
        why = "it gave no reason of the list named"
    return why


def _check_head(event: SharedEvent, now: float) -> list[FieldViolation]:
    found = []
    if not is_event_id(event.event_id):
        found.append(FieldViolation("event_id", "must be 1 to 64 characters of A-Z a-z 0-9 . _ : / -"))
    if event.reference and not _REFERENCE.fullmatch(event.reference):
        found.append(
            FieldViolation("reference", "must be at most 128 characters of A-Z a-z 0-9 . _ : / -: a reference, not a text")
        )
    occurred_at = event.occurred_at_ms / 1e3
    if occurred_at > now + MAX_AHEAD_S:
        found.append(FieldViolation("occurred_at", "is more than 5 minutes ahead of this host's clock"))
    elif occurred_at < now - MAX_BEHIND_S:
        found.append(FieldViolation("occurred_at", "is missing, or more than 400 days ago"))
    return found


def _check_decision(event: SharedEvent, place: str, found: list[FieldViolation]) -> None:
    if not _DECISION_ID.fullmatch(event.decision_id):
        found.append(FieldViolation(f"{place}.decision_id", "must be the 32 characters that the decision's answer gave"))
    codes = CODES.get(event.kind)
    if codes is not None and event.code not in codes:
        found.append(FieldViolation(f"{place}.{CODE_FIELDS[event.kind]}", f"must be one of {', '.join(sorted(codes))}"))


def _check_list(event: SharedEvent, place: str, found: list[FieldViolation]) -> None:
    if not 1 <= len(event.list) <= _MAX_NAME:
        found.append(FieldViolation(f"{place}.list", "must name a list of your agreement"))


def _check_case(event: SharedEvent, place: str, found: list[FieldViolation]) -> None:
    _check_list(event, place, found)
    if not 1 <= len(event.case_reference) <= _MAX_CASE or not event.case_reference.isprintable():
        found.append(
            FieldViolation(
                f"{place}.case_reference", "must be the authority's own, 1 to 128 characters, as a reason gave it"
            )
        )


def _check_commitment(event: SharedEvent, place: str, found: list[FieldViolation]) -> None:
    _check_list(event, place, found)
    if not _REFERENCE.fullmatch(event.commitment_reference):
        found.append(FieldViolation(f"{place}.commitment_reference", "must be 1 to 128 characters of A-Z a-z 0-9 . _ : / -"))
    if not _is_plain_https(event.url):
        found.append(
            FieldViolation(f"{place}.url", "must be https, at most 512 characters, without user, query or fragment")
        )


def _check_termination(event: SharedEvent, place: str, found: list[FieldViolation]) -> None:
    _check_list(event, place, found)
    if bool(event.subject) == bool(event.decision_id):
        found.append(FieldViolation(f"{place}.subject", "name the customer by subject or by decision_id, by one of them"))
    elif event.subject and not _SUBJECT.fullmatch(event.subject):
        found.append(FieldViolation(f"{place}.subject", "must be the 32 characters that a reason or a change gave"))
    elif event.decision_id and not _DECISION_ID.fullmatch(event.decision_id):
        found.append(FieldViolation(f"{place}.decision_id", "must be the 32 characters that the decision's answer gave"))


def _is_plain_https(url: str) -> bool:
    if not url.startswith("https://") or len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc and "?" not in url and "#" not in url
    except ValueError:
        return False


_CHECKS: Mapping[EventKind, Callable[[SharedEvent, str, list[FieldViolation]], None]] = MappingProxyType(
    dict.fromkeys(_OF_DECISIONS, _check_decision)
    | dict.fromkeys(_OF_CASES, _check_case)
    | {EventKind.COMMITMENT_PUBLISHED: _check_commitment, EventKind.TERMINATED: _check_termination}
)
