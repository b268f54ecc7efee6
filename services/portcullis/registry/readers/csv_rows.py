"""Comma-separated rows, cell by cell, in bounded memory: what the two CSV formats share.

A row may span lines (RFC 4180). A field longer than the csv module's limit (131,072 characters), a quote that does not
end and a line that is no text are faults of their row; the next line begins a new one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import NamedTuple

from portcullis.registry.readers.sources import MAX_LINE_BYTES, Meter, Source, lines


class Cells(NamedTuple):
    """One row as it stands in the file: its first line's number and its cells, or why it can't be split into cells."""

    line: int
    cells: list[str]
    fault: str = ""


def utf8(line: bytes) -> str:
    """Decode a line of UTF-8.

    Raises:
        UnicodeDecodeError: it is something else.
    """
    return line.decode()


def utf8_or_latin(line: bytes) -> str:
    """Decode a line of UTF-8, or else of Latin-1, which older Treasury files are written in."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def read_cells(source: Source, meter: Meter, *, decode: Callable[[bytes], str] = utf8) -> Iterator[Cells]:
    """Split a source into rows of cells; empty lines are left out."""
    feed = _Feed(source, meter, decode)
    table = csv.reader(feed, strict=True)
    while True:
        first = feed.line + 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as fault:
            yield Cells(first, [], f"can't be read as CSV up to line {feed.line}: {_told(fault)}")
            continue
        except _BadLine as fault:
            yield Cells(first, [], str(fault))
            continue
        if cells:
            yield Cells(first, cells)


class _BadLine(Exception):
    """A line that is no text; the feed goes on with the next."""


class _Feed:
    """Decoded lines for the csv module; unlike a generator it goes on after a bad line."""

    def __init__(self, source: Source, meter: Meter, decode: Callable[[bytes], str]) -> None:
        self._lines = lines(source, meter)
        self._decode = decode
        self.line = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.line, raw = next(self._lines)
        if raw is None:
            raise _BadLine(f"the line is longer than {MAX_LINE_BYTES} bytes")
        try:
            return self._decode(raw) + "\n"
        except UnicodeDecodeError as fault:
            raise _BadLine("not in UTF-8; save the file as UTF-8") from fault


def _told(fault: csv.Error) -> str:
    text = str(fault)
    if "field larger" in text:
        return "a field is too long, or its quote does not end"
    if "unexpected end" in text:
        return "a quote does not end"
    return 'a quote stands inside a field; write it twice ("")'
