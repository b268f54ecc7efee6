"""The follower: brings the replica to the newest version in the store, and notes how fresh it is.

The rules:

1. Metadata and base are proven link by link (`portcullis.domain.metadata`, `portcullis.domain.bases`) before a version is
   installed. Whatever is wrong anywhere refuses the whole: the last good replica stays, and the refusal is counted.
2. It never goes back: not to a lower version, not to an older vouching of a version, not to another snapshot under the
   same version, even where the replica was wiped meanwhile. A store found empty or older is a fault, never "no one is
   listed".
3. How long ago the publisher vouched is judged by the wall clocks where nothing better is known. Once a newer vouching is
   seen to follow an older one, it can't be older than the look that saw the older one: that is judged by monotonic time,
   so a clock that is two hours wrong, or is set meanwhile, makes nothing old or fresh.
4. Files replaced while they are read are no fault: it looks again.
5. It looks when told of a publish, and every `follow_interval_s` whatever happens. A base that was refused, or that the
   disk had no room for, is read again after a pause that doubles, up to half a minute.
6. No fault ends the loop. A fault is logged when it begins and when it is over.
"""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

import structlog

from portcullis.domain.bases import read_base
from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid, StoreUnavailable
from portcullis.domain.metadata import (
    SNAPSHOT_FILE,
    TIMESTAMP_FILE,
    SnapshotDescription,
    Timestamp,
    decode_snapshot,
    decode_timestamp,
)
from portcullis.ports import Clock, ReplicaWriter, SnapshotStore

_TRIES = 3
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 32.0
_STOP_INTERVAL_S = 0.25
_REPLACED_MEANWHILE = frozenset(
    {
        Refusal.SNAPSHOT_MISSING,
        Refusal.SNAPSHOT_DIGEST,
        Refusal.TARGET_MISSING,
        Refusal.CHUNK_MISSING,
    }
)

_log = structlog.get_logger("portcullis.follower")


class FollowerCounts(Protocol):
    """Where the follower's events are counted."""

    def installed(self, version: int) -> None:
        """Count an installed version."""
        ...

    def refused(self, reason: str) -> None:
        """Count a refusal by what was wrong, one of `Refusal`."""
        ...


class _Accepted(NamedTuple):
    """The statement last accepted, and when (monotonic) the store was last seen to hold nothing newer."""

    timestamp: Timestamp
    looked_at: float

    def names_same_version(self, other: Timestamp) -> bool:
        return self.timestamp.version == other.version

    def names_same_snapshot(self, other: Timestamp) -> bool:
        return self.timestamp.snapshot_sha256 == other.snapshot_sha256


class Follower:
    """Follows one store into one replica."""

    def __init__(
        self,
        *,
        store: SnapshotStore,
        replica: ReplicaWriter,
        clock: Clock,
        counts: FollowerCounts,
        follow_interval_s: float,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._counts = counts
        self._follow_interval_s = follow_interval_s
        self._accepted: _Accepted | None = None
        self._pause = _Pause()
        self._fault = ""

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop; that takes effect within a quarter of a second, or at the end of an install."""
        while not stop.is_set():
            self.look()
            self._wait(stop)

    def _wait(self, stop: threading.Event) -> None:
        deadline = self._clock.monotonic() + self._follow_interval_s
        while not stop.is_set() and (left := deadline - self._clock.monotonic()) > 0:
            if self._store.wait(min(left, _STOP_INTERVAL_S)):
                return

    def look(self) -> bool:
        """Look once, and install or vouch as needed; False when nothing good was found. Raises nothing.

        May block on the store and on the disk.
        """
        try:
            self._look()
        except SnapshotInvalid as fault:
            return self._refused(fault)
        except StoreUnavailable as fault:
            return self._failed("store", fault.message)
        except OSError as fault:
            return self._failed("disk", f"the replica can't be written ({fault.strerror or fault})")
        except Exception as fault:  # noqa: BLE001 - rule 6; the class alone, for a message of others may hold anything
            return self._failed("other", f"unexpected: {type(fault).__name__}")
        if self._fault:
            _log.info("following again")
            self._fault = ""
        return True

    def _refused(self, fault: SnapshotInvalid) -> bool:
        if fault.refusal is Refusal.STORE_EMPTY and self._replica.held() is None:
            return self._failed("store", "nothing is published yet")
        if not isinstance(fault, _StillPaused):
            self._counts.refused(fault.refusal.value)
        return self._failed(fault.refusal.value, fault.message)

    def _failed(self, part: str, message: str) -> bool:
        if message != self._fault:
            # Before the first snapshot there is nothing to be out of date: on a first start this is how it begins.
            log = _log.info if self._replica.held() is None else _log.warning
            log("not following; the replica stays as it is", part=part, fault=message)
            self._fault = message
        return False

    def _look(self) -> None:
        for left in reversed(range(_TRIES)):
            data = self._store.read_metadata(TIMESTAMP_FILE)
            looked_at = self._clock.monotonic()
            try:
                timestamp = decode_timestamp(data)
                self._follow(timestamp, looked_at)
            except SnapshotInvalid as fault:
                if left and fault.refusal in _REPLACED_MEANWHILE and self._store.read_metadata(TIMESTAMP_FILE) != data:
                    continue
                raise
            return

    def _follow(self, timestamp: Timestamp, looked_at: float) -> None:
        wall_age_s = max(0.0, self._clock.now() - timestamp.vouched_at)
        accepted, held = self._accepted, self._replica.held()
        if timestamp.version < max(held.version if held else 0, accepted.timestamp.version if accepted else 0):
            raise SnapshotInvalid("the store holds a lower version than the replica", refusal=Refusal.ROLLBACK)
        if accepted is None or held is None or not accepted.names_same_version(timestamp):
            self._take(timestamp, held)
        elif not accepted.names_same_snapshot(timestamp):
            raise SnapshotInvalid("two snapshots have the same version", refusal=Refusal.EQUIVOCATION)
        elif timestamp.serial < accepted.timestamp.serial:
            raise SnapshotInvalid("the store holds an older timestamp than before", refusal=Refusal.ROLLBACK)
        elif timestamp.serial == accepted.timestamp.serial:
            self._accepted = accepted._replace(looked_at=looked_at)
            return
        age_s = wall_age_s if accepted is None else min(wall_age_s, looked_at - accepted.looked_at)
        self._accepted = _Accepted(timestamp, looked_at)
        self._replica.vouch(timestamp.version, age_s + self._clock.monotonic() - looked_at)

    def _take(self, timestamp: Timestamp, held: Edition | None) -> None:
        """See that the replica holds the version that a timestamp names."""
        description = decode_snapshot(self._store.read_metadata(SNAPSHOT_FILE), timestamp)
        if held is None or held.version != timestamp.version:
            self._pause.hold(timestamp, self._clock.monotonic())
            try:
                self._install(description)
            except (SnapshotInvalid, OSError) as fault:
                self._pause.lengthen(timestamp, fault, self._clock.monotonic())
                raise
        elif not description.describes(held):
            raise SnapshotInvalid("two snapshots have the same version", refusal=Refusal.EQUIVOCATION)

    def _install(self, description: SnapshotDescription) -> None:
        begun = self._clock.monotonic()
        edition, records = read_base(description.digests(), self._store.read_target(description.base_name))
        if not description.describes(edition):
            raise SnapshotInvalid("the base holds another edition than described", refusal=Refusal.MIXED_VERSIONS)
        self._replica.install(edition, records)
        seconds = self._clock.monotonic() - begun
        self._counts.installed(edition.version)
        _log.info("installed", version=edition.version, records=edition.records, seconds=round(seconds, 3))


class _StillPaused(SnapshotInvalid):
    """A base that was refused is not read again yet; not counted again either."""


class _Pause:
    """Holds off from a base that was refused, or that the disk would not take. A new version is taken at once."""

    def __init__(self) -> None:
        self._snapshot = ""
        self._fault: SnapshotInvalid | OSError = SnapshotInvalid("")
        self._pause_s = 0.0
        self._until = 0.0

    def hold(self, timestamp: Timestamp, now: float) -> None:
        """Go on, or give the last fault again."""
        if timestamp.snapshot_sha256 != self._snapshot or now >= self._until:
            return
        if isinstance(self._fault, SnapshotInvalid):
            raise _StillPaused(self._fault.message, refusal=self._fault.refusal)
        raise self._fault.with_traceback(None)

    def lengthen(self, timestamp: Timestamp, fault: SnapshotInvalid | OSError, now: float) -> None:
        """Note a fault."""
        again = timestamp.snapshot_sha256 == self._snapshot
        if again:
            self._pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, self._pause_s * 2))
        else:
            # A disk is asked once more at the next look: what failed may have freed its room again.
            self._pause_s = 0.0 if isinstance(fault, OSError) else _FIRST_PAUSE_S
        self._snapshot, self._fault, self._until = timestamp.snapshot_sha256, fault, now + self._pause_s
