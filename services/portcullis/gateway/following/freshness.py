"""How long ago the publisher vouched, where clocks may be wrong.

The rules:

1. Where nothing better is known, the wall clocks of both hosts tell.
2. Once a newer vouching is seen to follow an older one, it was made after the look that saw the older one: that is judged
   by monotonic time, so a clock that is two hours wrong, or is set meanwhile, makes nothing old or fresh.
3. That holds only of a store that shows what it has. One that plays back, second by second, what it has withheld for an
   hour shows a newer vouching at every look as well. So a vouching is no younger either than the publisher's own times
   make it: it can't lag behind them by more than the one that came the quickest. No store can sign other times. Only where
   a newer vouching names an earlier time has the publisher's clock been set, and they begin anew.
4. The same vouching seen again is no younger than before.
5. A newer vouching that was made within a few seconds also tells what the publisher's clock shows now. This host's own
   hears it (`portcullis.ports.TimeKeeper`).

Example: a vouching is seen at a look, and a newer one at the next, a second later. By a wall clock set forward meanwhile it
is two hours old; it is taken to be a second old. If instead an hour has passed at this host, and by the vouchings' times a
second, it is taken to be an hour old.
"""

from __future__ import annotations

from typing import NamedTuple

from portcullis.ports import TimeKeeper, Vouched

_WITNESS_S = 5.0
_DRIFT = 500e-6
"""How much faster than the publisher's clock this host's may go: no clock is wrong by more."""


class Sighting(NamedTuple):
    """A vouching, as one look saw it.

    Attributes:
        vouched: what the store's newest timestamp says.
        looked_at: when the look began, monotonic.
        seen_at: when the look was over, monotonic.
        made_at: when it was made by the wall clocks, told in this host's monotonic time; once accepted, by all rules.
    """

    vouched: Vouched
    looked_at: float
    seen_at: float
    made_at: float

    @property
    def version(self) -> int:
        """The version vouched for."""
        return self.vouched.version


class Freshness:
    """Remembers the vouching last accepted. ``accepted`` is it, None before the first."""

    def __init__(self, clock: TimeKeeper) -> None:
        self._clock = clock
        self._lead = 0.0
        """How far this host's monotonic time is ahead of the publisher's times, by the vouching that came the quickest."""
        self.accepted: Sighting | None = None

    def sighting(self, vouched: Vouched, looked_at: float) -> Sighting:
        """Note a vouching as soon as it was seen; ``looked_at`` is when the look began."""
        seen_at = self._clock.monotonic()
        return Sighting(vouched, looked_at, seen_at, seen_at - (self._clock.now() - vouched.vouched_at))

    def accept(self, sighting: Sighting) -> None:
        """Take a sighting of what the replica holds."""
        last = self.accepted
        if last is None:
            self._lead = _lead(sighting)
            self.accepted = sighting._replace(made_at=min(sighting.made_at, sighting.seen_at))
            return
        self._lead += _DRIFT * (sighting.seen_at - last.seen_at)
        if sighting.vouched.serial == last.vouched.serial:
            self.accepted = sighting._replace(made_at=last.made_at)
            return
        was_set = sighting.vouched.vouched_at < last.vouched.vouched_at
        self._lead = _lead(sighting) if was_set else min(self._lead, _lead(sighting))
        by_times = min(last.looked_at, sighting.vouched.vouched_at + self._lead)
        # By a wall clock that is behind the publisher's it was made in the future: that clock says nothing.
        by_wall = sighting.made_at if sighting.made_at <= sighting.seen_at + _WITNESS_S else by_times
        self.accepted = sighting._replace(made_at=min(sighting.seen_at, max(by_wall, by_times)))
        if sighting.seen_at - by_times <= _WITNESS_S:
            self._clock.hear(sighting.vouched.vouched_at, sighting.seen_at)

    def age_s(self) -> float:
        """Seconds since the vouching last accepted; infinite before the first."""
        return self._clock.monotonic() - self.accepted.made_at if self.accepted else float("inf")


def _lead(sighting: Sighting) -> float:
    return sighting.seen_at - sighting.vouched.vouched_at
