"""The memory of a process, as the kernel counts it."""

from __future__ import annotations

import re
from pathlib import Path


def peak_bytes(pid: int | str) -> int:
    """Give the most memory that a process has had resident (VmHWM): its own, and mapped files that it touched."""
    return _field(pid, "VmHWM")


def own_bytes(pid: int | str) -> int:
    """Give the memory that is a process's own now (RssAnon), without the files that it maps."""
    return _field(pid, "RssAnon")


def _field(pid: int | str, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
