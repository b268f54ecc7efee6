"""What is used of a day: subjects and labels."""

from __future__ import annotations

import random

import pytest

from portcullis.gateway.quotas.day_counts import EXACT, DayCounts, depth_for


def notes(count: int, seed: int = 1) -> list[tuple[str, str, bytes]]:
    chance = random.Random(seed)
    return [("kind", "value", chance.randbytes(16)) for _ in range(count)]


def test_a_small_quota_is_counted_subject_by_subject() -> None:
    counts = DayCounts(1, 2 * EXACT - 1)
    asked = notes(5_000)
    counts.note(asked)
    counts.note(asked)
    assert 5_000 == counts.subjects


@pytest.mark.parametrize("quota", [2 * EXACT, 100_000, 1_000_000])
def test_a_large_quota_is_counted_within_a_few_hundredths_from_a_bounded_sample(quota: int) -> None:
    counts = DayCounts(1, quota)
    for seed in range(5):
        counts.note(notes(quota // 5, seed))
    assert counts.subjects == pytest.approx(quota, rel=0.05)
    assert EXACT * 0.9 < len(counts.seen) < 2 * EXACT * 1.1


def test_the_sample_of_the_largest_quotas_needs_more_than_one_byte() -> None:
    assert 16 == depth_for(10**9)
    counts = DayCounts(1, 10**9)
    counts.note([("", "", b"\1" * 14 + b"\1\0"), ("", "", b"\2" * 14 + b"\0\0"), ("", "", b"\3" * 16)])
    assert [b"\2" * 14 + b"\0\0"] == counts.seen


def test_a_larger_quota_thins_the_sample_out_and_the_count_stays() -> None:
    counts = DayCounts(1, 10_000)
    counts.note(notes(9_000))
    counts.follow(100_000)
    assert 3 == counts.depth
    assert counts.subjects == pytest.approx(9_000, rel=0.15)
    counts.follow(10_000)
    assert 3 == counts.depth


def test_what_others_have_counted_counts() -> None:
    counts = DayCounts(1, 10_000)
    counts.note(notes(3))
    counts.own_labels = 2
    counts.told(subjects=10, labels=5)
    assert (10, 7) == (counts.subjects, counts.labels)
    counts.own_labels += 1
    assert 8 == counts.labels
    counts.begin(2, 10_000)
    assert (0, 0) == (counts.subjects, counts.labels)
