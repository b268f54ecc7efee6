"""When the metadata that a follower trusts expires, read from the files that its client keeps."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec


class _Signed(msgspec.Struct, frozen=True):
    expires: datetime


class _File(msgspec.Struct, frozen=True):
    signed: _Signed


def trusted_expiries(folder: Path) -> dict[str, float]:
    """Give the expiry of each role's metadata in a trust folder, Unix seconds by role; what can't be read is left out."""
    expiries: dict[str, float] = {}
    for file in folder.glob("*.json"):
        try:
            signed = msgspec.json.decode(file.read_bytes(), type=_File).signed
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            continue
        expiries[file.stem] = signed.expires.timestamp()
    return expiries
