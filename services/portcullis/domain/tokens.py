"""Tokens: the keyed pseudonyms of identifiers, and which of them match.

A token is keyed BLAKE2b (RFC 7693) of 128 bits, over the identifier's canonical text, with its kind as personalisation
and the epoch of the key as salt. Only the holder of the key can tell which number stands behind one. What changes with the
key, and how it is changed while checks go on, stands in `portcullis.domain.token_keys`.

Rule 6 of the domain: only an exact match may RESTRICT, anything weaker leads to REVIEW at most. For the kinds that belong
to no country or to one alone, the number is exact: one token, strong. A passport, national ID, tax or registration number
is exact only together with its country; the same number of *another* country is another document and never matches.
Therefore an entry is indexed, and a check probes, under these texts ("CU:" is Cuba's, "*:" some country's, "?:" unknown):

    ===============  ============================  ============================  =================
                     entry with country CU         entry without country         entry with XA
                     indexed: CU:123 and *:123     indexed: ?:123                indexed: XA:123 and *:123
    ===============  ============================  ============================  =================
    check with CU    CU:123 strong                 ?:123 weak                    no match
    check without    *:123 weak                    ?:123 weak                    *:123 weak
    ===============  ============================  ============================  =================

So a check with a country probes "CU:123", strong, and "?:123", weak; one without probes "*:123" and "?:123", both weak. An
entry without country has no strong token at all: it can never RESTRICT.

Example: a list names passport A123456 of XA. A traveller with A123456 of XA is refused; one who gives no country is looked
at by a person; one with A123456 of XB is not touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from portcullis.domain.countries import COUNTRY_CODES
from portcullis.domain.identifiers import KINDS, Identifier, Kind, normalise

TOKEN_BYTES = 16
"""The length of a token."""

FINGERPRINT_BYTES = 8

MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 64

_SOME_COUNTRY = b"*:"
_UNKNOWN_COUNTRY = b"?:"
_NO_COUNTRY = frozenset({""})
_ANY_COUNTRY = COUNTRY_CODES | _NO_COUNTRY


class _Hash(Protocol):
    """What hashlib's objects can do, as far as it is wanted here."""

    def copy(self) -> _Hash: ...

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Lane(NamedTuple):
    """What one kind needs on the check path.

    ``countries`` are those that may stand as they are. The hashes are keyed and personalised; the weak ones have taken in
    the beginning of their texts.
    """

    is_canonical: Callable[[str], bool]
    countries: frozenset[str]
    has_country: bool
    fresh: _Hash
    some_country: _Hash
    unknown_country: _Hash


class Tokeniser:
    """Makes tokens with one key. Holds no state that changes: it may be shared.

    Args:
        key: the secret, 16 to 64 bytes.
        epoch: the number of the key, from 1; another epoch gives other tokens.

    Attributes:
        epoch: the number of the key.
        fingerprint: tells whether two hosts hold the same key, and nothing about the key: 16 hexadecimal digits.

    Raises:
        ValueError: a key too short or too long, or an epoch that is no positive 32-bit number.
    """

    def __init__(self, key: bytes, epoch: int = 1) -> None:
        if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
            raise ValueError(f"key: a token key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
        if not 1 <= epoch < 2**32:
            raise ValueError("epoch: it must lie in 1 to 4294967295")
        salt = epoch.to_bytes(hashlib.blake2b.SALT_SIZE, "little")
        self.epoch = epoch
        self.fingerprint = hashlib.blake2b(
            digest_size=FINGERPRINT_BYTES, key=key, salt=salt, person=b"fingerprint"
        ).hexdigest()
        self._lanes = {kind.name: _lane(kind, key, salt) for kind in KINDS.values()}
        self._clearances: _Hash = hashlib.blake2b(digest_size=TOKEN_BYTES, key=key, salt=salt, person=b"clearance")

    def index_tokens(self, identifier: Identifier) -> tuple[bytes, ...]:
        """Give the tokens that an entry is indexed under for a normalised identifier: one, or two with a country.

        Raises:
            KeyError: a kind that is not in `portcullis.domain.identifiers.KINDS`, so it was never normalised.
        """
        lane = self._lanes[identifier.kind]
        text = identifier.value.encode()
        if not lane.has_country:
            return (_finish(lane.fresh, text),)
        if not identifier.country:
            return (_finish(lane.unknown_country, text),)
        return (_finish(lane.fresh, _with_country(identifier.country, text)), _finish(lane.some_country, text))

    def probes(self, kind: str, value: str, country: str, into: list[tuple[bytes, bool]]) -> None:
        """Append a check's (token, weak) pairs for one identifier as the caller wrote it: one, or two for a country's kind.

        Raises:
            InvalidIdentifier: it can't be what it says; nothing is appended.
        """
        lane = self._lanes.get(kind)
        # The check path: canonical values go by without a copy. What is odd in any way is left to normalise().
        if lane is None or not lane.is_canonical(value) or (country and not (lane.has_country and country in COUNTRY_CODES)):
            identifier = normalise(kind, value, country)
            value, country = identifier.value, identifier.country
            lane = self._lanes[kind]
        text = value.encode()
        if not lane.has_country:
            token = lane.fresh.copy()
            token.update(text)
            into.append((token.digest(), False))
        elif country:
            into.append((_finish(lane.fresh, _with_country(country, text)), False))
            into.append((_finish(lane.unknown_country, text), True))
        else:
            into.append((_finish(lane.some_country, text), True))
            into.append((_finish(lane.unknown_country, text), True))

    def of_epoch(self, epoch: int) -> Tokeniser | None:
        """Give itself where the epoch is its own: one key is the least of `portcullis.domain.token_keys.TokenKeys`."""
        return self if epoch == self.epoch else None

    def held(self) -> tuple[Tokeniser, ...]:
        """Give itself alone, as `of_epoch`."""
        return (self,)

    def clearance(self, number: str, own: bytes, mistaken: bytes) -> bytes:
        """Give the token under which a redress number takes an entry back from somebody who is not its subject.

        Args:
            number: the number's sixteen characters (`portcullis.domain.redress_numbers`).
            own: a token of the person's own document.
            mistaken: the token by which the person is taken for the subject.

        It is 16 bytes, and no token of an identifier can be the same but by chance: its personalisation is no kind's.
        """
        return _finish(self._clearances, number.encode() + own + mistaken)


def _lane(kind: Kind, key: bytes, salt: bytes) -> _Lane:
    fresh = hashlib.blake2b(digest_size=TOKEN_BYTES, key=key, salt=salt, person=kind.name.encode())
    return _Lane(
        is_canonical=kind.is_canonical,
        countries=_ANY_COUNTRY if kind.has_country else _NO_COUNTRY,
        has_country=kind.has_country,
        fresh=fresh,
        some_country=_begun(fresh, _SOME_COUNTRY),
        unknown_country=_begun(fresh, _UNKNOWN_COUNTRY),
    )


def _with_country(country: str, text: bytes) -> bytes:
    return country.encode() + b":" + text


def _begun(fresh: _Hash, text: bytes) -> _Hash:
    begun = fresh.copy()
    begun.update(text)
    return begun


def _finish(begun: _Hash, text: bytes) -> bytes:
    finished = begun.copy()
    finished.update(text)
    return finished.digest()
