"""The life of an entry: which step may be taken where it stands, and where that leads.

    (none) ---------------- put ---------------> proposed (four eyes) or in-force
    proposed -- approve --> in-force             proposed -- reject --> rejected
    in-force -- stay -----> stayed               stayed ---- lift ----> in-force
    in-force, stayed -- release --> released     in-force, stayed -- withdraw --> withdrawn
    released, withdrawn -- retract --> withdrawn-in-error (it should never have been there)
    in-force, stayed -- put, renew, clear --> as they stand (a new version)
    released, withdrawn, withdrawn-in-error, rejected -- put --> proposed or in-force (it is listed again)

Every step makes a new version; nothing is overwritten. On a list of four eyes, ``put`` on an entry that is listed changes
nothing of it: the amendment waits beside it until another person approves or rejects it, or the entry leaves its list. To
retract a listed entry is to withdraw it first: two versions, one after the other.

What a person took off its list, no import brings back: it is barred until a person has listed it again. What an import
has withdrawn a person may withdraw once more, which bars it.

Example: an entry in force is stayed (version 2), then released as overturned (version 3). ``lift`` is refused now, and the
error names ``put`` and ``retract``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.errors import SecondPersonRequired, StepNotAllowed, VersionMissed

MAX_WHY = 256
"""The most characters of what is said with a step."""
MAX_DOCUMENT = 128
"""The most characters of a document's reference."""


class Step(StrEnum):
    """What can be done to one entry."""

    PUT = "put"
    APPROVE = "approve"
    REJECT = "reject"
    STAY = "stay"
    LIFT = "lift"
    RELEASE = "release"
    WITHDRAW = "withdraw"
    RETRACT = "retract"
    RENEW = "renew"
    CLEAR = "clear"


BULK_STEPS = (Step.APPROVE, Step.RENEW, Step.RELEASE)
"""The steps that can be taken on many entries at once."""


class ReleaseGround(StrEnum):
    """Why an entry ends before its time."""

    PERFORMED = "PERFORMED"
    PAID = "PAID"
    OVERTURNED = "OVERTURNED"
    TERM_OVER = "TERM_OVER"
    SETTLED = "SETTLED"
    DISPUTE_LAPSED = "DISPUTE_LAPSED"


class StepNote(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes a step, why, and with which document's reference; ``ground`` of a release alone."""

    actor: str
    why: str = ""
    document: str = ""
    ground: str = ""


_LEFT = {
    Step.RELEASE: EntryStatus.RELEASED,
    Step.WITHDRAW: EntryStatus.WITHDRAWN,
}

_STEPS: Mapping[EntryStatus, Mapping[Step, EntryStatus]] = MappingProxyType(
    {
        EntryStatus.PROPOSED: {
            Step.PUT: EntryStatus.PROPOSED,
            Step.APPROVE: EntryStatus.IN_FORCE,
            Step.REJECT: EntryStatus.REJECTED,
        },
        EntryStatus.IN_FORCE: {
            Step.PUT: EntryStatus.IN_FORCE,
            Step.RENEW: EntryStatus.IN_FORCE,
            Step.CLEAR: EntryStatus.IN_FORCE,
            Step.STAY: EntryStatus.STAYED,
            **_LEFT,
        },
        EntryStatus.STAYED: {
            Step.PUT: EntryStatus.STAYED,
            Step.RENEW: EntryStatus.STAYED,
            Step.CLEAR: EntryStatus.STAYED,
            Step.LIFT: EntryStatus.IN_FORCE,
            **_LEFT,
        },
        EntryStatus.RELEASED: {Step.PUT: EntryStatus.IN_FORCE, Step.RETRACT: EntryStatus.IN_ERROR},
        EntryStatus.WITHDRAWN: {Step.PUT: EntryStatus.IN_FORCE, Step.RETRACT: EntryStatus.IN_ERROR},
        EntryStatus.IN_ERROR: {Step.PUT: EntryStatus.IN_FORCE},
        EntryStatus.REJECTED: {Step.PUT: EntryStatus.IN_FORCE},
    }
)

_DECISIONS = (Step.APPROVE, Step.REJECT)
_TAKEN_OFF = (Step.RELEASE, Step.WITHDRAW, Step.RETRACT)


def legal_steps(status: EntryStatus, *, amendment: bool = False) -> tuple[Step, ...]:
    """Give the steps that may be taken where an entry stands, in the order of their names.

    ``amendment`` says that one waits beside the entry: then it can be approved and rejected as well.
    """
    return tuple(sorted({*_STEPS[status], *(_DECISIONS if amendment else ())}))


def next_status(status: EntryStatus, step: Step, *, amendment: bool = False) -> EntryStatus:
    """Say where a step leads; ``put`` on a list of four eyes is the store's to turn into a proposal.

    Raises:
        StepNotAllowed: the step can't be taken there; names those that can.
    """
    if amendment and step in _DECISIONS:
        return status
    after = _STEPS[status].get(step)
    if after is None:
        raise StepNotAllowed(step, status, legal_steps(status, amendment=amendment))
    return after


def single_steps(status: EntryStatus, step: Step) -> tuple[Step, ...]:
    """Give the steps that one is made of, each a version of its own, all in one transaction.

    Example: to retract an entry in force is to withdraw it, then to retract it.
    """
    return (Step.WITHDRAW, step) if step is Step.RETRACT and status in LISTED else (step,)


def is_barred(step: Step, after: EntryStatus, *, before: bool = False) -> bool:
    """Say whether imports leave an entry alone after a step of a person; ``before`` is whether they did before it.

    Example: a released entry is barred. It stays so while its listing again is proposed, and when that is rejected; once
    it is approved, imports amend the entry as they do any other.
    """
    if step in _TAKEN_OFF:
        return True
    return before and after not in LISTED


def only_bars(step: Step, status: EntryStatus, *, barred: bool) -> bool:
    """Say whether a step changes nothing but that imports leave the entry alone from now on.

    Example: a file has left an entry out. Somebody withdraws it all the same, so the next file does not bring it back.
    """
    return step is Step.WITHDRAW and status is EntryStatus.WITHDRAWN and not barred


def check_version(expected: int, present: int) -> None:
    """Refuse a step of somebody who has not seen the present version; ``expected`` 0 takes whatever stands.

    Raises:
        VersionMissed: somebody else has changed it since.
    """
    if expected and expected != present:
        raise VersionMissed(expected, present)


def check_second_person(actor: str, proposer: str) -> None:
    """Refuse an approval by who proposed it.

    Raises:
        SecondPersonRequired: they are one person.
    """
    if actor.casefold() == proposer.casefold():
        raise SecondPersonRequired(
            f"{proposer} has proposed it, so another person must decide; have one do it, with a key of their own"
        )


def effective_until(until: int, lapses_at: int, decide_by: int) -> int:
    """Say when an entry stops to bind if nobody acts any more (Unix seconds): its end, its lapse or that of a dispute.

    ``lapses_at`` and ``decide_by`` are 0 where there is none. Rule 2 then holds for all three: whoever looks judges them by
    the clock, even if the registry died years ago.
    """
    return min(until, lapses_at or until, decide_by or until)
