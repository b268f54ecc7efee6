"""Bringing a replica to the version that is trusted.

The rules:

1. The documents are read, the way is chosen (`portcullis.domain.routes`), and the replica's writer takes it: as one
   transaction, or as a replica built beside. Either proves every list's digest before it counts.
2. A way by deltas that goes wrong is given up for the bases, in the same look and counted: what a lagging follower finds
   missing, and what a list's digest finds other than published, is mended by itself. It is not where the bases need the
   very file that was wrong, nor where something newer stands in the store meanwhile: that comes first.
3. What failed is tried again after a pause that doubles, up to half a minute. A new version is tried at once, but not by
   the same bases that failed before: to read millions of records ten times a second would mend nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing

import structlog

from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid, StoreUnavailable
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC, read_frames
from portcullis.domain.manifests import Base, Delta
from portcullis.domain.routes import Route, route_from_bases, route_to
from portcullis.domain.segments import Change
from portcullis.domain.streams import building, in_turn
from portcullis.domain.token_keys import KeyNotHeld, TokenKeys, lookup_of
from portcullis.gateway.following.counts import FollowerCounts
from portcullis.gateway.following.documents import Described, DocumentReader
from portcullis.gateway.following.pauses import Pause
from portcullis.ports import Clock, ReplicaWriter, TrustedSnapshots

REPLACED_MEANWHILE = frozenset(
    {
        Refusal.METADATA_MISSING,
        Refusal.TARGET_MISSING,
        Refusal.TARGET_LENGTH,
        Refusal.TARGET_DIGEST,
        Refusal.CHUNK_MISSING,
    }
)
"""What a look may find wrong because a publish came in between."""

_SPARE_BYTES = 256 << 20
_TIDY_PAUSE_S = 3600.0

_log = structlog.get_logger("portcullis.follower")


class StillPaused(SnapshotInvalid):
    """What was refused is not tried again yet; not counted again either."""


class CatchingUp:
    """Brings one replica to whatever version is trusted."""

    def __init__(
        self,
        *,
        trusted: TrustedSnapshots,
        replica: ReplicaWriter,
        clock: Clock,
        counts: FollowerCounts,
        token_keys: TokenKeys | None = None,
    ) -> None:
        self._trusted = trusted
        self._replica = replica
        self._clock = clock
        self._counts = counts
        self._token_keys = token_keys
        self._documents = DocumentReader(trusted)
        self._versions = Pause(clock)
        self._bases = Pause(clock)
        self._tidy_due = 0.0

    def bring_to(self, version: int, held: Edition | None) -> None:
        """See that the replica holds the version that the trusted metadata names; ``held`` is what it holds now.

        Raises:
            SnapshotInvalid: something published is wrong; the replica stays as it is.
            StoreUnavailable: the store can't be reached.
            OSError: the disk refused.
        """
        described = self._documents.describe(version)
        if held is None or held.version != version:
            self._demand_keys(described.edition)
            _demand_unpaused(self._versions.fault(version))
            try:
                self._take(described, held)
            except (StoreUnavailable, StillPaused):
                raise
            except Exception as fault:
                self._versions.lengthen(version, fault)
                raise
        elif held != described.edition:
            raise SnapshotInvalid("two snapshots have the same version", refusal=Refusal.EQUIVOCATION)

    def _demand_keys(self, edition: Edition) -> None:
        # Looked at each time and never paused: a key that was copied counts at the next look.
        try:
            # A follower that was given none leaves it to the gateways, which look by themselves.
            if self._token_keys is not None and self._token_keys.held():
                lookup_of(edition.token_keys, self._token_keys)
        except KeyNotHeld as fault:
            raise SnapshotInvalid(str(fault), refusal=Refusal.TOKEN_KEY_MISSING) from None

    def _take(self, described: Described, held: Edition | None) -> None:
        edition = described.edition
        route = route_to(edition, described.manifests, held)
        attempt = _Attempt(self._trusted, self._replica, self._counts)
        try:
            self._go(edition, route, attempt)
        except StillPaused:
            raise
        except SnapshotInvalid as fault:
            bases = route_from_bases(described.manifests)
            if bases == route or attempt.spoiled in bases.targets or self._bases.fault(bases.bases):
                raise
            if fault.refusal in REPLACED_MEANWHILE and self._trusted.look().version != edition.version:
                raise
            self._counts.fell_back(fault.refusal.value)
            _log.warning("the deltas lead nowhere; going back to the bases", version=edition.version, fault=fault.message)
            self._go(edition, bases, _Attempt(self._trusted, self._replica, self._counts))

    def _go(self, edition: Edition, route: Route, attempt: _Attempt) -> None:
        begun = self._clock.monotonic()
        if route.in_place:
            attempt.apply(edition, route)
            self._counts.applied(edition.version, self._clock.monotonic() - begun)
            self._tidy(edition, attempt)
            return
        _demand_unpaused(self._bases.fault(route.bases))
        try:
            attempt.install(edition, route)
        except StoreUnavailable:
            raise
        except Exception as fault:
            self._bases.lengthen(route.bases, fault)
            raise
        seconds = self._clock.monotonic() - begun
        self._counts.installed(edition.version, seconds)
        _log.info("installed", version=edition.version, records=edition.records, seconds=round(seconds, 3))

    def _tidy(self, edition: Edition, attempt: _Attempt) -> None:
        """Write a replica of much dead room anew; where the disk has no room for that, the version stands all the same."""
        space = self._replica.space()
        if space is None or space.file_bytes <= 2 * space.needed_bytes + _SPARE_BYTES:
            return
        if self._clock.monotonic() < self._tidy_due:
            return
        self._tidy_due = self._clock.monotonic() + _TIDY_PAUSE_S
        try:
            attempt.build_anew(edition)
        except OSError as fault:
            _log.warning("the replica can't be built anew to take less room", fault=fault.strerror)
            return
        _log.info("the replica was built anew to take less room", megabytes=space.file_bytes >> 20, version=edition.version)


class _Attempt:
    """One try to go one way. ``spoiled`` names the file that could not be had or read."""

    def __init__(self, trusted: TrustedSnapshots, replica: ReplicaWriter, counts: FollowerCounts) -> None:
        self._trusted = trusted
        self._replica = replica
        self._counts = counts
        self._open = ExitStack()
        self.spoiled = ""

    def apply(self, edition: Edition, route: Route) -> None:
        """Lead the replica on in one transaction."""
        with self._open:
            self._replica.apply(edition, in_turn(route.lists, self._file))

    def install(self, edition: Edition, route: Route) -> None:
        """Build a replica beside the one held."""
        with self._open:
            bodies, changes = building(route, edition.records, self._held, self._file)
            self._replica.install(edition, bodies, changes)

    def build_anew(self, edition: Edition) -> None:
        """Build the same version beside the one held."""
        with self._open:
            self._replica.install(edition, self._kept(change for change in self._replica.records()))

    def _held(self, numbers: frozenset[int]) -> Iterator[Change]:
        return self._kept(change for change in self._replica.records() if change[1] in numbers)

    def _file(self, number: int, file: Base | Delta) -> Iterator[Change]:
        return self._kept(self._read(number, file, BASE_MAGIC if isinstance(file, Base) else DELTA_MAGIC))

    def _kept(self, changes: Generator[Change]) -> Iterator[Change]:
        """See that what is read is closed at the end of the attempt, however far it was read."""
        return self._open.enter_context(closing(changes))

    def _read(self, number: int, file: Base | Delta, magic: bytes) -> Generator[Change]:
        try:
            with self._trusted.open(file.target) as opened:
                self._counts.fetched("base" if isinstance(file, Base) else "delta", file.length)
                for token, body in read_frames(magic, opened):
                    yield token, number, body
        except SnapshotInvalid:
            self.spoiled = file.target
            raise


def _demand_unpaused(fault: Exception | None) -> None:
    """Give a fault again while its pause lasts."""
    if isinstance(fault, SnapshotInvalid):
        raise StillPaused(fault.message, refusal=fault.refusal)
    if fault is not None:
        raise fault
