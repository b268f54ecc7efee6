"""The numbers that China gives its residents and organisations.

**Resident ID** (``cn.resident-id``, GB 11643-1999): 18 characters. Six digits of region, the birth date as YYYYMMDD, three
digits of sequence, and a check character by ISO 7064 MOD 11-2, of which ``X`` stands for ten.

**Unified social credit code** (``cn.uscc``, GB 32100-2015): 18 characters of digits and capitals without I, O, S, V, Z. One
of registration authority, one of type, six digits of region, nine of the organisation's own, and a check character:
with c(i) the place of character i in that alphabet, c(1)·3⁰ + c(2)·3¹ + ... + c(17)·3¹⁶ + c(18) is a multiple of 31.

Each kind has two ways to the same answer. The short one (``is_...``) says yes only to text that is canonical already; the
long one folds what people type and leaves the arithmetic to python-stdnum. Property tests hold the two equal.

Where they differ from python-stdnum, and why:

- `stdnum.cn.ric` looks the region up in a copy of an encyclopedia's table, by the year of *birth*. But the region is that
  of the first registration, often decades later, and districts are renamed every year: living people would be refused. Here
  the first two digits must be a province's; 83, the residence permits of people from Taiwan since 2018, stdnum lacks.
- Since December 2023 a foreigner's permanent residence card carries a number of the same form, that begins with 9 and has
  the province after it. It is accepted.
- The birth year lies in 1800 to 2199; stdnum takes any year from 1. There is no clock here, so a date to come is no
  fault: demonstrations use dates from 2090 on, which nobody holds.
- The form of 15 digits, void since 2013, is refused: it has no check character, so one slip would name another person.
- `stdnum.cn.uscc` wants a digit for the authority. The standard also assigns A (armed forces), N (rural collectives, by the
  hundred thousand) and Y (others), so these are accepted. The authority 0 is unassigned; made-up organisations use it.

Example: region 110101, born 2090-01-01, sequence 001: the 17 digits 11010120900101001 ask for the check digit 1.
"""

from __future__ import annotations

import calendar
from datetime import date, timedelta

from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.folding import fold, without_separators

LENGTH = 18
"""Both numbers have as many characters."""

_PROVINCES = frozenset(
    str(code)
    for codes in (range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66), (71, 81, 82, 83))
    for code in codes
)
_REGION_HEADS = frozenset(
    head for province in _PROVINCES for head in (f"9{province}", *(f"{province}{digit}" for digit in range(10)))
)
_CENTURIES = frozenset({"18", "19", "20", "21"})
_COMMON_YEAR = frozenset((date(2001, 1, 1) + timedelta(days)).strftime("%m%d") for days in range(365))
_LEAP_DAY = "0229"
_RESIDENT_CHECK = "".join("0123456789X"[(1 - 2 * rest) % 11] for rest in range(11))

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The characters of a unified social credit code, in the order of their values."""

_AUTHORITIES = frozenset("0123456789ANY")
_NO_DIGIT = b"!"
_USCC_VALUES = bytes(
    b"0123456789abcdefghijklmnopqrstu"[USCC_ALPHABET.index(chr(code))] if chr(code) in USCC_ALPHABET else _NO_DIGIT[0]
    for code in range(256)
)
_USCC_CHECK = "".join(USCC_ALPHABET[-total % 31] for total in range(31))


def resident_id_check(body: str) -> str:
    """Give the check character of a resident ID's first 17 digits."""
    # 13 is 2 modulo 11, so reading the digits in base 13 weighs them as MOD 11-2 does.
    return _RESIDENT_CHECK[int(body, 13) % 11]


def uscc_check(body: str) -> str:
    """Give the check character of a unified social credit code's first 17 characters.

    Raises:
        ValueError: a character that is not in the alphabet.
    """
    # 34 is 3 modulo 31, so reading the values in base 34 from the right weighs them with the powers of 3.
    return _USCC_CHECK[int(body.encode().translate(_USCC_VALUES)[::-1], 34) % 31]


def is_resident_id(value: str) -> bool:
    """Say whether a value is a canonical resident ID; the short path."""
    return (
        len(value) == LENGTH
        and value.isascii()
        and (body := value[:17]).isdigit()
        and value[17] == resident_id_check(body)
        and value[:3] in _REGION_HEADS
        and value[6:8] in _CENTURIES
        and ((day := value[10:14]) in _COMMON_YEAR or (day == _LEAP_DAY and calendar.isleap(int(value[6:10]))))
    )


def resident_id(value: str) -> str:
    """Give the canonical form of a resident ID; the long path.

    Raises:
        InvalidIdentifier: its length, characters, check character, birth date or region can't be those of a resident ID.
    """
    from stdnum.cn import ric  # noqa: PLC0415 - loaded where canonical values do not come
    from stdnum.exceptions import ValidationError  # noqa: PLC0415 - likewise

    text = without_separators(fold(value)).upper()
    if len(text) == 15:
        raise InvalidIdentifier("value", "the form of 15 digits has been void since 2013; send the number of 18 characters")
    if len(text) != LENGTH:
        raise InvalidIdentifier("value", "a resident ID has 18 characters")
    if not (text.isascii() and text[:17].isdigit()):
        raise InvalidIdentifier("value", "a resident ID has 17 digits, then a digit or X")
    if text[17] != ric.calc_check_digit(text):
        raise InvalidIdentifier("value", "the check digit is wrong; compare the number with the document")
    try:
        ric.get_birth_date(text)
    except ValidationError:
        raise InvalidIdentifier("value", "there is no such birth date; compare the number with the document") from None
    if text[6:8] not in _CENTURIES:
        raise InvalidIdentifier("value", "the birth year must lie in 1800 to 2199; compare the number with the document")
    if text[:3] not in _REGION_HEADS:
        raise InvalidIdentifier("value", "it does not begin with a province's code; compare the number with the document")
    return text


def is_uscc(value: str) -> bool:
    """Say whether a value is a canonical unified social credit code; the short path."""
    if len(value) != LENGTH or not value.isascii() or value[0] not in _AUTHORITIES or not value[1:8].isdigit():
        return False
    try:
        return value[17] == uscc_check(value[:17])
    except ValueError:
        return False


def uscc(value: str) -> str:
    """Give the canonical form of a unified social credit code; the long path.

    Raises:
        InvalidIdentifier: its length, characters or check character can't be those of such a code.
    """
    from stdnum.cn import uscc as library  # noqa: PLC0415 - loaded where canonical values do not come

    text = without_separators(fold(value)).upper()
    if len(text) != LENGTH:
        raise InvalidIdentifier("value", "a unified social credit code has 18 characters")
    if any(each not in USCC_ALPHABET for each in text):
        raise InvalidIdentifier("value", "a unified social credit code has digits and capitals without I, O, S, V and Z")
    if text[0] not in _AUTHORITIES or not text[1:8].isdigit():
        raise InvalidIdentifier("value", "it must begin with an authority (a digit, A, N or Y) and seven digits")
    if text[17] != library.calc_check_digit(text):
        raise InvalidIdentifier("value", "the check digit is wrong; compare the code with the certificate")
    return text
