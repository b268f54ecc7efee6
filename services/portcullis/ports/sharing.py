"""The exchange's desks: what SharingService asks, and commands likewise."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

from portcullis.domain.changes import FeedChange
from portcullis.domain.errors import PortcullisError
from portcullis.domain.policies import Policy
from portcullis.domain.shared_events import SharedEvent
from portcullis.ports.journal import Receipt, StoredCheckpoint


class ReportDesk(Protocol):
    """Takes what partners report. Any method may raise JournalUnavailable."""

    async def report(
        self,
        policy: Policy,
        partner: str,
        events: Sequence[SharedEvent | PortcullisError],
        *,
        within_s: float = math.inf,
    ) -> Sequence[Receipt | PortcullisError]:
        """Take events in their order, under the policy's agreements; what is an error already stays one, in its place.

        An event whose decision is not in the journal yet is waited for a moment, and no longer than ``within_s`` seconds.
        """
        ...

    async def receipt(self, partner: str, event_id: str) -> tuple[Receipt, StoredCheckpoint | None, Sequence[bytes]]:
        """Give a receipt, and the newest checkpoint with the inclusion proof; None and nothing where none covers it yet.

        Raises:
            NotFound: this partner has reported no such event.
        """
        ...

    async def checkpoint(self) -> StoredCheckpoint | None:
        """Give the newest checkpoint; None while there is none."""
        ...

    async def consistency(self, first_size: int, second_size: int) -> tuple[StoredCheckpoint, Sequence[bytes]]:
        """Prove that the log of the second size (0: of the newest checkpoint) adds to that of the first.

        Raises:
            InvalidRequest: a size is less than 1, larger than the newest checkpoint, or the first is larger than the second.
        """
        ...


class Watched(NamedTuple):
    """What a watcher is given: a change, or None for a heartbeat, which tells the lag in seconds; the cursor after it."""

    cursor: str
    change: FeedChange | None
    subject: str = ""
    lag_s: float = 0.0


class FeedDesk(Protocol):
    """Gives partners the changes on their lists."""

    def watch(self, partner: str, cursor: str, lists: Sequence[str]) -> AsyncIterator[Watched | None]:
        """Give changes from a cursor on, without end; the agreements are looked at anew all the time.

        After each second of quiet comes None, so that who serves the watch can look whether its caller may still be there.

        Raises:
            InvalidRequest: the cursor is none, or more than 64 lists are named.
            NotPermitted: a list is in none of the partner's agreements in force.
            CursorExpired: what followed the cursor is not kept any more, or it is of another feed.
            JournalUnavailable: the feed can't be read.
        """
        ...
