"""The folder in which the children's metrics meet: files mapped into memory, one set a process.

Where the host has memory for it (/dev/shm) they lie there: on a disk that is full, a write to a mapped file would kill the
process (SIGBUS), and a gateway must outlive a full disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made in it has an unguessable name and is private
_PREFIX = "portcullis-metrics-"
_NAME = "metrics"


def make_metric_folder(run: Path, shared_memory: Path = _SHARED_MEMORY) -> Path:
    """Make an empty, private folder for one run of the stack."""
    if shared_memory.is_dir() and os.access(shared_memory, os.W_OK | os.X_OK):
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=shared_memory))
    folder = run / _NAME
    folder.mkdir(mode=0o700)
    return folder


def discard_metric_folder(folder: Path) -> None:
    """Remove a folder that `make_metric_folder` made; a path of another form is left alone."""
    if folder.name == _NAME or folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
