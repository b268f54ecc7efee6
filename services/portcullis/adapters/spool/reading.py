"""A segment while it is read."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from portcullis.adapters.spool.frames import HEADER_BYTES, Frame, SegmentName, frame_at, header, next_frame
from portcullis.ports import DecisionRecord

SET_ASIDE: Final = ".damaged"

_PEEK_BYTES: Final = 64 * 1024
"""More than any record has: what is read to learn when one was decided."""

_log = structlog.get_logger(__name__)


class SpoolFault(StrEnum):
    """What a reader found wrong with a segment: the label that it is counted by."""

    TORN = "torn"
    DAMAGED = "damaged"


Faults = Callable[[SpoolFault], None]
"""Takes each fault of a segment, once for each reader."""


class Waiting(NamedTuple):
    """What of a segment waits: bytes, and when its first record was decided (Unix seconds), None when that is not known."""

    size: int
    oldest_at: float | None


class SegmentReading:
    """How far one segment was read and let go of. Every method blocks on the disk.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, name: SegmentName, faults: Faults) -> None:
        self.path = path
        self._identity = name.identity
        self._faults = faults
        self._decoder = msgspec.json.Decoder(DecisionRecord)
        self._position = 0
        self._given = HEADER_BYTES
        self._released = HEADER_BYTES
        self._ended = False
        self._is_damaged = False
        self._head: tuple[int, float] | None = None

    @property
    def given(self) -> int:
        """Where the last record ends that `take` gave."""
        return self._given

    def take(self, limit: int) -> list[DecisionRecord]:
        """Give the next records, ``limit`` at most.

        Raises:
            OSError: the disk refused.
        """
        if self._ended:
            return []
        with self._opened() as descriptor:
            # Asked before the read: nothing comes after it once nobody holds the lock.
            is_final = _try_lock(descriptor)
            data = _rest(descriptor, self._position)
        return self._parse(data, limit, is_final=is_final)

    def release(self, end: int) -> None:
        """Let go of what ends before a place."""
        self._released = max(self._released, end)

    def is_done(self) -> bool:
        """Say whether nothing of it is wanted any more, and nobody writes it."""
        return self._ended and self._released >= self._given

    def remove(self) -> None:
        """Delete it, or set it aside when it was damaged.

        Raises:
            OSError: the disk refused.
        """
        if self._is_damaged:
            self.path.rename(self.path.with_name(self.path.name + SET_ASIDE))
        else:
            self.path.unlink(missing_ok=True)

    def waiting(self) -> Waiting:
        """Say what waits.

        Raises:
            OSError: the disk refused.
        """
        end = self._given if self._ended else self.path.stat().st_size
        size = max(0, end - self._released)
        return Waiting(size, self._oldest_at() if size else None)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _parse(self, data: bytes, limit: int, *, is_final: bool) -> list[DecisionRecord]:
        start, offset = self._position, 0
        if start == 0:
            if not self._knows_header(data, is_final=is_final):
                return []
            offset = HEADER_BYTES
        records: list[DecisionRecord] = []
        while len(records) < limit:
            found = frame_at(self._identity, data, start, offset)
            if found is None:
                follows = next_frame(self._identity, data, start, offset) if is_final else None
                if follows is None:
                    self._end_at(is_final=is_final, left=len(data) - offset)
                    break
                self._damaged("bytes that are no record stand between records")
                offset = follows
                continue
            offset = found.end
            if found.payload:
                records += self._decoded(found)
                self._given = start + offset
        self._position = start + offset
        return records

    def _knows_header(self, data: bytes, *, is_final: bool) -> bool:
        if data.startswith(header(self._identity)):
            return True
        if not is_final:
            return False
        if len(data) < HEADER_BYTES:
            self._end_at(is_final=True, left=len(data))
            return False
        self._damaged("its header is not that of a segment of this release")
        return True

    def _decoded(self, found: Frame) -> list[DecisionRecord]:
        try:
            return [self._decoder.decode(found.payload)]
        except msgspec.MsgspecError:
            self._damaged("a record is of a form that this release does not read")
            return []

    def _end_at(self, *, is_final: bool, left: int) -> None:
        self._ended = is_final
        if is_final and left:
            self._faults(SpoolFault.TORN)
            _log.info("a segment of the spool ends with what its writer did not finish", segment=self.path.name, bytes=left)

    def _damaged(self, what: str) -> None:
        if not self._is_damaged:
            self._is_damaged = True
            self._faults(SpoolFault.DAMAGED)
            _log.error(
                "a segment of the spool is damaged; what can be read of it is shipped, then it is set aside",
                segment=self.path.name,
                fault=what,
            )

    def _oldest_at(self) -> float | None:
        """Tell when the first record that waits was decided; it is read anew only after a release."""
        if self._head is None or self._head[0] != self._released:
            with self._opened() as descriptor:
                data = os.pread(descriptor, _PEEK_BYTES, self._released)
            found = frame_at(self._identity, data, self._released, 0)
            records = self._decoded(found) if found and found.payload else []
            if not records:
                return None
            self._head = (self._released, records[0].decided_at)
        return self._head[1]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _rest(descriptor: int, start: int) -> bytes:
    pieces = []
    while piece := os.pread(descriptor, max(1, os.fstat(descriptor).st_size - start), start):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)
