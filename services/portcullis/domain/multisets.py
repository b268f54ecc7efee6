"""A digest of a multiset that can be kept up to date: adding or removing an element costs one hash, whatever the size.

MSet-Add-Hash of Clarke, Devadas, van Dijk, Gassend and Suh, "Incremental Multiset Hash Functions and Their Application to
Memory Integrity Checking" (ASIACRYPT 2003), which rests on AdHash of Bellare and Micciancio (EUROCRYPT 1997): the digest
is the sum of the elements' hashes modulo 2^512, each hash a BLAKE2b of 64 bytes. The order of elements plays no part.

Here an element is one token of a list with its records' bytes. A list's digest is in its signed manifest, so the digest is
no secret's guardian: it proves that what a replica was brought to by deltas is what the publisher has.

Example: the digest of {a, b} is ``(H(a) + H(b)) mod 2^512``; take b out and add c: ``(digest - H(b) + H(c)) mod 2^512``.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

NAME = "mset-add-blake2b-512"
DIGEST_BYTES = 64
EMPTY = "00" * DIGEST_BYTES
"""The digest of no element, in hexadecimal."""

_MODULUS_MASK = (1 << (8 * DIGEST_BYTES)) - 1


def element(token: bytes, body: bytes) -> int:
    """Give the hash of one element. The token's length is fixed, so the two need no mark between them."""
    return int.from_bytes(blake2b(token + body).digest(), "little")


class MultisetDigest:
    """The digest of a multiset, and how many elements it has."""

    __slots__ = ("_sum", "count")

    def __init__(self, digest: str = EMPTY, count: int = 0) -> None:
        """Go on from a digest in hexadecimal.

        Raises:
            ValueError: it is not 64 bytes in hexadecimal.
        """
        data = bytes.fromhex(digest)
        if len(data) != DIGEST_BYTES:
            raise ValueError(f"a multiset digest has {DIGEST_BYTES} bytes, not {len(data)}")
        self._sum = int.from_bytes(data, "little")
        self.count = count

    def replace(self, token: bytes, old: bytes, new: bytes) -> None:
        """Put a token's new body in the place of its old one; an empty body is none."""
        if old:
            self._sum -= element(token, old)
            self.count -= 1
        if new:
            self._sum += element(token, new)
            self.count += 1

    def add_all(self, elements: Iterable[tuple[bytes, bytes]]) -> None:
        """Add many elements, (token, body) each with a body."""
        total, count = 0, 0
        for token, body in elements:
            total += int.from_bytes(blake2b(token + body).digest(), "little")
            count += 1
        self._sum += total
        self.count += count

    def hex(self) -> str:
        """Give the digest in hexadecimal."""
        return (self._sum & _MODULUS_MASK).to_bytes(DIGEST_BYTES, "little").hex()
