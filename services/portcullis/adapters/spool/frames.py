"""The bytes of a segment: a header, then frames one after another.

    header   magic "PCSPOOL1" · the segment's identity, 16 random bytes
    frame    mark FF "PCF" · payload's length u32 · checksum 8 bytes · payload

Integers are little-endian. A payload is a `DecisionRecord` in JSON, which never contains the byte FF: the marks let a reader
find its way again behind damaged bytes. A frame without payload is the seal, with which a writer that is through with its
segment ends it.

The checksum is BLAKE2b (RFC 7693) of 64 bits over the payload, keyed by the segment's identity and salted with the frame's
place in the file: a frame of another file or place, which a file system may bring back after a crash, is not taken for one
of this. CRC32C, the rival, finds fewer faults, tells nothing of the place, and is not in Python's library; this takes two
microseconds a record, where forcing it to the disk takes hundreds.

Example: the first frame of a segment lies at byte 24, and one of 600 bytes of JSON ends at 24 + 16 + 600 = 640.
"""

from __future__ import annotations

import re
import struct
from hashlib import blake2b
from typing import Final, NamedTuple

MAGIC: Final = b"PCSPOOL1"
IDENTITY_BYTES: Final = 16
HEADER_BYTES: Final = len(MAGIC) + IDENTITY_BYTES
SUFFIX: Final = ".segment"

_MARK: Final = b"\xffPCF"
_HEAD: Final = struct.Struct("<4sI8s")
_NAME: Final = re.compile(rf"(\d{{16}})-([0-9a-f]{{{2 * IDENTITY_BYTES}}}){re.escape(SUFFIX)}")


class Frame(NamedTuple):
    """One whole frame: its payload, and where it ends in the bytes that it was read from."""

    payload: bytes
    end: int


class SegmentName(NamedTuple):
    """What a segment's file name tells: its number, by which segments are ordered, and its identity."""

    number: int
    identity: bytes


def name_of(number: int, identity: bytes) -> str:
    """Give the file name of a segment."""
    return f"{number:016d}-{identity.hex()}{SUFFIX}"


def read_name(name: str) -> SegmentName | None:
    """Read a file name; None when it is not a segment's."""
    found = _NAME.fullmatch(name)
    return SegmentName(int(found[1]), bytes.fromhex(found[2])) if found else None


def header(identity: bytes) -> bytes:
    """Write a segment's header."""
    return MAGIC + identity


def frame(identity: bytes, place: int, payload: bytes) -> bytes:
    """Write the frame that begins at a place in a segment (bytes from the start of the file)."""
    return _HEAD.pack(_MARK, len(payload), _checksum(identity, place, payload)) + payload


def frame_at(identity: bytes, data: bytes, start: int, offset: int) -> Frame | None:
    """Read the frame at an offset of ``data``, which begins at ``start`` in the file; None when no whole one is there."""
    begin = offset + _HEAD.size
    if begin > len(data):
        return None
    mark, length, checksum = _HEAD.unpack_from(data, offset)
    end = begin + length
    if mark != _MARK or end > len(data):
        return None
    payload = data[begin:end]
    return Frame(payload, end) if checksum == _checksum(identity, start + offset, payload) else None


def next_frame(identity: bytes, data: bytes, start: int, offset: int) -> int | None:
    """Find the first whole frame behind an offset at which there is none; gives its own offset."""
    while (offset := data.find(_MARK, offset + 1)) >= 0:
        if frame_at(identity, data, start, offset):
            return offset
    return None


def _checksum(identity: bytes, place: int, payload: bytes) -> bytes:
    salt = place.to_bytes(16, "little")
    return blake2b(payload, digest_size=8, key=identity, salt=salt, person=b"pc-spool").digest()
