"""Reading the remarks of an SDN record: clauses with ``;`` between them, the numbers among them, and other names.

Rules:

1. A clause is a label (`portcullis.registry.readers.ofac.labels`), a number, the issuing country in brackets, and dates of
   issue and expiry. An expired document still identifies: dates are not looked at.
2. The country is the last bracket that names one; a town or state in brackets names none. A country may also stand behind a
   comma or the number. No country is ever taken from an address or a nationality.
3. What comes behind a comma, " and ", " - " or the dates is a remark on the number, and whole words around it are too.
4. Germany's company registers are kept by courts, those of the United States by the states, those of the Emirates by each:
   a registration number of theirs is local whatever its label.
5. A Chinese citizen's number or credit code is one under any label, if its check digit is right; it is given as both kinds.
6. A Mexican R.F.C. without its last three characters is initials and a date of birth or founding, which others share: it
   is kept without country, so that it can lead to a review at most.
7. Telephone numbers are written with their country code but without "+".

Example: "alt. Passport RL 1234567 (Lebanon) issued 01 Jan 2013; a.k.a. 'DEMO'" holds a passport RL 1234567 of LB, and the
name DEMO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from portcullis.domain.countries import country_code
from portcullis.domain.entries import GivenIdentifier, SubjectType
from portcullis.domain.errors import InvalidIdentifier
from portcullis.domain.identifiers import KINDS, normalise
from portcullis.registry.readers.ofac.labels import Label, label_of, unknown_label

NO_NUMBER = "no number behind the label"
"""Why a clause that has a label alone is left out of matching."""
NO_KIND = "no kind of identifier"
"""Why a clause whose label names something else is left out of matching."""
CUT_OFF = "the remark is cut off here and the comments file does not go on with it"
"""Why the last clause of a remark that fills its column is left out of matching."""

FULL_COLUMN = 1000
"""The length of a remark that goes on in the comments file."""
MAX_CLAUSE = 500
"""How much of a clause is looked at, in characters; no number is behind that."""

_BRACKETS = re.compile(r"\(([^()]*)\)")
_DATES = re.compile(r"(?:^|[\s,]+)(?:issued?|expires?|expired|exp\.|valid|ext\.?)\b.*", re.IGNORECASE | re.DOTALL)
_BRACKETED_WORDS = re.compile(r"\s\([^()]*[A-Za-z]{2}[^()]*\)")
_ASIDE = re.compile(r",\s*(?=[^\d\s])|\s+-\s+|\s+(?:and|at)\s+")
_OUTER_BRACKET = re.compile(r"\(([^()]*\d[^()]*)\)")
_WORD_BEFORE = re.compile(r"(?=.{5})[^\W\d_]+(?:-[^\W\d_]+)*|\S+:|(?:[^\W\d_]\.)+|#")
_WORD_BEHIND = re.compile(r"(?=.{3})[^\W\d_]+(?:['-][^\W\d_]+)*\.?")
_NAME = re.compile(r"(?:alt\. )?(?:a\.k\.a\.|f\.k\.a\.|n\.k\.a\.)[\s,]*(.+)", re.IGNORECASE | re.DOTALL)
_WHOLE_RFC = 12
_LOCAL_REGISTERS = frozenset({"DE", "US", "AE"})
_CHINESE = {"national-id": "cn.resident-id", "registration-id": "cn.uscc", "tax-id": "cn.uscc"}


class Remark(NamedTuple):
    """What a remark holds: identifiers as found, other names, labels ("label", once a clause), and what was left out."""

    identifiers: tuple[GivenIdentifier, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    dropped: tuple[str, ...]


def read_remark(text: str, subject: SubjectType, *, cut_off: bool = False) -> Remark:
    """Read a whole remark. ``cut_off`` says that its last clause is not whole."""
    clauses = [" ".join(clause.split())[:MAX_CLAUSE].removesuffix(".") for clause in text.split(";")]
    last = clauses.pop() if cut_off else ""
    identifiers: list[GivenIdentifier] = []
    names: list[str] = []
    labels: list[str] = []
    dropped: list[str] = []
    for clause in filter(None, clauses):
        name = _NAME.match(clause)
        if name:
            names.append(name[1].strip(" '\""))
            continue
        labelled = label_of(clause)
        if labelled is None:
            unknown = unknown_label(clause)
            dropped += [f"{unknown}: {NO_KIND}"] if unknown else []
            continue
        label, rest = labelled
        labels.append(label.name)
        found = list(_identifiers(label, rest, subject))
        identifiers += found
        if not found:
            dropped.append(f"{label.name}: {NO_KIND if not label.person else NO_NUMBER}")
    cut = label_of(last)
    if cut:
        dropped.append(f"{cut[0].name}: {CUT_OFF}")
    return Remark(tuple(identifiers), tuple(names), tuple(labels), tuple(dropped))


def _identifiers(label: Label, rest: str, subject: SubjectType) -> Iterator[GivenIdentifier]:
    kinds = label.person if subject is SubjectType.PERSON else label.other
    if kinds == ("imo",) and subject is not SubjectType.VESSEL:
        kinds = ("registration-id",)
    if kinds == ("phone",):
        if any(map(str.isdigit, rest)):
            yield GivenIdentifier("phone", _phone(rest), "", label.name)
        return
    number, country = _number(rest)
    if not any(map(str.isdigit, number)):
        return
    country = "" if label.name == "R.F.C." and _is_short_rfc(number) else label.country or country
    for kind in kinds:
        if kind in _CHINESE and country == "CN" and _is(_CHINESE[kind], number):
            yield GivenIdentifier(_CHINESE[kind], number, "", label.name)
        local = label.local or (kind == "registration-id" and country in _LOCAL_REGISTERS)
        told = country if KINDS[kind].has_country and not local else ""
        yield GivenIdentifier(kind, number, told, label.name)


def _number(rest: str) -> tuple[str, str]:
    """Give the number of a clause, and its country's code or ""."""
    country = next(filter(None, (_country(each) for each in reversed(_BRACKETS.findall(rest)))), "")
    outer = _OUTER_BRACKET.match(rest)
    head = outer[1] if outer else _before_brackets(_DATES.sub("", rest))
    head, *asides = _ASIDE.split(head)
    words = head.replace(",", "").split()
    while words and _WORD_BEFORE.fullmatch(words[0]):
        del words[0]
    behind: list[str] = []
    while words and _WORD_BEHIND.fullmatch(words[-1]):
        behind.insert(0, words.pop())
    if not country:
        country = next(filter(None, map(_country, (" ".join(behind), *asides, *_ASIDE.split(rest)[1:2]))), "")
    return " ".join(words), country


def _before_brackets(text: str) -> str:
    """Cut at the first bracket that no digit comes after: brackets can stand in the middle of a number as well."""
    for bracket in _BRACKETED_WORDS.finditer(text):
        if not any(map(str.isdigit, text[bracket.end() :])):
            return text[: bracket.start()]
    return text


def _country(text: str) -> str:
    """Give the code of a country's name; a second sentence tells of an earlier name."""
    return country_code(text.partition(".")[0].strip()) or ""


def _is_short_rfc(number: str) -> bool:
    return sum(map(str.isalnum, number)) < _WHOLE_RFC


def _phone(rest: str) -> str:
    digits = "".join(filter(str.isdigit, _DATES.sub("", rest))).removeprefix("00")
    # A single zero in front is a number within a country that is not told: it stays as it is, and is no phone number.
    return digits if digits.startswith("0") else f"+{digits}"


def _is(kind: str, value: str) -> bool:
    try:
        normalise(kind, value)
    except InvalidIdentifier:
        return False
    return True
