"""The fields of a message, found one after another in its bytes, for what is to be known before a message is parsed.

The library's parser reads all of a message at once, and of four megabytes it makes two million empty messages before anybody
can count them. Here whoever looks says when it is enough.

Example: ``0a 01 78 · 12 00`` is field 1 with the byte ``x`` (tag 0x0a, content from 2 to 3) and field 2 with nothing (tag
0x12, from 5 to 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from portcullis.domain.errors import Unparsable

_MOST_BYTES: Final = 10
"""The bytes that a varint may take."""


class _Type(IntEnum):
    """Wire types (Protocol Buffers, "Encoding"). The other two are groups, which no message of ours has."""

    VARINT = 0
    EIGHT_BYTES = 1
    LENGTH = 2
    FOUR_BYTES = 5


def fields(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Give each field of a message: its tag, and where its content begins and ends.

    Raises:
        Unparsable: the bytes from here on are no field, or a group.
    """
    place = 0
    try:
        while place < len(body):
            tag, start = _varint(body, place)
            start, place = _content(body, tag, start)
            yield tag, start, place
    except IndexError:
        raise Unparsable("the request is no message in protobuf") from None


def _content(body: bytes, tag: int, start: int) -> tuple[int, int]:
    """Give where the content of a field begins and ends whose tag ends at ``start``; raises IndexError where it does not."""
    match tag & 7:
        case _Type.VARINT:
            end = _varint(body, start)[1]
        case _Type.EIGHT_BYTES:
            end = start + 8
        case _Type.LENGTH:
            length, start = _varint(body, start)
            end = start + length
        case _Type.FOUR_BYTES:
            end = start + 4
        case _:
            raise IndexError
    if end > len(body) or not tag >> 3:
        raise IndexError
    return start, end


def _varint(body: bytes, place: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; gives it, and where it ends. Raises IndexError."""
    number = 0
    for count in range(_MOST_BYTES):
        byte = body[place + count]
        number |= (byte & 0x7F) << 7 * count
        if byte <= 0x7F:
            return number, place + count + 1
    raise IndexError
