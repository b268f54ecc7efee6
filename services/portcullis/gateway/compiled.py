"""An edition made ready for serving: plans, callers and the places of its tables."""

from __future__ import annotations

from portcullis.domain.editions import Edition
from portcullis.domain.errors import NoSnapshot
from portcullis.domain.plans import Plans
from portcullis.gateway.admission import Callers
from portcullis.ports import ReadTransaction, Replica


class CompiledEdition:
    """One edition, compiled."""

    def __init__(self, edition: Edition, previous: CompiledEdition | None = None) -> None:
        self.edition = edition
        self.version = edition.version
        self.callers = Callers(edition.credentials)
        # Conditions are compiled once a policy, not once a publish.
        same = previous is not None and previous.edition.policy == edition.policy
        self.plans: Plans = previous.plans if previous is not None and same else Plans(edition.policy)


class Held:
    """What this worker serves from: the replica, and its newest edition compiled once."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self._compiled: CompiledEdition | None = None

    def open(self) -> tuple[ReadTransaction, CompiledEdition]:
        """Open one version; the caller closes it.

        Raises:
            NoSnapshot: there is none yet.
        """
        transaction = self.replica.begin()
        if transaction is None:
            raise NoSnapshot
        edition = transaction.edition
        compiled = self._compiled
        if compiled is None or compiled.edition is not edition:
            compiled = self._compiled = CompiledEdition(edition, compiled)
        return transaction, compiled

    def compiled(self) -> CompiledEdition:
        """Give the newest version's edition alone.

        Raises:
            NoSnapshot: there is none yet.
        """
        transaction, compiled = self.open()
        transaction.close()
        return compiled
