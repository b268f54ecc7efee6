"""What a worker answers from: a view is one version of the replica with all that a check needs of it, made ready.

A view is made anew at each tick, a few dozen times a second, and is never changed: a check takes the present one and reads
one version from beginning to end, however long it waits in between.
"""

from __future__ import annotations

import asyncio

from portcullis.domain.editions import Edition
from portcullis.domain.errors import NoSnapshot
from portcullis.domain.plans import Plans
from portcullis.gateway.admission import Callers
from portcullis.gateway.answers import SnapshotLine
from portcullis.gateway.short_path import Tails
from portcullis.ports import ReadTransaction, Replica


class CompiledEdition:
    """One edition, compiled: the plans of its policy, the tails known for it, and the callers of its credentials."""

    def __init__(self, edition: Edition, previous: CompiledEdition | None = None) -> None:
        self.edition = edition
        self.callers = Callers(edition.credentials)
        # Conditions are compiled once a policy, not once a publish.
        same = previous is not None and previous.edition.policy == edition.policy
        self.plans: Plans = previous.plans if previous is not None and same else Plans(edition.policy)
        self.tails: Tails = previous.tails if previous is not None and same else Tails()


class View:
    """One version, made ready.

    Attributes:
        transaction: the version in the replica, which lives as long as a view of it.
        compiled: its edition, compiled; the next view of the same version takes it over.
        edition: the version's head.
        version: its number.
        callers: who may call.
        plans: what may speak about an action.
        tails: the questions known already.
        get: the look-up of a token.
        age_s: seconds since the publisher last vouched for this version, when the view was made.
        line: the part of an answer that names the snapshot.
    """

    __slots__ = ("age_s", "callers", "compiled", "edition", "get", "line", "plans", "tails", "transaction", "version")

    def __init__(
        self, transaction: ReadTransaction, compiled: CompiledEdition, age_s: float, allow_cache_ttl_s: float
    ) -> None:
        self.transaction = transaction
        self.get = transaction.get
        self.compiled = compiled
        self.edition = compiled.edition
        self.version = compiled.edition.version
        self.callers = compiled.callers
        self.plans = compiled.plans
        self.tails = compiled.tails
        self.age_s = age_s
        self.line = SnapshotLine(compiled.edition, age_s, allow_cache_ttl_s)


class Held:
    """Keeps the present view.

    Args:
        replica: the reader's side of the replica.
        allow_cache_ttl_s: how long a partner may reuse an ALLOW, in seconds; 0 for not at all.

    Attributes:
        view: the present view, None before the first snapshot.
    """

    def __init__(self, replica: Replica, allow_cache_ttl_s: float = 0.0) -> None:
        self._replica = replica
        self._allow_cache_ttl_s = allow_cache_ttl_s
        self.view: View | None = None
        self._renew()

    async def refresh(self) -> bool:
        """Look at the replica and make the next view; True when its version is another.

        The look opens and proves files, so it is done beside the event loop.
        """
        try:
            return await asyncio.to_thread(self._replica.refresh)
        finally:
            # Whatever becomes of the look: an age that stands still would put off a list's fail mode for ever.
            self._renew()

    def _renew(self) -> None:
        transaction = self._replica.begin()
        if transaction is None:
            return
        last = self.view
        if last is not None and last.edition is transaction.edition:
            compiled = last.compiled
        else:
            compiled = CompiledEdition(transaction.edition, last.compiled if last else None)
        self.view = View(transaction, compiled, self._replica.vouched_age_s(), self._allow_cache_ttl_s)

    def present(self) -> View:
        """Give the present view.

        Raises:
            NoSnapshot: no snapshot has arrived yet.
        """
        view = self.view
        if view is None:
            raise NoSnapshot
        return view
