"""The follower on a real replica: a disk that is full, and files that are wiped while it runs."""

from __future__ import annotations

import errno
import shutil

import pytest

from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain.bases import base_chunks, digest_chunks, frame
from portcullis.domain.metadata import (
    SNAPSHOT_FILE,
    TIMESTAMP_FILE,
    describe,
    encode_snapshot,
    encode_timestamp,
    timestamp_for,
)
from portcullis.gateway.follower import Follower
from tests.support.clocks import HandClock
from tests.support.distribution import FollowerTally, edition, records
from tests.support.misbehaving_store import MisbehavingStore


class World:
    """A follower with its store, replica and clock."""

    def __init__(self, home):
        self.home = home
        self.clock = HandClock()
        self.store = MisbehavingStore(MemorySnapshotStore())
        self.writer = LmdbReplicaWriter(home, self.clock)
        self.tally = FollowerTally()
        self.follower = Follower(
            store=self.store, replica=self.writer, clock=self.clock, counts=self.tally, follow_interval_s=1.0
        )

    def publish(self, version):
        of = edition(version, 3)
        chunks = list(base_chunks(of, (frame(*pair) for pair in records(range(3)))))
        digests = digest_chunks(chunks)
        snapshot = encode_snapshot(describe(of, digests))
        stamp = timestamp_for(version, snapshot, serial=1, vouched_at=self.clock.now())
        metadata = {SNAPSHOT_FILE: snapshot, TIMESTAMP_FILE: encode_timestamp(stamp)}
        self.store.store.publish(metadata, {digests.name: chunks})

    def look(self, after_s=1.0):
        self.clock.advance(after_s)
        return self.follower.look()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "replica")
    yield world
    world.writer.close()


def test_a_base_that_the_disk_has_no_room_for_is_not_read_at_every_look(world, monkeypatch):
    def full(of, pairs):
        list(pairs)
        raise OSError(errno.ENOSPC, "No space left on device")

    world.publish(1)
    with monkeypatch.context() as patch:
        patch.setattr(world.writer, "install", full)
        assert [False] * 30 == [world.look() for _ in range(30)]
    assert world.store.reads <= 6
    assert {} == world.tally.refusals
    assert world.look(after_s=32.0)
    assert 1 == world.writer.held().version


def test_a_replica_wiped_while_the_follower_runs_is_built_again(world):
    world.publish(4)
    assert world.look()
    shutil.rmtree(world.home)
    assert world.look()
    assert 4 == LmdbReplica(world.home, world.clock).begin().edition.version
    assert [4, 4] == world.tally.versions


def test_a_wiped_replica_is_not_filled_with_an_older_version(world):
    world.publish(4)
    assert world.look()
    shutil.rmtree(world.home)
    world.publish(3)
    assert not world.look()
    assert {"rollback": 1} == world.tally.refusals
    assert LmdbReplica(world.home, world.clock).begin() is None
