"""One-time codes: the embedded way to prove who a subject is.

An operator who was shown a document issues a code for it. Whoever gives the code and the same number within 24 hours has
proved, once, to hold it. The rules:

1. A code has ten characters of Crockford's base 32: 50 random bits. Case, hyphens and blanks don't matter.
2. It is good for one session, for the identifier it was issued for, and ends with the fifth wrong one for that identifier.
   A new code ends the one before.
3. It is kept as its scrypt digest, salted with the identifier's tokens (RFC 7914): 50 bits are too few for a plain one.
4. What fails is not told: a wrong code, a wrong number, one that has ended and one that there never was are one answer.
   So is one too many of a minute (`portcullis.registry.code_tries`).

Example: ``7K2M-Q8XV-4D`` is issued at noon for a passport. Given with the phone number of the same person it proves nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import Unauthenticated
from portcullis.domain.identifiers import Identifier
from portcullis.domain.token_keys import TokenKeys
from portcullis.domain.tokens import TOKEN_BYTES
from portcullis.ports import Clock, SubjectStore
from portcullis.registry.code_tries import CodeTries
from portcullis.registry.given_identifiers import certain_tokens

CODE_LENGTH: Final = 10
"""The characters of a code."""
CODE_S: Final = 86_400.0
"""How long a code is good for, in seconds."""
TRIES: Final = 5
"""How many wrong codes end the right one."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ = str.maketrans("OIL", "011", "- ")
_BITS = 5
_BYTES = 7
_MAX_TEXT = 32
_FALSE = (
    "proof: the code is used up, over, or was made for another number, or too many wrong ones came just now; try once more "
    "in a minute, then ask for a new one"
)
_NOBODY: Final = bytes(TOKEN_BYTES)
"""No identifier has this token, or one of 2^128."""
# 4 MiB and some 10 ms: beside 50 bits enough to make a search hopeless, and little enough for a method that anyone may call.
_COST: Final = {"n": 4096, "r": 8, "p": 1}


class SubjectCodes:
    """Issues codes, and is the `portcullis.ports.SubjectVerifier` that takes them. Blocks on the database and 10 ms of work.

    Args:
        store: where the digests are kept.
        tokeniser: makes the tokens of identifiers; the keys that are here, or one.
        clock: wall time ends a code, monotonic time the minutes in which wrong ones are counted.
        random_bytes: makes the codes.
    """

    def __init__(
        self,
        store: SubjectStore,
        *,
        tokeniser: TokenKeys,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._tokeniser = tokeniser
        self._clock = clock
        self._random_bytes = random_bytes
        self._tries = CodeTries(clock)

    def issue(self, identifier: Identifier, *, actor: str) -> tuple[str, float]:
        """Make a code for the holder of an identifier; gives it, and when it ends (Unix seconds).

        Raises:
            InvalidRequest: the identifier is not certain without its country.
            RegistryUnavailable: the database can't be used.
        """
        tokens = certain_tokens(self._tokeniser, identifier, "identifier")
        drawn = int.from_bytes(self._random_bytes(_BYTES), "big")
        code = "".join(_ALPHABET[drawn >> _BITS * place & 31] for place in range(CODE_LENGTH))
        expires_at = self._clock.now() + CODE_S
        note = StepNote(actor=actor, why="a code for a subject")
        newest, former = tokens[:1], tokens[1:]
        self._store.keep_code(_digest(code, newest), newest, former=former, expires_at=expires_at, tries=TRIES, note=note)
        return code, expires_at

    def verify(self, identifier: Identifier, proof: str) -> Sequence[bytes]:
        """Give the tokens of the identifier that a code proves, which is used up with it: one under each key.

        A code that was issued under a former key is good still.

        Raises:
            InvalidRequest: the identifier is not certain without its country.
            Unauthenticated: the code does not hold.
            RegistryUnavailable: the database can't be used.
        """
        tokens = certain_tokens(self._tokeniser, identifier, "identifier")
        code = proof[:_MAX_TEXT].upper().translate(_READ)
        now = self._clock.now()
        counted = self._tries.take(tokens[0])
        asked = tokens if counted else [_NOBODY] * len(tokens)
        if not any(self._store.use_code(_digest(code, (each,)), (each,), now=now) for each in asked):
            raise Unauthenticated(_FALSE)
        self._tries.give_back(tokens[0])
        return tokens


def _digest(code: str, tokens: Sequence[bytes]) -> str:
    return hashlib.scrypt(code.encode(errors="replace"), salt=b"".join(tokens), dklen=32, **_COST).hex()
