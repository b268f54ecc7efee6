"""Base and delta files."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.frames import BASE_MAGIC, DELTA_MAGIC, MAX_BODY_BYTES, frame, read_frames, write_frames
from portcullis.domain.segments import TOKEN_BYTES

tokens = st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES)
bodies = st.dictionaries(tokens, st.binary(max_size=50), max_size=8).map(lambda found: sorted(found.items()))
magics = st.sampled_from([BASE_MAGIC, DELTA_MAGIC])


def written(magic: bytes, pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(write_frames(magic, pairs))


def read(magic: bytes, data: bytes) -> list[tuple[bytes, bytes]]:
    return list(read_frames(magic, io.BytesIO(data)))


@given(magics, bodies)
def test_what_is_written_is_read(magic: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
    assert pairs == read(magic, written(magic, pairs))


@given(bodies)
def test_a_base_and_a_delta_are_never_taken_for_each_other(pairs: list[tuple[bytes, bytes]]) -> None:
    for magic, other in ((BASE_MAGIC, DELTA_MAGIC), (DELTA_MAGIC, BASE_MAGIC)):
        with pytest.raises(SnapshotInvalid) as caught:
            read(magic, written(other, pairs))
        assert Refusal.RECORDS_MALFORMED == caught.value.refusal


@given(bodies)
def test_a_file_cut_short_ends_at_a_frame_or_is_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    data = written(BASE_MAGIC, pairs)
    ends = {len(written(BASE_MAGIC, pairs[:count])): count for count in range(len(pairs) + 1)}
    for cut in range(len(data)):
        if cut in ends:
            assert pairs[: ends[cut]] == read(BASE_MAGIC, data[:cut])
        else:
            with pytest.raises(SnapshotInvalid):
                read(BASE_MAGIC, data[:cut])


@given(st.binary(max_size=120))
def test_any_bytes_are_frames_or_refused(tail: bytes) -> None:
    try:
        pairs = read(BASE_MAGIC, BASE_MAGIC + tail)
    except SnapshotInvalid:
        return
    assert BASE_MAGIC + tail == written(BASE_MAGIC, pairs)


@pytest.mark.parametrize("second", [b"a", b"b"], ids=["before", "again"])
def test_a_file_whose_tokens_do_not_ascend_is_refused(second: bytes) -> None:
    data = written(DELTA_MAGIC, [(b"b" * TOKEN_BYTES, b"body"), (second * TOKEN_BYTES, b"body")])
    with pytest.raises(SnapshotInvalid) as caught:
        read(DELTA_MAGIC, data)
    assert Refusal.RECORDS_MALFORMED == caught.value.refusal


def test_a_file_is_written_and_read_in_pieces_that_cut_frames() -> None:
    pairs = [(number.to_bytes(TOKEN_BYTES, "big"), bytes([number % 251]) * (number % 3000)) for number in range(2000)]
    pieces = list(write_frames(BASE_MAGIC, pairs))
    assert len(pieces) > 1
    assert max(map(len, pieces)) < (1 << 20) + 4000
    assert pairs == read(BASE_MAGIC, b"".join(pieces))


def test_a_body_larger_than_a_piece_is_read_whole() -> None:
    pairs = [(bytes(TOKEN_BYTES), bytes(3 << 20)), (b"\x01" * TOKEN_BYTES, b"next")]
    assert pairs == read(DELTA_MAGIC, written(DELTA_MAGIC, pairs))


class Endless(io.RawIOBase):
    """A frame that promises more than there is memory for, and goes on and on."""

    def __init__(self) -> None:
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        begin = BASE_MAGIC + bytes(TOKEN_BYTES) + b"\xff\xff\xff\xff" if not self.given else b""
        piece = (begin + bytes(len(buffer)))[: len(buffer)]
        buffer[:] = piece
        self.given += len(piece)
        return len(piece)


def test_a_body_that_is_too_long_is_refused_before_it_is_read() -> None:
    file = Endless()
    with pytest.raises(SnapshotInvalid) as caught:
        list(read_frames(BASE_MAGIC, io.BufferedReader(file)))
    assert Refusal.RECORDS_MALFORMED == caught.value.refusal
    assert file.given < 4 << 20


def test_a_body_of_the_greatest_length_is_written_and_read_and_no_longer_one() -> None:
    longest = [(bytes(TOKEN_BYTES), bytes(MAX_BODY_BYTES))]
    assert longest == read(BASE_MAGIC, written(BASE_MAGIC, longest))
    with pytest.raises(ValueError, match="at most"):
        frame(bytes(TOKEN_BYTES), bytes(MAX_BODY_BYTES + 1))


def test_a_delta_may_say_that_a_token_has_no_body_any_more() -> None:
    assert [(bytes(TOKEN_BYTES), b"")] == read(DELTA_MAGIC, written(DELTA_MAGIC, [(bytes(TOKEN_BYTES), b"")]))


def test_a_base_of_40_000_tokens_has_the_length_that_is_promised() -> None:
    pairs = ((number.to_bytes(TOKEN_BYTES, "big"), bytes(23)) for number in range(40_000))
    assert 4 + 40_000 * 43 == sum(map(len, write_frames(BASE_MAGIC, pairs)))


@pytest.mark.parametrize("token", [b"", b"t" * 15, b"t" * 17])
def test_a_token_of_another_length_is_not_written(token: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        frame(token, b"body")
