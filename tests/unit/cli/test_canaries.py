"""Canaries are numbers that nobody has, spread over their range."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

import pytest
import typer
from stdnum import numdb

from portcullis.cli.canaries import Made, canaries
from portcullis.domain.identifiers import normalise
from tests.support.command_homes import portcullis

YEAR = 2026
DATES = ("2090-01-01", "2090-12-31")


@pytest.mark.parametrize("kind", list(Made))
def test_canaries_are_valid_and_different(kind: Made) -> None:
    entries = list(canaries(kind, 50, *DATES, random.Random(1), YEAR))
    numbers = [each["identifiers"][0] for each in entries]
    assert numbers == [
        {"kind": found.kind, "value": found.value} | ({"country": found.country} if found.country else {})
        for found in (normalise(each["kind"], each["value"], each.get("country", "")) for each in numbers)
    ]
    assert 50 == len({str(each) for each in numbers})
    assert 50 == len({each["key"] for each in entries})


def test_another_draw_gives_others() -> None:
    one, other = (list(canaries(Made.RESIDENT_ID, 20, *DATES, random.Random(seed), YEAR)) for seed in (1, 2))
    assert one != other


def test_there_are_only_so_many_phones_for_fiction() -> None:
    with pytest.raises(typer.BadParameter):
        list(canaries(Made.PHONE, 2_000, *DATES, random.Random(1), YEAR))


def test_resident_ids_are_of_adults_in_regions_that_never_stood_in_the_table() -> None:
    """Some of each even part of the range, so of every province."""
    made = [each["identifiers"][0]["value"] for each in canaries(Made.RESIDENT_ID, 600, *DATES, random.Random(1), YEAR)]
    assert 31 == len({each[:2] for each in made})
    assert all(YEAR - 80 <= int(each[6:10]) <= YEAR - 18 for each in made)
    for each in made:
        assert not any("county" in known for _, known in numdb.get("cn/loc").info(each[:6]))


def test_the_command_writes_an_entry_a_line_as_an_import_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("canary", "make", "--kind", "cn.resident-id", "--count", "3", "--from", DATES[0], "--until", DATES[1])
    assert 0 == portcullis(*words)
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f"canary-cn.resident-id-{number:06}" for number in (1, 2, 3)] == [each["key"] for each in entries]
    youngest = datetime.now(UTC).year - 18
    assert all(int(each["identifiers"][0]["value"][6:10]) <= youngest for each in entries)
    assert {DATES} == {(each["valid_from"], each["until"]) for each in entries}


@pytest.mark.parametrize("words", [("--kind", "cn.resident-id", "--count", "0"), ("--kind", "imo", "--count", "1")])
def test_what_can_not_be_made_is_refused(words: tuple[str, ...]) -> None:
    assert 2 == portcullis("canary", "make", *words, "--from", DATES[0], "--until", DATES[1])


def test_canaries_of_two_kinds_take_each_others_place_nowhere() -> None:
    """They go into one list, and an import amends what has the same key."""
    ids, phones = (list(canaries(kind, 20, *DATES, random.Random(1), YEAR)) for kind in (Made.RESIDENT_ID, Made.PHONE))
    assert not {each["key"] for each in ids} & {each["key"] for each in phones}


@pytest.mark.parametrize(
    ("valid_from", "until", "said"),
    [
        ("tomorrow", "2090-12-31", "--from: must be a date such as"),
        ("2090-01-01", "20901231", "--until: must be a date such as"),
        ("2090-12-31", "2090-12-31", "--until: must be later than --from"),
    ],
)
def test_entries_that_an_import_would_refuse_are_not_written(
    valid_from: str, until: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == portcullis("canary", "make", "--kind", "phone", "--count", "1", "--from", valid_from, "--until", until)
    written = capsys.readouterr()
    assert "" == written.out
    assert said in written.err
