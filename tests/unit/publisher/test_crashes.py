"""A publisher that is killed at any step goes on from what it had signed."""

from __future__ import annotations

import pytest

from portcullis.adapters.memory.replica import MemoryReplicaWriter
from tests.support.distribution import entry, token
from tests.support.publishers import STEPS, Killed


def settle(world):
    for _ in range(4):
        world.tick()


@pytest.fixture
def running(world):
    world.registry.put(1)
    world.registry.put(2, entry(2, "bikes"))
    world.look()
    return world


@pytest.mark.parametrize(("part", "when", "method"), STEPS)
def test_killed_at_a_step_of_a_change_it_goes_on_by_deltas(running, part, when, method):
    before = running.snapshot()
    running.registry.put(3)
    getattr(getattr(running, part), when)[method] = Killed()
    with pytest.raises(Killed):
        running.tick(0.1)
    running.registry.put(4)
    running.crash()
    assert running.look(), running.tally.failures
    settle(running)
    found = running.snapshot()
    assert {"court": {token(n): {n} for n in (1, 3, 4)}, "bikes": {token(2): {2}}} == found.entries()
    assert before.manifests["court"].base == found.manifests["court"].base
    assert running.replica.held() == found.edition()


@pytest.mark.parametrize(
    ("part", "when", "method"),
    [each for each in STEPS if each[0] != "mirror"] + [("mirror", "before", "install"), ("mirror", "after", "install")],
)
def test_killed_at_a_step_of_the_first_version_it_begins_or_goes_on(world, part, when, method):
    world.registry.put(1)
    getattr(getattr(world, part), when)[method] = Killed()
    with pytest.raises(Killed):
        world.look()
    world.crash()
    settle(world)
    assert {token(1)} == world.snapshot().bodies("court").keys()
    assert world.replica.held() == world.snapshot().edition()


@pytest.mark.parametrize("method", ["create", "sign"])
def test_a_disk_that_refuses_leaves_what_stands_and_the_next_try_publishes(running, method):
    before = running.snapshot()
    running.registry.put(3)
    running.repository.before[method] = OSError(28, "No space left on device")
    assert not running.tick(0.1)
    assert before.version == running.snapshot().version
    assert {"disk": 1} == running.tally.failures
    assert running.tick(0.1)
    assert {token(1), token(3)} == running.snapshot().bodies("court").keys()


def test_tries_that_come_to_nothing_leave_no_files(running):
    def files():
        return {path for path in (running.folder / "publisher").rglob("*") if path.is_file() and "targets" in path.parts}

    before = files()
    for number in range(3, 10):
        running.registry.put(number)
        running.repository.before["sign"] = OSError(28, "No space left on device")
        assert not running.tick(0.1)
    assert before == files()


def test_a_mirror_that_refuses_is_caught_up_before_the_next_change_is_worked_out(running):
    running.registry.put(3)
    running.mirror.before["apply"] = OSError(28, "No space left on device")
    assert not running.tick(0.1)
    assert {token(1), token(3)} == running.snapshot().bodies("court").keys(), "published all the same"
    running.registry.withdraw(3)
    assert running.tick(0.1)
    assert {token(1)} == running.snapshot().bodies("court").keys()


def test_a_mirror_that_is_lost_is_built_from_the_repository(running):
    running.registry.put(3)
    running.tick(0.1)
    base = running.snapshot().manifests["court"].base
    running.replica = MemoryReplicaWriter(running.clock)
    running.crash()
    running.registry.withdraw(1)
    settle(running)
    found = running.snapshot()
    assert {token(3)} == found.bodies("court").keys()
    assert base == found.manifests["court"].base


def test_a_mirror_of_another_state_is_built_anew(running):
    other = running.replica
    running.registry.put(3)
    running.tick(0.1)
    held = running.replica.held()
    assert held is not None
    running.replica = MemoryReplicaWriter(running.clock)
    running.start()
    running.clock.advance(10)
    running.look()
    stray = running.replica
    stray._installed = other.installed
    running.mirror.instead["held"] = lambda: held
    running.registry.put(4)
    settle(running)
    assert {token(1), token(3), token(4)} == running.snapshot().bodies("court").keys()


def test_a_repository_that_is_lost_is_begun_anew_above_what_the_store_holds(running):
    import shutil

    running.registry.put(3)
    running.tick(0.1)
    before = running.snapshot()
    shutil.rmtree(running.folder / "publisher")
    running.clock.set_wall(-100)
    running.crash()
    settle(running)
    after = running.snapshot()
    assert before.version < after.version
    assert before.serial < after.serial
    assert {token(1), token(3)} == after.bodies("court").keys()


def test_a_repository_from_a_backup_is_begun_anew_above_what_the_store_holds(running):
    import shutil

    shutil.copytree(running.folder / "publisher", running.folder / "backup")
    for number in range(3, 8):
        running.registry.put(number)
        running.tick(0.1)
    before = running.snapshot()
    shutil.rmtree(running.folder / "publisher")
    shutil.move(running.folder / "backup", running.folder / "publisher")
    running.clock.set_wall(-100)
    running.crash()
    settle(running)
    after = running.snapshot()
    assert before.version < after.version
    assert {token(number) for number in (1, 3, 4, 5, 6, 7)} == after.bodies("court").keys()
    assert after.manifests["bikes"].version > before.version


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_repository_that_lost_a_base_is_begun_anew(running, harm):
    base = running.snapshot().manifests["court"].base
    path = running.repository.path(base.target)
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    running.crash()
    running.replica = MemoryReplicaWriter(running.clock)
    settle(running)
    found = running.snapshot()
    assert {token(1)} == found.bodies("court").keys()
    assert base != found.manifests["court"].base


def test_a_repository_whose_base_was_changed_on_the_disk_is_found_out_when_the_mirror_is_built(running):
    base = running.snapshot().manifests["court"].base
    path = running.repository.path(base.target)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    running.replica = MemoryReplicaWriter(running.clock)
    running.crash()
    settle(running)
    found = running.snapshot()
    assert {token(1)} == found.bodies("court").keys()
    assert base != found.manifests["court"].base
