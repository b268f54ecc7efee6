"""Quantiles of the times of calls, over all of a run and in its typical second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

NOTE = (
    "The p99 of a typical second is the median of the p99 of each second. The host's own pauses, some tens of milliseconds "
    "every few seconds, decide the p99 of a whole run, which stands beside it."
)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Give a quantile of ascending numbers; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def typical(calls: Iterable[tuple[float, float]], begin: float, share: float) -> float:
    """Give the median of a quantile of each second, in seconds; 0 of no calls.

    Args:
        calls: when each was due and when it ended, in seconds of one clock.
        begin: where the first second begins; calls that were due before do not count.
        share: which quantile, from 0 to 1.
    """
    seconds: defaultdict[int, list[float]] = defaultdict(list)
    for due, end in calls:
        if due >= begin:
            seconds[int(due - begin)].append(end - due)
    return median(quantile(sorted(each), share) for each in seconds.values()) if seconds else 0.0
