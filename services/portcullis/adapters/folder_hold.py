"""One process a folder: a hold that the kernel drops when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from portcullis.adapters.durable_files import PRIVATE_FILE
from portcullis.domain.errors import SetupFault


class FolderHeld(SetupFault):
    """Another process holds a folder."""


def hold_folder(folder: Path, name: str, *, what: str, holder: str, does: str, setting: str) -> int:
    """Take the hold of a folder that stands; gives the descriptor that keeps it, to be closed by the caller.

    Args:
        folder: the folder.
        name: the lock's file in it.
        what: what lies there, for the messages: "replica".
        holder: which part holds it, of which one serves a host: "follower".
        does: what the holder does with the folder: "writes".
        setting: the variable that names another folder.

    Raises:
        FolderHeld: another process holds it.
        SetupFault: the folder can't be written.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as fault:
        raise unwritable(folder, fault, what=what, setting=setting) from fault
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(descriptor)
        raise FolderHeld(
            f"{what}: another {holder} {does} {folder}; one {holder} serves a host: stop it, or set {setting}"
        ) from fault
    return descriptor


def unwritable(folder: Path, fault: OSError, *, what: str, setting: str) -> SetupFault:
    """Say that a folder can't be written, and what to do."""
    return SetupFault(f"{what}: {folder} can't be written ({fault.strerror}); give this user the folder, or set {setting}")
