"""Pauses: what failed is not tried again at once, and ever less often while it goes on failing."""

from __future__ import annotations

from collections.abc import Hashable

from portcullis.domain.errors import SnapshotInvalid
from portcullis.ports import Clock

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 32.0


class Pause:
    """Holds off from one thing that failed; anything else may be tried at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._thing: Hashable = None
        self._fault: Exception | None = None
        self._pause_s = 0.0
        self._until = 0.0

    def fault(self, thing: Hashable) -> Exception | None:
        """Give what went wrong with this when it is still paused."""
        return self._fault if thing == self._thing and self._clock.monotonic() < self._until else None

    def lengthen(self, thing: Hashable, fault: Exception) -> None:
        """Note that it failed: the pause after it begins, twice as long as the last."""
        if thing == self._thing:
            self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, self._pause_s * 2))
        else:
            # A disk is asked once more at the next look: what failed may have freed its room again.
            self._pause_s = FIRST_PAUSE_S if isinstance(fault, SnapshotInvalid) else 0.0
        # Without its traceback, which would keep what the failed try had in its hands.
        self._thing, self._fault = thing, fault.with_traceback(None)
        self._until = self._clock.monotonic() + self._pause_s
