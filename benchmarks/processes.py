"""Processes of a run: pinned to their processor, awaited by what they print, ended by their id.

The server has the first processor of those this run may use and the load has the second, so that neither takes time from
the other. On a machine with one processor both share it, and the results say so.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parent.parent
_TETHER = REPOSITORY / "services" / "portcullis" / "mains" / "tether.py"
_PROCESSORS = sorted(os.sched_getaffinity(0))
SERVER_CPU = _PROCESSORS[0]
LOAD_CPU = _PROCESSORS[1 % len(_PROCESSORS)]
PINNED_APART = SERVER_CPU != LOAD_CPU


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Pin this thread, and every process started meanwhile, to one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def yield_to_others() -> None:
    """Have this process take what others leave of its processor.

    Who attacks or floods has machines of its own. Here it works where those are measured who suffer it, and would take
    their processor's time too, beside the server's.
    """
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def tethered(*command: str) -> list[str]:
    """Give a command that does not outlive the thread that starts it, the main one, however that ends."""
    return [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]


@contextmanager
def running(
    arguments: Sequence[str],
    *,
    cpu: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    stdin: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python module (``-m`` and what follows) on one processor; its standard error goes to ``log``.

    To be called from the main thread: a process does not outlive the thread that starts it (`portcullis.mains.tether`).

    ``stdin`` is what `subprocess.Popen` takes; the same as this process's where it is not given.
    """
    with log.open("ab") as errors, pinned(cpu):
        process = subprocess.Popen(
            tethered(sys.executable, *arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, patience_s: float = 15.0) -> None:
    """End a process that `running` started: ask first, then insist."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def line_with(process: subprocess.Popen[bytes], word: str, *, log: Path, patience_s: float = 60.0) -> str:
    """Wait for a line of standard output that holds ``word``.

    Raises:
        RuntimeError: the process ended or kept silent; the message shows the end of its log.
    """
    assert process.stdout is not None  # noqa: S101 - `running` always pipes it
    deadline = time.monotonic() + patience_s
    for line in _lines(process.stdout, deadline):
        if word in line:
            return line
    raise RuntimeError(f"the process printed no line with {word!r}; its log ends with:\n{log.read_text()[-2000:]}")


def _lines(stream: IO[bytes], deadline: float) -> Iterator[str]:
    rest = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([stream], [], [], left)[0]:
            return
        block = os.read(stream.fileno(), 65536)
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
