"""Identifiers that somebody gives at a counter: read, and the tokens that tell their holder for certain."""

from __future__ import annotations

from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.errors import InvalidIdentifier, InvalidRequest
from portcullis.domain.identifiers import Identifier, normalise
from portcullis.domain.token_keys import TokenKeys
from portcullis.domain.tokens import Tokeniser


def read_identifier(given: GivenIdentifier, field: str) -> Identifier:
    """Read an identifier.

    Raises:
        InvalidRequest: it can't be what it says; names what of ``field`` is wrong, never the value.
    """
    try:
        return normalise(given.kind, given.value, given.country)
    except InvalidIdentifier as fault:
        raise InvalidRequest.at(f"{field}.{fault.field}", fault.description) from None


def certain_tokens(keys: TokenKeys, identifier: Identifier, field: str) -> tuple[bytes, ...]:
    """Give the tokens that nobody but the holder of this identifier has (`portcullis.domain.tokens`: the strong ones).

    One under each key that is here, that of the newest first: what was recorded under a former one is theirs as well.

    Raises:
        InvalidRequest: there are none, since the country is missing.
    """
    certain = tuple(token for each in keys.held() for token, weak in probed(each, identifier) if not weak)
    if not certain:
        raise InvalidRequest.at(f"{field}.country", "is needed: without it the number may be somebody else's")
    return certain


def probed(tokeniser: Tokeniser, identifier: Identifier) -> list[tuple[bytes, bool]]:
    """Give the (token, weak) pairs that a check with this identifier looks for under one key."""
    probes: list[tuple[bytes, bool]] = []
    tokeniser.probes(identifier.kind, identifier.value, identifier.country, probes)
    return probes
