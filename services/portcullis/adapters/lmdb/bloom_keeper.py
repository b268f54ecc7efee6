"""The writer's hold on the filter of the generation in force: bits are set in the file that readers have mapped.

The rules:

1. A token's bits are in the file before the transaction that adds the token is committed, so no reader of it misses them.
   Bits are never cleared: those of a removed token, or of a transaction given up, cost a look-up and nothing more.
2. Before the first bit changes, the file is marked as changed in this boot, and the mark is on the disk: a power cut may
   lose bits, and then the mark is of another boot (`portcullis.adapters.lmdb.bloom`).
3. A file that can't be trusted when the writer starts gets the bits of every token, in place: a reader that has the same
   file mapped from before only gains. One that is missing or cut short is not replaced, for another would not be the one
   that such a reader looks at: then the next version is a generation built anew.
4. A writer that is closed leaves a digest in place of the mark, so that only a power cut or a kill costs rule 3's reading.

Bits are written by system calls, not through the mapping: a full disk is then an error, and not the end of the process.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from portcullis.adapters.lmdb.bloom import (
    BLOOM_FILE,
    HEAD_BYTES,
    WORD_BYTES,
    BloomBuilder,
    has_whole_words,
    head_of,
    mark_of,
    open_bloom,
    word_and_bits,
    words_of,
)
from portcullis.domain.errors import SnapshotInvalid

_PIECE_BYTES = 1 << 20


class BloomKeeper:
    """Sets bits in a generation's filter.

    Args:
        folder: the generation's folder.
        boot: the present boot of the host, "" where the host does not tell.
        tokens: gives every token of the generation; asked only where the file can't be trusted.

    Raises:
        SnapshotInvalid: there is no filter, or it is cut short.
        OSError: it can't be read or written.
    """

    def __init__(self, folder: Path, boot: str, tokens: Callable[[], Iterable[bytes]]) -> None:
        self._file = _opened(folder)
        try:
            self._take(folder, boot, tokens)
        except BaseException:
            self.close()
            raise

    def _take(self, folder: Path, boot: str, tokens: Callable[[], Iterable[bytes]]) -> None:
        state = os.fstat(self._file)
        if not has_whole_words(state.st_size):
            raise SnapshotInvalid("the replica's filter is cut short")
        self._data = memoryview(mmap.mmap(self._file, 0, access=mmap.ACCESS_READ))
        self._words = words_of(self._data)
        # Where the host does not tell its boot, a mark that nobody can expect: no reader trusts the changed file.
        self._mark = mark_of(boot, state.st_ino, state.st_size) or os.urandom(HEAD_BYTES // 2)
        try:
            open_bloom(folder, boot)
        except SnapshotInvalid:
            self._restore(tokens())
        self._marked = self._data[HEAD_BYTES // 2 : HEAD_BYTES] == self._mark

    def add(self, token: bytes) -> None:
        """Set a token's bits.

        Raises:
            OSError: the disk refused.
        """
        place, bits = word_and_bits(token, len(self._words))
        word = self._words[place]
        if word & bits != bits:
            if not self._marked:
                self._write(HEAD_BYTES // 2, self._mark)
                os.fsync(self._file)
                self._marked = True
            self._write(HEAD_BYTES + place * WORD_BYTES, (word | bits).to_bytes(WORD_BYTES, sys.byteorder))

    def seal(self) -> None:
        """Put a digest in place of the mark (rule 4).

        Raises:
            OSError: the disk refused.
        """
        if self._marked:
            self._put_digest()
            self._marked = False

    def close(self) -> None:
        """Give up the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _restore(self, tokens: Iterable[bytes]) -> None:
        builder = BloomBuilder(bytearray(self._data[HEAD_BYTES:]))
        builder.add_all(tokens)
        for begin in range(0, len(builder.data), _PIECE_BYTES):
            self._write(HEAD_BYTES + begin, builder.data[begin : begin + _PIECE_BYTES])
        self._put_digest()

    def _put_digest(self) -> None:
        # The words first: a digest on the disk before what it proves would only be refused, but then for good.
        os.fsync(self._file)
        self._write(0, head_of(self._data[HEAD_BYTES:]))
        os.fsync(self._file)

    def _write(self, place: int, data: bytes | bytearray) -> None:
        if os.pwrite(self._file, data, place) != len(data):
            raise OSError("the disk took only a part of the replica's filter")


def _opened(folder: Path) -> int:
    try:
        return os.open(folder / BLOOM_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError as fault:
        raise SnapshotInvalid("the replica's filter is missing") from fault
