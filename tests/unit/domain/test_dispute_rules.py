"""What may be done in a case, when and by whom, and what it does to the entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from portcullis.domain.dispute_rules import (
    MAX_EVIDENCE,
    Changed,
    add_evidence,
    allowed_steps,
    approvers,
    assign,
    extend,
    has_run_out,
    is_source_overdue,
    lapse,
    lift,
    open_case,
    resolve,
    stay,
    tell_source,
)
from portcullis.domain.disputes import Case, CaseKind, CaseState, CaseStepKind, DisputeGround, EntryEffect, Resolution
from portcullis.domain.entry_life import ReleaseGround, Step
from portcullis.domain.errors import InvalidRequest, SecondPersonRequired, StepNotAllowed
from portcullis.domain.working_days import add_working_days
from tests.support.policies import NOW, a_list

DAY_S = 86_400
TERM_S = 30 * DAY_S
COURT = a_list("court", calendar="CN")
APPROVED_BY = frozenset({"ann", "bob"})
REVIEWER = "rita"


def opened(on: Any = COURT, **changes: Any) -> tuple[Case, EntryEffect]:
    values: dict[str, Any] = {
        "case_id": "c" * 16,
        "entry_id": 7,
        "kind": CaseKind.DISPUTE,
        "ground": DisputeGround.PERFORMED,
        "evidence": (),
        "actor": "subject",
        "now": NOW + 0.75,
    }
    return open_case(on, **(values | changes))


def a_case(on: Any = COURT, **changes: Any) -> Case:
    return opened(on, **changes)[0]


def reviewed(**changes: Any) -> Case:
    return assign(a_case(**changes), REVIEWER, approved_by=APPROVED_BY, actor="otto", now=NOW + 10)[0]


def effect_of(changed: Changed) -> EntryEffect:
    effect = changed[1]
    assert effect is not None
    return effect


def decided(case: Case, resolution: Resolution, now: float = NOW + 20) -> Changed:
    return resolve(case, resolution, why="read the file", document="J-1", approved_by=APPROVED_BY, actor=REVIEWER, now=now)


def test_the_clocks_run_from_the_opening_by_the_terms_of_the_list() -> None:
    case, effect = opened(a_list("court", calendar="CN", source_told_days=3, decided_days=20))

    assert NOW + 20 * DAY_S == case.decide_by == effect.decide_by
    assert add_working_days(NOW + 0.75, 3, "CN") == case.tell_source_by
    assert (1, CaseState.OPEN, (), False) == (case.version, case.state, effect.steps, case.stayed)
    assert [CaseStepKind.OPEN] == [each.step for each in case.steps]


def test_a_list_may_stay_its_entries_from_the_first_minute() -> None:
    case, effect = opened(a_list("court", stays_on_dispute=True))
    assert case.stayed
    assert (Step.STAY,) == effect.steps


def test_who_objects_again_after_a_dispute_was_upheld_waits_for_a_reviewer() -> None:
    on = a_list("court", stays_on_dispute=True)
    for resolution, stays in ((Resolution.UPHELD, False), (Resolution.CLEARED, True)):
        earlier = decided(with_reviewer(opened(on)[0]), resolution)[0]
        case, effect = opened(on, earlier=(earlier,))
        assert (stays, (Step.STAY,) if stays else ()) == (case.stayed, effect.steps)
        assert CaseStepKind.STAY in allowed_steps(case, NOW) or stays


def test_a_reported_mismatch_neither_stays_at_once_nor_lapses() -> None:
    case, effect = opened(
        a_list("court", stays_on_dispute=True), kind=CaseKind.IDENTITY_MISMATCH, ground=None, evidence=("event:lender/e-1",)
    )
    assert EntryEffect() == effect
    assert (0, False) == (case.decide_by, case.stayed)
    assert not has_run_out(case, NOW + 1e9)
    assert CaseStepKind.EXTEND not in allowed_steps(with_reviewer(case), NOW)


def with_reviewer(case: Case) -> Case:
    return assign(case, REVIEWER, approved_by=(), actor="otto", now=NOW)[0]


def test_each_change_is_a_version_and_a_step() -> None:
    case, _ = add_evidence(a_case(), "receipt/1", actor="subject", now=NOW + 1)
    case, _ = tell_source(case, document="letter/9", actor="otto", now=NOW + 2)
    case, _ = assign(case, REVIEWER, approved_by=APPROVED_BY, actor="otto", now=NOW + 3)
    case, _ = stay(case, why="looks right", actor=REVIEWER, now=NOW + 4)
    case, _ = lift(case, why="was not", approved_by=APPROVED_BY, actor=REVIEWER, now=NOW + 5)
    case, _ = extend(case, COURT, why="the court is slow", approved_by=APPROVED_BY, actor=REVIEWER, now=NOW + 6)
    case, _ = decided(case, Resolution.UPHELD, NOW + 7)

    assert ["open", "evidence", "tell-source", "assign", "stay", "lift", "extend", "resolve"] == [
        each.step for each in case.steps
    ]
    assert len(case.steps) == case.version
    assert [("subject", "receipt/1"), ("otto", "letter/9")] == [(each.actor, each.document) for each in case.steps[1:3]]
    assert (NOW + 2, NOW + 7, REVIEWER) == (case.source_told_at, case.closed_at, case.reviewer)


def test_the_same_document_again_changes_nothing() -> None:
    case, _ = add_evidence(a_case(evidence=("one", "two", "one")), "three", actor="subject", now=NOW)
    again, effect = add_evidence(case, "two", actor="otto", now=NOW + 1)

    assert case is again
    assert effect is None
    assert ["one", "two", "three"] == [each.reference for each in case.evidence]


def test_a_case_has_so_many_documents_and_no_more() -> None:
    case = a_case(evidence=[f"d/{number}" for number in range(MAX_EVIDENCE)])
    with pytest.raises(InvalidRequest, match="reference"):
        add_evidence(case, "another", actor="subject", now=NOW)


def test_stay_and_lift_take_the_entry_out_of_force_and_put_it_back() -> None:
    stayed, effect = stay(a_case(), why="x", actor="rob", now=NOW)
    assert EntryEffect(steps=(Step.STAY,), decide_by=NOW + TERM_S) == effect
    lifted, effect = lift(stayed, why="x", approved_by=APPROVED_BY, actor="rob", now=NOW)
    assert EntryEffect(steps=(Step.LIFT,), decide_by=NOW + TERM_S) == effect
    assert (True, False) == (stayed.stayed, lifted.stayed)


@pytest.mark.parametrize(
    ("resolution", "stayed", "steps", "ground"),
    [
        (Resolution.UPHELD, False, (), ""),
        (Resolution.UPHELD, True, (Step.LIFT,), ""),
        (Resolution.CLEARED, False, (), ""),
        (Resolution.CLEARED, True, (Step.LIFT,), ""),
        (Resolution.RELEASED, False, (Step.RELEASE,), ReleaseGround.OVERTURNED),
        (Resolution.RELEASED, True, (Step.RELEASE,), ReleaseGround.OVERTURNED),
        (Resolution.WITHDRAWN, False, (Step.WITHDRAW, Step.RETRACT), ""),
        (Resolution.WITHDRAWN, True, (Step.WITHDRAW, Step.RETRACT), ""),
    ],
)
def test_a_decision_does_to_the_entry_what_it_says(
    resolution: Resolution, stayed: bool, steps: tuple[Step, ...], ground: str
) -> None:
    case = reviewed()
    if stayed:
        case, _ = stay(case, why="x", actor=REVIEWER, now=NOW + 15)

    after, effect = decided(case, resolution)

    assert EntryEffect(steps=steps, decide_by=0, ground=ground) == effect
    assert (CaseState.RESOLVED, resolution, False) == (after.state, after.resolution, after.stayed)
    assert () == allowed_steps(after, NOW + 21)


def test_the_time_to_decide_is_put_off_once_and_with_a_reason() -> None:
    after, effect = extend(reviewed(), COURT, why="slow", approved_by=APPROVED_BY, actor=REVIEWER, now=NOW + 20)

    assert NOW + TERM_S + 15 * DAY_S == after.decide_by == effect_of((after, effect)).decide_by
    with pytest.raises(StepNotAllowed, match="extended; what can be done: assign, evidence, resolve, stay, tell-source"):
        extend(after, COURT, why="slow", approved_by=APPROVED_BY, actor=REVIEWER, now=NOW + 21)
    with pytest.raises(InvalidRequest, match="why"):
        extend(reviewed(), COURT, why=" ", approved_by=APPROVED_BY, actor=REVIEWER, now=NOW + 20)


def test_a_list_without_extensions_gives_none() -> None:
    with pytest.raises(StepNotAllowed, match="a list without extensions; what can be done: assign, evidence, resolve, stay"):
        extend(reviewed(), a_list(extension_days=0), why="slow", approved_by=APPROVED_BY, actor=REVIEWER, now=NOW + 20)


def test_at_the_deadline_nothing_but_the_lapse_can_be_noted() -> None:
    case = reviewed()
    ends = case.decide_by
    before, at_the_end = ends - 0.001, float(ends)

    assert CaseStepKind.RESOLVE in allowed_steps(case, before)
    assert (CaseStepKind.LAPSE,) == allowed_steps(case, at_the_end)
    for step in steps_of(case, at_the_end).values():
        with pytest.raises(StepNotAllowed, match="past the time to decide it; what can be done: lapse"):
            step()
    with pytest.raises(StepNotAllowed, match="lapse: can't be done while it is open"):
        lapse(case, actor="keeper", now=before)


def test_a_lapse_releases_the_entry_stayed_or_not() -> None:
    for case in (a_case(), a_case(a_list(stays_on_dispute=True))):
        after, effect = lapse(case, actor="keeper", now=case.decide_by)
        assert EntryEffect(steps=(Step.RELEASE,), ground=ReleaseGround.DISPUTE_LAPSED) == effect
        assert (CaseState.LAPSED, False, None) == (after.state, after.stayed, after.resolution)


def test_a_closed_case_stays_as_it_is() -> None:
    case, _ = decided(reviewed(), Resolution.UPHELD)
    for step in steps_of(case, NOW + 30).values():
        with pytest.raises(StepNotAllowed, match="while it is resolved; what can be done: none"):
            step()


def test_a_case_without_a_reviewer_can_neither_be_decided_nor_extended() -> None:
    for name in ("extend", "resolve"):
        with pytest.raises(StepNotAllowed, match="open, without a reviewer; what can be done: assign, evidence, stay, tell"):
            steps_of(a_case(), NOW + 1)[name]()


def test_the_source_is_told_once_and_late_rather_than_never() -> None:
    case = a_case()
    late = case.tell_source_by
    assert not is_source_overdue(case, late - 1)
    assert is_source_overdue(case, late)

    told, _ = tell_source(case, document="letter", actor="otto", now=late + 1)
    assert not is_source_overdue(told, late + 2)
    with pytest.raises(StepNotAllowed, match="tell-source"):
        tell_source(told, document="letter", actor="otto", now=late + 2)


def test_nobody_reviews_an_entry_that_they_have_put_proposed_imported_or_approved() -> None:
    steps = [("propose", "eve"), ("approve", "ann"), ("put", "cy"), ("stay", "dan"), ("release", "fay")]
    history = [*((*step, "") for step in steps), ("import", "bob", "gil")]
    assert {"eve", "ann", "bob", "gil", "cy"} == approvers(history)
    for name in ("ann", "Ann"):
        with pytest.raises(SecondPersonRequired, match=f"{name} has put"):
            assign(a_case(), name, approved_by=APPROVED_BY, actor="otto", now=NOW)


def test_a_reviewer_who_has_approved_the_entry_since_decides_no_more() -> None:
    for name in ("extend", "resolve", "lift"):
        case, _ = stay(reviewed(), why="x", actor=REVIEWER, now=NOW + 11)
        with pytest.raises(SecondPersonRequired):
            steps_of(case, NOW + 20, approved_by={REVIEWER})[name]()


def test_once_a_reviewer_is_named_nobody_else_stays_lifts_extends_or_decides() -> None:
    free, (stayed, _) = reviewed(), stay(reviewed(), why="x", actor=REVIEWER, now=NOW + 11)
    for case, name in ((free, "stay"), (free, "extend"), (free, "resolve"), (stayed, "lift")):
        with pytest.raises(SecondPersonRequired, match=REVIEWER):
            steps_of(case, NOW + 20, actor="rob")[name]()


def test_before_that_any_reviewer_stays_and_one_who_has_not_approved_lifts() -> None:
    case, _ = stay(a_case(), why="x", actor="ann", now=NOW + 1)
    with pytest.raises(SecondPersonRequired, match="ann"):
        lift(case, why="x", approved_by=APPROVED_BY, actor="ann", now=NOW + 2)
    assert not lift(case, why="x", approved_by=APPROVED_BY, actor="rob", now=NOW + 2)[0].stayed


def steps_of(
    case: Case, now: float, *, actor: str = REVIEWER, approved_by: Any = APPROVED_BY
) -> dict[str, Callable[[], Changed]]:
    """Everything that a person can try in a case."""
    judged: dict[str, Any] = {"approved_by": approved_by, "actor": actor, "now": now}
    return {
        "evidence": lambda: add_evidence(case, "d", actor=actor, now=now),
        "assign": lambda: assign(case, "rob", approved_by=APPROVED_BY, actor="otto", now=now),
        "tell-source": lambda: tell_source(case, document="d", actor=actor, now=now),
        "stay": lambda: stay(case, why="x", actor=actor, now=now),
        "lift": lambda: lift(case, why="x", **judged),
        "extend": lambda: extend(case, COURT, why="x", **judged),
        "resolve": lambda: resolve(case, Resolution.UPHELD, why="x", document="", **judged),
    }
