"""Where rows come from: named streams of bytes, read line by line in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from portcullis.domain.errors import SetupFault

MAX_LINE_BYTES = 1 << 20
"""The longest line taken; a longer one is skipped and reported."""

_BOM = b"\xef\xbb\xbf"
_END_OF_FILE = b"\x1a"


class Source(Protocol):
    """One file of an import."""

    @property
    def name(self) -> str:
        """What the file is called in reports."""
        ...

    @property
    def size(self) -> int:
        """Its length in bytes."""
        ...

    def open(self) -> BinaryIO:
        """Open it at its beginning; it may be opened more than once."""
        ...


class FileSource:
    """A file of the disk; reports call it ``name``, or by its path where that is empty.

    Raises:
        SetupFault: it is not there or can't be read.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self._path = path
        self.name = name or str(path)
        with self.open() as stream:
            self.size = stream.seek(0, 2)

    def open(self) -> BinaryIO:
        """Open the file for reading."""
        try:
            return self._path.open("rb")
        except OSError as fault:
            raise SetupFault(f"can't read {self.name}: {fault.strerror}; name a file that this user may read") from fault


class Meter:
    """Counts the bytes read of all sources."""

    def __init__(self) -> None:
        self.read = 0


def lines(source: Source, meter: Meter) -> Iterator[tuple[int, bytes | None]]:
    """Give the numbered lines of a source without their line ends; None for a line that is too long.

    A byte order mark at the beginning and the end-of-file character of old tools (0x1A) are no part of a line.
    """
    with source.open() as stream:
        number = 0
        while raw := stream.readline(MAX_LINE_BYTES):
            number += 1
            meter.read += len(raw)
            if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
                _skip_line(stream, meter)
                yield number, None
                continue
            line = raw.rstrip(b"\r\n")
            if number == 1:
                line = line.removeprefix(_BOM)
            yield number, line.removesuffix(_END_OF_FILE)


def _skip_line(stream: BinaryIO, meter: Meter) -> None:
    while raw := stream.readline(MAX_LINE_BYTES):
        meter.read += len(raw)
        if raw.endswith(b"\n"):
            return
