"""What stands in the store: compared, filled again, and cleared of what is done with."""

from __future__ import annotations

import pytest

from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.manifests import HEAD_TARGET, manifest_target
from portcullis.publisher.collecting import COLLECT_EVERY_S, GRACE_S
from tests.support.distribution import token


def test_an_emptied_store_is_filled_again_from_the_repository_without_compiling(world):
    world.registry.put(1)
    world.look()
    version = world.snapshot().version
    world.empty_store()
    world.registry.index = lambda lists: pytest.fail("compiled for a store that was emptied")
    world.tick()
    world.tick()
    assert version == world.snapshot().version
    assert {token(1)} == world.snapshot().bodies("court").keys()
    assert 1 == world.tally.refills


def test_an_emptied_store_is_filled_beside_a_change_too(world):
    world.registry.put(1)
    world.look()
    world.empty_store()
    world.registry.put(2)
    for _ in range(3):
        world.tick()
    assert {token(1), token(2)} == world.snapshot().bodies("court").keys()


def test_a_store_emptied_under_a_registry_that_changes_all_the_time_is_filled_again_within_a_second(world):
    world.look()
    world.empty_store()
    for number in range(100):
        world.registry.put(number)
        assert world.tick(0.1)
        if number >= 10:
            assert number + 1 == len(world.snapshot().bodies("court"))
    assert (1, 101) == (world.tally.refills, len(world.tally.versions))


def test_a_store_under_a_registry_that_changes_all_the_time_is_cleared_of_what_is_done_with(world):
    world.look()
    held = []
    for number in range(400):
        world.registry.put(number % 8)
        assert world.tick(0.1)
        held.append(len(world.transport.store._metadata))
    assert 401 == len(world.tally.versions)
    assert max(held[200:]) <= max(held[:200])
    world.snapshot().entries()


def test_a_store_with_older_data_is_filled_again(world):
    world.look()
    held = world.transport.store
    old, targets = dict(held._metadata), dict(held._targets)
    world.registry.put(1)
    world.look()
    newest = world.snapshot().version
    held._metadata, held._targets = old, targets
    world.tick()
    assert newest == world.snapshot().version
    assert {token(1)} == world.snapshot().bodies("court").keys()
    assert 1 == world.tally.refills


@pytest.mark.parametrize("which", ["base", "manifest", "head"])
def test_a_store_that_lost_one_target_is_filled_again(world, which):
    world.registry.put(1)
    world.look()
    found = world.snapshot()
    name = {"base": found.manifests["court"].base.target, "manifest": manifest_target("court"), "head": HEAD_TARGET}[which]
    del world.transport.store._targets[found.stored(name)]
    world.tick()
    assert {token(1)} == world.snapshot().bodies("court").keys()
    assert 1 == world.tally.refills


def test_any_damaged_metadata_file_is_replaced_within_seconds(world):
    world.look()
    names = list(world.transport.store._metadata)
    for name in names:
        good = world.transport.store._metadata[name]
        world.transport.store._metadata[name] = b"garbage"
        for _ in range(3):
            world.tick()
        assert b"garbage" != world.transport.store._metadata[name]
        assert name == "timestamp.json" or good == world.transport.store._metadata[name]
    assert len(names) == world.tally.refills


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("damage", ["bit", "cut", "longer"])
def test_a_target_that_the_store_has_damaged_is_put_again(world, monkeypatch, damage, large):
    monkeypatch.setattr("portcullis.publisher.sending.SMALL_BYTES", 100 if large else 1 << 20)
    for number in range(20):
        world.registry.put(number)
    world.look()
    targets = world.transport.store._targets
    name = next(each for each in targets if "base-" in each and "court" in each)
    good = b"".join(targets[name])
    bad = {"bit": good[:-1] + bytes([good[-1] ^ 1]), "cut": good[:-1], "longer": good + b"x"}[damage]
    targets[name] = (bad,)
    for _ in range(4):
        world.tick()
    assert good == b"".join(targets[name])
    assert 1 == world.tally.refills
    for _ in range(4):
        world.tick()
    assert 1 == world.tally.refills


def test_a_publish_whose_answer_was_lost_is_no_fault_of_the_store(world):
    world.look()
    world.registry.put(1)
    world.store.after["publish"] = StoreUnavailable("the answer was lost")
    assert not world.tick(0.1)
    assert world.tick(0.1)
    assert {token(1)} == world.snapshot().bodies("court").keys()
    assert (0, {"store": 1}) == (world.tally.refills, world.tally.failures)
    assert 2 == len(world.tally.versions)


def test_a_store_that_is_down_is_tried_again_and_nothing_is_compiled_or_signed_meanwhile(world):
    world.transport.down = True
    world.registry.view = lambda: pytest.fail("read for a store that is down")
    assert not world.tick()
    assert not world.tick()
    assert {"store": 2} == world.tally.failures
    del world.registry.view
    world.transport.behave()
    assert world.tick()
    world.snapshot()


def test_what_has_left_force_stays_for_its_readers_and_goes_after_the_grace(world):
    world.registry.put(1)
    world.look()
    old = world.snapshot()
    world.registry.put(2)
    world.look()
    world.tick(GRACE_S - 1)
    assert world.transport.store.holds([old.stored(HEAD_TARGET), old.stored(manifest_target("court"))])
    assert f"{old.version}.snapshot.json" in world.transport.store._metadata
    for _ in range(2):
        world.tick(COLLECT_EVERY_S + 1)
    assert not world.transport.store.holds([old.stored(HEAD_TARGET)])
    assert not world.transport.store.holds([old.stored(manifest_target("court"))])
    assert f"{old.version}.snapshot.json" not in world.transport.store._metadata
    assert world.transport.store.holds([old.stored(old.manifests["court"].base.target)]), "still in force"
    world.snapshot().entries()


def test_what_an_earlier_run_left_goes_after_the_grace_too(world):
    world.look()
    world.registry.put(1)
    world.repository.after["sign"] = StoreUnavailable("no way")
    world.look()
    world.transport.store._targets["lists/court/abc.base-1"] = (b"the beginning of a base",)
    world.crash()
    world.look()
    assert world.transport.store.holds(["lists/court/abc.base-1"])
    for _ in range(2):
        world.tick(COLLECT_EVERY_S + 1)
    assert not world.transport.store.holds(["lists/court/abc.base-1"])
    assert {token(1)} == world.snapshot().bodies("court").keys()


def test_a_store_that_was_full_is_cleared_and_takes_the_next_version(world):
    world.look()
    world.tick(GRACE_S + 1)
    store = world.transport.store
    store._targets["lists/court/abc.base-1"] = (b"the beginning of a base",)
    publish = store.publish

    def full(metadata, targets, *, lease=""):
        if "lists/court/abc.base-1" in store._targets:
            raise StoreUnavailable("the store is full")
        publish(metadata, targets, lease=lease)

    store.publish = full
    world.registry.put(1)
    assert not world.tick(0.1)
    assert world.tick(0.1)
    assert {token(1)} == world.snapshot().bodies("court").keys()


def test_large_targets_are_sent_before_the_atomic_step_and_not_twice(world, monkeypatch):
    monkeypatch.setattr("portcullis.publisher.sending.SMALL_BYTES", 1000)
    for number in range(100):
        world.registry.put(number)
    uploads = []
    upload = world.transport.upload
    world.store.instead["upload"] = lambda name, chunks: (uploads.append(name), upload(name, chunks))[1]
    world.store.before["publish"] = StoreUnavailable("not now")
    assert not world.look()
    assert world.tick(0.1)
    assert 1 == sum("base-" in name for name in uploads)
    assert 100 == len(world.snapshot().bodies("court"))
    world.empty_store()
    for _ in range(3):
        world.tick()
    assert 2 == sum("base-" in name for name in uploads)
    assert 100 == len(world.snapshot().bodies("court"))
