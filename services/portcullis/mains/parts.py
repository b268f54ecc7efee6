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
from portcullis.domain.subjects import SubjectNames
from portcullis.domain.token_keys import TokenKeys
from portcullis.domain.tokens import Tokeniser
from portcullis.mains.keys import ENTRY_KEY, FEED_KEY, RECORD_KEY, TOKEN_KEY, read_key
from portcullis.mains.token_keys import FolderTokenKeys
from portcullis.ports import Clock

if TYPE_CHECKING:
    from portcullis.adapters.spool.writer import FileSpool
    from portcullis.adapters.sql.feed.feed import SqlFeed
    from portcullis.adapters.sql.journal.journal import SqlJournal
    from portcullis.adapters.sql.registry.registry import SqlRegistry
    from portcullis.adapters.sql.rights.rights import SqlRights


def open_token_keys(settings: Settings) -> FolderTokenKeys:
    """Find the token keys in their files.

    Raises:
        SetupFault: there is none that can be read.
    """
    keys = FolderTokenKeys(settings.keys_path)
    if not keys.held():
        # Says what is wrong with it.
        read_key(settings.keys_path, TOKEN_KEY)
    return keys


def open_entry_namer(settings: Settings) -> Tokeniser:
    """Build what names entries whose authority gave them no key: the same whichever token key is in use.

    Raises:
        SetupFault: the key file is missing or damaged.
    """
    return Tokeniser(read_key(settings.keys_path, ENTRY_KEY))


def open_subjects(settings: Settings) -> SubjectNames:
    """Build what names entries for partners, from the feed key.

    Raises:
        SetupFault: the key file is missing or damaged.
    """
    return SubjectNames(read_key(settings.keys_path, FEED_KEY))


@contextmanager
def open_registry(settings: Settings, tokeniser: TokenKeys, clock: Clock | None = None) -> Iterator[SqlRegistry]:
    """Open the registry, migrated; closed at the end.

    Raises:
        SetupFault: a key file is missing, one that its entries stand under among them, or the database can't be used.
    """
    with open_registry_to_look(settings, tokeniser, clock) as registry:
        registry.check_token_keys()
        yield registry


@contextmanager
def open_registry_to_look(settings: Settings, tokeniser: TokenKeys, clock: Clock | None = None) -> Iterator[SqlRegistry]:
    """Open the registry as `open_registry`, whether its token keys are here or not: to tell which of them is missing.

    Raises:
        SetupFault: another key file is missing, or the database can't be used.
    """
    from portcullis.adapters.key_wrapping import FolderWrapper
    from portcullis.adapters.sql.migrating import migrate_registry
    from portcullis.adapters.sql.registry.registry import SqlRegistry

    url = settings.registry_database_url
    migrate_registry(url)
    wrapper = FolderWrapper(settings.keys_path, read_key)
    entry_key = read_key(settings.keys_path, ENTRY_KEY)
    registry = SqlRegistry(url, seal_key=entry_key, tokeniser=tokeniser, clock=clock or SystemClock(), keys=wrapper)
    with closing(registry):
        yield registry


def demand_durable_registry(settings: Settings) -> None:
    """Demand that what the registry's database commits outlasts a loss of power; where parts begin to serve from it.

    Raises:
        SetupFault: its server is not set to that, or can't be asked.
    """
    from portcullis.adapters.sql.durability import demand_durable

    demand_durable("registry", settings.registry_database_url, settings.postgres_storage)


def demand_durable_journal(settings: Settings) -> None:
    """Demand that what the journal's database commits outlasts a loss of power, as `demand_durable_registry`.

    Raises:
        SetupFault: its server is not set to that, or can't be asked.
    """
    from portcullis.adapters.sql.durability import demand_durable

    demand_durable("journal", settings.journal_database_url, settings.postgres_storage)


@contextmanager
def open_rights(settings: Settings, clock: Clock) -> Iterator[SqlRights]:
    """Open the rights of listed persons, in the registry's database, which must be migrated (`open_registry`).

    Raises:
        SetupFault: the database's URL can't be used.
    """
    from portcullis.adapters.sql.rights.rights import SqlRights

    with closing(SqlRights(settings.registry_database_url, clock=clock)) as rights:
        yield rights


@contextmanager
def open_journal(settings: Settings, clock: Clock | None = None) -> Iterator[SqlJournal]:
    """Open the journal, migrated; at the end what waits is written and it is closed.

    Raises:
        SetupFault: a key file is missing, or the database can't be used.
    """
    from portcullis.adapters.sql.journal.journal import SqlJournal
    from portcullis.adapters.sql.migrating import migrate_journal

    url = settings.journal_database_url
    migrate_journal(url)
    record_key = read_key(settings.keys_path, RECORD_KEY)
    with closing(SqlJournal(url, seal_key=record_key, clock=clock or SystemClock())) as journal:
        yield journal


@contextmanager
def open_feed(settings: Settings) -> Iterator[SqlFeed]:
    """Open the feed of changes, in the journal's database, which must be migrated (`open_journal`).

    Raises:
        SetupFault: the database's URL can't be used.
    """
    from portcullis.adapters.sql.feed.feed import SqlFeed

    with closing(SqlFeed(settings.journal_database_url)) as feed:
        yield feed


@contextmanager
def open_spool(settings: Settings, clock: Clock) -> Iterator[FileSpool]:
    """Open this worker's side of the host's spool; at the end what waits is written and it is closed."""
    from portcullis.adapters.spool.writer import FileSpool

    with closing(FileSpool(settings.spool_path, clock=clock)) as spool:
        yield spool
