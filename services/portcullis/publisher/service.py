"""The publisher: keeps the newest state of the registry in the store, and vouches for it every second.

The rules:

1. A change of the registry is published whole, under the next version: the time in milliseconds, and in any case more than
   the greatest version known from the state file and from the store. So a publisher whose state file was lost, or came
   back from a backup, still counts upwards beside an empty or older store, and no follower has to refuse it as a
   rollback. A version is spent, on the disk, before anything is sent.
2. To vouch is to say: a moment ago this was the newest state of the registry. So nothing is vouched for while the registry
   can't be asked, or holds changes that are not published yet.
3. What stands in the store is compared every second with what was put there. A store found empty, older, damaged or without
   the base is a fault, and gets a new version at once.
4. A registry that knows fewer changes than were published is another registry or an old copy. It is not published.
5. A base that another has replaced stays for followers who are reading it: for `GRACE_S` seconds, and a second more for each
   `SLOWEST_READER_BYTES_PER_S` bytes of it. The base that the metadata in the store names always stays. What else is
   there, such as the beginning of a base whose upload failed, goes before the next one is sent, so that a store that was
   full does not stay so.
6. No fault ends the loop. Each is counted at every try, and logged when it begins and when it is over.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from portcullis.domain.bases import base_chunks, digest_chunks
from portcullis.domain.errors import PortcullisError, RegistryUnavailable, SetupFault, SnapshotInvalid, StoreUnavailable
from portcullis.domain.metadata import (
    SNAPSHOT_FILE,
    TIMESTAMP_FILE,
    SnapshotDescription,
    Timestamp,
    decode_snapshot,
    decode_timestamp,
    describe,
    encode_snapshot,
    encode_timestamp,
    timestamp_for,
)
from portcullis.ports import Clock, RegistryReader, SnapshotStore
from portcullis.publisher.compiling import Compilation, compile_edition
from portcullis.publisher.state import PublisherState, StateFile

VOUCH_INTERVAL_S = 1.0
GRACE_S = 5.0
SLOWEST_READER_BYTES_PER_S = 10 << 20
_LONGEST_PAUSE_S = 2.0

_log = structlog.get_logger("portcullis.publisher")


class PublisherCounts(Protocol):
    """Where the publisher's events are counted."""

    def published(self, version: int, seconds: float) -> None:
        """Count a published version and how long it took."""
        ...

    def failed(self, reason: str) -> None:
        """Count a failed try by the part that failed: registry, store or other."""
        ...


class _Published(NamedTuple):
    """What stands in the store as far as the publisher knows."""

    snapshot: bytes
    description: SnapshotDescription
    timestamp: Timestamp


class Publisher:
    """Publishes one registry to one store. ``folder`` is where a compiled index may lie for a moment."""

    def __init__(
        self,
        *,
        registry: RegistryReader,
        store: SnapshotStore,
        state: StateFile,
        clock: Clock,
        counts: PublisherCounts,
        publish_interval_s: float,
        folder: Path | None = None,
    ) -> None:
        self._registry = registry
        self._store = store
        self._state = state
        self._clock = clock
        self._counts = counts
        self._publish_interval_s = publish_interval_s
        self._folder = folder
        self._published: _Published | None = None
        self._vouch_due = 0.0
        self._kept_until: dict[str, float] = {}
        self._uncollected = True
        self._fault = ""

    def run(self, stop: threading.Event) -> None:
        """Publish until told to stop."""
        failures = 0
        while not stop.is_set():
            failures = 0 if self.look() else failures + 1
            stop.wait(min(_LONGEST_PAUSE_S, self._publish_interval_s * 2 ** min(failures, 10)))

    def look(self) -> bool:
        """Look once, and do what is needed; False when that failed. Raises nothing.

        May block on the registry, the store and the disk, and takes as long as compiling takes.
        """
        try:
            self._look()
        except RegistryUnavailable as fault:
            return self._failed("registry", fault.message)
        except StoreUnavailable as fault:
            return self._failed("store", fault.message)
        except PortcullisError as fault:
            return self._failed("other", fault.message)
        except Exception as fault:  # noqa: BLE001 - rule 6; the class alone, for a message of others may hold anything
            return self._failed("other", f"unexpected: {type(fault).__name__}")
        if self._fault:
            _log.info("publishing again")
            self._fault = ""
        return True

    def _failed(self, part: str, message: str) -> bool:
        self._counts.failed(part)
        if message != self._fault:
            _log.warning("not publishing; still trying", part=part, fault=message)
            self._fault = message
        return False

    def _look(self) -> None:
        head = self._registry.head()
        now = self._clock.monotonic()
        if self._published is None:
            self._published = self._adopted(head)
        if self._published is None or head != self._published.description.registry_seq:
            self._publish(head)
        elif now >= self._vouch_due:
            self._renew(self._published, head)
            self._collect()

    def _renew(self, published: _Published, head: int) -> None:
        serial = self._standing_serial(published)
        if serial:
            self._vouch(published, serial + 1)
            return
        self._counts.failed("store")
        _log.warning("the store lost what was published; publishing it again", version=published.timestamp.version)
        self._publish(head)

    # --- what stands in the store ---------------------------------------------------------------------------------------

    def _found(self) -> tuple[Timestamp, bytes, SnapshotDescription] | None:
        """Read what the store holds; None where that is nothing whole."""
        try:
            timestamp = decode_timestamp(self._store.read_metadata(TIMESTAMP_FILE))
            snapshot = self._store.read_metadata(SNAPSHOT_FILE)
            return timestamp, snapshot or b"", decode_snapshot(snapshot, timestamp)
        except SnapshotInvalid:
            return None

    def _adopted(self, head: int) -> _Published | None:
        """Take over what this publisher put there before it was restarted, if that is still whole and the newest."""
        found, state = self._found(), self._state.load()
        if found is None:
            return None
        timestamp, snapshot, description = found
        same = (timestamp.version, timestamp.snapshot_sha256) == (state.version, state.snapshot_sha256)
        if not same or head != description.registry_seq or not self._store.holds(description.base_name):
            return None
        return _Published(snapshot, description, timestamp)

    def _standing_serial(self, published: _Published) -> int:
        """Give the serial to go on from; 0 when the store no longer holds what was published.

        The store may be one vouching ahead, for one whose answer was lost, or behind, for one that the server lost.
        """
        found = self._found()
        if found is None or found[1] != published.snapshot or not self._store.holds(published.description.base_name):
            return 0
        serial = published.timestamp.serial
        return max(serial, found[0].serial) if found[0].serial <= serial + 1 else 0

    # --- publishing -----------------------------------------------------------------------------------------------------

    def _publish(self, head: int) -> None:
        begun = self._clock.monotonic()
        state = self._state.load()
        if head < state.registry_seq:
            raise SetupFault(
                "the registry knows fewer changes than were published: restore the registry, or, if it shall be published "
                f"as it is, stop the publisher and remove {self._state.file}"
            )
        version = self._next_version(state)
        self._collect()
        with self._registry.view() as view:
            compilation = compile_edition(view, version=version, now=self._clock.now(), folder=self._folder)
        with compilation.spool:
            self._report_faults(compilation)
            published = self._send(compilation)
        self._published = published
        self._vouch_due = begun + VOUCH_INTERVAL_S
        seconds = self._clock.monotonic() - begun
        self._counts.published(version, seconds)
        _log.info("published", version=version, records=compilation.edition.records, seconds=round(seconds, 3))

    def _next_version(self, state: PublisherState) -> int:
        """Give the next version; it asks the store first, so nothing is compiled for a store that is not there."""
        try:
            found = decode_timestamp(self._store.read_metadata(TIMESTAMP_FILE)).version
        except SnapshotInvalid:
            found = 0
        return max(int(self._clock.now() * 1000), state.version + 1, found + 1)

    def _send(self, compilation: Compilation) -> _Published:
        edition = compilation.edition
        digests = digest_chunks(base_chunks(edition, compilation.spool.pieces()))
        description = describe(edition, digests)
        snapshot = encode_snapshot(description)
        timestamp = timestamp_for(edition.version, snapshot, serial=1, vouched_at=edition.published_at)
        self._state.save(
            PublisherState(
                version=edition.version,
                registry_seq=edition.registry_seq,
                snapshot_sha256=hashlib.sha256(snapshot).hexdigest(),
            )
        )
        replaced = self._found()
        self._uncollected = True
        self._store.publish(
            {SNAPSHOT_FILE: snapshot, TIMESTAMP_FILE: encode_timestamp(timestamp)},
            {digests.name: base_chunks(edition, compilation.spool.pieces())},
        )
        if replaced is not None:
            self._supersede(replaced[2])
        return _Published(snapshot, description, timestamp)

    def _report_faults(self, compilation: Compilation) -> None:
        for (name, reason), count in compilation.faults.items():
            _log.warning("entries of a list were left out or cut", list=name, reason=reason, entries=count)

    def _vouch(self, published: _Published, serial: int) -> None:
        timestamp = timestamp_for(
            published.timestamp.version, published.snapshot, serial=serial, vouched_at=self._clock.now()
        )
        self._store.publish({TIMESTAMP_FILE: encode_timestamp(timestamp)}, {})
        self._published = published._replace(timestamp=timestamp)
        self._vouch_due = self._clock.monotonic() + VOUCH_INTERVAL_S

    # --- collecting -----------------------------------------------------------------------------------------------------

    def _supersede(self, description: SnapshotDescription) -> None:
        grace_s = GRACE_S + description.base_length / SLOWEST_READER_BYTES_PER_S
        self._kept_until[description.base_name] = self._clock.monotonic() + grace_s

    def _collect(self) -> None:
        """Remove the bases that nobody can be reading any more, and what failed uploads left."""
        if not self._uncollected:
            return
        found = self._found()
        standing = {found[2].base_name} if found else set()
        now = self._clock.monotonic()
        self._kept_until = {name: until for name, until in self._kept_until.items() if until > now}
        self._store.collect({*standing, *self._kept_until})
        self._uncollected = bool(self._kept_until)
