"""The adapters of each part, built from the settings.

Each is imported where it is opened: a gateway has no use for the registry's, and starts the sooner without.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from portcullis.adapters.clock import SystemClock
from portcullis.config import Settings
from portcullis.domain.tokens import Tokeniser
from portcullis.mains.keys import SEAL_KEY, TOKEN_KEY, read_key
from portcullis.ports import Clock

if TYPE_CHECKING:
    from portcullis.adapters.sql.journal import SqlJournal
    from portcullis.adapters.sql.registry import SqlRegistry


def open_tokeniser(settings: Settings) -> Tokeniser:
    """Build the tokeniser from its key file.

    Raises:
        SetupFault: the key file is missing or damaged.
    """
    return Tokeniser(read_key(settings.keys_path, TOKEN_KEY))


@contextmanager
def open_registry(settings: Settings, tokeniser: Tokeniser, clock: Clock | None = None) -> Iterator[SqlRegistry]:
    """Open the registry, migrated; closed at the end.

    Raises:
        SetupFault: a key file is missing, or the database can't be used.
    """
    from portcullis.adapters.sql.migrating import migrate_registry
    from portcullis.adapters.sql.registry import SqlRegistry

    url = settings.registry_database_url
    migrate_registry(url)
    seal_key = read_key(settings.keys_path, SEAL_KEY)
    registry = SqlRegistry(url, seal_key=seal_key, tokeniser=tokeniser, clock=clock or SystemClock())
    with closing(registry):
        yield registry


@contextmanager
def open_journal(settings: Settings, clock: Clock | None = None) -> Iterator[SqlJournal]:
    """Open the journal, migrated; at the end what waits is written and it is closed.

    Raises:
        SetupFault: the database can't be used.
    """
    from portcullis.adapters.sql.journal import SqlJournal
    from portcullis.adapters.sql.migrating import migrate_journal

    url = settings.journal_database_url
    migrate_journal(url)
    with closing(SqlJournal(url, clock=clock or SystemClock())) as journal:
        yield journal
