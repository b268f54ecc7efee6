"""One child process of the stack: how it is started, tied to its parent, and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

_TETHER = Path(__file__).with_name("tether.py")
_MAX_LOG_BYTES = 1024 * 1024


class ChildSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to start one child.

    ``argv`` names the program by its path. ``environment`` is the whole environment, or None for the parent's. ``keep`` are
    descriptors that it inherits. ``stop_s`` is how long it may take to end after SIGTERM, in seconds. ``output`` is a file
    for what it prints, or None for the parent's stderr.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    keep: tuple[int, ...] = ()
    stop_s: float = 5.0
    output: Path | None = None


def start_child(spec: ChildSpec) -> subprocess.Popen[bytes]:
    """Start a child that can't outlive this process. To be called from the main thread (see `tether`).

    A session of its own keeps a terminal's Ctrl-C from it, so that the parent ends its children in order.

    Raises:
        OSError: the program can't be started.
    """
    argv = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *spec.argv]
    output = _output_of(spec)
    try:
        return subprocess.Popen(  # noqa: S603 - argv is ours, and no shell reads it
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=spec.environment,
            pass_fds=spec.keep,
            start_new_session=True,
        )
    finally:
        if spec.output is not None:
            os.close(output)


def _output_of(spec: ChildSpec) -> int:
    if spec.output is None:
        return sys.stderr.fileno() if _has_descriptor() else 2
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    if spec.output.exists() and spec.output.stat().st_size > _MAX_LOG_BYTES:
        flags |= os.O_TRUNC
    return os.open(spec.output, flags, 0o600)


def _has_descriptor() -> bool:
    try:
        sys.stderr.fileno()
    except (OSError, ValueError):
        return False
    return True
