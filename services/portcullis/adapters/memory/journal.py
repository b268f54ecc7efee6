"""The journal in memory: the port's rules without its durability, for tests and trials."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence

from portcullis.domain.errors import NotFound, RecordUnavailable
from portcullis.ports import Clock, DecisionRecord, Look


class MemoryJournal:
    """A journal in memory. Implements `portcullis.ports.Journal`; safe for threads.

    Args:
        clock: dates the looks.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[str, DecisionRecord] = {}
        self._looks: defaultdict[str, list[Look]] = defaultdict(list)
        self._closed = False

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Keep records.

        Raises:
            RecordUnavailable: a decision_id is there already, or the journal is closed.
        """
        with self._lock:
            fresh = {record.decision_id: record for record in records}
            if self._closed or len(fresh) < len(records) or fresh.keys() & self._records.keys():
                raise RecordUnavailable
            self._records.update(fresh)

    def get(self, decision_id: str, *, actor: str, purpose: str) -> DecisionRecord:
        """Give one record, and note who looked at it and why.

        Raises:
            NotFound: no such decision.
        """
        with self._lock:
            record = self._records.get(decision_id)
            if record is None:
                raise NotFound("no decision has this id; an ALLOW without a hit is not recorded")
            self._looks[decision_id].append(Look(actor=actor, at=self._clock.now(), purpose=purpose))
            return record

    def looks(self, decision_id: str) -> Sequence[Look]:
        """Give the looks at one record in their order."""
        with self._lock:
            return tuple(self._looks.get(decision_id, ()))

    def close(self) -> None:
        """Take no more records."""
        with self._lock:
            self._closed = True
