"""Trials: what the detector makes of a stream of questions, at one worker or at several."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from benchmarks.probing.traffic import Question, Stream
from portcullis.adapters.memory.quotas import MemoryQuotaExchange
from portcullis.domain.evidence import NOTHING, Counts
from portcullis.domain.probing import Detector, Fresh, Level, Suspicion
from portcullis.ports.quotas import NewSubject, Use

WINDOW = 64
TURN_S = 0.1
"""How often workers tell one another what they have counted, as `portcullis.gateway.quotas.sharing` does."""
ASKED_PER_TURN = 64
"""So many questions all workers together are asked between two turns: 640 a second."""

_PARTNER = "lender"


class Windows(NamedTuple):
    """What became of windows studied: how many there were, and in how many the partner was slowed and stopped."""

    studied: int
    slowed: int
    stopped: int


class Found(NamedTuple):
    """After how many different numbers of its own a scraper was slowed and stopped; None for never."""

    slowed: int | None
    stopped: int | None
    signs: tuple[str, ...]


class Worker:
    """One worker's watch for one partner, fed question by question."""

    def __init__(self) -> None:
        self.detector = Detector()
        self._notes: list[tuple[str, str, bytes]] = []
        self._found: set[bytes] = set()
        self._invalid = 0
        self._told = NOTHING
        self._others: Counts | None = None

    def ask(self, question: Question, now: float) -> Suspicion | None:
        """Ask about somebody; gives what a study finds, where one was due."""
        if question.value:
            self._notes.append((question.kind, question.value, question.token))
            if question.listed:
                self._found.add(question.token)
        else:
            self._invalid += 1
        return self.study(now) if len(self._notes) >= WINDOW or self._invalid >= WINDOW else None

    def study(self, now: float) -> Suspicion:
        """Study what was asked since the last time."""
        told = self.detector.study(self._notes, now, found=self._found, invalid=self._invalid)
        self._notes.clear()
        self._found.clear()
        self._invalid = 0
        return told

    def turn(self, name: str, exchange: MemoryQuotaExchange, now: float) -> Suspicion | None:
        """Tell the others what was counted, and judge what all have."""
        counted = self.detector.counted()
        fresh = list(_named(self.detector.take_fresh()))
        use = Use(_PARTNER, 1.0, 0.0, 0, 0, (), counted.minus(self._told), fresh)
        of_all = exchange.turn(name, 0, [use]).used[_PARTNER].counted
        self._told = counted
        others, before = of_all.minus(counted), self._others
        self._others = others
        return self.detector.hear(others.minus(before).grown() if before is not None else NOTHING, now)


def _named(fresh: Fresh) -> Iterator[NewSubject]:
    for token, *cells in fresh.placed:
        near, block, region = (blake2b(cell.encode(), digest_size=8).digest() for cell in cells)
        yield NewSubject(token[:8], (near, block, region), token in fresh.found)


class Workers:
    """Workers that are asked in turn, and tell one another what they have counted."""

    def __init__(self, count: int, window_s: float) -> None:
        self._workers = [Worker() for _ in range(count)]
        self._window_s = window_s
        self._now = 0.0
        self._asked = 0
        self._exchange = MemoryQuotaExchange(monotonic=lambda: 0.0)
        self.windows = 0
        self.signs: tuple[str, ...] = ()

    def ask(self, question: Question) -> Level:
        """Ask the next one; gives what is to be done after it."""
        worker = self._workers[self._asked % len(self._workers)]
        self._asked += 1
        found = [worker.ask(question, self._now)]
        if self._asked % ASKED_PER_TURN == 0:
            self.windows += 1
            self._now += self._window_s
            if len(self._workers) > 1:
                found += self._turn()
        worst = max((each for each in found if each is not None), key=lambda each: each.level, default=None)
        if worst is None or not worst.level:
            return Level.NORMAL
        self.signs = tuple(str(sign) for sign in worst.signs)
        if worst.level is Level.STOPPED:
            for each in self._workers:
                each.detector.begin_anew()
        return worst.level

    def _turn(self) -> list[Suspicion | None]:
        studied: list[Suspicion | None] = [each.study(self._now) for each in self._workers]
        heard = [each.turn(f"{place:02d}", self._exchange, self._now) for place, each in enumerate(self._workers)]
        return studied + heard


def honest_windows(stream: Stream, windows: int, *, window_s: float = TURN_S, workers: int = 1) -> Windows:
    """Study so many windows of an honest partner from its first question on."""
    asked = Workers(workers, window_s)
    slowed = stopped = 0
    while asked.windows < windows:
        before = asked.windows
        levels = []
        while asked.windows == before:
            levels.append(asked.ask(next(stream)))
        worst = max(levels)
        slowed += worst is Level.SLOWED
        stopped += worst is Level.STOPPED
    return Windows(windows, slowed, stopped)


def until_stopped(
    scraper: Stream,
    *,
    before: Stream | None = None,
    history: int = 6_400,
    workers: int = 1,
    most: int = 3_000,
    window_s: float = TURN_S,
) -> Found:
    """Let a scraper ask until it is stopped, with the credential of a partner that has asked honestly before.

    Each worker has seen so much of its history. All are asked 640 times a second, where windows are passed over.
    """
    asked = Workers(workers, window_s)
    if before is not None:
        for _ in range(history * workers):
            asked.ask(next(before))
    probes: set[str] = set()
    slowed: int | None = None
    questions = 0
    while len(probes) < most and questions < most * 12:
        question = next(scraper)
        questions += 1
        level = asked.ask(question)
        if question.scraped and question.value:
            probes.add(question.value)
        if level is Level.SLOWED and slowed is None:
            slowed = len(probes)
        if level is Level.STOPPED:
            return Found(slowed if slowed is not None else len(probes), len(probes), asked.signs)
    return Found(slowed, None, asked.signs)
