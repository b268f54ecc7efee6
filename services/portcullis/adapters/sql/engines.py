"""Connections to SQLite and PostgreSQL, set up so that a commit is on the disk and a reader never holds up a writer.

SQLite runs in WAL mode with ``synchronous=FULL``. Its transactions are begun by hand: a reading one by ``BEGIN``, which
takes a snapshot at its first SELECT, a writing one by ``BEGIN IMMEDIATE``, so that two writers queue before they have
read anything that the other may change. What is deleted is filled with zeros (``secure_delete``), which most builds do not
do by themselves; older frames of the write-ahead log still hold it until that is cut (`forget_deleted`).
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from portcullis.domain.errors import SetupFault

DATABASE_ERRORS: Final = (SQLAlchemyError, sqlite3.Error)
"""What using an engine may raise; SQLAlchemy leaves what happens as a transaction begins as the driver raised it."""

_WRITES: Final = "portcullis_writes"
_STANDS_ALONE: Final = "portcullis_stands_alone"
_READ_WAIT_MS: Final = 5_000
_LONGEST_PAUSE_S: Final = 0.002
_WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CONNECT_TIMEOUT_S: Final = 5
_SILENCE: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A server whose network is gone is given up after some 15 s, where the kernel would wait for a quarter of an hour or more:
who waits for a commit meanwhile gets no answer, and a process that is told to stop does not."""


def read_url(text_url: str) -> URL:
    """Read a database URL; ``postgresql://`` means psycopg 3.

    Raises:
        SetupFault: it is no URL, or one of another database.
    """
    try:
        url = make_url(text_url)
    except ArgumentError:
        raise SetupFault("the database URL can't be read; write sqlite:///PATH or postgresql://HOST/NAME") from None
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in {"sqlite", "postgresql+psycopg"}:
        raise SetupFault("the database URL names another database; write sqlite:///PATH or postgresql://HOST/NAME")
    if url.drivername == "sqlite" and (not url.database or url.database == ":memory:"):
        raise SetupFault("the database URL names no file; write sqlite:///PATH with the path of a file")
    return url


def open_engine(text_url: str, *, write_wait_s: float) -> Engine:
    """Make a pool of connections; none is opened yet.

    Args:
        text_url: the database.
        write_wait_s: how long a writing transaction waits for another writer, in seconds.

    Raises:
        SetupFault: the URL can't be used, or its driver is not installed.
    """
    url = read_url(text_url)
    if url.drivername == "sqlite":
        return _sqlite(url, write_wait_s)
    return _postgres(url, write_wait_s)


def writing(engine: Engine) -> Engine:
    """Give the same pool with writing transactions."""
    return engine.execution_options(**{_WRITES: True})


def reading_consistently(engine: Engine) -> Engine:
    """Give the same pool with transactions that see one state from their first statement to their last."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def asking(engine: Engine) -> Engine:
    """Give the same pool for single statements, which need no transaction begun and ended around them."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_STANDS_ALONE: True})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def forget_deleted(engine: Engine) -> None:
    """Have SQLite carry its write-ahead log over and cut it; where a reader is in the way, its next checkpoint does."""
    if engine.dialect.name == "sqlite":
        with suppress(*DATABASE_ERRORS), engine.connect() as connection:
            # No checkpoint can take place within a transaction, so the driver is asked without one.
            raw = cast("sqlite3.Connection", connection.connection.dbapi_connection)
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _postgres(url: URL, write_wait_s: float) -> Engine:
    own = {"connect_timeout": _CONNECT_TIMEOUT_S, "application_name": "portcullis", **_SILENCE}
    connect_args = {name: value for name, value in own.items() if name not in url.query}
    try:
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=connect_args)
    except ModuleNotFoundError:
        raise SetupFault("PostgreSQL needs psycopg; install portcullis[postgres]") from None

    @event.listens_for(engine, "begin")
    def bound_the_wait(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            # A server set to answer before its disk does would lose what this release has vouched for.
            connection.execute(
                text(
                    "SELECT set_config('lock_timeout', :wait, true), CASE WHEN current_setting('synchronous_commit') = 'off'"
                    " THEN set_config('synchronous_commit', 'on', true) END"
                ),
                {"wait": f"{int(write_wait_s * 1000)}ms"},
            )

    return engine


def _sqlite(url: URL, write_wait_s: float) -> Engine:
    engine = create_engine(url, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def set_up(raw: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        raw.isolation_level = None
        with closing(raw.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {_READ_WAIT_MS}")
            _enter_wal(cursor, write_wait_s)
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.execute("PRAGMA secure_delete = ON")
            cursor.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get(_WRITES):
            _begin_immediate(connection, write_wait_s)
        elif not options.get(_STANDS_ALONE):
            connection.exec_driver_sql("BEGIN")

    return engine


def _enter_wal(cursor: DBAPICursor, wait_s: float) -> None:
    """Turn WAL on. SQLite does not wait by itself when another process turns it on at the same time."""
    _when_free(lambda: cursor.execute("PRAGMA journal_mode = WAL"), wait_s)


def _begin_immediate(connection: Connection, wait_s: float) -> None:
    """Become the one writer. SQLite's own waiting naps up to 100 ms at a time; a decision can't wait that long."""
    raw = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        _when_free(lambda: raw.execute("BEGIN IMMEDIATE"), wait_s)
    finally:
        raw.execute(f"PRAGMA busy_timeout = {_READ_WAIT_MS}")


def _when_free(attempt: Callable[[], object], wait_s: float) -> None:
    """Try until no other writer is in the way."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            attempt()
        except sqlite3.OperationalError as fault:
            if not _is_busy(fault) or time.monotonic() > deadline:
                raise
            _pause()
        else:
            return


def _pause() -> None:
    time.sleep(random.uniform(_LONGEST_PAUSE_S / 10, _LONGEST_PAUSE_S))  # noqa: S311 - it only spreads the tries


def _is_busy(fault: sqlite3.OperationalError) -> bool:
    return fault.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
