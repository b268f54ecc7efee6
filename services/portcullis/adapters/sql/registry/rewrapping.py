"""Wrapping every data key of the registry anew, under the seal key in use: what is sealed stays as it is.

It goes through each table in the order of its key, a few hundred rows at a time, each batch a transaction of its own that
holds the write lock: other writers change the same rows in another order. What was done is not done again, since a blob
tells by itself what it is wrapped under; so it may be broken off anywhere.

A seal key goes for good only while the write lock is held, after a look at what was written since all was counted. Whoever
writes what was sealed before it had the lock sees under the lock that its key is still there
(`portcullis.adapters.sql.registry.rows.EntryWriter.demand_held`). So one of the two always sees the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Select, Table, bindparam, select, tuple_, update

from portcullis.adapters.sql.registry.database import RegistryDatabase, head
from portcullis.adapters.sql.registry.rows import EntryWriter
from portcullis.adapters.sql.registry.schema import entries, entry_amendments, entry_versions, held_rows, imports
from portcullis.ports.token_keys import Rewrapped

BATCH: Final = 500

_SEALED: Final = (held_rows, entry_amendments, entries, entry_versions)
"""In the order that rows go from one table to the next, so that none passes by unseen."""


def rewrap(
    database: RegistryDatabase, writer: EntryWriter, *, dry_run: bool, progress: Callable[[int], object]
) -> Rewrapped:
    """Wrap what is wrapped under another key than the one in use; gives how many rows that were, and how many can't be.

    With ``dry_run`` it counts them and writes nothing. ``progress`` is told of the rows looked at since it was told last.

    Raises:
        RegistryUnavailable: the database can't be used.
    """
    changed = unreadable = 0
    for table in _SEALED:
        last: tuple[Any, ...] | None = None
        while rows := _page(database, table, last):
            last = _key_of(table, rows[-1])
            fresh, lost = _fresh(writer, rows)
            unreadable += lost
            changed += len(fresh)
            if fresh and not dry_run:
                with database.writing() as connection:
                    _write(connection, table, fresh)
            progress(len(rows))
    if changed and not dry_run:
        # What was wrapped under the former key shall not lie about in a log.
        database.forget_deleted()
    return Rewrapped(changed, unreadable)


def retire(database: RegistryDatabase, writer: EntryWriter, delete: Callable[[], object]) -> Rewrapped:
    """Have a former seal key deleted, unless something is wrapped under another than the one in use; gives how much is.

    ``delete`` is called with the write lock held.

    Raises:
        RegistryUnavailable: the database can't be used.
    """
    with database.reading() as connection:
        since = head(connection)
    left = rewrap(database, writer, dry_run=True, progress=lambda _: None)
    if any(left):
        return left
    with database.writing() as connection:
        changed = unreadable = 0
        for rows in _written_since(connection, since):
            fresh, lost = _fresh(writer, rows)
            changed += len(fresh)
            unreadable += lost
        if not (changed or unreadable):
            delete()
    return Rewrapped(changed, unreadable)


def _written_since(connection: Connection, since: int) -> Iterator[Sequence[Row[Any]]]:
    """Give what was sealed of whatever changes after ``since`` have written, in parts."""
    present = select(entries.c.entry_id).where(entries.c.seq > since)
    held = select(imports.c.import_id).where(imports.c.held_seq > since)
    written: Iterable[Select[Any]] = (
        select(held_rows.c.sealed).where(held_rows.c.import_id.in_(held)),
        select(entry_amendments.c.sealed).where(entry_amendments.c.seq > since),
        select(entries.c.sealed).where(entries.c.seq > since),
        # An entry's present version is younger than each of its history.
        select(entry_versions.c.sealed).where(entry_versions.c.seq > since, entry_versions.c.entry_id.in_(present)),
    )
    for each in written:
        yield from connection.execute(each.execution_options(yield_per=BATCH)).partitions()


def _page(database: RegistryDatabase, table: Table, last: tuple[Any, ...] | None) -> list[Row[Any]]:
    key = list(table.primary_key.columns)
    wanted = select(*key, table.c.sealed).order_by(*key).limit(BATCH)
    if last is not None:
        wanted = wanted.where(tuple_(*key) > tuple_(*last))
    with database.reading() as connection:
        return list(connection.execute(wanted))


def _key_of(table: Table, row: Row[Any]) -> tuple[Any, ...]:
    return tuple(getattr(row, column.name) for column in table.primary_key.columns)


def _fresh(writer: EntryWriter, rows: Sequence[Row[Any]]) -> tuple[list[tuple[Row[Any], bytes]], int]:
    fresh: list[tuple[Row[Any], bytes]] = []
    unreadable = 0
    for row in rows:
        try:
            # What was erased has no seal.
            sealed = writer.rewrapped(row.sealed) if row.sealed else None
        except ValueError:
            unreadable += 1
        else:
            if sealed is not None:
                fresh.append((row, sealed))
    return fresh, unreadable


def _write(connection: Connection, table: Table, fresh: Sequence[tuple[Row[Any], bytes]]) -> None:
    # Another process may have wrapped a row anew since it was read, or a step have taken it away.
    wanted: dict[Column[Any], Any] = {
        column: bindparam(f"_{column.name}") for column in (*table.primary_key.columns, table.c.sealed)
    }
    connection.execute(
        update(table).where(*(column == value for column, value in wanted.items())).values(sealed=bindparam("_fresh")),
        [{f"_{column.name}": getattr(row, column.name) for column in wanted} | {"_fresh": sealed} for row, sealed in fresh],
    )
