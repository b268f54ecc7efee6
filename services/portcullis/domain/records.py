"""The record that an index key leads to: what deciding must know of an entry, in as few bytes as will do.

A token's value is one or more records, one after another, ordered by list and entry. A record is

    flags u8 · list u16 · legal u16 · until u32 · entry u32 · [valid_from u32] · [measures u32] · length u8 · case reference

all little-endian. ``list`` and ``legal`` are places in the edition's tables, ``measures`` a bit mask over the list's
measures in their order, left out when all apply; ``valid_from`` is left out when the entry was in force at publication.

Example: an entry of list 0 with an 11-character reference, in force, with all measures, takes 13 + 1 + 11 = 25 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ALL_MEASURES = 0xFFFF_FFFF
"""The mask of an entry that all measures of its list apply to."""

MAX_CASE_REFERENCE_BYTES = 255

_STAYED = 1
_HAS_FROM = 2
_HAS_MEASURES = 4
_HEAD = struct.Struct("<BHHII")
_WORD = struct.Struct("<I")


class Record(NamedTuple):
    """One entry as the replica holds it. Times are Unix seconds, ``until`` exclusive."""

    list_index: int
    legal_index: int
    until: int
    entry_id: int
    case_reference: str
    valid_from: int = 0
    measures: int = ALL_MEASURES
    stayed: bool = False


def encode_records(records: Iterable[Record]) -> bytes:
    """Write a token's value.

    Raises:
        ValueError: a case reference is longer than 255 bytes of UTF-8.
        struct.error: a number does not fit its field.
    """
    parts: list[bytes] = []
    for record in sorted(records, key=lambda each: (each.list_index, each.entry_id)):
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
        head = _HEAD.pack(flags, record.list_index, record.legal_index, record.until, record.entry_id)
        parts += (head, tail, bytes((len(reference),)), reference)
    return b"".join(parts)


def decode_records(value: bytes) -> Iterator[Record]:
    """Read a token's value.

    Raises:
        ValueError: the bytes end in the middle of a record.
    """
    place = 0
    try:
        while place < len(value):
            flags, list_index, legal_index, until, entry_id = _HEAD.unpack_from(value, place)
            place += _HEAD.size
            valid_from, measures = 0, ALL_MEASURES
            if flags & _HAS_FROM:
                (valid_from,) = _WORD.unpack_from(value, place)
                place += _WORD.size
            if flags & _HAS_MEASURES:
                (measures,) = _WORD.unpack_from(value, place)
                place += _WORD.size
            end = place + 1 + value[place]
            reference = value[place + 1 : end]
            if len(reference) != value[place]:
                raise ValueError("a record ends too early")
            place = end
            yield Record(
                list_index,
                legal_index,
                until,
                entry_id,
                reference.decode(),
                valid_from,
                measures,
                bool(flags & _STAYED),
            )
    except (IndexError, struct.error) as fault:
        raise ValueError("a record ends too early") from fault
