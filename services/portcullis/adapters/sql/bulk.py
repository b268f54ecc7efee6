"""Many rows into one table by the driver's own executemany.

SQLAlchemy looks at every value of every row on its way, which takes three times as long as SQLite needs to store it. The
columns written here are texts, numbers and bytes, which the drivers take as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, insert

Row = dict[str, Any]


def insert_many(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, each with the same columns of the table."""
    if not rows:
        return
    statement, order = _compiled(table, tuple(rows[0]), connection.dialect)
    if order is None:
        connection.exec_driver_sql(statement, list(rows))
    else:
        connection.exec_driver_sql(statement, [tuple([row[name] for name in order]) for row in rows])


@lru_cache(maxsize=32)
def _compiled(table: Table, columns: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """Write the statement once; the order of its parameters is None when the driver takes them by name."""
    compiled = insert(table).compile(dialect=dialect, column_keys=list(columns))
    order = getattr(compiled, "positiontup", None)
    return str(compiled), tuple(order) if order else None
