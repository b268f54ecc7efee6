"""The spool: a compiled index in a temporary file, so that compiling takes the same memory whatever its size."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from portcullis.domain.bases import frame, split_frames

_IN_MEMORY_BYTES = 8 << 20
_PIECE_BYTES = 1 << 20


class Spool:
    """Framed records in the order they were put. Written once, then read as often as wanted, one reader at a time.

    The file has no name and is gone with the process, however that ends. Up to 8 MiB stay in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        place = str(folder) if folder else None
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, dir=place)  # noqa: SIM115 - closed with the spool
        self.records = 0

    def put(self, token: bytes, value: bytes) -> None:
        """Add one token's records.

        Raises:
            OSError: the disk is full.
        """
        self._file.write(frame(token, value))
        self.records += 1

    def pieces(self) -> Iterator[bytes]:
        """Read the frames from the start, in pieces that may end inside one."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE_BYTES):
            yield piece

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Read the (token, records) pairs from the start."""
        return split_frames(self.pieces())

    def close(self) -> None:
        """Delete the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
