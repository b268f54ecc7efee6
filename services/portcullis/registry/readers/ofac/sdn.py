"""The `ofac-sdn` format: records of SDN.CSV with their remarks, comments and other names.

Rules:

1. Every record becomes an entry, whether or not a number of it can match: key is its number, case reference
   "OFAC SDN <number>", legal basis the list's own with the record's sanctions programmes.
2. The files have no dates. The feed itself renews an entry: it binds from the day before the first of the month in which it
   is imported, and lapses after the list's greatest term. The same files again in the same month change nothing; the first
   import of a month renews every entry; when the feed dies, the list lapses by itself. (The day before, so that a gateway
   whose clock is behind does not see an entry that is yet to begin.)
3. A number that can't be used is left out of matching and counted; the entry stands.

Example: with a greatest term of 365 days, an import on 2026-05-20 gives entries from 2026-04-30 until 2027-04-30.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from portcullis.domain.entries import EntryDraft, SubjectType
from portcullis.domain.errors import InvalidRequest
from portcullis.domain.policies import RestrictedList
from portcullis.registry.readers.csv_rows import Cells, read_cells, utf8_or_latin
from portcullis.registry.readers.ofac import files
from portcullis.registry.readers.ofac.remarks import FULL_COLUMN, read_remark
from portcullis.registry.readers.rows import BadRow, GoodRow, Row
from portcullis.registry.readers.sources import Meter, Source

LEAST_TERM_S = 62 * 86_400
"""The shortest greatest term that a list renewed once a month may have: the longest month, and as long again to notice."""

_NUMBER, _NAME, _TYPE, _PROGRAMMES, _REMARKS = 0, 1, 2, 3, 11
_ALIAS_NAME, _COMMENT = 3, 1
_TYPES = {
    "": SubjectType.ORGANISATION,
    "individual": SubjectType.PERSON,
    "vessel": SubjectType.VESSEL,
    "aircraft": SubjectType.AIRCRAFT,
}


class SdnReader:
    """Reads one edition of the list for one of our lists, as of a time (Unix seconds)."""

    def __init__(self, on: RestrictedList, now: float) -> None:
        if on.max_term_s < LEAST_TERM_S:
            days = LEAST_TERM_S // 86_400
            told = f"its greatest term is too short for a feed that renews entries once a month; give it {days} days"
            raise InvalidRequest.at("list", told)
        self._legal_basis = on.legal_basis
        self._valid_from = renewed_from(now)
        self._until = self._valid_from + on.max_term_s

    def __call__(self, sources: Sequence[Source], meter: Meter) -> Iterator[Row]:
        """Read the rows of an edition's files.

        Raises:
            InvalidRequest: the files are not those of an edition.
        """
        edition = files.recognise(sources)
        bad: list[BadRow] = []
        aliases = files.gather(files.read_companion(edition.aliases, files.ALIAS_COLUMNS, meter), _ALIAS_NAME, bad)
        comments = files.gather(files.read_companion(edition.comments, files.COMMENT_COLUMNS, meter), _COMMENT, bad)
        bad += (
            row for row in files.read_companion(edition.addresses, files.ADDRESS_COLUMNS, meter) if isinstance(row, BadRow)
        )
        yield from bad
        for row in read_cells(edition.records, meter, decode=utf8_or_latin):
            yield self._row(edition.records.name, row, aliases, comments)

    def _row(self, file: str, row: Cells, aliases: dict[str, list[str]], comments: dict[str, list[str]]) -> Row:
        if len(row.cells) != files.SDN_COLUMNS:
            return files.bad_columns(file, row, files.SDN_COLUMNS)
        number = row.cells[_NUMBER].strip()
        if not (number.isascii() and number.isdigit()):
            return BadRow(file, row.line, "ent_num", "not a number")
        subject = _TYPES.get(files.value(row.cells[_TYPE]).casefold())
        if subject is None:
            return BadRow(file, row.line, "SDN_Type", "not one of individual, vessel, aircraft and -0-", number)
        remark = read_remark(
            files.value(row.cells[_REMARKS]) + "".join(comments.get(number, ())),
            subject,
            cut_off=number not in comments and len(row.cells[_REMARKS]) >= FULL_COLUMN,
        )
        names = (files.value(row.cells[_NAME]), *(files.value(name) for name in aliases.get(number, ())), *remark.names)
        draft = EntryDraft(
            key=number,
            subject_type=subject,
            identifiers=remark.identifiers,
            names=tuple(" ".join(name.split()) for name in names if name),
            legal_basis=self._basis(row.cells[_PROGRAMMES]),
            case_reference=f"OFAC SDN {number}",
            valid_from=self._valid_from,
            until=self._until,
            as_found=True,
        )
        return GoodRow(file, row.line, draft, remark.labels, remark.dropped)

    def _basis(self, cell: str) -> str:
        programmes = "; ".join(each.strip() for each in re.split(r"\]\s*\[", files.value(cell).strip("[]")) if each.strip())
        return f"{self._legal_basis} ({programmes})" if programmes else ""


def renewed_from(now: float) -> int:
    """Give the beginning of entries imported now: the day before the first of the month, at 00:00 UTC, in Unix seconds."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int((first - timedelta(days=1)).timestamp())
