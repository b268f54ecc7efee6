"""A blocked Bloom filter beside a generation: says of nearly every token that is not there that it is not there.

Almost every check is a miss, and LMDB's look-up gives up the interpreter's lock: under load another thread takes it, and the
check waits for its return. The filter answers a miss from one 64-bit word, without LMDB and without a page of its tree.

After Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters" (2007): a token names one word and three
bits in it; all three are set for every token that was added. A token whose bits are not all set was never added; one whose
bits are set may have been, so LMDB is asked. Tokens are keyed hashes, so their own bytes serve as the hash values. With 16
to 32 bits a token, well under one miss in fifty asks LMDB.

The file is a head of 64 bytes, then the words, of the host's byte order: it never leaves the host. The head is a BLAKE2b
digest of the words, of 32 bytes, and a mark, of 32. A bit that fell to zero would hide an entry, so a reader asks first
whether the file can be trusted:

1. A mark of zeros: the file is as it was written. It is trusted if it matches its digest.
2. The mark of this boot and this file: the writer has set bits in it since (`portcullis.adapters.lmdb.bloom_keeper`), and
   the digest says nothing. Writer and readers share the kernel's pages of it, which outlive a killed writer, so it is
   trusted as it is.
3. Any other mark: bits that were set in another boot, or in a file of which this is a copy, may have been lost on their way
   to the disk. It is not used.

Without a filter every look-up asks LMDB, which is slower and as right.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path

from portcullis.domain.errors import SnapshotInvalid

BLOOM_FILE = "absent.bloom"
WORD_BYTES = 8
HEAD_BYTES = 64
UNTOUCHED = bytes(32)
"""The mark of a file that is as it was written."""

_DIGEST_BYTES = 32
_BITS_A_TOKEN = 16
_WORD_BITS = 64
_FEWEST_WORDS = 1024
# A list's signer may claim any number of records; what is not used of the room for them is never touched.
_MOST_WORDS = 1 << 26
_FIELDS = struct.Struct("<IBBB9x").unpack
_BITS = tuple(1 << (place % _WORD_BITS) for place in range(256))

Get = Callable[[bytes], bytes | None]


class BloomBuilder:
    """Collects the tokens of one generation.

    Args:
        data: the words to go on from.
    """

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self._words = memoryview(data).cast("Q")

    @classmethod
    def sized(cls, tokens: int) -> BloomBuilder:
        """Begin an empty filter for so many tokens."""
        return cls(bytearray(_words_for(tokens) * WORD_BYTES))

    def add(self, token: bytes) -> None:
        """Add a token of 16 bytes."""
        self.add_all((token,))

    def add_all(self, tokens: Iterable[bytes]) -> None:
        """Add tokens of 16 bytes."""
        words, mask, fields, bits = self._words, len(self._words) - 1, _FIELDS, _BITS
        for token in tokens:
            word, first, second, third = fields(token)
            words[word & mask] |= bits[first] | bits[second] | bits[third]

    def write(self, folder: Path, mode: int) -> None:
        """Write the filter into a generation's folder and force it to the disk.

        Raises:
            OSError: the disk refused.
        """
        with (folder / BLOOM_FILE).open("xb") as file:
            file.write(head_of(self.data))
            file.write(self.data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())


class BloomReader:
    """Finds a generation's filter, once it can be trusted.

    Args:
        folder: the generation's folder.
        boot: the present boot of the host, "" where the host does not tell.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self._folder = folder
        self._boot = boot
        self._words: memoryview | None = None
        self._refused = b""

    def words(self) -> memoryview | None:
        """Give the filter, or None while it can't be trusted. One that can be will always be.

        It is looked at again only when its head has changed: to prove a digest means to read the whole file.
        """
        if self._words is None:
            head = self._head()
            if head != self._refused:
                try:
                    self._words = open_bloom(self._folder, self._boot)
                except (SnapshotInvalid, OSError):
                    self._refused = head
        return self._words

    def _head(self) -> bytes:
        try:
            with (self._folder / BLOOM_FILE).open("rb", buffering=0) as file:
                return file.read(HEAD_BYTES)
        except OSError:
            return b""


def open_bloom(folder: Path, boot: str) -> memoryview:
    """Map a generation's filter for reading; gives its words.

    Raises:
        SnapshotInvalid: there is none, or it can't be trusted.
        OSError: it can't be read.
    """
    try:
        with (folder / BLOOM_FILE).open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (FileNotFoundError, ValueError) as fault:
        raise SnapshotInvalid("the replica's filter is missing") from fault
    if not has_whole_words(len(data)):
        raise SnapshotInvalid("the replica's filter is damaged")
    marked = mark_of(boot, inode, len(data))
    # The writer may mark the file while its digest is worked out; then the mark is what counts.
    if not (_has_mark(data, marked) or _is_as_written(data) or _has_mark(data, marked)):
        raise SnapshotInvalid("the replica's filter is damaged, or was changed in another boot")
    return words_of(data)


def absent_first(words: memoryview, get: Get) -> Get:
    """Give a look-up that asks ``get`` only for tokens that may be there."""
    mask = len(words) - 1

    def look_up(token: bytes) -> bytes | None:
        word, first, second, third = _FIELDS(token)
        bits = _BITS[first] | _BITS[second] | _BITS[third]
        return get(token) if words[word & mask] & bits == bits else None

    return look_up


def word_and_bits(token: bytes, words: int) -> tuple[int, int]:
    """Give the place of a token's word in a filter of so many words, and the bits in it."""
    word, first, second, third = _FIELDS(token)
    return word & (words - 1), _BITS[first] | _BITS[second] | _BITS[third]


def has_whole_words(file_bytes: int) -> bool:
    """Say whether a file of this length can be a filter: a head, and a power of two of words."""
    words, rest = divmod(file_bytes - HEAD_BYTES, WORD_BYTES)
    return not rest and words > 0 and words & (words - 1) == 0


def words_of(data: memoryview) -> memoryview:
    """Give the words of a file's bytes."""
    return data[HEAD_BYTES:].cast("Q")


def head_of(words: bytearray | memoryview) -> bytes:
    """Give the head of a file that is as it was written."""
    return blake2b(words, digest_size=_DIGEST_BYTES).digest() + UNTOUCHED


def mark_of(boot: str, inode: int, file_bytes: int) -> bytes | None:
    """Give the mark of a file in which bits were set in this boot; None where the host does not tell its boot."""
    return blake2b(f"{boot}/{inode}/{file_bytes}".encode(), digest_size=len(UNTOUCHED)).digest() if boot else None


def _has_mark(data: memoryview, mark: bytes | None) -> bool:
    return mark is not None and data[_DIGEST_BYTES:HEAD_BYTES] == mark


def _is_as_written(data: memoryview) -> bool:
    return data[:HEAD_BYTES] == head_of(data[HEAD_BYTES:])


def _words_for(tokens: int) -> int:
    """The power of two that gives every token its bits."""
    wanted = min(_MOST_WORDS, max(_FEWEST_WORDS, tokens * _BITS_A_TOKEN // _WORD_BITS))
    return 1 << (wanted - 1).bit_length()
