"""The rules an entry must keep before it may bind anyone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.entries import EntryDraft, GivenIdentifier, SubjectType
from portcullis.domain.entry_rules import Admission, admit_entry, derive_key
from portcullis.domain.errors import EntryRejected
from portcullis.domain.identifiers import Identifier
from portcullis.domain.policies import RestrictedList
from tests.support.imports import BEGINS, ENDS, TOKENISER
from tests.support.people import imo, passport, phone, resident_id, uscc
from tests.support.policies import YEAR_S, a_list, measure


def as_given(*identifiers: Identifier) -> tuple[GivenIdentifier, ...]:
    return tuple(GivenIdentifier(each.kind, each.value, each.country, each.kind) for each in identifiers)


def draft(**changes: Any) -> EntryDraft:
    values: dict[str, Any] = {
        "key": "17",
        "subject_type": "person",
        "identifiers": as_given(passport(1)),
        "case_reference": "(2090) Demo 17",
        "valid_from": BEGINS,
        "until": ENDS,
    }
    return EntryDraft(**(values | changes))


def admit(on: RestrictedList | None = None, **changes: Any) -> Admission:
    return admit_entry(draft(**changes), on or a_list(), index_tokens=TOKENISER.index_tokens)


def faults(on: RestrictedList | None = None, **changes: Any) -> dict[str, str]:
    with pytest.raises(EntryRejected) as caught:
        admit(on, **changes)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_a_row_takes_authority_legal_basis_purpose_and_redress_from_its_list() -> None:
    entry = admit().entry
    on = a_list()
    assert (on.authority, on.legal_basis, on.purpose, on.redress_url) == (
        entry.authority,
        entry.legal_basis,
        entry.purpose,
        entry.redress,
    )


def test_a_row_may_state_its_own_legal_basis_purpose_and_redress() -> None:
    entry = admit(legal_basis="Act, section 9", purpose="a purpose", redress="mailto:court@redress.example").entry
    assert ("Act, section 9", "a purpose", "mailto:court@redress.example") == (
        entry.legal_basis,
        entry.purpose,
        entry.redress,
    )


@pytest.mark.parametrize("field", ["case_reference", "valid_from", "until", "subject_type", "identifiers"])
def test_no_entry_stands_without_what_its_own_row_must_give(field: str) -> None:
    nothing: Any = {"valid_from": None, "until": None, "identifiers": ()}.get(field, "")
    assert [field] == list(faults(**{field: nothing}))


@pytest.mark.parametrize(
    ("lists", "field"),
    [("authority", "authority"), ("legal_basis", "legal_basis"), ("purpose", "purpose"), ("redress_url", "redress")],
)
def test_no_entry_stands_without_what_neither_row_nor_list_states(lists: str, field: str) -> None:
    assert [field] == list(faults(a_list(**{lists: " "})))


@pytest.mark.parametrize("field", ["case_reference", "legal_basis", "purpose", "redress"])
@pytest.mark.parametrize("text", ["-", "\u200b", " . ", "\u2060\u2060"])
def test_a_text_without_a_letter_or_digit_states_nothing(field: str, text: str) -> None:
    """Rule 1."""
    assert [field] == list(faults(**{field: text}))


@pytest.mark.parametrize("redress", ["n/a", "javascript:alert(1)", "http://court.example", "ask the court", "mailto:court"])
def test_a_row_whose_redress_is_no_contact_is_refused(redress: str) -> None:
    """Rule 1: the subject must be able to use it, and partners show it as a link."""
    assert ["redress"] == list(faults(redress=redress))


@pytest.mark.parametrize("turned", ["(2090) \u202eomeD", "Demo \u2066 17"])
def test_a_text_that_turns_the_direction_of_its_line_is_refused(turned: str) -> None:
    assert ["case_reference"] == list(faults(case_reference=turned))


@pytest.mark.parametrize("field", ["key", "case_reference"])
def test_a_text_that_is_nothing_but_a_short_identifier_is_refused(field: str) -> None:
    short = (GivenIdentifier("passport", "X12345", "XA"),)
    told = faults(identifiers=short, **{field: "x-12345"})
    assert [field] == list(told)
    assert "12345" not in str(told)
    assert "case x12345 b" == getattr(admit(identifiers=short, **{field: "case x12345 b"}).entry, field)


def test_every_fault_of_a_row_is_told_at_once() -> None:
    assert {"case_reference", "until", "measures[0]"} == set(faults(case_reference="", until=None, measures=("unheard-of",)))


def test_an_end_within_the_lists_greatest_term_is_taken() -> None:
    assert BEGINS + 5 * YEAR_S == admit(until=BEGINS + 5 * YEAR_S).entry.until


def test_an_end_beyond_the_lists_greatest_term_is_refused() -> None:
    assert "1825 days" in faults(until=BEGINS + 5 * YEAR_S + 1)["until"]


@pytest.mark.parametrize("until", [BEGINS, BEGINS - 1])
def test_an_end_that_is_not_after_the_beginning_is_refused(until: int) -> None:
    assert {"until": "not after valid_from"} == faults(until=until)


def test_an_end_beyond_32_bits_of_seconds_is_refused() -> None:
    assert ["until"] == list(faults(a_list(max_term_s=2**40), until=2**32))


def test_an_end_that_has_passed_is_no_fault() -> None:
    assert 2 == admit(valid_from=1, until=2).entry.until


def test_a_case_reference_is_bounded_in_characters() -> None:
    assert 128 == len(admit(case_reference="x" * 128).entry.case_reference)
    assert ["case_reference"] == list(faults(case_reference="x" * 129))


def test_a_case_reference_is_bounded_in_bytes() -> None:
    assert ["case_reference"] == list(faults(case_reference="案" * 100))


def test_a_text_with_control_characters_is_refused() -> None:
    assert ["legal_basis"] == list(faults(legal_basis="Act\nsection 2"))


def test_a_measure_must_be_one_of_the_lists() -> None:
    on = a_list("court", measure("loans"), measure("planes"))
    assert ("planes",) == admit(on, measures=("planes",)).entry.measures
    assert "it has loans, planes" in faults(on, measures=("trains",))["measures[0]"]


def test_a_kind_that_the_list_does_not_take_is_refused_without_telling_it() -> None:
    told = faults(identifiers=(GivenIdentifier("X1234567", "x"),))
    assert {"identifiers[0].kind": "this list does not take this kind; it takes cn.resident-id, passport, phone"} == told


def test_a_wrong_check_digit_is_told_without_the_value() -> None:
    good = resident_id(1).value
    wrong = good[:-1] + ("0" if good[-1] != "0" else "1")
    told = faults(identifiers=(*as_given(passport(1)), GivenIdentifier("cn.resident-id", wrong)))
    assert ["identifiers[1].value"] == list(told)
    assert wrong not in str(told)


def test_identifiers_are_normalised_and_said_twice_count_once() -> None:
    given_twice = (GivenIdentifier("passport", " x-123 4567 ", "xa"), GivenIdentifier("passport", "X1234567", "XA"))
    assert (Identifier("passport", "X1234567", "XA"),) == admit(identifiers=given_twice).entry.identifiers


@pytest.mark.parametrize(
    ("subject", "identifier", "holder"),
    [
        (SubjectType.PERSON, uscc(1), "organisation"),
        (SubjectType.ORGANISATION, resident_id(1), "person"),
        (SubjectType.ORGANISATION, passport(1), "person"),
        (SubjectType.PERSON, imo(1), "vessel"),
    ],
)
def test_an_entry_binds_only_the_kind_of_subject_it_names(subject: SubjectType, identifier: Identifier, holder: str) -> None:
    on = a_list(identifier_kinds=("cn.resident-id", "cn.uscc", "passport", "imo"))
    told = faults(on, subject_type=subject, identifiers=as_given(identifier))
    assert f"only a {holder} holds" in told["identifiers[0].kind"]


def test_two_resident_ids_are_two_subjects() -> None:
    assert "more than one cn.resident-id" in faults(identifiers=as_given(resident_id(1), resident_id(2)))["identifiers"]


def test_two_passports_can_be_one_subjects() -> None:
    assert 2 == len(admit(identifiers=as_given(passport(1), passport(2))).entry.identifiers)


@pytest.mark.parametrize("field", ["key", "case_reference", "legal_basis", "purpose", "redress"])
def test_a_text_that_holds_an_identifier_in_clear_is_refused(field: str) -> None:
    value = passport(1).value
    told = faults(**{field: f"no. {value[:4].lower()}-{value[4:]}"})
    assert [field] == list(told)
    assert value not in str(told)


def test_names_are_kept_once_each_and_matched_never() -> None:
    entry = admit(names=("A. Nobody", "A. Nobody", " ", "B. Nobody")).entry
    assert ("A. Nobody", "B. Nobody") == entry.names
    assert as_given(passport(1)) == as_given(*entry.identifiers)


def test_a_source_that_writes_numbers_as_found_keeps_the_entry_and_drops_the_number() -> None:
    admission = admit(
        as_found=True, identifiers=(GivenIdentifier("passport", "unknown", "", "Passport No."), *as_given(phone(1)))
    )
    assert (phone(1),) == admission.entry.identifiers
    assert 1 == len(admission.dropped)
    assert admission.dropped[0].startswith("Passport No.: ")


def test_a_source_that_lists_by_name_only_may_have_no_identifier() -> None:
    assert () == admit(as_found=True, identifiers=()).entry.identifiers


def test_without_key_and_identifier_no_key_can_be_derived() -> None:
    assert ["key"] == list(faults(as_found=True, identifiers=(), key=""))


def test_a_derived_key_is_the_same_for_the_same_row_and_holds_no_identifier() -> None:
    first, again = admit(key="").entry.key, admit(key="").entry.key
    assert first == again
    assert passport(1).value not in first


def test_derived_keys_tell_subjects_of_one_case_apart() -> None:
    assert admit(key="").entry.key != admit(key="", identifiers=as_given(passport(2))).entry.key


def test_a_derived_key_does_not_hang_on_the_order_of_identifiers() -> None:
    one, other = passport(1), phone(1)
    assert derive_key("case", [one, other], TOKENISER.index_tokens) == derive_key(
        "case", [other, one], TOKENISER.index_tokens
    )


def test_neither_drafts_nor_given_identifiers_show_what_they_hold() -> None:
    held = draft(names=("A. Nobody",))
    assert not any(secret in repr(held) + repr(held.identifiers) for secret in (passport(1).value, "Nobody"))


@given(
    st.builds(
        EntryDraft,
        subject_type=st.sampled_from(["person", "organisation", "", "someone"]),
        identifiers=st.lists(
            st.builds(GivenIdentifier, kind=st.sampled_from(["passport", "phone", "x"]), value=st.text(max_size=20)),
            max_size=3,
        ).map(tuple),
        key=st.text(max_size=140),
        case_reference=st.text(max_size=140),
        valid_from=st.none() | st.integers(-10, 2**33),
        until=st.none() | st.integers(-10, 2**33),
        as_found=st.booleans(),
    )
)
def test_whatever_is_admitted_keeps_rule_one(row: EntryDraft) -> None:
    on = a_list()
    try:
        entry, _ = admit_entry(row, on, index_tokens=TOKENISER.index_tokens)
    except EntryRejected:
        return
    assert all((entry.authority, entry.legal_basis, entry.case_reference, entry.purpose, entry.redress, entry.key))
    assert 0 < entry.until - entry.valid_from <= on.max_term_s
    assert entry.identifiers or row.as_found
