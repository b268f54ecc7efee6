"""Evidence of probing: what was counted of a partner's questions, summed sign by sign.

The rules by which a sign is summed are those of `portcullis.domain.probing`, which says why. Here is how: each sign is a
count c out of n, summed as S = max(0, S + c - k * n), with an allowance k that follows the partner's own usual share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

WINDOW = 64
"""So many are counted at a time."""
UNSUSPICIOUS = 0.3
"""Above this suspicion nothing is learned."""
SHOWN = 0.1
"""A sign whose part is less is not named."""

_LEARNED = 640
"""So many counted make a history."""
_MEMORY = 1.0 - 1.0 / 1_024
"""What the history keeps of itself at each window learned from: some thousand of them count."""
_DEVIATIONS = 3.0
_NO_HITS_NATS = 2.5
_NO_HITS_WEIGHT = 0.4
_NO_HITS_SHARE = 1 / 5


class Sign(StrEnum):
    """What suspicion rests on.

    NEAR, BLOCK and REGION are crowded numbers (`portcullis.domain.crowding`); INVALID, that can't be what they say; NOVEL,
    of subjects never seen; HITS and NO_HITS, too many found and too few; CANARY, that nobody has.
    """

    NEAR = "near"
    BLOCK = "block"
    REGION = "region"
    INVALID = "invalid"
    NOVEL = "novel"
    HITS = "hits"
    NO_HITS = "no-hits"
    CANARY = "canary"


class Rule(NamedTuple):
    """How one sign is summed.

    Attributes:
        cold: the allowance of a partner without a history; 1 where the sign then counts for nothing.
        least: the least that is allowed above the usual share.
        most: the most that is ever allowed.
        limit: the sum that the whole weight stands for.
        weight: the most that the sign adds to the suspicion.
    """

    cold: float
    least: float
    most: float
    limit: float
    weight: float = 1.0


RULES: Mapping[Sign, Rule] = MappingProxyType(
    {
        Sign.NEAR: Rule(cold=0.2, least=0.02, most=0.06, limit=96),
        Sign.BLOCK: Rule(cold=0.3, least=0.05, most=0.12, limit=112),
        Sign.REGION: Rule(cold=1.0, least=0.1, most=0.85, limit=80, weight=0.55),
        Sign.INVALID: Rule(cold=0.35, least=0.04, most=0.5, limit=160),
        Sign.NOVEL: Rule(cold=1.0, least=0.1, most=1.0, limit=48, weight=0.35),
        Sign.HITS: Rule(cold=0.5, least=0.1, most=0.8, limit=64),
    }
)


CROWDED = (Sign.NEAR, Sign.BLOCK, Sign.REGION)


class Counts(NamedTuple):
    """What was counted: of subjects that were new, a pool at a time, and of all that was asked, a window at a time.

    Attributes:
        near: how many of the pool are crowded, in cells of the smallest size (`portcullis.domain.crowding`).
        block: likewise in cells of the middle size.
        region: likewise in the largest.
        hits: how many of the pool were found.
        pooled: how many the pool has.
        novel: how many of the window were new.
        found: how many of it were found.
        asked: how many it has.
        invalid: how many questions had an identifier that could not be what it said.
    """

    near: int = 0
    block: int = 0
    region: int = 0
    hits: int = 0
    pooled: int = 0
    novel: int = 0
    found: int = 0
    asked: int = 0
    invalid: int = 0

    def plus(self, other: Counts) -> Counts:
        """Give both together."""
        return Counts(*(mine + yours for mine, yours in zip(self, other, strict=True)))

    def minus(self, other: Counts) -> Counts:
        """Give how much more it is than another; less than 0 where it is less."""
        return Counts(*(mine - yours for mine, yours in zip(self, other, strict=True)))

    def grown(self) -> Counts:
        """Give what is more than 0 of a difference."""
        return Counts(*(max(each, 0) for each in self))

    def pool(self) -> Iterator[Tally]:
        """Give what the pool says."""
        crowded = zip(CROWDED, (self.near, self.block, self.region), strict=True)
        yield from ((sign, count, self.pooled) for sign, count in crowded)
        yield Sign.HITS, self.hits, self.pooled

    def window(self) -> Iterator[Tally]:
        """Give what the window says."""
        if self.asked:
            yield Sign.NOVEL, self.novel, self.asked
            yield Sign.NO_HITS, self.found, self.asked
        yield Sign.INVALID, self.invalid, self.written

    @property
    def written(self) -> int:
        """How many questions the window has, those included whose identifier can't be."""
        return self.asked + self.invalid


NOTHING = Counts()

Tally = tuple[Sign, int, int]
"""A sign, how many show it, and of how many."""


class _Sum:
    """One sign's sum, and the usual share behind its allowance."""

    __slots__ = ("allowance", "amount", "count", "rule", "shares", "squares", "total", "windows")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.amount = 0.0
        self.allowance = rule.cold
        self.count = self.total = self.windows = self.shares = self.squares = 0.0

    def add(self, count: int, total: int) -> None:
        amount = self.amount + count - self.allowance * total
        self.amount = amount if amount > 0 else 0.0

    def learn(self, count: int, total: int) -> None:
        share = count / total
        self.count = self.count * _MEMORY + count
        self.total = self.total * _MEMORY + total
        self.windows = self.windows * _MEMORY + 1
        self.shares = self.shares * _MEMORY + share
        self.squares = self.squares * _MEMORY + share * share
        if self.total >= _LEARNED:
            mean = self.shares / self.windows
            deviation = math.sqrt(max(self.squares / self.windows - mean * mean, 0.0))
            wanted = self.usual + max(_DEVIATIONS * deviation, self.rule.least)
            self.allowance = min(wanted, self.rule.most)

    @property
    def is_learned(self) -> bool:
        """Whether there is a history."""
        return self.total >= _LEARNED

    @property
    def usual(self) -> float:
        """The usual share; 0 before there is a history."""
        return self.count / self.total if self.total >= _LEARNED else 0.0

    @property
    def part(self) -> float:
        return self.rule.weight * min(self.amount / self.rule.limit, 1.0)


class Evidence:
    """The sums of one partner's signs, and what is usual for it. Not for several threads.

    Attributes:
        amount: the suspicion: the sum of the signs' parts.
        probes: how many different numbers were asked about since the first sign.
    """

    __slots__ = ("_finds", "_no_hits", "_sums", "amount", "other_parts", "probes")

    def __init__(self) -> None:
        self._sums = {sign: _Sum(rule) for sign, rule in RULES.items()}
        self._finds = _Sum(RULES[Sign.HITS])
        self._no_hits = 0.0
        self.other_parts: dict[Sign, float] = {}
        self.amount = 0.0
        self.probes = 0

    @property
    def is_learned(self) -> bool:
        """Whether there is a history."""
        return self._sums[Sign.NEAR].is_learned

    def add(self, tallies: Iterable[Tally], different: int) -> None:
        """Add what full windows and pools say, ``different`` new numbers in all, and learn from what is not suspicious."""
        told = list(tallies)
        for sign, count, total in told:
            if sign is Sign.NO_HITS:
                self._miss(count, total)
            else:
                self._sums[sign].add(count, total)
        self.weigh(different)
        if self.amount < UNSUSPICIOUS:
            for sign, count, total in told:
                (self._finds if sign is Sign.NO_HITS else self._sums[sign]).learn(count, total)

    def pass_over(self, found: int, asked: int, invalid: int) -> None:
        """Add what can be said of a window that nobody looks into: how many were found, and how many could not be."""
        self._finds.learn(found, asked)
        self.add([(Sign.INVALID, invalid, asked + invalid)], 0)

    def fade(self, kept: float) -> None:
        """Keep this part of every suspicion."""
        for each in self._sums.values():
            each.amount *= kept
        self._no_hits *= kept

    def weigh(self, different: int) -> None:
        """Sum up what there is, after ``different`` numbers more."""
        self.amount = sum(self.parts().values())
        self.probes = self.probes + different if self.amount >= SHOWN else 0

    def parts(self) -> dict[Sign, float]:
        """Give what each sign adds to the suspicion."""
        parts = _crowded_once({sign: each.part for sign, each in self._sums.items() if each.amount})
        if self._no_hits:
            parts[Sign.NO_HITS] = _NO_HITS_WEIGHT * min(self._no_hits / _NO_HITS_NATS, 1.0)
        return parts | self.other_parts

    def begin_anew(self) -> None:
        """Forget every suspicion; the usual shares stay."""
        for each in self._sums.values():
            each.amount = 0.0
        self._no_hits = self.amount = 0.0
        self.other_parts.clear()
        self.probes = 0

    def _miss(self, hits: int, total: int) -> None:
        usual = min(self._finds.usual, 0.99)
        if usual:
            rare = usual * _NO_HITS_SHARE
            said = hits * math.log(_NO_HITS_SHARE) + (total - hits) * math.log((1 - rare) / (1 - usual))
            self._no_hits = max(0.0, self._no_hits + said)


def parts_of_both(one: Evidence, other: Evidence) -> dict[Sign, float]:
    """Give what each sign adds where the same questions are counted twice: the more that either says."""
    parts = one.parts()
    for sign, part in other.parts().items():
        parts[sign] = max(parts.get(sign, 0.0), part)
    return _crowded_once(parts)


def _crowded_once(parts: dict[Sign, float]) -> dict[Sign, float]:
    """Leave the worst sign of crowding alone: all see the same numbers, so they don't confirm one another."""
    worst = max(CROWDED, key=lambda sign: parts.get(sign, 0.0))
    return {sign: part for sign, part in parts.items() if sign is worst or sign not in CROWDED}
