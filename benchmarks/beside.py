"""A process that works beside a measurement: a module that is told what to do, says when it has begun, and goes on.

It reads its plan as a line of JSON from standard input, prints a word when it has begun, and ends when its input does.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from benchmarks.processes import LOAD_CPU, line_with, running


class Companion:
    """The process, for who waits for what it prints."""

    def __init__(self, process: subprocess.Popen[bytes], told: IO[bytes], log: Path) -> None:
        self._process = process
        self._told = told
        self._log = log

    def line_with(self, word: str) -> str:
        """Wait for a line of what it prints; as `benchmarks.processes.line_with`."""
        return line_with(self._process, word, log=self._log)

    def end(self) -> None:
        """Tell it to stop; what it says then can still be read."""
        self._told.close()


@contextmanager
def beside(module: str, plan: msgspec.Struct, begun: str, log: Path) -> Iterator[Companion]:
    """Run a module on the load's processor while the context lasts, from when it has printed that it has begun.

    Raises:
        RuntimeError: it ended or kept silent; the message shows the end of its log.
    """
    with running(["-m", module], cpu=LOAD_CPU, log=log, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101 - piped just now
        process.stdin.write(msgspec.json.encode(plan) + b"\n")
        process.stdin.flush()
        companion = Companion(process, process.stdin, log)
        companion.line_with(begun)
        try:
            yield companion
        finally:
            companion.end()
