"""Trials: what the detector makes of a stream of questions."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.probing.traffic import Stream
from portcullis.domain.probing import Detector, Level

WINDOW = 64


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

    def __init__(self, window_s: float) -> None:
        self.detector = Detector()
        self._window_s = window_s
        self._notes: list[tuple[str, str, bytes]] = []
        self._found: set[bytes] = set()
        self._invalid = 0
        self._now = 0.0
        self.signs: tuple[str, ...] = ()
        self.windows = 0

    def ask(self, stream: Stream) -> tuple[Level, str]:
        """Ask the next question; gives the level after it, and its number where it was a scraper's."""
        question = next(stream)
        if question.value:
            self._notes.append((question.kind, question.value, question.token))
            if question.listed:
                self._found.add(question.token)
        else:
            self._invalid += 1
        level = Level.NORMAL
        if len(self._notes) >= WINDOW or self._invalid >= WINDOW:
            level = self._study()
        return level, question.value if question.scraped else ""

    def _study(self) -> Level:
        self._now += self._window_s
        self.windows += 1
        told = self.detector.study(self._notes, self._now, found=self._found, invalid=self._invalid)
        self._notes.clear()
        self._found.clear()
        self._invalid = 0
        if told.level:
            self.signs = tuple(str(sign) for sign in told.signs)
        if told.level is Level.STOPPED:
            self.detector.begin_anew()
        return told.level


def honest_windows(stream: Stream, windows: int, *, window_s: float = 0.1) -> Windows:
    """Study so many windows of an honest partner from its first question on."""
    worker = Worker(window_s)
    slowed = stopped = 0
    while worker.windows < windows:
        level, _ = worker.ask(stream)
        slowed += level is Level.SLOWED
        stopped += level is Level.STOPPED
    return Windows(windows, slowed, stopped)


def until_stopped(
    scraper: Stream,
    *,
    before: Stream | None = None,
    history: int = 6_400,
    workers: int = 1,
    most: int = 3_000,
    window_s: float = 0.1,
) -> Found:
    """Let a scraper ask until one worker stops it, with the credential of a partner that has asked honestly before.

    At ``window_s`` of 0.1 a worker is asked 640 times a second, where windows are passed over.
    """
    all_workers = [Worker(window_s) for _ in range(workers)]
    if before is not None:
        for worker in all_workers:
            for _ in range(history):
                worker.ask(before)
    probes: set[str] = set()
    slowed: int | None = None
    asked = 0
    while len(probes) < most and asked < most * 12:
        worker = all_workers[asked % workers]
        asked += 1
        level, value = worker.ask(scraper)
        if value:
            probes.add(value)
        if level is Level.SLOWED and slowed is None:
            slowed = len(probes)
        if level is Level.STOPPED:
            return Found(slowed if slowed is not None else len(probes), len(probes), worker.signs)
    return Found(slowed, None, max((worker.signs for worker in all_workers), key=len))
