"""The messages of cases.

A subject's own view leaves out what is not theirs to know: the entry's key, the events by which partners reported (they may
be about somebody who is taken for the subject), and the names of all who act but themselves and the reviewer, who decides.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from portcullis.domain.disputes import (
    Case,
    CaseKind,
    CaseState,
    CaseStep,
    CaseStepKind,
    DisputeGround,
    Evidence,
    Resolution,
)
from portcullis.domain.errors import InvalidRequest
from portcullis.domain.roles import Role
from portcullis.gateway.messages.entries import instant
from portcullis.ports import CaseView
from portcullis.v1 import redress_service_pb2 as pb

_KINDS = {CaseKind.DISPUTE: pb.CASE_KIND_DISPUTE, CaseKind.IDENTITY_MISMATCH: pb.CASE_KIND_IDENTITY_MISMATCH}
_STATES = {
    CaseState.OPEN: pb.CASE_STATE_OPEN,
    CaseState.RESOLVED: pb.CASE_STATE_RESOLVED,
    CaseState.LAPSED: pb.CASE_STATE_LAPSED,
}
_GROUNDS = {
    DisputeGround.NOT_ME: pb.DISPUTE_GROUND_NOT_ME,
    DisputeGround.PERFORMED: pb.DISPUTE_GROUND_PERFORMED,
    DisputeGround.WRONG_FACTS: pb.DISPUTE_GROUND_WRONG_FACTS,
    DisputeGround.TERM_OVER: pb.DISPUTE_GROUND_TERM_OVER,
    DisputeGround.UNLAWFUL: pb.DISPUTE_GROUND_UNLAWFUL,
}
_RESOLUTIONS = {
    Resolution.UPHELD: pb.RESOLUTION_UPHELD,
    Resolution.RELEASED: pb.RESOLUTION_RELEASED,
    Resolution.WITHDRAWN: pb.RESOLUTION_WITHDRAWN,
    Resolution.CLEARED: pb.RESOLUTION_CLEARED,
}
_STATES_READ = {number: state for state, number in _STATES.items()} | {pb.CASE_STATE_UNSPECIFIED: CaseState.OPEN}
_GROUNDS_READ = {number: ground for ground, number in _GROUNDS.items()}
_RESOLUTIONS_READ = {number: resolution for resolution, number in _RESOLUTIONS.items()}

_REPORTED = "event:"
"""What the reference of a partner's event begins with."""

_Shown = Callable[[str], str]


def read_state(state: pb.CaseState.ValueType) -> CaseState:
    """Read which cases are asked for; unset for open ones.

    Raises:
        InvalidRequest: it is no such state.
    """
    read = _STATES_READ.get(state)
    if read is None:
        raise InvalidRequest.at("state", "must be CASE_STATE_OPEN, CASE_STATE_RESOLVED or CASE_STATE_LAPSED")
    return read


def read_ground(ground: pb.DisputeGround.ValueType) -> DisputeGround:
    """Read what an objection says.

    Raises:
        InvalidRequest: it says nothing of this.
    """
    read = _GROUNDS_READ.get(ground)
    if read is None:
        raise InvalidRequest.at(
            "ground",
            "must be DISPUTE_GROUND_NOT_ME, _PERFORMED, _WRONG_FACTS, _TERM_OVER or _UNLAWFUL: what the subject says",
        )
    return read


def read_resolution(resolution: pb.Resolution.ValueType) -> Resolution:
    """Read a decision.

    Raises:
        InvalidRequest: it is none.
    """
    read = _RESOLUTIONS_READ.get(resolution)
    if read is None:
        raise InvalidRequest.at("resolution", "must be RESOLUTION_UPHELD, _RELEASED, _WITHDRAWN or _CLEARED")
    return read


def write_case(view: CaseView) -> pb.Case:
    """Write a case for those who work on it."""
    case = view.case
    written = _frame(view)
    written.key = view.entry.key
    written.evidence.extend(_evidence(each, str) for each in case.evidence)
    written.steps.extend(_step(each, str) for each in case.steps)
    return written


def write_own_case(view: CaseView) -> pb.Case:
    """Write a case for the subject who it is about."""
    case = view.case
    shown: _Shown = _who_is_told(case)
    written = _frame(view)
    written.evidence.extend(_evidence(each, shown) for each in case.evidence if not each.reference.startswith(_REPORTED))
    written.steps.extend(_step(_told(each, shown), shown) for each in case.steps)
    return written


def _told(step: CaseStep, shown: _Shown) -> CaseStep:
    """Give a step as its subject sees it: who was to decide once, before another was named, is not theirs to know."""
    return msgspec.structs.replace(step, why=shown(step.why)) if step.step is CaseStepKind.ASSIGN else step


def _who_is_told(case: Case) -> _Shown:
    shown = {case.reviewer, Role.SUBJECT}
    return lambda name: name if name in shown else ""


def _frame(view: CaseView) -> pb.Case:
    case = view.case
    return pb.Case(
        case_id=case.case_id,
        list=case.list,
        case_reference=view.entry.case_reference,
        kind=_KINDS[case.kind],
        ground=_GROUNDS[case.ground] if case.ground else pb.DISPUTE_GROUND_UNSPECIFIED,
        state=_STATES[case.state],
        opened_at=instant(case.opened_at),
        tell_source_by=instant(case.tell_source_by),
        source_told_at=instant(case.source_told_at),
        decide_by=instant(case.decide_by),
        extended=case.extended,
        stayed=case.stayed,
        reviewer=case.reviewer,
        resolution=_RESOLUTIONS[case.resolution] if case.resolution else pb.RESOLUTION_UNSPECIFIED,
        closed_at=instant(case.closed_at),
        version=case.version,
    )


def _evidence(evidence: Evidence, shown: _Shown) -> pb.Evidence:
    return pb.Evidence(reference=evidence.reference, added_by=shown(evidence.added_by), added_at=instant(evidence.added_at))


def _step(step: CaseStep, shown: _Shown) -> pb.CaseStep:
    return pb.CaseStep(step=step.step, at=instant(step.at), actor=shown(step.actor), why=step.why)
