"""The publisher, look by look, on a clock moved by hand."""

from __future__ import annotations

import threading

import msgspec
import pytest
import structlog

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain.bases import read_base
from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.metadata import (
    SNAPSHOT_FILE,
    TIMESTAMP_FILE,
    decode_snapshot,
    decode_timestamp,
    encode_timestamp,
)
from portcullis.publisher.service import GRACE_S, VOUCH_INTERVAL_S, Publisher
from portcullis.publisher.state import StateFile
from tests.support.clocks import HandClock
from tests.support.distribution import DictRegistry, PublisherTally, entry, token
from tests.support.misbehaving_store import MisbehavingStore
from tests.support.policies import NOW
from tests.support.processes import wait_for


class World:
    """A publisher with its registry, store, clock and state."""

    def __init__(self, tmp_path):
        self.clock = HandClock()
        self.registry = DictRegistry()
        self.store = MisbehavingStore(MemorySnapshotStore())
        self.state = StateFile(tmp_path / "publisher.json")
        self.start()

    def start(self):
        self.tally = PublisherTally()
        self.publisher = Publisher(
            registry=self.registry,
            store=self.store,
            state=self.state,
            clock=self.clock,
            counts=self.tally,
            publish_interval_s=0.001,
        )

    def empty_store(self):
        self.store.store = MemorySnapshotStore()

    def timestamp(self):
        return decode_timestamp(self.store.store.read_metadata(TIMESTAMP_FILE))

    def description(self):
        return decode_snapshot(self.store.store.read_metadata(SNAPSHOT_FILE), self.timestamp())

    def read(self):
        description = self.description()
        edition, found = read_base(description.digests(), self.store.store.read_target(description.base_name))
        assert description.describes(edition)
        return edition, dict(found)

    def tick(self, seconds=VOUCH_INTERVAL_S):
        self.clock.advance(seconds)
        return self.publisher.look()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_the_first_look_publishes_the_registry(world):
    world.registry.put(1)
    assert world.publisher.look()
    edition, found = world.read()
    assert ({token(1)}, 1) == (found.keys(), edition.registry_seq)
    assert [edition.version] == world.tally.versions


def test_a_change_is_published_as_the_next_version(world):
    world.publisher.look()
    first = world.timestamp().version
    world.registry.put(1)
    world.publisher.look()
    assert first + 1 == world.timestamp().version
    assert {token(1)} == world.read()[1].keys()


def test_without_a_change_nothing_is_published_but_vouched_for_each_second(world):
    world.publisher.look()
    first = world.timestamp()
    world.tick(VOUCH_INTERVAL_S / 2)
    assert first == world.timestamp()
    world.tick()
    assert (first.version, first.serial + 1, world.clock.now()) == (
        world.timestamp().version,
        world.timestamp().serial,
        world.timestamp().vouched_at,
    )
    assert 1 == len(world.tally.versions)


def test_a_registry_that_is_down_is_not_vouched_for(world):
    world.publisher.look()
    before = world.timestamp()
    world.registry.down = True
    assert not world.tick()
    assert (before, {"registry": 1}) == (world.timestamp(), world.tally.failures)
    world.registry.down = False
    assert world.tick()
    assert before.serial < world.timestamp().serial


def test_an_emptied_store_is_filled_again_with_a_higher_version(world):
    world.registry.put(1)
    world.publisher.look()
    first = world.timestamp().version
    world.empty_store()
    assert world.tick()
    assert first < world.timestamp().version
    assert {token(1)} == world.read()[1].keys()
    assert {"store": 1} == world.tally.failures


def test_a_store_with_older_data_is_filled_again(world):
    world.publisher.look()
    old = {name: world.store.read_metadata(name) for name in (TIMESTAMP_FILE, SNAPSHOT_FILE)}
    world.registry.put(1)
    world.publisher.look()
    newest = world.timestamp().version
    world.store.store.publish(old, {})
    world.tick()
    assert newest < world.timestamp().version
    assert {token(1)} == world.read()[1].keys()


def test_a_store_that_lost_only_the_base_is_filled_again(world):
    world.publisher.look()
    first = world.timestamp().version
    world.store.store.collect([])
    world.tick()
    assert first < world.timestamp().version
    world.read()


def test_damaged_metadata_is_replaced(world):
    world.publisher.look()
    for name in (TIMESTAMP_FILE, SNAPSHOT_FILE):
        world.store.store.publish({name: b"garbage"}, {})
        world.tick()
        world.read()


def test_a_vouching_whose_answer_was_lost_or_that_the_store_lost_costs_no_new_version(world):
    world.publisher.look()
    world.tick()
    world.tick()
    now = world.timestamp()
    for serial in (now.serial + 1, 1):
        stamp = msgspec.structs.replace(now, serial=serial)
        world.store.store.publish({TIMESTAMP_FILE: encode_timestamp(stamp)}, {})
        world.tick()
        assert serial < world.timestamp().serial
        now = world.timestamp()
    assert 1 == len(world.tally.versions)


def test_a_store_that_is_down_is_tried_again_and_compiles_nothing_meanwhile(world):
    world.registry.index = lambda: pytest.fail("compiled for a store that is down")
    world.store.down = True
    assert not world.publisher.look()
    assert not world.publisher.look()
    assert {"store": 2} == world.tally.failures
    del world.registry.index
    world.store.behave()
    assert world.publisher.look()
    world.read()


def test_a_restarted_publisher_goes_on_from_what_it_published(world):
    world.registry.put(1)
    world.publisher.look()
    first = world.timestamp()
    world.start()
    world.tick()
    assert (first.version, first.serial + 1) == (world.timestamp().version, world.timestamp().serial)
    assert [] == world.tally.versions


def test_a_restarted_publisher_publishes_what_changed_meanwhile(world):
    world.publisher.look()
    first = world.timestamp().version
    world.registry.put(1)
    world.start()
    world.tick()
    assert first < world.timestamp().version


@pytest.mark.parametrize("lost", ["state", "store", "both"])
def test_versions_go_up_whatever_is_lost_over_a_restart(world, lost):
    world.publisher.look()
    for number in range(5):
        world.registry.put(number)
        world.publisher.look()
    first = world.timestamp().version
    if lost in {"state", "both"}:
        world.state.file.unlink()
    if lost in {"store", "both"}:
        world.empty_store()
    world.clock.advance(1)
    world.start()
    world.publisher.look()
    assert first < world.timestamp().version


def test_a_lost_state_beside_an_older_store_goes_upwards_too(world):
    world.publisher.look()
    old = {name: world.store.read_metadata(name) for name in (TIMESTAMP_FILE, SNAPSHOT_FILE)}
    for number in range(5):
        world.registry.put(number)
        world.publisher.look()
    newest = world.timestamp().version
    world.store.store.publish(old, {})
    world.state.file.unlink()
    world.clock.advance(1)
    world.start()
    world.publisher.look()
    assert newest < world.timestamp().version


def test_a_state_from_a_backup_beside_an_emptied_store_goes_upwards_too(world):
    world.publisher.look()
    backup = world.state.file.read_bytes()
    for number in range(5):
        world.registry.put(number)
        world.publisher.look()
    newest = world.timestamp().version
    world.state.file.write_bytes(backup)
    world.empty_store()
    world.clock.advance(1)
    world.start()
    world.publisher.look()
    assert newest < world.timestamp().version


def test_a_damaged_state_counts_as_lost(world):
    world.publisher.look()
    first = world.timestamp().version
    world.state.file.write_bytes(b'{"version":1,"registry_seq":0,"snapshot_sha256":"\xff\xfe"}')
    world.registry.put(1)
    assert world.publisher.look()
    assert first < world.timestamp().version


def test_a_version_is_spent_even_if_its_publish_fails(world):
    world.publisher.look()
    first = world.timestamp().version
    world.registry.put(1)
    publish = world.store.publish

    def failing(metadata, targets):
        world.store.down = True
        publish(metadata, targets)

    world.store.publish = failing
    world.publisher.look()
    assert first == world.timestamp().version
    del world.store.publish
    world.store.behave()
    world.start()
    world.publisher.look()
    assert first + 2 == world.timestamp().version


def test_a_registry_that_knows_fewer_changes_than_were_published_is_not_published(world):
    world.registry.put(1)
    world.registry.put(2)
    world.publisher.look()
    before = world.timestamp()
    world.registry.seq = 1
    world.registry.entries.clear()
    for _ in range(2):
        assert not world.tick()
        world.start()
    assert before == world.timestamp()
    world.state.file.unlink()
    assert world.tick()
    assert {} == world.read()[1]


def test_a_replaced_base_stays_for_its_readers_and_goes_after_the_grace(world):
    world.publisher.look()
    old = world.description().base_name
    world.registry.put(1)
    world.publisher.look()
    world.tick(GRACE_S - 1)
    assert world.store.holds(old)
    world.tick(2)
    assert not world.store.holds(old)
    assert world.store.holds(world.description().base_name)


def test_a_base_left_by_an_earlier_run_goes_after_the_grace_too(world):
    world.publisher.look()
    old = world.description().base_name
    world.registry.put(1)
    world.start()
    world.publisher.look()
    assert world.store.holds(old)
    world.tick(GRACE_S + 1)
    assert not world.store.holds(old)


def test_a_store_that_was_full_is_cleared_and_takes_the_next_base(world):
    world.publisher.look()
    standing = world.description().base_name
    world.registry.put(1)
    world.publisher.look()
    store, newest = world.store.store, world.description().base_name
    publish = store.publish
    rests = []

    def full(metadata, targets):
        if targets and len(rests) < 3:
            rests.append(f"base-{len(rests)}")
            publish({}, {rests[-1]: [b"the beginning of a base"]})
            raise StoreUnavailable("the store is full")
        publish(metadata, targets)

    store.publish = full
    world.registry.put(2)
    assert [False, False, False] == [world.tick(GRACE_S + 1) for _ in range(3)]
    assert [False, False, False, True] == [store.holds(name) for name in (standing, *rests)]
    assert store.holds(newest), "the metadata still names it"
    assert world.tick()
    assert not store.holds(rests[-1])
    assert {token(1), token(2)} == world.read()[1].keys()


def test_a_full_disk_for_the_state_is_a_fault_and_publishes_nothing(world, tmp_path):
    (tmp_path / "publisher.new").mkdir()
    assert not world.publisher.look()
    assert world.store.read_metadata(TIMESTAMP_FILE) is None
    (tmp_path / "publisher.new").rmdir()
    assert world.publisher.look()


def test_an_unexpected_fault_neither_ends_the_loop_nor_shows_its_message(world):
    def index():
        raise ValueError("cn.resident-id:110101209001010000")
        yield

    world.registry.index = index
    with structlog.testing.capture_logs() as logs:
        assert not world.publisher.look()
    assert {"other": 1} == world.tally.failures
    assert "110101209001010000" not in repr(logs)


def test_a_lasting_fault_is_logged_once_and_once_when_it_is_over(world):
    world.publisher.look()
    world.registry.down = True
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            world.tick()
        world.registry.down = False
        world.tick()
        world.tick()
    assert ["not publishing; still trying", "publishing again"] == [each["event"] for each in logs]


def test_entries_left_out_are_logged_by_list_and_reason(world):
    world.registry.put(1, entry(1, measures=("gone",)))
    with structlog.testing.capture_logs() as logs:
        world.publisher.look()
    assert [("court", 1)] == [(each["list"], each["entries"]) for each in logs if "list" in each]


def test_the_loop_publishes_changes_until_it_is_told_to_stop(world):
    stop = threading.Event()
    loop = threading.Thread(target=world.publisher.run, args=(stop,))
    loop.start()
    try:
        wait_for(lambda: world.tally.versions)
        world.registry.put(1)
        wait_for(lambda: len(world.tally.versions) == 2)
    finally:
        stop.set()
        loop.join(10)
    assert not loop.is_alive()
    assert NOW == world.read()[0].published_at
