"""How the tables of every database here name their constraints and number their rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints, the same on every database and in every migration."""

# SQLite numbers rows by itself only in a column whose type is INTEGER.
NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""The type of a number that the database gives to each row."""
