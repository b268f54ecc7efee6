"""The follower against a store that misbehaves: only the right snapshot is ever installed."""

from __future__ import annotations

import random
import threading

import msgspec
import pytest
import structlog

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain.bases import base_chunks, digest_chunks, frame
from portcullis.domain.metadata import (
    SNAPSHOT_FILE,
    TIMESTAMP_FILE,
    decode_timestamp,
    describe,
    encode_snapshot,
    encode_timestamp,
    timestamp_for,
)
from portcullis.gateway.follower import Follower
from tests.support.clocks import HandClock
from tests.support.distribution import FollowerTally, contents, edition, records
from tests.support.misbehaving_store import MisbehavingStore
from tests.support.processes import wait_for


def publish(store, version, count=3, *, mark=b"v", serial=1, vouched_at=None, clock=None, size=1, **changes):
    """Publish an edition of ``count`` records of ``size`` times seven bytes or so."""
    of = edition(version, count, **changes)
    pairs = [(key, value * size) for key, value in records(range(count), mark)]
    chunks = list(base_chunks(of, (frame(*pair) for pair in pairs)))
    snapshot = encode_snapshot(describe(of, digest_chunks(chunks)))
    at = vouched_at if vouched_at is not None else (clock.now() if clock else of.published_at)
    stamp = timestamp_for(version, snapshot, serial=serial, vouched_at=at)
    store.publish({SNAPSHOT_FILE: snapshot, TIMESTAMP_FILE: encode_timestamp(stamp)}, {digest_chunks(chunks).name: chunks})


class World:
    def __init__(self):
        self.clock = HandClock()
        self.store = MisbehavingStore(MemorySnapshotStore())
        self.writer = MemoryReplicaWriter(self.clock)
        self.restart()

    def restart(self):
        self.tally = FollowerTally()
        self.follower = Follower(
            store=self.store, replica=self.writer, clock=self.clock, counts=self.tally, follow_interval_s=0.5
        )

    def publish(self, version, count=3, **more):
        publish(self.store.store, version, count, clock=self.clock, **more)

    def vouch(self):
        stamp = decode_timestamp(self.store.store.read_metadata(TIMESTAMP_FILE))
        stamp = msgspec.structs.replace(stamp, serial=stamp.serial + 1, vouched_at=self.clock.now())
        self.store.store.publish({TIMESTAMP_FILE: encode_timestamp(stamp)}, {})

    def look(self):
        return self.follower.look()

    def version(self):
        held = self.writer.held()
        return held.version if held else None

    def age(self):
        return MemoryReplica(self.writer, self.clock).vouched_age_s()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def held(world):
    """A world whose replica holds version 5, and whose store holds version 6 of several chunks."""
    world.publish(5)
    assert world.look()
    world.publish(6, 30, size=36_000)
    return world


def refused(world, reason):
    """See that a look refuses for one reason, counts it once, and leaves version 5."""
    world.tally.refusals.clear()
    world.clock.advance(100)
    assert not world.look()
    assert {reason: 1} == world.tally.refusals
    assert 5 == world.version()


# --- the good way -------------------------------------------------------------------------------------------------------


def test_a_published_version_is_installed_and_vouched_for(world):
    world.publish(5)
    assert world.look()
    transaction = MemoryReplica(world.writer, world.clock).begin()
    assert (5, {0, 1, 2}) == (transaction.edition.version, contents(transaction, range(5)).keys())
    assert ([5], 0.0) == (world.tally.versions, world.age())


def test_a_version_held_is_not_read_again(world):
    world.publish(5)
    for _ in range(3):
        world.look()
        world.vouch()
    assert 1 == world.store.reads


def test_a_restarted_follower_goes_on_with_the_version_held(world):
    world.publish(5)
    world.look()
    world.restart()
    world.clock.advance(3)
    world.vouch()
    assert world.look()
    assert (1, 0.0) == (world.store.reads, world.age())


def test_versions_may_be_skipped(world):
    for version in (5, 9, 12):
        world.publish(version)
        world.look()
    assert [5, 9, 12] == world.tally.versions


# --- freshness ----------------------------------------------------------------------------------------------------------


def test_without_new_vouchings_the_age_grows(world):
    world.publish(5)
    world.look()
    for seconds in (10, 20):
        world.clock.advance(10)
        world.look()
        assert seconds == pytest.approx(world.age())


def test_a_statement_found_at_a_start_is_as_old_as_the_wall_clock_says(world):
    world.publish(5)
    world.clock.advance(3600)
    world.look()
    assert 3600 == pytest.approx(world.age())


@pytest.mark.parametrize("skew", [7200, -7200])
def test_a_clock_that_is_set_makes_nothing_old_or_fresh(world, skew):
    world.publish(5)
    world.look()
    world.clock.advance(1)
    vouched_at = world.clock.now()
    world.clock.set_wall(skew)
    stamp = decode_timestamp(world.store.store.read_metadata(TIMESTAMP_FILE))
    stamp = msgspec.structs.replace(stamp, serial=2, vouched_at=vouched_at)
    world.store.store.publish({TIMESTAMP_FILE: encode_timestamp(stamp)}, {})
    world.look()
    assert 0 <= world.age() <= 1
    world.clock.advance(30)
    assert 30 <= world.age() <= 31


def test_a_vouching_after_an_outage_is_no_older_than_the_outage(world):
    world.publish(5)
    world.look()
    world.store.down = True
    world.clock.advance(60)
    assert not world.look()
    assert 60 == pytest.approx(world.age())
    world.store.behave()
    world.vouch()
    world.look()
    assert 0.0 == world.age()


# --- refusals -----------------------------------------------------------------------------------------------------------


def test_a_store_found_empty_is_a_fault_and_the_replica_stays(held):
    held.store.spoil_metadata[TIMESTAMP_FILE] = lambda _: None
    refused(held, "store-empty")


def test_a_store_that_was_never_published_to_is_waited_for(world):
    assert not world.look()
    assert ({}, None) == (world.tally.refusals, world.version())


def test_a_lower_version_is_refused(held):
    held.publish(4)
    refused(held, "rollback")


def test_a_lower_version_is_refused_after_a_restart_too(held):
    held.restart()
    held.publish(4)
    refused(held, "rollback")


def test_an_older_timestamp_of_the_same_version_is_refused(world):
    world.publish(5)
    first = world.store.read_metadata(TIMESTAMP_FILE)
    world.vouch()
    world.look()
    world.store.spoil_metadata[TIMESTAMP_FILE] = lambda _: first
    refused(world, "rollback")


@pytest.mark.parametrize("restarted", [False, True])
def test_another_snapshot_under_the_version_held_is_refused(world, restarted):
    world.publish(5)
    world.look()
    if restarted:
        world.restart()
    world.publish(5, published_at=1.0)
    refused(world, "equivocation")


def test_another_base_under_the_version_accepted_is_refused(world):
    world.publish(5)
    world.look()
    world.publish(5, mark=b"forged")
    refused(world, "equivocation")


def test_metadata_of_two_versions_mixed_is_refused(held):
    newest = {name: held.store.read_metadata(name) for name in (TIMESTAMP_FILE, SNAPSHOT_FILE)}
    held.publish(7)
    for name, data in newest.items():
        held.store.spoil_metadata = {name: lambda _, data=data: data}
        refused(held, "snapshot-digest")


def test_a_missing_snapshot_file_is_refused(held):
    held.store.spoil_metadata[SNAPSHOT_FILE] = lambda _: None
    refused(held, "snapshot-missing")


def test_a_missing_base_is_refused(held):
    held.store.store.collect([])
    refused(held, "target-missing")


def test_a_base_of_another_edition_than_described_is_refused(held):
    other = edition(8, 0)
    chunks = list(base_chunks(other, []))
    description = msgspec.structs.replace(describe(other, digest_chunks(chunks)), version=7)
    snapshot = encode_snapshot(description)
    stamp = timestamp_for(7, snapshot, serial=1, vouched_at=0.0)
    held.store.publish(
        {SNAPSHOT_FILE: snapshot, TIMESTAMP_FILE: encode_timestamp(stamp)}, {digest_chunks(chunks).name: chunks}
    )
    refused(held, "mixed-versions")


def test_records_in_the_wrong_order_are_refused_although_their_digests_agree(held):
    of = edition(7, 3)
    chunks = list(base_chunks(of, [frame(*pair) for pair in records(range(3))[::-1]]))
    snapshot = encode_snapshot(describe(of, digest_chunks(chunks)))
    stamp = timestamp_for(7, snapshot, serial=1, vouched_at=0.0)
    held.store.publish(
        {SNAPSHOT_FILE: snapshot, TIMESTAMP_FILE: encode_timestamp(stamp)}, {digest_chunks(chunks).name: chunks}
    )
    refused(held, "records-malformed")


def test_a_base_truncated_at_any_chunk_or_inside_any_is_refused(held):
    for place in range(6):
        held.store.spoil_target = lambda chunks, place=place: chunks[:place]
        refused(held, "chunk-missing")
        held.store.spoil_target = lambda chunks, place=place: [*chunks[:place], chunks[place][:-7], *chunks[place + 1 :]]
        refused(held, "chunk-length")


def test_chunks_doubled_reordered_or_added_are_refused(held):
    spoilers = {
        "chunk-order": [
            lambda chunks: [chunks[0], *chunks],
            lambda chunks: chunks[::-1],
            lambda chunks: [chunks[1], chunks[0], *chunks[2:]],
            lambda chunks: chunks[1:],
        ],
        "chunk-surplus": [lambda chunks: [*chunks, chunks[-1]], lambda chunks: [*chunks, b""]],
    }
    for reason, each in spoilers.items():
        for spoil in each:
            held.store.spoil_target = spoil
            refused(held, reason)


def test_sampled_bit_flips_of_every_file_are_refused(held):
    chance = random.Random(20260729)

    def flip(data):
        spoiled = bytearray(data)
        spoiled[chance.randrange(len(spoiled))] ^= 1 << chance.randrange(8)
        return bytes(spoiled)

    for _ in range(60):
        held.store.behave()
        held.store.spoil_metadata[TIMESTAMP_FILE] = flip
        refused(held, "timestamp-malformed")
        held.store.behave()
        held.store.spoil_metadata[SNAPSHOT_FILE] = flip
        refused(held, "snapshot-digest")
    for _ in range(15):
        held.store.behave()
        place = chance.randrange(6)
        held.store.spoil_target = lambda chunks, place=place: [*chunks[:place], flip(chunks[place]), *chunks[place + 1 :]]
        refused(held, "chunk-digest")
    held.store.behave()
    held.clock.advance(100)
    assert held.look()
    assert 6 == held.version()


def test_a_refused_base_is_read_again_after_a_pause_that_doubles(held):
    held.store.spoil_target = lambda chunks: chunks[:1]
    held.store.reads = 0
    reads = []
    for _ in range(10):
        assert not held.look()
        reads.append(held.store.reads)
        held.clock.advance(1.01)
    assert [1, 2, 2, 3, 3, 3, 3, 4, 4, 4] == reads
    assert {"chunk-missing": 4} == held.tally.refusals
    held.store.behave()
    held.publish(7)
    assert held.look(), "a new version is taken at once"


def test_files_replaced_while_they_are_read_are_no_fault(held):
    def replaced(data):
        held.store.behave()
        held.publish(7)
        return data

    held.store.spoil_metadata[TIMESTAMP_FILE] = replaced
    assert held.look()
    assert (7, {}) == (held.version(), held.tally.refusals)


def test_a_base_collected_while_it_is_read_is_no_fault(held):
    def collected(chunks):
        held.store.behave()
        held.publish(7)
        return chunks[:1]

    held.store.spoil_target = collected
    assert held.look()
    assert (7, {}) == (held.version(), held.tally.refusals)


# --- faults of the surroundings -----------------------------------------------------------------------------------------


def test_a_store_that_is_down_leaves_the_replica_and_is_no_refusal(held):
    held.store.down = True
    assert not held.look()
    assert (5, {}) == (held.version(), held.tally.refusals)
    held.store.behave()
    assert held.look()
    assert 6 == held.version()


def test_a_full_disk_leaves_the_replica_and_is_tried_again(held, monkeypatch):
    def full(edition, records):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(held.writer, "install", full)
        assert not held.look()
    assert 5 == held.version()
    assert held.look()
    assert 6 == held.version()


def test_an_unexpected_fault_neither_ends_the_loop_nor_shows_its_message(held, monkeypatch):
    def failing(edition, records):
        raise ValueError("cn.resident-id:110101209001010000")

    monkeypatch.setattr(held.writer, "install", failing)
    with structlog.testing.capture_logs() as logs:
        assert not held.look()
    assert logs
    assert "110101209001010000" not in repr(logs)


def test_a_lasting_fault_is_logged_once_and_once_when_it_is_over(held):
    held.store.down = True
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            held.look()
        held.store.behave()
        held.look()
    assert ["not following; the replica stays as it is", "installed", "following again"] == [each["event"] for each in logs]


def test_the_loop_follows_publishes_until_it_is_told_to_stop():
    clock = SystemClock()
    store, writer, tally = MemorySnapshotStore(), MemoryReplicaWriter(clock), FollowerTally()
    follower = Follower(store=store, replica=writer, clock=clock, counts=tally, follow_interval_s=60.0)
    stop = threading.Event()
    loop = threading.Thread(target=follower.run, args=(stop,))
    loop.start()
    try:
        for version in (5, 6, 7):
            publish(store, version, clock=clock)
            wait_for(lambda version=version: version in tally.versions)
    finally:
        stop.set()
        loop.join(10)
    assert not loop.is_alive()
