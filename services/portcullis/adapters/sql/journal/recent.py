"""Decisions that this process has recorded or looked up lately, so that an event of one finds it without the database.

A partner reports what it did about a decision within seconds or days of it, and often more than once. What is matched never
changes once it is recorded; only the key may go. So what is here was read under one number of an erasure, the last that the
log knew then: the lock of the log's end tells every process alike when there was another, and then all of it is forgotten,
with the open keys in it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Final

from portcullis.adapters.sql.journal.decisions import FoundDecision

_DECISIONS: Final = 20_000
"""Each takes about 2 KB, most of it the open key."""


class RecentDecisions:
    """Remembers decisions, the oldest of which make room for new ones. Safe for threads.

    Args:
        limit: how many.
    """

    def __init__(self, limit: int = _DECISIONS) -> None:
        self._limit = limit
        self._found: dict[str, FoundDecision] = {}
        self._erased = 0
        self._lock = threading.Lock()

    def find(self, decision_ids: Collection[str], erased: int) -> dict[str, FoundDecision]:
        """Give those that are remembered as of the erasure that is the last one now (`LogTail.erased`)."""
        with self._lock:
            if not self._read_under(erased):
                return {}
            return {decision_id: self._found[decision_id] for decision_id in decision_ids if decision_id in self._found}

    def remember(self, found: Mapping[str, FoundDecision], erased: int) -> None:
        """Remember decisions that are in the log for good, as they were read under an erasure's number."""
        with self._lock:
            if not self._read_under(erased):
                return
            for decision_id, each in found.items():
                self._found.pop(decision_id, None)
                self._found[decision_id] = each
            while len(self._found) > self._limit:
                del self._found[next(iter(self._found))]

    def _read_under(self, erased: int) -> bool:
        """Say whether what is here may be used with what was read under this number; forget what is older."""
        if erased > self._erased:
            self._found.clear()
            self._erased = erased
        return erased == self._erased
