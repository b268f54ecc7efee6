"""Padding: answers of one size, so that whoever sees an encrypted connection learns nothing from how much went by.

The rules:

1. The answer to one check has exactly `CHECK_BYTES`, whatever was found: a refusal with its notice in English or Chinese
   fits. One that does not, as of somebody on several lists, has the least multiple of it that fits.
2. The answer to a look-up of a caller has `CALLER_BYTES`, or a multiple, in the same way.
3. A batch is not padded item by item, which would make it forty times as large: it has room for more refusals than nearly
   any batch of its number of checks holds, or a multiple of that (`batch_bytes`).

Padding is a field of bytes that are all zero, after everything else. Nothing is compressed on its way: compressed sizes
would tell what padding hides.

Example: a miss of 76 bytes gets a field of 4,020: one byte of tag, two of length, 4,017 zeros.

Source of the encoding: Protocol Buffers, "Encoding". A field takes its tag, its length and so many bytes, so one field can
fill any gap but those of 1, 130 and 16,387 bytes, where the length would need a byte more and then be one too long. A gap
of 1 goes up to the next size; in the others an empty field stands before: of a field that comes twice the last counts.
"""

from __future__ import annotations

CHECK_BYTES = 4096
"""The size of an answer to a check."""

CALLER_BYTES = 1024
"""The size of an answer to a look-up of a caller."""

CHECK_TAG = b"\x42"
"""CheckResponse.padding = 8."""

CALLER_TAG = b"\x32"
"""LookupCallerResponse.padding = 6."""

BATCH_TAG = b"\x12"
"""BatchCheckResponse.padding = 2."""

_BATCH_BYTES = 14_336
_BATCH_BYTES_A_CHECK = 128
_SEVEN_BITS = 0x7F
_LAST_BYTES = tuple(bytes((each,)) for each in range(_SEVEN_BITS + 1))
_NEXT_BYTES = tuple(bytes((each | 0x80,)) for each in range(_SEVEN_BITS + 1))
"""The bytes of a varint: each takes seven bits, the lowest first, and says whether more follow."""

_FIELD_BYTES = 2
"""The least that a field takes."""


def batch_bytes(checks: int) -> int:
    """Give the size of an answer to a batch of so many checks.

    A miss takes some 85 bytes and a refusal up to some 2,650. So there is room for 5 refusals in a batch of one, for 7 in a
    hundred and for 20 in a thousand: where 0.5 % of the customers are listed, at most one batch in 100,000 needs more,
    whatever its number of checks. The price is two thirds of the bytes of a large batch.
    """
    return _BATCH_BYTES + _BATCH_BYTES_A_CHECK * checks


def padded(message: bytes, tag: bytes, size: int) -> bytes:
    """Bring a message to the least multiple of a size that it fits.

    Args:
        message: an encoded message, without padding.
        tag: the tag of its padding, of one byte.
        size: the size, in bytes.
    """
    return message + padding(len(message), tag, size)


def padding(length: int, tag: bytes, size: int) -> bytes:
    """Give what brings a message of so many bytes to the least multiple of a size that it fits; see `padded`."""
    gap = -length % size
    if gap == 1:
        gap += size
    if not gap:
        return b""
    room = gap - _FIELD_BYTES
    head = tag + varint(room)
    while len(head) + room > gap:
        room -= 1
        head = tag + varint(room)
    if len(head) + room < gap:
        return tag + b"\0" + padding(length + _FIELD_BYTES, tag, size)
    return head + bytes(room)


def varint(number: int) -> bytes:
    """Encode a non-negative number as protobuf does."""
    if number <= _SEVEN_BITS:
        return _LAST_BYTES[number]
    return _NEXT_BYTES[number & _SEVEN_BITS] + varint(number >> 7)
