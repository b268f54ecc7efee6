"""The lifeline: a pipe whose other end only the stack's parent holds.

It closes when the parent dies, however it dies; a child that reads its end of file ends at once. On Linux the kernel's death
signal (`tether`) comes first; this holds elsewhere too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping

VARIABLE = "PORTCULLIS_LIFELINE_FD"
"""Names the descriptor in a child's environment."""


def supervised(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether this process is a child of the embedded stack."""
    return VARIABLE in environment


def hold_on(environment: Mapping[str, str] = os.environ, end: Callable[[int], object] = os._exit) -> threading.Thread | None:
    """Watch the lifeline from a thread of its own; None where there is none."""
    if not supervised(environment):
        return None
    descriptor = int(environment[VARIABLE])
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - os takes it by position only
    thread = threading.Thread(target=_watch, args=(descriptor, end), name="lifeline", daemon=True)
    thread.start()
    return thread


def _watch(descriptor: int, end: Callable[[int], object]) -> None:
    while os.read(descriptor, 1):
        pass  # nobody writes; only the end of file says something
    end(1)
