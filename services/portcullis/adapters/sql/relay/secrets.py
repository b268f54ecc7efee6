"""The authorization headers that receivers have given, at rest: sealed, each bound to its stream.

The key is derived from the host's seal key by keyed BLAKE2b, so that what is sealed here opens nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b

from portcullis.adapters.sealed_box import BOX_KEY_BYTES, SealedBox
from portcullis.domain.errors import SetupFault

_PERSON = b"pc-relay-secret"


class StreamSecrets:
    """Seals and opens headers. ``draw(n)`` gives n unpredictable bytes.

    Raises:
        SetupFault: the seal key has another length.
    """

    def __init__(self, seal_key: bytes, *, draw: Callable[[int], bytes] = os.urandom) -> None:
        SealedBox(seal_key)
        self._box = SealedBox(blake2b(key=seal_key, person=_PERSON, digest_size=BOX_KEY_BYTES).digest(), draw=draw)

    def seal(self, stream_id: str, text: str) -> bytes | None:
        """Seal a stream's header; None where there is none."""
        return self._box.seal(text.encode(), stream_id.encode()) if text else None

    def open(self, stream_id: str, blob: bytes | None) -> str:
        """Open a stream's header; "" where there is none.

        Raises:
            SetupFault: it was sealed under another key, for another stream, or is damaged.
        """
        if blob is None:
            return ""
        try:
            return self._box.open(blob, stream_id.encode()).decode()
        except ValueError:
            raise SetupFault(
                "a stream's authorization header can't be unsealed; check that keys/record.key is the one it was sealed with"
            ) from None
