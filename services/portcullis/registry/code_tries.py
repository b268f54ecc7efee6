"""How often codes may be tried: wrong ones are few for honest people, and many for whoever guesses.

1. In a minute at most `WRONG_OF_ONE` wrong codes are compared for one identifier, whichever codes are issued for it
   meanwhile, and at most `WRONG_OF_ALL` for all together.
2. A try counts before it is compared, so that tries at once don't pass together; a right one is taken back.
3. What comes beyond is not compared, and costs a code none of its own tries. It gets the answer of a wrong code, after the
   same work: who guesses does not learn that nobody looks any more, nor whether there is a code.

Each worker counts by itself, so that of N workers at most N times as many are compared. The minutes follow one another; over
the border of two there may be twice as many.

Example: with 10 for one identifier the eleventh wrong code of a minute is refused unseen, and so is the right one after it;
a minute later the right one is good, where it has tries left.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

from portcullis.ports import Clock

WRONG_OF_ONE: Final = 10
"""Wrong codes in a minute for one identifier."""
WRONG_OF_ALL: Final = 300
"""Wrong codes in a minute for all identifiers: with 50 random bits to a code, hopeless for who guesses."""
MINUTE_S: Final = 60.0


class CodeTries:
    """Counts tries. Safe for threads; holds no more than `WRONG_OF_ALL` identifiers' tokens, and those for a minute.

    Args:
        clock: monotonic time tells the minutes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._ends = 0.0
        self._all = 0
        self._one: dict[bytes, int] = {}

    def take(self, holder: bytes) -> bool:
        """Count a try for the holder of a token; False where it must not be compared."""
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._ends:
                self._ends, self._all = now + MINUTE_S, 0
                self._one.clear()
            taken = self._one.get(holder, 0)
            if taken >= WRONG_OF_ONE or self._all >= WRONG_OF_ALL:
                return False
            self._one[holder] = taken + 1
            self._all += 1
            return True

    def give_back(self, holder: bytes) -> None:
        """Take a try back, since it was right."""
        with self._lock:
            # The minute may be over by now, and its tries with it.
            if self._one.get(holder):
                self._one[holder] -= 1
                self._all -= 1
