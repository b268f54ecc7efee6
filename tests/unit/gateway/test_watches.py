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


def test_two_canaries_at_two_workers_stop_as_two_at_one_do() -> None:
    clock, board = HandClock(), MemoryAlarmBoard()
    one, two = watches(clock), watches(clock)
    one.of("shop").canary([b"one"])
    board.put(one.raised)
    two.of("shop")
    two.hear(board.look())
    two.of("shop").canary([b"one"])
    assert Level.SLOWED is two.of("shop").level
    two.of("shop").canary([b"other"])
    assert Level.STOPPED is two.of("shop").level


@pytest.mark.parametrize(("age_s", "level"), [(0.0, Level.STOPPED), (80_000.0, Level.SLOWED)])
def test_a_canary_that_another_worker_told_of_is_as_old_here_as_there(age_s: float, level: Level) -> None:
    clock = HandClock()
    made = watches(clock)
    now = clock.now()
    alarm = Alarm(
        partner="shop",
        level="slowed",
        signs=("canary",),
        raised_at=now,
        until=now + 900,
        gateway="other",
        probes=1,
        canaries=((b"one".hex(), now - age_s),),
    )
    made.of("shop")
    made.hear(Board((alarm,)))
    clock.advance(10_000)
    made.of("shop").canary([b"other"])
    assert level is made.of("shop").level


def test_a_stop_that_another_worker_raised_begins_suspicion_anew_here_too() -> None:
    clock, board = HandClock(), MemoryAlarmBoard()
    one, two = watches(clock), watches(clock)
    two.of("shop").canary([b"one"])
    one.of("shop").canary([b"other", b"third"])
    board.put(one.raised)
    two.hear(board.look())
    clock.advance(held_for(two))
    two.of("shop").canary([b"fourth"])
    assert Level.SLOWED is two.of("shop").level


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


def test_a_slowed_partner_gets_no_more_by_batches() -> None:
    clock = HandClock()
    gates = Gates(clock.monotonic, clock.now)
    gates.follow(policy())
    gate = gates.of("shop")
    gate.canary([b"one"])
    answered = 0
    for _ in range(1_000):
        clock.advance(0.1)
        try:
            gate.take()
        except ProbingSuspected:
            continue
        gate.more_checks(99)
        answered += 100
    assert 1_000 == answered


def test_what_a_slowed_partner_owes_is_forgotten_when_it_is_released() -> None:
    clock = HandClock()
    made, board = watches(clock), MemoryAlarmBoard()
    watch = made.of("shop")
    watch.canary([b"one"])
    watch.take()
    watch.owe(1_000)
    board.release("shop", by="olga", at=clock.now(), why="known")
    made.hear(board.look())
    clock.advance(60)
    watch.canary([b"one"])
    watch.take()


def test_an_accident_with_a_canary_is_over_a_quarter_of_an_hour_later_however_much_is_asked() -> None:
    clock = HandClock()
    made = watches(clock)
    watch = made.of("shop")
    watch.canary([b"one"])
    for number in range(16):
        clock.advance(60)
        watch.study([("passport", f"XA{place * 7_919_333 + number:09}", bytes([number, place])) for place in range(64)])
    watch.take(1_000)
    assert (1, Level.NORMAL) == (len(made.raised), watch.level)


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


def stopped_elsewhere(clock: HandClock) -> tuple[Watches, MemoryAlarmBoard]:
    """Give another worker's watches, one of which has stopped its partner, and the board on which the alarm is."""
    there, board = watches(clock), MemoryAlarmBoard()
    there.of("shop").canary([b"one", b"other"])
    board.put(there.raised)
    return there, board


def test_another_workers_alarm_holds_here_and_a_release_ends_it() -> None:
    clock = HandClock()
    here, (there, board) = watches(clock), stopped_elsewhere(clock)
    here.hear(board.look())
    assert 900.0 == pytest.approx(held_for(here))

    board.release("shop", by="olga", at=clock.now(), why="known")
    for each in (here, there):
        each.hear(board.look())
        each.of("shop").take()


def test_a_worker_that_begins_later_knows_what_holds() -> None:
    clock = HandClock()
    later, (_, board) = watches(clock), stopped_elsewhere(clock)
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


def test_an_alarm_that_was_heard_ends_the_lease() -> None:
    clock = HandClock()
    here, there = Gates(clock.monotonic, clock.now), watches(clock)
    here.follow(policy())
    gate = here.of("shop")
    gate.take()
    there.of("shop").canary([b"one", b"other"])
    here.watches.hear(Board(tuple(there.raised)))
    with pytest.raises(ProbingSuspected):
        gate.take()
    assert 1 == gate.checks_asked


def test_identifiers_that_cannot_be_are_studied_without_any_that_can() -> None:
    clock = HandClock()
    gates = Gates(clock.monotonic, clock.now)
    gates.follow(policy())
    gate = gates.of("shop")
    for _ in range(64 * 6):
        gate.miswritten()
    with pytest.raises(ProbingSuspected):
        gate.take()


def test_a_release_counts_where_the_board_has_lost_the_former() -> None:
    clock = HandClock()
    made, board = watches(clock), MemoryAlarmBoard()
    made.of("shop")
    board.release("shop", by="olga", at=clock.now(), why="first")
    made.hear(board.look())
    made.of("shop").canary([b"one", b"other"])

    clock.advance(60)
    anew = MemoryAlarmBoard()
    made.hear(anew.look())
    assert Level.STOPPED is made.of("shop").level
    anew.release("shop", by="olga", at=clock.now(), why="second")
    made.hear(anew.look())
    made.of("shop").take()


def test_only_what_still_holds_and_is_not_up_is_put_up_again() -> None:
    clock = HandClock()
    here, (there, board) = watches(clock), stopped_elsewhere(clock)
    here.of("shop")
    here.hear(board.look())
    assert [] == here.lacking(board.look())
    assert there.raised == here.lacking(Board()) == there.lacking(Board())

    board.release("shop", by="olga", at=clock.now(), why="known")
    assert [] == here.lacking(board.look())
    here.hear(board.look())
    assert [] == here.lacking(Board())
    clock.advance(901)
    assert [] == there.lacking(Board())


class Flaky(MemoryAlarmBoard):
    """A board that can be away."""

    away = False

    def look(self) -> Board:
        if self.away:
            raise StoreUnavailable("away")
        return super().look()

    def lose_all(self) -> None:
        self._alarms, self._releases = {}, {}


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


async def test_an_alarm_that_the_board_has_lost_is_put_up_again() -> None:
    clock, board = HandClock(), Flaky()
    here, there = watches(clock), watches(clock)
    there.of("shop").canary([b"one", b"other"])
    here.of("shop")
    async with looking_at_alarms(there, board, AlarmMetrics(CollectorRegistry(), map(str, Sign))):
        await until(lambda: board.look().alarms)
        here.hear(board.look())
        board.lose_all()
        await until(lambda: board.look().alarms)
    # One who has only heard of it does so too.
    board.lose_all()
    async with looking_at_alarms(here, board, AlarmMetrics(CollectorRegistry(), map(str, Sign))):
        await until(lambda: board.look().alarms)
    assert ["stopped"] == [each.level for each in board.look().holding(clock.now())]


def test_an_alarm_names_no_number() -> None:
    made = watches(HandClock())
    watch = made.of("shop")
    for number in range(6):
        watch.study([("phone", f"+4477009000{place:02d}", bytes([number, place])) for place in range(64)])
    assert made.raised
    assert all(isinstance(each, Alarm) and "44770" not in repr(each) for each in made.raised)
