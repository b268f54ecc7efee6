"""The sanctions files together. The records are made up, in the Treasury's columns."""

from __future__ import annotations

from calendar import timegm
from typing import Any

import pytest

from portcullis.domain.entries import SubjectType
from portcullis.domain.errors import InvalidRequest
from portcullis.registry.readers.ofac.sdn import LEAST_TERM_S, SdnReader
from portcullis.registry.readers.rows import BadRow, GoodRow
from tests.support.imports import BytesSource, read
from tests.support.policies import a_list

NONE = "-0- "
MAY_20 = timegm((2026, 5, 20, 12, 0, 0))


def record(
    number: object, name: str = "DEMO, Nobody", kind: str = "individual", programme: str = "DEMO1", remarks: str = NONE
) -> str:
    remark = remarks if remarks == NONE else f'"{remarks}"'
    return f'{number},"{name}","{kind}","{programme}",' + ",".join([NONE] * 7) + f",{remark}\r\n"


def sdn(*records: str) -> BytesSource:
    return BytesSource("".join(records) + "\x1a", "sdn.csv")


def good(*sources: BytesSource, **changes: Any) -> list[GoodRow]:
    rows = read(SdnReader(a_list(**changes), MAY_20), *sources)
    assert all(isinstance(row, GoodRow) for row in rows), rows
    return [row for row in rows if isinstance(row, GoodRow)]


ADDRESSES = BytesSource('36,25,"1 Demo Street","Demo","Cuba",-0- \r\n', "add.csv")
ALIASES = BytesSource('36,12,"aka","DEMO ALIAS",-0- \r\n37,13,"fka","OLD DEMO",-0', "alt.csv")


def test_a_record_becomes_an_entry_whether_or_not_a_number_can_match() -> None:
    (row,) = good(sdn(record(36, kind="-0-", programme="NPWMD] [IFSR")))
    assert ("36", "OFAC SDN 36", SubjectType.ORGANISATION, (), True) == (
        row.draft.key,
        row.draft.case_reference,
        row.draft.subject_type,
        row.draft.identifiers,
        row.draft.as_found,
    )
    assert "Demonstration Act, section 1 (NPWMD; IFSR)" == row.draft.legal_basis


def test_a_record_without_programmes_takes_the_lists_legal_basis() -> None:
    assert "" == good(sdn(record(36, programme=NONE)))[0].draft.legal_basis


@pytest.mark.parametrize(
    ("kind", "subject"), [("individual", "person"), ("vessel", "vessel"), ("aircraft", "aircraft"), ("-0- ", "organisation")]
)
def test_the_type_says_what_the_subject_is(kind: str, subject: str) -> None:
    assert subject == good(sdn(record(36, kind=kind)))[0].draft.subject_type


def test_files_are_told_apart_by_their_columns_in_any_order() -> None:
    files = [ADDRESSES, ALIASES, sdn(record(36)), BytesSource('37,"text"', "comments.csv")]
    assert [good(*files)[0].draft] == [row.draft for row in good(*reversed(files))]


def test_aliases_are_names_and_never_identifiers() -> None:
    (row,) = good(sdn(record(36, remarks="a.k.a. 'DEMO 9'.")), ALIASES)
    assert ("DEMO, Nobody", "DEMO ALIAS", "DEMO 9") == row.draft.names
    assert () == row.draft.identifiers


def test_an_address_gives_nothing() -> None:
    records = sdn(record(36, remarks="Passport DEMO01."))
    with_address, without = good(ADDRESSES, records), good(records)
    assert with_address[0].draft == without[0].draft
    assert "" == with_address[0].draft.identifiers[0].country


def test_a_remark_goes_on_in_the_comments_file_in_the_middle_of_a_word() -> None:
    filled = "Linked To: DEMO; " * 70
    start = (filled + "Passport DEM")[-1000:]
    rows = good(
        sdn(record(36, remarks=start)), BytesSource('36,"O0001 (Iran); Passport DEMO0002."\n\x1a', "sdn_comments.csv")
    )
    assert ["DEMO0001", "DEMO0002"] == [each.value for each in rows[0].draft.identifiers]


def test_without_the_comments_file_a_full_remarks_last_clause_is_left_out() -> None:
    start = ("Linked To: DEMO; " * 70 + "Passport DEM0")[-1000:]
    (row,) = good(sdn(record(36, remarks=start)))
    assert () == row.draft.identifiers
    assert "cut off" in row.dropped[0]


def test_entries_bind_from_the_day_before_the_month_until_the_feed_is_a_term_old() -> None:
    draft = good(sdn(record(36)), max_term_s=365 * 86_400)[0].draft
    assert (timegm((2026, 4, 30, 0, 0, 0)), timegm((2027, 4, 30, 0, 0, 0))) == (draft.valid_from, draft.until)


def test_a_month_is_one_renewal_and_the_next_month_another() -> None:
    def drafts(now: float) -> list[object]:
        return [row.draft for row in read(SdnReader(a_list(), now), sdn(record(36))) if isinstance(row, GoodRow)]

    first, last, june = timegm((2026, 5, 1, 0, 0, 0)), timegm((2026, 5, 31, 23, 59, 59)), timegm((2026, 6, 1, 0, 0, 0))
    assert drafts(first) == drafts(last)
    assert drafts(last) != drafts(june)


def test_a_list_that_lapses_within_a_month_cant_be_renewed_by_it() -> None:
    with pytest.raises(InvalidRequest, match="62 days"):
        SdnReader(a_list(max_term_s=LEAST_TERM_S - 1), MAY_20)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([ADDRESSES, ALIASES], "SDN.CSV is missing"),
        ([sdn(record(36)), sdn(record(37))], "is here twice"),
        ([sdn(record(36)), BytesSource("1,2,3\n", "other.csv")], "other.csv: its first row has 3 columns"),
        ([BytesSource("", "empty.csv")], "empty.csv: its first row has 0 columns"),
    ],
)
def test_files_that_are_no_edition_are_refused(files: list[BytesSource], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        read(SdnReader(a_list(), MAY_20), *files)


@pytest.mark.parametrize(
    ("row", "field", "key"),
    [
        ('37,"DEMO"\r\n', "row", "37"),
        (record("x37"), "ent_num", ""),
        (record(37, kind="ghost"), "SDN_Type", "37"),
    ],
)
def test_a_bad_record_is_told_with_its_number_and_the_others_are_read(row: str, field: str, key: str) -> None:
    rows = read(SdnReader(a_list(), MAY_20), sdn(record(36), row, record(38)))
    told = rows[1]
    assert isinstance(told, BadRow)
    assert (field, key, 2) == (told.field, told.key, told.line)
    assert [True, False, True] == [isinstance(each, GoodRow) for each in rows]


def test_a_companion_row_that_is_cut_is_reported() -> None:
    rows = read(SdnReader(a_list(), MAY_20), sdn(record(36)), BytesSource('36,1,"aka","X",-0- \n36,2,"ak', "alt.csv"))
    assert ["alt.csv", "sdn.csv"] == [row.file for row in rows]


def test_quoted_line_breaks_doubled_quotes_and_latin_letters_are_read() -> None:
    text = record(36, name='DEMO ""X""\nNOBODY').encode() + record(37, name="DEMÓ").encode("latin-1")
    rows = good(BytesSource(text, "sdn.csv"))
    assert ['DEMO "X" NOBODY', "DEMÓ"] == [row.draft.names[0] for row in rows]
