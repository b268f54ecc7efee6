"""Data keys wrapped under the key of a file: envelope encryption without a key management service.

The wrapping key is derived from the file's by keyed BLAKE2b (RFC 7693), so that nothing else that the file's key is used for
meets it. A wrapped key is a box of `portcullis.adapters.sealed_box`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from portcullis.adapters.sealed_box import BOX_KEY_BYTES, SealedBox

_PERSON: Final = b"entry-wrapping"
_BOUND_TO: Final = b"data key"


class KeyFileWrapper:
    """Wraps under a key file's 32 bytes. Implements `portcullis.ports.KeyWrapper`; holds no state that changes.

    Args:
        key: the file's 32 bytes.
        name: what the file is called, for whoever looks for it.
        draw: ``draw(n)`` gives n unpredictable bytes.

    Raises:
        SetupFault: the key has another length.
    """

    def __init__(self, key: bytes, *, name: str = "keys/seal.key", draw: Callable[[int], bytes] = os.urandom) -> None:
        SealedBox(key)
        self.name = name
        self._box = SealedBox(blake2b(key=key, person=_PERSON, digest_size=BOX_KEY_BYTES).digest(), draw=draw)

    def wrap(self, data_key: bytes, /) -> bytes:
        """Wrap a data key."""
        return self._box.seal(data_key, _BOUND_TO)

    def unwrap(self, wrapped: bytes, /) -> bytes:
        """Give a wrapped data key back.

        Raises:
            ValueError: it was wrapped under another key, or is damaged.
        """
        return self._box.open(wrapped, _BOUND_TO)
