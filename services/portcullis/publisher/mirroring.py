"""The mirror: the publisher's own replica, which holds the bodies of what stands.

It is what a delta is worked out against. It follows the repository's own files, as a follower follows the store's: by the
same ways (`portcullis.domain.routes`). What goes wrong with one is begun again from the bases of all lists; what goes wrong
with those is a broken repository.

Either way the digest of every list is proven.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import structlog

from portcullis.domain.documents import Documents
from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC, read_frames
from portcullis.domain.manifests import Base, Delta
from portcullis.domain.routes import Route, route_from_bases, route_to
from portcullis.domain.segments import Change
from portcullis.domain.streams import building, in_turn
from portcullis.ports import ReplicaWriter, SnapshotRepository
from portcullis.publisher.drafts import PIECE_BYTES
from portcullis.publisher.passes import Beat, beating

_log = structlog.get_logger("portcullis.publisher")


class Mirror:
    """Keeps a replica as the repository says. ``beat`` is called all along."""

    def __init__(self, replica: ReplicaWriter, repository: SnapshotRepository, beat: Beat) -> None:
        self._replica = replica
        self._repository = repository
        self._beat = beat

    def holds(self, standing: Documents) -> bool:
        """Say whether the mirror is at this version."""
        held = self._replica.held()
        return held is not None and held.version == standing.head.version

    def is_of(self, standing: Documents) -> bool:
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

    def follow(self, standing: Documents) -> None:
        """Bring the mirror to this version.

        Raises:
            SnapshotInvalid: the repository's files are not what their manifests say.
            OSError: the disk refused.
        """
        if self.holds(standing):
            return
        edition = standing.edition()
        route = route_to(edition, standing.manifests, self._replica.held())
        bases = route_from_bases(standing.manifests)
        if route != bases:
            try:
                self._go(edition, route)
            except SnapshotInvalid as fault:
                _log.warning("the mirror can't be led on; building it from the bases", fault=fault.message)
            else:
                return
        self._go(edition, bases)

    def rebuild(self, standing: Documents) -> None:
        """Build the mirror from the repository's bases; raises as `follow`."""
        self._go(standing.edition(), route_from_bases(standing.manifests))

    def _go(self, edition: Edition, route: Route) -> None:
        if route.in_place:
            self._replica.apply(edition, beating(in_turn(route.lists, self._file), self._beat))
            return
        bodies, changes = building(route, edition.records, self._held, self._file)
        self._replica.install(edition, beating(bodies, self._beat), beating(changes, self._beat))

    def _held(self, numbers: frozenset[int]) -> Iterator[Change]:
        return (change for change in self._replica.records() if change[1] in numbers)

    def _file(self, number: int, file: Base | Delta) -> Iterator[Change]:
        magic = BASE_MAGIC if isinstance(file, Base) else DELTA_MAGIC
        path = self._repository.path(file.target)
        # A small file is read at once: there may be more of them than a process may have open.
        with io.BytesIO(path.read_bytes()) if file.length <= PIECE_BYTES else path.open("rb") as opened:
            for token, body in read_frames(magic, opened):
                yield token, number, body
