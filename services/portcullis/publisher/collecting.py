"""Collecting: what has left force goes once nobody can be reading it any more.

The rules:

1. A file that left force stays for `GRACE_S`, and a second more for each `SLOWEST_READER_BYTES_PER_S` bytes of it.
2. What a publisher finds when it begins, it does not know; that stays as long as its own longest target would.
3. What is in force, under way, or still within its grace is named to the store; all else goes, the beginnings of broken
   uploads among it. A store that refused something is cleared before the next try, so one that was full does not stay so.
"""

from __future__ import annotations

from collections.abc import Collection

from portcullis.ports import Clock, Publication, SnapshotStore

GRACE_S = 5.0
SLOWEST_READER_BYTES_PER_S = 10 << 20

COLLECT_EVERY_S = 5.0


class Collector:
    """Collects in one store."""

    def __init__(self, store: SnapshotStore, clock: Clock, holder: str) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._metadata: dict[str, float] = {}
        self._targets: dict[str, float] = {}
        self._due = 0.0
        self._strangers_until = 0.0
        self._uncollected = True

    def begin(self, publication: Publication) -> None:
        """Begin beside a store of which only this is known."""
        longest = max((path.stat().st_size for path in publication.targets.values()), default=0)
        self._strangers_until = self._clock.monotonic() + _grace_s(longest)
        self._uncollected = True

    def replace(self, old: Publication, new: Publication, sizes: dict[str, int]) -> None:
        """Take note of what leaves force; ``sizes`` are the old targets' bytes by their names in the store."""
        now = self._clock.monotonic()
        for name in old.metadata.keys() - new.metadata.keys():
            self._metadata[name] = now + GRACE_S
        for name in old.targets.keys() - new.targets.keys():
            self._targets[name] = now + _grace_s(sizes.get(name, 0))
        self._uncollected = self._uncollected or bool(self._metadata or self._targets)

    def collect(self, in_force: Collection[Publication], under_way: Collection[str], *, at_once: bool = False) -> None:
        """Remove what is due, every few seconds or at once, but nothing that this publisher found within its grace.

        Raises:
            LeaseLost: another publishes now.
            StoreUnavailable: the store can't be reached.
        """
        now = self._clock.monotonic()
        if now < self._strangers_until or not (at_once or (now >= self._due and self._uncollected)):
            return
        self._due = now + COLLECT_EVERY_S
        self._metadata = {name: until for name, until in self._metadata.items() if until > now}
        self._targets = {name: until for name, until in self._targets.items() if until > now}
        metadata, targets = set(self._metadata), {*self._targets, *under_way}
        for each in in_force:
            metadata.update(each.metadata)
            targets.update(each.targets)
        self._store.collect(metadata, targets, lease=self._holder)
        self._uncollected = bool(self._metadata or self._targets or under_way)


def _grace_s(size: int) -> float:
    return GRACE_S + size / SLOWEST_READER_BYTES_PER_S
