"""Gates: what one partner may ask of one worker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from portcullis.domain.errors import QuotaExceeded
from portcullis.domain.probing import Level
from portcullis.domain.quotas import UNLIMITED, Quota
from portcullis.gateway.quotas.day_counts import DAY_S
from portcullis.gateway.quotas.gate import STUDIED_AT_ONCE, Gate
from portcullis.gateway.quotas.gates import Gates
from tests.support.policies import lender, policy


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.at = 20_000.0 * DAY_S

    def __call__(self) -> float:
        return self.at


def gate_with(time: Time | None = None, **quotas: int) -> Gate:
    clock = time or Time()
    return Gate("lender", msgspec.structs.replace(UNLIMITED, **quotas), clock, clock)


def refused(ask: Callable[..., Any], *arguments: Any) -> tuple[str, float]:
    with pytest.raises(QuotaExceeded) as caught:
        ask(*arguments)
    return caught.value.metadata["quota"], caught.value.retry_after_s


def admitted(gate: Gate, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            gate.take()
        except QuotaExceeded:
            continue
        count += 1
    return count


@pytest.mark.parametrize("rate", [1, 30, 100, 5_000, 50_000])
def test_a_flood_gets_the_rate_and_two_seconds_of_it_at_first(rate: int) -> None:
    time = Time()
    gate = gate_with(time, checks_per_s=rate)
    got = 0
    asked = [3 * rate] + [rate // 10 + 10] * 100
    for tries in asked:
        got += admitted(gate, tries)
        time.at += 0.1
    assert rate * 12 == pytest.approx(got, rel=0.02, abs=2)
    assert sum(asked) - got == gate.refused["checks_per_s"]


def test_everything_asked_counts_as_asked_and_a_lease_does_not() -> None:
    gate = gate_with(checks_per_s=1_000)
    admitted(gate, 2_500)
    assert 2_500 == gate.checks_asked
    gate = gate_with(checks_per_s=1_000)
    gate.take()
    assert 1 == gate.checks_asked
    gate.more_checks(99)
    assert 100 == gate.checks_asked


def test_a_batch_is_owed_before_the_next_check() -> None:
    gate = gate_with(checks_per_s=10)
    gate.take()
    gate.more_checks(99)
    assert ("checks_per_s", pytest.approx(8.1)) == refused(gate.take)


def test_a_batch_taken_at_once_is_owed_likewise() -> None:
    gate = gate_with(checks_per_s=10)
    gate.take(100)
    assert ("checks_per_s", pytest.approx(8.1)) == refused(gate.take, 5)


def test_too_many_calls_stop_every_check_until_one_ends() -> None:
    gate = gate_with(concurrent_calls=2)
    gate.take()
    with gate.under_way(), gate.under_way():
        assert "concurrent_calls" == refused(gate.take)[0]
        assert "concurrent_calls" == refused(gate.under_way().__enter__)[0]
    gate.take()
    assert 0 == gate.calls.here


def test_a_call_that_is_decided_is_counted_and_not_refused() -> None:
    gate = gate_with(concurrent_calls=1)
    with gate.under_way(), gate.decided():
        assert 2 == gate.calls.here
        assert "concurrent_calls" == refused(gate.take)[0]
    gate.take()
    assert 0 == gate.calls.here


def test_too_many_streams_are_refused_until_one_ends() -> None:
    gate = gate_with(streams=1)
    with gate.stream():
        assert ("streams", 1.0) == refused(gate.stream().__enter__)
        gate.take()
    with gate.stream():
        assert 1 == gate.streams.here
    assert 0 == gate.streams.here


async def test_a_storm_of_cancelled_calls_leaves_no_count() -> None:
    gate = gate_with(concurrent_calls=50, streams=50)
    chance = random.Random(7)

    async def call() -> None:
        with gate.under_way() if chance.random() < 0.5 else gate.stream():
            for _ in range(3):
                await asyncio.sleep(0)

    for _ in range(30):
        tasks = [asyncio.create_task(call()) for _ in range(120)]
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        for task in chance.sample(tasks, 80):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (0, 0) == (gate.calls.here, gate.streams.here)


def ask_of(gate: Gate, count: int, chance: random.Random) -> int:
    """Ask about so many subjects, each once; gives how many were let through."""
    through = 0
    for _ in range(count):
        try:
            gate.take()
        except QuotaExceeded:
            continue
        token = chance.randbytes(16)
        gate.noted.append(("passport", token.hex(), token))
        through += 1
    return through


def test_a_days_subjects_stop_everything_until_the_day_ends() -> None:
    time = Time()
    time.at += DAY_S - 100
    gate = gate_with(time, subjects_per_day=1_000)
    chance = random.Random(1)
    assert 1_000 <= ask_of(gate, 3_000, chance) <= 1_000 + 2 * STUDIED_AT_ONCE
    assert ("subjects_per_day", 100.0) == refused(gate.take)
    time.at += 100
    assert 500 == ask_of(gate, 500, chance)


def test_the_same_subjects_again_are_no_more_subjects() -> None:
    gate = gate_with(subjects_per_day=100)
    for _ in range(50):
        assert 99 == ask_of(gate, 99, random.Random(3))


def test_labels_that_are_used_up_are_refused_until_the_day_ends() -> None:
    time = Time()
    gate = gate_with(time, labels_per_day=2)
    gate.may_show()
    gate.label_shown()
    gate.may_show()
    gate.label_shown()
    assert ("labels_per_day", float(DAY_S)) == refused(gate.may_show)
    gate.take()
    time.at += DAY_S
    gate.may_show()


def test_labels_that_others_have_shown_count() -> None:
    gate = gate_with(labels_per_day=5)
    gate.day.told(subjects=0, labels=5)
    gate.look_again()
    assert "labels_per_day" == refused(gate.may_show)[0]


def test_another_quota_counts_at_once_and_what_is_used_up_stays_so() -> None:
    time = Time()
    gates = Gates(time, time)
    gates.follow(policy(partners=(lender(quota=msgspec.structs.replace(UNLIMITED, checks_per_s=10)),)))
    gate = gates.of("lender")
    assert 20 == admitted(gate, 100)
    gates.follow(policy(partners=(lender(quota=msgspec.structs.replace(UNLIMITED, checks_per_s=100)),)))
    assert 0 == admitted(gate, 100)
    time.at += 1.0
    assert 100 == admitted(gate, 1_000)
    gates.follow(policy(partners=(lender(),)))
    assert 1_000 == admitted(gate, 1_000)


def test_a_partner_that_leaves_keeps_its_gate_and_one_that_nobody_knows_has_the_usual_quota() -> None:
    gates = Gates()
    gates.follow(policy())
    gate = gates.of("lender")
    gates.follow(policy(partners=()))
    assert gate is gates.of("lender")
    assert Quota() == gates.of("stranger").quota


def test_used_parts_are_told_for_what_is_limited() -> None:
    gate = gate_with(concurrent_calls=4, streams=2, labels_per_day=10)
    gate.label_shown()
    with gate.under_way(), gate.stream():
        assert {"concurrent_calls": 0.25, "streams": 0.5, "labels_per_day": 0.1} == gate.used_parts()


def test_what_is_left_is_studied_and_forgotten() -> None:
    gates = Gates(Time(), Time())
    gate = gates.of("lender")
    gate.noted.append(("phone", "+447700900001", b"token"))
    gate.found.add(b"token")
    gate.invalid = 1
    gates.study_left()
    assert ([], set(), 0) == (gate.noted, gate.found, gate.invalid)


def test_numbers_are_gone_through_however_few_are_studied_at_a_time() -> None:
    gates = Gates(Time(), Time())
    gate = gates.of("lender")
    asked = 0
    while gate.watch.level is Level.NORMAL:
        assert asked < 400
        gate.noted.append(("phone", f"+4477009{asked:05}", b"token %d" % asked))
        asked += 1
        gates.study_left()


def test_a_clock_that_was_days_ahead_by_mistake_does_not_make_one_day_of_many() -> None:
    time = Time()
    gate = gate_with(time, subjects_per_day=1_000, labels_per_day=1)
    time.at += 300 * DAY_S
    assert 500 == ask_of(gate, 500, random.Random(1))
    gate.label_shown()
    time.at -= 300 * DAY_S
    gate.may_show()
    assert 900 == ask_of(gate, 900, random.Random(2))


def test_a_clock_that_is_put_back_over_midnight_does_not_give_a_day_twice() -> None:
    time = Time()
    gate = gate_with(time, labels_per_day=1)
    gate.label_shown()
    time.at -= 2
    assert ("labels_per_day", float(DAY_S + 2)) == refused(gate.may_show)


def test_labels_that_are_kept_back_can_be_shown() -> None:
    gate = gate_with(labels_per_day=2)
    for _ in range(2):
        gate.label_shown()
    refused(gate.may_show)
    gate.labels_kept_back(1)
    gate.may_show()
    assert 1 == gate.day.labels


def test_what_was_noted_is_forgotten_even_if_its_study_fails() -> None:
    gate = gate_with()
    gate.noted.append(("phone", "", b"token"))

    def fail(*_: Any, **__: Any) -> None:
        raise ArithmeticError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(gate.watch), "study", fail)
        with pytest.raises(ArithmeticError):
            gate.study()
    assert [] == gate.noted
