"""Two publishers at one store: one works, the other waits."""

from __future__ import annotations

import pytest

from portcullis.adapters.memory.replica import MemoryReplicaWriter
from portcullis.domain.policies import Policy
from portcullis.publisher.leasing import LEASE_TTL_S
from portcullis.publisher.service import STEP_ASIDE_S
from tests.support.distribution import token
from tests.support.publishers import POLICY, Killed, World
from tests.support.signed_snapshots import make_trusted


@pytest.fixture
def pair(tmp_path, trust):
    """Two publishers of one registry and store, each with a home of its own and the same keys."""
    first = World(tmp_path, trust)
    second = World(tmp_path / "second", trust)
    second.registry, second.store, second.clock, second.keys = first.registry, first.store, first.clock, first.keys
    second.replica = MemoryReplicaWriter(first.clock)
    second.start()
    return first, second


def look(*worlds, times=1, seconds=1.0):
    for _ in range(times):
        worlds[0].clock.advance(seconds)
        for each in worlds:
            assert each.look()


def test_the_one_that_came_second_waits_and_says_so_once(pair, logs):
    first, second = pair
    first.registry.put(1)
    look(first, second, times=10)
    assert (1, 0) == (len(first.tally.versions), len(second.tally.versions))
    assert (True, False) == (first.tally.has_lease, second.tally.has_lease)
    assert ["waiting for the lease"] == [each["event"] for each in logs if "lease" in each["event"]]


def test_one_that_takes_over_says_that_it_publishes_once(pair, logs):
    first, second = pair
    look(first, second)
    first.publisher.close()
    look(second, times=3)
    told = [each["version"] for each in logs if each["event"] == "publishing"]
    assert [first.tally.versions[0], second.tally.versions[0]] == told


def test_a_clean_stop_hands_over_at_once(pair):
    first, second = pair
    look(first, second)
    first.publisher.close()
    look(second)
    assert second.tally.has_lease


def test_one_that_dies_is_followed_when_its_lease_has_run_out(pair):
    first, second = pair
    first.registry.put(1)
    look(first, second)
    version = first.snapshot().version
    first.registry.put(2)
    look(second, seconds=LEASE_TTL_S - 0.5)
    assert version == first.snapshot().version
    look(second)
    found = first.snapshot()
    assert version < found.version
    assert {token(1), token(2)} == found.bodies("court").keys()


def test_one_that_takes_over_surpasses_everything_that_the_store_holds(pair):
    first, second = pair
    look(first, second)
    first.clock.set_wall(1000)
    first.registry.put(1)
    look(first)
    before = first.snapshot()
    first.clock.set_wall(-1000)
    look(second, seconds=LEASE_TTL_S + 1)
    after = first.snapshot()
    assert before.version < after.version
    assert before.serial < after.serial
    assert {token(1)} == after.bodies("court").keys()


def test_one_that_slept_while_another_published_changes_nothing_and_compiles_anew_when_its_turn_comes(pair, logs):
    first, second = pair
    first.registry.put(1)
    look(first)
    look(second, seconds=LEASE_TTL_S + 1)
    version = first.snapshot().version
    first.registry.put(2)
    look(first, times=3, seconds=0.1)
    assert version == first.snapshot().version
    look(second)
    newest = first.snapshot().version
    assert version < newest
    second.publisher.close()
    look(first, times=3)
    assert "another has published since; compiling every list anew" in [each["event"] for each in logs]
    assert newest < first.snapshot().version
    assert {token(1), token(2)} == first.snapshot().bodies("court").keys()


def test_one_that_loses_the_lease_between_signing_and_sending_changes_nothing_in_the_store(pair):
    first, second = pair
    look(first)
    version = first.snapshot().version
    first.registry.put(1)
    sign = first.repository.part.sign

    def slow(*given, **named):
        sign(*given, **named)
        look(second, seconds=LEASE_TTL_S + 1)

    first.repository.instead["sign"] = slow
    assert first.look()
    assert 1 == len(first.tally.versions)
    found = first.snapshot()
    assert version < found.version
    assert [found.version] == second.tally.versions
    assert not first.tally.has_lease


def test_a_store_emptied_while_another_worked_is_never_filled_with_an_old_state(pair):
    first, second = pair
    first.registry.put(1)
    look(first)
    look(second, seconds=LEASE_TTL_S + 1)
    look(first, second, times=2)
    first.registry.put(2)
    look(second, first)
    newest = first.snapshot().version
    first.empty_store()
    first.clock.advance(1)
    assert first.look()
    found = first.snapshot()
    assert newest < found.version
    assert {token(1), token(2)} == found.bodies("court").keys()
    assert all(newest < each.version for each in found.manifests.values())


def test_a_lease_that_the_store_forgot_is_taken_again_and_nothing_is_compiled_anew(pair):
    first, _ = pair
    first.registry.put(1)
    look(first)
    version = first.snapshot().version
    first.empty_store()
    look(first, times=3)
    assert version == first.snapshot().version
    assert first.tally.has_lease
    assert 1 == first.tally.refills


def test_one_that_takes_over_without_the_key_of_a_list_publishes_nothing(pair, logs):
    first, second = pair
    first.registry.put(1)
    look(first)
    version = first.snapshot().version
    second.unsignable = {"bikes"}
    second.clock.advance(LEASE_TTL_S + 1)
    assert not second.look()
    assert (version, {"keys": 1}) == (first.snapshot().version, second.tally.failures)
    assert "bikes" in repr(logs)
    second.unsignable = set()
    assert second.look()
    assert version < first.snapshot().version


def test_one_that_took_over_without_the_key_of_a_list_gives_way_to_one_that_has_it(pair):
    first, second = pair
    first.registry.put(1)
    look(first)
    version = first.snapshot().version
    second.unsignable = {"bikes"}
    second.clock.advance(LEASE_TTL_S + 1)
    assert not second.look()
    first.registry.put(2)
    look(first, times=2, seconds=0.5)
    assert (True, False) == (first.tally.has_lease, second.tally.has_lease)
    assert version < first.snapshot().version
    assert {token(1), token(2)} == first.snapshot().bodies("court").keys()
    assert version == first.snapshot().manifests["court"].base.version, "led on, not compiled anew"


def test_one_whose_disk_refuses_for_long_gives_way_to_another(pair):
    first, second = pair
    first.registry.put(1)
    look(first, second)
    first.registry.put(2)
    for _ in range(int(STEP_ASIDE_S)):
        first.repository.before["sign"] = OSError(28, "No space left on device")
        first.clock.advance(1)
        assert not first.look()
        assert second.look()
        assert not second.tally.has_lease
    first.repository.before["sign"] = OSError(28, "No space left on device")
    first.clock.advance(1)
    assert not first.look()
    look(second)
    assert second.tally.has_lease
    assert {token(1), token(2)} == first.snapshot().bodies("court").keys()


def test_one_that_died_before_it_sent_what_it_had_signed_goes_on_above_what_a_clock_behind_its_own_has_published(
    pair, tmp_path
):
    first, second = pair
    first.registry.put(1)
    look(first)
    trusted = make_trusted(tmp_path / "follower", first.transport.store, first.keys, first.clock)
    first.registry.put(2)
    first.repository.after["sign"] = Killed()
    first.clock.advance(30)
    with pytest.raises(Killed):
        first.look()
    first.clock.set_wall(-20)
    look(second, seconds=LEASE_TTL_S + 1)
    between = trusted.look().version
    assert between == first.snapshot().version < first.repository.version()
    second.publisher.close()
    first.crash()
    look(first, times=2)
    assert between < trusted.look().version == first.snapshot().version
    assert {token(1), token(2)} == first.snapshot().bodies("court").keys()


def test_a_follower_takes_what_one_publishes_that_took_over_with_fewer_lists(pair, tmp_path):
    first, second = pair
    first.registry.put(1)
    look(first)
    trusted = make_trusted(tmp_path / "follower", first.transport.store, first.keys, first.clock)
    before = trusted.look().version
    first.registry.apply(Policy(lists=POLICY.lists[:1]))
    look(second, seconds=LEASE_TTL_S + 1)
    assert before < trusted.look().version == first.snapshot().version
    assert ["court"] == list(first.snapshot().manifests)


def test_while_it_waits_it_asks_neither_the_registry_nor_the_store_for_anything_else(pair):
    first, second = pair
    look(first)
    second.registry.view = lambda: pytest.fail("a waiting publisher read the registry")
    asked = len(first.transport.asked)
    look(second, times=2, seconds=0.5)
    assert asked == len(first.transport.asked)
    del second.registry.view
