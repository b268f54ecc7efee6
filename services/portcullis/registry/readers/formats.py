"""The formats an import takes, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum

from portcullis.domain.errors import InvalidRequest
from portcullis.domain.policies import RestrictedList
from portcullis.registry.readers.csv_table import read_csv
from portcullis.registry.readers.jsonl import read_jsonl
from portcullis.registry.readers.ofac.sdn import SdnReader
from portcullis.registry.readers.rows import Row
from portcullis.registry.readers.sources import Meter, Source

Reader = Callable[[Sequence[Source], Meter], Iterator[Row]]
"""Reads files into rows, counting the bytes read."""


class ImportFormat(StrEnum):
    """How an authority writes its list."""

    JSONL = "jsonl"
    CSV = "csv"
    OFAC_SDN = "ofac-sdn"


def reader_of(name: str, on: RestrictedList, now: float) -> Reader:
    """Find a format's reader, for an import into a list at a time (Unix seconds).

    Raises:
        InvalidRequest: no such format, or the list can't take it.
    """
    match name:
        case ImportFormat.JSONL:
            return read_jsonl
        case ImportFormat.CSV:
            return read_csv
        case ImportFormat.OFAC_SDN:
            return SdnReader(on, now)
        case _:
            raise InvalidRequest.at("format", f"not a known format; use one of {', '.join(ImportFormat)}")
