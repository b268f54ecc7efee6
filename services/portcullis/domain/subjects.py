"""How a partner knows an entry, and a place in a log: by names made for that partner alone.

So two partners can't join what they hold by a name. A place is named by a permutation of its number: the number itself would
be the same for every partner, and would tell how much happens on lists that are none of the partner's business.

Each partner has a key of its own, derived from the home's feed key, and of an epoch: with another epoch all of its names and
marks are others, and those of before can't be told from made-up ones by whoever has the present key alone. They have nothing
to do with the token keys, so a partner knows an entry by the same name whichever of those is in use.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

SUBJECT_LENGTH = 32
"""Characters of a subject: 128 bits in hexadecimal."""

FIRST_EPOCH = 1
"""The epoch of a partner's key that was never rotated."""

_KEY_PERSON = b"pc-subject-key"
_SUBJECT_PERSON = b"pc-subject"
_MARK_KEY_PERSON = b"pc-mark-key"
_KEYS_HELD = 4_096
_HALF = 8
_ROUNDS = 4


class SubjectNames:
    """Names entries for partners, and places in logs: keyed BLAKE2b (RFC 7693) over partner, list and entry.

    A place's mark is its number and 64 zero bits, through four rounds of a Feistel network with keyed BLAKE2b (Luby and
    Rackoff, 1988): whoever makes a mark up is found out by the zeros.

    Args:
        feed_key: the home's feed key, 32 bytes; the keys of the names are derived from it, holder by holder.
    """

    def __init__(self, feed_key: bytes) -> None:
        def derived(person: bytes, holder: str, epoch: int) -> bytes:
            return blake2b(f"{epoch}/{holder}".encode(), key=feed_key, person=person, digest_size=32).digest()

        self._key = lru_cache(_KEYS_HELD)(derived)

    def name(self, partner: str, list_number: int, entry_id: int, epoch: int = FIRST_EPOCH) -> str:
        """Name an entry for a partner, by its key of an epoch; 32 characters."""
        text = f"{list_number}/{entry_id}/{partner}".encode()
        key = self._key(_KEY_PERSON, partner, epoch)
        return blake2b(text, key=key, person=_SUBJECT_PERSON, digest_size=SUBJECT_LENGTH // 2).hexdigest()

    def mark(self, holder: str, log: str, position: int, epoch: int = FIRST_EPOCH) -> str:
        """Name a place in a log for its holder, by its key of an epoch, the same every time; 32 characters."""
        key = self._key(_MARK_KEY_PERSON, holder, epoch)
        left, right = position, 0
        for number in range(_ROUNDS):
            left, right = right, left ^ _round(key, number, holder, log, right)
        return f"{left:016x}{right:016x}"

    def position(self, holder: str, log: str, mark: str, epoch: int = FIRST_EPOCH) -> int | None:
        """Give the place that a mark names for its holder; None where it was made for no place of this log, or another."""
        if len(mark) != SUBJECT_LENGTH:
            return None
        try:
            left, right = int(mark[:16], 16), int(mark[16:], 16)
        except ValueError:
            return None
        key = self._key(_MARK_KEY_PERSON, holder, epoch)
        for number in reversed(range(_ROUNDS)):
            left, right = right ^ _round(key, number, holder, log, left), left
        return left if right == 0 and self.mark(holder, log, left, epoch) == mark else None


def _round(key: bytes, number: int, holder: str, log: str, half: int) -> int:
    text = bytes((number,)) + half.to_bytes(_HALF) + f"{log}/{holder}".encode()
    return int.from_bytes(blake2b(text, key=key, digest_size=_HALF).digest())
