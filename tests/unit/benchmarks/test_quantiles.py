from __future__ import annotations

import pytest

from benchmarks.quantiles import quantile, typical


def test_a_quantile_is_of_ascending_numbers_and_of_nothing_0() -> None:
    assert [1, 51, 100, 100, 0.0] == [
        *(quantile(range(1, 101), share) for share in (0.0, 0.5, 0.99, 1.0)),
        quantile((), 0.99),
    ]


def calls(second: int, took_s: float) -> list[tuple[float, float]]:
    return [(second + part / 100, second + part / 100 + took_s) for part in range(100)]


def test_a_pause_in_one_second_of_three_leaves_the_typical_second_as_it_is() -> None:
    found = typical([*calls(10, 0.001), *calls(11, 0.5), *calls(12, 0.002)], 10, 0.99)
    assert 0.002 == pytest.approx(found)


def test_what_is_slow_in_every_second_is_typical() -> None:
    slow = [call for second in range(10, 13) for call in calls(second, 0.3)]
    assert 0.3 == pytest.approx(typical(slow, 10, 0.99))


def test_calls_before_the_beginning_do_not_count() -> None:
    assert 0.001 == pytest.approx(typical([*calls(9, 9.0), *calls(10, 0.001)], 10, 0.99))
    assert 0.0 == typical(calls(9, 9.0), 10, 0.99)
