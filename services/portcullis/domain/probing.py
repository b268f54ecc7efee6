"""Probing: telling a partner that asks about its customers from somebody who goes through numbers to find who is listed.

What is asked is counted, some dozens of questions at a time, and forgotten: no number outlives its study, save that the
cells of new ones stay until the other workers have heard of them. What stays are sums, salted hashes of a few dozen cells
(`portcullis.domain.crowding`), and the tokens of the last few thousand subjects, to know a customer who comes again. The
rules:

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
   crowded or found much. What can't be is counted in every one.
9. What all workers have counted is judged by the same rules beside a worker's own, with a history of its own: of all that
   was asked, the sums; of what was new to every worker, the pools that are kept where they meet (`portcullis.ports.quotas`).
   So whoever goes round many workers is as crowded as at one, and a number that is new at each of them counts once.

The thresholds were chosen with ``make bench-probing``, which measures false alarms and how soon scrapers are stopped.

Example: somebody new goes through 128 phones in order, 64 at a time. Of each 64, 63 are crowded, and 20 in a hundred are
allowed to a new partner: S is 100 of 96 for the sign ``near``, so the partner is stopped.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from operator import itemgetter
from typing import NamedTuple

from portcullis.domain.crowding import Crowd, Note, Placed, looks_crowded
from portcullis.domain.evidence import NOTHING, RULES, SHOWN, WINDOW, Counts, Evidence, Sign, Tally, parts_of_both

__all__ = ["RULES", "Detector", "Level", "Sign", "Suspicion"]

SLOWED_AT = 0.6
"""The suspicion from which a partner is slowed; it is stopped from 1 on."""
CANARIES_TO_STOP = 2
"""So many different entries of canary lists within a day stop a partner."""

_SOON_S = 2.0
_STUDIED_OF = 8
"""Of so many full windows one is studied while nothing is suspicious, and one at least in that time."""
_FEW_FOUND = 8
"""A window in which as many were found is studied in any case."""
_HALF_LIFE_S = 86_400.0
_CANARY_KEPT = 0.5
"""A canary whose weight has fallen to this is forgotten: after a day."""
_REMEMBERED = 4_096
"""Subjects in each of two generations."""
FRESH_KEPT = 128
"""So many new subjects are kept for the other workers, which hear several times a second; the rest are left out."""
_token_of = itemgetter(2)


class Fresh:
    """Subjects that were new to a worker, each once: where they lie, and the tokens of those that were found.

    It shows nothing of them.
    """

    __slots__ = ("found", "is_old", "placed")

    def __init__(self) -> None:
        self.placed: list[Placed] = []
        self.found: set[bytes] = set()
        self.is_old = False

    def add(self, placed: Sequence[Placed], found: Iterable[bytes]) -> None:
        """Add some, as far as there is room."""
        self.placed += placed[: FRESH_KEPT - len(self.placed)]
        self.found.update(found)


class Level(IntEnum):
    """What is done about a partner."""

    NORMAL = 0
    SLOWED = 1
    STOPPED = 2


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


class Detector:
    """Watches what one partner asks at one worker, and what the other workers have counted. Not for several threads.

    Args:
        counted: what was counted here before, where this one takes the place of another.

    A study costs about half a microsecond a question where many come; nothing blocks.
    """

    def __init__(self, counted: Counts = NOTHING) -> None:
        self._own = Evidence()
        self._common = _Common(counted)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._canaries: dict[bytes, float] = {}
        self._asked = self._novel = self._invalid = self._found = self._hits = 0
        self._crowd = Crowd()
        self._fresh = Fresh()
        self._closed = counted
        self._studied_at = self._faded_at = -math.inf
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
            self._own.pass_over(hits, len(tokens), invalid)
            return _NONE
        self._studied_at = now
        self._fade(now)
        self._invalid += invalid
        self._found += hits
        novel = self._gather(notes, tokens, found) if notes else 0
        self._own.add([*self._window(), *self._pool()], novel)
        return self._conclude()

    def canary(self, tokens: Iterable[bytes], now: float) -> Suspicion:
        """Note a question that found entries of canary lists, by their tokens; ``now`` as for `study`."""
        self._fade(now)
        self._canaries |= dict.fromkeys(tokens, 1.0)
        self._own.other_parts[Sign.CANARY] = max(SLOWED_AT, len(self._canaries) / CANARIES_TO_STOP)
        self._own.weigh(1)
        return self._conclude()

    def canaries(self) -> Mapping[bytes, float]:
        """Give the tokens of the canaries that count, and how many seconds ago each was asked about."""
        return {token: -math.log2(weight) * _HALF_LIFE_S for token, weight in self._canaries.items()}

    def canaries_elsewhere(self, ages_s: Mapping[bytes, float], now: float) -> None:
        """Have canaries count that were asked about at another worker so long ago; it has raised the alarm for them."""
        self._fade(now)
        weights = {token: 0.5 ** (max(age_s, 0.0) / _HALF_LIFE_S) for token, age_s in ages_s.items()}
        self._canaries = {token: weight for token, weight in weights.items() if weight > _CANARY_KEPT} | self._canaries
        if self._canaries:
            self._own.other_parts[Sign.CANARY] = sum(self._canaries.values()) / CANARIES_TO_STOP

    def counted(self) -> Counts:
        """Give what was counted here of all that was asked, ever: it never grows less."""
        return self._closed.plus(self._open_window())

    def take_fresh(self) -> Fresh:
        """Give the subjects that were new here since the last time, and forget them."""
        taken, self._fresh = self._fresh, Fresh()
        return taken

    def age_fresh(self) -> None:
        """Forget new subjects that nobody has taken since the last time that this was called."""
        if self._fresh.is_old:
            self._fresh = Fresh()
        self._fresh.is_old = True

    def hear(self, others: Counts, now: float) -> Suspicion | None:
        """Judge what all workers have counted; None where that is no news. ``now`` as for `study`.

        Args:
            others: what the others have counted of all that was asked since the last time, and what all together have of the
                subjects that were new to every one of them.
            now: as for `study`.
        """
        self._fade(now)
        return self._conclude() if self._common.hear(self.counted(), others) else None

    def begin_anew(self) -> None:
        """Forget every suspicion; the partner's usual shares stay."""
        self._own.begin_anew()
        self._common.evidence.begin_anew()
        self._canaries.clear()

    def _is_at_ease(self, now: float) -> bool:
        """Say whether a window may be passed over: it comes soon after another, and nothing is suspicious."""
        return (
            self._studies % _STUDIED_OF > 0
            and self._own.amount < SHOWN
            and self._common.evidence.amount < SHOWN
            and now - self._studied_at < _SOON_S
            and self._own.is_learned
        )

    def _fade(self, now: float) -> None:
        kept = 0.5 ** ((now - self._faded_at) / _HALF_LIFE_S)
        self._faded_at = now
        self._own.fade(kept)
        self._common.evidence.fade(kept)
        if self._canaries:
            faded = ((token, weight * kept) for token, weight in self._canaries.items())
            self._canaries = {token: weight for token, weight in faded if weight > _CANARY_KEPT}
            self._own.other_parts[Sign.CANARY] = sum(self._canaries.values()) / CANARIES_TO_STOP

    def _gather(self, notes: Sequence[Note], tokens: set[bytes], found: Collection[bytes]) -> int:
        """Add to the window what was asked, and to the pool what is new; gives how much is."""
        novel = tokens - self._young - self._old
        self._remember(tokens)
        self._asked += len(tokens)
        if novel:
            self._novel += len(novel)
            hits = novel.intersection(found) if found else ()
            self._hits += len(hits)
            placed = self._crowd.add(list({note[2]: note for note in notes if note[2] in novel}.values()))
            self._fresh.add(placed, hits)
        return len(novel)

    def _remember(self, tokens: set[bytes]) -> None:
        # A customer who came again stays among the young.
        self._young |= tokens
        if len(self._young) > _REMEMBERED:
            self._old, self._young = self._young, set()

    def _conclude(self) -> Suspicion:
        """Judge by what was counted here and by what all have counted, each sign at its worst."""
        own, common = self._own, self._common.evidence
        if not (own.amount or common.amount):
            return _NONE
        parts = parts_of_both(own, common)
        amount = sum(parts.values())
        level = Level.NORMAL
        if amount >= SLOWED_AT:
            level = Level.STOPPED if amount >= 1 else Level.SLOWED
        signs = tuple(sign for sign, part in parts.items() if part >= SHOWN) if level else ()
        return Suspicion(level, signs, max(own.probes, common.probes), amount)

    def _open_window(self) -> Counts:
        return Counts(novel=self._novel, found=self._found, asked=self._asked, invalid=self._invalid)

    def _open_pool(self) -> Counts:
        near, block, region = self._crowd.crowded()
        return Counts(near, block, region, self._hits, self._crowd.count)

    def _window(self) -> Iterator[Tally]:
        """Give what a window says that is full, and begin the next."""
        if self._asked + self._invalid >= WINDOW:
            full = self._open_window()
            self._closed = self._closed.plus(full)
            self._asked = self._novel = self._invalid = self._found = 0
            yield from full.window()

    def _pool(self) -> Iterator[Tally]:
        """Give what a pool says that is full, and begin the next."""
        if self._crowd.count >= WINDOW:
            full = self._open_pool()
            self._crowd.clear()
            self._hits = 0
            yield from full.pool()


class _Common:
    """What all workers have counted, as one of them hears it."""

    def __init__(self, own: Counts) -> None:
        self.evidence = Evidence()
        self._own = own
        self._of_all = NOTHING

    def hear(self, own: Counts, others: Counts) -> bool:
        """Take in what was counted; says whether a window or a pool is full."""
        fresh, self._own = own.minus(self._own).grown(), own
        self._of_all = self._of_all.plus(fresh).plus(others)
        pooled = self._of_all.pooled if self._of_all.pooled >= WINDOW else 0
        full = [*self._window(), *self._pool()]
        if full:
            self.evidence.add(full, pooled)
        return bool(full)

    def _window(self) -> Iterator[Tally]:
        if self._of_all.written >= WINDOW:
            yield from self._of_all.window()
            self._of_all = self._of_all._replace(novel=0, found=0, asked=0, invalid=0)

    def _pool(self) -> Iterator[Tally]:
        if self._of_all.pooled >= WINDOW:
            yield from self._of_all.pool()
            self._of_all = self._of_all._replace(near=0, block=0, region=0, hits=0, pooled=0)


_NONE = Suspicion(Level.NORMAL, (), 0, 0.0)
