"""The body of one token in one list."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.records import ALL_MEASURES, Record, decode_body, decode_records, encode_body, is_body
from portcullis.domain.segments import join_segments

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)
records = st.builds(
    Record,
    list_number=st.just(3),
    legal_index=u16,
    until=u32,
    entry_id=u32,
    case_reference=st.text(st.characters(codec="utf-8"), max_size=63),
    valid_from=u32,
    measures=u32,
    stayed=st.booleans(),
)
ANY_ROW = 0x10000


@given(st.lists(records, max_size=5))
def test_what_is_written_is_read_in_the_order_of_the_entries(given_records: list[Record]) -> None:
    expected = sorted(given_records, key=lambda each: each.entry_id)
    assert expected == list(decode_body(3, encode_body(given_records)))


@given(st.lists(records, min_size=2, max_size=5, unique_by=lambda each: each.entry_id), st.randoms())
def test_the_order_in_which_records_are_given_plays_no_part(given_records: list[Record], random: object) -> None:
    shuffled = given_records.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert encode_body(given_records) == encode_body(shuffled)


@given(st.lists(records, max_size=3), st.lists(records, max_size=3))
def test_a_value_is_read_list_by_list(one: list[Record], other: list[Record]) -> None:
    value = join_segments([(3, encode_body(one)), (9, encode_body(other))])
    elsewhere = [each._replace(list_number=9) for each in other]
    expected = [*decode_body(3, encode_body(one)), *decode_body(9, encode_body(elsewhere))]
    assert expected == list(decode_records(value))


def test_the_list_is_told_by_who_holds_the_body_and_not_by_the_body() -> None:
    body = encode_body([Record(1, 0, 1, 1, "case-1")])
    assert [7] == [each.list_number for each in decode_body(7, body)]


@given(st.lists(records, min_size=1, max_size=3), st.data())
def test_a_body_cut_short_is_refused_or_ends_at_a_record(given_records: list[Record], data: st.DataObject) -> None:
    body = encode_body(given_records)
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    try:
        read = list(decode_body(3, cut))
    except ValueError:
        assert not is_body(cut, ANY_ROW)
        return
    assert encode_body(read) == cut
    assert bool(cut) == is_body(cut, ANY_ROW)


@given(st.lists(records, min_size=1, max_size=4))
def test_a_body_is_one_for_as_many_legal_rows_as_it_refers_to(given_records: list[Record]) -> None:
    body = encode_body(given_records)
    rows = max(each.legal_index for each in given_records) + 1
    assert (True, False) == (is_body(body, rows), is_body(body, rows - 1))


@given(st.one_of(st.binary(max_size=60), st.tuples(st.lists(records, max_size=2), st.binary(max_size=20))))
def test_what_is_a_body_can_be_read_and_refers_to_rows_that_are_there(given: object) -> None:
    body = given if isinstance(given, bytes) else encode_body(given[0]) + given[1]  # type: ignore[index]
    rows = 100
    if is_body(body, rows):
        read = list(decode_body(3, body))
        assert read
        assert all(each.legal_index < rows for each in read)


def test_no_bytes_are_no_body() -> None:
    assert not is_body(b"", ANY_ROW)


def test_an_unknown_flag_is_no_body() -> None:
    body = encode_body([Record(1, 0, 1, 1, "case-1")])
    assert not is_body(bytes((body[0] | 8,)) + body[1:], ANY_ROW)


def test_a_reference_that_is_no_text_is_no_body() -> None:
    body = encode_body([Record(1, 0, 1, 1, "a")])
    assert is_body(body, 1)
    assert not is_body(body[:-1] + b"\xff", 1)
    with pytest.raises(ValueError, match="utf-8"):
        list(decode_body(1, body[:-1] + b"\xff"))


def test_a_common_record_takes_twelve_bytes_beside_its_reference() -> None:
    record = Record(list_number=1, legal_index=2, until=2_000_000_000, entry_id=7, case_reference="(2090)A-1-7")
    assert 23 == len(encode_body([record]))
    assert 26 == len(join_segments([(1, encode_body([record]))]))
    assert ALL_MEASURES == record.measures


def test_what_is_not_needed_takes_no_room() -> None:
    plain = Record(1, 0, 1, 1, "case")
    assert 4 == len(encode_body([plain._replace(valid_from=9)])) - len(encode_body([plain]))
    assert 4 == len(encode_body([plain._replace(measures=1)])) - len(encode_body([plain]))
    assert 0 == len(encode_body([plain._replace(stayed=True)])) - len(encode_body([plain]))


def test_a_reference_over_255_bytes_is_refused() -> None:
    assert is_body(encode_body([Record(1, 0, 1, 1, "案" * 85)]), 1)
    with pytest.raises(ValueError, match="case_reference"):
        encode_body([Record(1, 0, 1, 1, "案" * 86)])


@pytest.mark.parametrize("changes", [{"legal_index": 0x10000}, {"until": 1 << 32}, {"entry_id": 1 << 32}, {"until": -1}])
def test_a_number_that_does_not_fit_its_field_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(struct.error):
        encode_body([Record(1, 0, 1, 1, "case")._replace(**changes)])
