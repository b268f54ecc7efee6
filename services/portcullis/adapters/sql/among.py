"""Asking for many rows by their keys, in one statement that is written once.

``IN`` with a parameter for each key is another statement for each number of keys, and SQLAlchemy takes longer to write one
than SQLite to answer it. Here the keys are one parameter, an array on PostgreSQL and a JSON array on SQLite, and what is
asked most is compiled once for each database.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Text,
    any_,
    bindparam,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

_KEYS: Final = "among_keys"
_ENCODE = msgspec.json.Encoder().encode


def among(connection: Connection, column: ColumnElement[str], keys: Collection[str]) -> ColumnElement[bool]:
    """Write the condition that a column of texts has one of these values."""
    return _condition(connection.dialect, column, literal(_listed(connection.dialect, keys), _type_of(connection.dialect)))


class Lookup:
    """A question for the rows whose column of texts has one of many values; any other parameter of it has a name.

    Rows are tuples as the driver gives them: a truth of SQLite is a number. SQLAlchemy's own rows take as long to make as
    SQLite needs to find what is in them.
    """

    def __init__(self, wanted: Select[Any], column: ColumnElement[str]) -> None:
        self._wanted = wanted
        self._column = column
        self._compiled = lru_cache(self._compile)

    def rows(self, connection: Connection, keys: Collection[str], **others: object) -> Sequence[tuple[Any, ...]]:
        """Give the rows of these keys."""
        if not keys:
            return []
        statement, order = self._compiled(connection.dialect)
        given = others | {_KEYS: _listed(connection.dialect, keys)}
        parameters = given if order is None else tuple(given[name] for name in order)
        with connection.exec_driver_sql(statement, parameters) as result:
            return list(result.cursor.fetchall()) if result.cursor else []

    def _compile(self, dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
        """Write the statement; the order of its parameters is None when the driver takes them by name."""
        compiled = self._wanted.where(_condition(dialect, self._column, bindparam(_KEYS, type_=_type_of(dialect)))).compile(
            dialect=dialect
        )
        order = getattr(compiled, "positiontup", None)
        return str(compiled), tuple(order) if order else None


def _condition(dialect: Dialect, column: ColumnElement[str], listed: BindParameter[Any]) -> ColumnElement[bool]:
    if dialect.name == "sqlite":
        return column.in_(select(func.json_each(listed).table_valued("value").c.value))
    return column == any_(listed)


def _type_of(dialect: Dialect) -> TypeEngine[Any]:
    return Text() if dialect.name == "sqlite" else ARRAY(Text())


def _listed(dialect: Dialect, keys: Collection[str]) -> str | list[str]:
    return _ENCODE(list(keys)).decode() if dialect.name == "sqlite" else list(keys)
