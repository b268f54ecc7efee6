"""Identifiers: typed document and contact numbers, normalised and checked.

Rules:

1. A kind says how its numbers are written and checked (`KINDS`). An unknown kind is refused.
2. Every number has one canonical form; two numbers match when kind and canonical form are the same, and for the kinds that
   have one, the country too (`portcullis.domain.tokens` tells what happens without a country).
3. The country is ISO 3166-1 alpha-2. A kind that is one country's, or nobody's, has none, and must not be given one.
4. What can't be a number of its kind is refused with the field and the fault, and never with the value.

A canonical value is recognised by a short path of a microsecond at most; everything else takes the long one, through NFKC,
python-stdnum and phonenumbers. Both give the same answer.

Example: ``normalise("passport", " xa-12.345 678 ", "xb")`` is ``Identifier("passport", "XA12345678", "XB")``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import msgspec

from portcullis.domain import phone_numbers
from portcullis.domain.chinese_codes import is_resident_id, is_uscc, resident_id, uscc
from portcullis.domain.countries import COUNTRY_CODES
from portcullis.domain.document_numbers import document_number, is_document_number
from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.imo_numbers import imo_number, is_imo_number

__all__ = ["KINDS", "Identifier", "InvalidIdentifier", "Kind", "canonical_country", "normalise", "prepare"]


class Identifier(msgspec.Struct, frozen=True):
    """One normalised identifier: ``value`` in canonical form, ``country`` ISO 3166-1 alpha-2 or "" where unknown or unused.

    Its ``repr`` leaves the value out, so that none gets into a log by mistake.
    """

    kind: str
    value: str
    country: str = ""

    def __repr__(self) -> str:
        return f"Identifier(kind={self.kind!r}, value=<hidden>, country={self.country!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("kind", self.kind), ("country", self.country)]


def count_changes(before: Iterable[Identifier], after: Iterable[Identifier]) -> tuple[int, int]:
    """Count the identifiers that were added, and those that were removed."""
    had, has = set(before), set(after)
    return len(has - had), len(had - has)


class Kind(msgspec.Struct, frozen=True):
    """One kind of identifier.

    ``name`` has at most 16 bytes, for it personalises the tokens. With ``has_country`` an identifier names its subject
    for certain only together with the country; without, the country must be empty. ``is_canonical`` is the short path:
    True only for a value that ``canonical``, the long path, gives back as it is.
    """

    name: str
    has_country: bool
    is_canonical: Callable[[str], bool]
    canonical: Callable[[str], str]


def _document(name: str) -> Kind:
    return Kind(name, has_country=True, is_canonical=is_document_number, canonical=document_number)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("cn.resident-id", has_country=False, is_canonical=is_resident_id, canonical=resident_id),
            Kind("cn.uscc", has_country=False, is_canonical=is_uscc, canonical=uscc),
            _document("passport"),
            _document("national-id"),
            _document("tax-id"),
            _document("registration-id"),
            Kind("imo", has_country=False, is_canonical=is_imo_number, canonical=imo_number),
            Kind(
                "phone",
                has_country=False,
                is_canonical=phone_numbers.is_phone_number,
                canonical=phone_numbers.phone_number,
            ),
        )
    }
)
"""The kinds, by name."""


def normalise(kind: str, value: str, country: str = "") -> Identifier:
    """Check an identifier and give it in canonical form.

    Loads phonenumbers or python-stdnum on first use, which `prepare` can do beforehand; does nothing else that blocks.

    Raises:
        InvalidIdentifier: the kind is unknown, the value can't be of that kind, or the country is none.
    """
    known = KINDS.get(kind)
    if known is None:
        raise InvalidIdentifier("kind", f"not a known kind; use one of {', '.join(KINDS)}")
    if country:
        if not known.has_country:
            raise InvalidIdentifier("country", "this kind has no country; leave it empty")
        country = canonical_country(country)
    return Identifier(kind, value if known.is_canonical(value) else known.canonical(value), country)


def canonical_country(country: str) -> str:
    """Give a country code in canonical form; "" stays "".

    Raises:
        InvalidIdentifier: no code of ISO 3166-1, nor one from XA to XZ.
    """
    if not country or country in COUNTRY_CODES:
        return country
    code = unicodedata.normalize("NFKC", country[:16]).strip().upper()
    if code not in COUNTRY_CODES:
        raise InvalidIdentifier("country", "not an ISO 3166-1 alpha-2 code; write one such as FR, or leave it empty")
    return code


def prepare() -> None:
    """Load the libraries behind the long paths, some 0.1 s of one core, so that no later check has to wait for them.

    phonenumbers' metadata, of about as much again, is left to `portcullis.domain.phone_numbers.read_plans`.
    """
    import phonenumbers  # noqa: F401, PLC0415 - this is the place to load it
    import stdnum.cn.ric  # noqa: PLC0415 - likewise
    import stdnum.cn.uscc  # noqa: PLC0415 - likewise
    import stdnum.imo  # noqa: F401, PLC0415 - likewise
