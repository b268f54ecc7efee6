"""The key files of a home, readable by their owner only.

``token.key`` makes tokens of identifiers, and ``token.2.key`` and so on the keys that follow it: every part that tokenises
must hold those that are in use. ``seal.key`` opens what the registry keeps sealed; losing either means importing every list
again. ``feed.key`` makes the names that each partner knows entries by: every gateway and exchange must hold the same one.
``entry.key`` tells the registry's entries apart, by their content and where their authority gives them no key.
``record.key`` opens what the journal keeps sealed: without it nobody can read who a decision was about. ``journal.key``
signs the journal's checkpoints. All are 32 random bytes in hexadecimal; a home's backup has to hold them. ``trust/`` has
what snapshots are signed with (`portcullis.adapters.tuf`).
"""

from __future__ import annotations

import os
import re
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
ENTRY_KEY = "entry.key"
RECORD_KEY = "record.key"
JOURNAL_KEY = "journal.key"
FEED_KEY = "feed.key"
FIRST_KEYS = (TOKEN_KEY, FEED_KEY, SEAL_KEY, ENTRY_KEY, RECORD_KEY, JOURNAL_KEY)
"""The key files that every home begins with."""
_FOLLOWED = re.compile(r"^(token|seal)\.[1-9][0-9]*\.key$")
"""A key that has taken another's place: the first of its kind was retired where it is missing, and is not made again."""


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
        followed = {f"{found[1]}.key" for each in directory.iterdir() if (found := _FOLLOWED.match(each.name))}
        paths = [directory / name for name in FIRST_KEYS if name not in followed and not (directory / name).exists()]
        # One of several first starts on one folder makes it, and all read the same.
        return [path for path in paths if create_durably(path, _first(path, randomness))]
    except OSError as fault:
        raise _unwritable(directory, fault) from fault


def _first(path: Path, randomness: Callable[[int], bytes]) -> bytes:
    """Give what a new key file holds.

    A home from before there was an entry.key has named entries by its token key. They keep their names: with others they
    would come in twice, and those that were taken off by hand would come back.
    """
    token_key, settled = path.parent / TOKEN_KEY, trust_folder(path.parent) / FIRST_ROOT
    if path.name == ENTRY_KEY and settled.exists() and token_key.exists():
        return token_key.read_bytes()
    return f"{randomness(KEY_BYTES).hex()}\n".encode()


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
