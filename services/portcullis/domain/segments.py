"""The value of one token in the replica: a segment for each list that has records of it.

    list u16 · length u8 (255: then u32) · body          little-endian, lists ascending

The number of the list stands outside the body, and whoever puts a value together writes it: a body comes from files that
one list's role has signed, so no list can speak for another.

Example: a body of 23 bytes of list 3 becomes 26 bytes: ``03 00 17`` and the body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from portcullis.domain.errors import Refusal, SnapshotInvalid

TOKEN_BYTES = 16
"""The length of every token (`portcullis.domain.tokens`)."""

Change = tuple[bytes, int, bytes]
"""A token, the number of a list, and the body that they have from now on; an empty body is none."""

_LONG = 255
_SHORT_HEAD = struct.Struct("<HB")
_LONG_HEAD = struct.Struct("<HBI")


def segment(number: int, body: bytes) -> bytes:
    """Write one segment.

    Raises:
        struct.error: the number is not of 16 bits.
    """
    length = len(body)
    if length < _LONG:
        return _SHORT_HEAD.pack(number, length) + body
    return _LONG_HEAD.pack(number, _LONG, length) + body


def join_segments(bodies: Iterable[tuple[int, bytes]]) -> bytes:
    """Write a value from (number, body) pairs in ascending order; empty bodies are left out."""
    return b"".join([segment(number, body) for number, body in bodies if body])


def split_segments(value: bytes) -> Iterator[tuple[int, bytes]]:
    """Read a value: (number, body) pairs.

    Raises:
        ValueError: the value ends inside a segment.
    """
    place, end = 0, len(value)
    while place < end:
        try:
            number, length = _SHORT_HEAD.unpack_from(value, place)
            place += _SHORT_HEAD.size
            if length == _LONG:
                (length,) = struct.unpack_from("<I", value, place)
                place += 4
        except struct.error:
            raise ValueError("a value ends inside a segment's head") from None
        if place + length > end:
            raise ValueError("a value ends inside a segment")
        yield number, value[place : place + length]
        place += length


def body_of(value: bytes | None, number: int) -> bytes:
    """Give a list's body in a value; empty where it has none."""
    return next((body for found, body in split_segments(value or b"") if found == number), b"")


def with_body(value: bytes | None, number: int, body: bytes) -> bytes:
    """Give a value with a list's body put in, put in another's place, or (an empty body) taken out."""
    bodies = dict(split_segments(value or b""))
    bodies[number] = body
    return join_segments(sorted(bodies.items()))


def ascending(changes: Iterable[Change]) -> Iterator[Change]:
    """Pass on changes that ascend strictly by token and list.

    Raises:
        SnapshotInvalid: they don't, or a token has not 16 bytes.
    """
    last = (b"", 0)
    for token, number, body in changes:
        if len(token) != TOKEN_BYTES or (token, number) <= last:
            raise SnapshotInvalid("tokens are out of order", refusal=Refusal.RECORDS_MALFORMED)
        last = (token, number)
        yield token, number, body
