"""The lease: of all publishers of one store, one works and the others wait."""

from __future__ import annotations

from contextlib import suppress

from portcullis.domain.errors import LeaseLost, StoreUnavailable
from portcullis.ports import Clock, SnapshotStore

LEASE_TTL_S = 3.0
"""How long a publisher that has died keeps the others waiting."""

TAKEN = (
    f"the lease is held (by another publisher, or by one that died: then it runs out in {LEASE_TTL_S:.0f} s); "
    "this one waits until it is free"
)
"""Why a publisher waits."""

PROLONG_EVERY_S = 1.0
ASK_EVERY_S = 0.5


class Lease:
    """One publisher's claim to the lease; ``held`` is as of the last answer."""

    def __init__(self, store: SnapshotStore, clock: Clock, holder: str) -> None:
        self._store = store
        self._clock = clock
        self._due = 0.0
        self.holder = holder
        self.held = False

    def ask(self) -> bool:
        """Take or prolong the lease where that is due, and say whether it is held.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + ASK_EVERY_S
            self.held = self._store.lease(self.holder, LEASE_TTL_S)
            if self.held:
                self._due = now + PROLONG_EVERY_S
        return self.held

    def keep(self) -> None:
        """Prolong the lease where that is due; a store that is away for a moment ends nothing.

        Raises:
            LeaseLost: another has it.
        """
        with suppress(StoreUnavailable):
            self._demand()

    def demand(self) -> None:
        """Prolong the lease now.

        Raises:
            LeaseLost: another has it.
            StoreUnavailable: the store can't be reached.
        """
        self._due = 0.0
        self._demand()

    def _demand(self) -> None:
        if not self.ask():
            raise LeaseLost(TAKEN)

    def lost(self) -> None:
        """Take note that another has it."""
        self.held = False
        self._due = 0.0

    def release(self) -> None:
        """Give it back.

        Raises:
            StoreUnavailable: the store can't be reached; it runs out by itself.
        """
        if self.held:
            self.lost()
            self._store.release(self.holder)
