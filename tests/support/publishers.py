"""A publisher with its registry, store, repository and mirror, on a clock moved by hand; each part can be made to fail."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from portcullis.adapters.memory.replica import MemoryReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.domain.editions import Edition
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC, read_frames
from portcullis.domain.manifests import (
    HEAD_TARGET,
    Head,
    Manifest,
    Terms,
    assemble,
    decode_head,
    decode_manifest,
    decode_terms,
    manifest_target,
    steps_from,
)
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.policies import Policy
from portcullis.domain.records import decode_body, is_body
from portcullis.ports import SnapshotStore
from portcullis.publisher.service import Publisher
from tests.support.clocks import HandClock
from tests.support.distribution import DictRegistry, PublisherTally
from tests.support.misbehaving_store import MisbehavingStore
from tests.support.policies import a_list, measure
from tests.support.signed_snapshots import make_keys

POLICY = Policy(
    lists=(
        a_list("court", measure("trains"), measure("loans"), measure("hotels")),
        a_list("bikes", measure("rides")),
    )
)

Bodies = dict[bytes, bytes]


STEPS = [
    ("repository", "before", "create"),
    ("repository", "after", "create"),
    ("repository", "before", "sign"),
    ("repository", "after", "sign"),
    ("store", "before", "publish"),
    ("store", "after", "publish"),
    ("mirror", "before", "apply"),
    ("mirror", "after", "apply"),
]
"""The steps of a change, each with the moment before or after it: part, when, method."""


class Killed(BaseException):
    """The process was killed here."""


class Breaking:
    """Stands before a part, and fails once where it is told to: before a method does its work, or after."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.before: dict[str, BaseException] = {}
        self.after: dict[str, BaseException] = {}
        self.instead: dict[str, Callable[..., Any]] = {}

    def __getattr__(self, name: str) -> Any:
        found = self.instead.get(name) or getattr(self.part, name)

        def call(*given: Any, **named: Any) -> Any:
            if name in self.before:
                raise self.before.pop(name)
            result = found(*given, **named)
            if name in self.after:
                raise self.after.pop(name)
            return result

        return call


class World:
    """Everything around one publisher; ``start`` is a new process on the same disk. ``trust`` is a key folder to copy."""

    def __init__(self, folder: Path, trust: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.registry = DictRegistry(POLICY, self.clock)
        self.store = Breaking(MisbehavingStore(self.new_store()))
        self.keys = KeyDirectory(shutil.copytree(trust, folder / "trust"))
        self.replica = MemoryReplicaWriter(self.clock)
        self.unsignable: set[str] = set()
        self.tally = PublisherTally()
        self.start()

    @staticmethod
    def make_trust(folder: Path) -> Path:
        """Make the keys of the lists of `POLICY`, which takes a while."""
        make_keys(folder, *(each.name for each in POLICY.lists))
        return folder

    def new_store(self) -> MemorySnapshotStore:
        return MemorySnapshotStore(monotonic=self.clock.monotonic)

    @property
    def transport(self) -> MisbehavingStore:
        part: MisbehavingStore = self.store.part
        return part

    def start(self, holder: str = "") -> None:
        """Start a publisher, as after a crash."""
        self.repository = Breaking(TufRepository(self.folder / "publisher", self.keys, self.clock))
        self.repository.instead["can_sign"] = self._can_sign
        self.mirror = Breaking(self.replica)
        self.tally = PublisherTally()
        self.publisher = self.another_publisher(holder)

    def another_publisher(self, holder: str = "") -> Publisher:
        (self.folder / "publisher").mkdir(exist_ok=True)
        return Publisher(
            registry=self.registry,
            store=self.store,
            repository=self.repository,
            mirror=self.mirror,
            clock=self.clock,
            counts=self.tally,
            publish_interval_s=0.001,
            folder=self.folder / "publisher",
            holder=holder,
        )

    def crash(self) -> None:
        """Kill the publisher and start another, once the lease of the one that died has run out."""
        self.clock.advance(10)
        self.start()

    def empty_store(self) -> None:
        self.transport.store = self.new_store()

    def look(self) -> bool:
        return self.publisher.look()

    def tick(self, seconds: float = 1.0) -> bool:
        self.clock.advance(seconds)
        return self.publisher.look()

    def snapshot(self) -> ReadSnapshot:
        return ReadSnapshot(self.transport.store)

    def _can_sign(self, name: str) -> bool:
        able: bool = name not in self.unsignable and self.repository.part.can_sign(name)
        return able


class ReadSnapshot:
    """What stands in a store, read by its documents, believed without any proof but each list's digest."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._roles: dict[str, Any] = {}
        self.timestamp = self._signed("timestamp.json")
        version = self.timestamp["meta"]["snapshot.json"]["version"]
        meta = self._signed(f"{version}.snapshot.json")["meta"]
        for file, about in meta.items():
            role = file.removesuffix(".json")
            if role != "targets":
                self._roles |= self._signed(f"{about['version']}.{file}")["targets"]
        self.head: Head = decode_head(self.target(HEAD_TARGET))
        assert version == self.head.version
        self.manifests: dict[str, Manifest] = {
            each.name: decode_manifest(self.target(manifest_target(each.name))) for each in self.head.lists
        }
        self.terms: dict[str, Terms] = {
            name: decode_terms(self.target(manifest.terms)) for name, manifest in self.manifests.items()
        }

    @property
    def version(self) -> int:
        return self.head.version

    @property
    def vouched_at(self) -> float:
        return float(self.timestamp["vouched_at_ms"]) / 1000

    @property
    def serial(self) -> int:
        return int(self.timestamp["version"])

    def targets(self) -> set[str]:
        """Name the targets in force."""
        return set(self._roles)

    def edition(self) -> Edition:
        return assemble(self.head, self.manifests, self.terms)

    def target(self, name: str) -> bytes:
        return b"".join(self._store.read_target(self.stored(name)))

    def stored(self, name: str) -> str:
        """Give a target's name in the store."""
        folder, _, file = name.rpartition("/")
        return f"{folder}/{self._roles[name]['hashes']['sha256']}.{file}"

    def bodies(self, name: str, since: tuple[int, Bodies] | None = None) -> Bodies:
        """Give a list's bodies, from its base or, where deltas lead on, from an earlier version of it; proves the digest."""
        manifest = self.manifests[name]
        steps = steps_from(manifest, since[0]) if since else None
        if since is not None and steps is not None:
            bodies = dict(since[1])
        else:
            bodies = self._frames(BASE_MAGIC, manifest.base.target)
            steps = steps_from(manifest, manifest.base.version)
        for delta in steps or ():
            bodies |= self._frames(DELTA_MAGIC, delta.target)
        bodies = {token: body for token, body in bodies.items() if body}
        digest = MultisetDigest()
        digest.add_all(bodies.items())
        assert (manifest.records, manifest.digest) == (digest.count, digest.hex())
        assert all(is_body(body, len(self.terms[name].legal)) for body in bodies.values())
        return bodies

    def entries(self) -> Mapping[str, dict[bytes, set[int]]]:
        """Give the entries of every list, by token."""
        return {
            name: {
                token: {record.entry_id for record in decode_body(manifest.number, body)}
                for token, body in self.bodies(name).items()
            }
            for name, manifest in self.manifests.items()
        }

    def _signed(self, file: str) -> Any:
        data = self._store.read_metadata(file)
        assert data is not None, f"the store lacks {file}"
        return json.loads(data)["signed"]

    def _frames(self, magic: bytes, target: str) -> Bodies:
        return dict(read_frames(magic, io.BytesIO(self.target(target))))
