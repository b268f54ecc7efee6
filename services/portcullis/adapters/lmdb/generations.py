"""A generation: the replica from one install to the next, an LMDB environment in a folder of its own.

The environment holds two databases: ``tokens``, each token with its value (`portcullis.domain.segments`), and ``about``, the
edition in parts (`portcullis.adapters.lmdb.parts`). A version is one transaction of both. Beside it lies a filter of the
tokens (`portcullis.adapters.lmdb.bloom`).

Readers of another user than the writer need: to pass and read the folders (mode 0750, so the writer's group), to read
``data.mdb`` and the filter (0640), and to write ``lock.mdb`` (0660), where LMDB keeps the table of readers.
"""

from __future__ import annotations

import errno
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from portcullis.adapters.lmdb.parts import Get, Put
from portcullis.domain.errors import Refusal, SnapshotInvalid

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"

# Every process that opens an environment must name the same number. A slot is 64 bytes; a worker takes one for each version
# that its calls still read.
MAX_READERS = 4096
TABLE_BYTES = 64 * (MAX_READERS + 15)
"""The length of the file that the table of readers is in: LMDB adds a head to the slots."""

# The room that an environment is mapped in is address space and nothing else: the file grows as it is written. It is the
# same for all, so that no reader meets a file larger than its map.
_MAP_BYTES = 64 << 30
_LEAST_MAP_BYTES = 64 << 20

_OPEN_ALREADY = "already open in this process"
_CLOSING_S = 5.0
_CLOSING_LOOK_S = 0.001

ENTRY_BYTES = 10.5
"""What LMDB adds to each entry: a head of 8 bytes and a place of 2, and one more every other time."""

_PAGES_OF_ANY_FILE = 10
_PAGES_TO_PAYLOAD = 1.07
"""A page has a head, and one in twenty of its bytes free (`portcullis.adapters.lmdb.building`); one in about 80 is above."""

_TOKENS = b"tokens"
_ABOUT = b"about"
_DAMAGE = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError, lmdb.NotFoundError)


class Generation:
    """An open generation. It lives as long as someone refers to it, or to a transaction of it through its view.

    LMDB closes an environment with the last reference, which spares the check path a count of who still reads.

    Attributes:
        folder: where it lies.
        writable: whether this process may change it.
    """

    __slots__ = ("__weakref__", "_about", "_environment", "_identity", "_tokens", "folder", "writable")

    def __init__(self, environment: lmdb.Environment, folder: Path, *, writable: bool, create: bool = False) -> None:
        self._environment = environment
        self._tokens = environment.open_db(_TOKENS, create=create)
        self._about = environment.open_db(_ABOUT, create=create)
        self._identity = _identity(folder)
        self.folder = folder
        self.writable = writable

    def is_in_place(self) -> bool:
        """Say whether it is still the generation that lies in its folder, and not one of the same name that came later."""
        try:
            return _identity(self.folder) == self._identity
        except OSError:
            return False

    def file_bytes(self) -> int:
        """Give the length of its file."""
        return (self.folder / DATA_FILE).stat().st_size

    def begin(self) -> lmdb.Transaction[bytes]:
        """Read the last version committed; what no database is named for goes to ``tokens``."""
        return self._environment.begin(self._tokens)

    @contextmanager
    def reading(self, transaction: lmdb.Transaction[bytes]) -> Iterator[lmdb.Cursor[bytes]]:
        """Go through the tokens in a transaction of this generation, which is open for at least as long, and end it."""
        with transaction, transaction.cursor() as cursor:
            yield cursor

    def change(self) -> lmdb.Transaction[bytes]:
        """Begin the next version; as a context it is committed at the end, or given up with the fault that ends it."""
        return self._environment.begin(self._tokens, write=True)

    def about(self, transaction: lmdb.Transaction[bytes]) -> Get:
        """Give the look-up of the edition's parts."""
        return lambda key: transaction.get(key.encode(), db=self._about)

    def put_about(self, transaction: lmdb.Transaction[bytes]) -> Put:
        """Give the writing of the edition's parts."""
        return lambda key, data: transaction.put(key.encode(), data, db=self._about)

    def last_change(self) -> int:
        """Give the id of the last transaction committed, by whatever process."""
        return self._environment.info()["last_txnid"]

    def forget_dead_readers(self) -> None:
        """Give back what workers held that were killed: as long as they seem to read, no page of theirs is used again."""
        self._environment.reader_check()

    def sync(self) -> None:
        """Force everything to the disk."""
        self._environment.sync(True)  # noqa: FBT003 - positional by LMDB's signature: force

    def close(self) -> None:
        """Close it now, whoever has it: for one that LMDB itself has given up."""
        self._environment.close()
        _open.pop(self._identity, None)

    def needed_bytes(self, payload_bytes: int) -> int:
        """Say about how many bytes the tokens' payload and the edition take in a generation built anew."""
        with self.begin() as transaction:
            entries = transaction.stat(self._tokens)["entries"]
            about = transaction.stat(self._about)
        pages = _PAGES_OF_ANY_FILE + about["branch_pages"] + about["leaf_pages"] + about["overflow_pages"]
        return round(_PAGES_TO_PAYLOAD * (payload_bytes + ENTRY_BYTES * entries)) + pages * about["psize"]


_opening = threading.Lock()
_open: weakref.WeakValueDictionary[tuple[int, int], Generation] = weakref.WeakValueDictionary()
"""By device and inode: a path may come again, once a replica was wiped, but an inode not while its file is open."""


def open_generation(folder: Path, at_least_bytes: int, *, writable: bool = False) -> Generation:
    """Open a finished generation.

    All of one process share it, for LMDB allows a process one handle to a file: who asks for a writable one may get one
    that is not, where a reader in the same process was first.

    Raises:
        SnapshotInvalid: it is not there, cut short, damaged, or of another format.
    """
    with _opening:
        try:
            key = _identity(folder)
            generation = _open.get(key)
            if generation is None:
                # A page that is mapped but not in the file kills the process that reads it: a file cut short is not mapped.
                if (folder / DATA_FILE).stat().st_size < at_least_bytes:
                    raise SnapshotInvalid("the replica's file is cut short")
                environment = open_environment(folder, readonly=not writable, create=False)
                generation = _open[key] = Generation(environment, folder, writable=writable)
        except (lmdb.Error, OSError) as fault:
            raise SnapshotInvalid("the replica's file can't be opened") from fault
        return generation


def open_environment(folder: Path, *, readonly: bool = False, create: bool = True, sync: bool = True) -> lmdb.Environment:
    """Open a generation's environment; where the process has little address space, in less of it.

    Raises:
        lmdb.Error: it can't be opened.
    """
    path, map_bytes = str(folder.absolute()), _MAP_BYTES
    deadline = time.monotonic() + _CLOSING_S
    while True:
        try:
            return lmdb.open(
                path,
                map_size=map_bytes,
                max_dbs=2,
                max_readers=MAX_READERS,
                readonly=readonly,
                create=create,
                sync=sync,
                metasync=sync,
            )
        except lmdb.MemoryError:
            map_bytes //= 2
            if map_bytes < _LEAST_MAP_BYTES:
                raise
        except lmdb.Error as fault:
            # Another thread is closing an environment that was deleted: the disk has given its inode to this one already,
            # and py-lmdb will strike it off the open ones when that thread goes on.
            if _OPEN_ALREADY not in str(fault) or time.monotonic() > deadline:
                raise
            time.sleep(_CLOSING_LOOK_S)


@contextmanager
def disk_faults() -> Iterator[None]:
    """Say what LMDB's faults mean to whoever writes.

    Raises:
        SnapshotInvalid: the file is damaged.
        OSError: the disk refused.
    """
    try:
        yield
    except _DAMAGE as fault:
        raise SnapshotInvalid("the replica's file is damaged", refusal=Refusal.DIGEST_MISMATCH) from fault
    except lmdb.MapFullError as fault:
        raise OSError(errno.ENOSPC, "the replica's file can't grow any more") from fault
    except lmdb.Error as fault:
        # LMDB's own faults have negative codes, or none.
        code = getattr(fault, "code", 0)
        raise OSError(code if code > 0 else errno.EIO, "the replica's disk refused a write") from fault


def _identity(folder: Path) -> tuple[int, int]:
    file = (folder / DATA_FILE).stat()
    return file.st_dev, file.st_ino
