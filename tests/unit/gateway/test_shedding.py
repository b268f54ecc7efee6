"""Shedding: the pressure of one loop, and how many calls a turn begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import grpc
import pytest
import structlog
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import Overloaded, QuotaExceeded
from portcullis.gateway import by_turns
from portcullis.gateway.messages.statuses import to_status
from portcullis.gateway.transport.shedding import (
    LONGEST_WAIT_S,
    MOST_A_TURN,
    TURN_S,
    Backlog,
    Pressure,
    Room,
    Shedding,
)
from portcullis.gateway.transport.transports import STREAMS
from portcullis.gateway.transport.vital import SMALL_BYTES, VITAL_A_TURN, WAITING_BYTES, VitalCalls


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
    assert all(backlog.add(waiting(each), 0.0, Room()) for each in (7, 3, 5))
    assert [7, 3] == [each[1] for each in backlog.take(2, 0.0)]
    assert [5] == [each[1] for each in backlog.take(2, 0.0)]
    assert 0 == len(backlog)


def test_only_so_many_wait() -> None:
    backlog = Backlog(2)
    assert [True, True, False] == [backlog.add(waiting(each), 0.0, Room()) for each in range(3)]
    backlog.take(1, 0.0)
    assert backlog.add(waiting(9), 0.0, Room())


def paced(calls_a_second: float) -> Room:
    room = Room()
    for _ in range(20):
        turn(room, round(calls_a_second * TURN_S), TURN_S)
    return room


@pytest.mark.parametrize(
    ("remaining_s", "waits"),
    [(None, 1000 * LONGEST_WAIT_S), (30.0, 1000 * LONGEST_WAIT_S), (0.1, 100), (0.0, 1)],
)
def test_a_call_waits_where_it_begins_before_its_deadline_and_soon_enough(remaining_s: float | None, waits: float) -> None:
    room, backlog = paced(1000), Backlog(MOST_A_TURN)
    taken = sum(backlog.add(waiting(each, remaining_s), 0.0, room) for each in range(MOST_A_TURN))
    assert waits == pytest.approx(taken, abs=1)


def test_a_call_alone_waits_however_slow_the_turns_are() -> None:
    assert Backlog(1).add(waiting(1), 0.0, paced(50))


def test_a_room_that_knows_no_pace_lets_everybody_wait() -> None:
    room = paced(1000)
    room.forget()
    backlog = Backlog(MOST_A_TURN)
    assert all(backlog.add(waiting(each), 0.0, room) for each in range(MOST_A_TURN))


def test_the_pace_is_of_the_latest_turns() -> None:
    room = paced(1000)
    for _ in range(20):
        turn(room, 1, TURN_S)
    assert 1 / TURN_S == pytest.approx(room.within(1.0), rel=0.1)


def test_a_turn_that_was_not_full_does_not_begin_more_the_next_time() -> None:
    room = Room()
    for _ in range(3):
        turn(room, MOST_A_TURN, 2 * TURN_S)
    turn(room, 1, TURN_S / 20)
    assert MOST_A_TURN // 8 == turn(room, MOST_A_TURN, TURN_S / 20)


def test_a_call_that_was_given_up_waits_no_more() -> None:
    backlog = Backlog(2)
    backlog.add(waiting(1), 0.0, Room())
    assert backlog.drop(1)
    assert not backlog.drop(1)
    assert [] == backlog.take(5, 0.0)


def test_only_so_many_bytes_wait() -> None:
    backlog = Backlog(100)
    large = (0, 1, 3, bytes(WAITING_BYTES // 2), None, ((), "peer", None))
    taken = [backlog.add((0, number, *large[2:]), 0.0, Room()) for number in range(3)]
    backlog.take(1, 0.0)
    backlog.drop(1)

    assert [True, True, False] == taken
    assert [True, True, False] == [backlog.add((0, number, *large[2:]), 0.0, Room()) for number in (7, 8, 9)]


def test_a_turn_in_which_the_host_paused_hardly_changes_the_pace() -> None:
    room = paced(4000)
    turn(room, round(4000 * TURN_S), 0.5)

    assert room.within(LONGEST_WAIT_S) >= 512


def test_turns_that_stay_slow_are_believed() -> None:
    room = paced(4000)
    for _ in range(30):
        turn(room, 1, 0.1)

    assert pytest.approx(10, rel=0.05) == room.within(1.0)


class Library:
    """What `pygrpc_native.aio.Server` is to the mixin: what it began, and whom it refused."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.failed: list[int] = []
        self._table = [
            *[("/a.Service/Other",)] * 3,
            ("/a.Service/Do",),
            ("/grpc.health.v1.Health/Check",),
            ("/portcullis.v1.CheckService/Check",),
            ("/portcullis.v1.AdminService/ListAlarms",),
        ]
        self._front = self
        self._stopping = False

    def fail(self, call_id: int, *_: object, **__: object) -> None:
        self.failed.append(call_id)

    def _on_events(self, events: list[tuple[object, ...]]) -> None:
        self.begun += [int(str(each[1])) for each in events]


CANCEL = 9


class Shed(Shedding, Library):
    waiting_at_most = 10
    cancel = CANCEL

    def __init__(self) -> None:
        super().__init__()
        self.sheds = 0

    def shed(self) -> None:
        self.sheds += 1


FLOODER = (("authorization", "Bearer x"),)


def rated(number: int) -> tuple[object, ...]:
    """A check of the caller that is turned away."""
    return (0, number, 5, b"", None, (FLOODER, "", None))


class Turning:
    """Turns the calls of one caller away."""

    def __init__(self) -> None:
        self.begun = 0
        self.breaks = False

    def __len__(self) -> int:
        return 1

    def begin(self) -> None:
        self.begun += 1

    def status(self, metadata: Sequence[tuple[str, str | bytes]]) -> grpc.Status | None:
        if self.breaks:
            raise ZeroDivisionError
        return rpc_status.to_status(to_status(QuotaExceeded("checks_per_s", retry_after_s=1.0))) if metadata else None


async def test_who_is_turned_away_takes_no_room_of_a_turn_and_is_not_shed() -> None:
    server = Shed()
    server.turned_away = Turning()
    server._on_events([*(rated(number) for number in range(MOST_A_TURN)), (CANCEL, 7, 5, None, None, (FLOODER, "", None))])
    others = [(0, 5_000 + number, 5, b"", None, ((), "", None)) for number in range(MOST_A_TURN)]
    server._on_events([*others, (0, 9_000, 4, b"", None, (FLOODER, "", None))])

    assert list(range(MOST_A_TURN)) == server.failed
    # What is given up is handed on, whoever began it.
    assert [7, *range(5_000, 5_000 + MOST_A_TURN), 9_000] == server.begun
    assert 0 == server.sheds


async def test_calls_that_come_in_one_turn_are_put_to_one_reckoning() -> None:
    server = Shed()
    server.turned_away = turning = Turning()
    for number in range(3):
        server._on_events([rated(number), waiting(10 + number)])
    assert 1 == turning.begun
    await turned()
    server._on_events([rated(4)])
    assert 2 == turning.begun


async def test_a_look_that_breaks_loses_nobodys_call() -> None:
    server = Shed()
    server.turned_away = turning = Turning()
    turning.breaks = True
    with structlog.testing.capture_logs() as logs:
        server._on_events([rated(1), waiting(2)])
    assert [1, 2] == server.begun
    assert ["ZeroDivisionError"] == [each["type"] for each in logs]


async def test_nobody_is_turned_away_from_a_server_that_stops() -> None:
    server = Shed()
    server.turned_away = Turning()
    server._stopping = True
    server._on_events([rated(1)])
    assert [1] == server.begun


async def turned() -> None:
    """Let the loop go round, so that a turn ends."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_calls_given_up_take_no_room_of_a_turn() -> None:
    server = Shed()
    server._on_events([(CANCEL, number, 3, None, None, ((), "", None)) for number in range(MOST_A_TURN)])
    server._on_events([waiting(number) for number in range(2 * MOST_A_TURN, 2 * MOST_A_TURN + 5)])

    assert MOST_A_TURN + 5 == len(server.begun)
    assert [] == server.failed


async def test_what_finds_no_place_is_refused_and_counted_and_health_is_begun() -> None:
    server = Shed()
    server._on_events([waiting(number) for number in range(MOST_A_TURN + 12)])
    server._on_events([(0, 5_000, 4, b"", None, ((), "", None))])
    refused, begun = list(server.failed), list(server.begun)
    await turned()

    assert [MOST_A_TURN + 10, MOST_A_TURN + 11] == refused
    assert 2 == server.sheds
    assert [*range(MOST_A_TURN), 5_000] == begun
    assert [*range(MOST_A_TURN, MOST_A_TURN + 10)] == server.begun[MOST_A_TURN + 1 :]


def look(number: int, peer: str = "ipv4:192.0.2.1:1", body: bytes = b"") -> tuple[object, ...]:
    """A look at health."""
    return (0, number, 4, body, None, ((), peer, None))


async def test_a_turn_begins_a_few_looks_at_health_and_the_others_wait_for_the_next_turns_and_hold_up_no_check() -> None:
    server = Shed()
    flood, check = range(2 * VITAL_A_TURN + 7), 9_000
    server._on_events([*(look(number) for number in flood), waiting(check)])
    first = list(server.begun)
    await turned()
    second = list(server.begun)
    await turned()

    assert [*flood[:VITAL_A_TURN], check] == first
    assert [*first, *flood[VITAL_A_TURN : 2 * VITAL_A_TURN]] == second
    assert [*second, *flood[2 * VITAL_A_TURN :]] == server.begun
    assert [] == server.failed


async def test_a_look_at_health_does_not_overtake_those_that_wait() -> None:
    server = Shed()
    server._on_events([look(number) for number in range(VITAL_A_TURN + 2)])
    server._on_events([look(5_000)])
    await turned()

    assert [*range(VITAL_A_TURN + 2), 5_000] == server.begun


async def test_looks_that_are_given_up_while_they_wait_are_never_begun() -> None:
    server = Shed()
    server._on_events([look(number) for number in range(VITAL_A_TURN + 3)])
    server._on_events([(CANCEL, VITAL_A_TURN, 4, None, None, ((), "", None))])
    await turned()

    assert [*range(VITAL_A_TURN), VITAL_A_TURN + 1, VITAL_A_TURN + 2] == server.begun
    assert [] == server.failed


async def test_a_flood_of_looks_refuses_nobody_elses_and_a_probe_is_begun_in_the_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(by_turns, "WAITING_AT_MOST", 500)
    server, connections = Shed(), 10
    flood = [look(number, f"ipv4:192.0.2.1:{number % connections}") for number in range(1_000)]
    server._on_events([*flood, look(5_000, "ipv4:192.0.2.2:1")])
    await turned()

    assert 1_000 - VITAL_A_TURN - 500 == len(server.failed)
    assert 5_000 in server.begun[VITAL_A_TURN : VITAL_A_TURN + 2]


async def test_more_looks_wait_than_seventy_connections_to_a_gateway_have_under_way() -> None:
    server = Shed()
    server._on_events([look(number, f"ipv4:192.0.2.1:{number % 70}") for number in range(70 * STREAMS["native"])])

    assert [] == server.failed


async def test_operators_have_places_of_their_own_beside_a_flood_of_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_turns, "WAITING_AT_MOST", 10)
    server = Shed()
    server._on_events([look(number) for number in range(VITAL_A_TURN + 20)])
    administering = range(5_000, 5_000 + VITAL_A_TURN + 10)
    server._on_events([(0, number, 6, b"", None, ((), "ipv4:192.0.2.1:1", None)) for number in administering])
    begun = list(server.begun)
    await turned()

    assert [*range(VITAL_A_TURN), *administering[:VITAL_A_TURN]] == begun
    assert {*administering} <= {*server.begun}


def test_large_requests_that_wait_are_bounded_and_refuse_no_look() -> None:
    calls = VitalCalls()
    large = bytes(WAITING_BYTES // 2)
    taken = [calls.add(look(number, body=large), 0.0) for number in range(3)]
    small = calls.add(look(3, body=bytes(SMALL_BYTES)), 0.0)
    assert calls.drop(0)

    assert [True, True, False] == taken
    assert small
    assert not calls.add(look(4, body=large), 0.0)
    assert calls.add(look(5, body=large[SMALL_BYTES:]), 0.0)


def test_the_deadline_of_a_vital_call_is_nearer_by_how_long_it_waited() -> None:
    calls = VitalCalls()
    calls.add((*look(1)[:5], ((), "ipv4:192.0.2.1:1", 0.5)), 100.0)

    assert [0.25] == [details[2] for *_, details in calls.open_turn(100.25)]


async def test_a_call_whose_deadline_goes_by_while_it_waits_is_refused_rather_than_begun() -> None:
    server = Shed()
    server._on_events([waiting(number) for number in range(MOST_A_TURN)])
    server._on_events([waiting(6_000, 1e-9), waiting(6_001)])
    await turned()

    assert [6_000] == server.failed
    assert 6_001 == server.begun[-1]


async def test_a_call_given_up_while_it_waits_is_neither_begun_nor_refused() -> None:
    server = Shed()
    server._on_events([waiting(number) for number in range(MOST_A_TURN + 2)])
    server._on_events([(CANCEL, MOST_A_TURN, 3, None, None, ((), "", None))])
    await turned()

    assert [*range(MOST_A_TURN), MOST_A_TURN + 1] == server.begun
    assert [] == server.failed


def test_a_deadline_is_nearer_by_how_long_a_call_waited() -> None:
    backlog = Backlog(3)
    for call_id, remaining_s in ((1, 0.5), (2, 0.1), (3, None)):
        backlog.add(waiting(call_id, remaining_s), 100.0, Room())
    assert [0.25, 0.0, None] == [details[2] for *_, details in backlog.take(3, 100.25)]
