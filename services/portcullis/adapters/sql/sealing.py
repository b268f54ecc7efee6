"""Who an entry is about, at rest: one sealed blob (`portcullis.adapters.sealed_box`), bound to its entry.

The associated data are the list and the key of the entry, so a blob moved to another entry does not open. The 2^32 random
nonces of one key are room for 280 versions of each of 15 million entries.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from portcullis.adapters.sealed_box import BOX_KEY_BYTES, SealedBox
from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.identifiers import Identifier

SEAL_KEY_BYTES = BOX_KEY_BYTES


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
        self._box = SealedBox(key, draw=draw)

    def seal(self, identity: Identity, *, list_name: str, key: str) -> bytes:
        """Seal an identity for the entry named."""
        return self._box.seal(_ENCODER.encode(identity), _bound_to(list_name, key))

    def open(self, blob: bytes, *, list_name: str, key: str) -> Identity:
        """Open an entry's blob.

        Raises:
            RegistryUnavailable: it was sealed under another key, for another entry, or is damaged.
        """
        try:
            return _DECODER.decode(self._box.open(blob, _bound_to(list_name, key)))
        except ValueError:
            raise RegistryUnavailable(
                "an entry can't be unsealed; check that keys/seal.key is the one that the registry was written with"
            ) from None


def _bound_to(list_name: str, key: str) -> bytes:
    return f"{list_name}\0{key}".encode()
