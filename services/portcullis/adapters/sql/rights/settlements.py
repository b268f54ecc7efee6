"""What partners have reported as settled, and the releases that wait for it, on SQL.

Every event stands here once for each entry that it was about, also after its wait is over, so that the same event never
starts another. An entry waits as long as one of its events does and it has not left its list since; the earliest release
counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, exists, func, insert, select, update

from portcullis.adapters.sql.among import Lookup
from portcullis.adapters.sql.bulk import insert_tuples
from portcullis.adapters.sql.registry.entries import LISTED_STATUSES
from portcullis.adapters.sql.registry.life import find, find_numbered, log_step, take_step
from portcullis.adapters.sql.registry.schema import entries, entry_versions, lists
from portcullis.adapters.sql.rights.schema import journals_read, settlements
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import NotFound
from portcullis.ports import Settlement, WaitingRelease

_CaseName = tuple[str, str]

_OF_CASES: Final = Lookup(
    select(entries.c.entry_id, entries.c.version, entries.c.status, entries.c.case_reference)
    .join(lists, lists.c.list_id == entries.c.list_id)
    .where(lists.c.name == bindparam("list_name"))
    .order_by(entries.c.entry_id),
    entries.c.case_reference,
)
_NOTED: Final = Lookup(
    select(settlements.c.partner, settlements.c.event_id, settlements.c.entry_id).where(
        settlements.c.partner == bindparam("partner")
    ),
    settlements.c.event_id,
)
"""By partner, so that the index over events of partners tells it, and the table is not read through."""


def settled_entries(connection: Connection, settled: Sequence[Settlement]) -> dict[_CaseName, list[tuple[int, int]]]:
    """Give (entry_id, version) of each listed entry of these cases, by list and case reference; ascending."""
    references: defaultdict[str, list[str]] = defaultdict(list)
    for each in settled:
        references[each.list].append(each.case_reference)
    found: defaultdict[_CaseName, list[tuple[int, int]]] = defaultdict(list)
    for name, of_list in references.items():
        for entry_id, version, status, reference in _OF_CASES.rows(connection, of_list, list_name=name):
            if status in LISTED_STATUSES:
                found[name, reference].append((entry_id, version))
    return found


def note_settlements(connection: Connection, settled: Sequence[Settlement]) -> int:
    """Let the listed entries of these cases wait for their release; gives how many of them these events are new to.

    The caller holds the lock of whoever writes.
    """
    listed = settled_entries(connection, settled)
    told: defaultdict[str, list[str]] = defaultdict(list)
    for each in settled:
        told[each.partner].append(each.event_id)
    known = {row for partner, event_ids in told.items() for row in _NOTED.rows(connection, event_ids, partner=partner)}
    rows = []
    for each in settled:
        for entry_id, version in listed.get((each.list, each.case_reference), ()):
            waits = each.partner, each.event_id, entry_id
            if waits not in known:
                known.add(waits)
                rows.append((*waits, version, each.reported_at, each.release_at))
    columns = ("partner", "event_id", "entry_id", "version", "reported_at", "release_at")
    insert_tuples(connection, settlements, columns, rows)
    return len(rows)


def waiting(connection: Connection, list_name: str, *, limit: int) -> Sequence[WaitingRelease]:
    """Give the releases that wait, of one list or of all, the soonest first."""
    soonest = _waiting().subquery()
    ordered = select(soonest).where(soonest.c.place == 1).order_by(soonest.c.release_at, soonest.c.settlement_id)
    if list_name:
        # Asked within, this would have SQLite go through all entries of the list.
        ordered = ordered.where(soonest.c.name == list_name)
    return [_waiting_release(row) for row in connection.execute(ordered.limit(limit))]


def is_due(connection: Connection, now: float) -> bool:
    """Say whether there is anything for `release_due` to do."""
    return bool(connection.scalar(select(exists().where(_due(now)))))


def release_due(connection: Connection, now: float, *, note: StepNote, limit: int, at: float) -> int:
    """Release the entries whose time has come; gives how many. Waits that something else has ended are noted as over."""
    dead = select(settlements.c.settlement_id).join(entries, entries.c.entry_id == settlements.c.entry_id)
    _end(connection, settlements.c.settlement_id.in_(dead.where(_due(now), ~_is_on_its_list())), at=at)
    soonest = func.min(settlements.c.release_at)
    # The sum is the number, and has SQLite begin with the few that wait rather than group all that ever did.
    entry = settlements.c.entry_id + 0
    due = select(entry).where(_due(now)).group_by(entry)
    entry_ids = connection.scalars(due.order_by(soonest, entry).limit(limit)).all()
    settled = msgspec.structs.replace(note, ground=ReleaseGround.SETTLED.value)
    for entry_id in entry_ids:
        row = find_numbered(connection, entry_id)
        assert row is not None  # noqa: S101 - tells mypy; a foreign key
        take_step(connection, row, Step.RELEASE, note=settled, at=at)
    _end(connection, settlements.c.entry_id.in_(entry_ids), at=at)
    return len(entry_ids)


def object_to(connection: Connection, list_name: str, key: str, *, note: StepNote, at: float) -> None:
    """Stop the release of an entry, and log who did.

    Raises:
        NotFound: no release of this entry waits, or its time has come and only the keeper is late.
    """
    row = find(connection, list_name, key)
    if row is None or not _can_be_stopped(connection, row.entry_id, at=at):
        raise NotFound("no release of this entry waits any more; list those that do")
    log_step(connection, row, "object", note=note, at=at)
    _end(connection, settlements.c.entry_id == row.entry_id, at=at)


def read_up_to(connection: Connection, journal: str) -> int:
    """Say before which sequence of a journal events were taken over; 0 where none were looked at."""
    return connection.scalar(select(journals_read.c.sequence).where(journals_read.c.journal == journal)) or 0


def mark_read(connection: Connection, journal: str, sequence: int) -> None:
    """Note before which sequence events were taken over; a smaller one changes nothing."""
    known = journals_read.c.journal == journal
    if connection.scalar(select(journals_read.c.sequence).where(known)) is None:
        connection.execute(insert(journals_read).values(journal=journal, sequence=sequence))
    connection.execute(update(journals_read).where(known, journals_read.c.sequence < sequence).values(sequence=sequence))


def _is_on_its_list() -> ColumnElement[bool]:
    """Write the condition that the entry of a settlement has not left its list since."""
    left = exists().where(
        entry_versions.c.entry_id == settlements.c.entry_id,
        entry_versions.c.version > settlements.c.version,
        entry_versions.c.status.not_in(LISTED_STATUSES),
    )
    return and_(entries.c.status.in_(LISTED_STATUSES), ~left)


def _due(now: float) -> ColumnElement[bool]:
    return and_(settlements.c.ended_at.is_(None), settlements.c.release_at <= now)


def _waiting() -> Select[Any]:
    """Select what waits; of an entry's events the one of ``place`` 1 counts."""
    soonest_first = (settlements.c.release_at, settlements.c.settlement_id)
    place = func.row_number().over(partition_by=settlements.c.entry_id, order_by=soonest_first)
    return (
        select(settlements, lists.c.name, entries.c.key, entries.c.case_reference, place.label("place"))
        .join(entries, entries.c.entry_id == settlements.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(settlements.c.ended_at.is_(None), _is_on_its_list())
    )


def _can_be_stopped(connection: Connection, entry_id: int, *, at: float) -> bool:
    """Say whether a release of an entry waits whose time has not come."""
    waits = connection.execute(_waiting().where(settlements.c.entry_id == entry_id)).all()
    return bool(waits) and min(each.release_at for each in waits) > at


def _end(connection: Connection, which: ColumnElement[bool], *, at: float) -> None:
    connection.execute(update(settlements).where(which, settlements.c.ended_at.is_(None)).values(ended_at=at))


def _waiting_release(row: Row[Any]) -> WaitingRelease:
    return WaitingRelease(
        settlement_id=row.settlement_id,
        list=row.name,
        key=row.key,
        case_reference=row.case_reference,
        partner=row.partner,
        reported_at=row.reported_at,
        release_at=row.release_at,
    )
