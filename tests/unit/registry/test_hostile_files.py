"""Files and tokens that somebody else has made: whatever stands in them, a reader gives rows and problems, and no value."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import InvalidRequest, PolicyProblem
from portcullis.registry.entries import _read_token
from portcullis.registry.page_tokens import make_page_token, read_page_token
from portcullis.registry.policy_files import read_policy
from portcullis.registry.readers.formats import ImportFormat, reader_of
from portcullis.registry.readers.rows import BadRow
from portcullis.registry.readers.sources import Meter
from tests.support.imports import BytesSource
from tests.support.people import passport
from tests.support.policies import NOW, a_list

SECRET = passport(7).value
ROW = (
    b'{"key": "17", "subject_type": "person", "identifiers": [{"kind": "passport", "value": "%s", "country": "XA"}], '
    b'"case_reference": "c", "valid_from": "2090-01-01", "until": "2091-01-01"}\n' % SECRET.encode()
)
TABLE = b"key,subject_type,case_reference,valid_from,until,id.passport.XA\n17,person,c,2090-01-01,2091-01-01,%s\n" % (
    SECRET.encode()
)
POLICY = b'[[action]]\nname = "loan.apply"\ntitle = "A loan"\n[[action.attribute]]\nname = "amount"\ntype = "double"\n'
DEEP = 100_000

pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"\0", b'"', b"|", b",", b"\n", b"\r", b"\x1a", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{", b"[", b"9" * 5000]
    ),
    st.sampled_from([b"1e999", b"-0", b"\\ud800", b"\\u0000", "\u202e".encode(), b"[" * 3000, b'{"a":' * 3000]),
)


@st.composite
def spoilt(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with pieces put in, cut out and put twice."""
    data = whole
    for _ in range(draw(st.integers(1, 6))):
        at, end = sorted(draw(st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))))
        match draw(st.integers(0, 3)):
            case 0:
                data = data[:at] + draw(pieces) + data[at:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:end] + data[at:end] + data[end:]
            case _:
                data = data[:at] + draw(pieces) + data[end:]
    return data


def rows(name: ImportFormat, data: bytes) -> None:
    """Read a file; what is said of bad rows holds nothing of the number in it."""
    try:
        found = reader_of(name, a_list("court"), NOW)([BytesSource(data)], Meter())
        said = [f"{row.field} {row.reason}" for row in found if isinstance(row, BadRow)]
    except InvalidRequest as fault:
        said = [str(fault)]
    assert [] == [each for each in said if SECRET in each]


@given(spoilt(ROW * 2))
def test_no_json_lines_break_their_reader(data: bytes) -> None:
    rows(ImportFormat.JSONL, data)


@given(spoilt(TABLE))
def test_no_csv_breaks_its_reader(data: bytes) -> None:
    rows(ImportFormat.CSV, data)


@given(spoilt(TABLE))
def test_no_treasury_file_breaks_its_reader(data: bytes) -> None:
    rows(ImportFormat.OFAC_SDN, data)


@pytest.mark.parametrize(
    "data",
    [b"[" * DEEP, b'{"zz": ' + b"[" * DEEP + b"]" * DEEP + b"}", b'{"key": ' + b'{"a": ' * DEEP + b"1" + b"}" * DEEP + b"}"],
)
def test_nesting_without_end_is_a_bad_row(data: bytes) -> None:
    (row,) = reader_of(ImportFormat.JSONL, a_list("court"), NOW)([BytesSource(data)], Meter())
    assert isinstance(row, BadRow)


def problems(folder: Path, actions: bytes) -> list[PolicyProblem]:
    (folder / "actions.toml").write_bytes(actions)
    return read_policy(folder)[1]


@given(data=spoilt(POLICY))
def test_no_toml_breaks_the_reader_of_policies(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile-policy"
    folder.mkdir(exist_ok=True)
    problems(folder, data)


@pytest.mark.parametrize("text", [b"a = " + b"9" * 5000, b"a = " + b"[" * DEEP + b"]" * DEEP, b"a = " + b"{b = " * DEEP])
def test_what_the_toml_parser_gives_up_on_is_a_problem_of_the_file(tmp_path: Path, text: bytes) -> None:
    assert "actions.toml" in {each.where for each in problems(tmp_path, text)}


@given(st.one_of(st.text(), st.binary(max_size=40).map(lambda data: data.hex()), st.text(alphabet="AQ-_=", max_size=30)))
def test_a_text_that_is_no_page_token_is_refused_and_nothing_more(token: str) -> None:
    with suppress(InvalidRequest):
        read_page_token("a question", token)


@pytest.mark.parametrize("last", ["9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}", "-1", "1.5", str(2**63), "\0"])
def test_a_page_token_made_by_somebody_who_knows_how_names_an_entry_or_is_refused(last: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _read_token("court", make_page_token("court", last))
    assert ["page_token"] == [each.field for each in caught.value.violations]


def test_a_page_token_with_nul_reaches_no_database() -> None:
    with pytest.raises(InvalidRequest):
        read_page_token("a question", make_page_token("a question", "case\0"))
