"""A population of any size: made-up entries on three lists, as JSON Lines.

Entry ``n`` is always the same save for its dates, a year from today, so a larger population goes on where a smaller one
ends. Of ten entries seven are on the court's list, two on the carriers', one on the bike operators'. Of a hundred, ninety
have a resident ID, six a passport, two a national ID, and two a resident ID and a passport both. The first `ON_ALL_LISTS`
subjects are on all three lists, and the bike operators know their phone. Every identifier has the right form and check
digit, and can be nobody's (`portcullis.demo.people`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import msgspec

from portcullis.demo import people
from portcullis.domain.identifiers import Identifier

LISTS = ("court-judgment-defaulters", "carrier-misconduct", "bike-misconduct")
ON_ALL_LISTS = 1_000

_BIKES = LISTS.index("bike-misconduct")
_OF_TEN = (0, 0, 0, 0, 0, 0, 0, 1, 1, 2)
_BYTES_A_LINE = 203
_PIECE_LINES = 2_000
_FROM = datetime.now(UTC).date().isoformat()
_UNTIL = (datetime.now(UTC).date() + timedelta(days=364)).isoformat()


def list_of(number: int) -> int:
    """Give the place in `LISTS` of an entry's list."""
    return number // ON_ALL_LISTS if number < ON_ALL_LISTS * len(LISTS) else _OF_TEN[number % 10]


def identifiers_of(number: int) -> tuple[Identifier, ...]:
    """Give an entry's identifiers; those that no list of the three knows are not among them."""
    if number < ON_ALL_LISTS * len(LISTS):
        person = people.resident_id(number % ON_ALL_LISTS)
        return (person, people.phone(number % ON_ALL_LISTS)) if list_of(number) == _BIKES else (person,)
    place = number // 10 % 100
    if place < 90:
        return (people.resident_id(number),)
    if place < 96:
        return (people.passport(number),)
    if place < 98 and list_of(number) != _BIKES:
        return (people.document("national-id", number),)
    return (people.resident_id(number), people.passport(number))


class Share:
    """The entries of one list with numbers from ``begin`` to ``end``, exclusive, as a file for the importer."""

    def __init__(self, place: int, begin: int, end: int) -> None:
        self._place = place
        self._range = range(begin, end)
        self.name = LISTS[place]
        self.size = len(self._range) * _BYTES_A_LINE * _OF_TEN.count(place) // 10

    def open(self) -> BinaryIO:
        """Open it at its beginning. Lines are made as they are read."""
        return io.BufferedReader(_Stream(self._pieces()), buffer_size=1 << 18)

    def _pieces(self) -> Iterator[bytes]:
        lines: list[bytes] = []
        for number in self._range:
            if list_of(number) == self._place:
                lines.append(_line(number))
                if len(lines) == _PIECE_LINES:
                    yield b"".join(lines)
                    lines.clear()
        yield b"".join(lines)


def _line(number: int) -> bytes:
    row = {
        "key": str(number),
        "subject_type": "person",
        "identifiers": [
            {"kind": each.kind, "value": each.value, "country": each.country} for each in identifiers_of(number)
        ],
        "case_reference": f"({number % 10_000:04})B{number // 10_000:05}",
        "valid_from": _FROM,
        "until": _UNTIL,
    }
    return msgspec.json.encode(row) + b"\n"


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file that is read from its beginning to its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what comes next."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken
