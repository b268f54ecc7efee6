"""JSON Lines: one object a line.

    {"key": "17", "subject_type": "person", "identifiers": [{"kind": "passport", "value": "X1234567", "country": "XA"}],
     "names": ["..."], "case_reference": "(2090) Demo 17", "valid_from": "2090-01-01", "until": "2091-01-01"}

(on one line). ``subject_type``, ``identifiers``, ``case_reference``, ``valid_from`` and ``until`` are required; ``key``,
``names``, ``legal_basis``, ``purpose``, ``redress`` and ``measures`` may be left out. A field of another name is refused:
it may be a slip that changes what an entry means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from portcullis.domain.entries import EntryDraft, GivenIdentifier
from portcullis.registry.readers.rows import BadRow, GoodRow, Row
from portcullis.registry.readers.sources import MAX_LINE_BYTES, Meter, Source, lines
from portcullis.registry.readers.times import HOW_TO_WRITE, optional_unix_seconds


class _Number(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    value: str
    country: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    key: str = ""
    subject_type: str = ""
    identifiers: list[_Number] = []
    names: tuple[str, ...] = ()
    legal_basis: str = ""
    case_reference: str = ""
    purpose: str = ""
    valid_from: str = ""
    until: str = ""
    redress: str = ""
    measures: tuple[str, ...] = ()


class _KeyAlone(msgspec.Struct):
    key: str = ""


_DECODER = msgspec.json.Decoder(_Line)
_KEY_DECODER = msgspec.json.Decoder(_KeyAlone)
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<field>[^`]*)`)?$", re.DOTALL)


def read_jsonl(sources: Sequence[Source], meter: Meter) -> Iterator[Row]:
    """Read the rows of every source in turn."""
    for source in sources:
        for number, line in lines(source, meter):
            if line is None:
                yield BadRow(source.name, number, "row", f"the line is longer than {MAX_LINE_BYTES} bytes")
            elif line and not line.isspace():
                yield _row(source.name, number, line)


def _row(file: str, number: int, line: bytes) -> Row:
    try:
        read = _DECODER.decode(line)
    except msgspec.ValidationError as fault:
        return BadRow(file, number, *_told(fault), key=_key(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return BadRow(file, number, "row", "not one whole JSON object in UTF-8")
    field = "valid_from"
    try:
        valid_from = optional_unix_seconds(read.valid_from)
        field = "until"
        until = optional_unix_seconds(read.until)
    except ValueError:
        return BadRow(file, number, field, HOW_TO_WRITE, read.key)
    draft = EntryDraft(
        subject_type=read.subject_type,
        identifiers=tuple([GivenIdentifier(each.kind, each.value, each.country, each.kind) for each in read.identifiers]),
        names=read.names,
        key=read.key,
        legal_basis=read.legal_basis,
        case_reference=read.case_reference,
        purpose=read.purpose,
        valid_from=valid_from,
        until=until,
        redress=read.redress,
        measures=read.measures,
    )
    return GoodRow(file, number, draft)


def _told(fault: msgspec.ValidationError) -> tuple[str, str]:
    """Give field and reason. What the reader says names types and our own fields, save for a field we do not know."""
    match = _PLACE.match(str(fault))
    what, field = (match["what"], match["field"] or "row") if match else ("", "row")
    if what.startswith("Object contains unknown field"):
        known = _Number if field.startswith("identifiers") else _Line
        return field, f"holds a field that is not known; the fields are {', '.join(known.__struct_fields__)}"
    if what.startswith(("Expected `", "Object missing required field `")):
        return field, what.replace("`", "").replace("Object missing", "missing").replace("Expected", "expected")
    return field, "not of the right type"


def _key(line: bytes) -> str:
    try:
        return _KEY_DECODER.decode(line).key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
