from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from portcullis.domain.errors import DecisionUnknown, InvalidRequest, NotPermitted, PortcullisError
from portcullis.domain.event_rules import (
    CODES,
    MAX_AHEAD_S,
    MAX_BEHIND_S,
    agreed_lists,
    check_event,
    is_event_id,
    lists_of,
    match_decision,
    permit_kind,
    permit_list,
)
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.shared_events import EventKind, KnownDecision, SharedEvent
from tests.support.policies import NOW, YEAR_S, a_list, agreement, policy
from tests.support.shared_events import DECISION_ID, SUBJECT, an_event, events

OF_DECISIONS = (
    EventKind.ENFORCED,
    EventKind.REVIEWED,
    EventKind.OVERRIDDEN,
    EventKind.NOTICE_SERVED,
    EventKind.IDENTITY_MISMATCH,
)
OF_LISTS = (
    EventKind.SETTLEMENT_CLAIMED,
    EventKind.SETTLED,
    EventKind.COMMITMENT_PUBLISHED,
    EventKind.TERMINATED,
)


def fields(event: SharedEvent, now: float = NOW) -> list[str]:
    return [each.field for each in check_event(event, now)]


@given(events(NOW))
def test_what_has_the_facts_of_its_kind_is_good(event: SharedEvent) -> None:
    assert [] == check_event(event, NOW)


@pytest.mark.parametrize("text", ["", "a" * 65, "a b", "a\n", "ä", "a\x00", "a;b"])
def test_an_event_id_is_a_reference_of_64_characters_at_most(text: str) -> None:
    assert ["event_id"] == fields(an_event(event_id=text))
    assert not is_event_id(text)


@pytest.mark.parametrize("text", ["a", "A-Z.a_z:0/9", "a" * 64])
def test_an_event_id_may_be_written_in_many_ways(text: str) -> None:
    assert [] == fields(an_event(event_id=text))
    assert is_event_id(text)


@pytest.mark.parametrize("text", ["a" * 129, "he bought two bottles", "a\tb", "ß"])
def test_a_reference_is_no_place_for_a_text(text: str) -> None:
    assert ["reference"] == fields(an_event(reference=text))


@pytest.mark.parametrize(
    ("behind_s", "expected"),
    [
        (-MAX_AHEAD_S, []),
        (-MAX_AHEAD_S - 0.001, ["occurred_at"]),
        (MAX_BEHIND_S, []),
        (MAX_BEHIND_S + 0.001, ["occurred_at"]),
    ],
)
def test_an_event_may_be_a_little_ahead_and_four_hundred_days_old(behind_s: float, expected: list[str]) -> None:
    assert expected == fields(an_event(occurred_at_ms=round((NOW - behind_s) * 1000)))


@pytest.mark.parametrize("occurred_at_ms", [0, -(2**63), 2**63 * 1000])
def test_a_time_that_is_missing_or_absurd_is_refused(occurred_at_ms: int) -> None:
    assert ["occurred_at"] == fields(an_event(occurred_at_ms=occurred_at_ms))


@pytest.mark.parametrize("kind", OF_DECISIONS)
@pytest.mark.parametrize("decision_id", ["", "a" * 31, "A" * 32, "g" * 32, "a" * 33, "a" * 32 + "\n"])
def test_a_decision_is_named_as_its_answer_named_it(kind: EventKind, decision_id: str) -> None:
    assert [f"{kind.value.lower()}.decision_id"] == fields(an_event(kind, decision_id=decision_id))


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (EventKind.REVIEWED, "reviewed.verdict"),
        (EventKind.OVERRIDDEN, "overridden.reason"),
        (EventKind.NOTICE_SERVED, "notice_served.channel"),
    ],
)
def test_a_code_is_one_of_its_kind(kind: EventKind, field: str) -> None:
    others = {code for other in CODES.values() for code in other} - CODES[kind]
    for code in ("", "UNSPECIFIED", *others):
        assert [field] == fields(an_event(kind, code=code))
    for code in CODES[kind]:
        assert [] == fields(an_event(kind, code=code))


@pytest.mark.parametrize("kind", OF_LISTS)
@pytest.mark.parametrize("name", ["", "a" * 65])
def test_what_is_about_a_list_names_it(kind: EventKind, name: str) -> None:
    assert [f"{kind.value.lower()}.list"] == fields(an_event(kind, list=name))


@pytest.mark.parametrize("kind", [EventKind.SETTLEMENT_CLAIMED, EventKind.SETTLED])
@pytest.mark.parametrize("case", ["", "a" * 129, "line\nline", "null\x00", "\u202e"])
def test_a_case_reference_is_one_printable_line(kind: EventKind, case: str) -> None:
    assert [f"{kind.value.lower()}.case_reference"] == fields(an_event(kind, case_reference=case))


def test_a_case_reference_may_be_in_the_authoritys_own_script() -> None:
    assert [] == fields(an_event(EventKind.SETTLED, case_reference="(2090)京01执1号"))


@pytest.mark.parametrize("reference", ["", "a" * 129, "the letter of May"])
def test_a_promise_letter_is_named_by_a_reference(reference: str) -> None:
    event = an_event(EventKind.COMMITMENT_PUBLISHED, commitment_reference=reference)

    assert ["commitment_published.commitment_reference"] == fields(event)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://provider.example/promise",
        "https://",
        "https:///promise",
        "https://user@provider.example/promise",
        "https://provider.example/promise?who=a",
        "https://provider.example/promise#a",
        "https://provider.example/pro mise",
        "https://provider.example/pro\nmise",
        "https://provider.example:0/promise",
        "https://provider.example:99999/promise",
        "https://provider.example/ä",
        "https://[::1/promise",
        "javascript:alert(1)",
        "https://provider.example/" + "a" * 512,
    ],
)
def test_a_promise_letter_stands_at_a_plain_https_address(url: str) -> None:
    assert ["commitment_published.url"] == fields(an_event(EventKind.COMMITMENT_PUBLISHED, url=url))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"subject": "", "decision_id": ""}, ["terminated.subject"]),
        ({"subject": SUBJECT, "decision_id": DECISION_ID}, ["terminated.subject"]),
        ({"subject": "x" * 32, "decision_id": ""}, ["terminated.subject"]),
        ({"subject": "", "decision_id": "x" * 32}, ["terminated.decision_id"]),
        ({"subject": "", "decision_id": DECISION_ID}, []),
        ({"subject": SUBJECT, "decision_id": ""}, []),
    ],
)
def test_a_termination_names_its_customer_in_one_way(changes: dict[str, str], expected: list[str]) -> None:
    assert expected == fields(an_event(EventKind.TERMINATED, **changes))


def test_every_fault_of_an_event_is_told_at_once_and_none_repeats_a_value() -> None:
    faulty = an_event(
        EventKind.COMMITMENT_PUBLISHED,
        event_id="Jane Doe",
        reference="born 2090",
        occurred_at_ms=0,
        list="",
        commitment_reference="secret letter",
        url="ftp://secret",
    )

    error = InvalidRequest(check_event(faulty, NOW))

    place = "commitment_published"
    assert ["event_id", "reference", "occurred_at", f"{place}.list", f"{place}.commitment_reference", f"{place}.url"] == [
        each.field for each in error.violations
    ]
    for value in ("Jane", "2090", "secret"):
        assert value not in str(error)


# What an agreement permits


def a_policy(**changes: Any) -> Policy:
    lists = (a_list("court"), a_list("elsewhere"), a_list("rentals", takes_terminations=True))
    agreed = agreement(("court", "rentals"), **changes)
    return policy(*lists, partners=(Partner(name="lender", title="A lender", agreements=(agreed,)),))


def permitted(event: SharedEvent, partner: str = "lender", now: float = NOW, **changes: Any) -> PortcullisError | None:
    permit = permit_list if event.list else permit_kind
    return permit(event, a_policy(**changes), partner, now)


def metadata(fault: PortcullisError | None) -> dict[str, str]:
    assert isinstance(fault, NotPermitted)
    return fault.metadata


@pytest.mark.parametrize("kind", OF_DECISIONS)
def test_an_agreement_covers_every_kind_unless_it_says_otherwise(kind: EventKind) -> None:
    assert permitted(an_event(kind)) is None
    assert {"kind": kind.value} == metadata(permitted(an_event(kind), events=(EventKind.SETTLED,)))


@pytest.mark.parametrize("name", ["elsewhere", "nowhere"])
def test_a_list_outside_the_agreement_is_told_as_if_there_were_none(name: str) -> None:
    fault = permitted(an_event(EventKind.SETTLED, list=name))

    assert {"field": "list"} == metadata(fault)
    assert name not in str(fault)


def test_a_kind_must_be_agreed_for_the_list_that_is_named() -> None:
    assert permitted(an_event(EventKind.SETTLED)) is None
    assert {"kind": "SETTLED"} == metadata(permitted(an_event(EventKind.SETTLED), events=(EventKind.ENFORCED,)))


def test_a_termination_needs_a_list_that_takes_such_reports() -> None:
    assert permitted(an_event(EventKind.TERMINATED, list="rentals")) is None
    assert {"list": "court"} == metadata(permitted(an_event(EventKind.TERMINATED, list="court")))


@pytest.mark.parametrize("kind", [EventKind.ENFORCED, EventKind.SETTLED])
@pytest.mark.parametrize(("partner", "now"), [("other", NOW), ("lender", NOW + 2 * YEAR_S), ("lender", NOW - 2)])
def test_without_an_agreement_in_force_nothing_is_permitted(kind: EventKind, partner: str, now: float) -> None:
    in_force = {"valid_from": NOW - 1, "valid_until": NOW + YEAR_S}

    assert permitted(an_event(kind), **in_force) is None
    assert permitted(an_event(kind), partner, now, **in_force) is not None


# What must fit its decision


def a_decision(**changes: Any) -> KnownDecision:
    values: dict[str, Any] = {
        "decision_id": DECISION_ID,
        "partner": "lender",
        "outcome": "RESTRICT",
        "dry_run": False,
        "lists": ("court",),
    }
    return KnownDecision(**(values | changes))


@pytest.mark.parametrize("decision", [None, a_decision(partner="other"), a_decision(partner="other", dry_run=True)])
def test_anothers_decision_is_an_unknown_one(decision: KnownDecision | None) -> None:
    fault = match_decision(an_event(), decision, "lender")

    assert isinstance(fault, DecisionUnknown)
    assert str(DecisionUnknown()) == str(fault)


@pytest.mark.parametrize(
    ("kind", "outcome", "fits"),
    [
        (EventKind.ENFORCED, "RESTRICT", True),
        (EventKind.ENFORCED, "REVIEW", False),
        (EventKind.ENFORCED, "ALLOW", False),
        (EventKind.REVIEWED, "REVIEW", True),
        (EventKind.REVIEWED, "RESTRICT", False),
        (EventKind.REVIEWED, "ALLOW", False),
        (EventKind.OVERRIDDEN, "RESTRICT", True),
        (EventKind.OVERRIDDEN, "REVIEW", True),
        (EventKind.OVERRIDDEN, "ALLOW", False),
        (EventKind.NOTICE_SERVED, "ALLOW", True),
        (EventKind.NOTICE_SERVED, "RESTRICT", True),
        (EventKind.IDENTITY_MISMATCH, "RESTRICT", True),
        (EventKind.IDENTITY_MISMATCH, "REVIEW", True),
    ],
)
def test_an_event_fits_the_outcome_of_its_decision(kind: EventKind, outcome: str, fits: bool) -> None:
    fault = match_decision(an_event(kind), a_decision(outcome=outcome), "lender")

    assert fits == (fault is None)
    if isinstance(fault, InvalidRequest):
        assert [f"{kind.value.lower()}.decision_id"] == [each.field for each in fault.violations]


@pytest.mark.parametrize("kind", OF_DECISIONS)
def test_nobody_acts_on_a_dry_run(kind: EventKind) -> None:
    outcome = "REVIEW" if kind is EventKind.REVIEWED else "RESTRICT"

    assert isinstance(match_decision(an_event(kind), a_decision(outcome=outcome, dry_run=True), "lender"), InvalidRequest)


def test_a_termination_by_decision_is_about_a_list_that_gave_a_reason() -> None:
    event = an_event(EventKind.TERMINATED, subject="", decision_id=DECISION_ID)

    assert match_decision(event, a_decision(lists=("court", "rentals")), "lender") is None
    assert isinstance(match_decision(event, a_decision(lists=("court",)), "lender"), InvalidRequest)


def test_an_event_is_about_its_own_list_or_those_of_its_decision() -> None:
    decision = a_decision(lists=("court", "rentals"))

    assert ("court", "rentals") == lists_of(an_event(), decision)
    assert ("court",) == lists_of(an_event(EventKind.SETTLED), decision)
    assert () == lists_of(an_event(), None)


def test_the_repr_of_an_event_names_nobody() -> None:
    assert "SharedEvent(kind='SETTLED')" == repr(an_event(EventKind.SETTLED))


def test_the_lists_agreed_for_a_kind_are_those_of_the_agreements_that_cover_it() -> None:
    both = (
        agreement(("court",), valid_from=NOW - 1, valid_until=NOW + YEAR_S, events=(EventKind.ENFORCED,)),
        agreement(("rentals",), valid_from=NOW - 1, valid_until=NOW + YEAR_S, events=(EventKind.SETTLED,)),
    )
    agreed = policy(a_list("court"), a_list("rentals"), partners=(Partner(name="lender", title="", agreements=both),))

    assert agreed_lists(EventKind.ENFORCED, agreed, "lender", NOW) == {"court"}
    assert agreed_lists(EventKind.REVIEWED, agreed, "lender", NOW) == frozenset()
    assert agreed_lists(EventKind.ENFORCED, agreed, "lender", NOW + 2 * YEAR_S) == frozenset()
    assert agreed_lists(EventKind.ENFORCED, agreed, "other", NOW) == frozenset()


def test_an_event_of_a_decision_needs_an_agreement_on_each_list_of_it() -> None:
    decision = a_decision(lists=("court", "rentals"))

    assert match_decision(an_event(), decision, "lender", {"court", "rentals", "more"}) is None
    for agreed in (set[str](), {"court"}, {"rentals"}):
        assert {"kind": "ENFORCED"} == metadata(match_decision(an_event(), decision, "lender", agreed))
    assert isinstance(match_decision(an_event(), a_decision(partner="other"), "lender", ()), DecisionUnknown)
