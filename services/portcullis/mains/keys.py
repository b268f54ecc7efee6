"""Key files: 32 random bytes in hexadecimal, readable by their owner only.

``token.key`` makes tokens of identifiers: every part that tokenises must hold the same one. ``seal.key`` opens what the
registry keeps sealed. Losing either means importing every list again; a home's backup has to hold them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from portcullis.domain.errors import SetupFault
from portcullis.mains.files import write_private

KEY_BYTES = 32
TOKEN_KEY = "token.key"  # noqa: S105 - a file's name
SEAL_KEY = "seal.key"


def ensure_keys(directory: Path, randomness: Callable[[int], bytes] = os.urandom) -> None:
    """Make the key files that are missing; those that stand are never touched.

    Raises:
        SetupFault: the folder can't be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (TOKEN_KEY, SEAL_KEY):
            if not (directory / name).exists():
                write_private(directory / name, randomness(KEY_BYTES).hex() + "\n")
    except OSError as fault:
        raise SetupFault(
            f"the key files can't be made in {directory} ({fault.strerror}); "
            "make the folder writable, or set PORTCULLIS_KEYS_DIR"
        ) from fault


def read_key(directory: Path, name: str) -> bytes:
    """Give the 32 bytes of a key file.

    Raises:
        SetupFault: it is missing, can't be read, or is not 64 hexadecimal digits.
    """
    path = directory / name
    try:
        key = bytes.fromhex(path.read_text().strip())
    except OSError as fault:
        raise SetupFault(
            f"the key file {path} can't be read ({fault.strerror}); "
            "copy it from the registry's host, or set PORTCULLIS_KEYS_DIR"
        ) from fault
    except ValueError as fault:
        raise SetupFault(f"the key file {path} does not hold hexadecimal digits; restore it from its backup") from fault
    if len(key) != KEY_BYTES:
        raise SetupFault(f"the key file {path} does not hold {KEY_BYTES} bytes in hexadecimal; restore it from its backup")
    return key
