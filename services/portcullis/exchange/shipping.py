"""The shipper: carries decisions from this host's spool into the journal.

The rules:

1. Records are released from the spool after the journal has taken them, so each arrives at least once; the journal knows it
   by its decision_id, so it is there once.
2. While the journal or the disk refuses, the records that were read are kept and offered again, with pauses that grow to a
   bound and are never quite the same, so that a fleet of hosts does not come back all at once. The rest waits in the spool.
3. No fault ends the loop. A fault is logged when it begins and when it is over.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from portcullis.domain.errors import JournalUnavailable
from portcullis.ports import Clock, Journal, Spooled, SpoolReader

RECORDS_AT_ONCE: Final = 1_000
POLL_S: Final = 0.02
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
_NOTE_EVERY_S: Final = 1.0

_log = structlog.get_logger(__name__)


class ShipperCounts(Protocol):
    """What the shipper tells of its work."""

    def shipped(self, records: int) -> None:
        """Count records that the journal has taken."""
        ...

    def failed(self, part: str) -> None:
        """Count a try that failed, by the part that failed: journal, disk or other."""
        ...

    def waiting(self, size: int, age_s: float) -> None:
        """Note how many bytes of records wait, and how long ago the oldest was decided."""
        ...


class Shipper:
    """Ships one host's spool. Not for several threads.

    Args:
        reader: the host's spool.
        journal: where the records go.
        clock: tells how long records wait.
        metrics: is told of the work.
        chance: gives numbers in [0, 1), for the pauses.
    """

    def __init__(
        self,
        reader: SpoolReader,
        journal: Journal,
        clock: Clock,
        metrics: ShipperCounts,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._metrics = metrics
        self._chance = chance
        self._pending: Spooled | None = None
        self._pause_s = 0.0
        self._fault = ""
        self._note_at = clock.monotonic()

    @property
    def fault(self) -> str:
        """What goes wrong just now, for a health check; empty when nothing does."""
        return self._fault

    def ship_once(self) -> int:
        """Carry the next records; gives how many, 0 when none wait. Blocks on the disk and on the journal.

        Raises:
            JournalUnavailable: the journal has not taken them; they are offered again at the next call.
            OSError: the disk refused.
        """
        if self._pending is None:
            spooled = self._reader.read(RECORDS_AT_ONCE)
            if not spooled.records:
                return 0
            self._pending = spooled
        records, mark = self._pending
        self._journal.record_decisions(records)
        self._pending = None
        self._metrics.shipped(len(records))
        self._reader.release(mark)
        return len(records)

    def run(self, stop: threading.Event) -> None:
        """Ship until told to stop; what then waits is shipped by whoever comes next."""
        while not stop.is_set():
            pause_s = self._ship_guarded()
            self._note()
            if pause_s:
                stop.wait(pause_s)

    def _ship_guarded(self) -> float:
        """Ship once; gives how long to pause, in seconds."""
        try:
            shipped = self.ship_once()
        except JournalUnavailable as fault:
            return self._failed("journal", fault.message)
        except OSError as fault:
            return self._failed("disk", f"the disk refused ({fault.strerror or type(fault).__name__})")
        except Exception as fault:  # noqa: BLE001 - rule 3; the class alone, for a message of others may hold anything
            return self._failed("other", f"unexpected: {type(fault).__name__}")
        if self._fault:
            _log.info("decisions are shipped again")
        self._fault, self._pause_s = "", 0.0
        return 0.0 if shipped else POLL_S

    def _failed(self, part: str, message: str) -> float:
        self._metrics.failed(part)
        if message != self._fault:
            _log.warning("decisions are not shipped; they wait in the spool", part=part, fault=message)
            self._fault = message
        self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause_s))
        return self._pause_s * (0.5 + self._chance() / 2)

    def _note(self) -> None:
        now = self._clock.monotonic()
        if now < self._note_at:
            return
        self._note_at = now + _NOTE_EVERY_S
        try:
            size, oldest_at = self._reader.backlog()
        except OSError:
            self._metrics.failed("disk")
            return
        self._metrics.waiting(size, 0.0 if oldest_at is None else max(0.0, self._clock.now() - oldest_at))
