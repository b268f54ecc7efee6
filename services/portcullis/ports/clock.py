"""Time, as a port."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time. Wall time judges an entry's end; everything that measures a duration uses monotonic time.

    Wall time is steady: it does not jump when somebody sets the host's clock (`portcullis.adapters.clock`).
    """

    def now(self) -> float:
        """Wall time in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since an unspecified point, the same for every process of one boot of the host; it never jumps."""
        ...


class TimeKeeper(Clock, Protocol):
    """A clock that can be told what other clocks say."""

    def hear(self, wall_s: float, monotonic_s: float) -> None:
        """Hear that another host's clock showed ``wall_s`` (Unix seconds) at ``monotonic_s``, give or take a few seconds.

        A jump of this host's own clock is believed once such a witness agrees.
        """
        ...

    def align(self, wall_s: float, monotonic_s: float) -> None:
        """Carry on from what the clock of another process of this boot showed at ``monotonic_s``; it is taken as it is."""
        ...
