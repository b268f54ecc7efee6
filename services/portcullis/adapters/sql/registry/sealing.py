"""Who an entry is about, at rest: an envelope of AES-256-GCM, bound to its entry.

A blob is ``format u8 · length of the wrapped key u16, big-endian · wrapped key · sealed identity``. The identity is a box of
`portcullis.adapters.sealed_box` under a data key, whose associated data are the list and the key of the entry, so a blob
moved to another entry does not open. The data key is wrapped under the key-encryption key (`portcullis.ports.KeyWrapper`)
and stands nowhere but in the blobs that it seals: whoever removes a blob has removed what opens it. A thousand blobs share
a data key, so that a large import asks a key management service now and then, and not for every row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from itertools import count
from typing import Final, NamedTuple

import msgspec

from portcullis.adapters.sealed_box import BOX_KEY_BYTES, SealedBox
from portcullis.domain.errors import RegistryUnavailable
from portcullis.ports import KeyWrapper, KnownIdentity

_FORMAT: Final = 2
_HEAD_BYTES: Final = 3
_BLOBS_A_KEY: Final = 1_000
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(KnownIdentity)


class _DataKey(NamedTuple):
    """A data key in use: what it is wrapped by, how its blobs begin, what seals them, and the numbers of those so far."""

    epoch: int
    head: bytes
    box: SealedBox
    blobs: count[int]


class Sealer:
    """Seals and opens identities under the data keys that a wrapper wraps; safe for threads.

    ``draw(n)`` gives n unpredictable bytes.
    """

    def __init__(self, keys: KeyWrapper, *, draw: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = keys
        self._draw = draw
        self._data_key: _DataKey | None = None

    def seal(self, identity: KnownIdentity, *, list_name: str, key: str) -> bytes:
        """Seal an identity for the entry named.

        Raises:
            RegistryUnavailable: the key-encryption key can't be used just now.
        """
        data_key = self._data_key
        if data_key is None or data_key.epoch != self._keys.epoch or next(data_key.blobs) >= _BLOBS_A_KEY:
            # Threads that find it used up at once each make one, and the last stays: a few more keys, no fault.
            data_key = self._data_key = self._new_key()
        return data_key.head + data_key.box.seal(_ENCODER.encode(identity), _bound_to(list_name, key))

    def _new_key(self) -> _DataKey:
        data_key, epoch = self._draw(BOX_KEY_BYTES), self._keys.epoch
        return _DataKey(epoch, _head(self._keys.wrap(data_key)), SealedBox(data_key, draw=self._draw), count(1))

    def open(self, blob: bytes, *, list_name: str, key: str) -> KnownIdentity:
        """Open an entry's blob.

        Raises:
            RegistryUnavailable: it was sealed under another key, for another entry, or is damaged.
        """
        try:
            return _DECODER.decode(self._opened(blob, _bound_to(list_name, key)))
        except ValueError:
            raise RegistryUnavailable(
                f"an entry can't be unsealed; check that {self._keys.name} is the key that the registry was written with"
            ) from None

    def rewrapped(self, blob: bytes) -> bytes | None:
        """Give a blob with its data key wrapped under the key that wraps now; None where it is already.

        Raises:
            ValueError: it is damaged, or wrapped under a key that is not here.
        """
        wrapped, sealed = _cut(blob)
        if self._keys.is_present(wrapped):
            return None
        return _head(self._keys.wrap(self._keys.unwrap(wrapped))) + sealed

    def demand_held(self, wrapped: Collection[bytes]) -> None:
        """Demand that what these wrapped data keys seal can be opened with keys that are kept at this moment.

        Raises:
            RegistryUnavailable: one was wrapped under a key that is gone.
        """
        if not self._keys.holds(wrapped):
            raise RegistryUnavailable(
                "the seal key was changed while this was under way, and nothing was written; do it again"
            )

    def _opened(self, blob: bytes, bound_to: bytes) -> bytes:
        wrapped, sealed = _cut(blob)
        return SealedBox(self._keys.unwrap(wrapped)).open(sealed, bound_to)


def wrapped_key(blob: bytes) -> bytes:
    """Give the wrapped data key of a blob.

    Raises:
        ValueError: it is none.
    """
    return _cut(blob)[0]


def _cut(blob: bytes) -> tuple[bytes, bytes]:
    if len(blob) < _HEAD_BYTES or blob[0] != _FORMAT:
        raise ValueError("no sealed identity")
    sealed_from = _HEAD_BYTES + blob[1] * 256 + blob[2]
    return blob[_HEAD_BYTES:sealed_from], blob[sealed_from:]


def _head(wrapped: bytes) -> bytes:
    return bytes((_FORMAT, *divmod(len(wrapped), 256))) + wrapped


def _bound_to(list_name: str, key: str) -> bytes:
    return f"{list_name}\0{key}".encode()
