"""Made-up subjects: identifiers that are right in form and can be nobody's.

Each maker takes a number and gives the identifier of that number, always the same, and another for every number below its
capacity; beyond that it raises ValueError. Nothing of it belongs to anyone:

- resident IDs have birth dates of 2090 to 2199, and check digits that are right;
- passports and other documents are of the countries XA to XZ, save XK, which Kosovo uses;
- phone numbers are those that the United Kingdom and North America keep free for drama, 1,100 in all;
- organisations have the registration authority 0, which nobody was given;
- IMO numbers begin with 0, below every ship's.

Example: ``passport(0)`` is ``Identifier("passport", "P00000000", "XA")``.
"""

from __future__ import annotations

import string
from datetime import date, timedelta

from portcullis.domain.chinese_codes import resident_id_check, uscc_check
from portcullis.domain.identifiers import KINDS, Identifier
from portcullis.domain.imo_numbers import imo_check

_REGIONS = ("110101", "310101", "330102", "420102", "440103", "510104", "530102", "610102")
_FIRST_BIRTH = date(2090, 1, 1)
_BIRTHS = (date(2200, 1, 1) - _FIRST_BIRTH).days
_SEQUENCES = 999
_COUNTRIES = tuple("X" + letter for letter in string.ascii_uppercase if letter != "K")
_SERIALS = 10**8
_BRITISH_DRAMA = 1000
_AMERICAN_DRAMA = 100

RESIDENT_IDS = _BIRTHS * _SEQUENCES * len(_REGIONS)
"""How many resident IDs there are: 321 million."""

DOCUMENTS = _SERIALS * len(_COUNTRIES)
"""How many numbers there are of each kind with a country: 2.5 thousand million."""

USCCS = 10**9
"""How many unified social credit codes there are."""

IMO_NUMBERS = 10**5
"""How many IMO numbers there are."""

PHONES = _BRITISH_DRAMA + _AMERICAN_DRAMA
"""How many phone numbers there are; no more are kept free."""


def resident_id(number: int) -> Identifier:
    """Give a resident ID, of 0 to RESIDENT_IDS - 1."""
    rest, day = divmod(_within(number, RESIDENT_IDS), _BIRTHS)
    region, sequence = divmod(rest, _SEQUENCES)
    birth = (_FIRST_BIRTH + timedelta(days=day)).strftime("%Y%m%d")
    body = f"{_REGIONS[region]}{birth}{sequence + 1:03}"
    return Identifier("cn.resident-id", body + resident_id_check(body))


def uscc(number: int) -> Identifier:
    """Give an organisation's unified social credit code, of 0 to USCCS - 1."""
    body = f"01110000{_within(number, USCCS):09}"
    return Identifier("cn.uscc", body + uscc_check(body))


def document(kind: str, number: int) -> Identifier:
    """Give a document of a kind that has a country, such as passport or tax-id, of 0 to DOCUMENTS - 1."""
    if not KINDS[kind].has_country:
        raise ValueError("kind: it has no country; there is a maker of its own")
    serial, country = divmod(_within(number, DOCUMENTS), len(_COUNTRIES))
    return Identifier(kind, f"{kind[0].upper()}{serial:08}", _COUNTRIES[country])


def passport(number: int) -> Identifier:
    """Give a passport, of 0 to DOCUMENTS - 1."""
    return document("passport", number)


def phone(number: int) -> Identifier:
    """Give a phone number, of 0 to PHONES - 1."""
    if _within(number, PHONES) < _BRITISH_DRAMA:
        return Identifier("phone", f"+447700900{number:03}")
    return Identifier("phone", f"+1202555{100 + number - _BRITISH_DRAMA:04}")


def imo(number: int) -> Identifier:
    """Give a ship's IMO number, of 0 to IMO_NUMBERS - 1."""
    return Identifier("imo", f"{_within(number, IMO_NUMBERS):06}{imo_check(number)}")


def _within(number: int, capacity: int) -> int:
    if not 0 <= number < capacity:
        raise ValueError(f"number: there are only {capacity} of these; take one from 0 to {capacity - 1}")
    return number
