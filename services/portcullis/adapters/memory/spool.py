"""The spool in memory: the port's rules without its durability, for tests and trials."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from portcullis.domain.errors import RecordUnavailable
from portcullis.ports import Backlog, DecisionRecord, Spooled


class MemorySpool:
    """A spool in memory. Implements `portcullis.ports.DecisionSpool`; safe for threads. `reader` gives its other side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[DecisionRecord] = []
        self._released = 0
        self._closed = False

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Keep records.

        Raises:
            RecordUnavailable: the spool is closed.
        """
        with self._lock:
            if self._closed and records:
                raise RecordUnavailable
            self._records += records

    def close(self) -> None:
        """Take no more records; those that wait can still be read."""
        with self._lock:
            self._closed = True

    def reader(self) -> MemorySpoolReader:
        """Give a reader, which begins with what was not released."""
        return MemorySpoolReader(self)

    def waiting(self, start: int = 0) -> tuple[int, Sequence[DecisionRecord]]:
        """Give the records from a place on that were not released, and the place of the first of them."""
        with self._lock:
            first = max(start, self._released)
            return first, tuple(self._records[first - self._released :])

    def release(self, end: int) -> None:
        """Forget the records before a place."""
        with self._lock:
            gone = max(0, end - self._released)
            del self._records[:gone]
            self._released += gone


class MemorySpoolReader:
    """Reads a spool in memory. Implements `portcullis.ports.SpoolReader`; not for several threads."""

    def __init__(self, spool: MemorySpool) -> None:
        self._spool = spool
        self._next = 0

    def read(self, limit: int) -> Spooled:
        """Give the next records that were neither released nor read by this reader before."""
        first, waiting = self._spool.waiting(self._next)
        records = waiting[:limit]
        self._next = first + len(records)
        return Spooled(records, self._next)

    def release(self, mark: object) -> None:
        """Let go of what was read up to a mark.

        Raises:
            TypeError: the mark is not one of `read`.
        """
        if not isinstance(mark, int):
            raise TypeError("a mark is what read gave")
        self._spool.release(mark)

    def backlog(self) -> Backlog:
        """Say what waits; a record counts with its length in JSON."""
        _, waiting = self._spool.waiting()
        size = sum(len(msgspec.json.encode(record)) for record in waiting)
        return Backlog(size, min((record.decided_at for record in waiting), default=None))

    def close(self) -> None:
        """Nothing to give up; what was not released is read again by the next reader."""
