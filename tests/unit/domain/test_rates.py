"""Rates: never more than agreed, never less, however a caller goes about it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from portcullis.domain.rates import BURST_S, LARGEST_LEASE, Rate

LARGEST_PIECE = 50
_STEPS = st.integers(0, 40).map(lambda steps: steps / 32)


class RateAgainstABucket(RuleBasedStateMachine):
    """A rate beside a bucket that leaks: tokens come in at the rate, up to the burst, and a piece may leave them owed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.per_s = 16.0
        self.rate = Rate(self.per_s)
        self.tokens = self.most
        self.admitted: list[tuple[float, int]] = []
        self.changed = False

    @property
    def most(self) -> float:
        return max(BURST_S * self.per_s, 1.0)

    @rule(seconds=_STEPS)
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tokens = min(self.tokens + seconds * self.per_s, self.most)

    @rule(cells=st.integers(1, LARGEST_PIECE))
    def take(self, cells: int) -> None:
        wait_s = self.rate.take(cells, self.now)
        if self.tokens >= 1.0 - 1e-6:
            assert 0.0 == wait_s
            self.tokens -= cells
            self.admitted.append((self.now, cells))
        else:
            assert abs((1.0 - self.tokens) / self.per_s - wait_s) < 1e-6

    @rule()
    def lease(self) -> None:
        cells = self.rate.lease(self.now)
        assert (cells > 0) == (self.tokens >= 1.0 - 1e-6)
        assert cells <= max(self.tokens, 0.0) + 1e-6
        self.tokens -= cells
        if cells:
            self.admitted.append((self.now, cells))

    @rule()
    def lease_and_give_back(self) -> None:
        self.rate.give_back(self.rate.lease(self.now))

    @rule(per_s=st.sampled_from([0.25, 4.0, 16.0, 64.0]))
    def follow(self, per_s: float) -> None:
        self.rate.follow(per_s, self.now)
        self.per_s = per_s
        self.tokens = min(self.tokens, self.most)
        self.changed = True

    @precondition(lambda self: not self.changed)
    @invariant()
    def no_window_holds_more_than_was_agreed(self) -> None:
        for place, (begin, _) in enumerate(self.admitted):
            inside = 0
            for at, cells in self.admitted[place:]:
                inside += cells
                assert inside <= self.per_s * (at - begin) + BURST_S * self.per_s + LARGEST_PIECE - 1 + 1e-6


TestRateAgainstABucket = RateAgainstABucket.TestCase


@given(per_s=st.floats(0.1, 10_000), jitter=st.lists(st.floats(0, 1), min_size=2, max_size=200))
def test_who_keeps_to_the_rate_is_never_refused(per_s: float, jitter: list[float]) -> None:
    rate = Rate(per_s)
    # Each comes some time within its own slot: at the rate on the whole, two together at most.
    times = sorted(5.0 + (slot + late) / per_s for slot, late in enumerate(jitter))
    assert all(before <= after for before, after in pairwise(times))
    if per_s * BURST_S >= 2.0:
        assert [0.0] * len(times) == [rate.take(1, now) for now in times]


def test_two_seconds_worth_comes_at_once_and_the_next_when_it_is_told() -> None:
    rate = Rate(10)
    assert [0.0] * 20 == [rate.take(1, 0.0) for _ in range(20)]
    wait_s = rate.take(1, 0.0)
    assert 0.1 == round(wait_s, 9)
    assert 0.0 == rate.take(1, wait_s)


def test_a_rate_of_nothing_is_not_limited() -> None:
    rate = Rate(0)
    assert 0.0 == rate.take(10**9, 0.0)
    assert LARGEST_LEASE == rate.lease(0.0)
    rate.follow(1, 0.0)
    assert 0.0 == rate.take(1, 0.0)


def test_a_rest_of_a_piece_is_owed_before_anything_follows() -> None:
    rate = Rate(10)
    assert 0.0 == rate.take(1, 0.0)
    rate.owe(99, 0.0)
    # 100 were let through of the 20 that may come at once; the next one comes when 81 have been earned.
    assert 8.1 == round(rate.take(1, 0.0), 9)
    assert 101 == rate.asked


def test_a_share_that_wanders_takes_no_second_burst_along() -> None:
    """Two workers, and a caller that goes to the one whose bucket is full; the shares follow it at once."""
    total, whole = 0, 1_000.0
    rates = [Rate(whole / 2), Rate(whole / 2)]
    seconds = 40
    for turn in range(seconds):
        busy = turn % 2
        for number, rate in enumerate(rates):
            rate.follow(whole * (0.95 if number == busy else 0.05), float(turn))
        total += sum(rates[busy].take(1, turn + step / 5_000) == 0.0 for step in range(5_000))
    assert total <= whole * (seconds + BURST_S)
