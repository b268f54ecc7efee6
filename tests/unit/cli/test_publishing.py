from __future__ import annotations

from pathlib import Path

import pytest

from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.config import Settings
from portcullis.domain.errors import Unavailable
from portcullis.domain.metadata import TIMESTAMP_FILE, decode_timestamp
from portcullis.domain.policies import Policy
from portcullis.domain.tokens import Tokeniser
from portcullis.mains.publishing import WAIT_S, publish_once, publisher_state
from portcullis.publisher.service import Publisher
from portcullis.publisher.state import StateFile
from portcullis.registry.policy_files import load_policy
from tests.support.command_homes import write_policy


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1_780_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


class NoCounts:
    """Counts nothing."""

    def published(self, version: int, seconds: float) -> None: ...

    def failed(self, reason: str) -> None: ...


class World:
    """A registry, a store and a clock, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.registry = MemoryRegistry(tokeniser=Tokeniser(b"k" * 32), clock=self.clock)
        self.registry.apply_policy(load_policy(write_policy(folder / "policy")), actor="test")
        self.store = MemorySnapshotStore()
        self.settings = Settings(home=folder)

    def publisher(self) -> Publisher:
        return Publisher(
            registry=self.registry,
            store=self.store,
            state=StateFile(self.folder / "of-the-running-one.json"),
            clock=self.clock,
            counts=NoCounts(),
            publish_interval_s=0.1,
        )

    def version(self) -> int:
        return decode_timestamp(self.store.read_metadata(TIMESTAMP_FILE)).version

    def publish(self, sleep: object = None) -> int:
        return publish_once(
            self.settings,
            registry=self.registry,
            store=self.store,
            clock=self.clock,
            sleep=sleep or self.clock.sleep,  # type: ignore[arg-type]
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_where_nobody_publishes_the_command_does(world: World) -> None:
    first = world.publish()
    world.clock.sleep(60)
    again = world.publish()
    world.registry.apply_policy(Policy(), actor="test")
    world.clock.sleep(60)
    changed = world.publish()

    assert first == again < changed
    assert world.version() == changed
    assert publisher_state(world.settings).load().version == changed


def test_a_running_publisher_is_waited_for_and_not_crossed(world: World) -> None:
    running = world.publisher()
    assert running.look()
    before = world.version()
    world.registry.apply_policy(Policy(), actor="test")

    def sleep(seconds: float) -> None:
        world.clock.sleep(seconds)
        assert running.look()

    assert before < world.publish(sleep) == world.version()
    assert not publisher_state(world.settings).file.exists()


def test_what_a_running_publisher_has_published_needs_no_waiting(world: World) -> None:
    assert world.publisher().look()

    def sleep(_seconds: float) -> None:
        raise AssertionError

    assert world.version() == world.publish(sleep)


def test_a_running_publisher_that_does_not_publish_is_told(world: World) -> None:
    assert world.publisher().look()
    world.registry.apply_policy(Policy(), actor="test")
    begun = world.clock.at

    with pytest.raises(Unavailable, match="look at its log"):
        world.publish()

    assert world.clock.at - begun >= WAIT_S
