"""The supervisor: starts the children in order, starts again those that die, ends them in reverse order.

A child that dies is started again after a pause that doubles from 0.2 s to 5 s, and falls back to 0.2 s once the child has
run for 30 s. Example: a gateway that is killed comes back after 0.2 s; one that can't start is tried 0.2, 0.4, 0.8 ... 5 s
apart, for ever. While it is away, its port is kept and the others go on.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

import structlog

from portcullis.mains.children import ChildSpec, start_child
from portcullis.metrics import StackMetrics

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STABLE_AFTER_S = 30.0
EXIT_SETUP = 2
"""The exit status of a part that can't start as it is set up; it has said why."""

_POLL_S = 0.02
_KILL_WAIT_S = 5.0
_log = structlog.get_logger(__name__)


class _Supervised:
    """One child and its history. Times are monotonic seconds."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.pause_s = FIRST_PAUSE_S
        self.due_at = 0.0
        self.last_status: int | None = None


class Supervisor:
    """Keeps the children of the stack. Every method is for the main thread."""

    def __init__(
        self,
        stages: Sequence[Sequence[ChildSpec]],
        *,
        metrics: StackMetrics,
        start: Callable[[ChildSpec], subprocess.Popen[bytes]] = start_child,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: Callable[[dict[str, int]], object] = lambda _: None,
        on_death: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Take the children, in the stages in which they start.

        Args:
            stages: children of one stage start and end together; the stages end in reverse order.
            metrics: where restarts are counted.
            start: starts one child.
            monotonic: seconds, for pauses and deadlines.
            on_change: told the process ids by name whenever they change.
            on_death: told the process id of a child that is gone.
        """
        self._stages = [[_Supervised(spec) for spec in stage] for stage in stages]
        self._metrics = metrics
        self._start = start
        self._monotonic = monotonic
        self._on_change = on_change
        self._on_death = on_death
        for child in self._children():
            metrics.known(child.spec.name)

    def start(self) -> None:
        """Start every child.

        Raises:
            OSError: a program can't be started; those that run are left to `stop`.
        """
        for child in self._children():
            self._launch(child)
        self._tell()

    def tend(self) -> None:
        """Notice children that died, and start those whose pause is over; called a few times a second."""
        changed = False
        for child in self._children():
            if child.process is not None:
                changed |= self._notice(child)
            elif self._monotonic() >= child.due_at:
                changed |= self._restart(child)
        if changed:
            self._tell()

    def refused(self) -> list[str]:
        """Name the children whose last end said that they can't start as they are set up."""
        return [each.spec.name for each in self._children() if each.last_status == EXIT_SETUP]

    def is_up(self, name: str) -> bool:
        """Say whether a child runs now."""
        return any(each.process is not None for each in self._children() if each.spec.name == name)

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """End every child, the last stage first; one that does not end in its time is killed.

        Args:
            hurry: asked again and again; True kills what is left at once.
        """
        for stage in reversed(self._stages):
            running = [each for each in stage if each.process is not None]
            for child in running:
                _terminate(child)
            for child in running:
                self._await_end(child, hurry)
        self._tell()

    def _children(self) -> Iterator[_Supervised]:
        for stage in self._stages:
            yield from stage

    def _launch(self, child: _Supervised) -> None:
        child.process = self._start(child.spec)
        child.started_at = self._monotonic()
        self._metrics.up(child.spec.name, running=True)

    def _notice(self, child: _Supervised) -> bool:
        process = child.process
        status = process.poll() if process is not None else None
        if process is None or status is None:
            return False
        now = self._monotonic()
        if now - child.started_at >= STABLE_AFTER_S:
            child.pause_s = FIRST_PAUSE_S
        child.due_at = now + child.pause_s
        _log.error("a child ended", child=child.spec.name, status=status, again_in_s=child.pause_s)
        child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)
        self._forget(child, process, status)
        return True

    def _restart(self, child: _Supervised) -> bool:
        try:
            self._launch(child)
        except OSError as fault:
            _log.error("a child can't be started", child=child.spec.name, fault=fault.strerror)
            child.due_at = self._monotonic() + child.pause_s
            child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)
            return False
        self._metrics.restarted(child.spec.name)
        _log.warning("a child was started again", child=child.spec.name)
        return True

    def _await_end(self, child: _Supervised, hurry: Callable[[], bool]) -> None:
        process = child.process
        if process is None:
            return
        deadline = self._monotonic() + child.spec.stop_s
        while process.poll() is None:
            if hurry() or self._monotonic() >= deadline:
                _log.warning("a child did not end in its time and was killed", child=child.spec.name)
                process.kill()
                process.wait(_KILL_WAIT_S)
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
        self._forget(child, process, process.returncode)

    def _forget(self, child: _Supervised, process: subprocess.Popen[bytes], status: int) -> None:
        child.process = None
        child.last_status = status
        self._metrics.up(child.spec.name, running=False)
        self._on_death(process.pid)

    def _tell(self) -> None:
        self._on_change({each.spec.name: each.process.pid for each in self._children() if each.process is not None})


def _terminate(child: _Supervised) -> None:
    if child.process is not None:
        child.process.terminate()
