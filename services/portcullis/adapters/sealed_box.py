"""How everything here is sealed at rest: AES-256-GCM, one blob, bound to what it belongs to.

A blob is ``format u8 · nonce 12 bytes · ciphertext with its tag``. What it is bound to are the associated data, so a blob
that was moved elsewhere does not open. Nonces are random: NIST SP 800-38D, 8.3, allows 2^32 of them under one key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portcullis.domain.errors import SetupFault

BOX_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12

_FORMAT: Final = b"\x01"


class SealedBox:
    """Seals and opens bytes under one key of 32 bytes. ``draw(n)`` gives n unpredictable bytes.

    Raises:
        SetupFault: the key has another length.
    """

    __slots__ = ("_cipher", "_draw")

    def __init__(self, key: bytes, *, draw: Callable[[int], bytes] = os.urandom) -> None:
        if len(key) != BOX_KEY_BYTES:
            raise SetupFault(
                f"a key to seal with must have {BOX_KEY_BYTES} bytes; restore its file in keys/ from its backup"
            )
        self._cipher = AESGCM(key)
        self._draw = draw

    def seal(self, text: bytes, bound_to: bytes) -> bytes:
        """Seal bytes for the thing that ``bound_to`` names."""
        return self.seal_with(self._draw(NONCE_BYTES), text, bound_to)

    def seal_with(self, nonce: bytes, text: bytes, bound_to: bytes) -> bytes:
        """Seal bytes with a nonce of 12 bytes, drawn for this alone by a caller that draws those of many at once."""
        return _FORMAT + nonce + self._cipher.encrypt(nonce, text, bound_to)

    def open(self, blob: bytes, bound_to: bytes) -> bytes:
        """Open a blob.

        Raises:
            ValueError: it was sealed under another key, for another thing, or is damaged.
        """
        start = len(_FORMAT) + NONCE_BYTES
        # The format is no part of what is sealed, so it is looked at by itself.
        if len(blob) < start or not blob.startswith(_FORMAT):
            raise ValueError("no sealed blob")
        try:
            return self._cipher.decrypt(blob[len(_FORMAT) : start], blob[start:], bound_to)
        except InvalidTag:
            raise ValueError("a sealed blob of another key, for another thing, or damaged") from None
