"""Shares of a rate among workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.shares import EVENLY, share

DEMANDS = st.lists(st.floats(0, 1e6), min_size=1, max_size=16)


@given(per_s=st.floats(1, 1e6), demands=DEMANDS)
def test_the_shares_are_the_whole_rate_and_everybody_can_begin(per_s: float, demands: list[float]) -> None:
    shares = [share(per_s, own, sum(demands), len(demands)) for own in demands]
    assert per_s == pytest.approx(sum(shares))
    assert min(shares) >= EVENLY * per_s / len(demands) - 1e-6


@given(per_s=st.floats(1, 1e6), parts=st.lists(st.floats(0, 1), min_size=1, max_size=16))
def test_who_asks_for_less_than_there_is_gets_it(per_s: float, parts: list[float]) -> None:
    scale = (1 - EVENLY) * per_s / max(sum(parts), 1)
    demands = [part * scale for part in parts]
    assert all(share(per_s, own, sum(demands), len(demands)) >= own - 1e-6 for own in demands)


def test_where_too_much_is_asked_each_gets_its_part() -> None:
    assert [737.5, 262.5] == [share(1_000, own, 1_200, 2) for own in (900, 300)]


def test_a_sum_that_lags_behind_is_no_reason_for_more_than_the_rate() -> None:
    assert 1_000 == share(1_000, 5_000, 0, 1)


def test_what_is_not_limited_stays_so() -> None:
    assert 0.0 == share(0, 0, 0, 3)
