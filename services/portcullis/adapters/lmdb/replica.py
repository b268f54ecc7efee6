"""The reader's side of the replica: one per worker process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import lmdb

from portcullis.adapters.clock import boot_id
from portcullis.adapters.lmdb.bloom import BloomReader, Get, absent_first
from portcullis.adapters.lmdb.building import bodies_of_value
from portcullis.adapters.lmdb.generations import Generation, disk_faults, open_generation
from portcullis.adapters.lmdb.parts import StoredEdition, load_edition
from portcullis.adapters.lmdb.pointer import Vouching, read_pointer, read_vouching, share_time, vouched_monotonic
from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.segments import Change
from portcullis.ports import TimeKeeper


class LmdbReadTransaction:
    """One version. ``get`` asks the generation's filter first, and LMDB for what may be there.

    All checks of a worker that read a version share its one transaction of LMDB: the table of readers, which the workers of
    a host have in common, can't be filled by calls that wait.
    """

    __slots__ = ("_generation", "_transaction", "change", "edition", "get")

    def __init__(
        self, generation: Generation, transaction: lmdb.Transaction[bytes], edition: Edition, present: memoryview | None
    ) -> None:
        self._generation = generation
        self._transaction = transaction
        self.change = transaction.id()
        """The id of the transaction that wrote this version, within its generation."""
        self.edition: Edition = edition
        self.get: Get = transaction.get if present is None else absent_first(present, transaction.get)

    def records(self) -> Iterator[Change]:
        """Give every body, strictly ascending by token and list: the whole file is read.

        Raises:
            SnapshotInvalid: the file is damaged.
        """
        with disk_faults(), self._transaction.cursor() as cursor:
            for token, value in cursor:
                for number, body in bodies_of_value(value).items():
                    yield token, number, body

    def close(self) -> None:
        """Nothing to give back: LMDB ends its transaction when nobody refers to the version any more."""


class LmdbReplica:
    """Reads the newest version that the writer has installed or applied.

    A version that the writer has replaced or deleted stays for as long as somebody reads it.

    A replica once read is kept, whatever becomes of the files: a pointer that vanishes is a fault of the disk, never a
    reason to know less.
    """

    def __init__(self, home: Path, clock: TimeKeeper, *, boot: str | None = None) -> None:
        self._home = home
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._pointer = b""
        self._generation: Generation | None = None
        self._bloom: BloomReader | None = None
        self._stored: StoredEdition | None = None
        self._current: LmdbReadTransaction | None = None
        self._vouching: Vouching | None = None
        self._vouched_at = -math.inf
        self.refresh()

    def begin(self) -> LmdbReadTransaction | None:
        """Open the newest version that the last refresh saw; None before the first."""
        return self._current

    def refresh(self) -> bool:
        """Look whether there is another version, or it was vouched for.

        Two small files are read, and a number in the memory that all processes share.
        """
        changed = self._follow_pointer() or self._follow_changes()
        current = self._current
        if current is None:
            return changed
        vouching = read_vouching(self._home)
        news = vouching != self._vouching and vouching is not None and vouching.version == current.edition.version
        if changed or news:
            # Worked out once, so that setting the wall clock afterwards changes no age.
            self._vouching = vouching
            share_time(vouching, self._clock, self._boot)
            self._vouched_at = vouched_monotonic(current.edition, vouching, self._clock, self._boot)
        return changed

    def _follow_pointer(self) -> bool:
        """Go over to another generation, once ``current.json`` names it."""
        data, pointer = read_pointer(self._home)
        if pointer is None or data == self._pointer:
            return False
        try:
            generation = open_generation(pointer.folder(self._home), pointer.data_bytes)
            bloom = BloomReader(generation.folder, self._boot)
            self._take(generation, generation.begin(), bloom)
        except (SnapshotInvalid, lmdb.Error):
            # The writer has swapped again and deleted this one, or it is damaged and will be rebuilt: the next look tells.
            return False
        self._pointer, self._generation, self._bloom = data, generation, bloom
        return True

    def _follow_changes(self) -> bool:
        """Go over to another version of the same generation, once one is committed."""
        generation, bloom, current = self._generation, self._bloom, self._current
        if generation is None or bloom is None or current is None or generation.last_change() == current.change:
            return False
        try:
            transaction = generation.begin()
            if transaction.id() == current.change:
                # It is on the disk, but not yet told to readers; where its writer was killed just then, the next one will.
                return False
            self._take(generation, transaction, bloom)
        except (SnapshotInvalid, lmdb.Error):
            # Damaged, or there is no room to read: what is held stays, and grows old where everybody sees it.
            return False
        return True

    def _take(self, generation: Generation, transaction: lmdb.Transaction[bytes], bloom: BloomReader) -> None:
        stored = load_edition(generation.about(transaction), self._stored)
        present = bloom.words()
        if present is not None and not generation.is_in_place():
            # The folder was wiped and came again: this is the filter of another generation.
            present = None
        self._current = LmdbReadTransaction(generation, transaction, stored.edition, present)
        self._stored = stored

    def vouched_age_s(self) -> float:
        """Seconds since the publisher last vouched for the version held; infinite before the first."""
        return max(0.0, self._clock.monotonic() - self._vouched_at)

    def close(self) -> None:
        """Give up the files, once nobody reads them any more."""
        self._current = self._generation = self._bloom = self._stored = None
        self._pointer = b""
