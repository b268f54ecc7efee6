"""Which of the Treasury's files a file is, by the number of its columns, whatever it is called and in whatever order.

==========  =======  ==============================================================================
file        columns  what of it is used
==========  =======  ==============================================================================
SDN.CSV          12  every record
ALT.CSV           5  other names, kept sealed beside the record's own and out of matching
comments          2  the rest of remarks that fill their column; the text goes on where the column ends
ADD.CSV           6  nothing: an address identifies nobody, and no issuing country is guessed from one
==========  =======  ==============================================================================

"-0-" means none. The two companion files are held in memory while the records stream by; they are a few megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from portcullis.domain.errors import InvalidRequest
from portcullis.registry.readers.csv_rows import Cells, read_cells, utf8_or_latin
from portcullis.registry.readers.rows import BadRow
from portcullis.registry.readers.sources import Meter, Source

SDN_COLUMNS = 12
ADDRESS_COLUMNS = 6
ALIAS_COLUMNS = 5
COMMENT_COLUMNS = 2

_WHAT = {
    SDN_COLUMNS: "SDN.CSV",
    ADDRESS_COLUMNS: "ADD.CSV",
    ALIAS_COLUMNS: "ALT.CSV",
    COMMENT_COLUMNS: "the comments file",
}


class Edition(NamedTuple):
    """The files of one edition of the list; only the records' file must be there."""

    records: Source
    addresses: Source | None
    aliases: Source | None
    comments: Source | None


def recognise(sources: Sequence[Source]) -> Edition:
    """Tell the files apart.

    Raises:
        InvalidRequest: one is none of the Treasury's, two are the same one, or SDN.CSV is missing.
    """
    found: dict[int, Source] = {}
    for source in sources:
        columns = _columns(source)
        if columns not in _WHAT:
            told = f"{source.name}: its first row has {columns} columns"
            raise InvalidRequest.at("files", f"{told}; SDN.CSV has 12, ADD.CSV 6, ALT.CSV 5, the comments file 2")
        if columns in found:
            raise InvalidRequest.at("files", f"{source.name}: {_WHAT[columns]} is here twice; name each file once")
        found[columns] = source
    if SDN_COLUMNS not in found:
        raise InvalidRequest.at("files", "SDN.CSV is missing, the file of 12 columns that holds the records")
    return Edition(*(found.get(columns) for columns in _WHAT))  # type: ignore[arg-type] # the first one is there


def read_companion(source: Source | None, columns: int, meter: Meter) -> Iterator[Cells | BadRow]:
    """Give the rows of a companion file; those of another number of columns as bad."""
    if source is None:
        return
    for row in read_cells(source, meter, decode=utf8_or_latin):
        if len(row.cells) == columns:
            yield row
        else:
            yield bad_columns(source.name, row, columns)


def bad_columns(file: str, row: Cells, columns: int) -> BadRow:
    """Report a row that has not the columns of its file; its key is known if it begins with a record's number."""
    first = row.cells[0].strip() if row.cells else ""
    key = first if first.isascii() and first.isdigit() else ""
    return BadRow(file, row.line, "row", row.fault or f"has {len(row.cells)} columns where the file has {columns}", key)


def value(cell: str) -> str:
    """Give a cell's text, "" for "-0-"; the last cell of a cut file may have lost its end."""
    text = cell.strip()
    return "" if text in {"-0-", "-0"} else text


def gather(rows: Iterable[Cells | BadRow], place: int, bad: list[BadRow]) -> dict[str, list[str]]:
    """Collect one column of a companion file by record number; bad rows go into ``bad``."""
    gathered: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row, BadRow):
            bad.append(row)
        elif text := row.cells[place]:
            gathered.setdefault(row.cells[0].strip(), []).append(text)
    return gathered


def _columns(source: Source) -> int:
    first = next(read_cells(source, Meter(), decode=utf8_or_latin), None)
    return len(first.cells) if first else 0
