"""What writes records: a generation from its beginning, and changes in one that is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path

import lmdb

from portcullis.adapters.durable_files import sync_folder
from portcullis.adapters.lmdb.bloom import BloomBuilder
from portcullis.adapters.lmdb.generations import (
    DATA_FILE,
    ENTRY_BYTES,
    LOCK_FILE,
    TABLE_BYTES,
    Generation,
    disk_faults,
    open_environment,
)
from portcullis.adapters.lmdb.parts import save_edition
from portcullis.adapters.proving import ListProofs, whole_tokens
from portcullis.domain.editions import Edition
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.segments import TOKEN_BYTES, Change, join_segments, segment, split_segments

FOLDER_MODE = 0o750
_DATA_MODE = 0o640
_LOCK_MODE = 0o660
_CHANGES_A_TRANSACTION = 10_000

# Of the 4,080 bytes that a page has for its entries, one in twenty stays free.
_FILLER = bytes(180)
_FILLED_BYTES = 3870

_token, _value = itemgetter(0), itemgetter(1)


def build_generation(
    folder: Path, edition: Edition, records: Iterable[Change], changes: Iterable[Change], *, filtered: bool
) -> int:
    """Build a generation and force it to the disk; gives the length of its file in bytes.

    Args:
        folder: where; it must not be there yet.
        edition: what is to come about.
        records: every body to begin with, ascending.
        changes: what leads on from there.
        filtered: whether readers need a filter.

    Raises:
        SnapshotInvalid: what comes about is not the edition.
        OSError: the disk refused.
    """
    folder.mkdir(mode=FOLDER_MODE)
    _allocate(folder / LOCK_FILE)
    present = BloomBuilder.sized(edition.records) if filtered else None
    with disk_faults():
        # Nothing is forced to the disk before the end: a half-built generation is worth nothing.
        environment = open_environment(folder, sync=False)
        try:
            generation = Generation(environment, folder, writable=True, create=True)
            _fill(generation, edition, records, changes, present)
            if present is not None:
                present.write(folder, _DATA_MODE)
            generation.sync()
        finally:
            environment.close()
    data = folder / DATA_FILE
    data.chmod(_DATA_MODE)
    sync_folder(folder)
    sync_folder(folder.parent)
    return data.stat().st_size


def put_changes(
    transaction: lmdb.Transaction[bytes],
    changes: Iterable[Change],
    proofs: ListProofs,
    add: Callable[[bytes], None] | None,
) -> int:
    """Make changes in a transaction; gives by how many bytes the payload grew.

    Args:
        transaction: of the next version.
        changes: in any order, later ones win.
        proofs: are told of every body that came or went.
        add: is given every token with a value, before this returns.

    Raises:
        SnapshotInvalid: a change is malformed, or the value that it changes is.
    """
    grown = 0
    for token, number, body in changes:
        proofs.demand(token, number, body)
        value = transaction.get(token)
        bodies = bodies_of_value(value)
        old = bodies.get(number, b"")
        if old == body:
            continue
        proofs.replace(token, number, old, body)
        bodies[number] = body
        new = join_segments(sorted(bodies.items()))
        if new:
            if add is not None:
                add(token)
            transaction.put(token, new)
        else:
            transaction.delete(token)
        grown += _payload(new) - _payload(value or b"")
    return grown


def bodies_of_value(value: bytes | None) -> dict[int, bytes]:
    """Read a value of the replica: its bodies by list, in ascending order.

    Raises:
        SnapshotInvalid: it is damaged.
    """
    try:
        return dict(split_segments(value or b""))
    except ValueError:
        raise SnapshotInvalid("a value of the replica can't be read", refusal=Refusal.DIGEST_MISMATCH) from None


def _fill(
    generation: Generation,
    edition: Edition,
    records: Iterable[Change],
    changes: Iterable[Change],
    present: BloomBuilder | None,
) -> None:
    proofs = ListProofs(edition)
    payload_bytes = 0
    for batch in whole_tokens(records):
        proofs.add_all(batch)
        values = _values(batch)
        if present is not None:
            present.add_all(map(_token, values))
        batch_bytes = TOKEN_BYTES * len(values) + sum(map(len, map(_value, values)))
        _append(generation, values, batch_bytes / len(values))
        payload_bytes += batch_bytes
    add = present.add if present is not None else None
    for part in _parts(changes):
        with generation.change() as transaction:
            payload_bytes += put_changes(transaction, part, proofs, add)
    proofs.confirm()
    with generation.change() as transaction:
        save_edition(generation.put_about(transaction), edition, payload_bytes, None)


def _append(generation: Generation, values: list[tuple[bytes, bytes]], mean_bytes: float) -> None:
    """Append tokens with their values, and leave some room in each page.

    LMDB fills the pages of what is appended to the brim, and then splits one for each of the first tokens that come later:
    four kilobytes for every one of them. So a filler goes in for about every page, and out again.
    """
    every = int(_FILLED_BYTES / (mean_bytes + ENTRY_BYTES))
    fillers = [(token + b"\x00", _FILLER) for token, _ in values[every - 1 :: every]] if every > 1 else []
    with generation.change() as transaction:
        with transaction.cursor() as cursor:
            # Two runs that ascend already are merged, not sorted.
            cursor.putmulti(sorted(values + fillers), append=True)
        for key, _ in fillers:
            transaction.delete(key)


def _values(batch: list[Change]) -> list[tuple[bytes, bytes]]:
    """Put the bodies of each token together into its value."""
    values: list[tuple[bytes, bytes]] = []
    last = b""
    for token, number, body in batch:
        piece = segment(number, body)
        if token == last:
            values[-1] = (token, values[-1][1] + piece)
        else:
            values.append((token, piece))
            last = token
    return values


def _parts(changes: Iterable[Change]) -> Iterator[list[Change]]:
    changes = iter(changes)
    while part := list(islice(changes, _CHANGES_A_TRANSACTION)):
        yield part


def _payload(value: bytes) -> int:
    return TOKEN_BYTES + len(value) if value else 0


def _allocate(lock: Path) -> None:
    """Give the table of readers its room on the disk, before anybody opens it.

    LMDB and every worker write it through a mapping: where the disk has no room for a page of it, they would be killed.
    """
    with lock.open("xb") as file:
        file.write(bytes(TABLE_BYTES))
        # Set because the process's umask may take the group's rights away.
        os.fchmod(file.fileno(), _LOCK_MODE)
