"""How long ago the publisher vouched, where clocks may be wrong.

The rules:

1. Where nothing better is known, the wall clocks of both hosts tell.
2. Once a newer vouching is seen to follow an older one, it can't be older than the look that saw the older one: that is
   judged by monotonic time, so a clock that is two hours wrong, or is set meanwhile, makes nothing old or fresh.
3. The same vouching seen again is no younger than before.
4. A newer vouching that rule 2 puts within a few seconds also tells what the publisher's clock shows now. This host's own
   hears it (`portcullis.ports.TimeKeeper`).

Example: a vouching is seen at a look, and a newer one at the next, a second later. By a wall clock set forward meanwhile it
is two hours old; it is taken to be a second old.
"""

from __future__ import annotations

from typing import NamedTuple

from portcullis.ports import TimeKeeper, Vouched

_WITNESS_S = 5.0


class Sighting(NamedTuple):
    """A vouching, as one look saw it.

    Attributes:
        vouched: what the store's newest timestamp says.
        looked_at: when the look began, monotonic.
        made_at: when it was made by the wall clocks, told in this host's monotonic time.
    """

    vouched: Vouched
    looked_at: float
    made_at: float

    @property
    def version(self) -> int:
        """The version vouched for."""
        return self.vouched.version


class Freshness:
    """Remembers the vouching last accepted. ``accepted`` is it, None before the first."""

    def __init__(self, clock: TimeKeeper) -> None:
        self._clock = clock
        self.accepted: Sighting | None = None

    def sighting(self, vouched: Vouched, looked_at: float) -> Sighting:
        """Note a vouching as soon as it was seen; ``looked_at`` is when the look began."""
        self._hear(vouched, self._clock.monotonic())
        age_s = max(0.0, self._clock.now() - vouched.vouched_at)
        return Sighting(vouched, looked_at, self._clock.monotonic() - age_s)

    def _hear(self, vouched: Vouched, now: float) -> None:
        last = self.accepted
        if last is not None and vouched.serial > last.vouched.serial and now - last.looked_at <= _WITNESS_S:
            self._clock.hear(vouched.vouched_at, now)

    def accept(self, sighting: Sighting) -> None:
        """Take a sighting of what the replica holds."""
        last = self.accepted
        if last is None:
            self.accepted = sighting
        elif sighting.vouched.serial == last.vouched.serial:
            self.accepted = sighting._replace(made_at=last.made_at)
        else:
            self.accepted = sighting._replace(made_at=max(sighting.made_at, last.looked_at))

    def age_s(self) -> float:
        """Seconds since the vouching last accepted; infinite before the first."""
        return self._clock.monotonic() - self.accepted.made_at if self.accepted else float("inf")
