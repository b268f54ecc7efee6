"""The receiver's side: reading a Security Event Token strictly, as RFC 8417, RFC 8935 (section 2.1) and Shared Signals ask.

For systems that take our events, and for our own tests. A token is read in this order: its form, its ``typ``, its signature
by a key of the issuer's, its issuer, its audience, its claims.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jws
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import KeySet

from portcullis.domain.security_events import SET_TYPE, SecurityEvent, SetInvalid, check_shared_signals, read_claims

ALGORITHMS: Final = ("ES256", "Ed25519", "RS256")
"""Signatures that are believed. ``none`` and those by a shared secret are not among them."""

MAX_TOKEN_BYTES: Final = 64 * 1024


def parse_set(token: str, jwks: Mapping[str, Any], *, issuer: str, audience: str) -> SecurityEvent:
    """Read a token that may be believed.

    Args:
        token: in its compact form.
        jwks: the issuer's keys, a JWK set.
        issuer: who must have issued it.
        audience: the receiver's own name, which the token must name.

    Raises:
        SetInvalid: it may not be believed; ``err`` is the code for the answer.
    """
    claims = _verified(token, jwks)
    event = read_claims(claims)
    if event.issuer != issuer:
        raise SetInvalid("iss: is another issuer", "invalid_issuer")
    if audience not in event.audience:
        raise SetInvalid("aud: does not name this receiver", "invalid_audience")
    check_shared_signals(event)
    return event


def _verified(token: str, jwks: Mapping[str, Any]) -> object:
    _check_header(token)
    try:
        keys = KeySet.import_key_set(dict(jwks))  # type: ignore[arg-type]
        proven = jws.deserialize_compact(token, keys, algorithms=list(ALGORITHMS))
        return json.loads(proven.payload)
    except BadSignatureError:
        raise SetInvalid("the signature does not fit", "authentication_failed") from None
    except JoseError:
        raise SetInvalid("the token can't be proven with these keys", "invalid_key") from None
    except (ValueError, TypeError):
        raise SetInvalid("the claims are no JSON") from None


def _check_header(token: str) -> None:
    if len(token) > MAX_TOKEN_BYTES:
        raise SetInvalid("the token is too long")
    try:
        header = jws.extract_compact(token.encode("ascii")).protected
    except (JoseError, ValueError, TypeError):
        raise SetInvalid("this is no token") from None
    if header.get("typ") != SET_TYPE:
        raise SetInvalid(f"typ: must be {SET_TYPE}")
    if header.get("alg") not in ALGORITHMS:
        raise SetInvalid("alg: is none that is believed", "invalid_key")
