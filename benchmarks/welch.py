"""Welch's t-test: whether two kinds of answers differ in their mean time, and how many questions it takes to see it.

    t = (m₁ - m₂) / √(s₁²/n₁ + s₂²/n₂)
    d = (s₁²/n₁ + s₂²/n₂)² / ((s₁²/n₁)²/(n₁-1) + (s₂²/n₂)²/(n₂-1))

Sources: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved",
Biometrika 34 (1947), with the degrees of freedom d of Satterthwaite (1946). That the slowest answers are left out in a
second look, by one bound for both kinds, is from O. Reparaz, J. Balasch and I. Verbauwhede, "Dude, is my code constant
time?", DATE 2017: what interrupts a machine hides small differences.

Example: means of 9,000 and 9,500 ns with deviations of 2,000 ns, 100,000 answers each: t = -55.9, the difference is
500 ± 18 ns. Who wants to tell the two apart asks each at least 13.0 · 2 · 2,000² / 518² = 388 times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, variance

import msgspec

_KEPT = 0.95
_SURE = NormalDist().inv_cdf(0.975)
_SEEN = NormalDist().inv_cdf(0.95)


class Welch(msgspec.Struct, frozen=True, kw_only=True):
    """Two kinds of answers, compared. Times are nanoseconds, differences are the second less the first.

    ``degrees`` are Welch and Satterthwaite's; with thousands of them Student's distribution is the normal one, by which
    ``p`` (two-sided) and the interval of 95 % (``difference_ns`` ± ``margin_ns``) are taken.
    """

    answers: int
    means_ns: tuple[float, float]
    deviations_ns: tuple[float, float]
    difference_ns: float
    margin_ns: float
    t: float
    degrees: float
    p: float

    @property
    def differ(self) -> bool:
        """Whether the interval of 95 % leaves no room for equal means."""
        return abs(self.difference_ns) > self.margin_ns

    @property
    def questions(self) -> float:
        """How many questions of each kind are needed at least to tell the two apart.

        With 95 % certainty that a difference is none of chance (two-sided), and a chance of 95 % to find it; for the largest
        difference that the interval leaves room for: n = (z₀.₉₇₅ + z₀.₉₅)² (s₁² + s₂²) / d². Both means are taken from the
        attacker's own questions.
        """
        largest = abs(self.difference_ns) + self.margin_ns
        return math.inf if not largest else (_SURE + _SEEN) ** 2 * sum(each**2 for each in self.deviations_ns) / largest**2


def welch(first: Sequence[float], second: Sequence[float]) -> Welch:
    """Compare two samples of at least two numbers each, in nanoseconds.

    Raises:
        statistics.StatisticsError: a sample is too small.
    """
    means = fmean(first), fmean(second)
    variances = variance(first, means[0]), variance(second, means[1])
    parts = variances[0] / len(first), variances[1] / len(second)
    error = math.sqrt(sum(parts))
    difference = means[1] - means[0]
    t = -difference / error if error else 0.0
    scatter = parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1)
    return Welch(
        answers=min(len(first), len(second)),
        means_ns=means,
        deviations_ns=(math.sqrt(variances[0]), math.sqrt(variances[1])),
        difference_ns=difference,
        margin_ns=_SURE * error,
        t=t,
        degrees=sum(parts) ** 2 / scatter if scatter else math.inf,
        p=math.erfc(abs(t) / math.sqrt(2)),
    )


def without_slowest(first: Sequence[float], second: Sequence[float]) -> tuple[list[float], list[float]]:
    """Leave out the slowest 5 % of both together: one bound for both kinds, or the slower one would be favoured."""
    both = sorted((*first, *second))
    bound = both[math.ceil(len(both) * _KEPT) - 1]
    return [each for each in first if each <= bound], [each for each in second if each <= bound]
