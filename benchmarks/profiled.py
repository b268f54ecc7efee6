"""Where the time goes: ``portcullis serve gateway`` under the standard library's deterministic profiler.

The profiler costs time itself, most where functions are small, so its shares say where to look and not how fast a check is.
It sees the event loop's thread alone, which is where servicers run; the transport's own threads are not Python.
Run as a module (``python -m benchmarks.profiled FILE serve gateway``) it runs a command; SIGUSR1 begins a profile,
and SIGUSR2 ends it and writes the file, so that start and stop are no part of it.
"""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import h2load
from benchmarks.report import Profile
from benchmarks.targets import Gateway, check_target, gateway, load, verify
from benchmarks.world import World
from portcullis.config import Transport
from portcullis.v1 import types_pb2

_SHOWN = 30
_WRITTEN_WITHIN_S = 10.0


def profiles(world: World, transport: Transport, *, seconds: float, load_batches: Callable[[str], object]) -> list[Profile]:
    """Load a gateway under the profiler, with misses and then with batches; gives the dearest functions of each.

    ``load_batches`` takes the gateway's address and keeps it busy with batches for a while.
    """
    file = world.home / f"{transport}.profile"
    with gateway(world, transport, prefix=("-m", "benchmarks.profiled", str(file))) as found:
        target = check_target(world, found.address, "Check, miss", world.miss, types_pb2.OUTCOME_ALLOW)
        verify(target)
        lines = {}
        if h2load.is_installed():
            lines["Check, miss"] = _recorded(found, file, lambda: load(target, seconds=seconds, warm_up_s=0))
        lines["BatchCheck"] = _recorded(found, file, lambda: load_batches(found.address))
    return [Profile(name, transport, each) for name, each in lines.items()]


def _recorded(running: Gateway, file: Path, work: Callable[[], object]) -> tuple[str, ...]:
    file.unlink(missing_ok=True)
    os.kill(running.pid, signal.SIGUSR1)
    work()
    os.kill(running.pid, signal.SIGUSR2)
    deadline = time.monotonic() + _WRITTEN_WITHIN_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no profile was written within {_WRITTEN_WITHIN_S:.0f} s")
        time.sleep(0.05)
    out = io.StringIO()
    pstats.Stats(str(file), stream=out).strip_dirs().sort_stats("tottime").print_stats(_SHOWN)
    lines = tuple(line.rstrip() for line in out.getvalue().splitlines() if line.strip())
    # The first line names the file of this run alone.
    return lines[1:]


class _Recorder:
    """Profiles the main thread between two signals."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._profile = cProfile.Profile()

    def begin(self, *_: object) -> None:
        self._profile = cProfile.Profile()
        self._profile.enable()

    def end(self, *_: object) -> None:
        self._profile.disable()
        beside = self._file.with_suffix(".new")
        self._profile.dump_stats(beside)
        beside.replace(self._file)


def main() -> None:
    """Run the command."""
    from portcullis.mains.command import main as portcullis  # noqa: PLC0415 - the parent process has no use for it

    recorder = _Recorder(Path(sys.argv.pop(1)))
    signal.signal(signal.SIGUSR1, recorder.begin)
    signal.signal(signal.SIGUSR2, recorder.end)
    portcullis()


if __name__ == "__main__":
    main()
