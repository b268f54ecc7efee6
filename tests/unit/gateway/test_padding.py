from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portcullis.gateway.messages.padding import BATCH_TAG, CALLER_TAG, CHECK_TAG, batch_bytes, padded, padding, varint
from portcullis.v1 import caller_service_pb2, check_service_pb2, types_pb2

MISS_BYTES, REFUSAL_BYTES = 90, 2650
DEGRADED = b"\x28\x01"  # the field `degraded` of the first two
LISTED = 0.005
"""The share of customers who are listed, as honest traffic has it."""


@given(st.integers(0, 40_000), st.sampled_from([1024, 4096, 140_288]))
@example(4096 - 130, 4096)
@example(140_288 - 16_387, 140_288)
def test_a_message_is_brought_to_the_least_multiple_of_the_size_that_it_fits(length: int, size: int) -> None:
    filled = length + len(padding(length, CHECK_TAG, size))
    assert 0 == filled % size
    assert filled - length < size + 2
    assert padding(filled, CHECK_TAG, size) == b""


def test_each_gap_is_filled_to_the_byte_and_protobuf_reads_it() -> None:
    for gap in (*range(400), *range(16_300, 16_500)):
        body = padding(20_000 - gap, CHECK_TAG, 20_000)
        assert (gap if gap != 1 else 20_001) == len(body)
        assert not any(check_service_pb2.CheckResponse.FromString(body).padding)


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        (CHECK_TAG, check_service_pb2.CheckResponse),
        (CALLER_TAG, caller_service_pb2.LookupCallerResponse),
        (BATCH_TAG, check_service_pb2.BatchCheckResponse),
    ],
)
def test_each_tag_is_that_of_its_messages_padding(tag: bytes, kind: type) -> None:
    read = kind.FromString(padded(DEGRADED, tag, 1024))  # type: ignore[attr-defined]
    assert 1024 - len(DEGRADED) - 3 == len(read.padding)


@pytest.mark.parametrize("checks", [1, 2, 10, 50, 100, 200, 500, 1000])
def test_of_a_hundred_thousand_batches_of_honest_traffic_at_most_one_is_larger_than_the_others(checks: int) -> None:
    room = (batch_bytes(checks) - checks * MISS_BYTES) // (REFUSAL_BYTES - MISS_BYTES)
    mean = LISTED * checks
    fits = sum(math.exp(-mean) * mean**hits / math.factorial(hits) for hits in range(room + 1))
    assert 1 - fits <= 1e-5


@given(st.integers(0, 2**63 - 1))
def test_a_varint_is_what_protobuf_would_write(number: int) -> None:
    field = types_pb2.Attribute(int_value=number).SerializeToString()
    assert field[1:] == varint(number)
