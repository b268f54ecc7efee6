"""Saying what this host serves, so that the registry can certify when every gateway has dropped an entry.

It runs beside the follower, in a thread and with a connection of its own: a store that is slow or away holds nobody up. What
is held is said when it has changed, and every ten seconds whether or not; what could not be said is said again a second
later. A fault is logged when it begins and when it is over.

A list that the publisher can't bring up to date stands still while the others go on. What this host says it includes stands
still with it, since nobody is to be told that an entry of that list is gone.
"""

from __future__ import annotations

import threading
from typing import Final

import structlog

from portcullis.domain.editions import Edition
from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.token_keys import TokenKeys
from portcullis.ports import Acknowledgement, Acknowledgements, Clock

SAID_EVERY_S: Final = 10.0
_AGAIN_AFTER_S: Final = 1.0
_STOP_INTERVAL_S: Final = 0.25

_log = structlog.get_logger("portcullis.follower")


class Acknowledger:
    """Says what one host serves.

    Args:
        store: where it is said; used by the thread of `run` alone.
        host: the host's name.
        clock: dates what is said, and measures how long ago that was.
        token_keys: those that are here, whose fingerprints are said too.
    """

    def __init__(self, store: Acknowledgements, *, host: str, clock: Clock, token_keys: TokenKeys | None = None) -> None:
        self._store = store
        self._host = host
        self._clock = clock
        self._token_keys = token_keys
        self._said_keys: tuple[str, ...] = ()
        self._held: Edition | None = None
        self._included = 0
        self._said: int | None = None
        self._due = 0.0
        self._news = threading.Event()
        self._fault = ""

    def note(self, held: Edition) -> None:
        """Note what the replica holds. Neither blocks nor fails."""
        if all(each.stalled_at is None for each in held.lists):
            self._included = held.registry_seq
        self._held = held
        if held.version != self._said:
            self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Say it until told to stop; that takes effect within a quarter of a second, or when the store has answered."""
        while not stop.is_set():
            self.say_if_due()
            self._news.wait(_STOP_INTERVAL_S)
            self._news.clear()

    def say_if_due(self) -> None:
        """Say what is held, if it is another version than was said, or that was too long ago. Raises nothing."""
        held, now = self._held, self._clock.monotonic()
        keys = tuple(each.fingerprint for each in self._token_keys.held()) if self._token_keys else ()
        # After a fault there is nothing that was said, but a pause.
        is_news = held is not None and self._said is not None and (held.version != self._said or keys != self._said_keys)
        if held is None or (now < self._due and not is_news):
            return
        try:
            said = Acknowledgement(self._host, held.version, self._included, self._clock.now(), keys)
            self._store.acknowledge(said)
        except StoreUnavailable as fault:
            self._failed(fault.message)
        except Exception as fault:  # noqa: BLE001 - the class alone, for a message of others may hold anything
            self._failed(f"unexpected: {type(fault).__name__}")
        else:
            if self._fault:
                _log.info("what this host serves is acknowledged again")
            self._said, self._due, self._fault = held.version, now + SAID_EVERY_S, ""
            self._said_keys = keys

    def _failed(self, message: str) -> None:
        if message != self._fault:
            _log.warning("what this host serves can't be acknowledged; release certificates wait for it", fault=message)
        self._said, self._due, self._fault = None, self._clock.monotonic() + _AGAIN_AFTER_S, message
