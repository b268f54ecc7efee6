"""What a PostgreSQL server is set to that could lose a commit with the machine's power, though it was acknowledged.

``synchronous_commit`` is each transaction's own, and set there (`portcullis.adapters.sql.engines`). These two are the
server's, and nobody else can set them:

- ``fsync`` off: nothing is forced to the disk. After a loss of power the database may be gone whole.
- ``full_page_writes`` off: a page of which half was written then can't be restored, unless the storage never writes half a
  page (ZFS, Aurora).

So the operator says what the data lies on (`portcullis.config.PostgresStorage`), and is believed. SQLite has no server: its
connections are set up where they are opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, text

from portcullis.adapters.sql.engines import DATABASE_ERRORS, open_engine, read_url
from portcullis.config import PostgresStorage
from portcullis.domain.errors import SetupFault

_WAIT_S: Final = 5.0
_NEEDED: Final[Mapping[PostgresStorage, frozenset[str]]] = {
    "disk": frozenset({"fsync", "full_page_writes"}),
    "whole-pages": frozenset({"fsync"}),
    "disposable": frozenset(),
}
_OR_SAY: Final = {
    "fsync": "PORTCULLIS_POSTGRES_STORAGE=disposable where the data may be lost, as in a trial",
    "full_page_writes": "PORTCULLIS_POSTGRES_STORAGE=whole-pages where its storage never writes half a page (ZFS, Aurora)",
}


def demand_durable(database: str, url: str, storage: PostgresStorage) -> None:
    """Demand that what a database has committed outlasts a loss of power. Blocks on the database.

    Args:
        database: "registry" or "journal".
        url: where it is.
        storage: what it lies on.

    Raises:
        SetupFault: its server is set to something that this storage does not make up for, or can't be asked.
    """
    if read_url(url).drivername == "sqlite":
        return
    engine = open_engine(url, write_wait_s=_WAIT_S)
    try:
        with engine.connect() as connection:
            why = what_could_be_lost(connection, database, storage)
    except DATABASE_ERRORS as fault:
        cause = type(getattr(fault, "orig", None) or fault).__name__
        raise SetupFault(
            f"the {database}'s database can't be asked how it keeps what it commits ({cause}); look at "
            f"PORTCULLIS_{database.upper()}_URL"
        ) from None
    finally:
        engine.dispose()
    if why:
        raise SetupFault(why)


def what_could_be_lost(connection: Connection, database: str, storage: PostgresStorage) -> str:
    """Name a setting of the server that puts commits at risk, and say what to do; "" where none does."""
    if connection.dialect.name == "sqlite":
        return ""
    off = connection.scalars(
        text("SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name")
    )
    setting = next((name for name in off if name in _NEEDED[storage]), None)
    if setting is None:
        return ""
    return (
        f"the {database}'s PostgreSQL has {setting} = off, so a loss of power could take what was acknowledged; turn it on "
        f"(ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()), or set {_OR_SAY[setting]}"
    )
