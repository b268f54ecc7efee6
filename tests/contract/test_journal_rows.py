"""Rows of the journal's tables: any number of them, all or none, or without those that are there where that is asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from portcullis.adapters.sql.engines import open_engine, writing
from portcullis.adapters.sql.journal.rows import ROW_ERRORS, Insertion, Rows
from portcullis.adapters.sql.journal.schema import subject_keys
from tests.support.databases import migrated_database

_WHAT_FITS = 999 // 3


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres")) as url:
        engine = open_engine(url, write_wait_s=5)
        yield engine
        engine.dispose()


def rows(begin: int, end: int) -> Rows:
    return [(f"handle {number}", f"key {number}", b"%d" % number) for number in range(begin, end)]


def put(engine: Engine, insertion: Insertion, some: Rows) -> int:
    with writing(engine).begin() as connection:
        return insertion.put(connection, some)


def stored(engine: Engine) -> Rows:
    with engine.begin() as connection:
        return sorted(map(tuple, connection.execute(select(subject_keys))))


@pytest.mark.parametrize("count", [0, 1, 7, 300, _WHAT_FITS - 1, _WHAT_FITS, _WHAT_FITS + 1, 3 * _WHAT_FITS + 5])
def test_any_number_of_rows_is_stored_as_it_is(engine: Engine, count: int) -> None:
    assert count == put(engine, Insertion(subject_keys), rows(0, count))
    assert sorted(rows(0, count)) == stored(engine)


@pytest.mark.parametrize("count", [5, 2 * _WHAT_FITS + 5])
def test_rows_that_are_there_are_left_out_and_not_counted(engine: Engine, count: int) -> None:
    new = Insertion(subject_keys, unless_there=("handle",))
    assert 3 == put(engine, new, rows(1, 4))
    changed = [(handle, f"other {key_id}", b"other") for handle, key_id, _ in rows(0, count)]
    assert count - 3 == put(engine, new, changed)
    assert set(rows(1, 4)) <= set(stored(engine))
    assert count == len(stored(engine))


@pytest.mark.parametrize("count", [5, 2 * _WHAT_FITS + 5])
def test_one_row_that_is_there_leaves_nothing_of_its_transaction(engine: Engine, count: int) -> None:
    put(engine, Insertion(subject_keys), rows(3, 4))
    with pytest.raises(ROW_ERRORS):
        put(engine, Insertion(subject_keys), [*rows(10_000, 10_400), *rows(0, count)])
    assert list(rows(3, 4)) == stored(engine)
    assert 1 == put(engine, Insertion(subject_keys), rows(5, 6))


@pytest.mark.parametrize("count", [5, 2 * _WHAT_FITS + 5])
def test_a_conflict_in_another_column_is_none_that_is_passed_over(engine: Engine, count: int) -> None:
    put(engine, Insertion(subject_keys), [("another handle", "key 3", b"")])
    with pytest.raises(ROW_ERRORS):
        put(engine, Insertion(subject_keys, unless_there=("handle",)), rows(0, count))
    assert [("another handle", "key 3", b"")] == stored(engine)


def test_a_row_that_lacks_a_value_is_refused_where_all_must_be_stored(engine: Engine) -> None:
    with pytest.raises(ROW_ERRORS):
        put(engine, Insertion(subject_keys), [("handle", None, b"")])
    with engine.begin() as connection:
        assert 0 == connection.scalar(select(func.count()).select_from(subject_keys))


def test_a_statement_has_no_more_values_than_any_sqlite_takes(tmp_path: Path) -> None:
    with migrated_database("sqlite", "journal", tmp_path, NotImplemented) as url:
        engine = open_engine(url, write_wait_s=5)
        with writing(engine).begin() as connection:
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, sqlite3.Connection)
            raw.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
            assert 1_000 == Insertion(subject_keys).put(connection, rows(0, 1_000))
        engine.dispose()
