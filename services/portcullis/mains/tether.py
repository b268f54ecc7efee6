"""Start a program that can't outlive the process that starts it: `python -I -S tether.py PARENT-PID PROGRAM ARGUMENT...`.

Linux sends the death signal asked for here when the parent *thread* ends, so the supervisor starts its children from its
main thread. The setting survives the exec. A parent that died before it was made is noticed by its changed process id. On
other systems nothing is set; Python children notice the end of their `lifeline` there.

This file runs before any import of the package is possible: the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the program."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit(1)
    os.execv(program[0], program)  # noqa: S606 - becoming the program, without a shell, is this file's purpose


if __name__ == "__main__":
    main()
