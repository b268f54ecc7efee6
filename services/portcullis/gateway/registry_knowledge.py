"""What a process without a replica knows of the registry: its callers and its policy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.policies import Policy
from portcullis.gateway.admission import Callers
from portcullis.ports import RegistryReader

LOOK_EVERY_S: Final = 0.5
"""How often the registry is looked at: a revoked key is refused after so long."""

_log = structlog.get_logger(__name__)


class RegistryKnowledge:
    """The callers and the policy as the registry's database knows them. Implements `portcullis.ports.KnownPolicy`.

    Safe for threads: of two looks the later one stays.

    Args:
        reader: reads the database.
        now: gives wall time in Unix seconds.
    """

    def __init__(self, reader: RegistryReader, now: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._now = now
        self._looking = threading.Lock()
        self._head = -1
        self._callers = Callers(())
        self._policy = Policy()

    def callers(self) -> Callers:
        """Give the callers of the last look."""
        return self._callers

    def policy(self) -> Policy:
        """Give the policy of the last look."""
        return self._policy

    def look(self) -> None:
        """Read both if anything has changed; blocks on the database.

        Raises:
            RegistryUnavailable: the database can't be reached; what is known stays.
        """
        with self._looking:
            head = self._reader.head()
            if head != self._head:
                with self._reader.view() as view:
                    callers = Callers(view.credentials, view.policy.partners, view.revoked, now=self._now)
                    self._callers, self._policy = callers, view.policy
                self._head = head

    def keep_looking(self, stop: threading.Event) -> None:
        """Follow the registry until told to stop."""
        while not stop.wait(LOOK_EVERY_S):
            try:
                self.look()
            except RegistryUnavailable:
                _log.warning("the registry's database can't be reached; trying again")
