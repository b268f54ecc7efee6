"""The home folder: made when missing, private, and held by one stack at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from portcullis.domain.errors import SetupFault

_CHOOSE = "choose another folder with --home or PORTCULLIS_HOME"


def prepare_home(home: Path) -> Path:
    """Make the home and its ``run`` folder, mode 0700, and prove that they can be written; gives the absolute path.

    Raises:
        SetupFault: they can't.
    """
    absolute = home.absolute()
    try:
        for folder in (absolute, run_folder(absolute)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        trial = run_folder(absolute) / f".trial-{os.getpid()}"
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as fault:
        raise SetupFault(f"the home {absolute} can't be written ({fault.strerror}); {_CHOOSE}") from fault
    return absolute


def run_folder(home: Path) -> Path:
    """The folder of what matters only while a stack runs."""
    return home / "run"


class HomeLock:
    """One stack a home: an advisory lock that the kernel drops when its holder dies, however it dies."""

    def __init__(self, home: Path) -> None:
        self._path = run_folder(home) / "stack.lock"
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            SetupFault: another stack holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            held_by = f" (process {holder})" if holder.isdigit() else ""
            raise SetupFault(
                f"a stack{held_by} already runs on the home {self._path.parent.parent}; stop it, or {_CHOOSE}"
            ) from fault
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(home: Path) -> bool:
    """Say whether a stack runs on this home now."""
    try:
        descriptor = os.open(run_folder(home) / "stack.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
