from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.records import ALL_MEASURES, Record, decode_records, encode_records

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFF_FFFF)
records = st.builds(
    Record,
    list_index=u16,
    legal_index=u16,
    until=u32,
    entry_id=u32,
    case_reference=st.text(max_size=63),
    valid_from=u32,
    measures=u32,
    stayed=st.booleans(),
)


@given(st.lists(records, max_size=5))
def test_what_is_written_is_read_in_the_order_of_list_and_entry(given_records: list[Record]) -> None:
    expected = sorted(given_records, key=lambda each: (each.list_index, each.entry_id))
    assert expected == list(decode_records(encode_records(given_records)))


@given(st.lists(records, min_size=1, max_size=3), st.data())
def test_a_truncated_value_is_refused_or_ends_at_a_record(given_records: list[Record], data: st.DataObject) -> None:
    value = encode_records(given_records)
    cut = data.draw(st.integers(0, len(value) - 1))
    try:
        read = list(decode_records(value[:cut]))
    except ValueError:
        return
    assert encode_records(read) == value[:cut]


def test_a_common_record_takes_fourteen_bytes_beside_its_reference() -> None:
    record = Record(list_index=1, legal_index=2, until=2_000_000_000, entry_id=7, case_reference="(2090)A-1-77")
    assert 14 + 12 == len(encode_records([record]))
    assert ALL_MEASURES == record.measures


def test_a_reference_over_255_bytes_is_refused() -> None:
    record = Record(list_index=0, legal_index=0, until=1, entry_id=1, case_reference="案" * 86)
    with pytest.raises(ValueError, match="case_reference"):
        encode_records([record])
