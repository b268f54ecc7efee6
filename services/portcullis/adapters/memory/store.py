"""The snapshot store in memory: for a stack within one process, and the measure of what the contract asks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping

from portcullis.domain.errors import Refusal, SnapshotInvalid


class MemorySnapshotStore:
    """Published files of one process. Threads may share it; every thread that waits is woken by a publish."""

    def __init__(self) -> None:
        self._metadata: dict[str, bytes] = {}
        self._targets: dict[str, tuple[bytes, ...]] = {}
        self._published = threading.Condition()
        self._publishes = 0
        self._seen = threading.local()

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, Iterable[bytes]]) -> None:
        """Keep the targets, replace the metadata and wake whoever waits."""
        arrived = {name: tuple(chunks) for name, chunks in targets.items()}
        with self._published:
            self._targets |= arrived
            self._metadata |= metadata
            self._publishes += 1
            self._published.notify_all()

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

    def holds(self, name: str) -> bool:
        """Say whether a target is there."""
        return name in self._targets

    def collect(self, keep: Iterable[str]) -> int:
        """Remove every target not named."""
        wanted = set(keep)
        with self._published:
            gone = [name for name in self._targets if name not in wanted]
            for name in gone:
                del self._targets[name]
        return len(gone)

    def wait(self, timeout_s: float) -> bool:
        """Block until a publish that this thread has not waited for yet, or until the time is over."""
        with self._published:
            seen: int = getattr(self._seen, "publishes", 0)
            woken = self._published.wait_for(lambda: self._publishes > seen, timeout_s)
            self._seen.publishes = self._publishes
        return woken

    def close(self) -> None:
        """Nothing to give up."""
