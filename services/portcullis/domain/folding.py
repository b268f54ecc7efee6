"""Folding: the ways of typing one number, made one text.

Rules, for every kind of identifier:

1. A value has 1 to 64 characters, of which at least one is not a space.
2. Control characters and invisible ones (Unicode categories C*) are refused: a number with them was not typed by a person.
3. Compatibility forms become the plain ones (NFKC): a full-width digit or letter is the ordinary one.
4. Decimal digits of any script become 0 to 9.

Example: ``" XA-123 ٤ "`` folds to ``"XA-123 4"``, and without separators it is ``"XA1234"``.
"""

from __future__ import annotations

import unicodedata

from portcullis.domain.errors import InvalidIdentifier

MAX_CHARACTERS = 64
"""The longest value taken, as written by the caller."""

_SEPARATORS = frozenset("./\\\N{MINUS SIGN}\N{MIDDLE DOT}\N{FRACTION SLASH}\N{DIVISION SLASH}()")
_SEPARATOR_CATEGORIES = frozenset({"Zs", "Pd"})


def fold(value: str) -> str:
    """Give the folded text of a value, without spaces around it.

    Raises:
        InvalidIdentifier: the value is empty, too long, or holds control or invisible characters.
    """
    if len(value) > MAX_CHARACTERS:
        raise InvalidIdentifier("value", f"it is longer than {MAX_CHARACTERS} characters; send the number alone")
    if any(unicodedata.category(each)[0] == "C" for each in value):
        raise InvalidIdentifier("value", "it holds control or invisible characters; send the number as plain text")
    text = "".join(_plain_digit(each) for each in unicodedata.normalize("NFKC", value)).strip()
    if not text:
        raise InvalidIdentifier("value", "it is empty; send the number, or leave this identifier out")
    return text


def without_separators(text: str) -> str:
    """Drop spaces, dots, slashes, round brackets, and hyphens and dashes of every width."""
    return "".join(each for each in text if not _is_separator(each))


def _plain_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)


def _is_separator(character: str) -> bool:
    return character in _SEPARATORS or unicodedata.category(character) in _SEPARATOR_CATEGORIES
