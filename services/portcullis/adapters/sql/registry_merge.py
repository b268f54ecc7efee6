"""The merge of an import: what was staged is compared with the list, then put in force, by a handful of statements each.

The comparison goes by digests: a staged row whose key is new is added, one whose digest differs amends, an equal one changes
nothing. A withdrawn entry that comes again is back in force under its old number and counts as added, so that the count
in force always grows by ``added - withdrawn``. All of it happens in one transaction that holds the write lock.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
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

from portcullis.adapters.sql.registry_entries import archive, count_by, cut_tokens, forget_tokens, index_tokens, withdraw
from portcullis.adapters.sql.registry_staging import changes, kept_keys, staged_rows, staged_wordings, withdrawals
from portcullis.adapters.sql.schema import CONTENT_COLUMNS, entries, wordings
from portcullis.domain.entries import EntryStatus
from portcullis.domain.guards import guard_of, least_guard_of
from portcullis.domain.policies import RestrictedList
from portcullis.ports import ImportCounts, Shrinkage

_IN_FORCE: Final = EntryStatus.IN_FORCE.value
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
            known.c.list_id == list_id, known.c.status == _IN_FORCE, ~staged, ~kept
        )
        connection.execute(insert(withdrawals).from_select(("entry_id", "lost"), missing))
    counts = _counts(connection)
    counts.unchanged = count(connection, staged_rows) - counts.added - counts.amended
    return counts


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
    in_force = func.coalesce(known.c.status == _IN_FORCE, _NO)
    differs = or_(new, known.c.digest != rows.c.digest, known.c.status != _IN_FORCE)
    connection.execute(
        insert(changes).from_select(
            ("row_no", "entry_id", "was_in_force", "retoken", "lost"),
            select(
                rows.c.row_no,
                known.c.entry_id,
                in_force,
                or_(new, known.c.tokens != rows.c.tokens),
                func.coalesce(and_(known.c.status == _IN_FORCE, _loses(now)), _NO),
            )
            .select_from(rows)
            .outerjoin(known, and_(known.c.list_id == list_id, known.c.key == rows.c.key))
            .where(differs if since is None else and_(differs, or_(new, known.c.seq <= since))),
        )
    )


def _loses(now: float) -> ColumnElement[bool]:
    """Say whether a staged row takes an entry in force away by its dates (`portcullis.domain.guards`)."""
    before, after = entries.c, staged_rows.c
    postponed = and_(before.valid_from <= now, after.valid_from > now)
    return and_(before.until > now, or_(after.until <= now, postponed))


def _mark_unrecognisable(connection: Connection, *, now: float) -> None:
    """Mark as lost the entries in force that would keep none of the tokens that they are found by."""
    retokened = (changes.c.was_in_force, changes.c.retoken)
    amended = select(changes.c.entry_id).where(*retokened)
    old = cut_tokens(entries.c.entry_id, entries.c.tokens, entries.c.entry_id.in_(amended), name="old_tokens")
    same_row = changes.c.row_no == staged_rows.c.row_no
    new = cut_tokens(changes.c.entry_id, staged_rows.c.tokens, same_row, *retokened, name="new_tokens")
    kept = select(old.c.owner).join(new, and_(new.c.owner == old.c.owner, new.c.token == old.c.token))
    found = select(entries.c.entry_id).where(
        entries.c.entry_id.in_(amended), entries.c.until > now, func.length(entries.c.tokens) > 0
    )
    lost = update(changes).where(*retokened, changes.c.entry_id.in_(found), changes.c.entry_id.not_in(kept))
    connection.execute(lost.values(lost=literal(True)))  # noqa: FBT003 - SQL's


def _counts(connection: Connection) -> ImportCounts:
    amended = count(connection, changes, changes.c.was_in_force)
    added = count(connection, changes) - amended
    return ImportCounts(added=added, amended=amended, withdrawn=count(connection, withdrawals))


def shrinkage(connection: Connection, list_id: int, on: RestrictedList | None, *, now: float) -> Shrinkage:
    """Say what the import takes away. The entries in force are counted only where the guard depends on them, else 0."""
    lost = count(connection, changes, changes.c.lost) + count(connection, withdrawals, withdrawals.c.lost)
    in_force = 0
    if lost > least_guard_of(on):
        present = (entries.c.list_id == list_id, entries.c.status == _IN_FORCE, entries.c.until > now)
        in_force = count(connection, entries, *present)
    return Shrinkage(lost=lost, in_force=in_force, guard=guard_of(on, in_force))


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
        .values(version=entries.c.version + 1, status=_IN_FORCE, seq=seq)
    )
    index_tokens(connection, retokened)


def _add(connection: Connection, list_id: int, *, seq: int) -> None:
    """Write the rows of new keys; the write lock makes their numbers the highest."""
    before = connection.scalar(select(func.coalesce(func.max(entries.c.entry_id), 0)))
    added = (
        select(literal(list_id), staged_rows.c.key, literal(1), literal(_IN_FORCE), literal(seq))
        .add_columns(*(staged_rows.c[name] for name in CONTENT_COLUMNS))
        .join(changes, changes.c.row_no == staged_rows.c.row_no)
        .where(changes.c.entry_id.is_(None))
        .order_by(staged_rows.c.row_no)
    )
    columns = ("list_id", "key", "version", "status", "seq", *CONTENT_COLUMNS)
    connection.execute(insert(entries).from_select(columns, added))
    index_tokens(connection, select(entries.c.entry_id).where(entries.c.entry_id > before))
