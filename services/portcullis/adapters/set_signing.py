"""Signing Security Event Tokens: ES256, with the key file ``set.key`` of a home.

The file is a JWK set (RFC 7517) for its owner alone: the private key that signs, then the public one that signed before, so
that tokens under way at a rotation can still be proven. A key's id is its thumbprint (RFC 7638).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from portcullis.adapters.durable_files import create_durably, write_durably
from portcullis.domain.errors import SetupFault
from portcullis.domain.security_events import SET_TYPE

SET_KEY: Final = "set.key"
"""The key file's name, within the folder of keys."""

ALGORITHM: Final = "ES256"

_CURVE: Final = "P-256"
_USE: Final = {"use": "sig", "alg": ALGORITHM}


def ensure_set_key(directory: Path) -> bool:
    """Make the key file where it is missing; says whether it did. Blocks on the disk.

    Raises:
        SetupFault: the folder can't be written.
    """
    path = directory / SET_KEY
    try:
        return not path.exists() and create_durably(path, _document([_new_key().as_dict(private=True)]))
    except OSError as fault:
        raise _unwritable(directory, fault) from None


def rotate_set_key(directory: Path) -> str:
    """Sign with a new key from now on, and publish the present one beside it; gives the new key's id.

    Running relays take it over with their next token. The key before the present one is published no more.

    Raises:
        SetupFault: the key file can't be read or written.
    """
    present = _read(directory / SET_KEY)[0]
    new = _new_key()
    try:
        write_durably(
            directory / SET_KEY, _document([new.as_dict(private=True), ECKey.import_key(present).as_dict(private=False)])
        )
    except OSError as fault:
        raise _unwritable(directory, fault) from None
    return str(new.kid)


class FileSigner:
    """Implements `portcullis.ports.relay.SetSigner` with the key file of a folder, read anew when it has changed.

    Raises:
        SetupFault: the key file can't be read.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / SET_KEY
        self._lock = threading.Lock()
        self._seen: tuple[int, int] = (0, 0)
        self._keys: list[ECKey] = []
        self._present()

    def sign(self, claims: Mapping[str, object]) -> str:
        """Give the token in its compact form."""
        key = self._present()[0]
        header = {"alg": ALGORITHM, "typ": SET_TYPE, "kid": str(key.kid)}
        return jws.serialize_compact(header, msgspec.json.encode(claims), key, algorithms=[ALGORITHM])

    def jwks(self) -> Mapping[str, object]:
        """Give the public keys, that which signs first."""
        return {"keys": [{**key.as_dict(private=False), **_USE} for key in self._present()]}

    def _present(self) -> list[ECKey]:
        with self._lock:
            try:
                about = os.stat(self._path)  # noqa: PTH116 - its fields are wanted
            except OSError as fault:
                raise _unreadable(self._path, fault.strerror or "") from None
            if (about.st_mtime_ns, about.st_ino) != self._seen:
                keys = [ECKey.import_key(each) for each in _read(self._path)]
                self._keys, self._seen = keys, (about.st_mtime_ns, about.st_ino)
            return self._keys


def _new_key() -> ECKey:
    return ECKey.generate_key(_CURVE, auto_kid=True)


def _document(keys: list[Any]) -> bytes:
    return json.dumps({"keys": keys}).encode() + b"\n"


def _read(path: Path) -> list[Any]:
    try:
        keys = json.loads(path.read_bytes())["keys"]
        imported = [ECKey.import_key(each) for each in keys]
    except OSError as fault:
        raise _unreadable(path, fault.strerror or "") from None
    except (ValueError, LookupError, TypeError, JoseError):
        raise _unreadable(path, "it holds no keys") from None
    usable = imported and imported[0].is_private and all(each.kid and each.curve_name == _CURVE for each in imported)
    if not usable:
        raise _unreadable(path, f"its first key is no private key of {_CURVE} with an id")
    return list(keys)


def _unreadable(path: Path, why: str) -> SetupFault:
    return SetupFault(f"the key file {path} can't be used ({why}); restore it from its backup, or set PORTCULLIS_KEYS_DIR")


def _unwritable(directory: Path, fault: OSError) -> SetupFault:
    return SetupFault(
        f"the key file {SET_KEY} can't be made in {directory} ({fault.strerror}); make the folder writable, or set "
        "PORTCULLIS_KEYS_DIR"
    )
