"""Targets on their way: frames written one by one, in bounded memory, into a target of the repository."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO

from portcullis.domain.frames import frame
from portcullis.domain.manifests import Head, Manifest, Terms, encode_document
from portcullis.ports import SnapshotRepository

PIECE_BYTES = 1 << 20
"""How much of a file is read, written or sent at once."""

SYNC_BYTES = 4 << 20
"""A draft is forced to the disk after this many bytes, so that no single wait for the disk is a long one."""


class _GivenUp(Exception):
    """Ends the block of a target that shall not be."""


class Draft:
    """One base or delta being written. Up to a mebibyte stays in memory, and no file is open for it.

    Attributes:
        frames: how many there are.
        length: how many bytes, the magic included.
    """

    def __init__(self, repository: SnapshotRepository, target: str, magic: bytes) -> None:
        self._repository = repository
        self._buffer = bytearray(magic)
        self._context: AbstractContextManager[BinaryIO] | None = None
        self._file: BinaryIO | None = None
        self._unsynced = 0
        self.target = target
        self.frames = 0
        self.length = len(magic)

    def put(self, token: bytes, body: bytes) -> None:
        """Add a frame; tokens ascend.

        Raises:
            OSError: the disk refused.
        """
        written = frame(token, body)
        self._buffer += written
        self.frames += 1
        self.length += len(written)
        if len(self._buffer) >= PIECE_BYTES:
            self._flush()

    def close(self) -> None:
        """Finish the target: it is on the disk, and can be put in force.

        Raises:
            OSError: the disk refused.
        """
        self._flush()
        if self._context is not None:
            self._context.__exit__(None, None, None)
        self._context = self._file = None

    def give_up(self) -> None:
        """Leave the target as though it had never been begun."""
        if self._context is not None:
            with suppress(_GivenUp):
                self._context.__exit__(_GivenUp, _GivenUp(), None)
        self._context = self._file = None

    def _flush(self) -> None:
        if self._file is None:
            self._context = self._repository.create(self.target)
            self._file = self._context.__enter__()
        self._file.write(self._buffer)
        self._unsynced += len(self._buffer)
        self._buffer.clear()
        if self._unsynced >= SYNC_BYTES:
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._unsynced = 0


def put_document(repository: SnapshotRepository, target: str, document: Head | Terms | Manifest) -> int:
    """Write a document as a target; gives its length.

    Raises:
        OSError: the disk refused.
    """
    data = encode_document(document)
    with repository.create(target) as file:
        file.write(data)
    return len(data)


def pieces(path: Path) -> Iterator[bytes]:
    """Read a file in pieces of a mebibyte."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
