"""What the feed takes over from the registry: every version of an entry in the order of commits, and every end.

The versions of one change of the log stand in ``entries`` as long as they are the present ones, and in ``entry_versions``
afterwards. One that was superseded belongs to an entry whose present version is of a later change still, so the index over
``entries.seq`` finds it too. All of it is one reading with one sort, which the database does on its disk where it is large.

What a version is to a partner is judged by what the feed has told of the one before it (`portcullis.domain.changes`), so it
depends on nothing but the registry and the progress, and two processes that read the same say the same. A version that
only notes what partners have no part in is passed over: that an amendment was proposed or rejected, and redress numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, not_, or_, select, union_all

from portcullis.adapters.sql.registry.database import guarded, head
from portcullis.adapters.sql.registry.entries import LISTED_STATUSES
from portcullis.adapters.sql.registry.life import PROPOSE
from portcullis.adapters.sql.registry.policies import present_policy
from portcullis.adapters.sql.registry.schema import change_log, entries, entry_versions, lists
from portcullis.domain.changes import ChangeKind, FeedChange, Standing, kind_of
from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import Step
from portcullis.domain.policies import Disclosure
from portcullis.ports import ChangesRead, Progress

_STANDING: Final[Mapping[str, Standing]] = {
    EntryStatus.PROPOSED.value: Standing.ABSENT,
    EntryStatus.IN_FORCE.value: Standing.IN_FORCE,
    EntryStatus.STAYED.value: Standing.STAYED,
    EntryStatus.RELEASED.value: Standing.RELEASED,
    EntryStatus.WITHDRAWN.value: Standing.WITHDRAWN,
    EntryStatus.IN_ERROR.value: Standing.IN_ERROR,
    EntryStatus.REJECTED.value: Standing.ABSENT,
}
_UNTOLD: Final = frozenset({PROPOSE, Step.REJECT.value, Step.CLEAR.value})
_STREAMED: Final = {"yield_per": 1_000}

_Names = Callable[[], Mapping[int, str]]
"""Gives the names of the lists that may be told of, by their numbers."""


def first_progress(connection: Connection, since: float, now: float) -> Progress:
    """Say where a feed begins that shall hold what was changed since a time."""
    earlier = (
        select(change_log.c.seq, change_log.c.at).where(change_log.c.at < since).order_by(change_log.c.seq.desc()).limit(1)
    )
    row = connection.execute(earlier).first()
    seq, at = (row.seq, row.at) if row is not None else (0, 0.0)
    return Progress(seq, math.floor(now), registry_at=at)


def read_changes(connection: Connection, after: Progress, now: float) -> ChangesRead:
    """Read what happened since a progress; good as long as the connection's transaction is open."""
    if _made_at(connection, after.registry_seq) != after.registry_at:
        return ChangesRead(follows=False, changes=iter(()), then=after)
    newest = head(connection)
    # Time that went back tells no end twice.
    then = Progress(newest, max(math.floor(now), after.ended_until), registry_at=_made_at(connection, newest) or 0.0)
    return ChangesRead(follows=True, changes=_changes(connection, after, then), then=then)


def _made_at(connection: Connection, seq: int) -> float | None:
    if seq == 0:
        return 0.0
    return connection.scalar(select(change_log.c.at).where(change_log.c.seq == seq))


def _changes(connection: Connection, after: Progress, then: Progress) -> Iterator[tuple[FeedChange, Progress]]:
    # The policy is read where there is something to tell alone: most looks find nothing, and this is asked every second.
    names = cache(partial(_published, connection))
    with guarded():
        if then.registry_seq > after.registry_seq or after.entry_id:
            yield from _versions(connection, names, after)
        yield from _ends(connection, names, after, then)


def _published(connection: Connection) -> Mapping[int, str]:
    """Give the names of the lists whose changes may leave the registry, by their numbers."""
    policy = present_policy(connection)
    wanted = {each.name for each in policy.lists if each.disclosure is not Disclosure.AUTHORITY_ONLY}
    return {row.list_id: row.name for row in connection.execute(select(lists)) if row.name in wanted}


def _versions(connection: Connection, names: _Names, after: Progress) -> Iterator[tuple[FeedChange, Progress]]:
    with connection.execute(_versions_after(after), execution_options=_STREAMED) as rows:
        for row in rows:
            if row.change in _UNTOLD and row.status in LISTED_STATUSES:
                continue
            kind = kind_of(_standing_before(row, after), _standing(row.status, row.until, row.entry_id, after))
            if kind is not None and row.list_id in names():
                progress = after._replace(registry_seq=row.seq, registry_at=row.at, entry_id=row.entry_id)
                yield _change(kind, names()[row.list_id], row, happened_at=row.at), progress


def _versions_after(after: Progress) -> Select[Any]:
    """Select the versions of entries since a progress, each with the end and the status of the one before it."""
    columns = ("entry_id", "version", "status", "until", "seq")
    present = select(entries.c.list_id, *(entries.c[name] for name in columns)).where(_later(entries.c, after))
    superseded = (
        select(entries.c.list_id, *(entry_versions.c[name] for name in columns))
        .join(entries, entries.c.entry_id == entry_versions.c.entry_id)
        .where(entries.c.seq > after.registry_seq, _later(entry_versions.c, after))
    )
    versions = union_all(present, superseded).subquery("versions")
    before = entry_versions.alias("before")
    return (
        select(
            versions,
            change_log.c.at,
            change_log.c.change,
            before.c.status.label("status_before"),
            before.c.until.label("until_before"),
        )
        .join(change_log, change_log.c.seq == versions.c.seq)
        .outerjoin(before, and_(before.c.entry_id == versions.c.entry_id, before.c.version == versions.c.version - 1))
        .order_by(versions.c.seq, versions.c.entry_id)
    )


def _later(columns: Any, after: Progress) -> ColumnElement[bool]:
    return _beyond(columns.seq, columns.entry_id, after.registry_seq, after.entry_id)


def _beyond(column: Any, entry_id: Any, reached: int, within: int) -> ColumnElement[bool]:
    """Say that a pair of numbers is later than one; the first column stands alone for the sake of its index."""
    if within == 0:
        return or_(column > reached)
    return and_(column >= reached, not_(and_(column == reached, entry_id <= within)))


def _standing_before(row: Any, after: Progress) -> Standing:
    if row.status_before is None:
        return Standing.ABSENT
    return _standing(row.status_before, row.until_before, row.entry_id, after)


def _standing(status: str, until: int, entry_id: int, after: Progress) -> Standing:
    """Say how a version stands in the feed, which is past some ends already."""
    ended = status in LISTED_STATUSES and after.has_told_end(until, entry_id)
    return Standing.ENDED if ended else _STANDING[status]


def _ends(connection: Connection, names: _Names, after: Progress, then: Progress) -> Iterator[tuple[FeedChange, Progress]]:
    ended = (
        select(entries.c.entry_id, entries.c.list_id, entries.c.until)
        .where(
            entries.c.status.in_(LISTED_STATUSES),
            _beyond(entries.c.until, entries.c.entry_id, after.ended_until, after.ended_entry_id),
            entries.c.until <= then.ended_until,
        )
        .order_by(entries.c.until, entries.c.entry_id)
    )
    with connection.execute(ended, execution_options=_STREAMED) as rows:
        for row in rows:
            if row.list_id in names():
                progress = then._replace(ended_until=row.until, ended_entry_id=row.entry_id)
                yield _change(ChangeKind.EXPIRED, names()[row.list_id], row, happened_at=float(row.until)), progress


def _change(kind: ChangeKind, list_name: str, row: Any, *, happened_at: float) -> FeedChange:
    return FeedChange(
        position=0,
        kind=kind,
        list=list_name,
        list_number=row.list_id,
        entry_id=row.entry_id,
        happened_at=happened_at,
        until=row.until,
    )
