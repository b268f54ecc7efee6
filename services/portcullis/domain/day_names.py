"""Names of subjects for one day and one partner: workers that count subjects together tell each other these, and no token.

Whoever reads them where workers meet can join nothing with them: tomorrow's are others, another partner's are others, and
without the feed key nobody can make the name of a person that he knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

NAME_BYTES = 8

_PERSON = b"pc-day-names"


class DayNames:
    """Keyed BLAKE2b (RFC 7693) over tokens, by a key derived for each day and partner.

    Args:
        feed_key: the host's feed key, from which partners' names of entries come too, by another derivation.
    """

    def __init__(self, feed_key: bytes) -> None:
        self._key = blake2b(b"", key=feed_key, person=_PERSON, digest_size=32).digest()

    def names(self, day: int, partner: str, tokens: Iterable[bytes]) -> list[bytes]:
        """Name these tokens, in their order."""
        key = blake2b(f"{day} {partner}".encode(), key=self._key, digest_size=32).digest()
        return [blake2b(token, key=key, digest_size=NAME_BYTES).digest() for token in tokens]
