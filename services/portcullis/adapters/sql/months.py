"""Months in SQL, for what is counted by them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func


def month_of(connection: Connection, seconds: ColumnElement[Any]) -> ColumnElement[str]:
    """Write the month of a time in Unix seconds, in UTC, as "2026-11"."""
    if connection.dialect.name == "sqlite":
        return func.strftime("%Y-%m", cast(seconds, BigInteger), "unixepoch")
    return func.to_char(func.timezone("UTC", func.to_timestamp(seconds)), "YYYY-MM")
