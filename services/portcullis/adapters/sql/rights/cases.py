"""Cases on SQL, and what each of their changes does to its entry, in one transaction.

An entry may have several open cases. Its time to be decided is the earliest of its open disputes', and it stays out of force
as long as one of them has stayed it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, exists, func, insert, select, tuple_, update

from portcullis.adapters.sql.months import month_of
from portcullis.adapters.sql.registry.life import bar, find_numbered, set_decide_by, take_step
from portcullis.adapters.sql.registry.schema import entries, lists
from portcullis.adapters.sql.rights.schema import case_evidence, case_steps, cases
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
from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.entry_life import Step, StepNote, legal_steps
from portcullis.domain.errors import NotFound, StepNotAllowed, VersionMissed
from portcullis.ports import CaseCount

_OPEN: Final = CaseState.OPEN.value
_CASES: Final = (
    select(cases, lists.c.name)
    .join(entries, entries.c.entry_id == cases.c.entry_id)
    .join(lists, lists.c.list_id == entries.c.list_id)
)

_ALREADY: Final = {
    CaseKind.DISPUTE: "disputed already, in a case that is not decided yet",
    CaseKind.IDENTITY_MISMATCH: "in question already, in a case of mistaken identity that is not decided yet",
}
"""How an entry stands that has an open case of a kind."""


def open_case(connection: Connection, case: Case, effect: EntryEffect, *, note: StepNote, at: float) -> Case:
    """Keep a new case.

    Raises:
        NotFound: the list has no such entry.
        StepNotAllowed: the entry is not listed, or a case of the same kind is open on it already.
    """
    row = find_numbered(connection, case.entry_id)
    if row is None or row.name != case.list:
        raise NotFound("no entry of this list has this number")
    if row.status not in LISTED:
        raise StepNotAllowed(CaseStepKind.OPEN, row.status, ())
    same = cases.c.entry_id == case.entry_id, cases.c.kind == case.kind.value, cases.c.state == _OPEN
    if connection.scalar(select(exists().where(*same))):
        raise StepNotAllowed(CaseStepKind.OPEN, _ALREADY[case.kind], (CaseStepKind.EVIDENCE,))
    connection.execute(insert(cases).values(_case_row(case)))
    _keep_parts(connection, case)
    _affect(connection, case, effect, note=note, at=at)
    return case


def keep_case(connection: Connection, case: Case, effect: EntryEffect | None, *, note: StepNote, at: float) -> Case:
    """Keep the next version of a case, with the steps and evidence that it has more.

    Raises:
        NotFound: no such case.
        VersionMissed: another version is present.
    """
    present = connection.scalar(select(cases.c.version).where(cases.c.case_id == case.case_id))
    if present is None:
        raise _no_case()
    if case.version != present + 1:
        raise VersionMissed(case.version - 1, present)
    connection.execute(update(cases).where(cases.c.case_id == case.case_id).values(_case_row(case)))
    _keep_parts(connection, case)
    if effect is not None:
        _affect(connection, case, effect, note=note, at=at)
    return case


def find_case(connection: Connection, case_id: str) -> Case:
    """Give one case.

    Raises:
        NotFound: no such case.
    """
    row = connection.execute(_CASES.where(cases.c.case_id == case_id)).first()
    if row is None:
        raise _no_case()
    return _whole(connection, [row])[0]


def list_cases(connection: Connection, *, list_name: str, state: CaseState, after: str, limit: int) -> Sequence[Case]:
    """Give a page of cases without steps and evidence, in the order of (decide_by, case_id).

    Raises:
        NotFound: ``after`` is no case.
    """
    place = tuple_(cases.c.decide_by, cases.c.case_id)
    wanted = _CASES.where(cases.c.state == state.value).order_by(cases.c.decide_by, cases.c.case_id).limit(limit)
    if list_name:
        wanted = wanted.where(lists.c.name == list_name)
    if after:
        decide_by = connection.scalar(select(cases.c.decide_by).where(cases.c.case_id == after))
        if decide_by is None:
            raise _no_case()
        wanted = wanted.where(place > tuple_(decide_by, after))
    return [_case(row) for row in connection.execute(wanted)]


def cases_of(connection: Connection, entry_ids: Collection[int]) -> Sequence[Case]:
    """Give every case of these entries, oldest first."""
    wanted = _CASES.where(cases.c.entry_id.in_(entry_ids)).order_by(cases.c.opened_at, cases.c.case_id)
    return _whole(connection, connection.execute(wanted).all())


def undecided(connection: Connection, now: float, *, limit: int) -> Sequence[Case]:
    """Give open cases whose time to decide has come, the oldest first."""
    wanted = (
        _CASES.where(cases.c.state == _OPEN, cases.c.decide_by > 0, cases.c.decide_by <= math.floor(now))
        .order_by(cases.c.decide_by, cases.c.case_id)
        .limit(limit)
    )
    return _whole(connection, connection.execute(wanted).all())


def entry_of(connection: Connection, case_id: str) -> int:
    """Give the number of the entry that a case is about.

    Raises:
        NotFound: no such case.
    """
    entry_id = connection.scalar(select(cases.c.entry_id).where(cases.c.case_id == case_id))
    if entry_id is None:
        raise _no_case()
    return int(entry_id)


def is_case(connection: Connection, case_id: str) -> bool:
    """Say whether there is such a case."""
    return bool(connection.scalar(select(exists().where(cases.c.case_id == case_id))))


def count_closed(connection: Connection) -> Sequence[CaseCount]:
    """Count closed cases by month, list, kind and end."""
    groups = (
        month_of(connection, cases.c.closed_at).label("month"),
        lists.c.name.label("list"),
        cases.c.kind,
        # What was not resolved has lapsed.
        func.coalesce(cases.c.resolution, CaseState.LAPSED.value).label("end"),
    )
    wanted = (
        select(*groups, func.count().label("count"))
        .join(entries, entries.c.entry_id == cases.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(cases.c.state != _OPEN)
        .group_by(*groups)
    )
    counts = [CaseCount(**row) for row in connection.execute(wanted).mappings()]
    # Databases sort texts each in their own way.
    return sorted(counts, key=lambda each: (each.month, each.list, each.kind, each.end))


# --- what happens to the entry ------------------------------------------------------------------------------------------


_IN_FAVOUR = frozenset({Step.RELEASE, Step.WITHDRAW})


def _affect(connection: Connection, case: Case, effect: EntryEffect, *, note: StepNote, at: float) -> None:
    for word in effect.steps:
        row = find_numbered(connection, case.entry_id)
        step = Step(word)
        told = msgspec.structs.replace(note, ground=effect.ground if step is Step.RELEASE else "")
        if row is not None and _can_be_taken(connection, case, row, step):
            take_step(connection, row, step, note=told, at=at)
        elif row is not None and step in _IN_FAVOUR and row.status not in LISTED and not row.barred:
            # It was left out of a file, or waits to be listed again. No file may bring back what was decided in its
            # subject's favour.
            bar(connection, row, step, note=told, at=at)
    _settle_deadline(connection, case.entry_id, note=note, at=at)


def _can_be_taken(connection: Connection, case: Case, row: Row[Any], step: Step) -> bool:
    """Say whether a step still applies: the entry may have left its list, or another case have stayed it, meanwhile."""
    if step not in legal_steps(EntryStatus(row.status)):
        return False
    return step is not Step.LIFT or not _is_stayed_by_another(connection, case)


def _is_stayed_by_another(connection: Connection, case: Case) -> bool:
    other = exists().where(
        cases.c.entry_id == case.entry_id,
        cases.c.case_id != case.case_id,
        cases.c.state == _OPEN,
        cases.c.stayed.is_(True),
    )
    return bool(connection.scalar(select(other)))


def _settle_deadline(connection: Connection, entry_id: int, *, note: StepNote, at: float) -> None:
    """Let the entry bind no longer than until the earliest of its open disputes is to be decided."""
    row = find_numbered(connection, entry_id)
    if row is None or row.status not in LISTED:
        return
    earliest = select(func.coalesce(func.min(cases.c.decide_by), 0)).where(
        cases.c.entry_id == entry_id, cases.c.state == _OPEN, cases.c.decide_by > 0
    )
    decide_by = connection.scalar(earliest) or 0
    if decide_by != row.decide_by:
        set_decide_by(connection, row, decide_by, note=msgspec.structs.replace(note, ground=""), at=at)


# --- rows ---------------------------------------------------------------------------------------------------------------


def _case_row(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "entry_id": case.entry_id,
        "kind": case.kind.value,
        "ground": case.ground.value if case.ground else None,
        "state": case.state.value,
        "opened_at": case.opened_at,
        "tell_source_by": case.tell_source_by,
        "source_told_at": case.source_told_at,
        "decide_by": case.decide_by,
        "extended": case.extended,
        "stayed": case.stayed,
        "reviewer": case.reviewer,
        "resolution": case.resolution.value if case.resolution else None,
        "closed_at": case.closed_at,
        "version": case.version,
    }


def _keep_parts(connection: Connection, case: Case) -> None:
    """Keep the steps and evidence that are not there yet; none is ever changed."""
    for table, parts in ((case_steps, case.steps), (case_evidence, case.evidence)):
        known = connection.scalar(select(func.count()).select_from(table).where(table.c.case_id == case.case_id)) or 0
        fresh = [
            {"case_id": case.case_id, "number": number} | msgspec.to_builtins(part)
            for number, part in enumerate(parts, start=1)
            if number > known
        ]
        if fresh:
            connection.execute(insert(table), fresh)


def _whole(connection: Connection, rows: Sequence[Row[Any]]) -> list[Case]:
    """Make cases of rows, with their steps and evidence."""
    wanted = [row.case_id for row in rows]
    steps: dict[str, list[CaseStep]] = {}
    for row in connection.execute(_parts(case_steps, wanted)):
        step = CaseStep(step=CaseStepKind(row.step), at=row.at, actor=row.actor, why=row.why, document=row.document)
        steps.setdefault(row.case_id, []).append(step)
    evidence: dict[str, list[Evidence]] = {}
    for row in connection.execute(_parts(case_evidence, wanted)):
        one = Evidence(reference=row.reference, added_by=row.added_by, added_at=row.added_at)
        evidence.setdefault(row.case_id, []).append(one)
    return [
        msgspec.structs.replace(
            _case(row), steps=tuple(steps.get(row.case_id, ())), evidence=tuple(evidence.get(row.case_id, ()))
        )
        for row in rows
    ]


def _parts(table: Any, case_ids: Sequence[str]) -> Select[Any]:
    return select(table).where(table.c.case_id.in_(case_ids)).order_by(table.c.case_id, table.c.number)


def _case(row: Row[Any]) -> Case:
    return Case(
        case_id=row.case_id,
        list=row.name,
        entry_id=row.entry_id,
        kind=CaseKind(row.kind),
        ground=DisputeGround(row.ground) if row.ground else None,
        state=CaseState(row.state),
        opened_at=row.opened_at,
        tell_source_by=row.tell_source_by,
        source_told_at=row.source_told_at,
        decide_by=row.decide_by,
        extended=row.extended,
        stayed=row.stayed,
        reviewer=row.reviewer,
        resolution=Resolution(row.resolution) if row.resolution else None,
        closed_at=row.closed_at,
        version=row.version,
    )


def _no_case() -> NotFound:
    return NotFound("no case has this id")
