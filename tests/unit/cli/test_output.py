from __future__ import annotations

from portcullis.cli.output import counts


def test_counts_come_largest_first_and_all_without_a_limit() -> None:
    assert "b 2,000, a 1, c 1" == counts({"a": 1, "b": 2000, "c": 1})


def test_counts_beyond_the_limit_are_a_number() -> None:
    assert "b 3, a 2, and 2 more; --json lists all" == counts({"a": 2, "b": 3, "c": 1, "d": 1}, most=2)
    assert "b 3, a 2" == counts({"a": 2, "b": 3}, most=2)
