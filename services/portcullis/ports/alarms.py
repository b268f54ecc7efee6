"""The alarm board: what one gateway suspects, told to all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from portcullis.domain.alarms import Alarm, Board, Release


class AlarmBoard(Protocol):
    """Keeps alarms and releases for `KEPT_S` after the last change of either.

    Any method may block, and raise StoreUnavailable.
    May be used from several threads.
    """

    def put(self, alarms: Sequence[Alarm]) -> None:
        """Put alarms up; a partner's later one of a level takes the place of the former."""
        ...

    def release(self, partner: str, *, by: str, at: float, why: str) -> Release:
        """Release a partner (``at`` in Unix seconds); every alarm of it that stands is void from now on."""
        ...

    def look(self) -> Board:
        """Give what is up; what can't be read is left out."""
        ...
