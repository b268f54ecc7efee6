"""The steps of an entry's life: where each leads, what is refused and how, and who must be two."""

from __future__ import annotations

from itertools import product

import pytest

from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.entry_life import (
    Step,
    check_second_person,
    check_version,
    effective_until,
    is_barred,
    legal_steps,
    next_status,
    single_steps,
)
from portcullis.domain.errors import SecondPersonRequired, StepNotAllowed, VersionMissed

LEADS = {
    EntryStatus.PROPOSED: "approve in-force, put proposed, reject rejected",
    EntryStatus.IN_FORCE: (
        "clear in-force, put in-force, release released, renew in-force, stay stayed, withdraw withdrawn"
    ),
    EntryStatus.STAYED: "clear stayed, lift in-force, put stayed, release released, renew stayed, withdraw withdrawn",
    EntryStatus.RELEASED: "put in-force, retract withdrawn-in-error",
    EntryStatus.WITHDRAWN: "put in-force, retract withdrawn-in-error",
    EntryStatus.IN_ERROR: "put in-force",
    EntryStatus.REJECTED: "put in-force",
}


@pytest.mark.parametrize("status", EntryStatus)
def test_the_steps_of_a_status_lead_where_the_rules_say(status: EntryStatus) -> None:
    told = ", ".join(f"{step} {next_status(status, step)}" for step in legal_steps(status))
    assert LEADS[status] == told


@pytest.mark.parametrize(("status", "step"), [*product(EntryStatus, Step)])
def test_an_illegal_step_names_the_legal_ones(status: EntryStatus, step: Step) -> None:
    if step in legal_steps(status):
        return
    with pytest.raises(StepNotAllowed) as refused:
        next_status(status, step)
    told = refused.value.metadata
    assert (step, status, ", ".join(legal_steps(status))) == (told["step"], told["status"], told["allowed"])


@pytest.mark.parametrize("status", LISTED)
def test_where_an_amendment_waits_it_is_decided_about_and_the_entry_stays_where_it_is(status: EntryStatus) -> None:
    assert {*legal_steps(status), Step.APPROVE, Step.REJECT} == set(legal_steps(status, amendment=True))
    for step in (Step.APPROVE, Step.REJECT):
        assert status is next_status(status, step, amendment=True)
    with pytest.raises(StepNotAllowed, match="approve, clear"):
        next_status(status, Step.RETRACT, amendment=True)


@pytest.mark.parametrize("status", EntryStatus)
def test_what_is_listed_is_withdrawn_before_it_is_retracted(status: EntryStatus) -> None:
    expected = (Step.WITHDRAW, Step.RETRACT) if status in LISTED else (Step.RETRACT,)
    assert expected == single_steps(status, Step.RETRACT)
    assert (Step.STAY,) == single_steps(status, Step.STAY)


def test_what_a_person_took_off_is_barred_until_it_is_listed_again() -> None:
    for step in (Step.RELEASE, Step.WITHDRAW, Step.RETRACT):
        assert is_barred(step, EntryStatus.RELEASED)
    assert is_barred(Step.PUT, EntryStatus.PROPOSED, before=True)
    assert is_barred(Step.REJECT, EntryStatus.REJECTED, before=True)
    assert not is_barred(Step.APPROVE, EntryStatus.IN_FORCE, before=True)
    assert not is_barred(Step.REJECT, EntryStatus.REJECTED)


def test_who_has_not_seen_the_present_version_is_told_both() -> None:
    check_version(0, 7)
    check_version(7, 7)
    with pytest.raises(VersionMissed) as missed:
        check_version(6, 7)
    assert {"expected": "6", "present": "7"} == missed.value.metadata


@pytest.mark.parametrize("actor", ["ann", "Ann"])
def test_one_person_under_another_spelling_is_no_second_person(actor: str) -> None:
    with pytest.raises(SecondPersonRequired, match="another person"):
        check_second_person(actor, "ann")
    check_second_person("bob", "ann")


@pytest.mark.parametrize(
    ("until", "lapses_at", "decide_by", "ends"),
    [(9, 0, 0, 9), (9, 8, 0, 8), (9, 0, 7, 7), (9, 8, 7, 7), (9, 10, 11, 9), (9, 7, 8, 7)],
)
def test_an_entry_binds_until_the_first_of_its_ends(until: int, lapses_at: int, decide_by: int, ends: int) -> None:
    assert ends == effective_until(until, lapses_at, decide_by)
