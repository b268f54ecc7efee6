"""Rates: so many cells a second, by the generic cell rate algorithm (ITU-T I.371, annex A, "virtual scheduling").

One time is kept, the theoretical arrival of the next cell. A cell comes too early when that lies more than the tolerance
ahead. Here a piece of several cells is let through when its first cell may come, and the rest is owed: so a batch is never
refused for being larger than the burst, and pays for itself before anything follows it.

In words: over any time ``t`` at most ``per_s * t + burst + (largest piece - 1)`` cells are let through, where the burst is
two seconds' worth, and one cell at least; and a caller that keeps to ``per_s`` is never refused. Cells can be taken on
lease, some milliseconds' worth at a time, so that most of them cost no more than a subtraction; spent late, they add one
lease to the bound.

Example: at 10 a second twenty cells come through at once, the next one a tenth of a second later.
"""

from __future__ import annotations

BURST_S = 2.0
"""So many seconds' worth of a rate may come at once."""

LEASE_S = 0.01
"""So many seconds' worth of a rate are leased at once, and one cell at least."""

LARGEST_LEASE = 64

_ROUNDING_S = 1e-9
"""Times are floats: a cell that comes in time may look early by this."""


class Rate:
    """A rate that can be changed while it goes. Not for several threads.

    Args:
        per_s: cells a second; 0: not limited.

    Attributes:
        asked: how many cells were asked for ever, let through or not.
    """

    __slots__ = ("_due", "_interval_s", "_lease", "_tolerance_s", "asked")

    def __init__(self, per_s: float = 0.0) -> None:
        self.asked = 0
        self._due = 0.0
        self._set(per_s)

    def take(self, cells: int, now: float) -> float:
        """Let a piece of so many cells through: gives 0.0, or how long to wait (seconds), and then nothing is taken.

        Args:
            cells: how many.
            now: monotonic seconds; never less than the last time.
        """
        self.asked += cells
        due = max(self._due, now)
        wait = due - now - self._tolerance_s
        if wait > _ROUNDING_S:
            return wait
        self._due = due + cells * self._interval_s
        return 0.0

    def lease(self, now: float) -> int:
        """Take as many cells as there are now, up to a lease; gives their number. They count as asked for."""
        cells = self._lease
        if self._interval_s:
            due = max(self._due, now)
            # The first cell may come until the tolerance is used up, so there is one more than fits into what is left of it.
            cells = min(cells, int((now + self._tolerance_s - due + _ROUNDING_S) // self._interval_s) + 1)
            if cells <= 0:
                return 0
            self._due = due + cells * self._interval_s
        self.asked += cells
        return cells

    def owe(self, cells: int, now: float) -> None:
        """Let cells through that belong to a piece which has begun already."""
        self.asked += cells
        self._due = max(self._due, now) + cells * self._interval_s

    def give_back(self, cells: int) -> None:
        """Give back what was leased and not spent."""
        self.asked -= cells
        self._due -= cells * self._interval_s

    def follow(self, per_s: float, now: float) -> None:
        """Go by another rate from now on.

        What may come at once stays the same number of cells, and what is owed too. Were it kept in seconds, a caller could
        let its share of a rate wander from worker to worker and find a full burst of the whole rate at each.
        """
        old_interval, old_tolerance = self._interval_s, self._tolerance_s
        self._set(per_s)
        interval, tolerance = self._interval_s, self._tolerance_s
        if interval == old_interval:
            return
        if not old_interval or not interval:
            self._due = now
            return
        # The cells that may come now: what fits into the tolerance, and the one that comes at its end.
        credit = (now + old_tolerance - max(self._due, now)) / old_interval + 1.0
        self._due = now + tolerance - min((credit - 1.0) * interval, tolerance)

    def _set(self, per_s: float) -> None:
        self._interval_s = 1.0 / per_s if per_s else 0.0
        # How far ahead the theoretical arrival may lie for a cell to pass: all of the burst but that cell.
        self._tolerance_s = max(BURST_S - self._interval_s, 0.0)
        self._lease = min(max(int(per_s * LEASE_S), 1), LARGEST_LEASE) if per_s else LARGEST_LEASE
