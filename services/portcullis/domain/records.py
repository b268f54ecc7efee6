"""The body of one token in one list: what deciding must know of its entries, in as few bytes as will do.

A body is one or more records, one after another, ordered by entry. A record is

    flags u8 · legal u16 · until u32 · entry u32 · [valid_from u32] · [measures u32] · length u8 · case reference

all little-endian. ``legal`` is a place in the list's legal table, ``measures`` a bit mask over the names of the list's
edition, left out when all measures apply; ``valid_from`` is left out when the entry was in force when it was compiled.

Example: an entry with an 11-character reference, in force, with all measures, takes 11 + 1 + 11 = 23 bytes, and 26 in the
replica, where its list's number and the length stand before it (`portcullis.domain.segments`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from portcullis.domain.segments import split_segments

ALL_MEASURES = 0xFFFF_FFFF
"""The mask of an entry that all measures of its list apply to."""

MAX_CASE_REFERENCE_BYTES = 255

_STAYED = 1
_HAS_FROM = 2
_HAS_MEASURES = 4
_HEAD = struct.Struct("<BHII")
_WORD = struct.Struct("<I")
_KNOWN_FLAGS = _STAYED | _HAS_FROM | _HAS_MEASURES
_OFFSETS = tuple(
    _HEAD.size + _WORD.size * bool(flags & _HAS_FROM) + _WORD.size * bool(flags & _HAS_MEASURES)
    for flags in range(_KNOWN_FLAGS + 1)
)
"""Where the length of the case reference stands, by the flags."""


class Record(NamedTuple):
    """One entry as the replica holds it. Times are Unix seconds, ``until`` exclusive."""

    list_number: int
    legal_index: int
    until: int
    entry_id: int
    case_reference: str
    valid_from: int = 0
    measures: int = ALL_MEASURES
    stayed: bool = False


def encode_body(records: Iterable[Record]) -> bytes:
    """Write the body of one token in one list; the records' list number is not part of it.

    Raises:
        ValueError: a case reference is longer than 255 bytes of UTF-8.
        struct.error: a number does not fit its field.
    """
    parts: list[bytes] = []
    for record in sorted(records, key=lambda each: each.entry_id):
        reference = record.case_reference.encode()
        if len(reference) > MAX_CASE_REFERENCE_BYTES:
            raise ValueError("case_reference: longer than 255 bytes")
        flags = _STAYED * record.stayed
        tail = b""
        if record.valid_from:
            flags |= _HAS_FROM
            tail += _WORD.pack(record.valid_from)
        if record.measures != ALL_MEASURES:
            flags |= _HAS_MEASURES
            tail += _WORD.pack(record.measures)
        head = _HEAD.pack(flags, record.legal_index, record.until, record.entry_id)
        parts += (head, tail, bytes((len(reference),)), reference)
    return b"".join(parts)


def decode_body(number: int, body: bytes) -> Iterator[Record]:
    """Read the body of one token in the list of this number.

    Raises:
        ValueError: the bytes end in the middle of a record.
    """
    place, end = 0, len(body)
    try:
        while place < end:
            flags, legal_index, until, entry_id = _HEAD.unpack_from(body, place)
            place += _HEAD.size
            valid_from, measures = 0, ALL_MEASURES
            if flags & _HAS_FROM:
                (valid_from,) = _WORD.unpack_from(body, place)
                place += _WORD.size
            if flags & _HAS_MEASURES:
                (measures,) = _WORD.unpack_from(body, place)
                place += _WORD.size
            stop = place + 1 + body[place]
            if stop > end:
                raise ValueError("a record ends too early")
            reference = body[place + 1 : stop].decode()
            place = stop
            yield Record(number, legal_index, until, entry_id, reference, valid_from, measures, bool(flags & _STAYED))
    except (IndexError, struct.error) as fault:
        raise ValueError("a record ends too early") from fault


def decode_records(value: bytes) -> Iterator[Record]:
    """Read all records of a token's value in the replica, list by list.

    Raises:
        ValueError: the bytes end in the middle of a segment or record.
    """
    for number, body in split_segments(value):
        yield from decode_body(number, body)


def is_body(body: bytes, legal_rows: int) -> bool:
    """Say whether bytes are a body, and its records refer to rows that are there; cheaper than reading it.

    Whoever installs bodies of a list asks this first, so that no list's faulty file can break a check.
    """
    place, end = 0, len(body)
    try:
        while place < end:
            flags, legal_index, _, _ = _HEAD.unpack_from(body, place)
            if flags > _KNOWN_FLAGS or legal_index >= legal_rows:
                return False
            place += _OFFSETS[flags]
            stop = place + 1 + body[place]
            body[place + 1 : stop].decode()
            place = stop
    except (IndexError, struct.error, UnicodeDecodeError):
        return False
    return place == end and end > 0
