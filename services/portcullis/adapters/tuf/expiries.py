"""When the metadata that a follower trusts expires, and its root, read from the files that its client keeps."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec


class _Signed(msgspec.Struct, frozen=True):
    expires: datetime
    version: int | None = None


class _File(msgspec.Struct, frozen=True):
    signed: _Signed


def trusted_expiries(folder: Path) -> dict[str, float]:
    """Give the expiry of each role's metadata in a trust folder, Unix seconds by role; what can't be read is left out."""
    signed = {file.stem: _read(file) for file in folder.glob("*.json")}
    return {role: each.expires.timestamp() for role, each in signed.items() if each is not None}


def trusted_root_version(folder: Path) -> int | None:
    """Give the version of the newest root in a trust folder; None where there is none that can be read."""
    root = _read(folder / "root.json")
    return None if root is None else root.version


def _read(file: Path) -> _Signed | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_File).signed
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
