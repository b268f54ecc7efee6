"""Both sides of the replica in memory: for a stack within one process, and the measure of what the contract asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.ports import Clock


class MemoryReadTransaction:
    """One version; ``get`` is the look-up of its index itself."""

    __slots__ = ("edition", "get")

    def __init__(self, edition: Edition, get: Callable[[bytes], bytes | None]) -> None:
        self.edition: Edition = edition
        self.get: Callable[[bytes], bytes | None] = get

    def close(self) -> None:
        """Nothing to give back: a version lives as long as someone reads it."""


class MemoryReplicaWriter:
    """The follower's side. Readers are made from it: ``MemoryReplica(writer, clock)``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._installed: MemoryReadTransaction | None = None
        self._vouched: tuple[int, float] = (0, -math.inf)

    @property
    def installed(self) -> MemoryReadTransaction | None:
        """The version now installed."""
        return self._installed

    @property
    def vouched(self) -> tuple[int, float]:
        """The version last vouched for, and when by the monotonic clock."""
        return self._vouched

    def held(self) -> Edition | None:
        """Give the edition now installed, or None."""
        return self._installed.edition if self._installed else None

    def install(self, edition: Edition, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Build a version, then swap to it.

        Raises:
            SnapshotInvalid: tokens out of order, doubled, or not as many as the edition says.
        """
        index: dict[bytes, bytes] = {}
        last = b""
        for token, value in records:
            if token <= last:
                raise SnapshotInvalid("tokens are out of order", refusal=Refusal.RECORDS_MALFORMED)
            index[token] = value
            last = token
        if len(index) != edition.records:
            raise SnapshotInvalid("the records are not as many as the edition says", refusal=Refusal.RECORDS_MALFORMED)
        self._installed = MemoryReadTransaction(edition, index.get)
        age_s = max(0.0, self._clock.now() - edition.published_at)
        self._vouched = (edition.version, self._clock.monotonic() - age_s)

    def vouch(self, version: int, age_s: float) -> None:
        """Note when the publisher vouched for the version installed; the latest vouching counts."""
        vouched_at = self._clock.monotonic() - max(0.0, age_s)
        if version == self._vouched[0] and vouched_at > self._vouched[1]:
            self._vouched = (version, vouched_at)

    def close(self) -> None:
        """Nothing to give up."""


class MemoryReplica:
    """The reader's side."""

    def __init__(self, writer: MemoryReplicaWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._current: MemoryReadTransaction | None = None
        self._vouched_at = -math.inf
        self.refresh()

    def begin(self) -> MemoryReadTransaction | None:
        """Open the newest version that the last refresh saw."""
        return self._current

    def refresh(self) -> bool:
        """Look whether another version was installed or vouched for."""
        newest = self._writer.installed
        changed = newest is not self._current
        self._current = newest
        if newest is not None and newest.edition.version == self._writer.vouched[0]:
            self._vouched_at = self._writer.vouched[1]
        return changed

    def vouched_age_s(self) -> float:
        """Seconds since the last vouching; infinite before the first version."""
        return max(0.0, self._clock.monotonic() - self._vouched_at)

    def close(self) -> None:
        """Let the version go."""
        self._current = None
