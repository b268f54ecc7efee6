"""Cases, and what they do to their entries, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import msgspec
import pytest

from portcullis.domain.disputes import CaseState, CaseStepKind, EntryEffect, Evidence, Resolution
from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import ReleaseGround, Step
from portcullis.domain.errors import NotFound, StepNotAllowed, VersionMissed
from portcullis.ports import CaseCount
from tests.support.policies import NOW, YEAR_S
from tests.support.registries import import_rows
from tests.support.registry_entries import an_entry, document
from tests.support.rights import (
    DAY_S,
    DECIDE_BY,
    NOTE,
    Office,
    a_case,
    mismatch,
    next_version,
    resolved,
)

LIFTED = EntryEffect(steps=(Step.LIFT,), decide_by=0)
STAYED = EntryEffect(steps=(Step.STAY,), decide_by=DECIDE_BY)
RELEASED = EntryEffect(steps=(Step.RELEASE,), decide_by=0, ground=ReleaseGround.OVERTURNED)
IN_ERROR = EntryEffect(steps=(Step.WITHDRAW, Step.RETRACT), decide_by=0)


# --- keeping ------------------------------------------------------------


def test_a_case_is_given_as_it_was_kept(office: Office) -> None:
    evidence = Evidence(reference="E-1", added_by="subject", added_at=float(NOW))
    case = a_case(office.entry(), evidence=(evidence,))
    assert case == office.open(case)
    assert case == office.rights.case("c1")


def test_a_later_version_holds_all_that_was_and_what_is_new(office: Office) -> None:
    first = office.open(a_case(office.entry()))
    evidence = Evidence(reference="E-2", added_by="rev", added_at=NOW + 1.5)
    second = next_version(first, CaseStepKind.EVIDENCE, evidence=(evidence,))
    assert second == office.rights.keep_case(second, None, note=NOTE)
    third = next_version(second, CaseStepKind.ASSIGN, reviewer="rev", extended=True, source_told_at=NOW + 2.5)
    office.rights.keep_case(third, None, note=NOTE)
    assert third == office.rights.case("c1")


def test_a_closed_case_says_how_it_ended(office: Office) -> None:
    case = resolved(office.open(a_case(office.entry())), Resolution.RELEASED)
    office.rights.keep_case(case, RELEASED, note=NOTE)
    assert case == office.rights.case("c1")


def test_a_case_of_no_entry_of_its_list_is_not_opened(office: Office) -> None:
    entry = office.entry()
    for wrong in ({"entry_id": 4_000_000_000}, {"list": "carrier"}):
        with pytest.raises(NotFound):
            office.open(msgspec.structs.replace(a_case(entry), **wrong))
    assert list(office.rights.cases()) == []


@pytest.mark.parametrize("step", [Step.RELEASE, Step.WITHDRAW])
def test_a_case_about_an_entry_that_has_left_its_list_is_not_opened(office: Office, step: Step) -> None:
    entry = office.step(step)
    with pytest.raises(StepNotAllowed, match=f"while it is {entry.status}"):
        office.open(a_case(entry))


def test_an_entry_has_one_open_case_of_a_kind(office: Office) -> None:
    entry = office.entry()
    first = office.open(a_case(entry, "c1"))
    office.open(mismatch(entry, "c2"))
    for another in (a_case(entry, "c3"), mismatch(entry, "c4")):
        with pytest.raises(StepNotAllowed, match=r"disputed already|in question already") as refused:
            office.open(another)
        assert refused.value.metadata["allowed"] == "evidence"
    office.open(a_case(office.entry("k2"), "c5"))
    office.rights.keep_case(resolved(first), LIFTED, note=NOTE)
    office.open(a_case(entry, "c3"))
    assert ["c1", "c2", "c3"] == sorted(each.case_id for each in office.rights.cases_of([entry.entry_id]))


def test_what_is_no_case_is_not_found(office: Office) -> None:
    case = a_case(office.entry())
    for look in (
        lambda: office.rights.case("c9"),
        lambda: office.rights.entry_of("c9"),
        lambda: office.rights.entry_numbered(4_000_000_000),
        lambda: office.rights.cases(after="c9"),
        lambda: office.rights.keep_case(resolved(case), LIFTED, note=NOTE),
    ):
        with pytest.raises(NotFound):
            look()


def test_the_entry_of_a_case_is_given_as_the_registry_gives_it(office: Office) -> None:
    office.open(a_case(office.entry()))
    assert office.entry() == office.rights.entry_of("c1")
    assert office.entry("k2") == office.rights.entry_numbered(office.entry("k2").entry_id)


# --- versions ------------------------------------------------------------


def test_a_version_that_is_not_the_next_is_refused_with_the_present_one(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    for version in (1, 3):
        with pytest.raises(VersionMissed) as missed:
            office.rights.keep_case(msgspec.structs.replace(resolved(case), version=version), LIFTED, note=NOTE)
        assert missed.value.metadata["present"] == "1"
    assert case == office.rights.case("c1")


def test_of_two_who_decide_a_case_at_once_one_misses_the_others_version(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    start = Barrier(2)

    def decide(resolution: Resolution, effect: EntryEffect) -> bool:
        start.wait(10)
        try:
            office.rights.keep_case(resolved(case, resolution), effect, note=NOTE)
        except VersionMissed:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        upheld = pool.submit(decide, Resolution.UPHELD, LIFTED)
        released = pool.submit(decide, Resolution.RELEASED, RELEASED)
        assert upheld.result(30) is not released.result(30)
    status = EntryStatus.RELEASED if released.result() else EntryStatus.IN_FORCE
    assert status == office.entry().status
    assert office.rights.case("c1").version == 2


def test_a_case_whose_effect_fails_is_as_it_was(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    with pytest.raises(ValueError, match="takes more than this"):
        office.rights.keep_case(resolved(case), EntryEffect(steps=(Step.STAY, Step.RENEW)), note=NOTE)
    assert case == office.rights.case("c1")
    assert office.entry().status == EntryStatus.IN_FORCE


# --- the entry ------------------------------------------------------------


def test_an_entry_binds_no_longer_than_until_its_dispute_is_to_be_decided(office: Office) -> None:
    before = office.entry()
    office.open(a_case(before))
    entry = office.entry()
    assert (DECIDE_BY, DECIDE_BY, before.until) == (entry.decide_by, entry.effective_until, entry.until)
    assert {DECIDE_BY} == {each.until for each in office.indexed().values()}


def test_an_entry_that_ends_before_the_decision_ends_when_it_would(office: Office) -> None:
    ends = NOW + DAY_S
    office.put(an_entry("k1", document(1), until=ends))
    office.open(a_case(office.entry()))
    assert (DECIDE_BY, ends) == (office.entry().decide_by, office.entry().effective_until)


def test_an_extension_moves_the_end_of_the_entry(office: Office) -> None:
    later = DECIDE_BY + 15 * DAY_S
    case = office.open(a_case(office.entry()))
    extended = next_version(case, CaseStepKind.EXTEND, decide_by=later, extended=True)
    office.rights.keep_case(extended, EntryEffect(decide_by=later), note=NOTE)
    assert later == office.entry().effective_until


def test_a_case_that_does_not_lapse_leaves_the_end_of_its_entry(office: Office) -> None:
    before = office.entry()
    case = office.open(mismatch(before))
    assert before == office.entry()
    dispute = office.open(a_case(before))
    office.rights.keep_case(resolved(case), EntryEffect(), note=NOTE)
    assert DECIDE_BY == office.entry().decide_by
    office.rights.keep_case(resolved(dispute), LIFTED, note=NOTE)
    assert (0, before.until) == (office.entry().decide_by, office.entry().effective_until)


def test_a_case_stays_its_entry_and_lifts_the_stay(office: Office) -> None:
    case = office.open(a_case(office.entry(), stayed=True), Step.STAY)
    assert office.entry().status == EntryStatus.STAYED
    assert {True} == {each.stayed for each in office.indexed().values()}
    office.rights.keep_case(next_version(case, CaseStepKind.LIFT, stayed=False), LIFTED, note=NOTE)
    assert office.entry().status == EntryStatus.IN_FORCE
    assert ["put", "stay", "dispute", "lift"] == office.steps()


def test_an_entry_is_out_of_force_as_long_as_one_of_its_cases_stays_it(office: Office) -> None:
    entry = office.entry()
    dispute = office.open(a_case(entry, stayed=True), Step.STAY)
    other = office.open(mismatch(entry, stayed=True), Step.STAY)
    dispute = next_version(dispute, CaseStepKind.LIFT, stayed=False)
    office.rights.keep_case(dispute, LIFTED, note=NOTE)
    assert office.entry().status == EntryStatus.STAYED
    office.rights.keep_case(resolved(other), EntryEffect(steps=(Step.LIFT,)), note=NOTE)
    assert office.entry().status == EntryStatus.IN_FORCE


def test_a_release_says_on_which_ground_and_who_has_decided_it(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    office.rights.keep_case(resolved(case, Resolution.RELEASED), RELEASED, note=NOTE)
    last = office.registry.history("court", "k1")[-1]
    told = (last.status, last.ground, last.actor, last.why, last.document)
    assert (EntryStatus.RELEASED, ReleaseGround.OVERTURNED, "rev", "as told", "D-1") == told
    assert office.registry.count_in_force("court") == 1


def test_an_entry_that_should_never_have_been_there_is_withdrawn_and_then_retracted(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    before = office.registry.head()
    office.rights.keep_case(resolved(case, Resolution.WITHDRAWN), IN_ERROR, note=NOTE)
    assert ["withdraw", "retract"] == office.steps()[-2:]
    assert office.entry().status == EntryStatus.IN_ERROR
    assert before + 2 == office.registry.head()


def test_what_can_not_be_done_to_an_entry_any_more_is_passed_over(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    office.step(Step.RELEASE)
    gone = office.entry()
    closed = resolved(case, Resolution.RELEASED)
    office.rights.keep_case(closed, RELEASED, note=NOTE)
    assert closed == office.rights.case("c1")
    assert gone == office.entry()


def test_an_entry_that_has_left_meanwhile_can_still_be_found_wrong(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    office.step(Step.RELEASE)
    office.rights.keep_case(resolved(case, Resolution.WITHDRAWN), IN_ERROR, note=NOTE)
    assert ["release", "retract"] == office.steps()[-2:]


def test_a_case_goes_on_about_an_entry_that_has_left(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    office.step(Step.WITHDRAW)
    gone = office.entry()
    stayed = next_version(case, CaseStepKind.STAY, stayed=True)
    office.rights.keep_case(stayed, STAYED, note=NOTE)
    assert stayed == office.rights.case("c1")
    assert gone == office.entry()


# --- lists of cases ------------------------------------------------------------


def test_cases_come_in_pages_by_the_time_to_decide_them(office: Office) -> None:
    whole = [
        office.open(mismatch(office.entry(), "c4")),
        office.open(a_case(office.entry("k1", "carrier"), "c3", decide_by=NOW + 1)),
        office.open(a_case(office.entry("k2"), "c1", decide_by=NOW + 2)),
        office.open(a_case(office.entry(), "c2", decide_by=NOW + 2)),
    ]
    expected = [msgspec.structs.replace(each, steps=(), evidence=()) for each in whole]
    assert expected == list(office.rights.cases())
    assert expected[:2] == list(office.rights.cases(limit=2))
    assert expected[2:3] == list(office.rights.cases(after="c3", limit=1))
    assert expected[3:] == list(office.rights.cases(after="c1"))
    assert list(office.rights.cases(after="c2")) == []


def test_cases_are_told_apart_by_their_list_and_where_they_stand(office: Office) -> None:
    office.open(a_case(office.entry("k1", "carrier"), "c1"))
    office.rights.keep_case(resolved(office.open(a_case(office.entry(), "c2"))), LIFTED, note=NOTE)
    office.open(a_case(office.entry("k2"), "c3"))

    def found(**wanted: object) -> Sequence[str]:
        return [each.case_id for each in office.rights.cases(**wanted)]  # type: ignore[arg-type]

    assert ["c1", "c3"] == found()
    assert ["c3"] == found(list_name="court")
    assert ["c2"] == found(list_name="court", state=CaseState.RESOLVED)
    assert [] == found(list_name="carrier", state=CaseState.LAPSED)


def test_an_entrys_cases_come_whole_and_oldest_first(office: Office) -> None:
    later = office.open(a_case(office.entry(), "c1", opened_at=NOW + 2.0))
    sooner = office.open(mismatch(office.entry(), "c2", opened_at=NOW + 1.0))
    other = office.open(a_case(office.entry("k2"), "c3", opened_at=NOW + 3.0))
    both = [office.entry().entry_id, office.entry("k2").entry_id]
    assert [sooner, later, other] == list(office.rights.cases_of(both))
    assert [other] == list(office.rights.cases_of(both[1:]))
    assert list(office.rights.cases_of([])) == []


def test_disputes_are_undecided_from_their_very_second(office: Office) -> None:
    second = office.open(a_case(office.entry(), "c1", decide_by=NOW + 20))
    first = office.open(a_case(office.entry("k2"), "c2", decide_by=NOW + 10))
    office.open(mismatch(office.entry(), "c3"))
    closed = office.open(a_case(office.entry("k1", "carrier"), "c4", decide_by=NOW + 5))
    office.rights.keep_case(resolved(closed), LIFTED, note=NOTE)
    assert [] == list(office.rights.undecided(NOW + 9.9))
    assert [first] == list(office.rights.undecided(NOW + 10.0))
    assert [first] == list(office.rights.undecided(NOW + 19.9))
    assert [first, second] == list(office.rights.undecided(NOW + 20.0))
    assert [first] == list(office.rights.undecided(NOW + 20.0, limit=1))


def test_closed_cases_are_counted_by_month_list_kind_and_end(office: Office) -> None:
    november, december = (datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (11, 12))
    ends = [
        (office.entry(), Resolution.UPHELD, december - 1),
        (office.entry(), Resolution.UPHELD, november),
        (office.entry("k2"), Resolution.UPHELD, december),
        (office.entry("k1", "carrier"), Resolution.CLEARED, november),
    ]
    for number, (entry, end, closed_at) in enumerate(ends):
        case = office.open(a_case(entry, f"c{number}"))
        office.rights.keep_case(resolved(case, end, closed_at=closed_at), LIFTED, note=NOTE)
    lapsed = next_version(
        office.open(a_case(office.entry(), "c8")), CaseStepKind.LAPSE, state=CaseState.LAPSED, closed_at=november
    )
    office.rights.keep_case(lapsed, EntryEffect(steps=(Step.RELEASE,), decide_by=0), note=NOTE)
    office.open(a_case(office.entry("k2"), "c9"))

    def count(month: str, list_name: str, end: str, number: int) -> CaseCount:
        return CaseCount(month=month, list=list_name, kind="DISPUTE", end=end, count=number)

    assert [
        count("2026-11", "carrier", "CLEARED", 1),
        count("2026-11", "court", "LAPSED", 1),
        count("2026-11", "court", "UPHELD", 2),
        count("2026-12", "court", "UPHELD", 1),
    ] == list(office.rights.counted())


def test_a_lapsed_dispute_releases_its_entry_long_after_it_has_ended(office: Office) -> None:
    case = office.open(a_case(office.entry()))
    office.clock.time = NOW + YEAR_S / 2
    lapsed = next_version(case, CaseStepKind.LAPSE, state=CaseState.LAPSED, closed_at=office.clock.time)
    effect = EntryEffect(steps=(Step.RELEASE,), decide_by=0, ground=ReleaseGround.DISPUTE_LAPSED)
    office.rights.keep_case(lapsed, effect, note=NOTE)
    last = office.registry.history("court", "k1")[-1]
    assert (EntryStatus.RELEASED, ReleaseGround.DISPUTE_LAPSED) == (last.status, last.ground)


# --- a file that leaves a disputed entry out ------------------------------------------------------------


@pytest.mark.parametrize("decided", [False, True])
def test_a_stay_outlasts_a_file_without_its_entry_until_its_case_is_decided(office: Office, *, decided: bool) -> None:
    case = office.open(a_case(office.entry(), stayed=True), Step.STAY)
    assert EntryStatus.STAYED == office.entry().status
    import_rows(office.registry, [an_entry("k2", document(2))])
    assert EntryStatus.WITHDRAWN == office.entry().status
    if decided:
        office.rights.keep_case(resolved(case), LIFTED, note=NOTE)
    import_rows(office.registry, [an_entry("k1", document(1))], full=False)
    assert (EntryStatus.IN_FORCE if decided else EntryStatus.STAYED) == office.entry().status
