"""The reader's side of the replica: one per worker process."""

from __future__ import annotations

import math
from pathlib import Path

import lmdb

from portcullis.adapters.clock import boot_id
from portcullis.adapters.lmdb.bloom import Get, absent_first
from portcullis.adapters.lmdb.generations import Generation, open_generation
from portcullis.adapters.lmdb.pointer import Vouching, read_pointer, read_vouching, vouched_monotonic
from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.ports import Clock


class LmdbReadTransaction:
    """One version. ``get`` asks the generation's filter first, and LMDB for what may be there.

    A finished generation is not written again, so all checks of a worker share one transaction of LMDB: its table of
    readers, which the workers of a host have in common, can't be filled by calls that wait.
    """

    __slots__ = ("_generation", "edition", "get")

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self.edition: Edition = generation.edition
        get = generation.begin().get
        self.get: Get = get if generation.present is None else absent_first(generation.present, get)

    def close(self) -> None:
        """Nothing to give back: LMDB ends its transaction when nobody refers to the version any more."""


class LmdbReplica:
    """Reads the newest generation that the writer has installed.

    A generation that the writer has replaced and deleted stays mapped until nobody reads it any more.

    A replica once read is kept, whatever becomes of the files: a pointer that vanishes is a fault of the disk, never a
    reason to know less.
    """

    def __init__(self, home: Path, clock: Clock, *, boot: str | None = None) -> None:
        self._home = home
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._pointer = b""
        self._current: LmdbReadTransaction | None = None
        self._vouching: Vouching | None = None
        self._vouched_at = -math.inf
        self.refresh()

    def begin(self) -> LmdbReadTransaction | None:
        """Open the newest version that the last refresh saw; None before the first."""
        return self._current

    def refresh(self) -> bool:
        """Look whether another version was installed or vouched for: two small files are read."""
        changed = self._follow_pointer()
        current = self._current
        if current is None:
            return changed
        vouching = read_vouching(self._home)
        news = vouching != self._vouching and vouching is not None and vouching.version == current.edition.version
        if changed or news:
            # Worked out once, so that setting the wall clock afterwards changes no age.
            self._vouching = vouching
            self._vouched_at = vouched_monotonic(current.edition, vouching, self._clock, self._boot)
        return changed

    def _follow_pointer(self) -> bool:
        data, pointer = read_pointer(self._home)
        if pointer is None or data == self._pointer:
            return False
        try:
            self._current = LmdbReadTransaction(open_generation(pointer.folder(self._home), pointer.data_bytes))
        except (SnapshotInvalid, lmdb.Error):
            # The writer has swapped again and deleted this one, or it is damaged and will be rebuilt: the next look tells.
            return False
        self._pointer = data
        return True

    def vouched_age_s(self) -> float:
        """Seconds since the publisher last vouched for the version held; infinite before the first."""
        return max(0.0, self._clock.monotonic() - self._vouched_at)

    def close(self) -> None:
        """Give up the files, once nobody reads them any more."""
        self._current = None
