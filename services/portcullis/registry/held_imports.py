"""The desk at which operators decide about imports that the guard of a list holds (`portcullis.domain.guards`)."""

from __future__ import annotations

from collections.abc import Sequence

from portcullis.ports import HeldImport, ImportOutcome, RegistryStore
from portcullis.registry.purposes import read_purpose


class HeldImports:
    """Implements `portcullis.ports.HeldImportDesk`; each method blocks on the database. Safe for threads if the store is."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    def held(self) -> Sequence[HeldImport]:
        """Give the imports that wait for a second operator, in the order in which they were held.

        Raises:
            RegistryUnavailable: the database can't be used.
        """
        return self._store.held_imports()

    def approve(self, import_id: int, *, actor: str, purpose: str) -> ImportOutcome:
        """Put a held import in force, worked out against the registry as it is now.

        Raises:
            NotFound: there was no such import.
            SecondOperatorRequired: the actor has imported it.
            ImportNotHeld: it is not held any more, or the rules of its list have changed.
            InvalidRequest: ``purpose`` is longer than 128 characters or no plain text.
            RegistryUnavailable: the database can't be used; nothing has changed.
        """
        return self._store.approve_import(import_id, actor=actor, purpose=read_purpose(purpose))

    def reject(self, import_id: int, *, actor: str, purpose: str) -> HeldImport:
        """Give a held import up for good; nothing of it ever takes effect.

        Raises:
            NotFound: there was no such import.
            ImportNotHeld: it is not held any more.
            InvalidRequest: ``purpose`` is longer than 128 characters or no plain text.
            RegistryUnavailable: the database can't be used; it is held still.
        """
        return self._store.reject_import(import_id, actor=actor, purpose=read_purpose(purpose))
