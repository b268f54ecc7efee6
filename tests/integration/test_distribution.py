"""Publisher, Valkey, followers, replicas: what the registry says is what every worker reads, whatever happens."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.redis.store import METADATA_KEY, TARGET_KEY, RedisSnapshotStore
from portcullis.adapters.tuf.ceremony import TrustCeremony
from tests.support.distribution import DictRegistry, entry
from tests.support.hosts import DAY_S, LISTS, FollowingHost, PublishingHost, kept, listed, policy_of, read
from tests.support.processes import wait_for
from tests.support.signed_snapshots import make_keys
from tests.support.valkey import ValkeyAt, running_valkey


class Running:
    """A publisher and two followers in threads of their own, over a real Valkey."""

    def __init__(self, server: ValkeyAt, home: Path) -> None:
        self.server = server
        self.home = home
        self.clock = SystemClock()
        self.registry = DictRegistry(policy_of(*LISTS), self.clock)
        self.entries = 0
        self._stop = threading.Event()
        self._stores: list[RedisSnapshotStore] = []
        self._loops: list[threading.Thread] = []
        self.trust = home / "keys"
        self.keys = make_keys(self.trust, *LISTS)
        self.host = PublishingHost(
            home / "publisher", registry=self.registry, store=self.store(), keys=self.keys, clock=self.clock
        )
        self.followings: list[FollowingHost] = []
        self._run(self.host.publisher.run)
        for name in ("first", "second"):
            self.follow(name)

    def store(self) -> RedisSnapshotStore:
        self._stores.append(RedisSnapshotStore(self.server.url, timeout_s=1.0))
        return self._stores[-1]

    def follow(self, name: str) -> FollowingHost:
        """Start a follower."""
        following = FollowingHost(self.home / name, store=self.store(), keys=self.keys, clock=self.clock)
        self.followings.append(following)
        self._run(following.follower.run)
        return following

    def _run(self, run: Callable[[threading.Event], None]) -> None:
        loop = threading.Thread(target=run, args=(self._stop,))
        loop.start()
        self._loops.append(loop)

    def stop(self) -> None:
        self._stop.set()
        for loop in self._loops:
            loop.join(20)
        assert not any(loop.is_alive() for loop in self._loops)
        self.host.end()
        for following in self.followings:
            following.end()
            following.reader.close()
        for store in self._stores:
            store.close()

    def list_someone(self, number: int, name: str = "court") -> None:
        self.entries += 1
        self.registry.put(number, entry(self.entries, name, until=int(self.clock.now()) + 400 * DAY_S))

    def arrives(self, within_s: float = 15.0) -> None:
        """Wait until every worker reads what the registry says."""
        standing = kept(listed(self.registry), self.clock.now())

        def arrived() -> bool:
            for each in self.followings:
                each.reader.refresh()
                if each.reader.begin() is None:
                    return False
                found = read(each.reader)
                if (found.registry_seq, found.entries) != (self.registry.seq, standing):
                    return False
            return True

        wait_for(arrived, within_s=within_s, what="the newest version in every replica", every_s=0.005)

    def stays(self, known: int = 1) -> int:
        """See that workers still read something whole, that is not older than a change; gives the newest they read."""
        newest = 0
        for each in self.followings:
            each.reader.refresh()
            found = read(each.reader)
            assert found.entries
            assert known <= found.registry_seq <= self.registry.seq
            newest = max(newest, found.registry_seq)
        return newest

    def refusals(self) -> Counter[str]:
        return sum((each.tally.refusals for each in self.followings), Counter())

    def is_fresh(self) -> bool:
        for each in self.followings:
            each.reader.refresh()
        return all(each.reader.vouched_age_s() < 2.0 for each in self.followings)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with running_valkey() as server:
        made = Running(server, tmp_path)
        try:
            made.list_someone(0)
            made.arrives()
            yield made
        finally:
            server.resume()
            made.stop()


def test_changes_arrive_as_deltas_and_are_kept_fresh(running: Running) -> None:
    for number, name in ((1, "court"), (2, "carriers"), (3, "bank"), (1, "bank")):
        running.list_someone(number, name)
        running.arrives()
    running.registry.withdraw(2)
    running.arrives()
    wait_for(running.is_fresh)
    assert {} == running.refusals()
    for each in running.followings:
        assert len(each.tally.installs) <= 2
        assert len(each.tally.applies) >= 4


def test_a_list_comes_and_another_goes(running: Running) -> None:
    running.list_someone(4, "bank")
    running.arrives()
    running.registry.apply(policy_of("bank", "court"))
    running.arrives()
    running.registry.apply(policy_of("carriers", "court"))
    running.list_someone(5, "carriers")
    running.arrives()
    assert {} == running.refusals()


def test_valkey_killed_and_started_empty_is_filled_again_and_the_replicas_stay(running: Running) -> None:
    running.server.kill()
    running.stays()
    running.list_someone(1)
    running.stays()
    running.server.start()
    running.arrives()
    wait_for(running.is_fresh)


def test_valkey_flushed_is_filled_again_and_the_replicas_stay(running: Running) -> None:
    running.server.flush()
    running.stays()
    wait_for(lambda: running.host.tally.refills)
    running.list_someone(1)
    running.follow("third")
    running.arrives()


def test_valkey_paused_in_the_middle_of_a_load_goes_on_where_it_was(running: Running) -> None:
    for number in range(1, 4):
        running.list_someone(number)
    running.server.pause()
    known = running.stays()
    running.list_someone(5)
    wait_for(lambda: running.host.tally.failures["store"] >= 2)
    assert known <= running.stays(known)
    running.server.resume()
    running.arrives()
    wait_for(running.is_fresh)
    assert {} == running.refusals()


def test_bases_lost_by_valkey_are_sent_again(running: Running) -> None:
    with running.server.client() as client:
        assert client.unlink(*client.keys(TARGET_KEY + "*"))
    wait_for(lambda: running.host.tally.refills)
    running.follow("third")
    running.arrives()


def test_older_metadata_put_in_place_is_refused_and_replaced(running: Running) -> None:
    with running.server.client() as client:
        older = {key: client.get(key) for key in client.keys(METADATA_KEY + "*")}
        running.list_someone(1)
        running.arrives()
        for key, data in older.items():
            client.set(key, data)
    running.list_someone(2)
    running.arrives()


def test_a_second_valkey_with_older_data_in_the_place_of_the_first_is_no_way_back(running: Running) -> None:
    older = running.server.contents()
    for number in range(1, 4):
        running.list_someone(number)
        running.arrives()
    running.host.registry.down = True  # the publisher mends nothing for now
    running.server.kill()
    running.server.start()
    running.server.fill(older)
    wait_for(lambda: running.refusals()["rollback"] >= 2)
    running.stays(running.registry.seq)
    running.host.registry.down = False
    running.list_someone(4)
    running.arrives()
    wait_for(running.is_fresh)


def test_valkey_under_repeated_kills_never_shows_a_worker_less_than_it_knew(running: Running) -> None:
    known = 1
    for number in range(1, 6):
        running.list_someone(number)
        running.server.kill()
        running.server.start()
        known = running.stays(known)
    running.arrives()


def test_every_key_can_be_exchanged_while_followers_follow(running: Running) -> None:
    ceremony = TrustCeremony(running.trust, running.clock)
    for number, role in enumerate(("timestamp", "snapshot", "head", "list:court", "targets", "root", "timestamp")):
        ceremony.rotate(role)
        running.list_someone(number)
        running.arrives()
    running.follow("third, which begins at the first root")
    running.arrives()
    wait_for(running.is_fresh)
    assert {} == running.refusals()


def test_a_follower_that_was_away_for_long_catches_up(running: Running) -> None:
    for number in range(1, 9):
        running.list_someone(number, LISTS[number % 3])
    running.arrives()
    third = running.follow("third")
    running.arrives()
    running.registry.withdraw(3)
    running.arrives()
    assert 1 == len(third.tally.installs)
    assert {} == running.refusals()
