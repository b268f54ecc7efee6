"""The follower's side of the replica: builds a generation beside the present one, then swaps to it.

The order makes every crash harmless: the new generation is wholly on the disk, folders included, before ``current.json``
names it; ``current.json`` is on the disk before the old generation is deleted; whatever ``current.json`` does not name at a
start is the rest of a crash, and goes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import lmdb

from portcullis.adapters.clock import boot_id
from portcullis.adapters.lmdb.bloom import BloomBuilder
from portcullis.adapters.lmdb.generations import DATA_FILE, EDITION_KEY, LOCK_FILE, MAX_READERS, open_generation
from portcullis.adapters.lmdb.pointer import (
    GENERATIONS,
    Pointer,
    Vouching,
    generation_folder,
    read_pointer,
    read_vouching,
    sync_folder,
    vouched_monotonic,
    write_pointer,
    write_vouching,
)
from portcullis.domain.editions import FORMAT, Edition, encode_edition
from portcullis.domain.errors import Refusal, SetupFault, SnapshotInvalid
from portcullis.ports import Clock

_BATCH = 10_000
_FIRST_MAP_BYTES = 16 << 20
_FOLDER_MODE = 0o750
_DATA_MODE = 0o640
_LOCK_MODE = 0o660


class LmdbReplicaWriter:
    """Writes one host's replica. A second writer on the same folder is refused.

    Raises:
        SetupFault: another process writes this replica, or the folder can't be written.
    """

    def __init__(self, home: Path, clock: Clock, *, boot: str | None = None) -> None:
        self._home = home
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._lock = _locked(home)
        self._pointer = read_pointer(home)[1]
        self._held = _edition(home, self._pointer)
        self._vouched_at = self._restored_vouching()
        self._sweep()

    def held(self) -> Edition | None:
        """Give the edition now installed, or None. What can't be read, or was wiped meanwhile, counts as none."""
        pointer = self._pointer
        if (
            pointer is None
            or read_pointer(self._home)[1] != pointer
            or not (pointer.folder(self._home) / DATA_FILE).exists()
        ):
            return None
        return self._held

    def install(self, edition: Edition, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Build a version beside the present one, then swap to it.

        Raises:
            SnapshotInvalid: tokens out of order, doubled, or not as many as the edition says.
            OSError: the disk refused; the present version stays.
        """
        (self._home / GENERATIONS).mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        number = self._next_number()
        folder = generation_folder(self._home, number)
        try:
            data_bytes = _build(folder, edition, records)
            pointer = Pointer(format=FORMAT, generation=number, version=edition.version, data_bytes=data_bytes)
            write_pointer(self._home, pointer)
        except BaseException:
            if read_pointer(self._home)[1] == self._pointer:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self._pointer = pointer
        self._held = edition
        with suppress(OSError):
            # The version is installed, note or not; without one its age is worked out anew from the same facts.
            self._note(edition.version, vouched_monotonic(edition, None, self._clock, self._boot))
        self._sweep()

    def vouch(self, version: int, age_s: float) -> None:
        """Note when the publisher vouched for the version installed; the latest vouching counts.

        Raises:
            OSError: the disk refused.
        """
        vouched_at = self._clock.monotonic() - max(0.0, age_s)
        if self._held is not None and version == self._held.version and vouched_at > self._vouched_at:
            self._note(version, vouched_at)

    def _note(self, version: int, vouched_at: float) -> None:
        self._vouched_at = vouched_at
        wall = self._clock.now() - (self._clock.monotonic() - vouched_at)
        write_vouching(self._home, Vouching(version=version, wall=wall, monotonic=vouched_at, boot_id=self._boot))

    def close(self) -> None:
        """Let another writer have the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _restored_vouching(self) -> float:
        if self._held is None:
            return float("-inf")
        return vouched_monotonic(self._held, read_vouching(self._home), self._clock, self._boot)

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


def _locked(home: Path) -> int:
    try:
        (home / GENERATIONS).mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(home / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise SetupFault(
            f"replica: {home} can't be written ({fault.strerror}); give this user the folder, or set PORTCULLIS_REPLICA_DIR"
        ) from fault
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(descriptor)
        raise SetupFault(
            f"replica: another follower writes {home}; one follower serves a host: stop it, or set PORTCULLIS_REPLICA_DIR"
        ) from fault
    return descriptor


def _edition(home: Path, pointer: Pointer | None) -> Edition | None:
    if pointer is None:
        return None
    try:
        return open_generation(pointer.folder(home), pointer.data_bytes).edition
    except SnapshotInvalid:
        return None


def _build(folder: Path, edition: Edition, records: Iterable[tuple[bytes, bytes]]) -> int:
    """Build a generation and force it to the disk; gives the length of its file in bytes."""
    folder.mkdir(mode=_FOLDER_MODE)
    try:
        # Nothing is forced to the disk before the end: a half-built generation is worth nothing.
        environment = lmdb.open(
            str(folder), map_size=_FIRST_MAP_BYTES, sync=False, metasync=False, max_readers=MAX_READERS, mode=_LOCK_MODE
        )
        try:
            _fill(environment, edition, records).write(folder, _DATA_MODE)
            environment.sync(True)  # noqa: FBT003 - positional by LMDB's signature: force
        finally:
            environment.close()
    except lmdb.Error as fault:
        raise OSError("the replica's disk refused a write") from fault
    data = folder / DATA_FILE
    # Set again because the process's umask may have taken the group's rights away.
    data.chmod(_DATA_MODE)
    (folder / LOCK_FILE).chmod(_LOCK_MODE)
    sync_folder(folder)
    sync_folder(folder.parent)
    return data.stat().st_size


def _fill(environment: lmdb.Environment, edition: Edition, records: Iterable[tuple[bytes, bytes]]) -> BloomBuilder:
    """Write every record; gives the filter of their tokens."""
    present = BloomBuilder(edition.records)
    _append(environment, [(EDITION_KEY, encode_edition(edition))])
    count = 0
    for batch in _batches(_ascending(records)):
        _append(environment, batch)
        count += len(batch)
        for token, _ in batch:
            present.add(token)
    if count != edition.records:
        raise SnapshotInvalid("the records are not as many as the edition says", refusal=Refusal.RECORDS_MALFORMED)
    return present


def _ascending(records: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    last = EDITION_KEY
    for pair in records:
        if pair[0] <= last:
            raise SnapshotInvalid("tokens are out of order", refusal=Refusal.RECORDS_MALFORMED)
        last = pair[0]
        yield pair


def _batches(records: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    while batch := list(islice(records, _BATCH)):
        yield batch


def _append(environment: lmdb.Environment, batch: list[tuple[bytes, bytes]]) -> None:
    """Write a batch in a transaction of its own, and again in a larger map when it does not fit."""
    while True:
        try:
            with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                cursor.putmulti(batch, append=True)
        except lmdb.MapFullError:
            environment.set_mapsize(environment.info()["map_size"] * 2)
        else:
            return
