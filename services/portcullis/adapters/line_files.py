"""Files that lines are added to, each whole and on the disk before anybody is told.

A crash in the middle of a write leaves a line without its end, which the next write takes away: nobody was told that it was
there, so it is written again. Writers of one file wait for each other.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from portcullis.adapters.durable_files import PRIVATE_FILE, sync_folder
from portcullis.ports.relay import DeliveryFault, Fault

_END: Final = b"\n"
_LOOK_BACK: Final = 64 * 1024


class DurableLines:
    """Implements `portcullis.ports.relay.LineFiles`. ``sync`` forces a file to the disk."""

    def __init__(self, *, sync: Callable[[int], None] = os.fsync) -> None:
        self._sync = sync

    def append(self, path: str, lines: Sequence[bytes]) -> None:
        """Add lines; blocks on the disk, and on another writer of the file.

        Raises:
            DeliveryFault: the disk refused, or the path is no regular file's.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            is_new = not Path(path).exists()
            descriptor = os.open(path, flags, PRIVATE_FILE)
            try:
                self._add(descriptor, b"".join(line + _END for line in lines))
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(Path(path).parent)
        except OSError as fault:
            raise DeliveryFault(
                Fault.DISK, f"the file can't be written ({fault.strerror or type(fault).__name__})"
            ) from None

    def _add(self, descriptor: int, data: bytes) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(0, "no regular file")
        whole = _end_of_last_line(descriptor, about.st_size)
        if whole != about.st_size:
            os.ftruncate(descriptor, whole)
        try:
            _write_all(descriptor, data)
            self._sync(descriptor)
        except OSError:
            # What may be half there is taken away, or found without its end by the next writer.
            os.ftruncate(descriptor, whole)
            raise


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _end_of_last_line(descriptor: int, size: int) -> int:
    """Give the length of the file without a last line that has no end."""
    end = size
    while end > 0:
        begin = max(0, end - _LOOK_BACK)
        found = os.pread(descriptor, end - begin, begin).rfind(_END)
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
