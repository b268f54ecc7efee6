"""Disks that are small, and that fill up."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str = "4m") -> Iterator[Path]:
    """Mount a disk of a size at a folder; skips the test, by name, where none can be mounted."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "portcullis-test", str(folder)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(mounting, capture_output=True, check=False).returncode
    ):
        pytest.skip("no small disk can be mounted here; the tests of a disk that refuses stand in for this one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Ballast:
    """Takes a disk's room but for some kilobytes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ballast"

    def leave(self, kilobytes: int) -> None:
        self._file.unlink(missing_ok=True)
        free = shutil.disk_usage(self._file.parent).free
        # Whoever writes meanwhile may take some of the room first; the disk is full then as well.
        with suppress(OSError):
            self._file.write_bytes(bytes(max(0, free - kilobytes * 1024)))

    def drop(self) -> None:
        self._file.unlink()


def injecting(*faults: str) -> list[str]:
    """Give the words that run a program under strace, which makes some of its system calls fail.

    Skips the test, by name, where there is no strace that may trace; where CI runs there must be one.
    """
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    words = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, "-e", f"trace={calls}"]
    words += [word for fault in faults for word in ("-e", f"inject={fault}")]
    usable = shutil.which("strace") and not subprocess.run([*words, "true"], capture_output=True, check=False).returncode
    if not usable:
        if os.environ.get("CI"):
            raise RuntimeError(
                "strace must be there where CI runs, and may trace: its tests show that a failed fsync refuses"
            )
        pytest.skip("no strace here that may trace; the tests of a disk that refuses stand in for this one")
    return words
