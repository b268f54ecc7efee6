from __future__ import annotations

import math
import random

import pytest

from benchmarks.welch import welch, without_slowest


def test_the_worked_example_of_unequal_variances_is_computed_as_published() -> None:
    # Three numbers each by hand: means 2 and 5, variances 1 and 4, so t = -3 / sqrt(5/3).
    found = welch([1.0, 2.0, 3.0], [3.0, 5.0, 7.0])
    assert (3.0, -3.0 / math.sqrt(5 / 3)) == pytest.approx((found.difference_ns, found.t))
    assert (5 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2) == pytest.approx(found.degrees)


def test_equal_kinds_are_not_told_apart_and_shifted_ones_are() -> None:
    draw = random.Random(7)
    first, second = ([draw.gauss(9_000, 2_000) for _ in range(20_000)] for _ in range(2))
    assert not welch(first, second).differ
    shifted = welch(first, [each + 500 for each in second])
    assert shifted.differ
    assert shifted.p < 1e-12


def test_so_many_questions_as_are_told_do_tell_a_difference_mostly() -> None:
    draw = random.Random(8)

    def sample(mean: float, count: int) -> list[float]:
        return [draw.gauss(mean, 2_000) for _ in range(count)]

    needed = round(welch(sample(9_000, 50_000), sample(9_500, 50_000)).questions)
    assert 350 < needed < 420
    told = sum(welch(sample(9_000, needed), sample(9_500, needed)).p < 0.05 for _ in range(400))
    assert 0.95 == pytest.approx(told / 400, abs=0.05)


def test_the_slowest_are_left_out_by_one_bound_for_both() -> None:
    first, second = list(range(100)), list(range(1000, 1100))
    kept = without_slowest(first, second)
    assert (100, 90) == (len(kept[0]), len(kept[1]))


def test_equal_samples_without_scatter_are_equal() -> None:
    found = welch([5.0, 5.0], [5.0, 5.0])
    assert (0.0, 0.0, False) == (found.difference_ns, found.t, found.differ)
    assert math.inf == found.questions
