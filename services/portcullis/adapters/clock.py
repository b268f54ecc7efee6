"""The host's clock: wall time, and monotonic time that every process of one boot shares."""

from __future__ import annotations

import time
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """The clock of this host.

    Monotonic time is ``CLOCK_BOOTTIME`` where the host has it: it starts with the boot, goes on through a suspend and is
    not touched when somebody sets the wall clock. Elsewhere it is Python's own monotonic clock.
    """

    def now(self) -> float:
        """Wall time in Unix seconds."""
        return time.time()

    if hasattr(time, "CLOCK_BOOTTIME"):

        def monotonic(self) -> float:
            """Seconds since the boot."""
            return time.clock_gettime(time.CLOCK_BOOTTIME)

    else:

        def monotonic(self) -> float:
            """Seconds since an unspecified point."""
            return time.monotonic()


def boot_id(file: Path = _BOOT_ID) -> str:
    """Name the present boot of the host; "" where the host does not tell.

    Monotonic times can be compared only when they come from one boot, so whoever writes one down writes this beside it.
    """
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
