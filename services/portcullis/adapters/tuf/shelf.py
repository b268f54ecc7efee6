"""The folder of a repository.

    metadata.msgpack  every metadata file in force, by its name in a store: the commit point
    vouched.json      the timestamp signed since, for the same version; a power cut may lose it, nothing else may be lost
    targets/          FOLDER/SHA256.NAME
    incoming/         targets that are being written

Targets are on the disk before the commit point is replaced, in one step, and are removed after. So a crash leaves the last
state or the new one, and at most targets that nothing leads to: `sweep` removes them. The metadata is one file because each
file that must be on the disk costs a wait for it, and a version changes several.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from portcullis.adapters.durable_files import make_private_folder, sync_folder, write_durably, write_whole
from portcullis.adapters.tuf.names import stored_target

_BUFFER_BYTES = 1 << 20
_NOTHING = msgspec.msgpack.encode({})
_METADATA_FILE = "metadata.msgpack"
_VOUCHED_FILE = "vouched.json"


class Incoming(io.RawIOBase):
    """A file that is being written, hashed on the way."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__()
        self._file = file
        self.length = 0
        self._digest = hashlib.sha256()

    def writable(self) -> bool:
        """It is for writing alone."""
        return True

    def fileno(self) -> int:
        """Give the descriptor, for a writer of much to force it to the disk on the way."""
        return self._file.fileno()

    def write(self, data: memoryview | bytes, /) -> int:  # type: ignore[override]
        """Write and hash; gives how many bytes."""
        written = self._file.write(data)
        self._digest.update(data)
        self.length += written
        return written

    def tell(self) -> int:
        """Give how many bytes are written."""
        return self.length

    @property
    def sha256(self) -> str:
        """The hash of what is written, in hexadecimal."""
        return self._digest.hexdigest()


class Shelf:
    """Reads and writes the folder; knows nothing of what the files mean."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._targets = folder / "targets"
        self._incoming = folder / "incoming"
        self._unsynced: set[Path] = set()

    def metadata(self) -> dict[str, bytes]:
        """Give the metadata files in force; none where there are none, or the disk has damaged them."""
        try:
            return msgspec.msgpack.decode(_read(self._folder / _METADATA_FILE) or _NOTHING, type=dict[str, bytes])
        except msgspec.MsgspecError:
            return {}

    def vouched(self) -> bytes | None:
        """Give the timestamp signed since."""
        return _read(self._folder / _VOUCHED_FILE)

    def path(self, stored: str) -> Path:
        """Give where a target lies; ``stored`` is its name in a store."""
        return self._targets / stored

    def holds(self, stored: str, length: int) -> bool:
        """Say whether a target of this length is here."""
        try:
            return self.path(stored).stat().st_size == length
        except (FileNotFoundError, NotADirectoryError):
            return False

    @contextmanager
    def receive(self, name: str) -> Iterator[tuple[BinaryIO, Incoming]]:
        """Open a new target; at the end of the block it is on the disk, and has its name at the next `commit`.

        Raises:
            OSError: the disk refused; nothing is left behind.
        """
        make_private_folder(self._incoming)
        descriptor, path = tempfile.mkstemp(dir=self._incoming)
        beside = Path(path)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                incoming = Incoming(file)
                with io.BufferedWriter(incoming, _BUFFER_BYTES) as out:  # type: ignore[type-var]
                    yield out, incoming
                    out.flush()
                    os.fsync(descriptor)
            self._keep(beside, self.path(stored_target(name, incoming.sha256)))
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def _keep(self, beside: Path, path: Path) -> None:
        make_private_folder(path.parent)
        beside.replace(path)
        self._unsynced.add(path.parent)

    def commit(self, metadata: Mapping[str, bytes]) -> None:
        """Replace the commit point; what it leads to is on the disk before.

        Raises:
            OSError: the disk refused; the last one stays.
        """
        for folder in list(self._unsynced):
            sync_folder(folder)
            self._unsynced.discard(folder)
        write_durably(self._folder / _METADATA_FILE, msgspec.msgpack.encode(metadata))

    def vouch(self, timestamp: bytes, *, durable: bool) -> None:
        """Replace the timestamp signed since; ``durable`` says whether it must be on the disk when this returns.

        Raises:
            OSError: the disk refused; the last one stays.
        """
        path = self._folder / _VOUCHED_FILE
        if durable:
            write_durably(path, timestamp)
        else:
            write_whole(path, timestamp)

    def remove(self, targets: Collection[str]) -> None:
        """Remove targets that nothing leads to any more; what can't be removed now is left for `sweep`."""
        for stored in targets:
            with suppress(OSError):
                self.path(stored).unlink(missing_ok=True)

    def sweep(self, targets: Collection[str]) -> None:
        """Remove every target that is not named, and what was never finished.

        Raises:
            OSError: the disk refused.
        """
        shutil.rmtree(self._incoming, ignore_errors=True)
        kept = set(targets)
        for path in [each for each in self._targets.rglob("*") if each.is_file()]:
            if path.relative_to(self._targets).as_posix() not in kept:
                path.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
