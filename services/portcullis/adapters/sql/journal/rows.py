"""Rows of the journal's tables, many to a statement.

SQLAlchemy looks at every value on its way, and the driver of SQLite lets go of the interpreter at every row: with calls
waiting to be answered, each row would be a chance to be interrupted. So the statement is written once, for many rows, and
is given to the driver as it is. The values are texts, numbers and bytes, which both drivers take as they are; only that of
SQLite looks first whether anybody adapts a value, unless it is an int, a float, a str or a bytearray. For bytes that takes
three times as long as to copy them into a bytearray.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, count, takewhile
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Connection, Dialect, LargeBinary, Table
from sqlalchemy.exc import DataError, IntegrityError

ROW_ERRORS: Final = (IntegrityError, DataError, sqlite3.IntegrityError, sqlite3.DataError)
"""What says that a row can't be stored, rather than that the database can't be used."""

_SQLITE_VALUES: Final = 999
"""How many values a statement may have in every release of SQLite."""

_STEP: Final = 4
"""What the largest statement leaves goes into one of a quarter of its rows, and so on: few statements to keep prepared."""

Rows = Sequence[tuple[Any, ...]]


class _Statements(NamedTuple):
    one: str
    many: tuple[tuple[int, str], ...]
    """Statements of many rows, by how many each takes, the most first."""
    width: int
    """How many values a row has."""
    binary: tuple[int, ...]
    """The places of those that are bytes."""


class Insertion:
    """Puts rows into one table, each with a value for every column in the table's order.

    Args:
        table: where they go.
        unless_there: leave those out of which there is one with the same values in these columns, which are unique. After
            any other conflict nothing of the transaction stays.
    """

    def __init__(self, table: Table, *, unless_there: tuple[str, ...] = ()) -> None:
        self._table = table
        self._unless_there = unless_there
        self._statements = lru_cache(self._write)

    def put(self, connection: Connection, rows: Rows) -> int:
        """Put rows; gives how many are there now that were not before.

        Raises:
            sqlalchemy.exc.SQLAlchemyError, sqlite3.Error: it can't be done; `ROW_ERRORS` where a row is at fault.
        """
        if not rows:
            return 0
        statements = self._statements(connection.dialect)
        if connection.dialect.name != "sqlite":
            return connection.exec_driver_sql(statements.one, list(rows)).rowcount
        return _put(cast("sqlite3.Connection", connection.connection.dbapi_connection), statements, rows)

    def _write(self, dialect: Dialect) -> _Statements:
        writer, columns = dialect.identifier_preparer, list(self._table.columns)
        name = f"{writer.format_table(self._table)} ({', '.join(map(writer.format_column, columns))})"
        passed_over = f" ON CONFLICT ({', '.join(self._unless_there)}) DO NOTHING" if self._unless_there else ""
        width = len(columns)
        if dialect.name != "sqlite":
            marks = ", ".join(["%s"] * width)
            return _Statements(f"INSERT INTO {name} VALUES ({marks}){passed_over}", (), width, ())  # noqa: S608 - our own
        # SQLite keeps a copy of every page that a statement of many rows touches, so that a conflict can take back the
        # statement alone; here, it takes back the transaction.
        begin = f"INSERT OR ROLLBACK INTO {name} VALUES "  # noqa: S608 - our own names
        marks = f"({', '.join('?' * width)})"
        sizes = takewhile(lambda size: size > 1, (_SQLITE_VALUES // width // _STEP**step for step in count()))
        many = tuple((size, f"{begin}{', '.join([marks] * size)}{passed_over}") for size in sizes)
        binary = tuple(place for place, each in enumerate(columns) if isinstance(each.type, LargeBinary))
        return _Statements(f"{begin}{marks}{passed_over}", many, width, binary)


def _put(database: sqlite3.Connection, statements: _Statements, rows: Rows) -> int:
    new = done = 0
    for size, statement in statements.many:
        while len(rows) - done >= size:
            new += database.execute(statement, _values(statements, rows[done : done + size])).rowcount
            done += size
    if done < len(rows):
        new += database.executemany(statements.one, rows[done:]).rowcount
    return new


def _values(statements: _Statements, rows: Rows) -> list[Any]:
    """Give the values of rows one after the other, as SQLite's driver takes them soonest."""
    values = list(chain.from_iterable(rows))
    for place in statements.binary:
        values[place :: statements.width] = map(bytearray, values[place :: statements.width])
    return values
