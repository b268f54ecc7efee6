"""The renewer: brings entries over to the token key in use, beside everything else (`portcullis.domain.token_keys`).

The rules:

1. It works while a key is leaving, a batch at a time, and rests after each as long as the batch took: imports and puts get
   half of the time at least.
2. It keeps nothing in mind: which key an entry stands under stands beside its tokens. Killed at any point, or run twice,
   it goes on where the entries are.
3. A key has left when a whole pass found nothing that could not be brought over, and nothing that changed during the pass
   stands under it. Until then checks look under both.
4. No fault ends the loop. Each is counted at every try, and logged when it begins and when it is over.

Example: of 1,000 entries 600 have come over when the process is killed. The next one finds the other 400, and then, in one
short look at what changed meanwhile, that the key has left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final, Protocol

import structlog

from portcullis.domain.errors import PortcullisError
from portcullis.ports import Clock
from portcullis.ports.token_keys import KeyState, Place, Renewed, TokenKeyStore, WaitingPlace

BATCH: Final = 200
_LONGEST_PAUSE_S: Final = 5.0

_log = structlog.get_logger("portcullis.registry")


class RenewalCounts(Protocol):
    """Where the renewer's work is counted."""

    def renewed(self, entries: int) -> None:
        """Count entries that came over to the key in use."""
        ...

    def unreadable(self, entries: int) -> None:
        """Note how many entries of the last pass can't be opened, and so can't come over."""
        ...

    def renewal_failed(self) -> None:
        """Count a try that failed."""
        ...


class TokenRenewer:
    """Renews one registry.

    Args:
        store: the registry's token keys.
        clock: monotonic time tells how long a batch took.
        counts: where its work is counted.
        batch: how many entries are brought over at a time.
    """

    def __init__(self, store: TokenKeyStore, *, clock: Clock, counts: RenewalCounts, batch: int = BATCH) -> None:
        self._store = store
        self._clock = clock
        self._counts = counts
        self._batch = batch
        self._fault = ""
        self._unreadable = 0

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Renew until told to stop, looking every ``interval_s`` seconds whether a key is leaving."""
        failures = 0
        while not stop.is_set():
            failures = 0 if self.turn(stop) else failures + 1
            if self._unreadable:
                # Each pass looks through all entries, and until somebody has mended these it finds the same.
                stop.wait(_LONGEST_PAUSE_S)
                continue
            pause_s = interval_s * 2 ** min(failures, 10)
            stop.wait(min(_LONGEST_PAUSE_S, pause_s) if failures else interval_s)

    def turn(self, stop: threading.Event) -> bool:
        """Bring over all that there is, if a key is leaving; False where that failed. Raises nothing."""
        try:
            if any(key.state is KeyState.LEAVING for key in self._store.token_keys()):
                self._pass(stop)
            else:
                self._unreadable = 0
        except PortcullisError as fault:
            return self._failed(fault.message)
        except Exception as fault:  # noqa: BLE001 - rule 4; the class alone, for a message of others may hold anything
            return self._failed(f"unexpected: {type(fault).__name__}")
        if self._fault:
            _log.info("tokens are renewed again")
        self._fault = ""
        return True

    def _pass(self, stop: threading.Event) -> None:
        since, stayed, unreadable = self._store.head(), 0, 0
        batches = self._batches()
        while not stop.is_set():
            begun = self._clock.monotonic()
            done = next(batches, None)
            if done is None:
                break
            self._counts.renewed(done.renewed)
            stayed += done.missed + done.unreadable
            unreadable += done.unreadable
            stop.wait(self._clock.monotonic() - begun)
        self._counts.unreadable(unreadable)
        if unreadable and unreadable != self._unreadable:
            _log.error(
                "entries can't be opened, so they stay under the former token key; restore the key that they were sealed "
                "under, or take them off their lists and erase them",
                entries=unreadable,
            )
        self._unreadable = unreadable
        if not (stayed or stop.is_set()) and self._store.finish_renewal(since):
            _log.info("every entry has come over to the token key in use")

    def _batches(self) -> Iterator[Renewed[Any]]:
        """Renew every entry, then all that waits for a second person, each looked at once."""
        return chain(
            _in_batches(self._store.renew_tokens, 0, self._batch),
            _in_batches(self._store.renew_waiting, WaitingPlace(), self._batch),
        )

    def _failed(self, message: str) -> bool:
        self._counts.renewal_failed()
        if message != self._fault:
            _log.error("tokens can't be renewed; still trying", fault=message)
            self._fault = message
        return False


def _in_batches(renew: Callable[[Place, int], Renewed[Place]], after: Place, limit: int) -> Iterator[Renewed[Place]]:
    while (done := renew(after, limit)).last is not None:
        yield done
        after = done.last
