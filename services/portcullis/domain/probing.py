"""Probing: telling a partner that asks about its customers from somebody who goes through numbers to find who is listed.

What is asked is counted, some dozens of questions at a time, and forgotten: no number outlives its study. What stays are
sums, salted hashes of a few dozen cells (`portcullis.domain.crowding`), and the tokens of the last few thousand subjects, to
know a customer who comes again. The rules:

1. Two things are counted. Of all that is asked, a window at a time: how much is new, invalid, found. Of what is new, never
   asked about as far as is remembered, a pool at a time: how much is crowded, and found. So who hides among regular
   customers is as crowded as who doesn't.
2. Each sign is a count c out of n (`RULES`), and is summed as S = max(0, S + c - k * n): the one-sided CUSUM (Page,
   "Continuous inspection schemes", Biometrika 41, 1954). Its allowance k is the partner's own usual share and three of its
   standard deviations, both weighted exponentially (Roberts, Technometrics 1, 1959), within bounds; a partner without a
   history is judged by fixed bounds alone. What looks suspicious is not learned from. Crowding counts once, at its
   worst.
3. Neighbours are evidence whoever asks: a history excuses six near ones in a hundred and twelve of one block, and no more.
   A partner whose business has more is to have ``probing = "watch"``.
4. The share of hits being too low is a sequential test of likelihoods (Wald, "Sequential Analysis", 1947): each miss and
   each hit adds the logarithm of how much likelier it is at a fifth of the usual share, about that of people at random.
5. S over its limit, at most a sign's weight, is the sign's part; the sum of the parts is the suspicion. From `SLOWED_AT` on
   the partner is slowed, from 1 on it is stopped. What honest business can bring about alone has a weight that can't stop:
   new customers (a sale), one region (a new branch), no hits (luck). All three together stop.
6. A question about an entry of a canary list is a sign by itself, since nobody has its number: one slows, two different ones
   within a day stop. Afterwards one is half a suspicion that fades as the rest does, and is forgotten after a day: too
   little to slow by itself, so an accident is over when its alarm is.
7. Suspicion halves within a day, and begins anew after a stop.
8. Of a partner that asks much, has a history and is not suspected, one window in eight is studied, and every one that looks
   crowded or found much.

The thresholds were chosen with ``make bench-probing``, which measures false alarms and how soon scrapers are stopped.

Example: somebody new goes through 128 phones in order, 64 at a time. Of each 64, 63 are crowded, and 20 in a hundred are
allowed to a new partner: S is 100 of 96 for the sign ``near``, so the partner is stopped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum, StrEnum
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

from portcullis.domain.crowding import Crowd, Note, looks_crowded

SLOWED_AT = 0.6
"""The suspicion from which a partner is slowed; it is stopped from 1 on."""
CANARIES_TO_STOP = 2
"""So many different entries of canary lists within a day stop a partner."""

WINDOW = 64
"""So many are counted at a time."""

_LEARNED = 640
"""So many counted make a history."""
_MEMORY = 1.0 - 1.0 / 1_024
"""What the history keeps of itself at each window learned from: some thousand of them count."""
_SOON_S = 2.0
_STUDIED_OF = 8
"""Of so many full windows one is studied while nothing is suspicious, and one at least in that time."""
_FEW_FOUND = 8
"""A window in which as many were found is studied in any case."""
_DEVIATIONS = 3.0
_UNSUSPICIOUS = 0.3
"""Above this suspicion nothing is learned."""
_HALF_LIFE_S = 86_400.0
_CANARY_KEPT = 0.5
"""A canary whose weight has fallen to this is forgotten: after a day."""
_REMEMBERED = 4_096
"""Subjects in each of two generations."""
_NO_HITS_NATS = 2.5
_NO_HITS_WEIGHT = 0.4
_NO_HITS_SHARE = 1 / 5
_SHOWN = 0.1
"""A sign whose part is less is not named."""
_token_of = itemgetter(2)


class Level(IntEnum):
    """What is done about a partner."""

    NORMAL = 0
    SLOWED = 1
    STOPPED = 2


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


_CROWDED = (Sign.NEAR, Sign.BLOCK, Sign.REGION)


class Suspicion(NamedTuple):
    """What a study has found.

    Attributes:
        level: what is to be done.
        signs: what it rests on.
        probes: how many different numbers were asked about since the first sign.
        amount: the sum of the signs' parts.
    """

    level: Level
    signs: tuple[Sign, ...]
    probes: int
    amount: float


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


class Detector:
    """Watches what one partner asks at one worker. Not for several threads.

    A study costs about half a microsecond a question where many come; nothing blocks.
    """

    def __init__(self) -> None:
        self._sums = {sign: _Sum(rule) for sign, rule in RULES.items()}
        self._finds = _Sum(RULES[Sign.HITS])
        self._no_hits = 0.0
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._canaries: dict[bytes, float] = {}
        self._canary_part = 0.0
        self._asked = self._novel = self._invalid = self._found = self._hits = 0
        self._crowd = Crowd()
        self._probes = 0
        self._amount = 0.0
        self._studied_at = -math.inf
        self._studies = 0

    def study(self, notes: Sequence[Note], now: float, *, found: Collection[bytes] = (), invalid: int = 0) -> Suspicion:
        """Study what was asked since the last time, however much it is.

        Args:
            notes: the identifiers asked about.
            now: monotonic seconds.
            found: the tokens of the questions that found something.
            invalid: how many questions had an identifier that could not be what it said.
        """
        self._studies += 1
        tokens = set(map(_token_of, notes))
        hits = len(tokens.intersection(found)) if found else 0
        if len(notes) >= WINDOW and self._is_at_ease(now) and hits < _FEW_FOUND and not looks_crowded(notes):
            self._remember(tokens)
            self._finds.learn(hits, len(tokens))
            return _NONE
        self._fade(now)
        self._invalid += invalid
        self._found += hits
        novel = self._gather(notes, tokens, found) if notes else 0
        windows = [*self._window(), *self._pool()]
        for sign, count, total in windows:
            if sign is Sign.NO_HITS:
                self._miss(count, total)
            else:
                self._sums[sign].add(count, total)
        self._weigh(novel)
        if self._amount < _UNSUSPICIOUS:
            for sign, count, total in windows:
                (self._finds if sign is Sign.NO_HITS else self._sums[sign]).learn(count, total)
        return self._conclude()

    def canary(self, tokens: Iterable[bytes], now: float) -> Suspicion:
        """Note a question that found entries of canary lists, by their tokens; ``now`` as for `study`."""
        self._fade(now)
        self._canaries |= dict.fromkeys(tokens, 1.0)
        self._canary_part = max(SLOWED_AT, len(self._canaries) / CANARIES_TO_STOP)
        self._weigh(1)
        return self._conclude()

    def begin_anew(self) -> None:
        """Forget every suspicion; the partner's usual shares stay."""
        for each in self._sums.values():
            each.amount = 0.0
        self._no_hits = self._canary_part = self._amount = 0.0
        self._canaries.clear()
        self._probes = 0

    def _is_at_ease(self, now: float) -> bool:
        """Say whether a window may be passed over: it comes soon after another, and nothing is suspicious."""
        return (
            self._studies % _STUDIED_OF > 0
            and self._amount < _SHOWN
            and now - self._studied_at < _SOON_S
            and self._sums[Sign.NEAR].is_learned
        )

    def _fade(self, now: float) -> None:
        kept = 0.5 ** ((now - self._studied_at) / _HALF_LIFE_S)
        self._studied_at = now
        for each in self._sums.values():
            each.amount *= kept
        self._no_hits *= kept
        if self._canaries:
            faded = ((token, weight * kept) for token, weight in self._canaries.items())
            self._canaries = {token: weight for token, weight in faded if weight > _CANARY_KEPT}
            self._canary_part = sum(self._canaries.values()) / CANARIES_TO_STOP

    def _gather(self, notes: Sequence[Note], tokens: set[bytes], found: Collection[bytes]) -> int:
        """Add to the window what was asked, and to the pool what is new; gives how much is."""
        novel = tokens - self._young - self._old
        self._remember(tokens)
        self._asked += len(tokens)
        if novel:
            self._novel += len(novel)
            self._hits += len(novel.intersection(found)) if found else 0
            self._crowd.add(list({note[2]: note for note in notes if note[2] in novel}.values()))
        return len(novel)

    def _remember(self, tokens: set[bytes]) -> None:
        # A customer who came again stays among the young.
        self._young |= tokens
        if len(self._young) > _REMEMBERED:
            self._old, self._young = self._young, set()

    def _window(self) -> Iterator[tuple[Sign, int, int]]:
        """Give the counts of a window that is full, and begin the next."""
        written = self._asked + self._invalid
        if written >= WINDOW:
            if self._asked:
                yield Sign.NOVEL, self._novel, self._asked
                yield Sign.NO_HITS, self._found, self._asked
            yield Sign.INVALID, self._invalid, written
            self._asked = self._novel = self._invalid = self._found = 0

    def _pool(self) -> Iterator[tuple[Sign, int, int]]:
        """Give the counts of a pool that is full, and begin the next."""
        total = self._crowd.count
        if total >= WINDOW:
            yield from ((sign, count, total) for sign, count in zip(_CROWDED, self._crowd.crowded(), strict=True))
            yield Sign.HITS, self._hits, total
            self._crowd.clear()
            self._hits = 0

    def _miss(self, hits: int, total: int) -> None:
        usual = min(self._finds.usual, 0.99)
        if usual:
            rare = usual * _NO_HITS_SHARE
            said = hits * math.log(_NO_HITS_SHARE) + (total - hits) * math.log((1 - rare) / (1 - usual))
            self._no_hits = max(0.0, self._no_hits + said)

    def _parts(self) -> dict[Sign, float]:
        parts = {sign: each.part for sign, each in self._sums.items() if each.amount}
        # These three see the same numbers, so they don't confirm one another.
        worst = max(_CROWDED, key=lambda sign: parts.get(sign, 0.0))
        for sign in _CROWDED:
            if sign is not worst:
                parts.pop(sign, None)
        if self._no_hits:
            parts[Sign.NO_HITS] = _NO_HITS_WEIGHT * min(self._no_hits / _NO_HITS_NATS, 1.0)
        if self._canary_part:
            parts[Sign.CANARY] = self._canary_part
        return parts

    def _weigh(self, different: int) -> None:
        self._amount = sum(self._parts().values())
        self._probes = self._probes + different if self._amount >= _SHOWN else 0

    def _conclude(self) -> Suspicion:
        level = Level.NORMAL
        if self._amount >= SLOWED_AT:
            level = Level.STOPPED if self._amount >= 1 else Level.SLOWED
        elif not self._amount:
            return _NONE
        signs = tuple(sign for sign, part in self._parts().items() if part >= _SHOWN) if level else ()
        return Suspicion(level, signs, self._probes, self._amount)


_NONE = Suspicion(Level.NORMAL, (), 0, 0.0)
