"""Hosts of distribution: one that publishes and one that follows, each with its files, to be restarted and robbed.

What the one publishes and the other's worker reads can be compared: `listed` and `kept` say what stands in the registry,
`read` what is in the replica.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.domain.policies import Policy
from portcullis.domain.records import decode_records
from portcullis.gateway.follower import Follower
from portcullis.ports import ENDED_KEPT_S, RegistryReader, SnapshotStore, TimeKeeper
from portcullis.publisher.service import Publisher
from tests.support.distribution import DictRegistry, FollowerTally, PublisherTally, token
from tests.support.policies import a_list
from tests.support.signed_snapshots import make_keys, make_trusted

LISTS = ("court", "carriers", "bank")
NUMBERS = range(10)
DAY_S = 86_400

Listed = dict[tuple[str, int], dict[int, float]]
"""The entries, with their ends, by list and token's number."""


@cache
def keys() -> KeyDirectory:
    """Keys that all tests share; none of them changes any."""
    folder = tempfile.TemporaryDirectory(prefix="distribution-keys-")
    made = make_keys(Path(folder.name) / "trust", *LISTS)
    made.kept_for_as_long = folder  # type: ignore[attr-defined]
    return made


def policy_of(*names: str) -> Policy:
    return Policy(lists=tuple(a_list(name) for name in names))


def listed(registry: DictRegistry) -> Listed:
    """What stands in a registry, of the lists that it has."""
    numbers = {token(number): number for number in NUMBERS}
    found: Listed = {}
    for (key, entry_id), each in registry.entries.items():
        if registry.policy.list_named(each.list):
            found.setdefault((each.list, numbers[key]), {})[entry_id] = each.until
    return found


def kept(entries: Listed, now: float) -> dict[tuple[str, int], set[int]]:
    """What of it is in a snapshot of this time."""
    left = {
        key: {entry_id for entry_id, until in ends.items() if until > now - ENDED_KEPT_S} for key, ends in entries.items()
    }
    return {key: ids for key, ids in left.items() if ids}


class Read(NamedTuple):
    """What a worker reads in one transaction."""

    registry_seq: int
    published_at: float
    entries: dict[tuple[str, int], set[int]]


def read(replica: LmdbReplica) -> Read:
    transaction = replica.begin()
    assert transaction is not None
    edition = transaction.edition
    names = {each.number: each.name for each in edition.lists}
    entries: dict[tuple[str, int], set[int]] = {}
    for number in NUMBERS:
        for each in decode_records(transaction.get(token(number)) or b""):
            entries.setdefault((names[each.list_number], number), set()).add(each.entry_id)
    transaction.close()
    return Read(edition.registry_seq, edition.published_at, entries)


class PublishingHost:
    """A publisher with a repository and a mirror of its own."""

    def __init__(
        self, home: Path, *, registry: RegistryReader, store: SnapshotStore, keys: KeyDirectory, clock: TimeKeeper
    ) -> None:
        self.home = home
        self.registry = registry
        self.store = store
        self.keys = keys
        self.clock = clock
        self.tally = PublisherTally()
        self._mirror: LmdbReplicaWriter | None = None
        self.start()

    def start(self) -> None:
        """Start it, as a process begins."""
        self.home.mkdir(exist_ok=True)
        self._mirror = LmdbReplicaWriter(self.home / "mirror", self.clock, filtered=False)
        self.publisher = Publisher(
            registry=self.registry,
            store=self.store,
            repository=TufRepository(self.home / "repository", self.keys, self.clock),
            mirror=self._mirror,
            clock=self.clock,
            counts=self.tally,
            publish_interval_s=0.02,
            folder=self.home,
        )

    def end(self) -> None:
        """End it, as a process that is killed: nothing is given back."""
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None

    def restart(self) -> None:
        """Kill it and start it again."""
        self.end()
        self.start()

    def lose(self, *parts: str) -> None:
        """Have it lose its repository, or its mirror, and start again."""
        self.end()
        for part in parts:
            shutil.rmtree(self.home / part, ignore_errors=True)
        self.start()


class FollowingHost:
    """A follower with a replica, and a worker that reads it."""

    def __init__(self, home: Path, *, store: SnapshotStore, keys: KeyDirectory, clock: TimeKeeper) -> None:
        self.home = home
        self.store = store
        self.keys = keys
        self.clock = clock
        self.tally = FollowerTally()
        self._writer: LmdbReplicaWriter | None = None
        self.start()
        self.reader = LmdbReplica(home, clock)

    def start(self) -> None:
        """Start it, as a process begins; the worker goes on."""
        self._writer = LmdbReplicaWriter(self.home, self.clock)
        self.follower = Follower(
            store=self.store,
            trusted=make_trusted(self.home / "trust", self.store, self.keys, self.clock),
            replica=self._writer,
            clock=self.clock,
            counts=self.tally,
            follow_interval_s=0.2,
        )

    def restart(self) -> None:
        """Kill it and start it again."""
        self.end()
        self.start()

    def lose(self, *parts: str) -> None:
        """Have it lose its replica ("generations", "current.json") or what it trusts ("trust"), and start again."""
        self.end()
        for part in parts:
            path = self.home / part
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self.start()

    def end(self) -> None:
        """End it, as a process that is killed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
