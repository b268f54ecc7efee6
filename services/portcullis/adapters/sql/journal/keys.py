"""The keys of subjects in the database.

Whether a key exists is looked up in each transaction that uses it, and what is kept open is found by its row: a key that
another process has erased can be neither read nor written with here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, select

from portcullis.adapters.journal_entries import JournalSecrets, NewKey, SubjectKey
from portcullis.adapters.sql.among import Lookup, among
from portcullis.adapters.sql.journal.rows import Insertion
from portcullis.adapters.sql.journal.schema import subject_keys
from portcullis.domain.errors import JournalUnavailable

_OPEN_KEYS: Final = 20_000
"""An open key takes about 1 KB."""

_NEW: Final = Insertion(subject_keys, unless_there=("handle",))
_KEPT = select(subject_keys.c.handle, subject_keys.c.key_id, subject_keys.c.wrapped)
_BY_HANDLE = Lookup(_KEPT, subject_keys.c.handle)
_BY_ID = Lookup(_KEPT, subject_keys.c.key_id)


class KeptKey(NamedTuple):
    """A key as its row has it."""

    handle: str
    key_id: str
    wrapped: bytes


class SubjectKeys:
    """Makes, opens and destroys keys, within transactions of its caller's."""

    def __init__(self, secrets: JournalSecrets) -> None:
        self._secrets = secrets
        self._opened = lru_cache(_OPEN_KEYS)(secrets.open_key)

    def of_handles(self, connection: Connection, handles: Collection[str], at_ms: int) -> dict[str, SubjectKey]:
        """Give the keys of subjects, and make those that are missing. The caller holds the log's lock.

        Raises:
            JournalUnavailable: a key is damaged.
        """
        wanted = list(dict.fromkeys(handles))
        made = dict(zip(wanted, self._secrets.new_keys(wanted, at_ms), strict=True))
        rows = [(handle, new.key.key_id, new.wrapped) for handle, new in made.items()]
        keys = {handle: new.key for handle, new in made.items()}
        if _NEW.put(connection, rows) < len(rows):
            # Some had one. What was made for them is forgotten.
            keys = {row[0]: self._own(made, KeptKey(*row)) for row in _BY_HANDLE.rows(connection, wanted)}
        return keys

    def _own(self, made: Mapping[str, NewKey], kept: KeptKey) -> SubjectKey:
        new = made[kept.handle].key
        return new if new.key_id == kept.key_id else self.open(kept)

    def by_id(self, connection: Connection, key_ids: Collection[str]) -> dict[str, SubjectKey]:
        """Give the keys of these names, as far as they were not erased.

        Raises:
            JournalUnavailable: a key is damaged.
        """
        return {each.key_id: self.open(each) for each in self.kept(connection, key_ids)}

    def kept(self, connection: Connection, key_ids: Collection[str]) -> list[KeptKey]:
        """Give the keys of these names as they are kept, as far as they were not erased."""
        return [KeptKey(*row) for row in _BY_ID.rows(connection, key_ids)]

    def held(self, connection: Connection, handles: Collection[str]) -> list[str]:
        """Give those of these handles that have a key, ascending."""
        return sorted(row[0] for row in _BY_HANDLE.rows(connection, handles))

    def destroy(self, connection: Connection, handles: Collection[str]) -> Sequence[str]:
        """Delete the keys of subjects; gives their names, ascending."""
        ours = among(connection, subject_keys.c.handle, handles)
        key_ids = connection.scalars(select(subject_keys.c.key_id).where(ours).order_by(subject_keys.c.key_id)).all()
        connection.execute(delete(subject_keys).where(ours))
        self._opened.cache_clear()
        return key_ids

    def open(self, kept: KeptKey | SubjectKey) -> SubjectKey:
        """Open a key that was found within this transaction, if it is not open.

        Raises:
            JournalUnavailable: it is damaged.
        """
        if isinstance(kept, SubjectKey):
            return kept
        try:
            return self._opened(*kept)
        except ValueError:
            raise JournalUnavailable from None
