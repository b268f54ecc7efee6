"""Rows of the journal's tables, many to a statement.

SQLAlchemy looks at every value on its way, and the driver of SQLite lets go of the interpreter at every row: with calls
waiting to be answered, each row would be a chance to be interrupted. So the statement is written once, for many rows, and
is given to the driver as it is. The values are texts, numbers and bytes, which both drivers take as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.exc import DataError, IntegrityError

ROW_ERRORS: Final = (IntegrityError, DataError, sqlite3.IntegrityError, sqlite3.DataError)
"""What says that a row can't be stored, rather than that the database can't be used."""

_SQLITE_VALUES: Final = 999
"""How many values a statement may have in every release of SQLite."""

Rows = Sequence[tuple[Any, ...]]


class _Statements(NamedTuple):
    one: str
    many: str
    at_once: int
    """How many rows the second takes."""


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
            return _Statements(f"INSERT INTO {name} VALUES ({marks}){passed_over}", "", 0)  # noqa: S608 - our own names
        # SQLite keeps a copy of every page that a statement of many rows touches, so that a conflict can take back the
        # statement alone; here, it takes back the transaction.
        begin = f"INSERT OR ROLLBACK INTO {name} VALUES "  # noqa: S608 - our own names
        marks, at_once = f"({', '.join('?' * width)})", _SQLITE_VALUES // width
        return _Statements(f"{begin}{marks}{passed_over}", f"{begin}{', '.join([marks] * at_once)}{passed_over}", at_once)


def _put(database: sqlite3.Connection, statements: _Statements, rows: Rows) -> int:
    new, width = 0, statements.at_once
    whole = len(rows) - len(rows) % width
    for start in range(0, whole, width):
        values = list(chain.from_iterable(rows[start : start + width]))
        new += database.execute(statements.many, values).rowcount
    if whole < len(rows):
        new += database.executemany(statements.one, rows[whole:]).rowcount
    return new
