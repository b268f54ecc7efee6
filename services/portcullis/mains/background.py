"""Work that goes on beside a part's calls: one thread each, all told to stop at the end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

EXIT_FAILED = 1

_log = structlog.get_logger(__name__)


class Background:
    """Runs pieces of work in threads while the context lasts.

    Each runs until told to stop, and deals with its faults itself. One that ends before or breaks is a fault of ours: the
    process ends, so that whoever supervises it starts it again rather than let half of it go on unseen.

    Args:
        on_failure: ends the process; for tests.
    """

    def __init__(self, on_failure: Callable[[], object] = lambda: os._exit(EXIT_FAILED)) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._on_failure = on_failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Tell all to stop, and wait for their ends."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def run(self, name: str, work: Callable[[threading.Event], object]) -> None:
        """Start a piece of work; it is given the event that tells it to stop."""
        thread = threading.Thread(target=self._guarded, args=(name, work), name=f"portcullis-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, name: str, work: Callable[[threading.Event], object]) -> None:
        try:
            work(self._stop)
            if self._stop.is_set():
                return
            _log.critical("work ended before it was told to", work=name)
        except BaseException as fault:  # noqa: BLE001 - whatever it was, the part must not go on without it
            # The fault's text may name someone.
            _log.critical("work broke", work=name, type=type(fault).__name__)
        self._on_failure()
