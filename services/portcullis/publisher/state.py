"""What the publisher remembers over a restart: the last version it gave out, so that none is ever given twice."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class PublisherState(msgspec.Struct, frozen=True, kw_only=True):
    """The last version given out, the registry's change it includes, and the SHA-256 of its ``snapshot.json``."""

    version: int = 0
    registry_seq: int = 0
    snapshot_sha256: str = ""


class StateFile:
    """Keeps the state in one small file, written before each publish: a version is spent even if the publish fails."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def load(self) -> PublisherState:
        """Read the state; one that is absent or damaged is empty."""
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=PublisherState)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return PublisherState()

    def save(self, state: PublisherState) -> None:
        """Replace the state; it is on the disk when this returns.

        Raises:
            OSError: the disk refused; the old state stands.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        beside = self.file.with_suffix(".new")
        with beside.open("wb") as out:
            out.write(msgspec.json.encode(state))
            out.flush()
            os.fsync(out.fileno())
        beside.replace(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
