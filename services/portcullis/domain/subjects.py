"""How a partner knows an entry, and a place in a log: by names made for that partner alone.

So two partners can't join what they hold by a name. A place is named by a permutation of its number: the number itself would
be the same for every partner, and would tell how much happens on lists that are none of the partner's business.
"""

from __future__ import annotations

from hashlib import blake2b

SUBJECT_LENGTH = 32
"""Characters of a subject: 128 bits in hexadecimal."""

_KEY_PERSON = b"pc-subject-key"
_SUBJECT_PERSON = b"pc-subject"
_MARK_KEY_PERSON = b"pc-mark-key"
_HALF = 8
_ROUNDS = 4


class SubjectNames:
    """Names entries for partners, and places in logs: keyed BLAKE2b (RFC 7693) over partner, list and entry.

    A place's mark is its number and 64 zero bits, through four rounds of a Feistel network with keyed BLAKE2b (Luby and
    Rackoff, 1988): whoever makes a mark up is found out by the zeros.

    Args:
        token_key: the host's token key, 32 bytes; the key of the names is derived from it.
    """

    def __init__(self, token_key: bytes) -> None:
        self._key = blake2b(b"", key=token_key, person=_KEY_PERSON, digest_size=32).digest()
        self._mark_key = blake2b(b"", key=token_key, person=_MARK_KEY_PERSON, digest_size=32).digest()

    def name(self, partner: str, list_number: int, entry_id: int) -> str:
        """Name an entry for a partner; 32 characters."""
        text = f"{list_number}/{entry_id}/{partner}".encode()
        return blake2b(text, key=self._key, person=_SUBJECT_PERSON, digest_size=SUBJECT_LENGTH // 2).hexdigest()

    def mark(self, holder: str, log: str, position: int) -> str:
        """Name a place in a log for its holder, the same every time; 32 characters."""
        left, right = position, 0
        for number in range(_ROUNDS):
            left, right = right, left ^ self._round(number, holder, log, right)
        return f"{left:016x}{right:016x}"

    def position(self, holder: str, log: str, mark: str) -> int | None:
        """Give the place that a mark names for its holder; None where it was made for no place of this log, or another."""
        if len(mark) != SUBJECT_LENGTH:
            return None
        try:
            left, right = int(mark[:16], 16), int(mark[16:], 16)
        except ValueError:
            return None
        for number in reversed(range(_ROUNDS)):
            left, right = right ^ self._round(number, holder, log, left), left
        return left if right == 0 and self.mark(holder, log, left) == mark else None

    def _round(self, number: int, holder: str, log: str, half: int) -> int:
        text = bytes((number,)) + half.to_bytes(_HALF) + f"{log}/{holder}".encode()
        return int.from_bytes(blake2b(text, key=self._mark_key, digest_size=_HALF).digest())
