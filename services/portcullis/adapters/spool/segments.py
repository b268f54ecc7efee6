"""A segment while it is written."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from portcullis.adapters.durable_files import PRIVATE_FILE, make_private_folder, sync_folder
from portcullis.adapters.spool.frames import (
    HEADER_BYTES,
    IDENTITY_BYTES,
    SUFFIX,
    SegmentName,
    frame,
    header,
    name_of,
    read_name,
)

_TRIES = 5
_UNBEGUN = ".new"


def segments_in(folder: Path) -> dict[str, SegmentName]:
    """Give the segments of a folder by their file names, in their order.

    Raises:
        OSError: the disk refused.
    """
    with os.scandir(folder) as entries:
        names = sorted(each.name for each in entries)
    return {name: read for name in names if (read := read_name(name))}


def clear_unbegun(folder: Path) -> None:
    """Take away what writers left that died before they had begun a segment. To be called by a reader that starts."""
    for path in folder.glob(f".*{SUFFIX}{_UNBEGUN}"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def _unbegun(path: Path) -> Path:
    """Give the name that a segment has until it is locked and has its header: no reader looks at it."""
    return path.with_name(f".{path.name}{_UNBEGUN}")


class Segment:
    """One segment of this process. Not safe for several threads; every method blocks on the disk.

    Attributes:
        number: its number.
        size: bytes written, the header among them.
    """

    def __init__(self, path: Path, descriptor: int, number: int, identity: bytes) -> None:
        self.number = number
        self.size = HEADER_BYTES
        self._path = path
        self._descriptor = descriptor
        self._identity = identity

    @classmethod
    def create(cls, folder: Path, *, after: int, randomness: Callable[[int], bytes] = os.urandom) -> Segment:
        """Make the segment that follows those of the folder and number ``after``; its name is on the disk.

        Raises:
            OSError: the disk refused.
        """
        make_private_folder(folder)
        for _ in range(_TRIES):
            number = 1 + max((each.number for each in segments_in(folder).values()), default=0)
            number = max(number, after + 1)
            identity = randomness(IDENTITY_BYTES)
            path = folder / name_of(number, identity)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            segment = cls(path, os.open(_unbegun(path), flags, PRIVATE_FILE), number, identity)
            if segment._begin():
                return segment
        raise FileNotFoundError("a reader that starts takes away every segment before it is begun")

    def _begin(self) -> bool:
        """Lock the file, write its header and give it its name; False when a reader that starts took it for a dead one's."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_all(self._descriptor, header(self._identity))
            _unbegun(self._path).rename(self._path)
            sync_folder(self._path.parent)
        except (BlockingIOError, FileNotFoundError):
            self.give_up()
            return False
        except OSError:
            self.give_up()
            raise
        return True

    def is_linked(self) -> bool:
        """Say whether the file still has its name: what is written to one that was deleted is lost.

        Raises:
            OSError: the disk refused.
        """
        return os.fstat(self._descriptor).st_nlink > 0

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write a frame for each payload; they are on the disk when this returns. After an error `give_up` must follow.

        Raises:
            OSError: the disk refused; the frames may be there or not.
        """
        place = self.size
        frames = []
        for payload in payloads:
            frames.append(frame(self._identity, place, payload))
            place += len(frames[-1])
        _write_all(self._descriptor, b"".join(frames))
        os.fdatasync(self._descriptor)
        self.size = place

    def seal(self) -> None:
        """End the segment and let go of it. The seal need not reach the disk: it only tells damage from a crash."""
        with suppress(OSError):
            _write_all(self._descriptor, frame(self._identity, self.size, b""))
        self._close()

    def give_up(self) -> None:
        """Let go of the segment after an error; a file in which nothing was acknowledged is taken away."""
        if self.size == HEADER_BYTES:
            for path in (self._path, _unbegun(self._path)):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        # What close reports of the disk was reported by the write before, or is about what nobody was promised.
        with suppress(OSError):
            os.close(self._descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
