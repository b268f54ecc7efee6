"""Fields found in a message's bytes, against what the library's parser reads."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import Unparsable
from portcullis.gateway.messages.requests import batch_items, request_id_of
from portcullis.gateway.messages.wire import fields
from portcullis.v1 import check_service_pb2 as pb

MOST = 20

small = st.builds(pb.CheckRequest, action=st.text(max_size=5), purpose=st.text(max_size=300))
unknown = st.sampled_from([b"\x10\x05", b"\x11" + bytes(8), b"\x1d" + bytes(4), b"\x7a\x02ab", b"\x08\x01", b"\x18\x80\x00"])
"""Fields that no message of ours has: a number, eight bytes, four bytes, a text, field 1 as a number, a padded number."""


def padded(length: int) -> bytes:
    """A length in five bytes, as some encoders write it."""
    return bytes([length >> 7 * place & 0x7F | 0x80 for place in range(4)]) + bytes([length >> 28])


def written(request: pb.CheckRequest) -> bytes:
    body = request.SerializeToString()
    return b"\x0a" + padded(len(body)) + body


@given(st.lists(st.one_of(st.builds(written, small), unknown), max_size=MOST))
def test_the_items_of_a_batch_are_what_protobuf_reads_however_it_is_written(parts: list[bytes]) -> None:
    body = b"".join(parts)
    expected = pb.BatchCheckRequest.FromString(body).requests
    assert list(expected) == [pb.CheckRequest.FromString(item) for item in batch_items(body, MOST)]


@given(st.binary(max_size=60))
def test_of_any_bytes_the_items_are_what_protobuf_reads_or_the_bytes_are_refused(body: bytes) -> None:
    try:
        expected = len(pb.BatchCheckRequest.FromString(body).requests)
    except DecodeError:
        return
    try:
        assert expected == len(batch_items(body, 60))
    except Unparsable:
        # A group, which no message of ours has.
        assert any(byte & 7 in {3, 4} for byte in body)


def test_of_a_batch_that_is_too_large_no_more_is_taken_than_shows_it() -> None:
    item = written(pb.CheckRequest(action="a"))
    broken = b"\xff"
    assert MOST + 1 == len(batch_items(item * 5_000 + broken, MOST))


def test_fields_that_are_not_known_are_not_read_without_end() -> None:
    with pytest.raises(Unparsable, match="too many fields"):
        batch_items(b"\x10\x05" * 2_000, MOST)


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0b",
        b"\x0c",
        b"\x0e",
        b"\x02\x00",
        b"\x11" + bytes(7),
        b"\x1d" + bytes(3),
        b"\x08" + b"\xff" * 11,
    ],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(Unparsable):
        list(fields(body))


@given(st.text(max_size=200), small, st.lists(unknown, max_size=3), st.booleans())
def test_the_id_of_an_item_is_found_wherever_it_stands(
    given_id: str, check: pb.CheckRequest, others: list[bytes], is_last: bool
) -> None:
    head = pb.StreamCheckRequest(request_id=given_id).SerializeToString()
    rest = b"".join(others) + pb.StreamCheckRequest(check=check).SerializeToString()
    body = rest + head if is_last else head + rest
    assert pb.StreamCheckRequest.FromString(body).request_id == request_id_of(body)


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x12\x00", b"\x0a\x01\xff"])
def test_what_has_no_id_has_an_empty_one(body: bytes) -> None:
    assert not request_id_of(body)
