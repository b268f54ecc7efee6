"""The publisher of a home, and publishing once, beside or instead of a running one.

A publisher that runs has the store's lease, and publishes a change by itself: then all there is to do is to wait for it.
Only who has the lease publishes, so that two never write to one store.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.adapters.tuf.trusted import TufTrustedSnapshots
from portcullis.config import Settings
from portcullis.domain.errors import SetupFault, SnapshotInvalid, Unavailable
from portcullis.domain.manifests import HEAD_TARGET, MAX_DOCUMENT_BYTES, Head, decode_head
from portcullis.mains.keys import trust_folder
from portcullis.ports import RegistryReader, SnapshotStore, TimeKeeper, TrustedSnapshots
from portcullis.publisher.counts import PublisherCounts
from portcullis.publisher.leasing import LEASE_TTL_S
from portcullis.publisher.service import Publisher

WAIT_S = 60.0
"""How long a running publisher may take to publish the registry as it is now."""

_LOOK_EVERY_S = 0.05


@contextmanager
def open_publisher(
    settings: Settings,
    *,
    registry: RegistryReader,
    store: SnapshotStore,
    clock: TimeKeeper,
    counts: PublisherCounts,
    holder: str = "",
) -> Iterator[Publisher]:
    """Open the publisher of this home: its repository, its mirror and its keys.

    Raises:
        SetupFault: the keys are not there, another process has this home's publisher open, or the home can't be written.
    """
    folder = settings.publisher_path.absolute()
    repository_folder = folder / "repository"
    try:
        for each in (folder, repository_folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise SetupFault(f"{folder} can't be written ({fault.strerror}); give this user the home's folder") from fault
    # First of all that is in the folder: it keeps a second publisher of this home out.
    with closing(LmdbReplicaWriter(folder / "mirror", clock, filtered=False)) as mirror:
        keys = KeyDirectory(trust_folder(settings.keys_path))
        yield Publisher(
            registry=registry,
            store=store,
            repository=TufRepository(repository_folder, keys, clock),
            mirror=mirror,
            clock=clock,
            counts=counts,
            publish_interval_s=settings.publish_interval_s,
            folder=repository_folder,
            holder=holder,
        )


def publish_once(
    settings: Settings,
    *,
    registry: RegistryReader,
    store: SnapshotStore,
    clock: TimeKeeper,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """See to it that what the registry holds now is in the store; gives the snapshot's version. Blocks until it is.

    Raises:
        SetupFault: the keys are not there.
        RegistryUnavailable: the registry can't be reached.
        StoreUnavailable: the store can't be reached.
        Unavailable: a running publisher took too long, or publishing failed for the reason logged.
    """
    seq = registry.head()
    holder = uuid.uuid4().hex
    deadline = clock.monotonic() + WAIT_S
    with _trusted(settings, store, clock) as trusted:
        while not store.lease(holder, LEASE_TTL_S):
            head = _standing(trusted)
            if head is not None and head.registry_seq >= seq:
                return head.version
            if clock.monotonic() > deadline:
                raise Unavailable(
                    f"a publisher runs, but did not publish the registry as it is within {WAIT_S:.0f} s; look at its log"
                )
            sleep(_LOOK_EVERY_S)
        _publish(settings, registry, store, clock, holder)
        return _demand(_standing(trusted), seq).version


@contextmanager
def _trusted(settings: Settings, store: SnapshotStore, clock: TimeKeeper) -> Iterator[TrustedSnapshots]:
    """Prove what stands from this home's first root on, in a folder that is gone afterwards."""
    root = KeyDirectory(trust_folder(settings.keys_path)).roots()[0]
    with TemporaryDirectory(prefix="proving-", dir=settings.home.absolute()) as folder:
        yield TufTrustedSnapshots(store, Path(folder), root, clock)


def _standing(trusted: TrustedSnapshots) -> Head | None:
    """Read the head that stands in the store; None where there is none that is whole and rightly signed."""
    try:
        trusted.look()
        return decode_head(trusted.read(HEAD_TARGET, MAX_DOCUMENT_BYTES))
    except SnapshotInvalid:
        return None


def _publish(settings: Settings, registry: RegistryReader, store: SnapshotStore, clock: TimeKeeper, holder: str) -> None:
    with open_publisher(
        settings, registry=registry, store=store, clock=clock, counts=_Uncounted(), holder=holder
    ) as publisher:
        try:
            published = publisher.look()
        finally:
            publisher.close()
    if not published:
        raise Unavailable("nothing was published; the line above says why")


def _demand(head: Head | None, seq: int) -> Head:
    if head is None or head.registry_seq < seq:
        raise Unavailable("the snapshot was published, and is gone already; does the store evict or flush its keys?")
    return head


class _Uncounted:
    """Counts nothing: a command that ends has no metrics to serve."""

    def published(self, version: int, seconds: float, sent_bytes: int) -> None:
        """Take note of a version."""

    def failed(self, part: str) -> None:
        """Take note of a failure."""

    def refilled(self) -> None:
        """Take note of a store that had lost something."""

    def stalled(self, lists: Collection[str]) -> None:
        """Take note of lists that are behind."""

    def faulty(self, list_name: str, entries: int) -> None:
        """Take note of entries left out."""

    def reworked(self, *, folded: int, compacted: bool) -> None:
        """Take note of a rework."""

    def leased(self, *, held: bool) -> None:
        """Take note of the lease."""
