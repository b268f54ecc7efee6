"""The base file: what goes in comes out, and nothing else is ever read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.bases import CHUNK_BYTES, base_chunks, digest_chunks, frame, read_base, split_frames
from portcullis.domain.editions import Legal
from portcullis.domain.errors import SnapshotInvalid
from tests.support.distribution import edition, records, token

BIG = [(key, value * 30_000) for key, value in records(range(30), b"big")]


def written(pairs=tuple(BIG), of=None):
    return list(base_chunks(of or edition(1, len(pairs)), (frame(*pair) for pair in pairs)))


def refusal_of(digests, chunks):
    with pytest.raises(SnapshotInvalid) as caught:
        list(read_base(digests, chunks)[1])
    return caught.value.refusal


@given(st.dictionaries(st.binary(min_size=16, max_size=16), st.binary(max_size=300), max_size=30))
def test_a_base_reads_as_it_was_written(index):
    pairs = sorted(index.items())
    chunks = written(pairs)
    found, found_records = read_base(digest_chunks(chunks), chunks)
    assert (edition(1, len(pairs)), pairs) == (found, list(found_records))


def test_every_chunk_but_the_last_has_the_same_length():
    chunks = written()
    assert len(chunks) > 5
    assert {CHUNK_BYTES} == {len(each) for each in chunks[:-1]}
    assert 0 < len(chunks[-1]) <= CHUNK_BYTES


def test_records_larger_than_a_chunk_are_read():
    pairs = [(token(1), b"x" * (3 * CHUNK_BYTES + 5))]
    chunks = written(pairs)
    assert pairs == list(read_base(digest_chunks(chunks), chunks)[1])


def test_an_edition_larger_than_a_chunk_is_read():
    large = edition(1, 1, legal=tuple(Legal(f"section {number} " + "x" * 1000, "") for number in range(2500)))
    chunks = written(records(range(1)), large)
    assert len(chunks) > 2
    found, found_records = read_base(digest_chunks(chunks), chunks)
    assert (large, records(range(1))) == (found, list(found_records))


def test_the_same_content_has_the_same_name_and_other_content_another():
    assert digest_chunks(written()) == digest_chunks(written())
    assert digest_chunks(written()).name != digest_chunks(written(BIG[1:])).name


def test_a_frame_wants_a_token_of_16_bytes():
    with pytest.raises(ValueError, match="16 bytes"):
        frame(b"short", b"value")


def test_a_base_cut_off_after_any_chunk_is_refused():
    chunks = written()
    digests = digest_chunks(chunks)
    assert {"chunk-missing"} == {refusal_of(digests, chunks[:end]) for end in range(1, len(chunks))}


def test_a_base_without_chunks_is_refused():
    assert "chunk-missing" == refusal_of(digest_chunks(written()), [])


def test_a_chunk_cut_short_or_made_longer_is_refused_wherever_it_is():
    chunks = written()
    digests = digest_chunks(chunks)
    for place, chunk in enumerate(chunks):
        for wrong in (chunk[:-1], chunk[: len(chunk) // 2], b"", chunk + b"\0"):
            assert "chunk-length" == refusal_of(digests, [*chunks[:place], wrong, *chunks[place + 1 :]])


def test_a_doubled_a_dropped_or_a_moved_chunk_is_refused():
    chunks = written()
    digests = digest_chunks(chunks)
    for place in range(len(chunks) - 1):
        doubled = [*chunks[: place + 1], *chunks[place:]]
        dropped = [*chunks[:place], *chunks[place + 1 :]]
        moved = [*chunks[:place], chunks[place + 1], chunks[place], *chunks[place + 2 :]]
        assert {"chunk-order"} == {refusal_of(digests, wrong) for wrong in (doubled, dropped, moved)}


def test_a_chunk_too_many_is_refused():
    chunks = written()
    assert "chunk-surplus" == refusal_of(digest_chunks(chunks), [*chunks, b"more"])


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_anywhere_is_refused(place, bit):
    chunks = written(records(range(40)))
    digests = digest_chunks(chunks)
    spoiled = bytearray(chunks[0])
    spoiled[place % len(spoiled)] ^= 1 << bit
    assert "chunk-digest" == refusal_of(digests, [bytes(spoiled)])


@pytest.mark.parametrize(
    "data",
    [b"PCB1", b"nonsense" * 10, b"PCB1\xff\xff\xff\xff" + b"{}", b"PCB1\x02\x00\x00\x00{}"],
    ids=["no length", "no magic", "edition beyond the end", "no edition"],
)
def test_a_target_that_is_no_base_is_refused_even_if_its_digest_agrees(data):
    assert refusal_of(digest_chunks([data]), [data]) in {"base-malformed", "edition-malformed"}


def test_frames_that_end_inside_a_record_are_refused():
    whole = b"".join(frame(*pair) for pair in records(range(3)))
    assert records(range(3)) == list(split_frames([whole[:30], whole[30:]]))
    for end in range(1, len(whole)):
        pieces = [whole[:end]]
        if end % (len(whole) // 3):
            with pytest.raises(SnapshotInvalid):
                list(split_frames(pieces))
