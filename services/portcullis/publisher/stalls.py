"""Lists that can't be brought up to date just now, and when to try them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from portcullis.publisher.passes import Included

RETRY_S = 5.0
LONGEST_RETRY_S = 60.0
KEY_NOT_HERE = "its key is not here"


class Stall(NamedTuple):
    """One list that is behind.

    Attributes:
        since: Unix seconds of the first reading that could not be published.
        included: what its published state includes; None where that is not known, and where it has none.
        retry_at: monotonic seconds of the next try.
        pause_s: how long to wait after that one.
        fault: why; "" where that is not known, after a restart.
    """

    since: float
    included: Included | None
    retry_at: float
    pause_s: float = RETRY_S
    fault: str = ""

    def again(self, now: float, fault: str) -> Stall:
        """Give it after another try that failed at ``now`` (monotonic seconds)."""
        pause_s = min(LONGEST_RETRY_S, 2 * self.pause_s)
        return self._replace(retry_at=now + self.pause_s, pause_s=pause_s, fault=fault)

    def at_once(self, now: float) -> Stall:
        """Give it to be tried now, as if for the first time."""
        return self._replace(retry_at=now, pause_s=RETRY_S)


Stalls = Mapping[str, Stall]
"""By the name of the list."""
