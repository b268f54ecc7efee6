"""Reading through what a store has of the targets, little by little, and comparing it with the files it was made from.

A store may keep a target and yet have damaged it; every follower refuses it then, and none can mend it. So up to a mebibyte
is read each second, in turn: small targets come round within seconds, and a base of 400 MB within minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from portcullis.domain.errors import SnapshotInvalid
from portcullis.ports import Publication, SnapshotStore

BYTES_A_STEP = 1 << 20
CHUNKS_A_STEP = 32


class Comparison:
    """Where the reading of one store stands."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._chunks: Iterator[tuple[str, int, bool]] = iter(())

    def step(self, publication: Publication) -> set[str]:
        """Compare a little more of what was put there; gives the targets, by their names in the store, that are damaged.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        damaged: set[str] = set()
        left = BYTES_A_STEP
        for _ in range(CHUNKS_A_STEP):
            name, length, same = next(self._chunks, ("", 0, True))
            if not name:
                self._chunks = self._read(publication)
                break
            left -= length
            # One that has left force meanwhile may be gone.
            if not same and name in publication.targets:
                damaged.add(name)
            if left <= 0:
                break
        return damaged

    def _read(self, publication: Publication) -> Iterator[tuple[str, int, bool]]:
        for name, path in publication.targets.items():
            yield from self._read_target(name, path)

    def _read_target(self, name: str, path: Path) -> Iterator[tuple[str, int, bool]]:
        try:
            with path.open("rb") as file:
                for chunk in self._store.read_target(name):
                    yield name, len(chunk), file.read(len(chunk)) == chunk
                yield name, 0, not file.read(1)
        except SnapshotInvalid:
            yield name, 0, False
        except FileNotFoundError:
            # It has left force here, and there it goes after its grace.
            return
