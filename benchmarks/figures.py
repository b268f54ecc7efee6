"""Figures: what was measured, beside its baseline of the same run, and whether its floor is met.

A ratio is taken within each round, of two measurements made one after the other, and the figure's ratio is the median over
the rounds: what slows the whole machine down for a while slows both. Example: echo 30,000 and Check 24,000 calls a second
in one round, 20,000 and 16,000 in the next, give the ratio 0.80, as the medians of neither round alone would.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from statistics import median
from typing import Literal, Protocol

import msgspec

Of = Literal["value", "ratio"]
Bound = Literal["at least", "at most"]


class Floor(msgspec.Struct, frozen=True):
    """What the design asks of a figure's value or of its ratio to the baseline."""

    of: Of
    bound: Bound
    limit: float

    def __str__(self) -> str:
        sign = {"at least": "≥", "at most": "≤"}[self.bound]
        return f"{self.of} {sign} {self.limit:,g}"


class Series(msgspec.Struct, frozen=True):
    """One measurement, once a round. ``unit`` tells what the numbers are."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.rounds)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement, the baseline that it stands beside, and what is asked of it. ``transport`` is "" within a process."""

    measured: Series
    baseline: Series | None = None
    transport: str = ""
    floor: Floor | None = None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Measured ÷ baseline, round by round."""
        if self.baseline is None:
            return ()
        return tuple(mine / its for mine, its in zip(self.measured.rounds, self.baseline.rounds, strict=True))

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        return median(self.ratios) if self.baseline is not None else None

    @property
    def judged(self) -> float | None:
        """The number that the floor is held against."""
        if self.floor is None:
            return None
        return self.ratio if self.floor.of == "ratio" else self.measured.median

    @property
    def met(self) -> bool | None:
        """Whether the floor is met; None without one."""
        if self.floor is None or self.judged is None:
            return None
        return self.judged >= self.floor.limit if self.floor.bound == "at least" else self.judged <= self.floor.limit

    @property
    def short_by(self) -> float:
        """How far a missed floor is away, as a share of the limit; 0 when it is met or there is none."""
        if self.floor is None or self.judged is None or self.met:
            return 0.0
        return abs(self.judged - self.floor.limit) / self.floor.limit


class Timed(Protocol):
    """What a run says of the times of its calls, in microseconds."""

    @property
    def p99_us(self) -> float:
        """Of all calls."""

    @property
    def typical_p99_us(self) -> float:
        """Of a typical second."""


def p99s(
    what: str,
    measured: Sequence[Timed],
    beside: str,
    baseline: Sequence[Timed],
    *,
    transport: str,
    floor: Floor | None,
) -> list[Figure]:
    """Give the p99 of a typical second, which the floor is held against, and that of all calls.

    Args:
        what: what was measured, in words that follow "p99".
        measured: by rounds.
        beside: what the baseline is, in such words.
        baseline: by rounds.
        transport: how the calls came.
        floor: None where none is asked.
    """
    return [
        Figure(
            measured=Series(f"{name} {what}", "µs", tuple(map(pick, measured))),
            baseline=Series(f"{name} {beside}", "µs", tuple(map(pick, baseline))),
            transport=transport,
            floor=asked,
        )
        for name, pick, asked in (
            ("p99 of a typical second", attrgetter("typical_p99_us"), floor),
            ("p99 of all", attrgetter("p99_us"), None),
        )
    ]
