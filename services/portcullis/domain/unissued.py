"""Resident IDs that nobody has and that somebody who goes through real people's numbers can meet.

The code of a region has its province in the first two digits and its prefecture in the next two. For those GB/T 2260, the
table of regions, has 01 to 20 and 51 to 70 for cities, 21 to 50 for prefectures, leagues and autonomous prefectures, and 90
for what a province administers itself (its rules of composition; `stdnum` carries the regions that ever stood in it). So 71
to 89 were given to no region and no number was issued there, while GB 11643 lets the rest be that of anybody alive: a birth
date, a sequence number and the check character.

Who runs over region codes without the table, or draws numbers that are right in form, meets them. Who has the table and
keeps to it does not: within a region that exists no range is known in which nobody was given a number.

Example: ``unissued_resident_id(0, 2026)`` is of region 117101, born 1946-01-01, with the sequence number 001.
"""

from __future__ import annotations

from datetime import date, timedelta

from portcullis.domain.chinese_codes import resident_id_check

_PROVINCES = (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66))
_PREFECTURES = range(71, 90)
_COUNTIES = (1, 2)
_AGES = (18, 80)
_DAYS = (_AGES[1] - _AGES[0]) * 365
_SEQUENCES = 10

UNISSUED = len(_PROVINCES) * len(_PREFECTURES) * len(_COUNTIES) * _DAYS * _SEQUENCES
"""How many there are: 267 million, of the first counties and sequence numbers, where whoever counts up begins."""


def unissued_resident_id(number: int, year: int) -> str:
    """Give a number that nobody has, of an adult of 18 to 80 years.

    Args:
        number: of 0 to `UNISSUED` - 1; neighbours are of one region.
        year: the year it is now.
    """
    rest, sequence = divmod(number, _SEQUENCES)
    rest, day = divmod(rest, _DAYS)
    rest, county = divmod(rest, len(_COUNTIES))
    province, prefecture = divmod(rest, len(_PREFECTURES))
    birth = date(year - _AGES[1], 1, 1) + timedelta(days=day)
    region = f"{_PROVINCES[province]}{_PREFECTURES[prefecture]}{_COUNTIES[county]:02}"
    body = f"{region}{birth:%Y%m%d}{sequence + 1:03}"
    return body + resident_id_check(body)
