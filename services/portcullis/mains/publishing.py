"""Publishing once, beside or instead of a running publisher.

A publisher that runs vouches for its snapshot every second, and publishes a change by itself: then all there is to do is to
wait for it. Only where nobody has vouched lately does this process publish, so that two never write to one store.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from portcullis.config import Settings
from portcullis.domain.errors import SnapshotInvalid, Unavailable
from portcullis.domain.metadata import (
    SNAPSHOT_FILE,
    TIMESTAMP_FILE,
    SnapshotDescription,
    Timestamp,
    decode_snapshot,
    decode_timestamp,
)
from portcullis.ports import Clock, RegistryStore, SnapshotStore
from portcullis.publisher.service import VOUCH_INTERVAL_S, Publisher
from portcullis.publisher.state import StateFile

WAIT_S = 60.0
"""How long a running publisher may take to publish the registry as it is now."""

_RUNNING_WITHIN_S = 5 * VOUCH_INTERVAL_S
_LOOK_EVERY_S = 0.05


def publisher_state(settings: Settings) -> StateFile:
    """Give the file in which the publisher of this home keeps its last version; it must outlive restarts."""
    return StateFile(settings.home.absolute() / "publisher.json")


def publish_once(
    settings: Settings,
    *,
    registry: RegistryStore,
    store: SnapshotStore,
    clock: Clock,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """See to it that what the registry holds now is in the store; gives the snapshot's version. Blocks until it is.

    Raises:
        RegistryUnavailable: the registry can't be reached.
        StoreUnavailable: the store can't be reached.
        Unavailable: a running publisher took too long, or publishing failed for the reason logged.
    """
    head = registry.head()
    found = _standing(store)
    if found is None or clock.now() - found[0].vouched_at > _RUNNING_WITHIN_S:
        _publish(settings, registry, store, clock)
        return _demand(_standing(store))
    deadline = clock.monotonic() + WAIT_S
    while found is None or found[1].registry_seq < head:
        if clock.monotonic() > deadline:
            raise Unavailable(
                f"a publisher runs, but did not publish the registry as it is within {WAIT_S:.0f} s; look at its log"
            )
        sleep(_LOOK_EVERY_S)
        found = _standing(store)
    return found[0].version


def _standing(store: SnapshotStore) -> tuple[Timestamp, SnapshotDescription] | None:
    """Read what stands in the store; None where that is nothing whole, as between the two reads of a publish."""
    try:
        timestamp = decode_timestamp(store.read_metadata(TIMESTAMP_FILE))
        return timestamp, decode_snapshot(store.read_metadata(SNAPSHOT_FILE), timestamp)
    except SnapshotInvalid:
        return None


def _publish(settings: Settings, registry: RegistryStore, store: SnapshotStore, clock: Clock) -> None:
    publisher = Publisher(
        registry=registry,
        store=store,
        state=publisher_state(settings),
        clock=clock,
        counts=_Uncounted(),
        publish_interval_s=settings.publish_interval_s,
        folder=settings.home.absolute(),
    )
    if not publisher.look():
        raise Unavailable("nothing was published; the line above says why")


def _demand(found: tuple[Timestamp, SnapshotDescription] | None) -> int:
    if found is None:
        raise Unavailable("the snapshot was published, and is gone already; does the store evict or flush its keys?")
    return found[0].version


class _Uncounted:
    """Counts nothing: a command that ends has no metrics to serve."""

    def published(self, version: int, seconds: float) -> None:
        """Take note of a version."""

    def failed(self, reason: str) -> None:
        """Take note of a failure."""
