"""Who an entry is about, at rest: one sealed blob, bound to its entry.

A blob is ``format u8 · nonce 12 bytes · AES-256-GCM ciphertext with its tag``. The associated data are the list and the key
of the entry, so a blob moved to another entry does not open. Nonces are random: NIST SP 800-38D, 8.3, allows 2^32 of
them under one key, which is room for 280 versions of each of 15 million entries.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portcullis.domain.errors import RegistryUnavailable, SetupFault
from portcullis.domain.identifiers import Identifier

SEAL_KEY_BYTES = 32

_FORMAT = b"\x01"
_NONCE_BYTES = 12


class Identity(msgspec.Struct, frozen=True):
    """Who an entry is about."""

    identifiers: tuple[Identifier, ...]
    names: tuple[str, ...]


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Identity)


class Sealer:
    """Seals and opens identities under one key of 32 bytes. ``draw(n)`` gives n unpredictable bytes.

    Raises:
        SetupFault: the key has another length.
    """

    def __init__(self, key: bytes, *, draw: Callable[[int], bytes] = os.urandom) -> None:
        if len(key) != SEAL_KEY_BYTES:
            raise SetupFault(f"the seal key must have {SEAL_KEY_BYTES} bytes; restore keys/seal.key from its backup")
        self._cipher = AESGCM(key)
        self._draw = draw

    def seal(self, identity: Identity, *, list_name: str, key: str) -> bytes:
        """Seal an identity for the entry named."""
        nonce = self._draw(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, _ENCODER.encode(identity), _bound_to(list_name, key))

    def open(self, blob: bytes, *, list_name: str, key: str) -> Identity:
        """Open an entry's blob.

        Raises:
            RegistryUnavailable: it was sealed under another key, for another entry, or is damaged.
        """
        form, nonce, sealed = blob[:1], blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES :]
        try:
            # The format is no part of what is sealed; any other one fails like a damaged blob.
            text = self._cipher.decrypt(nonce, sealed, _bound_to(list_name, key)) if form == _FORMAT else b""
            return _DECODER.decode(text)
        except (InvalidTag, ValueError):
            raise RegistryUnavailable(
                "an entry can't be unsealed; check that keys/seal.key is the one that the registry was written with"
            ) from None


def _bound_to(list_name: str, key: str) -> bytes:
    return f"{list_name}\0{key}".encode()
