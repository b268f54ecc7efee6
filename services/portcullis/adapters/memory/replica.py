"""Both sides of the replica in memory: for a stack within one process, and the measure of what the contract asks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from portcullis.adapters.proving import ListProofs, whole_tokens
from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.segments import Change, body_of, segment, split_segments, with_body
from portcullis.ports import Clock, Space


class MemoryReadTransaction:
    """One version, never changed; ``get`` is the look-up of its index itself."""

    __slots__ = ("edition", "get", "index")

    def __init__(self, edition: Edition, index: Mapping[bytes, bytes]) -> None:
        self.edition: Edition = edition
        self.index = index
        self.get: Callable[[bytes], bytes | None] = index.get

    def records(self) -> Iterator[Change]:
        """Give every body, strictly ascending by token and list."""
        return _records(self.index)

    def close(self) -> None:
        """Nothing to give back: a version lives as long as someone reads it."""


class MemoryReplicaWriter:
    """The writing side. Readers are made from it: ``MemoryReplica(writer, clock)``.

    Each version is an index of its own, so an apply takes the time of copying one.
    """

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

    def install(self, edition: Edition, records: Iterable[Change], changes: Iterable[Change] = ()) -> None:
        """Build a version, then swap to it.

        Raises:
            SnapshotInvalid: the records are out of order, a body is malformed, or a list is not what the edition says.
        """
        index: dict[bytes, bytes] = {}
        proofs = ListProofs(edition)
        for batch in whole_tokens(records):
            proofs.add_all(batch)
            for token, number, body in batch:
                index[token] = index.get(token, b"") + segment(number, body)
        self._swap(edition, index, changes, proofs)

    def apply(self, edition: Edition, changes: Iterable[Change]) -> None:
        """Lead the present version on to the next.

        Raises:
            SnapshotInvalid: nothing is installed, a body is malformed, a list that has records left, or a list would not be
                what the edition says; the present version stays.
        """
        present = self._installed
        if present is None:
            raise SnapshotInvalid("nothing is installed that could be led on")
        self._swap(edition, dict(present.index), changes, ListProofs(edition, present.edition))

    def body(self, token: bytes, number: int) -> bytes:
        """Give the body of a token in a list as of the version installed; empty where it has none."""
        return body_of(self._installed.get(token), number) if self._installed else b""

    def records(self) -> Iterator[Change]:
        """Give every body, ascending, as of the version installed when this is called."""
        return _records(self._installed.index if self._installed else {})

    def space(self) -> Space | None:
        """There is no file."""
        return None

    def vouch(self, version: int, age_s: float) -> None:
        """Note when the publisher vouched for the version installed; the latest vouching counts."""
        vouched_at = self._clock.monotonic() - max(0.0, age_s)
        if version == self._vouched[0] and vouched_at > self._vouched[1]:
            self._vouched = (version, vouched_at)

    def close(self) -> None:
        """Nothing to give up."""

    def _swap(self, edition: Edition, index: dict[bytes, bytes], changes: Iterable[Change], proofs: ListProofs) -> None:
        for token, number, body in changes:
            proofs.demand(token, number, body)
            value = index.get(token)
            proofs.replace(token, number, body_of(value, number), body)
            changed = with_body(value, number, body)
            if changed:
                index[token] = changed
            else:
                index.pop(token, None)
        proofs.confirm()
        self._installed = MemoryReadTransaction(edition, index)
        age_s = max(0.0, self._clock.now() - edition.published_at)
        self._vouched = (edition.version, self._clock.monotonic() - age_s)


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


def _records(index: Mapping[bytes, bytes]) -> Iterator[Change]:
    for token in sorted(index):
        for number, body in split_segments(index[token]):
            yield token, number, body
