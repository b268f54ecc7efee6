"""The registry's transactions, and the one order that its changes stand in.

A writing transaction holds the registry's write lock from its first statement to its commit, so the numbers that it takes
from the change log become visible in the order of the numbers. SQLite has one writer anyway; on PostgreSQL it is an
advisory lock, since two transactions could otherwise commit in the other order than they drew their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, func, insert, select

from portcullis.adapters.sql.engines import (
    DATABASE_ERRORS,
    asking,
    forget_deleted,
    open_engine,
    reading_consistently,
    writing,
)
from portcullis.adapters.sql.registry.schema import change_log
from portcullis.domain.errors import RegistryUnavailable
from portcullis.ports import Clock

_WRITE_LOCK: Final = 0x706F7274_72656701
_WRITE_WAIT_S: Final = 120.0
"""Long enough for the merge of a large import to end."""
_NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM change_log"


@contextmanager
def guarded() -> Iterator[None]:
    """Let no driver's error out: it may quote what was to be written.

    Raises:
        RegistryUnavailable: in its place, naming the kind of error only.
    """
    try:
        yield
    except DATABASE_ERRORS as fault:
        cause = type(getattr(fault, "orig", None) or fault).__name__
        raise RegistryUnavailable(
            f"the registry's database can't be used just now ({cause}); look at its server, disk and permissions"
        ) from None


class RegistryDatabase:
    """A pool of connections to a registry that is migrated already. Nothing is opened before the first use."""

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._engine = open_engine(url, write_wait_s=_WRITE_WAIT_S)
        self._clock = clock

    @property
    def on_sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self._engine.dialect.name == "sqlite"

    def now(self) -> float:
        """Wall time in Unix seconds."""
        return self._clock.now()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state throughout and holds no writer up.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        with guarded(), reading_consistently(self._engine).begin() as connection:
            yield connection

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """Open a writing transaction for what takes no number of the change log; on PostgreSQL it waits for no import.

        Raises:
            RegistryUnavailable: the database can't be used, or on SQLite another writer keeps it for two minutes.
        """
        with guarded(), writing(self._engine).begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open the one writing transaction; it commits at the end of the block, and not at all after an error.

        Raises:
            RegistryUnavailable: the database can't be used, or another writer keeps it for two minutes.
        """
        with self.noting() as connection:
            self.lock(connection)
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Lend a connection of its own, that is closed for good afterwards; temporary tables go with it.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        with guarded(), self._engine.connect() as connection:
            connection.detach()
            yield connection

    @contextmanager
    def writing_in(self, session: Connection) -> Iterator[Connection]:
        """Open the one writing transaction on a session's connection.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        options = writing(self._engine).get_execution_options()
        with guarded(), session.execution_options(**options).begin():
            self.lock(session)
            yield session

    def lock(self, connection: Connection) -> None:
        """Wait for the write lock, where the beginning of the transaction has not taken it already."""
        if not self.on_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(_WRITE_LOCK)))

    def head(self) -> int:
        """Give the number of the last committed change; 0 before the first. Asked many times a second.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        with guarded(), asking(self._engine).connect() as connection:
            return int(connection.exec_driver_sql(_NEWEST).scalar_one())

    def forget_deleted(self) -> None:
        """Leave nothing of what was erased in a write-ahead log (`portcullis.adapters.sql.engines`)."""
        forget_deleted(self._engine)

    def close(self) -> None:
        """Give up the connections."""
        self._engine.dispose()


def head(connection: Connection) -> int:
    """Give the number of the last change; 0 before the first."""
    return int(connection.exec_driver_sql(_NEWEST).scalar_one())


def next_change(
    connection: Connection,
    *,
    at: float,
    actor: str,
    change: str,
    subject: str,
    detail: str = "",
    document: str = "",
    ground: str = "",
) -> int:
    """Write the next line of the change log; the connection holds the write lock."""
    line = {"at": at, "actor": actor, "change": change, "subject": subject, "detail": detail}
    seq = head(connection) + 1
    connection.execute(insert(change_log).values(line | {"seq": seq, "document": document, "ground": ground}))
    return seq
