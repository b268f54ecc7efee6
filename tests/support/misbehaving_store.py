"""A store that can be made to misbehave: it passes everything on, save what a test tells it to spoil."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from portcullis.domain.errors import StoreUnavailable
from portcullis.ports import SnapshotStore

SpoilMetadata = Callable[[bytes | None], bytes | None]
SpoilTarget = Callable[[list[bytes]], list[bytes]]


class MisbehavingStore:
    """Stands before a good store. ``spoil_metadata`` (by file) and ``spoil_target`` change what is read of it."""

    def __init__(self, store: SnapshotStore) -> None:
        self.store = store
        self.spoil_metadata: dict[str, SpoilMetadata] = {}
        self.spoil_target: SpoilTarget | None = None
        self.down = False
        self.reads = 0

    def behave(self) -> None:
        """Be good again."""
        self.spoil_metadata.clear()
        self.spoil_target = None
        self.down = False

    def _demand_up(self) -> None:
        if self.down:
            raise StoreUnavailable("the store is down")

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, Iterable[bytes]]) -> None:
        self._demand_up()
        self.store.publish(metadata, targets)

    def read_metadata(self, name: str) -> bytes | None:
        self._demand_up()
        data = self.store.read_metadata(name)
        spoil = self.spoil_metadata.get(name)
        return spoil(data) if spoil else data

    def read_target(self, name: str) -> Iterator[bytes]:
        self._demand_up()
        self.reads += 1
        chunks = self.store.read_target(name)
        return iter(self.spoil_target(list(chunks))) if self.spoil_target else chunks

    def holds(self, name: str) -> bool:
        self._demand_up()
        return self.store.holds(name)

    def collect(self, keep: Iterable[str]) -> int:
        self._demand_up()
        return self.store.collect(keep)

    def wait(self, timeout_s: float) -> bool:
        return self.store.wait(timeout_s)

    def close(self) -> None:
        self.store.close()
