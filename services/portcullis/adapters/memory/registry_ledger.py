"""What a registry in memory keeps: the log of changes, every version of every entry, and the amendments that wait."""

from __future__ import annotations

import threading
from collections import defaultdict
from itertools import count
from typing import NamedTuple

from portcullis.adapters.memory.registry_versions import Change, Version
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import NotFound
from portcullis.ports import Clock, StoredEntry


class Amendment(NamedTuple):
    """What waits beside a listed entry; ``seq`` is the change that proposed it."""

    entry: Entry
    seq: int


class Ledger:
    """The log, the entries by list and key, and what waits beside them. Whoever uses it holds ``lock``."""

    def __init__(self, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.log: list[Change] = []
        self.lists: defaultdict[str, dict[str, Version]] = defaultdict(dict)
        self.waiting: dict[tuple[str, str], Amendment] = {}
        self._clock = clock
        self._entry_ids = count(1)

    def write(self, change: str, subject: str, note: StepNote) -> int:
        """Write a line of the log; gives its number."""
        self.log.append(Change(self._clock.now(), str(change), subject, note))
        return len(self.log)

    def line(self, seq: int) -> Change:
        """Give the line of a number."""
        return self.log[seq - 1]

    def find(self, list_name: str, key: str) -> Version:
        """Give an entry's present version.

        Raises:
            NotFound: no such entry.
        """
        held = self.lists[list_name].get(key)
        if held is None:
            raise NotFound("no entry of this list has this key")
        return held

    def add(self, entry: Entry, status: EntryStatus, seq: int, *, barred: bool = False) -> Version:
        """Add an entry's first or next version; nothing waits beside one that is not listed."""
        known = self.lists[entry.list].get(entry.key)
        entry_id, number = (known.entry_id, known.number + 1) if known else (next(self._entry_ids), 1)
        version = Version(entry_id, number, status, entry, seq, known, barred)
        self.lists[entry.list][entry.key] = version
        if not version.listed:
            self.waiting.pop(version.name, None)
        return version

    def stored(self, held: Version) -> StoredEntry:
        """Give a version as the registry gives it out."""
        entry = held.entry
        return StoredEntry(
            list=entry.list,
            key=entry.key,
            entry_id=held.entry_id,
            version=held.number,
            status=held.status,
            subject_type=entry.subject_type,
            authority=entry.authority,
            legal_basis=entry.legal_basis,
            case_reference=entry.case_reference,
            purpose=entry.purpose,
            valid_from=entry.valid_from,
            until=entry.until,
            redress=entry.redress,
            measures=entry.measures,
            effective_until=held.ends,
            lapses_at=entry.lapses_at,
            pending=held.name in self.waiting,
        )
