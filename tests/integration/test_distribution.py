"""Publisher, store, follower and replica together: what the registry says is what a worker reads, whatever happens."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.redis.store import METADATA_KEY, TARGET_KEY, RedisSnapshotStore
from portcullis.domain.metadata import SNAPSHOT_FILE, TIMESTAMP_FILE
from portcullis.domain.records import decode_records
from portcullis.gateway.follower import Follower
from portcullis.publisher.service import Publisher
from portcullis.publisher.state import StateFile
from tests.support.clocks import HandClock
from tests.support.distribution import DictRegistry, FollowerTally, PublisherTally, token
from tests.support.misbehaving_store import MisbehavingStore
from tests.support.processes import wait_for
from tests.support.valkey import ValkeyAt, running_valkey

NUMBERS = range(12)


def read(replica: LmdbReplica) -> tuple[int, dict[int, set[int]]]:
    """Read, in one transaction, the registry's change that a replica includes and the entries under each token."""
    transaction = replica.begin()
    assert transaction is not None
    found = {number: transaction.get(token(number)) for number in NUMBERS}
    entries = {number: {each.entry_id for each in decode_records(value)} for number, value in found.items() if value}
    sequence = transaction.edition.registry_seq
    transaction.close()
    return sequence, entries


def listed(registry: DictRegistry) -> dict[int, set[int]]:
    """The same as it stands in the registry."""
    entries: dict[int, set[int]] = {}
    for number in NUMBERS:
        found = {entry_id for key, entry_id in registry.entries if key == token(number)}
        if found:
            entries[number] = found
    return entries


class Distribution(RuleBasedStateMachine):
    """The model is a dictionary for every change of the registry; the replica always equals exactly one of them."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="distribution-")
        self.home = Path(self.folder.name)
        self.clock = HandClock()
        self.registry = DictRegistry()
        self.store = MisbehavingStore(MemorySnapshotStore())
        self.model = {0: {}}
        self.lowest = 0
        self.older: dict[str, bytes] = {}
        self.writer: LmdbReplicaWriter | None = None
        self.start_publisher()
        self.start_follower()

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()
        self.folder.cleanup()

    def start_publisher(self) -> None:
        self.publisher = Publisher(
            registry=self.registry,
            store=self.store,
            state=StateFile(self.home / "publisher.json"),
            clock=self.clock,
            counts=PublisherTally(),
            publish_interval_s=0.1,
        )

    def start_follower(self) -> None:
        if self.writer:
            self.writer.close()
        self.writer = LmdbReplicaWriter(self.home / "replica", self.clock)
        self.reader = LmdbReplica(self.home / "replica", self.clock)
        self.follower = Follower(
            store=self.store, replica=self.writer, clock=self.clock, counts=FollowerTally(), follow_interval_s=1.0
        )

    @rule(number=st.sampled_from(NUMBERS))
    def list_someone(self, number: int) -> None:
        self.registry.put(number)
        self.model[self.registry.seq] = listed(self.registry)

    @rule(number=st.sampled_from(NUMBERS))
    def withdraw_someone(self, number: int) -> None:
        self.registry.withdraw(number)
        self.model[self.registry.seq] = listed(self.registry)

    @rule(seconds=st.sampled_from([0.05, 1.0, 5.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def publisher_looks(self) -> None:
        self.publisher.look()

    @rule()
    def follower_looks(self) -> None:
        self.follower.look()
        self.reader.refresh()

    @rule()
    def publisher_restarts(self) -> None:
        self.start_publisher()

    @rule()
    def follower_restarts(self) -> None:
        self.start_follower()

    @rule()
    def publisher_loses_its_state_and_restarts(self) -> None:
        (self.home / "publisher.json").unlink(missing_ok=True)
        self.clock.advance(0.01)
        self.start_publisher()

    @rule()
    def store_is_lost(self) -> None:
        self.store.store = MemorySnapshotStore()

    @rule()
    def base_is_lost(self) -> None:
        self.store.store.collect([])

    @rule(name=st.sampled_from([TIMESTAMP_FILE, SNAPSHOT_FILE]), data=st.sampled_from([b"", b"garbage"]))
    def metadata_is_damaged(self, name: str, data: bytes) -> None:
        self.store.store.publish({name: data}, {})

    @rule()
    def someone_keeps_a_copy_of_the_metadata(self) -> None:
        found = {name: self.store.store.read_metadata(name) for name in (TIMESTAMP_FILE, SNAPSHOT_FILE)}
        self.older = {name: data for name, data in found.items() if data is not None}

    @precondition(lambda self: self.older)
    @rule(only=st.sampled_from([TIMESTAMP_FILE, SNAPSHOT_FILE, None]))
    def the_copy_is_put_back(self, only: str | None) -> None:
        self.store.store.publish({name: data for name, data in self.older.items() if only in {None, name}}, {})

    @rule(down=st.booleans())
    def store_goes_away_or_returns(self, down: bool) -> None:
        self.store.down = down

    @rule(down=st.booleans())
    def registry_goes_away_or_returns(self, down: bool) -> None:
        self.registry.down = down

    @rule()
    def all_is_well_again(self) -> None:
        """Whatever happened, two looks of each part bring the newest state to the worker."""
        self.store.down = self.registry.down = False
        for _ in range(2):
            self.clock.advance(40.0)
            assert self.publisher.look()
            assert self.follower.look()
        self.reader.refresh()
        assert (self.registry.seq, listed(self.registry)) == read(self.reader)
        assert self.reader.vouched_age_s() <= 80.0

    @invariant()
    def the_replica_is_one_version_and_never_goes_back(self) -> None:
        if not hasattr(self, "reader") or self.reader.begin() is None:
            return
        sequence, found = read(self.reader)
        assert self.model[sequence] == found
        assert self.lowest <= sequence
        self.lowest = sequence


Distribution.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestDistribution = Distribution.TestCase


class Running:
    """A publisher and a follower in threads of their own, over a real Valkey."""

    def __init__(self, server: ValkeyAt, home: Path) -> None:
        self.server = server
        self.clock = SystemClock()
        self.registry = DictRegistry()
        self.published, self.followed = PublisherTally(), FollowerTally()
        self.writer = LmdbReplicaWriter(home / "replica", self.clock)
        self.reader = LmdbReplica(home / "replica", self.clock)
        self._stores = [RedisSnapshotStore(server.url, timeout_s=2.0) for _ in range(2)]
        publisher = Publisher(
            registry=self.registry,
            store=self._stores[0],
            state=StateFile(home / "publisher.json"),
            clock=self.clock,
            counts=self.published,
            publish_interval_s=0.02,
        )
        follower = Follower(
            store=self._stores[1],
            replica=self.writer,
            clock=self.clock,
            counts=self.followed,
            follow_interval_s=0.2,
        )
        self._stop = threading.Event()
        self._loops = [threading.Thread(target=each.run, args=(self._stop,)) for each in (publisher, follower)]
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        self._stop.set()
        for loop in self._loops:
            loop.join(20)
        assert not any(loop.is_alive() for loop in self._loops)
        for store in self._stores:
            store.close()
        self.writer.close()
        self.reader.close()

    def list_someone(self, number: int) -> None:
        self.registry.put(number)

    def arrives(self, within_s: float = 10.0) -> None:
        """Wait until a worker reads what the registry says."""

        def arrived() -> bool:
            self.reader.refresh()
            if self.reader.begin() is None:
                return False
            return read(self.reader) == (self.registry.seq, listed(self.registry))

        wait_for(arrived, within_s=within_s, what="the newest version in the replica", every_s=0.005)

    def stays(self) -> None:
        """See that a worker still reads something whole."""
        self.reader.refresh()
        sequence, found = read(self.reader)
        assert found
        assert 0 < sequence <= self.registry.seq


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_valkey() as server:
        made = Running(server, tmp_path)
        try:
            made.list_someone(0)
            made.arrives()
            yield made
        finally:
            made.stop()


def test_a_change_arrives_and_is_kept_fresh(running):
    for number in (1, 2, 3):
        running.list_someone(number)
        running.arrives()
    running.registry.withdraw(2)
    running.arrives()
    assert running.reader.vouched_age_s() < 3.0
    assert {} == running.followed.refusals


def test_valkey_killed_and_started_empty_is_filled_again_and_the_replica_stays(running):
    running.server.kill()
    running.stays()
    running.list_someone(1)
    running.stays()
    running.server.start()
    running.arrives()
    wait_for(lambda: running.reader.refresh() or running.reader.vouched_age_s() < 2.0)


def test_valkey_flushed_is_filled_again_and_the_replica_stays(running):
    running.server.flush()
    running.stays()
    publishes = len(running.published.versions)
    wait_for(lambda: len(running.published.versions) > publishes)
    running.list_someone(1)
    running.arrives()


def test_a_base_lost_by_valkey_is_published_again(running):
    with running.server.client() as client:
        assert client.unlink(*client.keys(TARGET_KEY + "*"))
    publishes = len(running.published.versions)
    wait_for(lambda: len(running.published.versions) > publishes)
    running.arrives()


def test_older_metadata_put_in_place_is_refused_and_replaced(running):
    with running.server.client() as client:
        older = {name: client.get(METADATA_KEY + name) for name in (TIMESTAMP_FILE, SNAPSHOT_FILE)}
        running.list_someone(1)
        running.arrives()
        for name, data in older.items():
            client.set(METADATA_KEY + name, data)
    running.list_someone(2)
    running.arrives()
    running.stays()


def test_valkey_under_repeated_kills_never_shows_a_worker_less_than_it_knew(running):
    known = 0
    for number in range(1, 6):
        running.list_someone(number)
        running.server.kill()
        running.server.start()
        running.stays()
        sequence, _ = read(running.reader)
        assert known <= sequence
        known = sequence
    running.arrives()
