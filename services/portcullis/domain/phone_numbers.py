"""Phone numbers: E.164, a plus sign and the digits of country calling code and national number.

The long path reads what people type, by phonenumbers: a plus sign or 00, then digits between spaces, dots, hyphens, slashes
and round brackets. The number must be *possible*: a calling code that exists and a length that its numbering plan has, area
code included. It need not be assigned, so the ranges reserved for drama pass. Extensions and letters are refused.

phonenumbers rewrites some numbers, such as a trunk zero after the country code (``+44 (0)7700 900123``) or a mobile prefix
of Argentina; it is asked again until the number stands still, so that a canonical number is always its own canonical form.

The short path says yes only where phonenumbers would change nothing: the length is in the plan, and the pattern by which the
plan knows a national prefix matches nothing. Lengths and patterns are phonenumbers' own metadata, read once a calling code;
`read_plans` reads all of it at a time that suits the process.

Example: ``+447700900123`` is canonical by the short path; ``+4407700900123`` matches the national prefix ``0`` and takes the
long one, to the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.folding import fold, without_separators

_WRITTEN = re.compile(r"\+[0-9]{4,62}")
_REWRITES = 4
_Match = Callable[[str, int], "re.Match[str] | None"]


class _Plan(NamedTuple):
    """What the short path must know of a calling code's numbering plan.

    ``lengths`` are those of whole numbers, plus sign and calling code included; the national number begins at ``start``;
    ``prefix`` matches a national prefix there.
    """

    lengths: frozenset[int]
    start: int
    prefix: _Match | None


def is_phone_number(value: str) -> bool:
    """Say whether a value is in E.164 form and phonenumbers would leave it so; the short path."""
    if value[:1] != "+" or not value[1:].isdigit() or not value.isascii():
        return False
    plan = _plan(value[1:4])
    if plan is None or len(value) not in plan.lengths:
        return False
    if plan.prefix is None:
        return True
    found = plan.prefix(value, plan.start)
    # Some patterns may match nothing at all; with no group taking part, nothing is rewritten.
    return found is None or (found.end() == plan.start and found.lastindex is None)


def phone_number(value: str) -> str:
    """Give the E.164 form of a phone number; the long path.

    Raises:
        InvalidIdentifier: it is not in international form, or no such number is possible.
    """
    text = without_separators(fold(value))
    if text.startswith("00"):
        text = "+" + text[2:]
    if not _WRITTEN.fullmatch(text):
        raise InvalidIdentifier("value", "write the phone number with + and its country calling code, then digits only")
    for _ in range(_REWRITES):
        written = _as_library_writes(text)
        if written == text:
            return text
        text = written
    raise InvalidIdentifier("value", "the phone number can be read in more than one way; write it in E.164 form")


def read_plans() -> Iterator[None]:
    """Read every numbering plan, one calling code a step: half a millisecond each, once phonenumbers is loaded.

    A number of a calling code that was not read yet costs its own step, whoever comes with it.
    """
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE  # noqa: PLC0415 - this is the place to load it

    for code in COUNTRY_CODE_TO_REGION_CODE:
        digits = str(code)
        for rest in range(10 ** (3 - len(digits))):
            _plan(digits + f"{rest:03}"[len(digits) :])
        yield


def _as_library_writes(text: str) -> str:
    import phonenumbers  # noqa: PLC0415 - loaded where canonical values do not come

    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise InvalidIdentifier("value", "no such country calling code, or too few or too many digits after it") from None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise InvalidIdentifier("value", "no phone number of that country has this many digits; send all of it")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@cache  # at most 1,110 entries: the keys are one to three ASCII digits
def _plan(head: str) -> _Plan | None:
    """Give the plan of the calling code that a number's first three digits begin with, or None."""
    for size in range(1, len(head) + 1):
        plan = _plan_of_code(head[:size])
        if plan is not None:
            return plan
    return None


@cache  # likewise
def _plan_of_code(code: str) -> _Plan | None:
    import phonenumbers  # noqa: PLC0415 - loaded with the first phone number

    if code[0] == "0" or int(code) not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        return None
    region = phonenumbers.region_code_for_country_code(int(code))
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    if metadata is None or metadata.general_desc is None:
        return None
    start = 1 + len(code)
    pattern = metadata.national_prefix_for_parsing
    return _Plan(
        lengths=frozenset(start + length for length in metadata.general_desc.possible_length),
        start=start,
        prefix=re.compile(pattern).match if pattern else None,
    )
