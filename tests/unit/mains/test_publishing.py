"""Publishing once, beside or instead of a running publisher."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.memory.replica import MemoryReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.config import Settings
from portcullis.domain.errors import SetupFault, Unavailable
from portcullis.domain.policies import Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.mains.publishing import WAIT_S, open_publisher, publish_once
from portcullis.publisher.service import Publisher
from portcullis.registry.policy_files import load_policy
from tests.support.clocks import HandClock
from tests.support.command_homes import write_policy
from tests.support.distribution import PublisherTally
from tests.support.publishers import ReadSnapshot
from tests.support.signed_snapshots import make_keys


class World:
    """A registry, a store, keys and a clock; ``running`` is a publisher of another host with the same keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.registry = MemoryRegistry(tokeniser=Tokeniser(b"k" * 32), clock=self.clock)
        self.registry.apply_policy(load_policy(write_policy(folder / "policy")), actor="test")
        self.store = MemorySnapshotStore(monotonic=self.clock.monotonic)
        self.settings = Settings(home=folder / "home")
        self.settings.home.mkdir()
        make_keys(self.settings.keys_path / "trust", clock=self.clock)

    def running(self) -> Publisher:
        folder = self.folder / "running"
        folder.mkdir()
        return Publisher(
            registry=self.registry,
            store=self.store,
            repository=TufRepository(folder, KeyDirectory(self.settings.keys_path / "trust"), self.clock),
            mirror=MemoryReplicaWriter(self.clock),
            clock=self.clock,
            counts=PublisherTally(),
            publish_interval_s=0.1,
            folder=folder,
        )

    def version(self) -> int:
        return ReadSnapshot(self.store).version

    def publish(self, sleep: Callable[[float], None] | None = None) -> int:
        return publish_once(
            self.settings,
            registry=self.registry,
            store=self.store,
            clock=self.clock,
            sleep=sleep or self.clock.advance,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_where_nobody_publishes_the_command_does(world: World) -> None:
    first = world.publish()
    world.clock.advance(60)
    again = world.publish()
    world.registry.apply_policy(Policy(), actor="test")
    world.clock.advance(60)
    changed = world.publish()

    assert first == again < changed
    assert world.version() == changed
    assert world.registry.head() == ReadSnapshot(world.store).head.registry_seq


def test_the_command_gives_the_lease_back(world: World) -> None:
    world.publish()
    assert world.store.lease("another", 1.0)


def test_a_running_publisher_is_waited_for_and_not_crossed(world: World) -> None:
    running = world.running()
    assert running.look()
    before = world.version()
    world.registry.apply_policy(Policy(), actor="test")

    def sleep(seconds: float) -> None:
        world.clock.advance(seconds)
        assert running.look()

    assert before < world.publish(sleep) == world.version()
    assert not (world.settings.home / "publisher").exists()


def test_what_a_running_publisher_has_published_needs_no_waiting(world: World) -> None:
    assert world.running().look()

    def sleep(_seconds: float) -> None:
        raise AssertionError

    assert world.version() == world.publish(sleep)


def test_a_running_publisher_that_does_not_publish_is_told(world: World) -> None:
    running = world.running()
    assert running.look()
    world.registry.apply_policy(Policy(), actor="test")
    begun = world.clock.monotonic()

    def sleep(seconds: float) -> None:
        world.clock.advance(100 * seconds)
        world.store.lease(running._lease.holder, 3.0)

    with pytest.raises(Unavailable, match="look at its log"):
        world.publish(sleep)

    assert world.clock.monotonic() - begun >= WAIT_S


def test_a_publisher_that_died_is_waited_out_and_then_the_command_publishes(world: World) -> None:
    assert world.running().look()
    before = world.version()
    world.registry.apply_policy(Policy(), actor="test")
    assert before < world.publish() == world.version()


def test_what_can_not_be_published_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TufRepository, "sign", _refuse)
    with pytest.raises(Unavailable, match="nothing was published"):
        world.publish()
    assert world.store.lease("another", 1.0)


def _refuse(*_given: object, **_named: object) -> None:
    raise OSError(28, "No space left on device")


def test_without_keys_it_says_what_to_do(world: World) -> None:
    for path in (world.settings.keys_path / "trust").glob("*.root.json"):
        path.unlink()
    with pytest.raises(SetupFault):
        world.publish()


def test_a_home_has_one_publisher_at_a_time(world: World) -> None:
    with ExitStack() as stack:
        for attempt in range(2):
            opened = open_publisher(
                world.settings, registry=world.registry, store=world.store, clock=world.clock, counts=PublisherTally()
            )
            if attempt == 0:
                stack.enter_context(opened)
                continue
            with pytest.raises(SetupFault):
                stack.enter_context(opened)
