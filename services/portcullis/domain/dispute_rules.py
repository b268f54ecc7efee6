"""The rules of disputes: their clocks, what may be done in a case, and by whom.

The clocks run from the opening of a case, by the terms of its list (`portcullis.domain.policies.RestrictedList`); they come
from DOMAIN.md, "The rights of a listed person, and the clocks".

1. The source is told within ``source_told_days`` working days. That it was not is counted and shown; it stops no other
   clock.
2. A dispute is decided within ``decided_days`` days, once put off by ``extension_days``, with a reason and before the
   time has come. From ``decide_by`` on an undecided dispute has lapsed in the subject's favour: the entry binds no
   longer, whoever looks at it, and nothing but the lapse can be noted any more. Noting it releases the entry.
3. While a case is open its entry may be stayed and put back in force, as often as its reviewer sees fit. A list that
   ``stays_on_dispute`` stays its entries from the first minute, unless an earlier dispute of the entry was upheld: whoever
   objects again waits for a reviewer, for else an entry would never bind who objects without end.
4. Nobody reviews an entry that they have put, proposed, imported or approved. Once a reviewer is named, they alone stay,
   lift, extend and decide. Before that any reviewer may stay, and one who has not approved the entry may lift.
5. A decision closes the case: UPHELD and CLEARED end a stay, RELEASED ends the entry as overturned, WITHDRAWN takes it
   away as one that should never have been there.
6. A case that partners' reports of a wrong identity have opened has no time to be decided in: its entry's subject has not
   objected. Everything else holds for it too.

Example: a list decides within 30 days, with 15 more. A dispute opened on 1 March at noon is to be decided by 31 March at
noon. On 30 March its reviewer extends it, with a reason: until 15 April. On 15 April at noon nobody has decided; a check
a second later allows, even if no program of the registry runs, and the next look of the keeper notes the lapse and
releases the entry.

Each function here gives the case as it stands afterwards, and what happens to its entry in the same transaction, None
where nothing does. A step that can't be taken raises StepNotAllowed, which names those that can.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from portcullis.domain.disputes import (
    Case,
    CaseKind,
    CaseState,
    CaseStep,
    CaseStepKind,
    DisputeGround,
    EntryEffect,
    Evidence,
    Resolution,
)
from portcullis.domain.entry_life import ReleaseGround, Step
from portcullis.domain.errors import InvalidRequest, SecondPersonRequired, StepNotAllowed
from portcullis.domain.policies import RestrictedList
from portcullis.domain.working_days import add_working_days

MAX_EVIDENCE = 64
"""The most documents that one case refers to."""
MAX_EVIDENCE_AT_ONCE = 16
"""The most that it is opened with."""

_DAY_S: Final = 86_400
_APPROVING = frozenset({"put", "propose", "import", "approve"})

Changed = tuple[Case, EntryEffect | None]
"""A case after a step, and what the step does to the entry."""

_RESOLVED: dict[Resolution, tuple[Step, ...]] = {
    Resolution.UPHELD: (Step.LIFT,),
    Resolution.CLEARED: (Step.LIFT,),
    Resolution.RELEASED: (Step.RELEASE,),
    Resolution.WITHDRAWN: (Step.WITHDRAW, Step.RETRACT),
}


def open_case(
    on: RestrictedList,
    *,
    case_id: str,
    entry_id: int,
    kind: CaseKind,
    ground: DisputeGround | None,
    evidence: Sequence[str],
    actor: str,
    now: float,
    earlier: Iterable[Case] = (),
) -> tuple[Case, EntryEffect]:
    """Open a case: its clocks run from ``now`` (Unix seconds) by the terms of its list, and a dispute may stay at once.

    ``earlier`` are the cases that the entry had before.
    """
    is_dispute = kind is CaseKind.DISPUTE
    stays = is_dispute and on.stays_on_dispute and not any(each.resolution is Resolution.UPHELD for each in earlier)
    case = Case(
        case_id=case_id,
        list=on.name,
        entry_id=entry_id,
        kind=kind,
        ground=ground,
        opened_at=now,
        tell_source_by=add_working_days(now, on.source_told_days, on.calendar),
        decide_by=int(now) + on.decided_days * _DAY_S if is_dispute else 0,
        stayed=stays,
        evidence=tuple(Evidence(reference=each, added_by=actor, added_at=now) for each in dict.fromkeys(evidence)),
        steps=(CaseStep(step=CaseStepKind.OPEN, at=now, actor=actor),),
    )
    return case, EntryEffect(steps=(Step.STAY,) if stays else (), decide_by=_binding_until(case))


def allowed_steps(case: Case, now: float) -> tuple[CaseStepKind, ...]:
    """Give what can be done where a case stands, whoever does it, in the order of the names."""
    if case.state is not CaseState.OPEN:
        return ()
    if has_run_out(case, now):
        return (CaseStepKind.LAPSE,)
    steps = {CaseStepKind.EVIDENCE, CaseStepKind.ASSIGN, CaseStepKind.LIFT if case.stayed else CaseStepKind.STAY}
    if not case.source_told_at:
        steps.add(CaseStepKind.TELL_SOURCE)
    if case.reviewer:
        steps.add(CaseStepKind.RESOLVE)
        if case.decide_by and not case.extended:
            steps.add(CaseStepKind.EXTEND)
    return tuple(sorted(steps))


def has_run_out(case: Case, now: float) -> bool:
    """Say whether an open dispute was not decided in time, so that it has lapsed."""
    return case.state is CaseState.OPEN and 0 < case.decide_by <= now


def is_source_overdue(case: Case, now: float) -> bool:
    """Say whether the source of an open case should have been told before now, and was not."""
    return case.state is CaseState.OPEN and not case.source_told_at and case.tell_source_by <= now


def approvers(history: Iterable[tuple[str, str, str]]) -> frozenset[str]:
    """Give who has put, proposed, imported or approved an entry: nobody of them reviews it.

    ``history`` has (step, actor, importer) of each version; the importer is who had imported what another then approved, ""
    for a version of another kind.
    """
    return frozenset(name for step, *names in history if step in _APPROVING for name in names if name)


def add_evidence(case: Case, reference: str, *, actor: str, now: float) -> Changed:
    """Add the reference of a document; one that is there already changes nothing, and the version stays.

    Raises:
        InvalidRequest: the case has as many as it can.
    """
    _check_allowed(case, CaseStepKind.EVIDENCE, now)
    if any(each.reference == reference for each in case.evidence):
        return case, None
    if len(case.evidence) >= MAX_EVIDENCE:
        raise InvalidRequest.at("reference", f"the case has {MAX_EVIDENCE} documents, more can't be added; put them in one")
    added = (*case.evidence, Evidence(reference=reference, added_by=actor, added_at=now))
    return _after(case, CaseStep(step=CaseStepKind.EVIDENCE, at=now, actor=actor, document=reference), evidence=added), None


def assign(case: Case, reviewer: str, *, approved_by: Collection[str], actor: str, now: float) -> Changed:
    """Name the reviewer, or another one.

    Raises:
        SecondPersonRequired: they are among ``approved_by`` (`approvers`).
    """
    _check_allowed(case, CaseStepKind.ASSIGN, now)
    _check_not_approver(reviewer, approved_by)
    return _after(case, CaseStep(step=CaseStepKind.ASSIGN, at=now, actor=actor, why=reviewer), reviewer=reviewer), None


def tell_source(case: Case, *, document: str, actor: str, now: float) -> Changed:
    """Note that the authority was told, once; late is better than never."""
    _check_allowed(case, CaseStepKind.TELL_SOURCE, now)
    step = CaseStep(step=CaseStepKind.TELL_SOURCE, at=now, actor=actor, document=document)
    return _after(case, step, source_told_at=now), None


def stay(case: Case, *, why: str, actor: str, now: float) -> Changed:
    """Take the entry out of force while the case is open.

    Raises:
        SecondPersonRequired: the case has another reviewer.
    """
    _check_allowed(case, CaseStepKind.STAY, now)
    _check_reviewer(case, actor, or_nobody=True)
    after = _after(case, CaseStep(step=CaseStepKind.STAY, at=now, actor=actor, why=why), stayed=True)
    return after, EntryEffect(steps=(Step.STAY,), decide_by=_binding_until(after))


def lift(case: Case, *, why: str, approved_by: Collection[str], actor: str, now: float) -> Changed:
    """Put a stayed entry back in force.

    Raises:
        SecondPersonRequired: the case has another reviewer, or the actor is among ``approved_by``.
    """
    _check_allowed(case, CaseStepKind.LIFT, now)
    _check_reviewer(case, actor, or_nobody=True)
    _check_not_approver(actor, approved_by)
    after = _after(case, CaseStep(step=CaseStepKind.LIFT, at=now, actor=actor, why=why), stayed=False)
    return after, EntryEffect(steps=(Step.LIFT,), decide_by=_binding_until(after))


def extend(case: Case, on: RestrictedList, *, why: str, approved_by: Collection[str], actor: str, now: float) -> Changed:
    """Put the deadline off by the list's extension: once, with a reason, before it has come.

    Raises:
        SecondPersonRequired: the actor is not the reviewer, or is among ``approved_by``.
        InvalidRequest: there is no reason.
    """
    _check_allowed(case, CaseStepKind.EXTEND, now)
    if not on.extension_days:
        others = [each for each in allowed_steps(case, now) if each is not CaseStepKind.EXTEND]
        raise StepNotAllowed(CaseStepKind.EXTEND, "on a list without extensions", others)
    _check_reviewer(case, actor)
    _check_not_approver(actor, approved_by)
    _check_reason(why)
    after = _after(
        case,
        CaseStep(step=CaseStepKind.EXTEND, at=now, actor=actor, why=why),
        extended=True,
        decide_by=case.decide_by + on.extension_days * _DAY_S,
    )
    return after, EntryEffect(decide_by=after.decide_by)


def resolve(
    case: Case, resolution: Resolution, *, why: str, document: str, approved_by: Collection[str], actor: str, now: float
) -> Changed:
    """Decide the case, with a reason.

    Raises:
        SecondPersonRequired: the actor is not the reviewer, or has approved the entry since they were named.
        InvalidRequest: there is no reason.
    """
    _check_allowed(case, CaseStepKind.RESOLVE, now)
    _check_reviewer(case, actor)
    _check_not_approver(actor, approved_by)
    _check_reason(why)
    after = _after(
        case,
        CaseStep(step=CaseStepKind.RESOLVE, at=now, actor=actor, why=why, document=document),
        state=CaseState.RESOLVED,
        resolution=resolution,
        stayed=False,
        closed_at=now,
    )
    steps = tuple(step for step in _RESOLVED[resolution] if case.stayed or step is not Step.LIFT)
    ground = ReleaseGround.OVERTURNED if Step.RELEASE in steps else ""
    return after, EntryEffect(steps=steps, decide_by=_binding_until(after), ground=ground)


def lapse(case: Case, *, actor: str, now: float) -> Changed:
    """Note that a dispute was not decided in time; its entry is released."""
    _check_allowed(case, CaseStepKind.LAPSE, now)
    step = CaseStep(step=CaseStepKind.LAPSE, at=now, actor=actor)
    after = _after(case, step, state=CaseState.LAPSED, stayed=False, closed_at=now)
    return after, EntryEffect(steps=(Step.RELEASE,), decide_by=_binding_until(after), ground=ReleaseGround.DISPUTE_LAPSED)


def _after(case: Case, step: CaseStep, **changes: Any) -> Case:
    return msgspec.structs.replace(case, steps=(*case.steps, step), version=case.version + 1, **changes)


def _binding_until(case: Case) -> int:
    return case.decide_by if case.state is CaseState.OPEN else 0


def _check_allowed(case: Case, step: CaseStepKind, now: float) -> None:
    allowed = allowed_steps(case, now)
    if step not in allowed:
        raise StepNotAllowed(step, _standing(case, now), allowed)


def _standing(case: Case, now: float) -> str:
    if has_run_out(case, now):
        return "past the time to decide it"
    told = [case.state.value.lower()]
    if case.state is CaseState.OPEN:
        told += ["stayed"] * case.stayed + ["extended"] * case.extended + ["without a reviewer"] * (not case.reviewer)
    return ", ".join(told)


def _check_reviewer(case: Case, actor: str, *, or_nobody: bool = False) -> None:
    if actor != case.reviewer and not (or_nobody and not case.reviewer):
        raise SecondPersonRequired(f"reviewer: the case is {case.reviewer}'s to decide; have them do it, or assign another")


def _check_not_approver(reviewer: str, approved_by: Collection[str]) -> None:
    # Names that differ in case alone are one person's, as everywhere where it takes two.
    if reviewer.casefold() in {name.casefold() for name in approved_by}:
        raise SecondPersonRequired(
            f"reviewer: {reviewer} has put, proposed, imported or approved the entry, so another person must review it; "
            "assign one who has not"
        )


def _check_reason(why: str) -> None:
    if not why.strip():
        raise InvalidRequest.at("why", "is missing; say why, without personal data")
