"""A generation: one built version of the replica, an LMDB environment in a folder of its own.

The environment's only database holds the edition under a key of one zero byte, which sorts before every token of 16
bytes, and each token's records under the token. Beside it lies a filter of the tokens (`portcullis.adapters.lmdb.bloom`).
A finished generation is not written again.

Readers of another user than the writer need: to pass and read the folders (mode 0750, so the writer's group), to read
``data.mdb`` (0640), and to write ``lock.mdb`` (0660), where LMDB keeps the table of readers.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import lmdb

from portcullis.adapters.lmdb.bloom import open_bloom
from portcullis.domain.editions import Edition, decode_edition
from portcullis.domain.errors import SnapshotInvalid

EDITION_KEY = b"\x00"
DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"

# Every process that opens an environment must name the same number. A slot is 64 bytes; a worker takes one.
MAX_READERS = 1024


class Generation:
    """An open generation. It lives as long as someone refers to it or to a transaction of it.

    LMDB closes an environment with the last reference, which spares the check path a count of who still reads.
    """

    __slots__ = ("__weakref__", "begin", "edition", "present", "records")

    def __init__(self, environment: lmdb.Environment, present: memoryview | None) -> None:
        self.present = present
        self.begin: Callable[[], lmdb.Transaction[bytes]] = environment.begin
        transaction = environment.begin()
        head = transaction.get(EDITION_KEY)
        transaction.abort()
        if head is None:
            raise SnapshotInvalid("the replica has no edition")
        self.edition: Edition = decode_edition(head)
        self.records: int = environment.stat()["entries"] - 1


_opening = threading.Lock()
_open: weakref.WeakValueDictionary[tuple[int, int], Generation] = weakref.WeakValueDictionary()
"""By device and inode: a path may come again, once a replica was wiped, but an inode not while its file is open."""


def open_generation(folder: Path, at_least_bytes: int) -> Generation:
    """Open a finished generation for reading.

    All readers of one process share it: LMDB allows a process one handle to a file.

    Raises:
        SnapshotInvalid: it is not there, cut short, damaged, or of another format.
    """
    with _opening:
        try:
            file = (folder / DATA_FILE).stat()
            generation = _open.get((file.st_dev, file.st_ino))
            if generation is None:
                # A page that is mapped but not in the file kills the process that reads it: a file cut short is not mapped.
                if file.st_size < at_least_bytes:
                    raise SnapshotInvalid("the replica's file is cut short")
                generation = _open[file.st_dev, file.st_ino] = Generation(_opened(folder), _filter(folder))
        except (lmdb.Error, OSError) as fault:
            raise SnapshotInvalid("the replica's file can't be opened") from fault
        return generation


def _opened(folder: Path) -> lmdb.Environment:
    path = str(folder.absolute())
    return lmdb.open(path, map_size=0, readonly=True, create=False, max_readers=MAX_READERS)


def _filter(folder: Path) -> memoryview | None:
    """Give the generation's filter, or None: without one every look-up asks LMDB, which is slower and as right."""
    try:
        return open_bloom(folder)
    except (SnapshotInvalid, OSError):
        return None
