"""Shedding: the pressure of one loop, and how many calls a turn begins."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import Overloaded
from portcullis.gateway.transport.shedding import MOST_A_TURN, TURN_S, Backlog, Pressure, Room


class Call(NamedTuple):
    left_s: float | None

    def time_remaining(self) -> float | None:
        return self.left_s


def turn(room: Room, calls: int, took_s: float) -> int:
    room.open(100.0)
    taken = room.take(calls)
    room.close(100.0 + took_s)
    return taken


def test_a_loop_that_is_hardly_late_is_not_behind() -> None:
    pressure = Pressure()
    pressure.measured(0.004)

    assert 0.0 == pressure.behind_s


def test_a_call_whose_deadline_is_nearer_than_the_loop_is_behind_is_not_begun() -> None:
    pressure = Pressure()
    pressure.measured(0.5)

    with pytest.raises(Overloaded):
        pressure.demand_time(Call(0.4))
    pressure.demand_time(Call(0.6))
    pressure.demand_time(Call(None))


def test_a_rise_is_believed_at_once_and_a_fall_by_half_each_time() -> None:
    pressure = Pressure()
    seen = []
    for late_s in (0.4, 0.0, 0.0, 0.3, 0.0):
        pressure.measured(late_s)
        seen.append(pressure.behind_s)

    assert [0.4, 0.2, 0.1, 0.3, 0.15] == seen


def test_pressure_ends_some_moments_after_its_cause() -> None:
    pressure = Pressure()
    pressure.measured(10.0)
    for _ in range(12):
        pressure.measured(0.0)

    assert 0.0 == pressure.behind_s


def test_a_turn_begins_fewer_after_slow_ones_and_more_after_others() -> None:
    room = Room()
    slow = [turn(room, 5_000, 2 * TURN_S) for _ in range(3)]
    swift = [turn(room, 5_000, TURN_S / 2) for _ in range(3)]

    assert [MOST_A_TURN, MOST_A_TURN // 2, MOST_A_TURN // 4] == slow
    assert [MOST_A_TURN // 8, MOST_A_TURN // 4, MOST_A_TURN // 2] == swift


def test_one_slow_turn_refuses_nothing_of_a_usual_burst() -> None:
    room = Room()
    turn(room, 3, 1.0)

    assert 128 == turn(room, 128, 0.001)


def test_several_arrivals_of_one_turn_share_its_room() -> None:
    room = Room()
    room.open(1.0)

    assert [1000, MOST_A_TURN - 1000, 0] == [room.take(1000), room.take(1000), room.take(1000)]


def test_after_a_quiet_while_all_is_forgotten() -> None:
    room = Room()
    for _ in range(20):
        turn(room, 1000, 1.0)
    room.forget()

    assert MOST_A_TURN == turn(room, 5_000, 0.001)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0, 1))))
def test_a_turn_always_has_room_for_one_and_never_for_more_than_the_most(turns: list[tuple[int, float]]) -> None:
    room = Room()
    for calls, took_s in turns:
        assert min(calls, 1) <= turn(room, calls, took_s) <= min(calls, MOST_A_TURN)


def waiting(call_id: int, remaining_s: float | None = None) -> tuple[object, ...]:
    """A call as the library hands it over: kind, id, method, payload, something, and details with the deadline."""
    return (0, call_id, 3, b"body", None, ((("a", "b"),), "peer", remaining_s))


def test_those_who_wait_are_taken_in_the_order_in_which_they_came() -> None:
    backlog = Backlog(10)
    assert all(backlog.add(waiting(each), 0.0) for each in (7, 3, 5))
    assert [7, 3] == [each[1] for each in backlog.take(2, 0.0)]
    assert [5] == [each[1] for each in backlog.take(2, 0.0)]
    assert 0 == len(backlog)


def test_only_so_many_wait() -> None:
    backlog = Backlog(2)
    assert [True, True, False] == [backlog.add(waiting(each), 0.0) for each in range(3)]
    backlog.take(1, 0.0)
    assert backlog.add(waiting(9), 0.0)


def test_a_call_that_was_given_up_waits_no_more() -> None:
    backlog = Backlog(2)
    backlog.add(waiting(1), 0.0)
    assert backlog.drop(1)
    assert not backlog.drop(1)
    assert [] == backlog.take(5, 0.0)


def test_a_deadline_is_nearer_by_how_long_a_call_waited() -> None:
    backlog = Backlog(3)
    for call_id, remaining_s in ((1, 0.5), (2, 0.1), (3, None)):
        backlog.add(waiting(call_id, remaining_s), 100.0)
    assert [0.25, 0.0, None] == [details[2] for *_, details in backlog.take(3, 100.25)]
