"""The host's clock: what follows the wall clock, and what a jump of it can't move."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from portcullis.adapters.clock import SystemClock, boot_id
from portcullis.adapters.lmdb import LmdbReplica, LmdbReplicaWriter
from tests.support.distribution import edition
from tests.support.policies import NOW
from tests.support.raw_clocks import Host

NOON = float(NOW)
HOUR = 3600.0
DAY = 24 * HOUR
JUMPS = pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR, 30.0, -30.0, 40 * 365 * DAY])


def test_wall_time_is_the_hosts() -> None:
    clock = SystemClock()
    for _ in range(3):
        assert abs(time.time() - clock.now()) < 0.1
        time.sleep(0.3)
    assert 0.0 == clock.ahead_s


def test_monotonic_time_is_one_for_every_clock_and_never_goes_back() -> None:
    readings = [clock.monotonic() for clock in (SystemClock(), SystemClock()) for _ in range(3)]
    assert sorted(readings) == readings


def test_real_time_passes() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    for seconds in (0.001, 0.3, 5.0, HOUR, 400 * DAY):
        host.wait(seconds)
        assert host.wall_s == pytest.approx(clock.now(), abs=1e-6)


def test_time_goes_on_through_a_suspend() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    host.suspend(2 * HOUR)
    host.wait(0.3)
    assert NOON + 2 * HOUR + 0.3 == pytest.approx(clock.now())
    assert 0.0 == clock.ahead_s


@JUMPS
def test_a_jump_changes_nothing_and_its_repair_neither(jump: float) -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    host.set_wall(jump)
    for second in range(1, 300):
        host.wait(1.0)
        assert NOON + second == pytest.approx(clock.now())
    assert jump == pytest.approx(clock.ahead_s)
    host.set_wall(-jump)
    host.wait(1.0)
    assert NOON + 300 == pytest.approx(clock.now())
    assert 0.0 == clock.ahead_s


@JUMPS
def test_a_jump_is_logged_once(jump: float) -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    with structlog.testing.capture_logs() as logs:
        host.set_wall(jump)
        for _ in range(20):
            host.wait(0.3)
            clock.now()
    assert [("warning", round(jump, 1))] == [(each["log_level"], each["seconds"]) for each in logs]


@JUMPS
def test_a_jump_that_the_publisher_bears_witness_to_is_adopted(jump: float) -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    host.set_wall(jump)
    host.wait(1.0)
    clock.now()
    with structlog.testing.capture_logs() as logs:
        clock.hear(host.wall_s - 2.0, host.boot_s)
    assert host.wall_s == pytest.approx(clock.now())
    assert 0.0 == clock.ahead_s
    assert [True] == [each["witnessed"] for each in logs]


@JUMPS
def test_a_jump_that_the_publisher_contradicts_is_never_adopted(jump: float) -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    host.set_wall(jump)
    for hour in range(1, 72):
        host.wait(HOUR)
        clock.hear(NOON + hour * HOUR - 2.0, host.boot_s)
        assert NOON + hour * HOUR == pytest.approx(clock.now())


def test_a_jump_that_nobody_contradicts_is_adopted_after_a_day() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    host.set_wall(-2 * HOUR)
    host.wait(0.3)
    clock.now()
    host.wait(DAY - 60)
    assert host.wall_s + 2 * HOUR == pytest.approx(clock.now())
    host.wait(120)
    assert host.wall_s == pytest.approx(clock.now())


def test_a_clock_that_goes_on_jumping_begins_its_day_anew() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    for hour in range(1, 72):
        host.set_wall(2 * HOUR)
        host.wait(HOUR)
        assert NOON + hour * HOUR == pytest.approx(clock.now())


def test_a_witness_of_a_third_time_moves_nothing_and_is_logged_once() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    with structlog.testing.capture_logs() as logs:
        for second in range(1, 10):
            host.wait(1.0)
            clock.hear(host.wall_s + 5 * HOUR, host.boot_s)
            assert NOON + second == pytest.approx(clock.now())
    assert [5 * HOUR] == [each["seconds"] for each in logs]


def test_a_host_that_started_with_a_wrong_clock_is_right_once_it_is_set() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    right = host.wall_s + 2 * HOUR
    clock.hear(right, host.boot_s)
    assert host.wall_s == pytest.approx(clock.now())
    host.set_wall(2 * HOUR)
    host.wait(0.3)
    clock.hear(right, host.boot_s)
    assert host.wall_s == pytest.approx(clock.now())


@pytest.mark.parametrize("step", [1.0, -1.0, 4.9, -4.9, 0.02])
def test_a_small_correction_is_followed_at_once(step: float) -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    host.set_wall(step)
    host.wait(0.26)
    assert host.wall_s == pytest.approx(clock.now())
    assert 0.0 == clock.ahead_s


def test_a_slewed_clock_is_followed_for_ever() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    for _ in range(1000):
        host.wait(100.0)
        host.set_wall(0.04)
        assert host.wall_s == pytest.approx(clock.now())


@given(st.lists(st.floats(-5.0, 5.0), min_size=50, max_size=200), st.floats(0.3, 60.0))
def test_small_steps_never_add_up_to_a_large_one(steps: list[float], every_s: float) -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    for number, step in enumerate(steps, start=1):
        host.set_wall(step)
        host.wait(every_s)
        elapsed = number * every_s
        assert abs(clock.now() - (NOON + elapsed)) <= 5.0 + 500e-6 * elapsed + 0.02


def test_a_jump_soon_after_the_boot_is_the_clock_being_set() -> None:
    host = Host(up_s=30.0)
    clock = SystemClock(host.clocks)
    host.set_wall(50 * 365 * DAY)
    host.wait(0.3)
    with structlog.testing.capture_logs() as logs:
        assert host.wall_s == pytest.approx(clock.now())
    assert ["a jump of the host's clock is adopted"] == [each["event"] for each in logs]


@pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR])
def test_a_process_that_starts_after_a_jump_carries_on_from_the_others(jump: float) -> None:
    host = Host()
    older = SystemClock(host.clocks)
    host.set_wall(jump)
    host.wait(60.0)
    younger = SystemClock(host.clocks)
    younger.align(older.now(), older.monotonic())
    assert older.now() == pytest.approx(younger.now())
    assert jump == pytest.approx(younger.ahead_s)
    host.set_wall(-jump)
    host.wait(1.0)
    assert host.wall_s == pytest.approx(younger.now())


@pytest.mark.parametrize("jump", [2 * HOUR, -2 * HOUR])
def test_the_note_beside_the_replica_keeps_the_processes_of_a_boot_on_one_time(tmp_path: Path, jump: float) -> None:
    host = Host()
    first = SystemClock(host.clocks)
    writer = LmdbReplicaWriter(tmp_path / "replica", first, boot="this boot")
    writer.install(edition(1), [])
    host.set_wall(jump)
    host.wait(60.0)
    writer.vouch(1, 0.0)
    writer.close()

    def started_again(boot: str) -> list[float]:
        """Give the times of a worker and a follower that start now, as seconds since noon."""
        worker, follower = SystemClock(host.clocks), SystemClock(host.clocks)
        LmdbReplica(tmp_path / "replica", worker, boot=boot)
        LmdbReplicaWriter(tmp_path / "replica", follower, boot=boot).close()
        return [worker.now() - NOON, follower.now() - NOON]

    assert [60.0, 60.0] == pytest.approx(started_again("this boot"))
    assert [60.0 + jump] * 2 == pytest.approx(started_again("another boot"))
    assert [60.0 + jump] * 2 == pytest.approx(started_again(""))


def test_processes_that_differ_by_less_than_a_step_are_left_alone() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    clock.align(host.wall_s + 3.0, host.boot_s)
    assert host.wall_s == pytest.approx(clock.now())


@pytest.mark.parametrize("nonsense", [math.inf, -math.inf, math.nan])
def test_nonsense_moves_nothing(nonsense: float) -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    clock.hear(nonsense, host.boot_s)
    clock.align(nonsense, host.boot_s)
    host.wait(1.0)
    assert host.wall_s == pytest.approx(clock.now())


def test_a_reading_that_was_interrupted_is_no_step() -> None:
    host = Host()
    clock = SystemClock(host.clocks)

    def interrupted() -> float:
        host.wait(0.5)
        return host.boot_s

    clock._clocks = host.clocks._replace(boot=interrupted)
    for _ in range(5):
        host.wait(1.0)
        now = clock.now()
        assert host.wall_s == pytest.approx(now)
    assert (0.0, 5.0) == (clock.ahead_s, clock._allowance)


def test_any_thread_may_ask_while_the_clock_is_set() -> None:
    host = Host()
    clock = SystemClock(host.clocks)
    wrong: list[float] = []

    def ask() -> None:
        for _ in range(2000):
            now = clock.now()
            if abs(now - NOON) > 60:
                wrong.append(now)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        host.set_wall(2 * HOUR * (-1) ** turn)
        host.wait(0.3)
        clock.hear(NOON, host.boot_s)
    for thread in threads:
        thread.join()
    assert [] == wrong


def test_a_boot_has_one_name() -> None:
    assert boot_id() == boot_id()


def test_a_host_that_does_not_tell_its_boot_has_no_name(tmp_path) -> None:
    assert "" == boot_id(tmp_path / "absent")
