"""The metadata files: each is read only if it is exactly what the one before it says."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.bases import base_chunks, digest_chunks
from portcullis.domain.errors import SnapshotInvalid
from portcullis.domain.metadata import (
    decode_snapshot,
    decode_timestamp,
    describe,
    encode_snapshot,
    encode_timestamp,
    timestamp_for,
)
from tests.support.distribution import edition

EDITION = edition(41, 0)
DESCRIPTION = describe(EDITION, digest_chunks(base_chunks(EDITION, [])))
SNAPSHOT = encode_snapshot(DESCRIPTION)
STAMP = timestamp_for(41, SNAPSHOT, serial=7, vouched_at=1.8e9)
TIMESTAMP = encode_timestamp(STAMP)


def refusal(read, *arguments):
    with pytest.raises(SnapshotInvalid) as caught:
        read(*arguments)
    return caught.value.refusal


def resealed(**changes):
    """A timestamp whose checksum is right but whose statement is changed."""
    statement = msgspec.json.encode(msgspec.to_builtins(STAMP) | changes, order="sorted")
    envelope = {"checksum": hashlib.sha256(statement).hexdigest(), "statement": msgspec.Raw(statement)}
    return msgspec.json.encode(envelope, order="sorted")


def test_metadata_reads_as_it_was_written():
    assert STAMP == decode_timestamp(TIMESTAMP)
    assert DESCRIPTION == decode_snapshot(SNAPSHOT, STAMP)
    assert DESCRIPTION.describes(EDITION)
    assert not DESCRIPTION.describes(edition(41, 0, published_at=1.0))


def test_a_store_without_a_timestamp_is_empty():
    assert "store-empty" == refusal(decode_timestamp, None)


def test_a_store_without_the_snapshot_file_is_refused():
    assert "snapshot-missing" == refusal(decode_snapshot, None, STAMP)


def test_a_timestamp_cut_off_anywhere_is_refused():
    assert {"timestamp-malformed"} == {refusal(decode_timestamp, TIMESTAMP[:end]) for end in range(len(TIMESTAMP))}


def test_a_snapshot_file_cut_off_anywhere_is_refused():
    assert {"snapshot-digest"} == {refusal(decode_snapshot, SNAPSHOT[:end], STAMP) for end in range(len(SNAPSHOT))}


@given(st.integers(min_value=0, max_value=len(TIMESTAMP) - 1), st.integers(min_value=0, max_value=7))
def test_a_timestamp_with_a_flipped_bit_is_refused(place, bit):
    spoiled = bytearray(TIMESTAMP)
    spoiled[place] ^= 1 << bit
    assert "timestamp-malformed" == refusal(decode_timestamp, bytes(spoiled))


@given(st.integers(min_value=0, max_value=len(SNAPSHOT) - 1), st.integers(min_value=0, max_value=7))
def test_a_snapshot_file_with_a_flipped_bit_is_refused(place, bit):
    spoiled = bytearray(SNAPSHOT)
    spoiled[place] ^= 1 << bit
    assert "snapshot-digest" == refusal(decode_snapshot, bytes(spoiled), STAMP)


def test_a_timestamp_of_another_format_is_refused_as_such():
    assert "format" == refusal(decode_timestamp, resealed(format=2, unheard_of=True))


def test_a_snapshot_file_of_another_format_is_refused_as_such():
    data = msgspec.json.encode({"format": 2})
    assert "format" == refusal(decode_snapshot, data, timestamp_for(41, data, serial=1, vouched_at=0.0))


@pytest.mark.parametrize(
    "changes",
    [{"version": 0}, {"version": 1 << 60}, {"serial": 0}, {"snapshot_sha256": "AB" * 32}, {"more": 1}, {"version": "41"}],
    ids=str,
)
def test_a_timestamp_with_a_field_out_of_bounds_is_refused(changes):
    assert "timestamp-malformed" == refusal(decode_timestamp, resealed(**changes))


def test_a_timestamp_that_is_too_long_or_not_canonical_is_refused():
    assert "timestamp-malformed" == refusal(decode_timestamp, TIMESTAMP + b" " * 5000)
    assert "timestamp-malformed" == refusal(decode_timestamp, TIMESTAMP + b" ")


def test_a_snapshot_file_of_another_version_than_the_timestamp_is_refused():
    stamp = timestamp_for(42, SNAPSHOT, serial=1, vouched_at=0.0)
    assert "mixed-versions" == refusal(decode_snapshot, SNAPSHOT, stamp)


@pytest.mark.parametrize(
    "changes",
    [{"base_name": "base-" + "0" * 64}, {"base_length": 5 << 20}, {"base_chunks": ()}, {"records": -1}],
    ids=str,
)
def test_a_snapshot_file_that_contradicts_itself_is_refused(changes):
    data = msgspec.json.encode(msgspec.to_builtins(DESCRIPTION) | changes, order="sorted")
    assert "snapshot-malformed" == refusal(decode_snapshot, data, timestamp_for(41, data, serial=1, vouched_at=0.0))
