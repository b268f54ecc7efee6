"""Feeds of every adapter, opened for one test, and changes to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from portcullis.adapters.memory.feed import MemoryFeed
from portcullis.adapters.sql.feed.feed import SqlFeed
from portcullis.domain.changes import ChangeKind, FeedChange
from portcullis.domain.entries import EntryStatus
from portcullis.ports import FeedStore, Watched
from tests.support.databases import PostgresServer, migrated_database
from tests.support.policies import NOW, YEAR_S

# What partners think of an entry after a change, and what they can have thought before it; None is nothing.
TOLD = {
    ChangeKind.ENTRY_ADDED: ("binds", {None, "gone"}),
    ChangeKind.AMENDED: (None, {"binds", "stayed"}),
    ChangeKind.STAYED: ("stayed", {None, "gone", "binds"}),
    ChangeKind.REINSTATED: ("binds", {"stayed"}),
    ChangeKind.RELEASED: ("gone", {"binds", "stayed"}),
    ChangeKind.WITHDRAWN: ("gone", {"binds", "stayed"}),
    ChangeKind.EXPIRED: ("gone", {"binds", "stayed"}),
    ChangeKind.RELEASED_IN_ERROR: ("gone", {None, "gone", "binds", "stayed"}),
}
STANDS = {EntryStatus.IN_FORCE: "binds", EntryStatus.STAYED: "stayed"}


def thought_after(before: str | None, kind: ChangeKind) -> str:
    """Give what whoever is told a change thinks of its entry; fails where nobody who thought that can be told it."""
    after, fitting = TOLD[kind]
    assert before in fitting, (before, kind)
    return after or str(before)


@contextmanager
def opened_feed(kind: str, folder: Path, server: Callable[[], PostgresServer]) -> Iterator[FeedStore]:
    """Open an empty feed of one adapter: "memory", "sqlite" or "postgresql"."""
    if kind == "memory":
        yield MemoryFeed()
        return
    with migrated_database(kind, "journal", folder, server) as url, closing(SqlFeed(url)) as store:
        yield store


def a_change(entry_id: int = 1, **values: Any) -> FeedChange:
    """A change of the court's list, not yet in a feed."""
    defaults: dict[str, Any] = {
        "position": 0,
        "kind": ChangeKind.ENTRY_ADDED,
        "list": "court",
        "list_number": 1,
        "entry_id": entry_id,
        "happened_at": float(NOW),
        "until": NOW + YEAR_S,
    }
    return FeedChange(**(defaults | values))


def entry_ids(store: FeedStore, after: int = 0, limit: int = 100_000) -> list[int]:
    """Give the entries of a feed's changes in their order."""
    return [change.entry_id for change in store.read(after, limit)]


def positions(store: FeedStore, after: int = 0, limit: int = 100_000) -> list[int]:
    """Give the positions of a feed's changes in their order."""
    return [change.position for change in store.read(after, limit)]


class FeedTally:
    """Counts what a feeder counts."""

    def __init__(self) -> None:
        self.changes = 0
        self.forgotten = 0
        self.failures: list[str] = []

    def fed(self, changes: int, lag_s: float) -> None:
        self.changes += changes

    def trimmed(self, changes: int) -> None:
        self.forgotten += changes

    def failed(self, part: str) -> None:
        self.failures.append(part)


async def next_told(stream: AsyncIterator[Watched | None]) -> Watched:
    """Give what a watch tells next; seconds of quiet pass."""
    while (told := await anext(stream)) is None:
        pass
    return told
