"""When what is not reaffirmed lapses: late enough, on a grid, and never sooner by a later word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.lapses import lapses_at, with_lapse
from tests.support.policies import NOW, a_list
from tests.support.registry_entries import an_entry

DAY_S = 86_400


def test_entries_of_a_list_without_a_lapse_time_do_not_lapse() -> None:
    assert 0 == lapses_at(a_list(), NOW)
    assert an_entry() == with_lapse(an_entry(), a_list(), NOW)


def test_the_grid_of_ten_days_is_that_of_midnights() -> None:
    on, midnight = a_list(lapse_s=10 * DAY_S), NOW // DAY_S * DAY_S
    noon = midnight + DAY_S // 2
    assert [midnight + 11 * DAY_S] * 2 == [lapses_at(on, noon), lapses_at(on, noon + 3600)]
    assert midnight + 12 * DAY_S == lapses_at(on, noon + DAY_S)


def test_an_entry_is_reaffirmed_whatever_its_lapse_was() -> None:
    on = a_list(lapse_s=DAY_S)
    assert lapses_at(on, NOW) == with_lapse(an_entry(lapses_at=5), on, NOW).lapses_at


@pytest.mark.parametrize("lapse_s", [1, 9, 10, 7 * DAY_S])
@given(now=st.floats(0, 2**32), later=st.floats(0, 30 * DAY_S))
def test_a_lapse_comes_after_the_lapse_time_and_within_a_tenth_of_it(lapse_s: int, now: float, later: float) -> None:
    on, cell = a_list(lapse_s=lapse_s), max(1, lapse_s // 10)
    lapse = lapses_at(on, now)
    assert now + lapse_s < lapse <= now + lapse_s + cell
    assert lapse <= lapses_at(on, now + later)
    assert 0 == lapse % cell
