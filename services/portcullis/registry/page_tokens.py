"""Page tokens: each names the last thing of a page and what was asked for; it is no secret and opens nothing."""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b

from portcullis.domain.errors import InvalidRequest

_MARK_BYTES = 4


def make_page_token(asked: str, last: str) -> str:
    """Make the token of the page after ``last``, for the question ``asked``."""
    return base64.urlsafe_b64encode(_mark(asked) + last.encode()).decode().rstrip("=")


def read_page_token(asked: str, token: str) -> str:
    """Give the last thing of the page before; "" for the first page.

    Raises:
        InvalidRequest: it is no token, or one of another question.
    """
    if not token:
        return ""
    try:
        data = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        last = data[_MARK_BYTES:].decode()
    except (binascii.Error, UnicodeError):
        raise _not_a_token() from None
    # Whoever knows how a token is made can make one of any text; PostgreSQL has no place for NUL.
    if data[:_MARK_BYTES] != _mark(asked) or not last or "\0" in last:
        raise _not_a_token()
    return last


def _not_a_token() -> InvalidRequest:
    return InvalidRequest.at(
        "page_token", "not a token of this question; give the last answer's next_page_token, or none for the first page"
    )


def _mark(asked: str) -> bytes:
    return blake2b(asked.encode(), digest_size=_MARK_BYTES, person=b"page-token").digest()
