"""The time that metadata expires by: it does not jump when somebody sets the clock.

The wall clock is believed once, at the start, and carried on by monotonic time. It is believed again where a timestamp that
was proven just now, and is newer than every one before, was signed within a minute of what it shows: then publisher and host
agree on the time, whatever was set meanwhile.
"""

from __future__ import annotations

from portcullis.ports import Clock

_AGREE_S = 60.0


class SteadyTime:
    """Wall time that goes on evenly."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor()

    def now(self) -> float:
        """Give the time in Unix seconds."""
        return self._wall + (self._clock.monotonic() - self._monotonic)

    def is_agreed(self, signed_at: float) -> bool:
        """Say whether the wall clock shows a time within a minute of ``signed_at``, Unix seconds."""
        return abs(signed_at - self._clock.now()) <= _AGREE_S

    def hear(self, signed_at: float) -> None:
        """Hear when a proven timestamp, newer than all before, was signed; the wall clock is believed if it agrees."""
        if self.is_agreed(signed_at):
            self._anchor()

    def _anchor(self) -> None:
        self._wall, self._monotonic = self._clock.now(), self._clock.monotonic()
