"""The value of one token: a segment for each list that has a body of it."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.segments import (
    TOKEN_BYTES,
    ascending,
    body_of,
    join_segments,
    segment,
    split_segments,
    with_body,
)

numbers = st.integers(1, 0xFFFF)
bodies = st.one_of(st.binary(min_size=1, max_size=40), st.integers(253, 300).map(bytes), st.just(bytes(70_000)))
values = st.dictionaries(numbers, bodies, max_size=5)


def joined(value: dict[int, bytes]) -> bytes:
    return join_segments(sorted(value.items()))


@given(values)
def test_what_is_joined_is_split_again(value: dict[int, bytes]) -> None:
    assert sorted(value.items()) == list(split_segments(joined(value)))


def test_a_body_of_23_bytes_takes_three_bytes_more() -> None:
    assert b"\x03\x00\x17" + bytes(23) == segment(3, bytes(23))


@pytest.mark.parametrize(("length", "head"), [(254, 3), (255, 7), (256, 7), (70_000, 7)])
def test_a_long_body_has_a_longer_head(length: int, head: int) -> None:
    written = segment(1, bytes(length))
    assert head + length == len(written)
    assert [(1, bytes(length))] == list(split_segments(written))


@pytest.mark.parametrize("number", [-1, 0x10000])
def test_a_number_of_more_than_16_bits_is_refused(number: int) -> None:
    with pytest.raises(struct.error):
        segment(number, b"body")


def test_empty_bodies_are_left_out() -> None:
    assert segment(2, b"two") == join_segments([(1, b""), (2, b"two"), (3, b"")])
    assert b"" == join_segments([])


@given(values, st.data())
def test_a_value_cut_short_is_refused_or_ends_at_a_segment(value: dict[int, bytes], data: st.DataObject) -> None:
    whole = joined(value)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        read = list(split_segments(cut))
    except ValueError:
        return
    assert cut == join_segments(read)


@given(st.binary(max_size=60))
def test_any_bytes_are_segments_or_refused(value: bytes) -> None:
    try:
        read = list(split_segments(value))
    except ValueError:
        return
    assert len(value) >= sum(3 + len(body) for _, body in read)


@given(values, numbers, st.one_of(st.just(b""), bodies))
def test_a_body_is_put_in_replaced_or_taken_out_and_no_other_is_touched(
    value: dict[int, bytes], number: int, body: bytes
) -> None:
    changed = with_body(joined(value), number, body)
    expected = value | {number: body}
    assert joined(expected) == changed
    assert [expected.get(each, b"") for each in (*value, number)] == [body_of(changed, each) for each in (*value, number)]


def test_a_token_without_a_value_has_no_body() -> None:
    assert b"" == body_of(None, 1)
    assert segment(1, b"body") == with_body(None, 1, b"body")
    assert b"" == with_body(segment(1, b"body"), 1, b"")


def change(token: int, number: int) -> tuple[bytes, int, bytes]:
    return token.to_bytes(TOKEN_BYTES, "big"), number, b"body"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=8))
def test_changes_pass_only_as_long_as_they_ascend_strictly(pairs: list[tuple[int, int]]) -> None:
    changes = [change(*pair) for pair in pairs]
    if all(one < other for one, other in pairwise(pairs)):
        assert changes == list(ascending(changes))
    else:
        with pytest.raises(SnapshotInvalid) as caught:
            list(ascending(changes))
        assert Refusal.RECORDS_MALFORMED == caught.value.refusal


@pytest.mark.parametrize("token", [b"", b"t" * 15, b"t" * 17])
def test_a_token_of_another_length_is_refused(token: bytes) -> None:
    with pytest.raises(SnapshotInvalid):
        list(ascending([(token, 1, b"body")]))
