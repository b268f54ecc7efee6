"""Redress numbers: what a person gives a partner who mistakes them for the subject of an entry.

A number is ``PCR-XXXX-XXXX-XXXX-XXXX``: 75 random bits and one check character, in Crockford's base 32
(https://www.crockford.com/base32.html). Case, hyphens and blanks don't matter, and O, I and L are read as 0, 1 and 1.
Inside, a number is its sixteen characters alone.

The check character makes the weighted sum of all sixteen zero in the field of 32 elements (x^5 + x^2 + 1), where each
place weighs twice the next one: the parity symbol of a Reed-Solomon code. As the weights differ, one wrong character and
any two that changed places are always found; of everything else one in 32 goes by.

A number opens nothing and tells nothing: it counts only beside the document of its holder, and only for the entry that it
was issued for (`portcullis.domain.tokens.Tokeniser.clearance`).

Example: ``pcr d3vp 6n5d 8vsc pjh4`` is read as ``D3VP6N5D8VSCPJH4``; with its last characters changed it is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from portcullis.domain.errors import InvalidRequest

PREFIX = "PCR"
"""What every number begins with."""
MAX_TEXT = 32
"""The most characters of a number as somebody writes it."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_DATA = 15
_BITS = 5
_BYTES = 10
_FIELD = 0b100101
_GROUP = 4
_IGNORED = str.maketrans("", "", "- ")


def make_number(random_bytes: Callable[[int], bytes]) -> str:
    """Make a number of bytes that nobody can predict; gives its sixteen characters."""
    drawn = int.from_bytes(random_bytes(_BYTES), "big")
    values = [drawn >> _BITS * place & 31 for place in range(_DATA)]
    return "".join(_ALPHABET[value] for value in [*values, _check_value(values)])


def read_number(text: str) -> str:
    """Read a number as somebody writes it; gives its sixteen characters.

    Raises:
        InvalidRequest: it is none, or was mistyped. Does not show it.
    """
    bare = text.translate(_IGNORED).upper() if len(text) <= MAX_TEXT else ""
    values = [_VALUES.get(character, -1) for character in bare.removeprefix(PREFIX)]
    whole = bare.startswith(PREFIX) and len(values) == _DATA + 1 and min(values) >= 0
    if not whole or _check_value(values[:-1]) != values[-1]:
        raise InvalidRequest.at(
            "redress_number", "is none: it reads PCR-XXXX-XXXX-XXXX-XXXX; look at it again, or leave it out"
        )
    return "".join(_ALPHABET[value] for value in values)


def format_number(number: str) -> str:
    """Write the sixteen characters of a number as people are given them."""
    groups = (number[at : at + _GROUP] for at in range(0, len(number), _GROUP))
    return "-".join((PREFIX, *groups))


def _check_value(values: list[int]) -> int:
    total = 0
    for value in values:
        total = _doubled(total) ^ value
    # The check character itself weighs one.
    return _doubled(total)


def _doubled(value: int) -> int:
    twice = value << 1
    return twice ^ _FIELD if twice > 31 else twice
