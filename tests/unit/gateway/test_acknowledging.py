"""Acknowledging: a host says what it serves when that changes and every ten seconds, whatever becomes of the store."""

from __future__ import annotations

import threading
from functools import partial

import msgspec
import pytest
import structlog

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.replica import MemoryReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain.editions import Edition
from portcullis.domain.errors import StoreUnavailable
from portcullis.gateway.follower import Follower
from portcullis.gateway.following.acknowledging import Acknowledger
from portcullis.ports import Acknowledgement
from tests.support.clocks import HandClock
from tests.support.dict_snapshots import DictPublisher, DictSnapshots
from tests.support.distribution import COURT, FollowerTally
from tests.support.policies import NOW
from tests.support.processes import wait_for
from tests.support.token_rings import FIRST, SECOND, Ring


class Store:
    """A store that can be away."""

    def __init__(self) -> None:
        self.said: list[Acknowledgement] = []
        self.fault: Exception | None = None
        self.tries = 0

    def acknowledge(self, said: Acknowledgement) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        self.said.append(said)

    def acknowledged(self) -> list[Acknowledgement]:
        return self.said


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def acknowledger(store: Store, clock: HandClock) -> Acknowledger:
    return Acknowledger(store, host="gateway-1", clock=clock)


@pytest.fixture(scope="module")
def some_edition() -> Edition:
    snapshots, clock = DictSnapshots(), HandClock()
    publisher = DictPublisher(snapshots, clock, (COURT,))
    publisher.publish(5)
    writer = MemoryReplicaWriter(clock)
    follower = Follower(
        store=MemorySnapshotStore(),
        trusted=snapshots,
        replica=writer,
        clock=clock,
        counts=FollowerTally(),
        follow_interval_s=0.5,
    )
    follower.look()
    held = writer.held()
    assert held is not None
    return held


def at_version(edition: Edition, version: int) -> Edition:
    return msgspec.structs.replace(edition, version=version, registry_seq=version * 10)


def test_nothing_is_said_before_anything_is_held(acknowledger: Acknowledger, store: Store) -> None:
    acknowledger.say_if_due()
    assert 0 == store.tries


def test_a_new_version_is_said_at_once_and_one_that_stays_every_ten_seconds(
    acknowledger: Acknowledger, store: Store, clock: HandClock, some_edition: Edition
) -> None:
    for version, seconds in ((5, 0.0), (5, 9.9), (6, 0.0), (6, 9.9), (6, 0.1), (6, 10.0)):
        clock.advance(seconds)
        acknowledger.note(at_version(some_edition, version))
        acknowledger.say_if_due()
    expected = [("gateway-1", 5, 50, NOW), ("gateway-1", 6, 60, NOW + 9.9)]
    expected += [("gateway-1", 6, 60, NOW + 19.9), ("gateway-1", 6, 60, NOW + 29.9)]
    assert expected == [(each.host, each.version, each.registry_seq, pytest.approx(each.at)) for each in store.said]


def test_no_change_is_acknowledged_while_a_list_stands_still(
    acknowledger: Acknowledger, store: Store, some_edition: Edition
) -> None:
    stalled = tuple(msgspec.structs.replace(each, stalled_at=float(NOW)) for each in some_edition.lists)
    for version, lists in ((4, stalled), (5, some_edition.lists), (6, stalled), (7, some_edition.lists)):
        acknowledger.note(msgspec.structs.replace(at_version(some_edition, version), lists=lists))
        acknowledger.say_if_due()
    assert [(4, 0), (5, 50), (6, 50), (7, 70)] == [(each.version, each.registry_seq) for each in store.said]


@pytest.mark.parametrize("fault", [StoreUnavailable("it is away"), ValueError("of a person")])
def test_what_could_not_be_said_is_said_again_a_second_later_and_logged_once(
    acknowledger: Acknowledger, store: Store, clock: HandClock, some_edition: Edition, fault: Exception
) -> None:
    store.fault = fault
    with structlog.testing.capture_logs() as logs:
        for version in (5, 5, 6):
            acknowledger.note(at_version(some_edition, version))
            acknowledger.say_if_due()
            acknowledger.say_if_due()
            clock.advance(1.0)
        assert 3 == store.tries
        store.fault = None
        acknowledger.say_if_due()
        clock.advance(10.0)
        acknowledger.say_if_due()
    assert [6, 6] == [each.version for each in store.said]
    assert ["warning", "info"] == [each["log_level"] for each in logs]
    assert "of a person" not in str(logs)


def test_it_says_what_is_noted_while_it_runs_until_it_is_told_to_stop(some_edition: Edition) -> None:
    store, stop = MemorySnapshotStore(), threading.Event()
    acknowledger = Acknowledger(store, host="gateway-1", clock=SystemClock())
    thread = threading.Thread(target=acknowledger.run, args=(stop,), daemon=True)
    thread.start()

    def says(version: int) -> bool:
        return [version] == [each.version for each in store.acknowledged()]

    for version in (5, 6):
        acknowledger.note(at_version(some_edition, version))
        wait_for(partial(says, version), what="a new version being said")
    stop.set()
    thread.join(5.0)
    assert not thread.is_alive()


def test_the_token_keys_that_are_here_are_said_and_a_new_one_at_once(
    store: Store, clock: HandClock, some_edition: Edition
) -> None:
    ring = Ring(FIRST)
    acknowledger = Acknowledger(store, host="gateway-1", clock=clock, token_keys=ring)
    acknowledger.note(some_edition)
    acknowledger.say_if_due()
    acknowledger.say_if_due()
    ring.keys[2] = SECOND
    acknowledger.say_if_due()
    assert [(FIRST.fingerprint,), (SECOND.fingerprint, FIRST.fingerprint)] == [each.token_keys for each in store.said]
