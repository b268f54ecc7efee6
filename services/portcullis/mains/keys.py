"""The key files of a home, readable by their owner only.

``token.key`` makes tokens of identifiers: every part that tokenises must hold the same one. ``seal.key`` opens what the
registry keeps sealed; losing either means importing every list again. ``record.key`` opens what the journal keeps sealed:
without it nobody can read who a decision was about. ``journal.key`` signs the journal's checkpoints. All are 32 random bytes
in hexadecimal; a home's backup has to hold them. ``trust/`` has what snapshots are signed with (`portcullis.adapters.tuf`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.durable_files import create_durably
from portcullis.domain.errors import SetupFault
from portcullis.ports import Clock

KEY_BYTES = 32
FIRST_ROOT = "1.root.json"
"""The root that a follower's trust begins with, within the trust folder."""
TOKEN_KEY = "token.key"  # noqa: S105 - a file's name
SEAL_KEY = "seal.key"
RECORD_KEY = "record.key"
JOURNAL_KEY = "journal.key"


def ensure_keys(directory: Path, randomness: Callable[[int], bytes] = os.urandom, clock: Clock | None = None) -> None:
    """Make the key files that are missing, and the trust folder; what stands is never touched.

    Raises:
        SetupFault: the folder can't be written, or the trust folder is damaged.
    """
    ensure_secrets(directory, randomness)
    trust = trust_folder(directory)
    if (trust / FIRST_ROOT).exists():  # it is written last
        return
    # python-tuf takes a tenth of a second to import, which a start with keys is spared.
    from portcullis.adapters.tuf.ceremony import TrustCeremony  # noqa: PLC0415

    try:
        TrustCeremony(trust, clock or SystemClock(), randomness=randomness).establish()
    except OSError as fault:
        raise _unwritable(directory, fault) from fault


def ensure_secrets(directory: Path, randomness: Callable[[int], bytes] = os.urandom) -> list[Path]:
    """Make the key files that are missing, those of the trust folder aside; gives those made.

    Raises:
        SetupFault: the folder can't be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = [directory / name for name in (TOKEN_KEY, SEAL_KEY, RECORD_KEY, JOURNAL_KEY)]
        # One of several first starts on one folder makes it, and all read the same.
        return [
            path for path in paths if not path.exists() and create_durably(path, f"{randomness(KEY_BYTES).hex()}\n".encode())
        ]
    except OSError as fault:
        raise _unwritable(directory, fault) from fault


def trust_folder(directory: Path) -> Path:
    """Give the folder of the keys that snapshots are signed with."""
    return directory / "trust"


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


def _unwritable(directory: Path, fault: OSError) -> SetupFault:
    return SetupFault(
        f"the key files can't be made in {directory} ({fault.strerror}); "
        "make the folder writable, or set PORTCULLIS_KEYS_DIR"
    )
