"""Registries of every adapter, opened for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.entries import Entry
from portcullis.ports import Clock, EntryStore, ImportOutcome, RegistryStore
from tests.support.databases import PostgresServer, migrated_database
from tests.support.registry_entries import SEAL_KEY, TOKENISER

ADAPTERS = ("memory", "sqlite", "postgresql")


@contextmanager
def opened_registry(kind: str, folder: Path, clock: Clock, server: Callable[[], PostgresServer]) -> Iterator[EntryStore]:
    """Open an empty registry of one adapter."""
    if kind == "memory":
        yield MemoryRegistry(tokeniser=TOKENISER, clock=clock)
        return
    with (
        migrated_database(kind, "registry", folder, server) as url,
        closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)) as store,
    ):
        yield store


def import_rows(
    registry: RegistryStore, rows: Sequence[Entry], *, list_name: str = "court", full: bool = True, actor: str = "ann"
) -> ImportOutcome:
    """Import rows into a list, all of it unless said otherwise."""
    with registry.begin_import(list_name, actor=actor) as session:
        session.stage(rows)
        return session.commit(full=full)
