"""Write the demonstration lists: `python tools/demo_lists.py`.

Every subject is made up and can be nobody (`portcullis.demo.people`). The same seed gives the same files. Dates count from
the reference day; a stack that loads the lists moves them, so that they are in force on the day of the loading.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from portcullis.demo.lists import DIRECTORY, REFERENCE_DAY
from portcullis.demo.people import document, imo, passport, phone, resident_id, uscc
from portcullis.domain.identifiers import Identifier

_SEED = 20260101
_GIVEN = ("Avel", "Brin", "Corza", "Dovi", "Elsin", "Farro", "Gwelt", "Hesper", "Ilko", "Jorun", "Kettil", "Lumen")
_FAMILY = ("Northgate", "Quillfeather", "Rowbarrow", "Saltmarsh", "Tarnholm", "Underbough", "Vexley", "Wintermere")
_FIRMS = ("Blue Lantern Trading", "Copper Kettle Works", "Drifting Leaf Logistics", "Eleven Rivers Holdings")

Row = dict[str, Any]


class _Subject(NamedTuple):
    """Who a row is about."""

    type: str
    name: str
    identifiers: tuple[Identifier, ...]


class _Term(NamedTuple):
    """When a row binds: days before the reference day that it began, and days that it lasts."""

    began: int
    lasts: int


def _person(number: int, *identifiers: Identifier) -> _Subject:
    name = f"{_GIVEN[number % len(_GIVEN)]} {_FAMILY[number // len(_GIVEN) % len(_FAMILY)]} (made up)"
    return _Subject("person", name, identifiers)


def _organisation(number: int, *identifiers: Identifier) -> _Subject:
    return _Subject("organisation", f"{_FIRMS[number % len(_FIRMS)]} {number} (made up)", identifiers)


def _row(key: str, reference: str, subject: _Subject, term: _Term, **more: object) -> Row:
    begins = REFERENCE_DAY - timedelta(days=term.began)
    return {
        "key": key,
        "subject_type": subject.type,
        "identifiers": [
            {"kind": each.kind, "value": each.value} | ({"country": each.country} if each.country else {})
            for each in subject.identifiers
        ],
        "names": [subject.name],
        "case_reference": reference,
        "valid_from": begins.isoformat(),
        "until": (begins + timedelta(days=term.lasts)).isoformat(),
        **more,
    }


def court_judgment_defaulters(dice: random.Random) -> Iterator[Row]:
    """Two years each; a third of the subjects travel on a passport as well. The first row is what the first steps show."""
    for number in range(40):
        identifiers = [resident_id(number)]
        if number % 3 == 0:
            identifiers.append(passport(number))
        term = _Term(dice.randrange(1, 300), 730)
        yield _row(f"J{number:04}", f"(2090) Demo Enforcement {number + 1:04}", _person(number, *identifiers), term)


def carrier_misconduct(dice: random.Random) -> Iterator[Row]:
    """Three months, six months or two years, by severity."""
    for number in range(30):
        lasts = (90, 180, 730)[number % 3]
        subject = _person(1000 + number, passport(1000 + number))
        yield _row(f"C{number:04}", f"Flight report {number + 1:04}", subject, _Term(dice.randrange(1, 60), lasts))


def ofac_sdn(dice: random.Random) -> Iterator[Row]:
    """People, organisations and ships; a lapse date that a real feed would renew."""
    for number in range(36):
        subject = (_sanctioned_person, _sanctioned_organisation, _sanctioned_ship)[number % 3](2000 + number)
        term = _Term(dice.randrange(1, 90), 180)
        yield _row(f"DEMO-{number:04}", f"Demonstration SDN {number + 1:04}", subject, term, legal_basis="DEMONSTRATION")


def _sanctioned_person(number: int) -> _Subject:
    return _person(number, passport(number), document("national-id", number))


def _sanctioned_organisation(number: int) -> _Subject:
    return _organisation(number, document("tax-id", number), document("registration-id", number))


def _sanctioned_ship(number: int) -> _Subject:
    return _Subject("vessel", f"MV Paper Boat {number} (made up)", (imo(number),))


def self_exclusion(dice: random.Random) -> Iterator[Row]:
    """Half a year, one year or five, as the subject chose."""
    for number in range(30):
        lasts = (183, 365, 1825)[number % 3]
        subject = _person(3000 + number, resident_id(3000 + number), phone(number))
        yield _row(f"S{number:04}", f"Own request {number + 1:04}", subject, _Term(dice.randrange(1, 90), lasts))


def bike_misconduct(dice: random.Random) -> Iterator[Row]:
    """A month to a year; the operators know a phone number."""
    for number in range(30):
        lasts = (30, 90, 365)[number % 3]
        subject = _person(4000 + number, phone(100 + number))
        yield _row(f"B{number:04}", f"Termination {number + 1:04}", subject, _Term(dice.randrange(1, 20), lasts))


def rental_deposits(dice: random.Random) -> Iterator[Row]:
    """Waived deposits, renewed yearly."""
    for number in range(30):
        subject = _person(5000 + number, resident_id(5000 + number), phone(200 + number))
        yield _row(f"G{number:04}", f"Waiver {number + 1:04}", subject, _Term(dice.randrange(1, 180), 365))


def caller_notices(dice: random.Random) -> Iterator[Row]:
    """Numbers of organisations and people whose notice is public."""
    for number in range(30):
        make = _organisation if number % 2 else _person
        subject = make(6000 + number, phone(300 + number))
        yield _row(f"N{number:04}", f"Public notice {number + 1:04}", subject, _Term(dice.randrange(1, 180), 365))


def organisation_defaulters(dice: random.Random) -> Iterator[Row]:
    """Two years each, by unified social credit code."""
    for number in range(30):
        subject = _organisation(7000 + number, uscc(7000 + number))
        yield _row(f"O{number:04}", f"(2090) Demo Firm {number + 1:04}", subject, _Term(dice.randrange(1, 300), 730))


LISTS = (
    court_judgment_defaulters,
    carrier_misconduct,
    ofac_sdn,
    self_exclusion,
    bike_misconduct,
    rental_deposits,
    caller_notices,
    organisation_defaulters,
)


def texts() -> dict[str, str]:
    """Give every file's text by its name."""
    made = {}
    for rows in LISTS:
        name = rows.__name__.replace("_", "-")
        made[f"{name}.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows(random.Random(f"{_SEED}{name}")))  # noqa: S311
    return made


def main(directory: Path = DIRECTORY) -> None:
    """Write the files."""
    for name, text in texts().items():
        (directory / name).write_text(text)
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
