"""Redress numbers, on SQLite and on PostgreSQL."""

from __future__ import annotations

import msgspec
import pytest

from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import Step
from portcullis.domain.errors import NotFound, StepNotAllowed
from tests.support.policies import NOW
from tests.support.registry_entries import an_entry, document
from tests.support.rights import NOTE, Office, a_case, a_number, clearances, tokens


def test_a_numbers_clearances_are_further_tokens_of_its_entry(office: Office) -> None:
    before = office.entry()
    entry = office.rights.issue_number(a_number(), note=NOTE)
    assert (before.version + 1, EntryStatus.IN_FORCE) == (entry.version, entry.status)
    assert entry == office.entry()
    assert {*tokens(1), *clearances(1, 2)} == set(office.indexed())
    assert ["put", "clear"] == office.steps()


def test_a_number_is_given_as_it_was_kept_the_oldest_first(office: Office) -> None:
    office.open(a_case(office.entry()))
    second, first = a_number(2, case_id="c1"), a_number(1)
    for number in (second, first):
        office.rights.issue_number(number, note=NOTE)
    assert [first, second] == list(office.rights.numbers("court", "k1"))
    assert list(office.rights.numbers("court", "k2")) == []
    assert list(office.rights.numbers("carrier", "k1")) == []


def test_the_clearances_of_all_numbers_stand_together(office: Office) -> None:
    for number in (1, 2):
        office.rights.issue_number(a_number(number), note=NOTE)
    assert {*tokens(1), *clearances(1, 2), *clearances(2, 2)} == set(office.indexed())


def test_a_clearance_that_comes_twice_stands_once(office: Office) -> None:
    twice = clearances(1, 2) * 2
    office.rights.issue_number(msgspec.structs.replace(a_number(), clearances=twice), note=NOTE)
    assert clearances(1, 2) == office.rights.numbers("court", "k1")[0].clearances
    assert {*tokens(1), *clearances(1, 2)} == set(office.indexed())


def test_clearances_outlast_an_amendment_and_a_stay(office: Office) -> None:
    office.rights.issue_number(a_number(), note=NOTE)
    office.put(an_entry("k1", document(4)))
    office.step(Step.STAY)
    assert {*tokens(4), *clearances(1, 2)} == set(office.indexed())


def test_a_number_of_no_entry_or_of_no_case_is_not_kept(office: Office) -> None:
    for wrong in (a_number(key="k9"), a_number(case_id="c9"), msgspec.structs.replace(a_number(), list="none")):
        with pytest.raises(NotFound):
            office.rights.issue_number(wrong, note=NOTE)
    assert list(office.rights.numbers("court", "k1")) == []


def test_a_number_of_an_entry_that_has_left_its_list_is_not_kept(office: Office) -> None:
    office.step(Step.WITHDRAW)
    with pytest.raises(StepNotAllowed):
        office.rights.issue_number(a_number(), note=NOTE)
    assert list(office.rights.numbers("court", "k1")) == []


def test_a_number_that_has_ended_clears_nobody(office: Office) -> None:
    for number in (1, 2):
        office.rights.issue_number(a_number(number), note=NOTE)
    office.clock.time = NOW + 5.5
    office.rights.revoke_number("n1", note=NOTE)
    assert {*tokens(1), *clearances(2, 2)} == set(office.indexed())
    assert [NOW + 5.5, None] == [each.revoked_at for each in office.rights.numbers("court", "k1")]
    assert ["put", "clear", "clear", "clear"] == office.steps()


def test_ending_a_number_twice_changes_nothing_more(office: Office) -> None:
    office.rights.issue_number(a_number(), note=NOTE)
    office.rights.revoke_number("n1", note=NOTE)
    once, head = office.rights.numbers("court", "k1"), office.registry.head()
    office.clock.time = NOW + 9.0
    office.rights.revoke_number("n1", note=NOTE)
    assert once == office.rights.numbers("court", "k1")
    assert head == office.registry.head()


def test_what_is_no_number_is_not_found(office: Office) -> None:
    with pytest.raises(NotFound):
        office.rights.revoke_number("n9", note=NOTE)


def test_a_number_that_ended_while_its_entry_was_off_the_list_does_not_come_back_with_it(office: Office) -> None:
    for number in (1, 2):
        office.rights.issue_number(a_number(number), note=NOTE)
    gone = office.step(Step.RELEASE)
    head = office.registry.head()
    office.rights.revoke_number("n1", note=NOTE)
    assert gone == office.entry()
    assert head + 1 == office.registry.head()
    office.put(an_entry("k1", document(1)))
    assert {*tokens(1), *clearances(2, 2)} == set(office.indexed())
