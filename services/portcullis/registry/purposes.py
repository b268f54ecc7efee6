"""What an operator says a look or a decision is for: one line, kept beside it for those whom it concerns."""

from __future__ import annotations

from portcullis.domain.entry_rules import is_plain_text
from portcullis.domain.errors import InvalidRequest

MAX_PURPOSE = 128
"""The most characters of a purpose."""


def read_purpose(given: str, *, default: str = "") -> str:
    """Read a purpose; ``default`` stands for none.

    Raises:
        InvalidRequest: it is longer than 128 characters or no plain text.
    """
    told = given.strip() or default
    if len(told) > MAX_PURPOSE or not is_plain_text(told):
        raise InvalidRequest.at("purpose", f"must be plain text of at most {MAX_PURPOSE} characters, without personal data")
    return told
