"""What a worker does about a partner that goes through numbers."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog
from prometheus_client import CollectorRegistry

from portcullis.adapters.memory.alarms import MemoryAlarmBoard
from portcullis.domain.alarms import Alarm, Board
from portcullis.domain.errors import ProbingSuspected, StoreUnavailable
from portcullis.domain.policies import Partner, Policy, Probing
from portcullis.domain.probing import Level, Sign
from portcullis.gateway.quotas.alarm_look import looking_at_alarms
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.watches import Watches
from portcullis.metrics import AlarmMetrics
from tests.support.clocks import HandClock


def policy(probing: Probing = Probing.STRICT) -> Policy:
    return Policy(partners=(Partner(name="shop", title="Shop", agreements=(), probing=probing),))


def watches(clock: HandClock, probing: Probing = Probing.STRICT) -> Watches:
    made = Watches(clock.monotonic, clock.now)
    made.follow(policy(probing))
    return made


def held_for(made: Watches) -> float:
    with pytest.raises(ProbingSuspected) as caught:
        made.of("shop").take()
    assert caught.value.retry_after_s is not None
    return caught.value.retry_after_s


def test_a_stop_ends_by_itself_and_lasts_twice_as_long_when_repeated() -> None:
    clock = HandClock()
    made = watches(clock)
    lengths = []
    for _ in range(9):
        made.of("shop").canary([b"one", b"other"])
        lengths.append(held_for(made))
        clock.advance(lengths[-1])
        made.of("shop").take()
    assert [900.0 * 2**time for time in range(7)] == pytest.approx(lengths[:7])
    assert 86_400.0 == pytest.approx(max(lengths))


def test_a_slowed_partner_is_answered_ten_a_second() -> None:
    clock = HandClock()
    made = watches(clock)
    made.of("shop").canary([b"one"])
    answered = 0
    for _ in range(1_000):
        clock.advance(0.01)
        try:
            made.of("shop").take()
        except ProbingSuspected:
            continue
        answered += 1
    assert 90 <= answered <= 101


def test_who_may_go_through_numbers_is_told_of_and_not_held_back() -> None:
    made = watches(HandClock(), Probing.WATCH)
    made.of("shop").canary([b"one", b"other"])
    made.of("shop").take(1_000)
    (alarm,) = made.raised
    assert ("stopped", True) == (alarm.level, alarm.told_only)


def test_the_line_of_an_alarm_says_what_is_done_about_the_partner() -> None:
    with structlog.testing.capture_logs() as logs:
        watches(HandClock()).of("shop").canary([b"one", b"other"])
    (line,) = logs
    assert ("numbers look gone through", "error", "stopped") == (line["event"], line["log_level"], line["alarm"])
    assert "level" not in line  # which every line has for itself


def test_another_workers_alarm_holds_here_and_a_release_ends_it() -> None:
    clock = HandClock()
    here, there, board = watches(clock), watches(clock), MemoryAlarmBoard()
    there.of("shop").canary([b"one", b"other"])
    board.put(there.raised)
    here.hear(board.look())
    assert 900.0 == pytest.approx(held_for(here))

    board.release("shop", by="olga", at=clock.now(), why="known")
    for each in (here, there):
        each.hear(board.look())
        each.of("shop").take()


def test_a_worker_that_begins_later_knows_what_holds() -> None:
    clock = HandClock()
    there, later, board = watches(clock), watches(clock), MemoryAlarmBoard()
    there.of("shop").canary([b"one", b"other"])
    board.put(there.raised)
    later.hear(board.look())
    assert Level.STOPPED is later.of("shop").level


def test_a_gate_holds_the_lease_back_and_refuses_at_once() -> None:
    clock = HandClock()
    gates = Gates(clock.monotonic, clock.now)
    gates.follow(policy())
    gate = gates.of("shop")
    gate.take()
    gate.canary([b"one", b"other"])
    with pytest.raises(ProbingSuspected):
        gate.take()


def test_identifiers_that_cannot_be_are_studied_without_any_that_can() -> None:
    clock = HandClock()
    gates = Gates(clock.monotonic, clock.now)
    gates.follow(policy())
    gate = gates.of("shop")
    for _ in range(64 * 6):
        gate.miswritten()
    with pytest.raises(ProbingSuspected):
        gate.take()


class Flaky(MemoryAlarmBoard):
    """A board that can be away."""

    away = False

    def look(self) -> Board:
        if self.away:
            raise StoreUnavailable("away")
        return super().look()


async def until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_alarms_and_releases_reach_every_worker_and_wait_for_a_board_that_is_away() -> None:
    clock, board, registry = HandClock(), Flaky(), CollectorRegistry()
    here, there = watches(clock), watches(clock)
    metrics = AlarmMetrics(registry, map(str, Sign))
    here.of("shop")
    async with (
        looking_at_alarms(here, board, metrics),
        looking_at_alarms(there, board, AlarmMetrics(CollectorRegistry(), ())),
    ):
        there.of("shop").canary([b"one", b"other"])
        await until(lambda: here.of("shop").level is Level.STOPPED)
        await until(lambda: registry.get_sample_value("portcullis_alarm_level", {"partner": "shop"}) == Level.STOPPED)

        began = time.monotonic()
        board.release("shop", by="olga", at=clock.now(), why="known")
        await until(lambda: not here.of("shop").level and not there.of("shop").level)
        assert time.monotonic() - began < 2

        board.away = True
        there.of("shop").canary([b"one", b"other"])
        assert Level.STOPPED is there.of("shop").level
        board.away = False
        await until(lambda: here.of("shop").level is Level.STOPPED)


def test_an_alarm_names_no_number() -> None:
    made = watches(HandClock())
    watch = made.of("shop")
    for number in range(6):
        watch.study([("phone", f"+4477009000{place:02d}", bytes([number, place])) for place in range(64)])
    assert made.raised
    assert all(isinstance(each, Alarm) and "44770" not in repr(each) for each in made.raised)
