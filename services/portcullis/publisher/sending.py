"""The copy in the store: made equal to what the repository says is in force, and compared with it every second.

The rules:

1. A version arrives whole: metadata and small targets in one atomic step, after the large targets that it needs. Whoever
   reads in between finds the version before.
2. Every step needs the lease, so a publisher that lost it while it slept changes nothing.
3. Each second the timestamp is compared with the one that was put there, a few of the other metadata files in turn, and
   every target is asked for; a mebibyte of them is read (`portcullis.publisher.comparing`). Whatever is not as it was put
   is put again, from the repository's files.
4. After a fault it is not known what the store has. Then everything is asked for, and sent where it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle, islice
from pathlib import Path

from portcullis.ports import Publication, SnapshotStore
from portcullis.publisher.comparing import Comparison
from portcullis.publisher.drafts import PIECE_BYTES, pieces
from portcullis.publisher.passes import Beat

TIMESTAMP_FILE = "timestamp.json"

SMALL_BYTES = PIECE_BYTES
"""A target of at most so many bytes goes in the atomic step."""

TOGETHER_BYTES = 8 << 20
"""At most so many bytes of targets go in one atomic step; what is beyond goes before it."""

COMPARED_AT_ONCE = 8
"""How many metadata files are compared each second, besides the timestamp."""

NOTHING = Publication({}, {})


class StoreCopy:
    """What one store holds of the repository. ``holder`` is the lease's.

    Attributes:
        put: what was put there last.
        sizes: the bytes of its targets, and of those that it replaced.
    """

    def __init__(self, store: SnapshotStore, holder: str) -> None:
        self._store = store
        self._holder = holder
        self._turn = iter(cycle([""]))
        self._comparison = Comparison(store)
        self._damaged: set[str] = set()
        self._known = NOTHING
        self.put = NOTHING
        self.sizes: dict[str, int] = {}

    @property
    def is_known(self) -> bool:
        """Whether it is known what the store has."""
        return self._known is not NOTHING

    def forget(self) -> None:
        """Take it that nothing is known of what the store has."""
        self._known = NOTHING

    def send(self, publication: Publication, beat: Beat) -> int:
        """Make the store hold this; gives how many bytes were sent.

        Raises:
            LeaseLost: another publishes now; nothing that a reader can see has changed.
            StoreUnavailable: the store can't be reached, or is full.
        """
        known, self._known = self._known, NOTHING
        fresh = {name: path.stat().st_size for name, path in publication.targets.items() if name not in self.sizes}
        missing = self._missing(publication, known)
        together, sent = self._send_large(missing, beat)
        metadata = {name: data for name, data in publication.metadata.items() if known.metadata.get(name) != data}
        self._store.publish(metadata, together, lease=self._holder)
        sent += sum(map(len, metadata.values())) + sum(map(len, together.values()))
        kept = self.put.targets.keys() | publication.targets.keys()
        self.sizes = {name: size for name, size in (self.sizes | fresh).items() if name in kept}
        self._known = self.put = publication
        self._damaged.clear()
        self._turn = iter(cycle(sorted(publication.metadata)))
        return sent

    def stands(self) -> bool:
        """Compare what the store has with what was put there.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        names = {TIMESTAMP_FILE, *islice(self._turn, min(COMPARED_AT_ONCE, len(self.put.metadata)))}
        if any(self._store.read_metadata(name) != self.put.metadata.get(name) for name in names):
            return False
        self._damaged |= self._comparison.step(self.put)
        return not self._damaged and self._store.holds(self.put.targets)

    def _missing(self, publication: Publication, known: Publication) -> dict[str, Path]:
        fresh = {name: path for name, path in publication.targets.items() if name not in known.targets}
        if known.metadata and all(path.stat().st_size <= SMALL_BYTES for path in fresh.values()):
            return fresh
        damaged = {name: path for name, path in fresh.items() if name in self._damaged}
        if not fresh or (not known.metadata and self._store.holds(fresh)):
            return damaged
        return damaged | {name: path for name, path in fresh.items() if not self._store.holds((name,))}

    def _send_large(self, targets: Mapping[str, Path], beat: Beat) -> tuple[dict[str, bytes], int]:
        """Send what does not go together with the metadata; gives what does."""
        together: dict[str, bytes] = {}
        room, sent = TOGETHER_BYTES, 0
        for name, path in targets.items():
            size = path.stat().st_size
            if size <= min(SMALL_BYTES, room):
                together[name] = path.read_bytes()
                room -= size
            else:
                sent += self._upload(name, pieces(path), beat)
        return together, sent

    def _upload(self, name: str, chunks: Iterable[bytes], beat: Beat) -> int:
        sent = 0
        for length in self._store.upload(name, chunks):
            sent += length
            beat()
        return sent
