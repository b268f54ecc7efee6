"""How a watch goes on when its stream ends: from the last cursor, after a pause that grows, as long as that can help.

A watch that has never been answered does not go on: a wrong address or key is told at once. Later on, whatever a gateway
that is restarted, replaced or behind a proxy does to a stream is waited out, and so is silence: heartbeats come every few
seconds, so a stream without any is dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import SystemRandom

from portcullis.client.errors import ClientError, DeadlineExceeded

SILENCE_S = 30.0
"""After how many seconds without a message a watch gives its stream up."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

_RANDOM = SystemRandom().random
_PASSING = frozenset({"UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"})
_BROKEN = frozenset({"INTERNAL", "UNKNOWN"})
"""What a proxy or a transport that dies makes of a stream, unless a reason says that it was the gateway itself."""


class Resumption:
    """Decides for one watch whether it goes on, and when.

    Args:
        randomness: gives numbers in [0, 1), so that watchers who were cut off together don't come back together.
    """

    def __init__(self, randomness: Callable[[], float] = _RANDOM) -> None:
        self._randomness = randomness
        self._heard = False
        self._failures = 0

    def received(self) -> None:
        """Note that the stream is alive."""
        self._heard = True
        self._failures = 0

    def pause_s(self, error: ClientError | None) -> float:
        """Give how long to wait before the stream is opened again; ``error`` ended it, None for an end in order.

        Raises:
            ClientError: the error itself, where opening it again can't help.
        """
        if error is not None and not (self._heard and _may_pass(error)):
            raise error
        longest = min(_FIRST_PAUSE_S * float(2**self._failures), _LONGEST_PAUSE_S)
        self._failures = min(self._failures + 1, 16)
        told = error.retry_after_s if error is not None else None
        return max(longest * (0.5 + self._randomness() / 2), told or 0.0)


def silent(silence_s: float) -> ClientError:
    """Make the error of a stream that has brought nothing for too long."""
    return DeadlineExceeded(f"the gateway has sent nothing for {silence_s:g} s", status="DEADLINE_EXCEEDED")


class Watchdog:
    """Gives a blocking call up when it has waited for its peer for too long; the time between two waits does not count.

    Args:
        give_up: called once, from the watchdog's own thread.
        silence_s: how long is too long, in seconds.

    Attributes:
        has_given_up: whether it has.
    """

    def __init__(self, give_up: Callable[[], object], silence_s: float) -> None:
        self._give_up = give_up
        self._silence_s = silence_s
        self.has_given_up = False
        self._since: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="portcullis-watchdog", daemon=True)
        self._thread.start()

    def wait_begins(self) -> None:
        """Note that the call waits from now on."""
        self._since = time.monotonic()

    def wait_ends(self) -> None:
        """Note that it does not wait any more."""
        self._since = None

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._silence_s / 8):
            since = self._since
            if since is not None and time.monotonic() - since > self._silence_s:
                self.has_given_up = True
                self._give_up()
                return


def _may_pass(error: ClientError) -> bool:
    return error.status in _PASSING or (error.status in _BROKEN and not error.reason)
