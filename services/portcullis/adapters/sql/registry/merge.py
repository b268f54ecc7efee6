"""The merge of an import: what was staged is compared with the list, then put in force, by a handful of statements each.

The comparison goes by digests: a staged row whose key is new is added, one whose digest differs amends, an equal one changes
nothing but a lapse that has come nearer or further. An entry that an import has withdrawn is listed again when it comes
again, under its old number, and counts as added, so that the count of those listed always grows by ``added - withdrawn``;
one that a person has taken off is left alone, and counts as superseded. What a dispute has led to outlasts an import: a
stay, the time to decide, and clearances. All of it happens in one transaction that holds the write lock.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Table,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from portcullis.adapters.sql.registry.entries import (
    LISTED_STATUSES,
    archive,
    cleared_tokens,
    count_by,
    cut_tokens,
    forget_tokens,
    index_tokens,
    withdraw,
)
from portcullis.adapters.sql.registry.open_cases import deadline, earlier_of, has_cases, is_stayed
from portcullis.adapters.sql.registry.schema import CONTENT_COLUMNS, entries, entry_versions, wordings
from portcullis.adapters.sql.registry.staging import changes, kept_keys, staged_rows, staged_wordings, withdrawals
from portcullis.domain.entries import EntryStatus
from portcullis.domain.guards import guard_of, least_guard_of
from portcullis.domain.policies import RestrictedList
from portcullis.ports import ImportCounts, Shrinkage

_IN_FORCE: Final = EntryStatus.IN_FORCE.value
_STAYED: Final = EntryStatus.STAYED.value
_WITHDRAWN: Final = EntryStatus.WITHDRAWN.value
_NO: Final = literal(False)  # noqa: FBT003 - SQL's
_ANALYSED_FROM: Final = 10_000
"""PostgreSQL's planner is told of changes of so many entries and more at once, rather than some time later."""


def compare(connection: Connection, list_id: int, *, full: bool, now: float) -> ImportCounts:
    """Note which staged rows change something, and in a full import which entries are gone."""
    _compare_rows(connection, list_id, now=now)
    _mark_unrecognisable(connection, now=now)
    if full:
        known = entries
        staged = exists().where(staged_rows.c.key == known.c.key)
        kept = exists().where(kept_keys.c.key == known.c.key)
        missing = select(known.c.entry_id, known.c.until > now).where(
            known.c.list_id == list_id, known.c.status.in_(LISTED_STATUSES), ~staged, ~kept
        )
        connection.execute(insert(withdrawals).from_select(("entry_id", "lost"), missing))
    counts = _counts(connection)
    counts.superseded = _count_barred(connection, list_id)
    counts.unchanged = count(connection, staged_rows) - counts.added - counts.amended - counts.superseded
    return counts


def _count_barred(connection: Connection, list_id: int) -> int:
    staged = exists().where(staged_rows.c.key == entries.c.key)
    # By the small index over what is barred, and not by one of the large ones over the list.
    here = entries.c.list_id + 0 == list_id
    return count(connection, entries, here, entries.c.barred, staged)


def compare_again(connection: Connection, list_id: int, *, since: int, now: float) -> ImportCounts:
    """Note what the rows of a held import still change; entries that changed after ``since`` are left as they are.

    The entries that it withdraws are noted already, and those of them that have changed are taken out again. Every row would
    have changed something when the import was held, so one that no longer does is superseded too.
    """
    _compare_rows(connection, list_id, now=now, since=since)
    changed = exists().where(entries.c.entry_id == withdrawals.c.entry_id, entries.c.seq > since)
    kept = connection.execute(delete(withdrawals).where(changed)).rowcount
    counts = _counts(connection)
    counts.superseded = kept + count(connection, staged_rows) - counts.added - counts.amended
    return counts


def _compare_rows(connection: Connection, list_id: int, *, now: float, since: int | None = None) -> None:
    rows, known = staged_rows, entries
    new = known.c.entry_id.is_(None)
    listed = known.c.status.in_(LISTED_STATUSES)
    ends_otherwise = _end_without_dispute() != rows.c.until
    differs = or_(new, and_(~known.c.barred, or_(known.c.digest != rows.c.digest, ends_otherwise, ~listed)))
    connection.execute(
        insert(changes).from_select(
            ("row_no", "entry_id", "was_listed", "reaffirmed", "retoken", "lost"),
            select(
                rows.c.row_no,
                known.c.entry_id,
                func.coalesce(listed, _NO),
                func.coalesce(and_(listed, known.c.digest == rows.c.digest, known.c.until > now), _NO),
                or_(new, known.c.tokens != cleared_tokens(rows.c.tokens)),
                func.coalesce(and_(listed, _loses(now)), _NO),
            )
            .select_from(rows)
            .outerjoin(known, and_(known.c.list_id == list_id, known.c.key == rows.c.key))
            .where(differs if since is None else and_(differs, or_(new, known.c.seq <= since))),
        )
    )


def _end_without_dispute() -> ColumnElement[Any]:
    """Give when an entry ends, or lapses before: what a staged row has as its ``until``."""
    stated, lapses_at = entries.c.stated_until, entries.c.lapses_at
    return case((and_(lapses_at > 0, lapses_at < stated), lapses_at), else_=stated)


def _loses(now: float) -> ColumnElement[bool]:
    """Say whether a staged row takes a listed entry away by its dates (`portcullis.domain.guards`)."""
    before, after = entries.c, staged_rows.c
    postponed = and_(before.valid_from <= now, after.valid_from > now)
    return and_(before.until > now, or_(after.until <= now, postponed))


def _mark_unrecognisable(connection: Connection, *, now: float) -> None:
    """Mark as lost the listed entries that would keep none of the tokens that they are found by."""
    retokened = (changes.c.was_listed, changes.c.retoken)
    amended = select(changes.c.entry_id).where(*retokened)
    old = cut_tokens(entries.c.entry_id, entries.c.tokens, entries.c.entry_id.in_(amended), name="old_tokens")
    same_row = changes.c.row_no == staged_rows.c.row_no
    # Under whichever key: that another one is in use makes nobody unrecognisable.
    told = cast(staged_rows.c.tokens.op("||")(staged_rows.c.other_tokens), LargeBinary)
    new = cut_tokens(changes.c.entry_id, told, same_row, *retokened, name="new_tokens")
    kept = select(old.c.owner).join(new, and_(new.c.owner == old.c.owner, new.c.token == old.c.token))
    found = select(entries.c.entry_id).where(
        entries.c.entry_id.in_(amended), entries.c.until > now, func.length(entries.c.tokens) > 0
    )
    lost = update(changes).where(*retokened, changes.c.entry_id.in_(found), changes.c.entry_id.not_in(kept))
    connection.execute(lost.values(lost=literal(True)))  # noqa: FBT003 - SQL's


def _counts(connection: Connection) -> ImportCounts:
    amended = count(connection, changes, changes.c.was_listed)
    added = count(connection, changes) - amended
    return ImportCounts(added=added, amended=amended, withdrawn=count(connection, withdrawals))


def shrinkage(connection: Connection, list_id: int, on: RestrictedList | None, *, now: float) -> Shrinkage:
    """Say what the import takes away. The entries in force are counted only where the guard depends on them, else 0."""
    lost = count(connection, changes, changes.c.lost) + count(connection, withdrawals, withdrawals.c.lost)
    in_force = 0
    if lost > least_guard_of(on):
        present = (entries.c.list_id == list_id, entries.c.status.in_(LISTED_STATUSES), entries.c.until > now)
        in_force = count(connection, entries, *present)
    return Shrinkage(lost=lost, in_force=in_force, guard=guard_of(on, in_force))


def takes_two(connection: Connection, on: RestrictedList | None) -> bool:
    """Say whether a second person must decide: on a list of four eyes about all that is more than to reaffirm."""
    return on is not None and on.four_eyes and bool(connection.scalar(select(exists().where(~changes.c.reaffirmed))))


def count(connection: Connection, table: Table, *conditions: Any) -> int:
    """Count rows of a table."""
    return connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def keep_wordings(connection: Connection) -> None:
    """Keep the staged wordings that are not there yet."""
    names = tuple(column.name for column in wordings.c)
    new = select(staged_wordings).distinct().where(~exists().where(wordings.c.wording == staged_wordings.c.wording))
    connection.execute(insert(wordings).from_select(names, new))


def merge(connection: Connection, list_id: int, counts: ImportCounts, *, seq: int) -> None:
    """Put in force what the comparison has found."""
    keep_wordings(connection)
    _amend(connection, seq=seq)
    _add(connection, list_id, seq=seq)
    withdraw(connection, select(withdrawals.c.entry_id), seq=seq)
    count_by(connection, list_id, counts.added - counts.withdrawn)
    if connection.dialect.name != "sqlite" and counts.added + counts.amended + counts.withdrawn >= _ANALYSED_FROM:
        connection.execute(text("ANALYZE entries, entry_tokens, entry_versions"))


def _amend(connection: Connection, *, seq: int) -> None:
    """Write the changed rows of known entries, with their history and their tokens."""
    known = select(changes.c.entry_id).where(changes.c.entry_id.is_not(None))
    retokened = known.where(changes.c.retoken)
    archive(connection, known)
    forget_tokens(connection, retokened)
    connection.execute(
        update(entries)
        .where(entries.c.entry_id == changes.c.entry_id, staged_rows.c.row_no == changes.c.row_no)
        .values({name: staged_rows.c[name] for name in CONTENT_COLUMNS})
        .values(
            tokens=cleared_tokens(staged_rows.c.tokens),
            decide_by=_deadline_after(),
            until=earlier_of(staged_rows.c.until, _deadline_after()),
            version=entries.c.version + 1,
            status=_status_after(),
            seq=seq,
        )
    )
    index_tokens(connection, retokened)


def _deadline_after() -> ColumnElement[Any]:
    """Give the time to decide a known entry's dispute once a row has come for it: of one that is back, if still open."""
    return case((entries.c.status.in_(LISTED_STATUSES), entries.c.decide_by), else_=deadline())


def _status_after() -> ColumnElement[Any]:
    """Give the status of a known entry once a row has come for it.

    A stay outlasts an import, also one that left the entry out and is put right by the next. Of an entry that was off its
    list, proposed again or not, and has cases, they say it: it comes back stayed while an open one has it so, and a stay
    whose case was decided meanwhile is over.
    """
    earlier = entry_versions.alias("earlier")
    was = (
        select(earlier.c.status)
        .where(earlier.c.entry_id == entries.c.entry_id, earlier.c.version == entries.c.version - 1)
        .scalar_subquery()
    )
    present = entries.c.status
    put_right = and_(present == _WITHDRAWN, was == _STAYED, ~has_cases())
    asked_for = and_(present.not_in(LISTED_STATUSES), is_stayed())
    return case((or_(present == _STAYED, put_right, asked_for), _STAYED), else_=_IN_FORCE)


def _add(connection: Connection, list_id: int, *, seq: int) -> None:
    """Write the rows of new keys; the write lock makes their numbers the highest."""
    before = connection.scalar(select(func.coalesce(func.max(entries.c.entry_id), 0)))
    added = (
        select(literal(list_id), staged_rows.c.key, literal(1), literal(_IN_FORCE), literal(seq))
        .add_columns(literal(0), literal(b""), _NO)
        .add_columns(*(staged_rows.c[name] for name in CONTENT_COLUMNS))
        .join(changes, changes.c.row_no == staged_rows.c.row_no)
        .where(changes.c.entry_id.is_(None))
        .order_by(staged_rows.c.row_no)
    )
    columns = ("list_id", "key", "version", "status", "seq", "decide_by", "clearances", "barred", *CONTENT_COLUMNS)
    connection.execute(insert(entries).from_select(columns, added))
    index_tokens(connection, select(entries.c.entry_id).where(entries.c.entry_id > before))
