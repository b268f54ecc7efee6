"""A clock that stands still until it is moved."""

from __future__ import annotations

from tests.support.policies import NOW


class HandClock:
    """Wall time and monotonic time, moved by hand: together, or the wall clock alone as when somebody sets it."""

    def __init__(self, now: float = NOW, monotonic: float = 5000.0) -> None:
        self._now = float(now)
        self._monotonic = monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def hear(self, wall_s: float, monotonic_s: float) -> None:
        """A hand moves this clock and nobody else."""

    def align(self, wall_s: float, monotonic_s: float) -> None:
        """A hand moves this clock and nobody else."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number of seconds."""
        self._now += seconds

    def reboot(self) -> None:
        """Begin monotonic time anew."""
        self._monotonic = 1.0
