"""``portcullis canary make``: numbers that nobody has, for a list of canaries."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

import typer

from portcullis.cli.wiring import wiring_of

_YEAR_S = 365.2425 * 86_400
"""The mean year, in seconds; a day more or less at the turn of the year does not matter here."""

app = typer.Typer(help="Numbers that nobody has, to find out who goes through numbers.", rich_markup_mode=None)


class Made(StrEnum):
    """The kinds that canaries can be made of: those with ranges that nobody has."""

    RESIDENT_ID = "cn.resident-id"
    USCC = "cn.uscc"
    PASSPORT = "passport"
    PHONE = "phone"


@app.callback()
def _commands() -> None:
    """Numbers that nobody has."""


@app.command("make")
def make(
    ctx: typer.Context,
    *,
    kind: Annotated[Made, typer.Option("--kind", help="The kind of identifier.")],
    count: Annotated[int, typer.Option("--count", metavar="NUMBER", min=1, max=100_000, help="How many.")],
    valid_from: Annotated[str, typer.Option("--from", metavar="DATE", help="From when the entries are in force.")],
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="When they end.")],
) -> None:
    """Write entries of canaries for `portcullis import`, a JSON document each line.

    They are drawn at random, evenly over ranges that nobody has: region codes that no region was given, numbers kept for
    fiction, countries and registration authorities that were given to nobody. Who keeps to ranges that somebody has does
    not meet them. Entries of one kind have the same keys each time: what is imported later takes the place of the earlier.
    """
    if _day(until, "--until") <= _day(valid_from, "--from"):
        raise typer.BadParameter("must be later than --from", param_hint="--until")
    import msgspec  # noqa: PLC0415 - would slow `--help` down

    year = int(wiring_of(ctx).clock.now() // _YEAR_S) + 1970
    for entry in canaries(kind, count, valid_from, until, random.SystemRandom(), year):
        typer.echo(msgspec.json.encode(entry))


def canaries(  # noqa: PLR0917 - an entry's parts, in their order
    kind: Made, count: int, valid_from: str, until: str, draw: random.Random, year: int
) -> Iterator[dict[str, Any]]:
    """Give the entries: one number of each of ``count`` even parts of the range, at random within it.

    Resident IDs are those of adults in a ``year``.

    Raises:
        typer.BadParameter: there are not so many.
    """
    from portcullis.demo import people  # noqa: PLC0415 - would slow `--help` down
    from portcullis.domain.identifiers import Identifier  # noqa: PLC0415 - likewise
    from portcullis.domain.unissued import UNISSUED, unissued_resident_id  # noqa: PLC0415 - likewise

    def resident_id(number: int) -> Identifier:
        return Identifier("cn.resident-id", unissued_resident_id(number, year))

    makers = {
        Made.RESIDENT_ID: (resident_id, UNISSUED),
        Made.USCC: (people.uscc, people.USCCS),
        Made.PASSPORT: (people.passport, people.DOCUMENTS),
        Made.PHONE: (people.phone, people.PHONES),
    }
    identifier_of, size = makers[kind]
    if count > size:
        raise typer.BadParameter(f"of this kind there are {size}", param_hint="--count")
    for place in range(count):
        first, end = size * place // count, size * (place + 1) // count
        identifier = identifier_of(draw.randrange(first, end))
        written = {"kind": identifier.kind, "value": identifier.value}
        if identifier.country:
            written["country"] = identifier.country
        yield {
            "key": f"canary-{kind}-{place + 1:06}",
            "subject_type": "organisation" if kind is Made.USCC else "person",
            "identifiers": [written],
            "case_reference": f"Canary {place + 1:06}",
            "valid_from": valid_from,
            "until": until,
        }


def _day(written: str, option: str) -> date:
    try:
        day = date.fromisoformat(written)
    except ValueError:
        day = None
    if day is None or day.isoformat() != written:  # 20270501 is a date too, and an import does not take it
        raise typer.BadParameter("must be a date such as 2027-05-01", param_hint=option)
    return day
