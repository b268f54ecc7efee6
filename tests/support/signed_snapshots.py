"""Signed snapshots for tests: keys made quickly, a repository, and a small snapshot put into a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from unittest.mock import patch

from portcullis.adapters.tuf.ceremony import TrustCeremony
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.adapters.tuf.trusted import TufTrustedSnapshots
from portcullis.domain.manifests import HEAD_TARGET
from portcullis.ports import Clock, SnapshotRepository, SnapshotStore
from tests.support.clocks import HandClock

SMALL: Mapping[str, bytes] = {
    HEAD_TARGET: b"the head",
    "lists/court/manifest.json": b"the court's manifest",
    "lists/court/base-1": b"the court's base" * 100,
}
"""A snapshot of one list; what is in it means nothing."""


def make_keys(folder: Path, *lists: str, clock: Clock | None = None) -> KeyDirectory:
    """Make a trust folder with every key in it, delegated to the head and to these lists.

    It does not wait for the disk: that would be most of the time of many a test.
    """
    with patch("os.fsync"):
        TrustCeremony(folder, clock or HandClock()).establish(lists)
    return KeyDirectory(folder)


def make_repository(folder: Path, *lists: str, clock: Clock | None = None) -> TufRepository:
    """Make keys (``folder/trust``) and an empty repository (``folder/repository``)."""
    clock = clock or HandClock()
    return TufRepository(folder / "repository", make_keys(folder / "trust", *lists, clock=clock), clock)


def make_trusted(folder: Path, store: SnapshotStore, keys: KeyDirectory, clock: Clock) -> TufTrustedSnapshots:
    """Make a follower's trust (in ``folder``) that is anchored in the first root of these keys."""
    return TufTrustedSnapshots(store, folder, keys.roots()[0], clock)


def sign_snapshot(
    repository: SnapshotRepository,
    version: int,
    files: Mapping[str, bytes] = SMALL,
    *,
    now: float,
    kept: Collection[str] = (),
) -> None:
    """Write these targets and put them in force, beside those of before whose names are ``kept``."""
    for name, data in files.items():
        with repository.create(name) as out:
            out.write(data)
    repository.sign(version, now=now, targets={*files, *kept})


def put(repository: SnapshotRepository, store: SnapshotStore) -> None:
    """Put everything that a repository has in force into a store, and take out everything else."""
    publication = repository.publication()
    targets = {name: path.read_bytes() for name, path in publication.targets.items()}
    store.publish(publication.metadata, targets)
    store.collect(publication.metadata, targets)


def publish_snapshot(
    repository: SnapshotRepository,
    store: SnapshotStore,
    version: int,
    files: Mapping[str, bytes] = SMALL,
    *,
    now: float,
) -> None:
    """Sign a snapshot of these targets alone, and put it into a store."""
    sign_snapshot(repository, version, files, now=now)
    put(repository, store)
