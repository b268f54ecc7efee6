"""Time, as a port."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time. Wall time judges an entry's end; everything that measures a duration uses monotonic time."""

    def now(self) -> float:
        """Wall time in Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since an unspecified point, the same for every process of one boot of the host; it never jumps."""
        ...
