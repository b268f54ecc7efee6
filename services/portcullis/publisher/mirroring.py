"""The mirror: the publisher's own replica, which holds the bodies of what stands.

It is what a delta is worked out against. It follows the repository's own files, as a follower follows the store's:

1. A list goes on from the bodies held by the deltas that lead to the present version; where none do, its base is taken.
2. Where every list goes on, or is new and no larger than a tenth of all, the mirror is led on in one transaction.
   Otherwise it is built beside, from the bodies held of the lists that go on, the bases of the others, and the deltas.
3. What goes wrong with that is begun again from the bases of all lists. What goes wrong with those is a broken repository.

Either way the digest of every list is proven.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import structlog

from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC, read_frames
from portcullis.domain.manifests import Base, Delta, Manifest, steps_from
from portcullis.domain.segments import Change
from portcullis.ports import ReplicaWriter, SnapshotRepository
from portcullis.publisher.drafts import PIECE_BYTES
from portcullis.publisher.passes import Beat, beating
from portcullis.publisher.standing import Standing

_SHARE_IN_PLACE = 10

_log = structlog.get_logger("portcullis.publisher")


class _Way(NamedTuple):
    """How one list gets to what stands: by its base, where that is taken, and the deltas."""

    number: int
    base: Base | None
    deltas: tuple[Delta, ...]


class Mirror:
    """Keeps a replica as the repository says. ``beat`` is called all along."""

    def __init__(self, replica: ReplicaWriter, repository: SnapshotRepository, beat: Beat) -> None:
        self._replica = replica
        self._repository = repository
        self._beat = beat

    def holds(self, standing: Standing) -> bool:
        """Say whether the mirror is at this version."""
        held = self._replica.held()
        return held is not None and held.version == standing.head.version

    def is_of(self, standing: Standing) -> bool:
        """Say whether what the mirror holds of this version, or of one before, is what was published as that."""
        held = self._replica.held()
        if held is None:
            return True
        known = {state.manifest.number: state.manifest for state in standing.lists.values()}
        return held.version <= standing.head.version and all(
            each.version != manifest.version or (each.records, each.digest) == (manifest.records, manifest.digest)
            for each in held.lists
            if (manifest := known.get(each.number)) is not None
        )

    def follow(self, standing: Standing) -> None:
        """Bring the mirror to this version.

        Raises:
            SnapshotInvalid: the repository's files are not what their manifests say.
            OSError: the disk refused.
        """
        if self.holds(standing):
            return
        edition = standing.edition()
        manifests = [state.manifest for state in standing.lists.values()]
        held = self._replica.held()
        if held is not None:
            ways = [_way(manifest, held) for manifest in manifests]
            try:
                self._go(edition, ways, held)
            except SnapshotInvalid as fault:
                _log.warning("the mirror can't be led on; building it from the bases", fault=fault.message)
            else:
                return
        ways = [_from_base(manifest) for manifest in manifests]
        self._replica.install(edition, self._records(ways), self._changes(ways))

    def rebuild(self, standing: Standing) -> None:
        """Build the mirror from the repository's bases; raises as `follow`."""
        ways = [_from_base(state.manifest) for state in standing.lists.values()]
        self._replica.install(standing.edition(), self._records(ways), self._changes(ways))

    def _go(self, edition: Edition, ways: list[_Way], held: Edition) -> None:
        if _in_place(edition, ways, held):
            first = (change for way in ways if way.base for change in self._base(way.number, way.base))
            self._replica.apply(edition, beating(chain(first, self._changes(ways)), self._beat))
            return
        kept = {way.number for way in ways if way.base is None}
        held_records = (change for change in self._replica.records() if change[1] in kept)
        self._replica.install(edition, heapq.merge(self._records(ways), held_records), self._changes(ways))

    def _records(self, ways: Iterable[_Way]) -> Iterator[Change]:
        return beating(heapq.merge(*(self._base(way.number, way.base) for way in ways if way.base)), self._beat)

    def _changes(self, ways: Iterable[_Way]) -> Iterator[Change]:
        for way in ways:
            for delta in way.deltas:
                yield from self._read(way.number, delta, DELTA_MAGIC)

    def _base(self, number: int, base: Base) -> Iterator[Change]:
        return self._read(number, base, BASE_MAGIC)

    def _read(self, number: int, file: Base | Delta, magic: bytes) -> Iterator[Change]:
        path = self._repository.path(file.target)
        # A small file is read at once: there may be more of them than a process may have open.
        with io.BytesIO(path.read_bytes()) if file.length <= PIECE_BYTES else path.open("rb") as opened:
            for token, body in read_frames(magic, opened):
                yield token, number, body


def _way(manifest: Manifest, held: Edition) -> _Way:
    known = held.list_numbered(manifest.number)
    steps = steps_from(manifest, known.version) if known is not None else None
    return _from_base(manifest) if steps is None else _Way(manifest.number, None, steps)


def _from_base(manifest: Manifest) -> _Way:
    # A manifest whose deltas do not lead on from its base can't be read in the first place.
    return _Way(manifest.number, manifest.base, steps_from(manifest, manifest.base.version) or ())


def _in_place(edition: Edition, ways: Iterable[_Way], held: Edition) -> bool:
    bases = [way for way in ways if way.base]
    begun = sum(way.base.records for way in bases if way.base)
    vacant = all((known := held.list_numbered(way.number)) is None or not known.records for way in bases)
    gone = any(each.records and edition.list_numbered(each.number) is None for each in held.lists)
    return vacant and not gone and begun * _SHARE_IN_PLACE <= held.records
