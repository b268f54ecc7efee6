"""Decisions that this process has recorded or looked up lately, so that an event of one finds it without the database.

A partner reports what it did about a decision within seconds or days of it, and often more than once. What is matched never
changes once it is recorded; only the key may go. So everything here is marked with the last erasure that the log knew when
it was read, and is good for as long as that is the last: the lock of the log's end tells, to every process alike.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Final

from portcullis.adapters.sql.journal_decisions import FoundDecision

_DECISIONS: Final = 20_000
"""Each takes about 2 KB, most of it the open key."""


class RecentDecisions:
    """Remembers decisions, the oldest of which make room for new ones. Safe for threads.

    Args:
        limit: how many.
    """

    def __init__(self, limit: int = _DECISIONS) -> None:
        self._limit = limit
        self._found: dict[str, tuple[int, FoundDecision]] = {}
        self._lock = threading.Lock()

    def find(self, decision_ids: Collection[str], erased: int) -> dict[str, FoundDecision]:
        """Give those that are remembered as of the erasure that is the last one now (`LogTail.erased`)."""
        found = {}
        for decision_id in decision_ids:
            kept = self._found.get(decision_id)
            if kept is not None and kept[0] == erased:
                found[decision_id] = kept[1]
        return found

    def remember(self, found: Mapping[str, FoundDecision], erased: int) -> None:
        """Remember decisions that are in the log for good, as they were read under an erasure's number."""
        with self._lock:
            for decision_id, each in found.items():
                self._found.pop(decision_id, None)
                self._found[decision_id] = erased, each
            while len(self._found) > self._limit:
                del self._found[next(iter(self._found))]
