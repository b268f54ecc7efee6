"""The follower on a real replica: a disk that is full, files that are wiped or damaged while it runs, millions of bytes."""

from __future__ import annotations

import errno
import shutil

import pytest

from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain import routes
from portcullis.gateway.follower import Follower
from portcullis.gateway.following import catching_up
from tests.support.clocks import HandClock
from tests.support.dict_snapshots import DictPublisher, DictSnapshots
from tests.support.distribution import BANK, CARRIERS, COURT, FollowerTally


class World:
    """A follower with its publisher, replica and clock."""

    def __init__(self, home):
        self.home = home
        self.clock = HandClock()
        self.snapshots = DictSnapshots()
        self.publisher = DictPublisher(self.snapshots, self.clock, (COURT, CARRIERS))
        self.writer = LmdbReplicaWriter(home, self.clock)
        self.start()

    def start(self):
        self.tally = FollowerTally()
        self.follower = Follower(
            store=MemorySnapshotStore(),
            trusted=self.snapshots,
            replica=self.writer,
            clock=self.clock,
            counts=self.tally,
            follow_interval_s=1.0,
        )

    def restart(self):
        self.writer.close()
        self.writer = LmdbReplicaWriter(self.home, self.clock)
        self.start()

    def publish(self, version, numbers=(), mark="v", *, on=COURT, **more):
        self.publisher.put(numbers, mark, on=on)
        self.publisher.publish(version, **more)

    def look(self, after_s=1.0):
        self.clock.advance(after_s)
        return self.follower.look()

    def is_whole(self):
        """Say whether a reader finds exactly what was published last."""
        published = sorted(
            (key, each.number, value) for each in self.publisher.lists.values() for key, value in each.bodies.items()
        )
        edition = LmdbReplica(self.home, self.clock).begin().edition
        return (self.snapshots.vouched.version, published) == (edition.version, list(self.writer.records()))


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "replica")
    yield world
    world.writer.close()


def full(*arguments):
    for each in arguments[1:]:
        list(each)
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_base_that_the_disk_has_no_room_for_is_not_read_at_every_look(world, monkeypatch):
    world.publish(1, range(3))
    with monkeypatch.context() as patch:
        patch.setattr(world.writer, "install", full)
        assert [False] * 30 == [world.look() for _ in range(30)]
    assert len(world.snapshots.opened) <= 2 * 6
    assert {} == world.tally.refusals
    assert world.look(after_s=32.0)
    assert world.is_whole()


def test_a_base_that_the_disk_has_no_room_for_is_not_read_at_every_version(world, monkeypatch):
    monkeypatch.setattr(world.writer, "install", full)
    world.publish(1, range(3))
    for version in range(2, 60):
        world.publish(version, [version])
        assert not world.look(after_s=0.1)
    assert world.snapshots.opened.count("lists/court/base-1") <= 5


def test_a_delta_that_the_disk_has_no_room_for_leaves_the_replica_and_is_tried_again(world, monkeypatch):
    world.publish(1, range(3))
    assert world.look()
    world.publish(2, [7])
    with monkeypatch.context() as patch:
        patch.setattr(world.writer, "apply", full)
        assert not world.look()
    assert 1 == world.writer.held().version
    assert world.look()
    assert world.is_whole()
    assert ({}, {}) == (world.tally.refusals, world.tally.fallbacks)


def test_a_replica_wiped_while_the_follower_runs_is_built_again(world):
    world.publish(4, range(3))
    assert world.look()
    shutil.rmtree(world.home)
    assert world.look()
    assert world.is_whole()
    assert [4, 4] == world.tally.installs


def test_a_wiped_replica_is_not_filled_with_an_older_version(world):
    world.publish(4, range(3))
    assert world.look()
    shutil.rmtree(world.home)
    world.publisher.vouch(3)
    assert not world.look()
    assert {"rollback": 1} == world.tally.refusals
    assert LmdbReplica(world.home, world.clock).begin() is None


def test_deltas_lead_a_restarted_follower_on(world):
    world.publish(1, range(30))
    assert world.look()
    for version in range(2, 8):
        world.publisher.withdraw([version])
        world.publish(version, [version, 70], mark=str(version), on=CARRIERS)
        world.restart()
        assert world.look()
        assert world.is_whole()
    assert [] == world.tally.installs


def test_a_gap_of_one_list_keeps_the_bodies_held_of_the_others(world):
    world.publish(1, range(300))
    assert world.look()
    world.publish(2, range(100), on=CARRIERS, compacted=True)
    world.publish(3, range(50, 200), "w", on=CARRIERS, compacted=True)
    world.publish(4, [400])
    assert world.look()
    assert world.is_whole()
    assert "lists/court/base-1" not in world.snapshots.opened[2:]


def test_lists_come_and_go(world):
    world.publish(1, range(30))
    assert world.look()
    world.publisher.add(BANK)
    world.publish(2, range(20, 50), on=BANK)
    assert world.look()
    assert world.is_whole()
    del world.publisher.lists[COURT]
    world.publish(3, [99], on=BANK)
    assert world.look()
    assert world.is_whole()
    assert ([1, 3], [2]) == (world.tally.installs, world.tally.applies)


def test_a_replica_that_takes_far_more_room_than_it_needs_is_built_anew_from_itself(world, monkeypatch):
    monkeypatch.setattr(catching_up, "_SPARE_BYTES", 0)
    world.publish(1, range(20_000))
    assert world.look()
    world.publisher.withdraw(range(100, 20_000))
    world.publish(2)
    large = world.writer.space().file_bytes
    assert world.look()
    assert world.is_whole()
    assert world.writer.space().file_bytes < large / 4
    assert ([1], [2], ["lists/court/delta-1-2"]) == (world.tally.installs, world.tally.applies, world.snapshots.opened[2:])
    assert 1.0 == LmdbReplica(world.home, world.clock).vouched_age_s()


def test_a_replica_that_can_not_be_built_anew_goes_on_as_it_is(world, monkeypatch):
    monkeypatch.setattr(catching_up, "_SPARE_BYTES", -(1 << 40))
    world.publish(1, range(3))
    assert world.look()
    builds = []
    monkeypatch.setattr(world.writer, "install", lambda *given: (builds.append(given), full(*given)))
    for version in range(2, 8):
        world.publish(version, [version])
        assert world.look()
        assert world.is_whole()
    assert 1 == len(builds)


def test_a_large_delta_is_laid_over_what_is_held(world, monkeypatch):
    monkeypatch.setattr(routes, "MANY_CHANGES", 100)
    world.publish(1, range(500))
    assert world.look()
    world.publisher.withdraw(range(150))
    world.publish(2, range(400, 600), "w")
    assert world.look()
    assert world.is_whole()
    assert ([1, 2], []) == (world.tally.installs, world.tally.applies)
