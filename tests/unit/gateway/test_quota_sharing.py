"""Workers that share a partner's quotas: together they let through what was agreed, with the store and without."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from benchmarks.probing.traffic import SCRAPERS, Question, shop
from portcullis.adapters.memory.alarms import MemoryAlarmBoard
from portcullis.adapters.memory.quotas import MemoryQuotaExchange
from portcullis.domain.day_names import DayNames
from portcullis.domain.errors import ProbingSuspected, QuotaExceeded, StoreUnavailable
from portcullis.domain.policies import Probing
from portcullis.domain.probing import Level
from portcullis.domain.quotas import UNLIMITED
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.sharing import TURN_S, QuotaSharing
from portcullis.metrics.quotas import QuotaMetrics
from portcullis.ports.quotas import Standing, Use
from tests.support.clocks import HandClock
from tests.support.policies import lender, policy

NAMES = DayNames(b"a key of tests, and of tests alone")
RATE = 300


class Worker:
    """One worker's gates, and what keeps them in agreement."""

    def __init__(
        self,
        clock: HandClock,
        host: MemoryQuotaExchange,
        store: MemoryQuotaExchange | None,
        probing: Probing = Probing.WATCH,
        **quotas: int,
    ) -> None:
        self.clock = clock
        self.gates = Gates(clock.monotonic, clock.now)
        quota = msgspec.structs.replace(UNLIMITED, **quotas)
        self.gates.follow(policy(partners=(lender(quota=quota, probing=probing),)))
        self.registry = CollectorRegistry()
        self.metrics = QuotaMetrics(self.registry)
        self.sharing = QuotaSharing(self.gates, host=host, store=store, names=NAMES, clock=clock, metrics=self.metrics)

    @property
    def gate(self) -> Gate:
        return self.gates.of("lender")

    def ask(self, checks: int) -> int:
        """Ask so often; gives how many were let through."""
        through = 0
        for _ in range(checks):
            try:
                self.gate.take()
            except QuotaExceeded:
                continue
            through += 1
        return through

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


class Deployment:
    """Two hosts of two workers each, a store, and time moved by hand."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self.thread = thread
        self.clock = HandClock()
        self.store = MemoryQuotaExchange(monotonic=self.clock.monotonic)
        self.hosts = [MemoryQuotaExchange(monotonic=self.clock.monotonic) for _ in range(2)]
        self.workers: list[Worker] = []

    def start(self, count: int = 4, *, stored: bool = True, **options: Any) -> Sequence[Worker]:
        for number in range(count):
            host = self.hosts[number * len(self.hosts) // count]
            self.workers.append(Worker(self.clock, host, self.store if stored else None, **options))
        return self.workers

    async def turn(self) -> None:
        for worker in self.workers:
            await worker.sharing.turn(self.thread)

    async def flood(self, seconds: float, loads: Callable[[float], Sequence[float]]) -> list[int]:
        """Ask for so many a second at each worker, in steps of 20 ms; gives how many each let through."""
        through = [0] * len(self.workers)
        owed = [0.0] * len(self.workers)
        steps = round(seconds / 0.02)
        for step in range(steps):
            for place, (worker, load) in enumerate(zip(self.workers, loads(step * 0.02), strict=True)):
                owed[place] += load * 0.02
                through[place] += worker.ask(int(owed[place]))
                owed[place] -= int(owed[place])
            self.clock.advance(0.02)
            if step % round(TURN_S / 0.02) == 0:
                await self.turn()
        return through


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with ThreadPoolExecutor(1) as thread:
        yield Deployment(thread)


@pytest.mark.parametrize("spread", [(0.25, 0.25, 0.25, 0.25), (1.0, 0.0, 0.0, 0.0), (0.6, 0.3, 0.08, 0.02)])
async def test_a_flood_on_all_workers_gets_the_quota(deployment: Deployment, spread: tuple[float, ...]) -> None:
    deployment.start(checks_per_s=RATE)
    await deployment.flood(4, lambda _: [part * 10 * RATE for part in spread])
    through = sum(await deployment.flood(10, lambda _: [part * 10 * RATE for part in spread]))
    assert through == pytest.approx(10 * RATE, rel=0.06)


@pytest.mark.parametrize("spread", [(0.25, 0.25, 0.25, 0.25), (1.0, 0.0, 0.0, 0.0), (0.0, 0.1, 0.2, 0.7)])
async def test_who_stays_within_the_quota_is_never_refused(deployment: Deployment, spread: tuple[float, ...]) -> None:
    deployment.start(checks_per_s=RATE)
    asked = [part * 0.9 * RATE for part in spread]
    through = await deployment.flood(5, lambda _: asked)
    assert 5 * sum(asked) == pytest.approx(sum(through), abs=4)


async def test_a_load_that_wanders_from_worker_to_worker_gets_no_more(deployment: Deployment) -> None:
    deployment.start(checks_per_s=RATE)

    def loads(at: float) -> list[float]:
        return [10.0 * RATE if int(at / 1.5) % 4 == number else 0.0 for number in range(4)]

    await deployment.flood(4, loads)
    assert sum(await deployment.flood(12, loads)) <= 12 * RATE * 1.10


async def test_a_partner_that_moves_to_another_worker_within_its_quota_is_not_refused(deployment: Deployment) -> None:
    deployment.start(checks_per_s=RATE)
    await deployment.flood(3, lambda _: (0.8 * RATE, 0, 0, 0))
    assert 0.8 * RATE * 3 == pytest.approx(sum(await deployment.flood(3, lambda _: (0, 0, 0.8 * RATE, 0))), rel=0.01)


async def test_without_the_store_each_host_goes_by_itself(deployment: Deployment) -> None:
    workers = deployment.start(checks_per_s=RATE)
    await deployment.flood(4, lambda _: [2 * RATE] * 4)
    deployment.store.failing = True
    # For a moment the shares stand as they are.
    assert RATE * 2 == pytest.approx(sum(await deployment.flood(2, lambda _: [2 * RATE] * 4)), rel=0.06)
    await deployment.flood(6, lambda _: [2 * RATE] * 4)
    through = await deployment.flood(10, lambda _: [2 * RATE] * 4)
    for host in (through[:2], through[2:]):
        assert sum(host) == pytest.approx(10 * RATE, rel=0.06)
    workers[0].metrics.flush(workers[0].gates.all.values(), shared=not workers[0].sharing._alone)
    assert 1.0 == workers[0].value("portcullis_quota_alone")
    deployment.store.failing = False
    await deployment.flood(6, lambda _: [2 * RATE] * 4)
    assert RATE * 10 == pytest.approx(sum(await deployment.flood(10, lambda _: [2 * RATE] * 4)), rel=0.06)


async def test_without_any_place_a_worker_goes_by_itself(deployment: Deployment) -> None:
    deployment.start(2, checks_per_s=RATE)
    await deployment.flood(2, lambda _: [10 * RATE] * 2)
    for place in (deployment.store, *deployment.hosts):
        place.failing = True
    await deployment.flood(8, lambda _: [10 * RATE] * 2)
    assert [10 * RATE] * 2 == [
        pytest.approx(each, rel=0.06) for each in await deployment.flood(10, lambda _: [10 * RATE] * 2)
    ]


async def test_a_worker_that_ends_leaves_its_share_to_the_others(deployment: Deployment) -> None:
    deployment.start(checks_per_s=RATE)
    await deployment.flood(3, lambda _: [10 * RATE] * 4)
    del deployment.workers[1:]
    await deployment.flood(4, lambda _: [10 * RATE])
    assert 5 * RATE == pytest.approx(sum(await deployment.flood(5, lambda _: [10 * RATE])), rel=0.06)


async def ask_about(deployment: Deployment, worker: Worker, count: int, chance: random.Random) -> int:
    through = 0
    for number in range(count):
        try:
            worker.gate.take()
        except QuotaExceeded:
            continue
        worker.gate.noted.append(("phone", "", chance.randbytes(16)))
        through += 1
        if number % 100 == 0:
            deployment.clock.advance(TURN_S)
            await deployment.turn()
    return through


async def test_subjects_are_counted_together_and_a_new_worker_knows_of_them(deployment: Deployment) -> None:
    one, two, *_ = deployment.start(subjects_per_day=2_000)
    chance = random.Random(1)
    assert 1_500 == await ask_about(deployment, one, 1_500, chance)
    assert 500 == pytest.approx(await ask_about(deployment, two, 3_000, chance), abs=200)
    late = Worker(deployment.clock, deployment.hosts[1], deployment.store, subjects_per_day=2_000)
    deployment.workers.append(late)
    assert late.gate.day.subjects == 0
    deployment.clock.advance(1.0)
    await deployment.turn()
    with pytest.raises(QuotaExceeded, match="subjects_per_day"):
        late.gate.take()


async def test_a_place_that_has_lost_the_subjects_is_told_again(deployment: Deployment) -> None:
    (one,) = deployment.start(1, subjects_per_day=10_000)
    await ask_about(deployment, one, 1_000, random.Random(2))
    deployment.store._subjects.clear()
    for _ in range(3):
        deployment.clock.advance(1.0)
        await deployment.turn()
    (kept,) = deployment.store._subjects.values()
    assert len(one.gate.day.seen) == len(kept)


async def go_through(deployment: Deployment, questions: Iterator[Question], per_turn: int, most: int) -> int:
    """Ask every worker in turn until one stops it; gives how many different numbers that was."""
    probes: set[str] = set()
    asked = 0
    while len(probes) < most:
        worker = deployment.workers[asked % len(deployment.workers)]
        try:
            worker.gate.take()
        except ProbingSuspected:
            if worker.gate.watch.level is Level.STOPPED:
                return len(probes)
        else:
            question = next(questions)
            probes.add(question.value)
            worker.gate.noted.append((question.kind, question.value, question.token))
        asked += 1
        if asked % per_turn == 0:
            deployment.clock.advance(TURN_S)
            await deployment.turn()
    return most


@pytest.mark.parametrize("stored", [True, False], ids=["over the store", "over the host alone"])
@pytest.mark.parametrize("count", [2, 8, 16])
@pytest.mark.parametrize("name", ["phones in order", "phones, every 97th", "resident IDs, one of each birth date"])
async def test_who_goes_through_numbers_over_many_workers_is_stopped_as_at_one(
    deployment: Deployment, name: str, count: int, stored: bool
) -> None:
    if not stored:
        deployment.hosts = deployment.hosts[:1]
    workers = deployment.start(count, stored=stored, probing=Probing.STRICT)
    await deployment.turn()
    assert await go_through(deployment, SCRAPERS[name](1), 64, 2_000) <= 400
    # All hold it back within a turn, and whoever looks at the board first tells the operator.
    await deployment.turn()
    assert {Level.STOPPED} == {worker.gate.watch.level for worker in workers}
    board = MemoryAlarmBoard()
    for worker in reversed(workers):
        worker.gates.watches.say(board.look())
        board.put(worker.gates.watches.raised)
    told = [alarm.level for worker in workers for alarm in worker.gates.watches.raised]
    assert 1 == told.count("stopped")


async def test_an_honest_shop_over_many_workers_raises_no_alarm(deployment: Deployment) -> None:
    workers = deployment.start(16, probing=Probing.STRICT)
    await deployment.turn()
    assert 10_000 == await go_through(deployment, shop(1, customers=20_000), 64, 10_000)
    assert not any(worker.gates.watches.raised for worker in workers)


async def test_nothing_that_was_asked_about_is_told(deployment: Deployment) -> None:
    one, *_ = deployment.start(2, probing=Probing.STRICT)
    for _ in range(2):
        deployment.clock.advance(1.0)
        await deployment.turn()
    told: list[Use] = []

    class Listening(MemoryQuotaExchange):
        def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
            told.extend(uses)
            return super().turn(worker, day, uses)

    sharing = QuotaSharing(
        one.gates,
        host=Listening(monotonic=deployment.clock.monotonic),
        store=None,
        names=NAMES,
        clock=deployment.clock,
        metrics=one.metrics,
    )
    question = next(SCRAPERS["phones in order"](1))
    one.gate.take()
    one.gate.noted.append((question.kind, question.value, question.token))
    deployment.clock.advance(TURN_S)
    await sharing.turn(deployment.thread)
    (subject,) = [each for use in told for each in use.fresh]
    said = b"".join((subject.name, *subject.cells))
    assert 32 == len(said)
    assert all(part not in said for part in (question.value[-6:].encode(), question.token[:8]))
    # Nor is it kept, once it was told.
    assert not one.gate.watch.take_fresh().placed


class Late(MemoryQuotaExchange):
    """A place that takes what it is told, and whose answer comes too late while it is."""

    late = False

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        standing = super().turn(worker, day, uses)
        if self.late:
            raise StoreUnavailable("too late")
        return standing


def ask_badly(worker: Worker, questions: Iterator[Question], invalid: int) -> None:
    """Ask about 60 honest customers, and with so many identifiers that can't be: suspicious, and too little for an alarm."""
    for question in islice(questions, 60):
        worker.gate.noted.append((question.kind, question.value, question.token))
    for _ in range(invalid):
        worker.gate.miswritten()


def suspicions(workers: Sequence[Worker]) -> list[float]:
    return [round(worker.gate.watch._detector._common.evidence.amount, 2) for worker in workers]


async def known(deployment: Deployment, **options: Any) -> tuple[Sequence[Worker], Iterator[Question]]:
    """Three workers whose partner is known."""
    workers = deployment.start(3, probing=Probing.STRICT, **options)
    questions = shop(1, customers=20_000)
    assert 6_400 == await go_through(deployment, questions, 64, 6_400)
    return workers, questions


async def silence(deployment: Deployment, turns: int) -> None:
    for _ in range(turns):
        deployment.clock.advance(1.0)
        await deployment.turn()


@pytest.mark.parametrize("turns", [0, 2, 5, 20])
@pytest.mark.parametrize("heard", [True, False], ids=["which heard it all", "which heard nothing"])
async def test_what_was_counted_while_the_store_did_not_answer_counts_once_at_most(
    deployment: Deployment, turns: int, heard: bool
) -> None:
    deployment.store = store = Late(monotonic=deployment.clock.monotonic)
    workers, questions = await known(deployment)
    store.late, store.failing = turns > 0 and heard, turns > 0 and not heard
    ask_badly(workers[0], questions, 90)
    await silence(deployment, turns)
    store.late = store.failing = False
    await silence(deployment, 3)
    assert all(amount < 0.6 for amount in suspicions(workers))
    assert not any(worker.gate.watch.level for worker in workers)


async def test_an_alarm_of_what_all_have_counted_ends_a_quarter_of_an_hour_after_the_last_sign(
    deployment: Deployment,
) -> None:
    workers, questions = await known(deployment)
    for worker in workers[:2]:
        ask_badly(worker, questions, 130)
    await silence(deployment, 2)
    assert {Level.SLOWED} == {worker.gate.watch.level for worker in workers}
    alarms = sum(len(worker.gate.watch.holding()) for worker in workers)
    until = max(alarm.until for worker in workers for alarm in worker.gate.watch.holding())
    await silence(deployment, 1_000)
    for worker in workers:
        worker.gate.take()
    assert not any(worker.gate.watch.level for worker in workers)
    assert 3 == alarms
    assert deployment.clock.now() - 100 >= until - 1


async def test_a_canary_weighs_beside_what_all_have_counted(
    deployment: Deployment,
) -> None:
    workers, questions = await known(deployment)
    for worker in workers[:2]:
        ask_badly(worker, questions, 130)
    await silence(deployment, 2)
    assert Level.SLOWED is workers[2].gate.watch.level
    workers[2].gate.canary([b"one"])
    assert Level.STOPPED is workers[2].gate.watch.level
    assert [("canary", "invalid")] == [tuple(sorted(alarm.signs)) for alarm in workers[2].gates.watches.raised]


async def test_a_day_that_begins_takes_nothing_away_and_counts_nothing_twice(deployment: Deployment) -> None:
    workers, questions = await known(deployment)
    ask_badly(workers[0], questions, 90)
    await silence(deployment, 2)
    before = suspicions(workers)
    deployment.clock.advance(86_400 - deployment.clock.now() % 86_400 + 1)
    await silence(deployment, 3)
    assert all(after <= amount for after, amount in zip(suspicions(workers), before, strict=True))
    assert await go_through(deployment, SCRAPERS["phones in order"](1), 64, 2_000) <= 400


async def test_a_place_that_lost_what_watches_have_counted_raises_no_alarm_and_counts_on(deployment: Deployment) -> None:
    workers, questions = await known(deployment)
    ask_badly(workers[0], questions, 90)
    await silence(deployment, 2)
    deployment.store._counted.clear()
    await silence(deployment, 2)
    assert all(amount < 0.6 for amount in suspicions(workers))
    assert not any(worker.gates.watches.raised for worker in workers)
    assert await go_through(deployment, SCRAPERS["phones in order"](1), 64, 2_000) <= 400


async def test_what_nobody_takes_of_new_subjects_is_forgotten(deployment: Deployment) -> None:
    (one,) = deployment.start(1, probing=Probing.STRICT)
    for question in islice(shop(1, customers=20_000), 64):
        one.gate.noted.append((question.kind, question.value, question.token))
    one.gates.study_left()
    one.gates.study_left()
    assert not one.gate.watch.take_fresh().placed


async def test_streams_and_calls_are_counted_together_once_they_have_lasted_two_turns(deployment: Deployment) -> None:
    one, two, *_ = deployment.start(streams=3, concurrent_calls=2)
    two.gate.take()
    with one.gate.stream(), one.gate.stream(), one.gate.under_way():
        for _ in range(3):
            deployment.clock.advance(1.0)
            await deployment.turn()
        with two.gate.stream(), two.gate.under_way():
            with pytest.raises(QuotaExceeded, match="streams"), two.gate.stream():
                pass
            with pytest.raises(QuotaExceeded, match="concurrent_calls"), two.gate.under_way():
                pass
            assert {"streams": 1.0, "concurrent_calls": 1.0} == two.gate.used_parts()
    deployment.clock.advance(1.0)
    await deployment.turn()
    with two.gate.stream(), two.gate.stream(), two.gate.stream():
        two.gate.take()


async def test_who_goes_from_one_worker_to_another_is_not_refused_what_it_has_left_behind(deployment: Deployment) -> None:
    one, two, *_ = deployment.start(streams=1)
    deployment.clock.advance(1.0)
    await deployment.turn()
    with one.gate.stream():
        deployment.clock.advance(1.0)
        await deployment.turn()
    with two.gate.stream():
        two.gate.take()


async def test_labels_are_counted_together(deployment: Deployment) -> None:
    one, two, *_ = deployment.start(labels_per_day=3)
    assert one.gate.labels_used_up is two.gate.labels_used_up
    one.gate.label_shown()
    two.gate.label_shown()
    two.gate.label_shown()
    for _ in range(2):
        deployment.clock.advance(1.0)
        await deployment.turn()
    with pytest.raises(QuotaExceeded, match="labels_per_day"):
        one.gate.may_show()


class Slow(MemoryQuotaExchange):
    """A place where something happens at the worker before the answer is there."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        standing = super().turn(worker, day, uses)
        self.meanwhile()
        return standing


async def test_labels_that_are_shown_while_others_are_heard_of_count_too() -> None:
    clock = HandClock()
    place = Slow(monotonic=clock.monotonic)
    with ThreadPoolExecutor(1) as thread:
        one, two = (Worker(clock, place, None, labels_per_day=100) for _ in range(2))
        for _ in range(9):
            two.gate.label_shown()
        await two.sharing.turn(thread)
        one.gate.label_shown()
        place.meanwhile = one.gate.label_shown
        await one.sharing.turn(thread)
    assert 11 == one.gate.day.labels


async def test_no_token_is_told(deployment: Deployment) -> None:
    (one,) = deployment.start(1, subjects_per_day=10_000)
    await ask_about(deployment, one, 300, random.Random(2))
    (kept,) = deployment.store._subjects.values()
    tokens = b"".join(one.gate.day.seen)
    assert kept
    assert all(len(name) == 8 and name not in tokens for name in kept)


def test_names_are_others_for_another_day_partner_or_key() -> None:
    token = [bytes(16)]
    own = NAMES.names(1, "lender", token)
    assert own == NAMES.names(1, "lender", token)
    others: list[Any] = [
        NAMES.names(2, "lender", token),
        NAMES.names(1, "shop", token),
        DayNames(b"another key of tests").names(1, "lender", token),
    ]
    assert all(own != each for each in others)


async def test_refusals_and_use_are_measured(deployment: Deployment) -> None:
    (one,) = deployment.start(1, checks_per_s=10, labels_per_day=10)
    one.ask(25)
    one.gate.label_shown()
    one.metrics.flush(one.gates.all.values(), shared=True)
    one.metrics.flush(one.gates.all.values(), shared=True)
    assert 5.0 == one.value("portcullis_quota_refusals_total", partner="lender", quota="checks_per_s")
    assert 0.1 == one.value("portcullis_quota_used_ratio", partner="lender", quota="labels_per_day")
    assert 0.0 == one.value("portcullis_quota_alone")


class Broken(MemoryQuotaExchange):
    """A place that fails as nobody foresaw, and closes."""

    closed = False

    def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
        raise ArithmeticError

    def close(self) -> None:
        self.closed = True


async def test_a_place_that_fails_as_nobody_foresaw_stops_no_worker(deployment: Deployment) -> None:
    host = Broken()
    worker = Worker(deployment.clock, host, deployment.store, checks_per_s=RATE)
    assert RATE == worker.ask(RATE)
    with pytest.raises(InterruptedError):
        async with worker.sharing.running():
            raise InterruptedError
    assert host.closed


async def test_a_place_that_loses_all_that_it_is_told_is_told_again_now_and_then(deployment: Deployment) -> None:
    told: list[int] = []

    class Losing(MemoryQuotaExchange):
        def turn(self, worker: str, day: int, uses: Sequence[Use]) -> Standing:
            told.extend(len(each.subjects) for each in uses)
            self._subjects.clear()
            standing = super().turn(worker, day, [each._replace(subjects=()) for each in uses])
            self._subjects.clear()
            return standing

    worker = Worker(deployment.clock, Losing(monotonic=deployment.clock.monotonic), None, subjects_per_day=10_000)
    deployment.workers.append(worker)
    await ask_about(deployment, worker, 1_000, random.Random(2))
    told.clear()
    for _ in range(300):
        deployment.clock.advance(TURN_S)
        worker.ask(1)
        await deployment.turn()
    assert 2 <= sum(count > 900 for count in told) <= 4
