"""How a partner knows an entry: by a name made for that partner alone, so that two partners can't join what they hold."""

from __future__ import annotations

from hashlib import blake2b

SUBJECT_LENGTH = 32
"""Characters of a subject: 128 bits in hexadecimal."""

_KEY_PERSON = b"pc-subject-key"
_SUBJECT_PERSON = b"pc-subject"


class SubjectNames:
    """Names entries for partners: keyed BLAKE2b (RFC 7693) over partner, list and entry.

    Args:
        token_key: the host's token key, 32 bytes; the key of the names is derived from it.
    """

    def __init__(self, token_key: bytes) -> None:
        self._key = blake2b(b"", key=token_key, person=_KEY_PERSON, digest_size=32).digest()

    def name(self, partner: str, list_number: int, entry_id: int) -> str:
        """Name an entry for a partner; 32 characters."""
        text = f"{list_number}/{entry_id}/{partner}".encode()
        return blake2b(text, key=self._key, person=_SUBJECT_PERSON, digest_size=SUBJECT_LENGTH // 2).hexdigest()
