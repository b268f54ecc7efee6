"""The exchange of quotas, on every adapter: what workers learn of each other."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import pytest
import redis

from portcullis.adapters.lmdb.quotas import LmdbQuotaExchange
from portcullis.adapters.memory.quotas import MemoryQuotaExchange
from portcullis.adapters.redis.quotas import COUNTED_KEY, LABELS_KEY, RedisQuotaExchange
from portcullis.domain.errors import StoreUnavailable
from portcullis.domain.evidence import NOTHING, Counts
from portcullis.ports import QuotaExchange, Use, Used
from portcullis.ports.quotas import POOLED, SEEN_AT_LEAST, NewSubject
from tests.support.valkey import ValkeyAt, running_valkey

DAY = 20_000
SILENT_MS = 300


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyAt]:
    with running_valkey() as running:
        yield running


@pytest.fixture(params=["memory", "lmdb", "redis"])
def meet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], QuotaExchange]]:
    """Opens one worker's way to the place where all meet."""
    opened: list[QuotaExchange] = []
    shared = MemoryQuotaExchange(silent_ms=SILENT_MS)
    server: ValkeyAt | None = request.getfixturevalue("server") if request.param == "redis" else None
    if server is not None:
        server.flush()

    def way() -> QuotaExchange:
        found: QuotaExchange = shared
        if request.param == "lmdb":
            # One environment a process: two of a process would share their locks.
            found = opened[0] if opened else LmdbQuotaExchange(tmp_path / "quotas", silent_ms=SILENT_MS)
        elif server is not None:
            found = RedisQuotaExchange(server.url, timeout_s=5.0, silent_ms=SILENT_MS)
        opened.append(found)
        return found

    yield way
    for each in opened:
        each.close()


def use(
    partner: str = "lender", checks: float = 0.0, labels: int = 0, subjects: tuple[bytes, ...] = (), depth: int = 0
) -> Use:
    return Use(partner, checks, checks / 2, labels, depth, subjects)


def names(count: int, beginning: int = 0) -> tuple[bytes, ...]:
    return tuple((number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8) for number in range(beginning + 1, beginning + count + 1))


def test_what_workers_are_asked_for_is_told_to_all(meet: Callable[[], QuotaExchange]) -> None:
    one, two = meet(), meet()
    assert (1, {"lender": Used(100.0, 50.0, 0, 0)}) == one.turn("one", DAY, [use(checks=100.0)])
    standing = two.turn("two", DAY, [use(checks=20.0), use("shop", checks=7.0)])
    assert (2, {"lender": Used(120.0, 60.0, 0, 0), "shop": Used(7.0, 3.5, 0, 0)}) == standing
    assert (2, {"lender": Used(21.0, 10.5, 0, 0)}) == one.turn("one", DAY, [use(checks=1.0)])


def test_a_worker_that_tells_nothing_of_any_partner_counts(meet: Callable[[], QuotaExchange]) -> None:
    one, two = meet(), meet()
    assert (1, {}) == one.turn("one", DAY, [])
    assert 2 == two.turn("two", DAY, [use()]).workers


def test_a_worker_that_keeps_silent_is_forgotten_and_what_it_showed_is_not(meet: Callable[[], QuotaExchange]) -> None:
    one, two = meet(), meet()
    one.turn("one", DAY, [use(checks=100.0, labels=3, subjects=names(5))])
    deadline = time.monotonic() + 10
    while (standing := two.turn("two", DAY, [use(labels=1)])).workers > 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert {"lender": Used(0.0, 0.0, 4, 5)} == standing.used


def test_calls_and_streams_are_summed_up_while_their_workers_tell_of_them(meet: Callable[[], QuotaExchange]) -> None:
    one, two = meet(), meet()
    one.turn("one", DAY, [use()._replace(calls=5, streams=2)])
    used = two.turn("two", DAY, [use()._replace(calls=1, streams=30)]).used["lender"]
    assert (6, 32) == (used.calls, used.streams)
    used = one.turn("one", DAY, [use()._replace(calls=0, streams=1)]).used["lender"]
    assert (1, 31) == (used.calls, used.streams)


def test_what_watches_count_is_summed_up_and_outlives_who_told_it(meet: Callable[[], QuotaExchange]) -> None:
    one, two = meet(), meet()
    counted = Counts(novel=3, found=1, asked=9, invalid=2)
    one.turn("one", DAY, [use()._replace(counted=counted)])
    assert Counts(novel=3, found=1, asked=10, invalid=2) == (
        two.turn("two", DAY, [use()._replace(counted=Counts(asked=1))]).used["lender"].counted
    )
    assert Counts(asked=5) == two.turn("two", DAY, [use("shop")._replace(counted=Counts(asked=5))]).used["shop"].counted
    assert Counts(novel=3, found=1, asked=10, invalid=2) == one.turn("one", DAY, [use()]).used["lender"].counted
    assert NOTHING == one.turn("one", DAY + 1, [use()]).used["lender"].counted


def new_subjects(numbers: Sequence[int]) -> list[NewSubject]:
    """Subjects of these numbers; ten stand in a small cell, a hundred in a larger, a thousand in the largest."""

    def name(size: bytes, number: int) -> bytes:
        return blake2b(size + number.to_bytes(4), digest_size=8).digest()

    return [
        NewSubject(
            name=name(b"n", number),
            cells=(name(b"a", number // 10), name(b"b", number // 100), name(b"c", number // 1_000)),
            found=number % 4 == 0,
        )
        for number in numbers
    ]


def crowded(numbers: Sequence[int]) -> Counts:
    """What the pools say of numbers that come in this order, by a plain model."""
    counted, seen, pool = NOTHING, set[int](), list[int]()
    for number in numbers:
        if number not in seen:
            pool.append(number)
        seen.add(number)
        if len(pool) == POOLED:
            cells = (POOLED - len({each // size for each in pool}) for size in (10, 100, 1_000))
            counted = counted.plus(Counts(*cells, sum(each % 4 == 0 for each in pool), POOLED))
            pool.clear()
    return counted


@pytest.mark.parametrize("seed", range(3))
def test_subjects_that_are_new_to_all_are_pooled_whoever_tells_of_them(meet: Callable[[], QuotaExchange], seed: int) -> None:
    chance = random.Random(seed)
    workers = {"one": meet(), "two": meet()}
    told: list[int] = []
    for _ in range(30):
        name = chance.choice(("one", "two"))
        numbers = [chance.randrange(400 if chance.random() < 0.5 else 90_000) for _ in range(chance.randrange(60))]
        told += numbers
        used = workers[name].turn(name, DAY, [use()._replace(fresh=new_subjects(numbers))]).used["lender"]
        assert crowded(told) == used.counted
    assert 5 * POOLED < crowded(told).pooled


def test_a_pool_is_of_one_partner_and_one_day(meet: Callable[[], QuotaExchange]) -> None:
    exchange = meet()
    for partner, day in (("lender", DAY), ("shop", DAY), ("lender", DAY + 1)):
        used = exchange.turn("one", day, [use(partner)._replace(fresh=new_subjects(range(POOLED - 1)))]).used
        assert NOTHING == used[partner].counted
    used = exchange.turn("one", DAY + 1, [use()._replace(fresh=new_subjects([POOLED]))]).used
    assert POOLED == used["lender"].counted.pooled


def test_a_subject_is_new_again_once_some_thousands_have_come_between(meet: Callable[[], QuotaExchange]) -> None:
    exchange = meet()
    numbers = [*range(POOLED), *range(10_000, 10_000 + 2 * SEEN_AT_LEAST), *range(POOLED)]
    for begin in range(0, len(numbers), 512):
        used = exchange.turn("one", DAY, [use()._replace(fresh=new_subjects(numbers[begin : begin + 512]))]).used["lender"]
    assert len(numbers) // POOLED * POOLED == used.counted.pooled


def test_labels_are_told_as_a_whole_so_telling_twice_changes_nothing(meet: Callable[[], QuotaExchange]) -> None:
    one, two = meet(), meet()
    for _ in range(3):
        one.turn("one", DAY, [use(labels=5)])
    assert 12 == two.turn("two", DAY, [use(labels=7)]).used["lender"].labels
    assert 13 == one.turn("one", DAY, [use(labels=6)]).used["lender"].labels


def test_subjects_are_counted_once_whoever_tells_of_them(meet: Callable[[], QuotaExchange]) -> None:
    one, two = meet(), meet()
    one.turn("one", DAY, [use(subjects=names(6))])
    assert 8 == two.turn("two", DAY, [use(subjects=names(6, beginning=2))]).used["lender"].subjects


def test_many_subjects_are_counted_to_within_a_few_hundredths(meet: Callable[[], QuotaExchange]) -> None:
    counted = meet().turn("one", DAY, [use(subjects=names(16_000), depth=6)]).used["lender"].subjects
    assert counted == pytest.approx(16_000, rel=0.04)


def test_partners_days_and_samples_are_apart(meet: Callable[[], QuotaExchange]) -> None:
    one = meet()
    one.turn("one", DAY, [use(labels=2, subjects=names(4))])
    told = one.turn("one", DAY, [use("shop"), use(depth=1)]).used
    assert (0, 0) == (told["shop"].subjects, told["lender"].subjects)
    assert 0 == one.turn("one", DAY + 1, [use()]).used["lender"].subjects
    assert 0 == one.turn("two", DAY + 1, [use()]).used["lender"].labels


def test_a_server_that_is_gone_is_said_to_be_and_is_found_again() -> None:
    with running_valkey() as server, closing(RedisQuotaExchange(server.url)) as exchange:
        exchange.turn("one", DAY, [use()])
        server.kill()
        with pytest.raises(StoreUnavailable):
            exchange.turn("one", DAY, [use()])
        server.start()
        assert 1 == exchange.turn("one", DAY, [use()]).workers


def test_a_server_that_is_full_takes_it_still() -> None:
    with running_valkey() as server, closing(RedisQuotaExchange(server.url)) as exchange, server.client() as client:
        client.config_set("maxmemory", "1")
        assert 4 == exchange.turn("one", DAY, [use(labels=1, subjects=names(4))]).used["lender"].subjects


def test_nothing_is_kept_on_the_server_for_ever() -> None:
    with running_valkey() as server, closing(RedisQuotaExchange(server.url)) as exchange, server.client() as client:
        exchange.turn("one", DAY, [use(labels=1, subjects=names(4))])
        assert all(client.ttl(key) > 0 for key in client.keys("*"))
        assert 3 == len(client.keys("*"))


def test_a_folder_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "quotas").write_text("no folder")
    with pytest.raises(StoreUnavailable):
        LmdbQuotaExchange(tmp_path / "quotas").turn("one", DAY, [use()])


def test_processes_of_a_host_meet_in_its_file(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            LmdbQuotaExchange(tmp_path).turn("child", DAY, [use(checks=10.0, labels=2)])
        finally:
            os._exit(0)
    assert (child, 0) == os.waitpid(child, 0)
    with closing(LmdbQuotaExchange(tmp_path)) as exchange:
        assert (2, {"lender": Used(11.0, 5.5, 2, 0)}) == exchange.turn("parent", DAY, [use(checks=1.0)])


def test_days_that_are_over_are_forgotten_in_the_file(tmp_path: Path) -> None:
    with closing(LmdbQuotaExchange(tmp_path)) as exchange:
        exchange.turn("one", DAY, [use(labels=2, subjects=names(3))])
        exchange.turn("one", DAY + 5, [use()])
        assert Used(0.0, 0.0, 0, 0) == exchange.turn("one", DAY, [use()]).used["lender"]


def test_a_file_that_was_full_counts_again_once_it_has_forgotten(tmp_path: Path) -> None:
    with closing(LmdbQuotaExchange(tmp_path, map_bytes=1 << 20)) as exchange:
        for number in range(40):
            exchange.turn("one", DAY, [use(subjects=names(500, beginning=500 * number))])
        full = exchange.turn("one", DAY, [use(checks=1.0, subjects=names(500, beginning=1_000_000))]).used["lender"]
        assert (1.0, True) == (full.checks_per_s, full.subjects < 20_000)
        exchange.turn("one", DAY + 5, [use()])
        assert 500 == exchange.turn("one", DAY + 5, [use(subjects=names(500))]).used["lender"].subjects


def test_a_row_of_the_file_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    with closing(LmdbQuotaExchange(tmp_path)) as exchange:
        exchange.turn("one", DAY, [use(labels=1)])
        with exchange._opened().begin(write=True) as kept:
            kept.put(b"l%08d lender two" % DAY, b"some")
        with pytest.raises(StoreUnavailable):
            exchange.turn("one", DAY, [use(labels=1)])


POISON = (
    b"",
    b"no json",
    b"7",
    b"[1e999, {}]",
    b'[{now}, {"lender": [NaN, 0]}]',
    b'[{now}, {"lender": [1e308, 1e308]}]',
    b'[{now}, {"lender": [-5, 0]}]',
    b'[{now}, {"lender": [0, 0, -5, 0]}]',
    b'[{now}, {"lender": [0, 0, "many", {}]}]',
    b'[{now}, {"lender": ["many", 0]}]',
    b'[{now}, {"lender": 7}]',
    b'[{now}, {"lender": []}]',
    b'["now", {"lender": [1, 1]}]',
    b"[" * 2_000,
)


@pytest.mark.parametrize("poison", [b"no json", b'{"x":1}', b'{"1":5,"near":2}', b"[1,[],-3]", b"[1e300]", b"7", b"[]"])
def test_what_is_no_sum_ends_no_turn_and_is_not_carried_on(server: ValkeyAt, poison: bytes) -> None:
    server.flush()
    with closing(RedisQuotaExchange(server.url, timeout_s=5.0)) as exchange, redis.Redis.from_url(server.url) as client:
        client.hset(f"{COUNTED_KEY}:{DAY}", "lender", poison)
        for place in range(200):
            client.hset(f"{LABELS_KEY}:{DAY}", f"lender {place}", "1000000000000")
        for _ in range(2):
            used = exchange.turn("one", DAY, [use()._replace(counted=Counts(asked=5))]).used["lender"]
        assert 10 == used.counted.asked


@pytest.mark.parametrize("poison", POISON)
def test_what_is_no_workers_row_ends_no_turn(server: ValkeyAt, poison: bytes) -> None:
    server.flush()
    with closing(RedisQuotaExchange(server.url, timeout_s=5.0)) as exchange, server.client() as client:
        exchange.turn("one", DAY, [use(labels=2)])
        now = b"%d" % (client.time()[0] * 1000)
        client.hset("portcullis:quotas:asked", b"poison", poison.replace(b"{now}", now))
        assert (1, {"lender": Used(3.0, 1.5, 2, 0)}) == exchange.turn("one", DAY, [use(checks=3.0, labels=2)])


@pytest.mark.parametrize(
    ("poison", "labels"), [(b"nan", 2), (b"inf", 2), (b"-5", 2), (b"1e300", 2), (b"some", 2), (b"1.5", 3)]
)
def test_what_is_no_number_of_labels_ends_no_turn(server: ValkeyAt, poison: bytes, labels: int) -> None:
    server.flush()
    with closing(RedisQuotaExchange(server.url, timeout_s=5.0)) as exchange, server.client() as client:
        client.hset(f"portcullis:quotas:labels:{DAY}", b"lender poison", poison)
        assert labels == exchange.turn("one", DAY, [use(labels=2)]).used["lender"].labels
