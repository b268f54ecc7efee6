"""Files that are whole or as they were: replaced in one step, and on the disk before anybody is told.

A file is written beside its place, under a name of its own (``.NAME.new``), and then given its name. So a crash leaves the
old file or the new one, and at most one file beside, which the next write takes over. Two writers of one file at once would
share that: whoever writes holds a lock of the folder, or is the only one there.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


def write_durably(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put a file in place in one step, on the disk when this returns; makes the folder, where it is missing, private.

    Raises:
        OSError: the disk refused. The old file stays, unless it was the folder's entry alone that could not be forced.
    """
    make_private_folder(path.parent)
    _put(path, data, mode, durable=True)
    sync_folder(path.parent)


def create_durably(path: Path, data: bytes) -> bool:
    """Put a private file in place if there is none yet, on the disk when this returns; False where there was one.

    Of several that do so at once, one has its way, and nobody ever reads half a file.

    Raises:
        OSError: the disk refused.
    """
    make_private_folder(path.parent)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.link(beside, path)  # refuses where there is one, unlike a rename
    except FileExistsError:
        return False
    finally:
        Path(beside).unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def write_whole(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put a file in place in one step, without a wait for the disk: a power cut may lose it.

    Raises:
        OSError: the disk refused; the old file stays.
    """
    _put(path, data, mode, durable=False)


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for its owner alone; one that stands is left as it is.

    Raises:
        OSError: the disk refused.
    """
    if not folder.is_dir():
        make_private_folder(folder.parent)
        folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk.

    Raises:
        OSError: the disk refused.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(path: Path, data: bytes, mode: int, *, durable: bool) -> None:
    beside = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as out:
            # What lay there may have had another mode, and the mask takes from the one asked for.
            os.fchmod(out.fileno(), mode)
            out.write(data)
            if durable:
                out.flush()
                os.fsync(out.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
