"""The base file: one whole snapshot as bytes, cut into chunks that are each proven before they are read.

The rules:

1. A base is ``magic · u32 length of the edition · edition · records``. A record is ``token · u32 length · value``, tokens
   of 16 bytes strictly ascending, all numbers little-endian. The edition is `portcullis.domain.editions`' canonical JSON.
2. It is cut every `CHUNK_BYTES` bytes, wherever that falls; only the last chunk is shorter. The description of the base
   (`portcullis.domain.metadata`) gives the number of chunks, the length and the SHA-256 of each.
3. The base is named by its content: by the SHA-256 of its chunks' digests one after another.
4. A reader takes chunks in order and refuses the whole base at the first one that is longer, shorter or other than
   described, that is missing, or that comes beyond the last. Nothing of a chunk is looked at before its digest agreed.

Example: an edition of 2 KB with 40,000 records of 25 bytes gives 8 + 2,048 + 40,000 x 45 bytes: two chunks, of 1,048,576
and 753,480 bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from portcullis.domain.editions import Edition, decode_edition, encode_edition
from portcullis.domain.errors import Refusal, SnapshotInvalid

CHUNK_BYTES = 1 << 20
"""The length of every chunk but the last."""

TOKEN_BYTES = 16
"""The length of every token (`portcullis.domain.tokens`)."""

_MAGIC = b"PCB1"
_OPENING = struct.Struct("<4sI")
_FRAME = struct.Struct(f"<{TOKEN_BYTES}sI")

Records = Iterator[tuple[bytes, bytes]]
"""Pairs of a token and its records (`portcullis.domain.records`), in ascending order of token."""


class BaseDigests(NamedTuple):
    """What proves a base: its name, its length in bytes, and the SHA-256 of each chunk in hexadecimal."""

    name: str
    length: int
    chunks: tuple[str, ...]


def frame(token: bytes, value: bytes) -> bytes:
    """Write one record.

    Raises:
        ValueError: the token is not 16 bytes long.
    """
    if len(token) != TOKEN_BYTES:
        raise ValueError(f"a token has {TOKEN_BYTES} bytes, not {len(token)}")
    return _FRAME.pack(token, len(value)) + value


def base_chunks(edition: Edition, frames: Iterable[bytes]) -> Iterator[bytes]:
    """Cut an edition and its framed records into chunks. ``frames`` may come in pieces of any size."""
    head = encode_edition(edition)
    pending = bytearray(_OPENING.pack(_MAGIC, len(head)) + head)
    for piece in frames:
        pending += piece
        while len(pending) >= CHUNK_BYTES:
            yield bytes(pending[:CHUNK_BYTES])
            del pending[:CHUNK_BYTES]
    while pending:
        yield bytes(pending[:CHUNK_BYTES])
        del pending[:CHUNK_BYTES]


def base_name(chunks: Iterable[str]) -> str:
    """Name a base by its chunks' digests."""
    tree = hashlib.sha256()
    for digest in chunks:
        tree.update(bytes.fromhex(digest))
    return f"base-{tree.hexdigest()}"


def digest_chunks(chunks: Iterable[bytes]) -> BaseDigests:
    """Work out what proves a base."""
    length = 0
    digests: list[str] = []
    for chunk in chunks:
        length += len(chunk)
        digests.append(hashlib.sha256(chunk).hexdigest())
    return BaseDigests(base_name(digests), length, tuple(digests))


def read_base(digests: BaseDigests, chunks: Iterable[bytes]) -> tuple[Edition, Records]:
    """Prove and read a base, chunk by chunk.

    The edition is proven when this returns; the records are proven as they are taken, so whoever takes them must be able
    to throw all of them away until the iterator has come to its end.

    Raises:
        SnapshotInvalid: the chunks are not the ones described, or do not hold a base. The records' iterator raises it too.
    """
    proven = _proven(digests, chunks)
    head = bytearray(next(proven, b""))
    if len(head) < _OPENING.size:
        raise SnapshotInvalid("the base ends before its edition", refusal=Refusal.BASE_MALFORMED)
    magic, length = _OPENING.unpack_from(head)
    if magic != _MAGIC:
        raise SnapshotInvalid("the target is no base", refusal=Refusal.BASE_MALFORMED)
    end = _OPENING.size + length
    while len(head) < end:
        more = next(proven, b"")
        if not more:
            raise SnapshotInvalid("the base ends inside its edition", refusal=Refusal.BASE_MALFORMED)
        head += more
    return decode_edition(bytes(head[_OPENING.size : end])), split_frames(chain((bytes(head[end:]),), proven))


def _proven(digests: BaseDigests, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass on the chunks that are as described."""
    count = len(digests.chunks)
    place = 0
    for chunk in chunks:
        if place == count:
            raise SnapshotInvalid("the base has more chunks than described", refusal=Refusal.CHUNK_SURPLUS)
        _prove(digests, place, chunk)
        yield chunk
        place += 1
    if place < count:
        raise SnapshotInvalid(f"the base ends after {place} of {count} chunks", refusal=Refusal.CHUNK_MISSING)


def _prove(digests: BaseDigests, place: int, chunk: bytes) -> None:
    last = place == len(digests.chunks) - 1
    expected = digests.length - place * CHUNK_BYTES if last else CHUNK_BYTES
    found = hashlib.sha256(chunk).hexdigest()
    if found == digests.chunks[place] and len(chunk) == expected:
        return
    if found in digests.chunks:
        raise SnapshotInvalid(f"chunk {place} stands in another's place", refusal=Refusal.CHUNK_ORDER)
    if len(chunk) != expected:
        raise SnapshotInvalid(f"chunk {place} has not the length described", refusal=Refusal.CHUNK_LENGTH)
    raise SnapshotInvalid(f"chunk {place} has not the digest described", refusal=Refusal.CHUNK_DIGEST)


def split_frames(pieces: Iterable[bytes]) -> Records:
    """Take records out of pieces; one may begin in a piece and end in a later one.

    Raises:
        SnapshotInvalid: the pieces end inside a record.
    """
    rest = b""
    for piece in pieces:
        rest += piece
        place, end = 0, len(rest)
        while place + _FRAME.size <= end:
            token, length = _FRAME.unpack_from(rest, place)
            stop = place + _FRAME.size + length
            if stop > end:
                break
            yield token, rest[place + _FRAME.size : stop]
            place = stop
        rest = rest[place:]
    if rest:
        raise SnapshotInvalid("the base ends inside a record", refusal=Refusal.BASE_MALFORMED)
