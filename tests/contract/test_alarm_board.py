"""What every alarm board owes; and what one in Redis owes when its server fails or lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from portcullis.adapters.memory.alarms import MemoryAlarmBoard
from portcullis.adapters.redis.alarms import ALARMS_KEY, RELEASES_KEY, RedisAlarmBoard
from portcullis.domain.alarms import Alarm
from portcullis.domain.errors import StoreUnavailable
from portcullis.ports import AlarmBoard
from tests.support.valkey import ValkeyAt, running_valkey

NOW = 1_000_000.0


@pytest.fixture
def valkey() -> Iterator[ValkeyAt]:
    with running_valkey() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def board(request: pytest.FixtureRequest) -> Iterator[AlarmBoard]:
    if request.param == "memory":
        yield MemoryAlarmBoard()
        return
    with closing(RedisAlarmBoard(request.getfixturevalue("valkey").url)) as opened:
        yield opened


def alarm(**changes: Any) -> Alarm:
    values: dict[str, Any] = {
        "partner": "lender",
        "level": "stopped",
        "signs": ("near",),
        "raised_at": NOW,
        "until": NOW + 900,
        "gateway": "host-1",
        "probes": 192,
    }
    return Alarm(**(values | changes))


def test_an_alarm_is_seen_by_all_and_ends_by_itself(board: AlarmBoard) -> None:
    board.put([alarm()])
    seen = board.look()
    assert [alarm()] == list(seen.holding(NOW + 899))
    assert [] == list(seen.holding(NOW + 900))
    assert [alarm()] == list(seen.seen(NOW + 900 + 86_399))
    assert [] == list(seen.seen(NOW + 900 + 86_400))


def test_a_later_alarm_takes_the_place_of_one_of_its_level(board: AlarmBoard) -> None:
    slowed, later = alarm(level="slowed"), alarm(until=NOW + 1_800, times=2)
    board.put([alarm(), slowed])
    board.put([later])
    assert {slowed, later} == set(board.look().holding(NOW))


def test_a_release_voids_what_was_raised_without_knowing_of_it(board: AlarmBoard) -> None:
    board.put([alarm(), alarm(partner="shop")])
    release = board.release("lender", by="olga", at=NOW + 1, why="their nightly screening")
    board.put([alarm(level="slowed")])
    seen = board.look()
    assert [alarm(partner="shop")] == list(seen.holding(NOW + 2))
    assert release == seen.released(alarm())
    knowing = alarm(releases=release.number)
    board.put([knowing])
    assert knowing in list(board.look().holding(NOW + 2))


def test_a_second_release_voids_more(board: AlarmBoard) -> None:
    first = board.release("lender", by="olga", at=NOW, why="first")
    board.put([alarm(releases=first.number)])
    board.release("lender", by="olga", at=NOW, why="second")
    assert [] == list(board.look().holding(NOW))


def test_a_release_counts_where_the_former_was_lost(valkey: ValkeyAt) -> None:
    with closing(RedisAlarmBoard(valkey.url)) as board:
        board.release("lender", by="olga", at=NOW, why="first")
        valkey.flush()
        board.put([alarm(releases=1)])
        board.release("lender", by="olga", at=NOW, why="again")
        assert [] == list(board.look().holding(NOW))


def test_a_release_has_a_larger_number_than_one_that_was_lost(valkey: ValkeyAt) -> None:
    with closing(RedisAlarmBoard(valkey.url)) as board:
        first = board.release("lender", by="olga", at=NOW, why="first")
        second = board.release("lender", by="olga", at=NOW - 10, why="by a clock that is behind")
        valkey.flush()
        third = board.release("lender", by="olga", at=NOW + 1, why="after a loss")
    numbers = [each.number for each in (first, second, third)]
    assert sorted(set(numbers)) == numbers


def test_a_server_that_is_gone_or_full_is_unavailable(valkey: ValkeyAt) -> None:
    with closing(RedisAlarmBoard(valkey.url)) as board:
        with valkey.client() as client:
            client.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailable):
            board.put([alarm()])
        valkey.kill()
        with pytest.raises(StoreUnavailable):
            board.look()


def test_what_somebody_else_wrote_is_left_out(valkey: ValkeyAt) -> None:
    with closing(RedisAlarmBoard(valkey.url)) as board:
        board.put([alarm()])
        with valkey.client() as client:
            client.hset(ALARMS_KEY, "lender slowed", b"\xff{")
            client.hset(RELEASES_KEY, "lender", b'{"partner": 1}')
        assert [alarm()] == list(board.look().holding(NOW))


def test_what_is_up_and_why_it_was_released_lives_for_a_month(valkey: ValkeyAt) -> None:
    with closing(RedisAlarmBoard(valkey.url)) as board:
        board.put([alarm()])
        board.release("lender", by="olga", at=NOW, why="their nightly screening")
        with valkey.client() as client:
            for key in (ALARMS_KEY, RELEASES_KEY):
                assert 29 * 86_400 < client.ttl(key) <= 30 * 86_400
