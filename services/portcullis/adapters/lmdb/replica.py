"""The reader's side of the replica: one per worker process."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import lmdb

from portcullis.adapters.clock import boot_id
from portcullis.adapters.lmdb.generations import Generation, open_generation
from portcullis.adapters.lmdb.pointer import Vouching, read_pointer, read_vouching, vouched_monotonic
from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.ports import Clock


class LmdbReadTransaction:
    """One version. ``get`` is LMDB's own, with nothing around it; it must not be called after ``close``."""

    __slots__ = ("_transaction", "edition", "get")

    def __init__(self, edition: Edition, transaction: lmdb.Transaction[bytes]) -> None:
        self.edition: Edition = edition
        self.get: Callable[[bytes], bytes | None] = transaction.get
        self._transaction = transaction

    def close(self) -> None:
        """Give the transaction back to the environment, which renews it for a later check."""
        self._transaction.abort()


class LmdbReplica:
    """Reads the newest generation that the writer has installed.

    ``begin`` takes a transaction out of the environment's spare ones and renews it, so it reads what was committed last; as
    many may be open at the same time as there are checks under way. A generation that the writer has replaced and deleted
    stays mapped until its last transaction is gone.

    A replica once read is kept, whatever becomes of the files: a pointer that vanishes is a fault of the disk, never a
    reason to know less.
    """

    def __init__(self, home: Path, clock: Clock, *, boot: str | None = None) -> None:
        self._home = home
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._pointer = b""
        self._generation: Generation | None = None
        self._vouching: Vouching | None = None
        self._vouched_at = -math.inf
        self.refresh()

    def begin(self) -> LmdbReadTransaction | None:
        """Open the newest version that the last refresh saw; None before the first."""
        generation = self._generation
        return None if generation is None else LmdbReadTransaction(generation.edition, generation.begin())

    def refresh(self) -> bool:
        """Look whether another version was installed or vouched for: two small files are read."""
        changed = self._follow_pointer()
        generation = self._generation
        if generation is None:
            return changed
        vouching = read_vouching(self._home)
        news = vouching != self._vouching and vouching is not None and vouching.version == generation.edition.version
        if changed or news:
            # Worked out once, so that setting the wall clock afterwards changes no age.
            self._vouching = vouching
            self._vouched_at = vouched_monotonic(generation.edition, vouching, self._clock, self._boot)
        return changed

    def _follow_pointer(self) -> bool:
        data, pointer = read_pointer(self._home)
        if pointer is None or data == self._pointer:
            return False
        try:
            self._generation = open_generation(pointer.folder(self._home), pointer.data_bytes)
        except SnapshotInvalid:
            # The writer has swapped again and deleted this one, or it is damaged and will be rebuilt: the next look tells.
            return False
        self._pointer = data
        return True

    def vouched_age_s(self) -> float:
        """Seconds since the publisher last vouched for the version held; infinite before the first."""
        return max(0.0, self._clock.monotonic() - self._vouched_at)

    def close(self) -> None:
        """Give up the files, once the last open transaction is closed."""
        self._generation = None
