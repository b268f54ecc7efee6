"""A blocked Bloom filter beside a generation: says of nearly every token that is not there that it is not there.

Almost every check is a miss, and LMDB's look-up gives up the interpreter's lock: under load another thread takes it, and the
check waits for its return. The filter answers a miss from one 64-bit word, without LMDB and without a page of its tree.

After Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters" (2007): a token names one word and three
bits in it; all three are set for every token that was added. A token whose bits are not all set was never added; one whose
bits are set may have been, so LMDB is asked. Tokens are keyed hashes, so their own bytes serve as the hash values. With 16
to 32 bits a token, well under one miss in fifty asks LMDB.

The file is a BLAKE2b digest of 32 bytes, then the words, of the host's byte order: it never leaves the host. A bit that fell
to zero would hide an entry, so a file that does not match its digest is not used.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from portcullis.domain.errors import SnapshotInvalid

BLOOM_FILE = "absent.bloom"

_BITS_A_TOKEN = 16
_WORD_BITS = 64
_FEWEST_WORDS = 1024
_DIGEST_BYTES = 32
_FIELDS = struct.Struct("<IBBB9x").unpack
_BITS = tuple(1 << (place % _WORD_BITS) for place in range(256))

Get = Callable[[bytes], bytes | None]


class BloomBuilder:
    """Collects the tokens of one generation.

    Args:
        tokens: how many there will be.
    """

    def __init__(self, tokens: int) -> None:
        self._data = bytearray(_words_for(tokens) * (_WORD_BITS // 8))
        self._words = memoryview(self._data).cast("Q")

    def add(self, token: bytes) -> None:
        """Add a token of 16 bytes."""
        word, first, second, third = _FIELDS(token)
        self._words[word & (len(self._words) - 1)] |= _BITS[first] | _BITS[second] | _BITS[third]

    def write(self, folder: Path, mode: int) -> None:
        """Write the filter into a generation's folder and force it to the disk.

        Raises:
            OSError: the disk refused.
        """
        with (folder / BLOOM_FILE).open("xb") as file:
            file.write(_digest(self._data))
            file.write(self._data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())


def open_bloom(folder: Path) -> memoryview:
    """Map a generation's filter for reading; gives its words.

    Raises:
        SnapshotInvalid: there is none, or it is damaged.
        OSError: it can't be read.
    """
    try:
        with (folder / BLOOM_FILE).open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (FileNotFoundError, ValueError) as fault:
        raise SnapshotInvalid("the replica's filter is missing") from fault
    body = data[_DIGEST_BYTES:]
    if len(body) % 8 or not len(body) or data[:_DIGEST_BYTES] != _digest(body):
        raise SnapshotInvalid("the replica's filter is damaged")
    return body.cast("Q")


def absent_first(words: memoryview, get: Get) -> Get:
    """Give a look-up that asks ``get`` only for tokens that may be there."""
    mask = len(words) - 1

    def look_up(token: bytes) -> bytes | None:
        word, first, second, third = _FIELDS(token)
        bits = _BITS[first] | _BITS[second] | _BITS[third]
        return get(token) if words[word & mask] & bits == bits else None

    return look_up


def _words_for(tokens: int) -> int:
    """The power of two that gives every token its bits."""
    wanted = max(_FEWEST_WORDS, tokens * _BITS_A_TOKEN // _WORD_BITS)
    return 1 << (wanted - 1).bit_length()


def _digest(data: bytearray | memoryview) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
