"""What following counts."""

from __future__ import annotations

from typing import Literal, Protocol

FileKind = Literal["base", "delta"]


class FollowerCounts(Protocol):
    """Where the follower's events are counted."""

    def installed(self, version: int, seconds: float) -> None:
        """Count a version that a replica was built anew for, and the time it took."""
        ...

    def applied(self, version: int, seconds: float) -> None:
        """Count a version that the replica was led on to, and the time it took."""
        ...

    def refused(self, reason: str) -> None:
        """Count a refusal by what was wrong, one of `Refusal`."""
        ...

    def fell_back(self, reason: str) -> None:
        """Count a way by deltas that was given up for the bases, by what was wrong with it, one of `Refusal`."""
        ...

    def fetched(self, kind: FileKind, size: int) -> None:
        """Count a file of records that was fetched and proven, with its length in bytes."""
        ...

    def holds(self, version: int, age_s: float) -> None:
        """Note the version in the replica, and how many seconds ago the publisher vouched for it."""
        ...
