"""Reading JSON Lines and CSV: what a good row becomes, and how a bad one is told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.errors import InvalidRequest, SetupFault
from portcullis.registry.readers.csv_table import read_csv
from portcullis.registry.readers.formats import ImportFormat, reader_of
from portcullis.registry.readers.jsonl import read_jsonl
from portcullis.registry.readers.rows import BadRow, GoodRow
from portcullis.registry.readers.sources import MAX_LINE_BYTES, FileSource, Meter
from portcullis.registry.readers.times import unix_seconds
from tests.support.imports import BytesSource, line, read
from tests.support.people import passport, phone
from tests.support.policies import NOW, a_list

SECRET = passport(7).value


def good(row: object) -> GoodRow:
    assert isinstance(row, GoodRow), row
    return row


def bad(row: object) -> BadRow:
    assert isinstance(row, BadRow), row
    return row


# --- times ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-05-01", 1_777_593_600),
        ("2026-05-01T00:00:00Z", 1_777_593_600),
        ("2026-05-01T08:00:00+08:00", 1_777_593_600),
        ("2026-05-01t00:00:00.999z", 1_777_593_600),
        ("2026-05-01 00:00:01Z", 1_777_593_601),
    ],
)
def test_a_time_is_a_date_or_rfc_3339(text: str, seconds: int) -> None:
    assert seconds == unix_seconds(text)


@pytest.mark.parametrize(
    "text", ["2026-05-01T00:00:00", "2026-13-01", "01.05.2026", "20260501", "1777593600", "2026-05-01T25:00:00Z"]
)
def test_any_other_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unix_seconds(text)


# --- JSON Lines -----------------------------------------------------------------------------------------------------------


def test_a_json_line_gives_every_field() -> None:
    text = line(1, passport(7), names=["A. Nobody"], measures=["loans"], redress="tel:1", legal_basis="Act", purpose="p")
    row = good(read(read_jsonl, BytesSource(text))[0])
    assert (GivenIdentifier("passport", SECRET, passport(7).country, "passport"),) == row.draft.identifiers
    assert ("k1", "person", "(2090) Demo 1", ("A. Nobody",), ("loans",), "tel:1", "Act", "p", 1_777_593_600) == (
        row.draft.key,
        row.draft.subject_type,
        row.draft.case_reference,
        row.draft.names,
        row.draft.measures,
        row.draft.redress,
        row.draft.legal_basis,
        row.draft.purpose,
        row.draft.valid_from,
    )


def test_rows_are_named_by_file_and_line_and_empty_lines_are_none() -> None:
    rows = read(read_jsonl, BytesSource("\n" + line(1, passport(1)), "a"), BytesSource(line(2, passport(2)) + " \n", "b"))
    assert [("a", 2), ("b", 1)] == [(row.file, row.line) for row in rows]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter() -> None:
    text = "\ufeff" + (line(1, passport(1)) + line(2, passport(2))).replace("\n", "\r\n")
    assert 2 == len([good(row) for row in read(read_jsonl, BytesSource(text))])


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        (line(1, passport(7), until="soon"), "until", "must be a date"),
        (line(1, passport(7), valid_from="2026"), "valid_from", "must be a date"),
        (line(1, passport(7), until=5), "until", "expected str, got int"),
        (line(1, passport(7), redress=None, **{SECRET: 1}), "row", "holds a field that is not known"),
        (
            line(1, passport(7), identifiers=[{"kind": "passport", "value": 7}]),
            "identifiers[0].value",
            "expected str, got int",
        ),
        (line(1, passport(7), identifiers=[{"kind": "passport"}]), "identifiers[0]", "missing required field value"),
        (
            line(1, passport(7), identifiers=[{"value": "1", SECRET: ""}]),
            "identifiers[0]",
            "holds a field that is not known",
        ),
        (line(1, passport(7))[:-9], "row", "not one whole JSON object"),
        (f'["{SECRET}"]\n', "row", "expected object, got array"),
        (line(1, passport(7)).strip() + line(1, passport(7)), "row", "not one whole JSON object"),
    ],
)
def test_a_bad_json_line_is_told_by_field_and_never_by_value(text: str, field: str, reason: str) -> None:
    row = read(read_jsonl, BytesSource(text))[0]
    assert field == bad(row).field
    assert reason in bad(row).reason
    assert SECRET not in bad(row).reason + bad(row).field


def test_a_bad_json_line_still_says_whose_it_was_where_it_can() -> None:
    rows = read(read_jsonl, BytesSource(line(1, passport(1), until=5) + line(2, passport(2), until="soon") + "{\n"))
    assert ["k1", "k2", ""] == [bad(row).key for row in rows]


def test_bytes_that_are_no_utf_8_are_one_bad_row() -> None:
    rows = read(read_jsonl, BytesSource(b'{"key": "\xff"}\n' + line(2, passport(2)).encode()))
    assert ["row", "k2"] == [bad(rows[0]).field, good(rows[1]).draft.key]


def test_a_line_without_end_is_skipped_in_bounded_memory() -> None:
    rows = read(read_jsonl, BytesSource(b"x" * (3 * MAX_LINE_BYTES) + b"\n" + line(2, passport(2)).encode()))
    assert "longer than" in bad(rows[0]).reason
    assert ("k2", 2) == (good(rows[1]).draft.key, rows[1].line)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_json_reader(data: bytes) -> None:
    assert all(isinstance(row, GoodRow | BadRow) for row in read(read_jsonl, BytesSource(data)))


# --- CSV ------------------------------------------------------------------------------------------------------------------

HEADER = "key,subject_type,case_reference,valid_from,until,names,id.phone,id.passport.XA,id.passport\n"


def test_a_csv_row_gives_every_field() -> None:
    text = HEADER + f"17,person,Demo 17,2026-05-01,2027-05-01,A. Nobody|B. Nobody,{phone(1).value},X1|X2,\n"
    row = good(read(read_csv, BytesSource(text))[0])
    assert [("phone", ""), ("passport", "XA"), ("passport", "XA")] == [
        (each.kind, each.country) for each in row.draft.identifiers
    ]
    assert ("17", ("A. Nobody", "B. Nobody"), 1_777_593_600) == (row.draft.key, row.draft.names, row.draft.valid_from)


def test_dotted_kinds_and_countries_are_told_apart_in_a_header() -> None:
    text = "key,id.cn.resident-id,id.national-id.XB\n1,a,b\n"
    row = good(read(read_csv, BytesSource(text))[0])
    assert [("cn.resident-id", ""), ("national-id", "XB")] == [(each.kind, each.country) for each in row.draft.identifiers]


def test_csv_takes_a_byte_order_mark_quotes_and_rows_over_several_lines() -> None:
    text = '\ufeffkey,names,purpose\n1,"NOBODY, A.","two\nlines"\n2,x,y\n'
    rows = read(read_csv, BytesSource(text))
    assert [("NOBODY, A.",), ("x",)] == [good(row).draft.names for row in rows]
    assert [2, 4] == [row.line for row in rows]


def test_each_csv_file_has_its_own_header() -> None:
    rows = read(
        read_csv, BytesSource("key,until\n1,2027-05-01\n"), BytesSource("until,key\n2027-05-01,2\n"), BytesSource("")
    )
    assert ["1", "2"] == [good(row).draft.key for row in rows]


@pytest.mark.parametrize("header", [f"key,{SECRET}", "key,key", "key,id.passport.USA", 'key,"open', "key,id."])
def test_a_header_that_cant_be_understood_stops_the_import_without_telling_data(header: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(read_csv, BytesSource(header + "\n1,2\n"))
    assert "files" == caught.value.violations[0].field
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "field", "reason", "key"),
    [
        (f"1,{SECRET}", "row", "has 2 cells where the header has 3", ""),
        ("1,soon,x", "until", "must be a date", "1"),
        (f'1,2027-05-01,"{SECRET}', "row", "a quote does not end", ""),
        (f'1,2027-05-01,"{SECRET}"x', "row", "write it twice", ""),
        ("1,2027-05-01," + "x" * 200_000, "row", "too long", ""),
    ],
)
def test_a_bad_csv_row_is_told_by_field_and_never_by_value(row: str, field: str, reason: str, key: str) -> None:
    told = bad(read(read_csv, BytesSource("key,until,names\n" + row + "\n"))[0])
    assert (field, key, 2) == (told.field, told.key, told.line)
    assert reason in told.reason
    assert SECRET not in told.reason


def test_a_bad_csv_row_does_not_take_the_next_with_it() -> None:
    data = b'key,until\n1,"a"b\n2,\xff\n3,2027-05-01\n'
    rows = read(read_csv, BytesSource(data))
    assert ["row", "row"] == [bad(row).field for row in rows[:2]]
    assert "3" == good(rows[2]).draft.key


@given(st.binary(max_size=200))
def test_no_bytes_break_the_csv_reader(data: bytes) -> None:
    rows = read(read_csv, BytesSource(b"key,until,names\n" + data))
    assert all(isinstance(row, GoodRow | BadRow) for row in rows)


texts = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="|"), min_size=1, max_size=12)


@given(key=texts, names=st.lists(texts, min_size=1, max_size=3), number=texts)
def test_the_same_row_reads_the_same_from_both_formats(key: str, names: list[str], number: str) -> None:
    fields = {"key": key, "subject_type": "person", "names": names, "until": "2027-05-01"}
    text = json.dumps(fields | {"identifiers": [{"kind": "passport", "value": number, "country": "XA"}]})
    table = io.StringIO()
    csv.writer(table).writerows([[*fields, "id.passport.XA"], [key, "person", "|".join(names), "2027-05-01", number]])
    from_json, from_csv = read(read_jsonl, BytesSource(text)), read(read_csv, BytesSource(table.getvalue()))
    assert good(from_json[0]).draft == good(from_csv[0]).draft


# --- files ----------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_says_so_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match=r"can't read .*missing.*; name a file"):
        FileSource(tmp_path / "missing.jsonl")


def test_every_byte_of_a_file_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(line(1, passport(1)) * 10)
    source, meter = FileSource(path), Meter()
    assert 10 == len(list(read_jsonl([source], meter)))
    assert (path.stat().st_size, path.stat().st_size) == (source.size, meter.read)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="jsonl, csv, ofac-sdn"):
        reader_of("xlsx", a_list(), NOW)


@pytest.mark.parametrize("name", list(ImportFormat))
def test_every_format_has_a_reader(name: str) -> None:
    assert callable(reader_of(name, a_list(), NOW))
