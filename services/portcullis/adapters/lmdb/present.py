"""The generation in force, as its writer sees it: led on from version to version, and read as a whole.

A version in place is one transaction of LMDB, which is there whole or not at all. The filter has the bits of its tokens
before (`portcullis.adapters.lmdb.bloom_keeper`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import lmdb

from portcullis.adapters.lmdb.bloom import BLOOM_FILE
from portcullis.adapters.lmdb.bloom_keeper import BloomKeeper
from portcullis.adapters.lmdb.building import bodies_of_value, put_changes
from portcullis.adapters.lmdb.generations import Generation, disk_faults, open_generation
from portcullis.adapters.lmdb.parts import load_edition, save_edition
from portcullis.adapters.proving import ListProofs
from portcullis.domain.editions import Edition
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.segments import Change
from portcullis.ports import Space


class PresentGeneration:
    """A finished generation, opened by its writer.

    Args:
        folder: where it lies.
        at_least_bytes: the least that its file may hold.
        boot: the present boot of the host, "" where the host does not tell.
        filtered: whether it must have a filter; one that is there is kept up in any case, for readers may look at it.

    Attributes:
        is_lost: whether it must be opened again before anything else is done with it.

    Raises:
        SnapshotInvalid: it is not there, cut short, damaged, or of another format.
    """

    def __init__(self, folder: Path, at_least_bytes: int, boot: str, *, filtered: bool) -> None:
        self.is_lost = False
        self._generation = open_generation(folder, at_least_bytes, writable=True)
        with disk_faults():
            transaction = self._generation.begin()
            self._stored = load_edition(self._generation.about(transaction), None)
        self._keeper = _keeper(self._generation, boot) if self._generation.writable else None
        self._needs_keeper = filtered or (folder / BLOOM_FILE).exists()

    @property
    def edition(self) -> Edition:
        """The version that it holds."""
        return self._stored.edition

    @property
    def writable(self) -> bool:
        """Whether it can be led on.

        Not where this process had it open for reading before, for LMDB allows a process one handle to a file. Nor where its
        filter can't be kept up: a reader may have it in hand still, and would miss what is added.
        """
        return self._generation.writable and (self._keeper is not None or not self._needs_keeper)

    def lead_on(self, edition: Edition, changes: Iterable[Change]) -> None:
        """Make the next version of it in one transaction.

        Raises:
            SnapshotInvalid: a change is malformed, or what would come about is not the edition; nothing has changed.
            OSError: the disk refused; nothing has changed.
        """
        generation, stored = self._generation, self._stored
        proofs = ListProofs(edition, stored.edition)
        add = self._keeper.add if self._keeper else None
        with disk_faults():
            try:
                generation.forget_dead_readers()
                with generation.change() as transaction:
                    payload_bytes = stored.payload_bytes + put_changes(transaction, changes, proofs, add)
                    proofs.confirm()
                    stored = save_edition(generation.put_about(transaction), edition, payload_bytes, stored)
            except lmdb.PanicError:
                # A write failed half-way where it counts: which version is there, only the disk can tell.
                self.is_lost = True
                self.give_up()
                generation.close()
                raise
        self._stored = stored

    def body(self, token: bytes, number: int) -> bytes:
        """Give the body of a token in a list; empty where it has none."""
        with disk_faults(), self._generation.begin() as transaction:
            return bodies_of_value(transaction.get(token)).get(number, b"")

    def records(self) -> Iterator[Change]:
        """Give every body of the present version, ascending; the version stays for as long as the iterator."""
        with disk_faults():
            return _records(self._generation, self._generation.begin())

    def space(self) -> Space:
        """Say how long its file is, and how long it would be if it were built anew."""
        generation = self._generation
        with disk_faults():
            return Space(generation.file_bytes(), generation.needed_bytes(self._stored.payload_bytes))

    def close(self) -> None:
        """Leave the filter so that the next boot can trust it."""
        if self._keeper:
            try:
                self._keeper.seal()
            finally:
                self.give_up()

    def give_up(self) -> None:
        """Let go of the files; readers of this process keep them open."""
        if self._keeper:
            self._keeper.close()
            self._keeper = None


def _keeper(generation: Generation, boot: str) -> BloomKeeper | None:
    """Give the hold on a generation's filter, or None where there is none that can be used."""
    try:
        return BloomKeeper(generation.folder, boot, partial(_tokens, generation))
    except (SnapshotInvalid, OSError):
        return None


def _tokens(generation: Generation) -> Iterator[bytes]:
    with generation.reading(generation.begin()) as cursor:
        yield from cursor.iternext(keys=True, values=False)


def _records(generation: Generation, transaction: lmdb.Transaction[bytes]) -> Iterator[Change]:
    with disk_faults(), generation.reading(transaction) as cursor:
        for token, value in cursor:
            for number, body in bodies_of_value(value).items():
                yield token, number, body
