"""Figures: ratios within rounds, and floors."""

from __future__ import annotations

import pytest

from benchmarks.figures import Bound, Figure, Floor, Of, Series


def figure(mine: tuple[float, ...], its: tuple[float, ...] | None, floor: Floor | None = None) -> Figure:
    baseline = Series("echo", "calls/s", its) if its else None
    return Figure(measured=Series("Check", "calls/s", mine), baseline=baseline, floor=floor)


def test_the_ratio_is_taken_within_each_round() -> None:
    assert pytest.approx(0.8) == figure((24_000, 16_000, 8_000), (30_000, 20_000, 10_000)).ratio


def test_a_figure_without_a_baseline_has_no_ratio() -> None:
    assert figure((1.0,), None).ratio is None


@pytest.mark.parametrize(
    ("of", "bound", "limit", "met"),
    [
        ("ratio", "at least", 0.75, True),
        ("ratio", "at least", 0.81, False),
        ("ratio", "at most", 0.8, True),
        ("ratio", "at most", 0.79, False),
        ("value", "at least", 8.0, True),
        ("value", "at most", 7.9, False),
    ],
)
def test_a_floor_is_held_against_what_it_names(of: Of, bound: Bound, limit: float, *, met: bool) -> None:
    assert met is figure((8.0,), (10.0,), Floor(of, bound, limit)).met


def test_a_figure_without_a_floor_is_neither_met_nor_missed() -> None:
    assert figure((8.0,), (10.0,)).met is None


def test_a_missed_floor_tells_by_how_much() -> None:
    assert pytest.approx(0.2) == figure((60.0,), (100.0,), Floor("ratio", "at least", 0.75)).short_by


def test_a_met_floor_is_short_by_nothing() -> None:
    assert 0.0 == figure((90.0,), (100.0,), Floor("ratio", "at least", 0.75)).short_by
