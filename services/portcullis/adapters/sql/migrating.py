"""Bringing a database to the newest schema, when a process starts.

Every process may do it at the same time: the first one works, the others wait and find it done. A database of a newer
release is refused, so that an old process left running can't write what it does not understand.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, func, inspect, select, text

from portcullis.adapters.sql.engines import DATABASE_ERRORS, open_engine, read_url, writing
from portcullis.domain.errors import SetupFault

REVISIONS: Final = {
    "registry": ("registry_0001", "registry_0002", "registry_0003"),
    "journal": ("journal_1", "journal_2", "journal_3", "journal_4"),
}
"""The migrations of each database in their order, the newest last."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_MIGRATION_LOCK: Final = 0x706F7274_6D696702
_WAIT_S: Final = 120.0
# Alembic keeps the migration under way in module globals.
_ONE_AT_A_TIME: Final = threading.Lock()


def migrate_registry(url: str) -> None:
    """Bring the registry's database to this release's schema; blocks while another process does it.

    Raises:
        SetupFault: the database can't be used, or belongs to a newer release.
    """
    _migrate("registry", url)


def migrate_journal(url: str) -> None:
    """Bring the journal's database to this release's schema; blocks while another process does it.

    Raises:
        SetupFault: the database can't be used, or belongs to a newer release.
    """
    _migrate("journal", url)


def version_table(database: str) -> str:
    """Name the table that holds a database's version, so that both may lie in one PostgreSQL database."""
    return f"{database}_schema"


def _migrate(database: str, url: str) -> None:
    engine = open_engine(url, write_wait_s=_WAIT_S)
    try:
        _create_private(url)
        if not _is_newest(engine, database):
            _upgrade(engine, database)
    except (*DATABASE_ERRORS, OSError) as fault:
        cause = type(getattr(fault, "orig", None) or fault).__name__
        raise SetupFault(
            f"the {database}'s database can't be opened ({cause}); look at PORTCULLIS_{database.upper()}_URL, and that its "
            "folder or server is there and may be written"
        ) from None
    finally:
        engine.dispose()


def _create_private(url: str) -> None:
    """Create a SQLite file for its owner's eyes only; its -wal and -shm files take over the mode."""
    parsed = read_url(url)
    if parsed.drivername == "sqlite" and parsed.database is not None:
        os.close(os.open(parsed.database, os.O_CREAT | os.O_RDWR, 0o600))


def _is_newest(engine: Engine, database: str) -> bool:
    """Look without Alembic, whose import alone takes longer than a start should."""
    with engine.begin() as connection:
        version = _version(connection, database)
    if version is not None and version not in REVISIONS[database]:
        raise SetupFault(f"the {database}'s database belongs to a newer release; start that release, or restore a backup")
    return version == REVISIONS[database][-1]


def _version(connection: Connection, database: str) -> str | None:
    if not inspect(connection).has_table(version_table(database)):
        return None
    present = text(f"SELECT version_num FROM {version_table(database)}")  # noqa: S608 - a name of ours
    version: str | None = connection.scalar(present)
    return version


def _upgrade(engine: Engine, database: str) -> None:
    from alembic import command  # noqa: PLC0415 - see _is_newest
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / database).replace("%", "%%"))
    with _ONE_AT_A_TIME, writing(engine).begin() as connection:
        _wait_for_others(connection)
        config.attributes["connection"] = connection
        config.attributes["version_table"] = version_table(database)
        command.upgrade(config, "head")


def _wait_for_others(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
