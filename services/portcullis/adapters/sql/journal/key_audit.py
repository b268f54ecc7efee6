"""Comparing the keys of people with the log: a key is there and opens, until an erasure names it, and is gone from then on.

A key that somebody took away unseen would make an entry unreadable that nobody has erased; one that came back, as out of an
old backup, would make a person readable again who was promised otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sqlalchemy import Engine

from portcullis.adapters.journal_entries import SubjectKey
from portcullis.adapters.sql.journal.guard import guarded
from portcullis.adapters.sql.journal.keys import KeptKey, SubjectKeys
from portcullis.domain.errors import JournalUnavailable


class KeyAudit:
    """Follows the keys through the log, entry by entry. What it holds grows with the keys that were erased.

    Args:
        engine: the journal's database.
        keys: opens them.
        opens: whether they were made with the seal key given; without it none can be opened.
    """

    def __init__(self, engine: Engine, keys: SubjectKeys, *, opens: bool) -> None:
        self._engine = engine
        self._keys = keys
        self._opens = opens
        self._opened: dict[str, SubjectKey] = {}
        self._missing: dict[str, int] = {}
        """Of each key that is gone and that no erasure has named so far, the first entry under it."""

    def look(self, first_uses: Mapping[str, int]) -> Iterator[str]:
        """Take up the keys of some entries, each with the first sequence that it is used at."""
        kept = {each.key_id: each for each in self._kept(first_uses)}
        self._opened = {}
        for key_id, sequence in first_uses.items():
            if key_id not in kept:
                self._missing.setdefault(key_id, sequence)
            elif self._opens:
                yield from self._open(kept[key_id], sequence)

    def key(self, key_id: str) -> SubjectKey | None:
        """Give a key of the entries that were looked at last; None where it can't be had."""
        return self._opened.get(key_id)

    def erased(self, sequence: int, key_ids: Collection[str]) -> Iterator[str]:
        """Take an erasure of the log."""
        for key_id in key_ids:
            self._missing.pop(key_id, None)
        for _ in self._kept(key_ids):
            yield f"subject_keys: a key is there that was erased by entry {sequence}"

    def rest(self) -> Iterator[str]:
        """Name the keys that are gone, once every erasure was taken."""
        for sequence in self._missing.values():
            yield f"subject_keys: the key of entry {sequence} is missing, and no erasure names it"

    @property
    def is_short(self) -> bool:
        """Whether keys are gone that no erasure has named so far."""
        return bool(self._missing)

    def _open(self, kept: KeptKey, sequence: int) -> Iterator[str]:
        try:
            self._opened[kept.key_id] = self._keys.open(kept)
        except JournalUnavailable:
            yield f"subject_keys: the key of entry {sequence} was changed, or is another subject's"

    def _kept(self, key_ids: Collection[str]) -> list[KeptKey]:
        with guarded(), self._engine.begin() as connection:
            return self._keys.kept(connection, key_ids)
