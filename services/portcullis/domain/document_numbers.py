"""Numbers of passports, national IDs, tax and registration documents, of any country.

Authorities write them as they please and their data is not clean, so no country's own check is enforced: a listed number
with a slip must still match the same number with the same slip. What is held is only this:

1. Letters are capitals; spaces, dots, hyphens, slashes and round brackets do not count.
2. What remains is 3 to 32 letters and digits, among them at least one digit. Letters of every script are letters, and those
   that only look alike stay different: a Cyrillic A is not a Latin A.

Example: ``"a 12.345/67-8"`` is ``"A12345678"``; ``"unknown"`` is refused, having no digit.
"""

from __future__ import annotations

import unicodedata

from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.folding import fold, without_separators

MIN_CHARACTERS = 3
MAX_CHARACTERS = 32


def is_document_number(value: str) -> bool:
    """Say whether a value is canonical and plain ASCII; the short path."""
    return (
        MIN_CHARACTERS <= len(value) <= MAX_CHARACTERS
        and value.isascii()
        and value.isalnum()
        and not value.isalpha()
        and value == value.upper()
    )


def document_number(value: str) -> str:
    """Give the canonical form of a document number; the long path.

    Raises:
        InvalidIdentifier: too few or too many characters, one that is neither letter nor digit, or no digit at all.
    """
    # Some capitals have a compatibility form of their own, so folding comes before and after.
    text = unicodedata.normalize("NFKC", without_separators(fold(value)).upper())
    if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
        raise InvalidIdentifier("value", "a document number has 3 to 32 letters and digits, not counting separators")
    if not all(each.isalpha() or _is_digit(each) for each in text):
        raise InvalidIdentifier("value", "a document number has letters and digits only; send the number without remarks")
    if not any(map(_is_digit, text)):
        raise InvalidIdentifier("value", "a document number has at least one digit; send the number, not a remark on it")
    return text


def _is_digit(character: str) -> bool:
    return "0" <= character <= "9"
