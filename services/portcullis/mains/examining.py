"""Looks at the databases for the doctor. Nothing is created, migrated or written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from portcullis.adapters.sql.engines import open_engine, read_url, writing
from portcullis.adapters.sql.migrating import REVISIONS, version_table
from portcullis.adapters.sql.schema import change_log
from portcullis.config import Settings
from portcullis.domain.errors import SetupFault, Unavailable

_WAIT_S = 3.0


def examine_registry(settings: Settings) -> str:
    """Say how the registry's database is.

    Raises:
        SetupFault: there is none here.
        Unavailable: it can't be used as it is.
    """
    head = _examine("registry", settings.registry_database_url, _head)
    return f"reachable, migrated, at change {head}"


def examine_journal(settings: Settings) -> str:
    """Say how the journal's database is: a writing transaction is begun and rolled back.

    Raises:
        SetupFault: there is none here.
        Unavailable: it can't be used as it is.
    """
    _examine("journal", settings.journal_database_url, lambda _connection: 0)
    return "reachable, migrated, writable"


def demand_database(database: str, url: str) -> None:
    """Demand that a SQLite database is there and may be written: opening it would make it.

    Raises:
        SetupFault: it is not there.
        Unavailable: it may not be written.
    """
    parsed = read_url(url)
    if parsed.drivername != "sqlite" or not parsed.database:
        return
    file = Path(parsed.database)
    if not file.exists():
        raise SetupFault(
            f"{file} is not there; on a host that should have it, start `portcullis run` or set "
            f"PORTCULLIS_{database.upper()}_URL"
        )
    if not os.access(file, os.R_OK | os.W_OK):
        raise Unavailable(f"{file} can't be written; give it to this user: chown $USER {file}")


def _examine(database: str, url: str, look: Callable[[Connection], int]) -> int:
    demand_database(database, url)
    engine = writing(open_engine(url, write_wait_s=_WAIT_S))
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            _demand_newest(connection, database)
            seen = look(connection)
            transaction.rollback()
            return seen
    except (SQLAlchemyError, OSError) as fault:
        cause = type(getattr(fault, "orig", None) or fault).__name__
        raise Unavailable(
            f"the {database}'s database can't be used ({cause}); look at its server, disk and permissions, and at "
            f"PORTCULLIS_{database.upper()}_URL"
        ) from None
    finally:
        engine.dispose()


def _demand_newest(connection: Connection, database: str) -> None:
    table = version_table(database)
    if not inspect(connection).has_table(table):
        raise Unavailable(f"the {database}'s database holds no tables; start `portcullis serve {_owner(database)}`")
    version = connection.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608 - a name of ours
    if version not in REVISIONS[database]:
        raise Unavailable(f"the {database}'s database belongs to a newer release; start that release")
    if version != REVISIONS[database][-1]:
        raise Unavailable(f"the {database}'s database is not migrated; start `portcullis serve {_owner(database)}`")


def _owner(database: str) -> str:
    return "registry" if database == "registry" else "gateway"


def _head(connection: Connection) -> int:
    return connection.scalar(select(func.max(change_log.c.seq))) or 0
