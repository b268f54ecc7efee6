"""Many rows into one table by the driver's own executemany.

SQLAlchemy looks at every value of every row on its way, which takes three times as long as SQLite needs to store it. The
columns written here are texts, numbers and bytes, which the drivers take as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert

Row = dict[str, Any]


def insert_many(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, each with the same columns of the table."""
    if not rows:
        return
    columns = tuple(rows[0])
    insert_tuples(connection, table, columns, (tuple([row[name] for name in columns]) for row in rows))


def insert_tuples(connection: Connection, table: Table, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows that have these columns of the table, in this order."""
    statement, order = _compiled(table, columns, connection.dialect)
    if order is None:
        given: list[Any] = [dict(zip(columns, row, strict=True)) for row in rows]
    elif order == columns:
        given = list(rows)
    else:
        places = [columns.index(name) for name in order]
        given = [tuple([row[place] for place in places]) for row in rows]
    if given:
        connection.exec_driver_sql(statement, given)


@lru_cache(maxsize=32)
def _compiled(table: Table, columns: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """Write the statement once; the order of its parameters is None when the driver takes them by name."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
    order = getattr(compiled, "positiontup", None)
    return str(compiled), tuple(order) if order else None
