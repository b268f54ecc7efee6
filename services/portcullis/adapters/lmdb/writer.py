"""The writing side of the replica: builds a generation beside the present one, or leads the present one on.

The order makes every crash harmless. A new generation is wholly on the disk, folders included, before ``current.json``
names it; ``current.json`` is on the disk before the old generation is deleted; whatever ``current.json`` does not name at a
start is the rest of a crash, and goes. A version in place is one transaction (`portcullis.adapters.lmdb.present`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from portcullis.adapters.clock import boot_id
from portcullis.adapters.folder_hold import hold_folder, unwritable
from portcullis.adapters.lmdb.building import FOLDER_MODE, build_generation
from portcullis.adapters.lmdb.generations import DATA_FILE
from portcullis.adapters.lmdb.pointer import (
    GENERATIONS,
    Pointer,
    Vouching,
    generation_folder,
    read_pointer,
    read_vouching,
    share_time,
    vouched_monotonic,
    write_pointer,
    write_vouching,
)
from portcullis.adapters.lmdb.present import PresentGeneration
from portcullis.domain.editions import FORMAT, Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.segments import Change
from portcullis.ports import Space, TimeKeeper

_LOCK = "writer.lock"
_WHAT = "replica"
_SETTING = "PORTCULLIS_REPLICA_DIR"


class LmdbReplicaWriter:
    """Writes one host's replica. A second writer on the same folder is refused.

    Args:
        home: the replica's folder.
        clock: for how long ago a version was vouched for.
        boot: the present boot of the host; found out where it is None, "" where the host does not tell.
        filtered: whether generations get a filter of their tokens, which only readers need.

    Raises:
        SetupFault: another process writes this replica, or the folder can't be written.
    """

    def __init__(self, home: Path, clock: TimeKeeper, *, boot: str | None = None, filtered: bool = True) -> None:
        self._home = home
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._filtered = filtered
        self._lock = _held(home)
        self._pointer = read_pointer(home)[1]
        self._opened: PresentGeneration | None = None
        self._data_file = ""
        share_time(read_vouching(home), clock, self._boot)
        self._vouched_at = self._restored_vouching()
        self._sweep()

    def held(self) -> Edition | None:
        """Give the edition now installed, or None. What can't be read, or was wiped meanwhile, counts as none."""
        present = self._present()
        return present.edition if present else None

    def install(self, edition: Edition, records: Iterable[Change], changes: Iterable[Change] = ()) -> None:
        """Build a version beside the present one, then swap to it.

        Raises:
            SnapshotInvalid: the records are out of order, a body is malformed, or a list is not what the edition says.
            OSError: the disk refused; the present version stays.
        """
        (self._home / GENERATIONS).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        number = self._next_number()
        folder = generation_folder(self._home, number)
        try:
            data_bytes = build_generation(folder, edition, records, changes, filtered=self._filtered)
            pointer = Pointer(format=FORMAT, generation=number, version=edition.version, data_bytes=data_bytes)
            write_pointer(self._home, pointer)
        except BaseException:
            if read_pointer(self._home)[1] == self._pointer:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self._pointer = pointer
        if self._opened is not None:
            self._opened.give_up()
        self._opened = self._open(pointer)
        self._note_published(edition)
        self._sweep()

    def apply(self, edition: Edition, changes: Iterable[Change]) -> None:
        """Lead the present version on to the next in one transaction: bodies, edition and version.

        Where the present generation can't be led on (`PresentGeneration.writable`), one is built beside it instead.

        Raises:
            SnapshotInvalid: nothing is installed, a body is malformed, a list that has records left, or a list would not be
                what the edition says; the present version stays.
            OSError: the disk refused; the present version stays.
        """
        present = self._present()
        if present is None:
            raise SnapshotInvalid("nothing is installed that could be led on")
        if present.writable:
            present.lead_on(edition, changes)
            self._note_published(edition)
        else:
            self.install(edition, present.records(), changes)

    def body(self, token: bytes, number: int) -> bytes:
        """Give the body of a token in a list as of the version installed; empty where it has none."""
        # A publisher asks a million times in a row, so no more is looked at than whether the folder was wiped meanwhile.
        stands = self._opened is not None and os.path.exists(self._data_file)  # noqa: PTH110 - a tenth of the time
        present = self._opened if stands else self._present()
        return present.body(token, number) if present else b""

    def records(self) -> Iterator[Change]:
        """Give every body, ascending, as of the version installed when this is called; read in steps as one likes."""
        present = self._present()
        return present.records() if present else iter(())

    def space(self) -> Space | None:
        """Say how much room the version installed takes, and how much it would if it were built anew."""
        present = self._present()
        return present.space() if present else None

    def vouch(self, version: int, age_s: float) -> None:
        """Note when the publisher vouched for the version installed; the latest vouching counts.

        Raises:
            OSError: the disk refused.
        """
        vouched_at = self._clock.monotonic() - max(0.0, age_s)
        opened = self._opened
        if opened is not None and version == opened.edition.version and vouched_at > self._vouched_at:
            self._note(version, vouched_at)

    def _note_published(self, edition: Edition) -> None:
        with suppress(OSError):
            # The version is installed, note or not; without one its age is worked out anew from the same facts.
            self._note(edition.version, vouched_monotonic(edition, None, self._clock, self._boot))

    def _note(self, version: int, vouched_at: float) -> None:
        self._vouched_at = vouched_at
        wall = self._clock.now() - (self._clock.monotonic() - vouched_at)
        write_vouching(self._home, Vouching(version=version, wall=wall, monotonic=vouched_at, boot_id=self._boot))

    def close(self) -> None:
        """Let another writer have the folder."""
        opened, self._opened = self._opened, None
        if opened is not None:
            with suppress(OSError):
                # Then the filter stays marked, and is trusted as long as this boot lasts.
                opened.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _present(self) -> PresentGeneration | None:
        """Give the generation in force, or None where it was wiped meanwhile or can't be read."""
        pointer = self._pointer
        if (
            pointer is None
            or read_pointer(self._home)[1] != pointer
            or not (pointer.folder(self._home) / DATA_FILE).exists()
        ):
            return None
        if self._opened is None or self._opened.is_lost:
            self._opened = self._open(pointer)
        return self._opened

    def _open(self, pointer: Pointer) -> PresentGeneration | None:
        self._data_file = str(pointer.folder(self._home) / DATA_FILE)
        try:
            return PresentGeneration(pointer.folder(self._home), pointer.data_bytes, self._boot, filtered=self._filtered)
        except (SnapshotInvalid, OSError):
            return None

    def _restored_vouching(self) -> float:
        held = self.held()
        if held is None:
            return float("-inf")
        return vouched_monotonic(held, read_vouching(self._home), self._clock, self._boot)

    def _next_number(self) -> int:
        """Give a number that no folder and no pointer has, so that no reader takes an old path for a new one."""
        names = [int(each.name) for each in (self._home / GENERATIONS).iterdir() if each.name.isdecimal()]
        return 1 + max([0, *names, self._pointer.generation if self._pointer else 0])

    def _sweep(self) -> None:
        """Delete every generation but the one in force. Readers who have one open keep it mapped."""
        wanted = str(self._pointer.generation) if self._pointer else ""
        for each in (self._home / GENERATIONS).iterdir():
            if each.name != wanted:
                shutil.rmtree(each, ignore_errors=True)


def _held(home: Path) -> int:
    try:
        (home / GENERATIONS).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except OSError as fault:
        raise unwritable(home, fault, what=_WHAT, setting=_SETTING) from fault
    return hold_folder(home, _LOCK, what=_WHAT, holder="follower", does="writes", setting=_SETTING)
