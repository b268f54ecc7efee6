"""The snapshot store in memory: for a stack within one process, and the measure of what the contract asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from portcullis.adapters.chunks import in_chunks
from portcullis.domain.errors import LeaseLost, Refusal, SnapshotInvalid
from portcullis.ports import ACKNOWLEDGED_KEPT_S, Acknowledgement


class MemorySnapshotStore:
    """Published files of one process. Threads may share it; every thread that waits is woken by a publish.

    ``monotonic`` gives seconds; leases end by it, and silent hosts are forgotten.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._metadata: dict[str, bytes] = {}
        self._targets: dict[str, tuple[bytes, ...]] = {}
        self._leased: tuple[str, float] | None = None
        self._said: dict[str, tuple[Acknowledgement, float]] = {}
        self._published = threading.Condition()
        self._publishes = 0
        self._seen = threading.local()

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, bytes], *, lease: str = "") -> None:
        """Keep the targets, replace the metadata and wake whoever waits.

        Raises:
            LeaseLost: another has the lease, or nobody; nothing has changed.
        """
        with self._published:
            self._demand_lease(lease)
            self._targets |= {name: (data,) for name, data in targets.items()}
            self._metadata |= metadata
            self._publishes += 1
            self._published.notify_all()

    def upload(self, name: str, chunks: Iterable[bytes]) -> Iterator[int]:
        """Keep a target, one chunk of at most a mebibyte for each step."""
        arrived: list[bytes] = []
        for chunk in in_chunks(chunks):
            arrived.append(chunk)
            yield len(chunk)
        with self._published:
            self._targets[name] = tuple(arrived)

    def read_metadata(self, name: str) -> bytes | None:
        """Give a metadata file, or None."""
        return self._metadata.get(name)

    def read_target(self, name: str) -> Iterator[bytes]:
        """Give a target in chunks.

        Raises:
            SnapshotInvalid: no such target.
        """
        chunks = self._targets.get(name)
        if chunks is None:
            raise SnapshotInvalid("the store does not hold the target", refusal=Refusal.TARGET_MISSING)
        yield from chunks

    def holds(self, names: Collection[str]) -> bool:
        """Say whether these targets are all there."""
        return all(name in self._targets for name in names)

    def collect(self, metadata: Collection[str], targets: Collection[str], *, lease: str = "") -> int:
        """Remove every metadata file and every target that is not named.

        Raises:
            LeaseLost: another has the lease, or nobody; nothing was removed.
        """
        with self._published:
            self._demand_lease(lease)
            return _keep(self._metadata, metadata) + _keep(self._targets, targets)

    def lease(self, holder: str, ttl_s: float) -> bool:
        """Take the publisher's lease, or prolong it."""
        with self._published:
            if self._holder() not in (None, holder):
                return False
            self._leased = (holder, self._monotonic() + ttl_s)
            return True

    def release(self, holder: str) -> None:
        """Give the lease back, if this holder has it."""
        with self._published:
            if self._holder() == holder:
                self._leased = None

    def _holder(self) -> str | None:
        if self._leased is None or self._leased[1] <= self._monotonic():
            return None
        return self._leased[0]

    def _demand_lease(self, lease: str) -> None:
        if lease and self._holder() != lease:
            raise LeaseLost("the publisher's lease is another's or has run out; it publishes again once it has it")

    def acknowledge(self, said: Acknowledgement) -> None:
        """Say what a host serves, in the place of what it said before."""
        with self._published:
            self._said[said.host] = said, self._monotonic()

    def acknowledged(self) -> Sequence[Acknowledgement]:
        """Give what every host has said last within a day, in the order of their names."""
        with self._published:
            oldest = self._monotonic() - ACKNOWLEDGED_KEPT_S
            self._said = {host: each for host, each in self._said.items() if each[1] > oldest}
            return sorted(said for said, _ in self._said.values())

    def wait(self, timeout_s: float) -> bool:
        """Block until a publish that this thread has not waited for yet, or until the time is over."""
        with self._published:
            seen: int = getattr(self._seen, "publishes", 0)
            woken = self._published.wait_for(lambda: self._publishes > seen, timeout_s)
            self._seen.publishes = self._publishes
        return woken

    def close(self) -> None:
        """Nothing to give up."""


def _keep(held: dict[str, bytes] | dict[str, tuple[bytes, ...]], names: Collection[str]) -> int:
    gone = held.keys() - set(names)
    for name in gone:
        del held[name]
    return len(gone)
