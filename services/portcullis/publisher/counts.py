"""What a publisher counts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class PublisherCounts(Protocol):
    """Where the publisher's events are counted."""

    def published(self, version: int, seconds: float, sent_bytes: int) -> None:
        """Count a published version: how long it took from reading the registry until it stood, and what was sent."""
        ...

    def failed(self, part: str) -> None:
        """Count a failed try by the part that failed: registry, store, disk, keys or other."""
        ...

    def refilled(self) -> None:
        """Count that the store did not hold what was put there, and was filled again."""
        ...

    def stalled(self, lists: Collection[str]) -> None:
        """Note which lists can't be brought up to date just now."""
        ...

    def faulty(self, list_name: str, entries: int) -> None:
        """Count entries of a list that were left out or cut."""
        ...

    def reworked(self, *, folded: int, compacted: bool) -> None:
        """Count what was put in force: how many deltas were folded to one, and whether a base was compacted."""
        ...

    def leased(self, *, held: bool) -> None:
        """Note whether this publisher works, or waits for another."""
        ...
