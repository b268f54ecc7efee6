"""Wrapping every data key of the registry anew, under the seal key in use: what is sealed stays as it is.

It goes through each table in the order of its key, a few hundred rows at a time, each batch a transaction of its own. What
was done is not done again, since a blob tells by itself what it is wrapped under; so it may be broken off anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, select, tuple_, update

from portcullis.adapters.sql.registry.database import RegistryDatabase
from portcullis.adapters.sql.registry.rows import EntryWriter
from portcullis.adapters.sql.registry.schema import entries, entry_amendments, entry_versions, held_rows
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
                with database.noting() as connection:
                    _write(connection, table, fresh)
            progress(len(rows))
    if changed and not dry_run:
        # What was wrapped under the former key shall not lie about in a log.
        database.forget_deleted()
    return Rewrapped(changed, unreadable)


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
    for row, sealed in fresh:
        this = [column == getattr(row, column.name) for column in table.primary_key.columns]
        connection.execute(update(table).where(*this, table.c.sealed == row.sealed).values(sealed=sealed))
