"""How stores cut a target that is uploaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

CHUNK_BYTES = 1 << 20
"""Long enough that a target of hundreds of mebibytes takes few round trips, short enough to be one answer of a server."""


def in_chunks(pieces: Iterable[bytes], length: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Cut bytes that come in pieces of any length into chunks of one length (bytes), the last shorter; none is empty."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        while len(rest) >= length:
            yield bytes(rest[:length])
            del rest[:length]
    if rest:
        yield bytes(rest)
