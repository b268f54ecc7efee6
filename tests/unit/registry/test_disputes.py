"""The desk of disputes over a registry in SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from portcullis.domain import dispute_rules as rules
from portcullis.domain.disputes import Case, CaseKind, CaseState, DisputeGround, EntryEffect, Resolution
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import (
    InvalidRequest,
    NotFound,
    PortcullisError,
    SecondPersonRequired,
    StepNotAllowed,
    VersionMissed,
)
from portcullis.domain.roles import Role
from portcullis.ports import CaseView, EntryQuery, SubjectSession
from portcullis.registry.disputes import Disputes
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.registry_entries import an_entry, document
from tests.support.rights_homes import RightsHome, rights_home

DAY_S = 86_400
OWN, OTHER = document(1), document(2)
REFERENCE = "(2090) Demo k1"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[RightsHome]:
    with rights_home(tmp_path, a_list("court"), a_list("carrier", stays_on_dispute=True, extension_days=0)) as made:
        made.put("k1", OWN)
        made.put("k2", OTHER)
        made.give_key("rita")
        made.give_key("rob")
        yield made


@pytest.fixture
def desk(home: RightsHome) -> Disputes:
    return Disputes(home.registry, home.registry, home.rights, clock=home.clock)


def dispute(desk: Disputes, by: SubjectSession | str, **changes: Any) -> CaseView:
    values: dict[str, Any] = {
        "list_name": "court",
        "case_reference": REFERENCE if isinstance(by, SubjectSession) else "",
        "key": "" if isinstance(by, SubjectSession) else "k1",
        "ground": DisputeGround.PERFORMED,
        "evidence": ("receipt/1",),
        "by": by,
    }
    return desk.open_dispute(**(values | changes))


def assigned(desk: Disputes, by: SubjectSession | str = "otto", **changes: Any) -> str:
    """Open a case that rita reviews; gives its id."""
    case_id = dispute(desk, by, **changes).case.case_id
    desk.assign(case_id, "rita", actor="otto", expected_version=0)
    return case_id


def resolved(desk: Disputes, case_id: str, resolution: Resolution) -> CaseView:
    return desk.resolve(case_id, resolution, why="read the file", document="J-1", actor="rita", expected_version=0)


def import_all(home: RightsHome, *entries: Entry) -> None:
    """Import the whole court's list."""
    with home.registry.begin_import("court", actor="ann") as session:
        session.stage(entries)
        session.commit(full=True)


def text_of(call: Callable[[], object]) -> str:
    with pytest.raises(NotFound) as caught:
        call()
    return str(caught.value)


def test_a_subject_disputes_an_entry_of_theirs_by_list_and_case_reference_alone(home: RightsHome, desk: Disputes) -> None:
    view = dispute(desk, home.session_of(OWN))

    assert ("k1", NOW + 30 * DAY_S) == (view.entry.key, view.entry.effective_until)
    assert (CaseKind.DISPUTE, NOW + 30 * DAY_S, 16) == (view.case.kind, view.case.decide_by, len(view.case.case_id))
    assert [("receipt/1", "subject")] == [(each.reference, each.added_by) for each in view.case.evidence]
    assert {view.entry.entry_id} < home.in_force()
    home.clock.advance(30 * DAY_S)
    assert view.entry.entry_id not in home.in_force()


def test_a_subject_may_name_the_list_by_its_title_as_the_notice_does(home: RightsHome, desk: Disputes) -> None:
    (court,) = (each for each in home.registry.policy().lists if each.name == "court")

    assert "court" == dispute(desk, home.session_of(OWN), list_name=court.title).case.list
    text_of(lambda: dispute(desk, home.session_of(OTHER), list_name=court.title))


def test_an_entry_of_another_person_is_as_one_that_is_not_there(home: RightsHome, desk: Disputes) -> None:
    session = home.session_of(OTHER)
    foreign = text_of(lambda: dispute(desk, session))
    absent = text_of(lambda: dispute(desk, session, case_reference="(2090) None"))
    elsewhere = text_of(lambda: dispute(desk, session, list_name="nowhere"))
    assert foreign == absent == elsewhere


def test_a_case_of_another_person_is_as_one_that_is_not_there(home: RightsHome, desk: Disputes) -> None:
    case_id = dispute(desk, home.session_of(OWN)).case.case_id
    session = home.session_of(OTHER)

    foreign, absent = (text_of(lambda name=name: desk.case(name, by=session)) for name in (case_id, "x" * 16))  # type: ignore[misc]
    added = text_of(lambda: desk.add_evidence(case_id, "receipt/2", by=session))

    assert foreign == absent == added
    assert case_id == desk.case(case_id, by=home.session_of(OWN)).case.case_id


def test_a_subject_does_not_see_a_case_that_a_partner_has_opened(home: RightsHome, desk: Disputes) -> None:
    entry_id = home.registry.entry("court", "k1").entry_id
    reported = Case(
        case_id="m" * 16,
        list="court",
        entry_id=entry_id,
        kind=CaseKind.IDENTITY_MISMATCH,
        ground=None,
        opened_at=NOW,
        tell_source_by=NOW,
    )
    home.rights.open_case(reported, EntryEffect(), note=StepNote(actor="portcullis:keeper"))

    text_of(lambda: desk.case("m" * 16, by=home.session_of(OWN)))
    assert entry_id == desk.case("m" * 16, by="otto").entry.entry_id


def test_of_several_entries_of_one_reference_a_listed_one_is_disputed(home: RightsHome, desk: Disputes) -> None:
    home.registry.withdraw_entry("court", "k1", reason="an error", actor="ann")
    home.put("k3", OWN, case_reference=REFERENCE)
    assert "k3" == dispute(desk, home.session_of(OWN)).entry.key


def test_each_of_several_entries_of_one_reference_can_be_disputed(home: RightsHome, desk: Disputes) -> None:
    home.put("k3", OWN, case_reference=REFERENCE)
    keys = [dispute(desk, home.session_of(OWN)).entry.key for _ in range(2)]
    assert ["k1", "k3"] == keys
    with pytest.raises(StepNotAllowed):
        dispute(desk, home.session_of(OWN))


def test_an_entry_that_has_left_its_list_or_is_disputed_already_is_not_disputed(home: RightsHome, desk: Disputes) -> None:
    dispute(desk, "otto")
    with pytest.raises(StepNotAllowed, match="open"):
        dispute(desk, "otto")
    home.registry.withdraw_entry("court", "k2", reason="an error", actor="ann")
    with pytest.raises(StepNotAllowed, match="open"):
        dispute(desk, "otto", key="k2")


def test_somebody_else_opens_a_dispute_by_the_key_of_the_entry(home: RightsHome, desk: Disputes) -> None:
    assert "otto" == dispute(desk, "otto").case.steps[0].actor
    text_of(lambda: dispute(desk, "otto", key="absent"))
    text_of(lambda: dispute(desk, "otto", list_name="nowhere"))


def test_a_list_may_stay_at_once(home: RightsHome, desk: Disputes) -> None:
    home.put("k1", OWN, list="carrier")
    view = dispute(desk, "otto", list_name="carrier")

    assert (EntryStatus.STAYED, True) == (view.entry.status, view.case.stayed)
    assert set() == home.in_force("carrier")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"evidence": ["a text, no reference"]}, r"evidence\[0\]"),
        ({"evidence": [f"d/{number}" for number in range(17)]}, "evidence"),
        ({"evidence": ["one", ""]}, r"evidence\[1\]"),
    ],
)
def test_evidence_is_references_alone(home: RightsHome, desk: Disputes, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest, match=field):
        dispute(desk, "otto", **changes)
    case_id = dispute(desk, "otto").case.case_id
    with pytest.raises(InvalidRequest, match="reference"):
        desk.add_evidence(case_id, "N0000 0001", by="otto")


def test_the_reviewer_holds_a_key_for_it_and_has_not_approved_the_entry(home: RightsHome, desk: Disputes) -> None:
    home.give_key("ann")
    home.give_key("opal", Role.OPERATOR)
    home.give_key("rex", lists=["carrier"])
    gone = home.give_key("ray")
    home.registry.revoke_key(gone.key_id, at=NOW, actor="otto")
    case_id = dispute(desk, "otto").case.case_id

    for name in ("nobody", "opal", "rex", "ray"):
        with pytest.raises(InvalidRequest, match="reviewer: nobody of this name"):
            desk.assign(case_id, name, actor="otto", expected_version=0)
    with pytest.raises(SecondPersonRequired, match="ann"):
        desk.assign(case_id, "ann", actor="otto", expected_version=0)
    assert "rita" == desk.assign(case_id, "rita", actor="otto", expected_version=1).case.reviewer


def test_who_has_amended_or_imported_the_entry_does_not_review_it(home: RightsHome, desk: Disputes) -> None:
    case_id = assigned(desk)
    home.put_entry(an_entry("k1", OWN, document(9)), actor="rita")

    with pytest.raises(SecondPersonRequired, match="rita"):
        resolved(desk, case_id, Resolution.UPHELD)
    with home.registry.begin_import("court", actor="rob") as session:
        session.stage([an_entry("k1", OWN, document(8))])
        session.commit(full=False)
    with pytest.raises(SecondPersonRequired, match="rob"):
        desk.assign(case_id, "rob", actor="otto", expected_version=0)


def test_stay_and_lift_reach_the_index_at_once(home: RightsHome, desk: Disputes) -> None:
    case_id = assigned(desk)
    entry_id = home.registry.entry("court", "k1").entry_id

    stayed = desk.stay(case_id, why="looks right", actor="rita", expected_version=2)
    assert (EntryStatus.STAYED, True) == (stayed.entry.status, stayed.case.stayed)
    assert entry_id not in home.in_force()

    lifted = desk.lift(case_id, why="it was not", actor="rita", expected_version=3)
    assert (EntryStatus.IN_FORCE, False) == (lifted.entry.status, lifted.case.stayed)
    assert entry_id in home.in_force()


@pytest.mark.parametrize(
    ("resolution", "status", "steps"),
    [
        (Resolution.UPHELD, EntryStatus.IN_FORCE, ["stay", "lift"]),
        (Resolution.CLEARED, EntryStatus.IN_FORCE, ["stay", "lift"]),
        (Resolution.RELEASED, EntryStatus.RELEASED, ["stay", "release"]),
        (Resolution.WITHDRAWN, EntryStatus.IN_ERROR, ["stay", "withdraw", "retract"]),
    ],
)
def test_a_decision_is_carried_out_in_the_entry(
    home: RightsHome, desk: Disputes, resolution: Resolution, status: EntryStatus, steps: list[str]
) -> None:
    case_id = assigned(desk)
    desk.stay(case_id, why="looks right", actor="rita", expected_version=0)

    view = resolved(desk, case_id, resolution)

    assert (CaseState.RESOLVED, resolution, status) == (view.case.state, view.case.resolution, view.entry.status)
    taken = [each for each in home.registry.history("court", "k1") if each.step in set(Step)]
    assert steps == [each.step for each in taken if each.step != Step.PUT]
    assert {("rita", "read the file", "J-1")} == {(each.actor, each.why, each.document) for each in taken[2:]}
    still = {view.entry.entry_id} if status is EntryStatus.IN_FORCE else set()
    assert still == home.in_force() - {home.registry.entry("court", "k2").entry_id}


@pytest.mark.parametrize("resolution", [Resolution.RELEASED, Resolution.WITHDRAWN])
def test_an_entry_that_is_listed_again_after_its_dispute_binds_until_its_own_end(
    home: RightsHome, desk: Disputes, resolution: Resolution
) -> None:
    resolved(desk, assigned(desk), resolution)
    home.clock.advance(60 * DAY_S)
    entry = home.put("k1", OWN)
    assert (0, NOW + YEAR_S) == (entry.decide_by, entry.effective_until)
    assert entry.entry_id in home.in_force()


def test_an_entry_that_is_listed_again_while_its_dispute_is_open_binds_no_longer_than_that(
    home: RightsHome, desk: Disputes
) -> None:
    dispute(desk, "otto")
    home.registry.withdraw_entry("court", "k1", reason="an error", actor="ann")
    assert NOW + 30 * DAY_S == home.put("k1", OWN).effective_until


@pytest.mark.parametrize("decided", [False, True])
def test_an_entry_that_an_import_brings_back_is_bound_by_its_open_dispute_alone(
    home: RightsHome, desk: Disputes, decided: bool
) -> None:
    case_id = assigned(desk)
    for rows in ([an_entry("k2", OTHER)], [an_entry("k1", OWN), an_entry("k2", OTHER)]):
        if decided and len(rows) > 1:
            resolved(desk, case_id, Resolution.UPHELD)
        import_all(home, *rows)
    entry = home.registry.entry("court", "k1")
    assert NOW + (YEAR_S if decided else 30 * DAY_S) == entry.effective_until
    assert EntryStatus.IN_FORCE == entry.status


@pytest.mark.parametrize("decided", [False, True])
def test_no_import_brings_back_an_entry_whose_dispute_was_lost_while_a_file_left_it_out(
    home: RightsHome, desk: Disputes, decided: bool
) -> None:
    case_id = assigned(desk)
    import_all(home, an_entry("k2", OTHER))
    if decided:
        resolved(desk, case_id, Resolution.RELEASED)
    else:
        home.clock.advance(31 * DAY_S)
        after, effect = rules.lapse(home.rights.case(case_id), actor="keeper", now=home.clock.now())
        home.rights.keep_case(after, effect, note=StepNote(actor="keeper"))
    import_all(home, an_entry("k1", OWN), an_entry("k2", OTHER))

    assert home.registry.entry("court", "k1").entry_id not in home.in_force()
    last = home.registry.history("court", "k1")[-1]
    ground = ReleaseGround.OVERTURNED if decided else ReleaseGround.DISPUTE_LAPSED
    assert ("release", EntryStatus.WITHDRAWN, ground) == (last.step, last.status, last.ground)


@pytest.mark.parametrize("resolution", [Resolution.RELEASED, Resolution.WITHDRAWN])
def test_no_import_lists_an_entry_whose_dispute_was_lost_while_it_waited_to_be_listed_again(
    home: RightsHome, desk: Disputes, resolution: Resolution
) -> None:
    case_id = assigned(desk)
    import_all(home, an_entry("k2", OTHER))
    home.registry.put(an_entry("k1", OWN), note=StepNote(actor="ann"), four_eyes=True)
    resolved(desk, case_id, resolution)
    import_all(home, an_entry("k1", OWN), an_entry("k2", OTHER))

    assert EntryStatus.PROPOSED == home.registry.entry("court", "k1").status


@pytest.mark.parametrize("in_bulk", [False, True])
def test_an_entry_that_is_proposed_again_is_stayed_as_its_open_case_says(
    home: RightsHome, desk: Disputes, in_bulk: bool
) -> None:
    case_id = assigned(desk)
    desk.stay(case_id, why="looks right", actor="rita", expected_version=0)
    home.registry.withdraw_entry("court", "k1", reason="an error", actor="ann")
    home.registry.put(an_entry("k1", OWN), note=StepNote(actor="ann"), four_eyes=True)
    (waits,) = home.registry.proposals()
    if in_bulk:
        query = EntryQuery(list="court")
        plan = home.registry.matching(Step.APPROVE, query, actor="bob")
        home.registry.bulk(Step.APPROVE, query, digest=plan.digest, note=StepNote(actor="bob"))
    else:
        home.registry.step("court", "k1", Step.APPROVE, note=StepNote(actor="bob"))

    entry = home.registry.entry("court", "k1")
    assert (EntryStatus.STAYED, NOW + 30 * DAY_S) == (entry.status, entry.effective_until)
    # Whoever approved it was shown that.
    assert (entry.status, entry.effective_until) == (waits.proposed.status, waits.proposed.effective_until)


def test_an_upheld_entry_binds_until_its_own_end_again(home: RightsHome, desk: Disputes) -> None:
    view = resolved(desk, assigned(desk), Resolution.UPHELD)
    assert NOW + YEAR_S == view.entry.effective_until


def test_the_deadline_is_put_off_once_in_entry_and_case(home: RightsHome, desk: Disputes) -> None:
    case_id = assigned(desk)
    view = desk.extend(case_id, why="the court is slow", actor="rita", expected_version=0)

    assert NOW + 45 * DAY_S == view.case.decide_by == view.entry.effective_until
    with pytest.raises(StepNotAllowed, match="extended"):
        desk.extend(case_id, why="again", actor="rita", expected_version=0)


def test_after_the_deadline_nobody_decides_any_more(home: RightsHome, desk: Disputes) -> None:
    case_id = assigned(desk)
    home.clock.advance(30 * DAY_S)
    with pytest.raises(StepNotAllowed, match="what can be done: lapse"):
        resolved(desk, case_id, Resolution.UPHELD)


def test_who_acts_on_a_version_that_is_not_the_present_one_is_told(home: RightsHome, desk: Disputes) -> None:
    case_id = assigned(desk)
    with pytest.raises(VersionMissed, match="expected_version: 1"):
        desk.stay(case_id, why="x", actor="rita", expected_version=1)


def test_who_expects_no_version_is_tried_again(home: RightsHome, desk: Disputes, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = assigned(desk)
    keep, meanwhile = home.rights.keep_case, iter(["a", "b"])

    def another_first(case: Case, effect: Any, *, note: StepNote) -> Case:
        if reference := next(meanwhile, ""):
            monkeypatch.setattr(home.rights, "keep_case", keep)
            desk.add_evidence(case_id, reference, by="otto")
            monkeypatch.setattr(home.rights, "keep_case", another_first)
        return keep(case, effect, note=note)

    monkeypatch.setattr(home.rights, "keep_case", another_first)
    assert "rob" == desk.assign(case_id, "rob", actor="otto", expected_version=0).case.reviewer
    meanwhile = iter(["c"])
    with pytest.raises(VersionMissed):
        desk.assign(case_id, "rita", actor="otto", expected_version=5)


def test_the_source_is_told_with_a_letter(home: RightsHome, desk: Disputes) -> None:
    case = desk.tell_source(dispute(desk, "otto").case.case_id, document="letter 9", actor="otto").case
    assert (NOW, "letter 9") == (case.source_told_at, case.steps[-1].document)


def test_a_look_at_a_case_is_a_look_at_its_entry(home: RightsHome, desk: Disputes) -> None:
    case_id = dispute(desk, "otto").case.case_id
    desk.case(case_id, by="rita")
    desk.case(case_id, by=home.session_of(OWN))
    desk.cases(list_name="", state=CaseState.OPEN, page_size=0, page_token="", actor="audrey")
    looks = [(each.actor, each.purpose) for each in home.registry.looks("court", "k1")]
    assert [("rita", "dispute"), ("subject", "dispute"), ("audrey", "dispute")] == looks


def test_cases_are_given_in_pages_of_one_question(home: RightsHome, desk: Disputes) -> None:
    ids = []
    for number in range(5):
        home.put(f"p{number}", document(50 + number))
        ids.append(dispute(desk, "otto", key=f"p{number}").case.case_id)
        home.clock.advance(10)
    seen: list[str] = []
    token = ""
    while True:
        page, token = desk.cases(list_name="court", state=CaseState.OPEN, page_size=2, page_token=token, actor="otto")
        seen += [view.case.case_id for view in page]
        if not token:
            break
        other: dict[str, Any] = {"page_size": 2, "page_token": token, "actor": "otto"}
        with pytest.raises(InvalidRequest, match="page_token"):
            desk.cases(list_name="court", state=CaseState.LAPSED, **other)
    assert ids == seen


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"page_size": -1}, InvalidRequest),
        ({"page_size": 1001}, InvalidRequest),
        ({"page_token": "nonsense"}, InvalidRequest),
        ({"page_token": "é"}, InvalidRequest),
        ({"list_name": "nowhere"}, NotFound),
    ],
)
def test_a_question_that_can_not_be_answered_is_refused(
    desk: Disputes, changes: dict[str, Any], error: type[PortcullisError]
) -> None:
    values: dict[str, Any] = {"list_name": "", "state": CaseState.OPEN, "page_size": 0, "page_token": "", "actor": "otto"}
    with pytest.raises(error):
        desk.cases(**(values | changes))


@pytest.mark.parametrize("why", ["", "  ", "x" * 257, "two\nlines"])
def test_a_reason_is_one_line(home: RightsHome, desk: Disputes, why: str) -> None:
    case_id = assigned(desk)
    calls: Sequence[Callable[[], object]] = (
        lambda: desk.stay(case_id, why=why, actor="rita", expected_version=0),
        lambda: desk.lift(case_id, why=why, actor="rita", expected_version=0),
        lambda: desk.extend(case_id, why=why, actor="rita", expected_version=0),
        lambda: desk.resolve(case_id, Resolution.UPHELD, why=why, document="", actor="rita", expected_version=0),
    )
    for call in calls:
        with pytest.raises(InvalidRequest, match="why"):
            call()
    with pytest.raises(InvalidRequest, match="document"):
        desk.tell_source(case_id, document="x" * 129, actor="otto")
