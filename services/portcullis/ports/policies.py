"""The policy in force, as a process knows it."""

from __future__ import annotations

from typing import Protocol

from portcullis.domain.policies import Policy


class KnownPolicy(Protocol):
    """The policy of the last look at the registry.

    A log that follows the registry can be newer than the last look: a list was put into an agreement, and one of its entries
    changed, since then. Whoever judges what a log holds by the policy therefore reads the log first, looks, and judges then.
    """

    def policy(self) -> Policy:
        """Give the policy of the last look; cheap, since it is asked for every change."""
        ...

    def look(self) -> None:
        """Look at what the registry holds now; cheap where nothing has changed, and blocks on its database.

        Raises:
            RegistryUnavailable: the database can't be reached; what is known stays.
        """
        ...
