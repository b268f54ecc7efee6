"""Base and delta files: tokens of one list with their bodies.

The rules:

1. A file is ``magic · frame · frame ...``; a frame is ``token · u32 length · body``, little-endian, tokens of 16 bytes
   strictly ascending. A base has the magic ``PCB2``, a delta ``PCD2``.
2. A base holds every token that has a body in one version of its list. A delta from version v to w holds every token whose
   body in w may be another than in v, with its body in w; an empty body says that it has none any more.
3. So a delta puts bodies in place and depends on none: applied to any version from v to w it gives w, once or twice alike.

Both are targets signed by their list's role, proven whole, by length and SHA-256, before a byte of them is read.

Example: a base of 40,000 tokens with bodies of 23 bytes has 4 + 40,000 x 43 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.segments import TOKEN_BYTES

BASE_MAGIC = b"PCB2"
DELTA_MAGIC = b"PCD2"
MAX_BODY_BYTES = 1 << 24
"""The longest body: hundreds of thousands of entries of one list on one token. So a file can't ask for all the memory."""

_FRAME = struct.Struct(f"<{TOKEN_BYTES}sI")
_PIECE_BYTES = 1 << 20

Bodies = Iterator[tuple[bytes, bytes]]
"""Pairs of a token and its body (`portcullis.domain.records`), in ascending order of token."""


def frame(token: bytes, body: bytes) -> bytes:
    """Write one frame.

    Raises:
        ValueError: the token is not 16 bytes long, or the body is too long.
    """
    if len(token) != TOKEN_BYTES:
        raise ValueError(f"a token has {TOKEN_BYTES} bytes, not {len(token)}")
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"a body has at most {MAX_BODY_BYTES} bytes, not {len(body)}")
    return _FRAME.pack(token, len(body)) + body


def write_frames(magic: bytes, bodies: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Write a file in pieces of about a mebibyte."""
    piece = bytearray(magic)
    for token, body in bodies:
        piece += frame(token, body)
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def read_frames(magic: bytes, file: BinaryIO) -> Bodies:
    """Read a file that was proven already.

    Raises:
        SnapshotInvalid: it is of another kind, ends inside a frame, or has tokens out of order or a body too long.
    """
    if file.read(len(magic)) != magic:
        raise SnapshotInvalid("the target is of another kind than its name says", refusal=Refusal.RECORDS_MALFORMED)
    rest, last = b"", b""
    while piece := file.read(_PIECE_BYTES):
        rest += piece
        place, end = 0, len(rest)
        while place + _FRAME.size <= end:
            token, length = _FRAME.unpack_from(rest, place)
            if length > MAX_BODY_BYTES:
                raise SnapshotInvalid("the target has a body that is too long", refusal=Refusal.RECORDS_MALFORMED)
            stop = place + _FRAME.size + length
            if stop > end:
                break
            if token <= last:
                raise SnapshotInvalid("tokens are out of order", refusal=Refusal.RECORDS_MALFORMED)
            last = token
            yield token, rest[place + _FRAME.size : stop]
            place = stop
        rest = rest[place:]
    if rest:
        raise SnapshotInvalid("the target ends inside a frame", refusal=Refusal.RECORDS_MALFORMED)
