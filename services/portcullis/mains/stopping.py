"""Stops asked for by SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Counts the stops asked for: the first drains, a second one hurries."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._count = 0

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Take a signal."""
        self._count += 1
        self.event.set()

    def asked(self, wait_s: float = 0.0) -> bool:
        """Say whether a stop was asked for, waiting for it that long."""
        return self.event.wait(wait_s)

    def hurry(self) -> bool:
        """Say whether it was asked for again."""
        return self._count > 1


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Take the signals while the context lasts; for the main thread, outside of an event loop."""
    signals = StopSignals()
    before = {number: signal.signal(number, signals.note) for number in _SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """Take the signals on the running event loop while the context lasts; the event is set by the first."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
