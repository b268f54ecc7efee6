"""The small files beside the generations: which one is in force, and when the publisher last vouched for it.

``current.json`` is replaced when a generation is, and is on the disk before the old generation goes.
``vouched.json`` is replaced every second and never forced to the disk: a crash may lose it, which makes the replica look
older than it is and nothing worse.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from portcullis.adapters.durable_files import write_durably, write_whole
from portcullis.domain.editions import FORMAT, Edition
from portcullis.ports import Clock, TimeKeeper

CURRENT_FILE = "current.json"
VOUCHED_FILE = "vouched.json"
GENERATIONS = "generations"

_FILE_MODE = 0o640
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which generation is in force, and the version it was built as. ``data_bytes`` is the least its file may hold."""

    format: int
    generation: int
    version: int
    data_bytes: int

    def folder(self, home: Path) -> Path:
        """Give the generation's folder."""
        return generation_folder(home, self.generation)


class Vouching(msgspec.Struct, frozen=True, kw_only=True):
    """When the publisher vouched for a version: by the host's wall clock, and by its monotonic clock in one boot."""

    version: int
    wall: float
    monotonic: float
    boot_id: str


_pointer_decoder = msgspec.json.Decoder(Pointer)
_vouching_decoder = msgspec.json.Decoder(Vouching)


def generation_folder(home: Path, generation: int) -> Path:
    """Give the folder of a generation."""
    return home / GENERATIONS / str(generation)


def read_pointer(home: Path) -> tuple[bytes, Pointer | None]:
    """Read ``current.json``: its bytes, and what they say; None where they are absent, damaged or of another format."""
    data = _read(home / CURRENT_FILE)
    try:
        pointer = _pointer_decoder.decode(data)
    except _UNREADABLE:
        return data, None
    return data, pointer if pointer.format == FORMAT else None


def write_pointer(home: Path, pointer: Pointer) -> None:
    """Replace ``current.json``; it is on the disk when this returns.

    Raises:
        OSError: the disk refused; the old one stands.
    """
    write_durably(home / CURRENT_FILE, msgspec.json.encode(pointer), mode=_FILE_MODE)


def read_vouching(home: Path) -> Vouching | None:
    """Read ``vouched.json``; None where it is absent or damaged."""
    try:
        return _vouching_decoder.decode(_read(home / VOUCHED_FILE))
    except _UNREADABLE:
        return None


def write_vouching(home: Path, vouching: Vouching) -> None:
    """Replace ``vouched.json``.

    Raises:
        OSError: the disk refused; the old one stands.
    """
    write_whole(home / VOUCHED_FILE, msgspec.json.encode(vouching), mode=_FILE_MODE)


def share_time(vouching: Vouching | None, clock: TimeKeeper, boot_id: str) -> None:
    """Let a clock carry on from a note of this boot, so that the processes of a host keep one time."""
    if vouching is not None and boot_id and vouching.boot_id == boot_id:
        clock.align(vouching.wall, vouching.monotonic)


def vouched_monotonic(edition: Edition, vouching: Vouching | None, clock: Clock, boot_id: str) -> float:
    """Work out when a version was last vouched for, on this host's monotonic clock.

    A note of this boot is taken as it is. One of another boot goes by the wall clock, and so does the time of publication,
    which is what is left when there is no note on this version. Neither is ever in the future.
    """
    now = clock.monotonic()
    if vouching is None or vouching.version != edition.version:
        return now - max(0.0, clock.now() - edition.published_at)
    if boot_id and vouching.boot_id == boot_id and math.isfinite(vouching.monotonic):
        return min(now, vouching.monotonic)
    return now - max(0.0, clock.now() - vouching.wall)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
