"""The alarm board in memory, for one process."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from portcullis.domain.alarms import Alarm, Board, Release


class MemoryAlarmBoard:
    """Implements `portcullis.ports.AlarmBoard`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._releases: dict[str, Release] = {}

    def put(self, alarms: Sequence[Alarm]) -> None:
        """Put alarms up."""
        with self._lock:
            self._alarms |= {(each.partner, each.level): each for each in alarms}

    def release(self, partner: str, *, by: str, at: float, why: str) -> Release:
        """Release a partner."""
        with self._lock:
            release = Board(tuple(self._alarms.values()), self._releases).next_release(partner, by=by, at=at, why=why)
            self._releases[partner] = release
            return release

    def look(self) -> Board:
        """Give what is up."""
        with self._lock:
            return Board(tuple(self._alarms.values()), dict(self._releases))
