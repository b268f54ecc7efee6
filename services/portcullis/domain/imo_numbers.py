"""IMO numbers of ships: seven digits, the last of which checks the others (IMO resolution A.1117(30)).

The first six digits weighed 7, 6, 5, 4, 3, 2 add up to a number that ends in the seventh. People write ``IMO`` before it;
the canonical form has the digits alone.

Example: 0·7 + 1·6 + 2·5 + 3·4 + 4·3 + 5·2 = 50 ends in 0, so 0123450 is right and 0123459 is not.
"""

from __future__ import annotations

from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.folding import fold, without_separators

_PREFIX = "IMO"
_FIRST_THREE = tuple(7 * (n // 100) + 6 * (n // 10 % 10) + 5 * (n % 10) for n in range(1000))
_NEXT_THREE = tuple(4 * (n // 100) + 3 * (n // 10 % 10) + 2 * (n % 10) for n in range(1000))


def imo_check(body: int) -> int:
    """Give the check digit of an IMO number's first six digits, read as one number."""
    return (_FIRST_THREE[body // 1000] + _NEXT_THREE[body % 1000]) % 10


def is_imo_number(value: str) -> bool:
    """Say whether a value is a canonical IMO number; the short path."""
    if len(value) != 7 or not value.isascii() or not value.isdigit():
        return False
    body, check = divmod(int(value), 10)
    return imo_check(body) == check


def imo_number(value: str) -> str:
    """Give the canonical form of an IMO number; the long path, by python-stdnum.

    Raises:
        InvalidIdentifier: it has not seven digits, or the last of them is wrong.
    """
    from stdnum import imo  # noqa: PLC0415 - loaded where canonical values do not come

    text = without_separators(fold(value)).upper().removeprefix(_PREFIX)
    if len(text) != 7 or not (text.isascii() and text.isdigit()):
        raise InvalidIdentifier("value", "an IMO number has seven digits")
    if text[6] != imo.calc_check_digit(text[:6]):
        raise InvalidIdentifier("value", "the check digit is wrong; compare the number with the ship's papers")
    return text
