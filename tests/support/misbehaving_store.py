"""A store that can be made to misbehave: it passes everything on, save what a test tells it to spoil."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from portcullis.domain.errors import StoreUnavailable
from portcullis.ports import SnapshotStore

SpoilMetadata = Callable[[bytes | None], bytes | None]
SpoilTarget = Callable[[list[bytes]], list[bytes]]


class MisbehavingStore:
    """Stands before a good store.

    ``spoil_metadata`` changes what is read of a metadata file: by its whole name ("5.snapshot.json"), or by its name without
    the version ("snapshot.json"). ``spoil_targets`` changes the chunks of the targets whose names contain a text, and
    ``spoil_target`` those of every target. ``reads`` counts the targets read, ``asked`` the metadata files by name.
    """

    def __init__(self, store: SnapshotStore) -> None:
        self.store = store
        self.spoil_metadata: dict[str, SpoilMetadata] = {}
        self.spoil_targets: dict[str, SpoilTarget] = {}
        self.spoil_target: SpoilTarget | None = None
        self.down = False
        self.reads = 0
        self.asked: list[str] = []

    def behave(self) -> None:
        """Be good again."""
        self.spoil_metadata.clear()
        self.spoil_targets.clear()
        self.spoil_target = None
        self.down = False

    def _demand_up(self) -> None:
        if self.down:
            raise StoreUnavailable("the store is down")

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, bytes], *, lease: str = "") -> None:
        self._demand_up()
        self.store.publish(metadata, targets, lease=lease)

    def upload(self, name: str, chunks: Iterable[bytes]) -> Iterator[int]:
        self._demand_up()
        for length in self.store.upload(name, chunks):
            yield length
            self._demand_up()

    def read_metadata(self, name: str) -> bytes | None:
        self._demand_up()
        self.asked.append(name)
        data = self.store.read_metadata(name)
        version, _, plain = name.partition(".")
        spoil = self.spoil_metadata.get(name) or (self.spoil_metadata.get(plain) if version.isdigit() else None)
        return spoil(data) if spoil else data

    def read_target(self, name: str) -> Iterator[bytes]:
        self._demand_up()
        self.reads += 1
        chunks = self.store.read_target(name)
        for text, spoil in self.spoil_targets.items():
            if text in name:
                return iter(spoil(list(chunks)))
        return iter(self.spoil_target(list(chunks))) if self.spoil_target else chunks

    def holds(self, names: Collection[str]) -> bool:
        self._demand_up()
        return self.store.holds(names)

    def collect(self, metadata: Collection[str], targets: Collection[str], *, lease: str = "") -> int:
        self._demand_up()
        return self.store.collect(metadata, targets, lease=lease)

    def lease(self, holder: str, ttl_s: float) -> bool:
        self._demand_up()
        return self.store.lease(holder, ttl_s)

    def release(self, holder: str) -> None:
        self._demand_up()
        self.store.release(holder)

    def wait(self, timeout_s: float) -> bool:
        return self.store.wait(timeout_s)

    def close(self) -> None:
        self.store.close()
