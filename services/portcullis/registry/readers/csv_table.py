"""CSV with a header row.

Columns are named as the fields of a JSON Lines row, in any order: ``key``, ``subject_type``, ``names``, ``legal_basis``,
``case_reference``, ``purpose``, ``valid_from``, ``until``, ``redress``, ``measures``. An identifier's column is ``id.KIND``
or ``id.KIND.CC``, where CC is the issuing country:

    key,subject_type,case_reference,valid_from,until,id.cn.resident-id,id.passport.XA
    17,person,(2090) Demo 17,2090-01-01,2091-01-01,,X1234567|X7654321

Several values stand in one cell with ``|`` between them. UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from portcullis.domain.entries import EntryDraft, GivenIdentifier
from portcullis.domain.errors import InvalidRequest
from portcullis.registry.readers.csv_rows import Cells, read_cells
from portcullis.registry.readers.rows import BadRow, GoodRow, Row
from portcullis.registry.readers.sources import Meter, Source
from portcullis.registry.readers.times import HOW_TO_WRITE, optional_unix_seconds

FIELDS = (
    "key",
    "subject_type",
    "names",
    "legal_basis",
    "case_reference",
    "purpose",
    "valid_from",
    "until",
    "redress",
    "measures",
)
"""The columns that are not identifiers."""

_IDENTIFIER_COLUMN = re.compile(r"id\.(?P<kind>[a-z]+(?:[.-][a-z]+)*)(?:\.(?P<country>[A-Z]{2}))?", re.ASCII)


class _Header:
    """Which column holds what."""

    def __init__(self, file: str, names: list[str]) -> None:
        self.width = len(names)
        self.place: dict[str, int] = {}
        self.identifiers: list[tuple[int, str, str]] = []
        seen: set[str] = set()
        for place, name in enumerate(each.strip() for each in names):
            if name in seen:
                raise InvalidRequest.at("files", f"{file}: column {place + 1} has the name of an earlier column")
            seen.add(name)
            column = _IDENTIFIER_COLUMN.fullmatch(name)
            if name in FIELDS:
                self.place[name] = place
            elif column:
                self.identifiers.append((place, column["kind"], column["country"] or ""))
            else:
                # The name itself is not told: without a header row it is data.
                told = f"{file}: column {place + 1} of the header has no known name"
                raise InvalidRequest.at("files", f"{told}; the columns are {', '.join(FIELDS)}, id.KIND and id.KIND.COUNTRY")

    def text(self, cells: list[str], field: str) -> str:
        place = self.place.get(field)
        return cells[place].strip() if place is not None else ""

    def texts(self, cells: list[str], field: str) -> tuple[str, ...]:
        return _several(self.text(cells, field))


def read_csv(sources: Sequence[Source], meter: Meter) -> Iterator[Row]:
    """Read the rows of every source in turn; each has its own header row.

    Raises:
        InvalidRequest: a header that can't be understood; nothing of that source can be read then.
    """
    for source in sources:
        rows = read_cells(source, meter)
        first = next(rows, None)
        if first is None:
            continue
        if first.fault:
            raise InvalidRequest.at("files", f"{source.name}: the header row {first.fault}")
        header = _Header(source.name, first.cells)
        for cells in rows:
            yield _row(source.name, header, cells)


def _row(file: str, header: _Header, row: Cells) -> Row:
    if row.fault:
        return BadRow(file, row.line, "row", row.fault)
    cells = row.cells
    if len(cells) != header.width:
        return BadRow(file, row.line, "row", f"has {len(cells)} cells where the header has {header.width}")
    key = header.text(cells, "key")
    field = "valid_from"
    try:
        valid_from = optional_unix_seconds(header.text(cells, field))
        field = "until"
        until = optional_unix_seconds(header.text(cells, field))
    except ValueError:
        return BadRow(file, row.line, field, HOW_TO_WRITE, key)
    draft = EntryDraft(
        subject_type=header.text(cells, "subject_type"),
        identifiers=tuple(
            GivenIdentifier(kind, value, country, kind)
            for place, kind, country in header.identifiers
            for value in _several(cells[place])
        ),
        names=header.texts(cells, "names"),
        key=key,
        legal_basis=header.text(cells, "legal_basis"),
        case_reference=header.text(cells, "case_reference"),
        purpose=header.text(cells, "purpose"),
        valid_from=valid_from,
        until=until,
        redress=header.text(cells, "redress"),
        measures=header.texts(cells, "measures"),
    )
    return GoodRow(file, row.line, draft)


def _several(cell: str) -> tuple[str, ...]:
    return tuple(value for value in map(str.strip, cell.split("|")) if value)
