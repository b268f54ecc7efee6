from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.adapters.lmdb.bloom import BLOOM_FILE, BloomBuilder, absent_first, open_bloom
from portcullis.domain.errors import SnapshotInvalid

tokens = st.binary(min_size=16, max_size=16)


def built(folder: Path, present: set[bytes]) -> memoryview:
    (folder / BLOOM_FILE).unlink(missing_ok=True)
    builder = BloomBuilder(len(present))
    for token in present:
        builder.add(token)
    builder.write(folder, 0o640)
    return open_bloom(folder)


@given(st.sets(tokens, max_size=60), st.sets(tokens, max_size=20))
def test_what_was_added_is_always_found(
    tmp_path_factory: pytest.TempPathFactory, present: set[bytes], absent: set[bytes]
) -> None:
    index = dict.fromkeys(present, b"records")
    get = absent_first(built(tmp_path_factory.getbasetemp(), present), index.get)
    assert {token: index.get(token) for token in present | absent} == {token: get(token) for token in present | absent}


def test_fewer_than_one_miss_in_fifty_asks_further(tmp_path: Path) -> None:
    chance = random.Random(7)
    words = built(tmp_path, {chance.randbytes(16) for _ in range(50_000)})
    asked: list[bytes] = []

    def ask(token: bytes) -> None:
        asked.append(token)

    get = absent_first(words, ask)
    for _ in range(20_000):
        get(chance.randbytes(16))
    assert 0 < len(asked) < 400


@pytest.mark.parametrize("place", [0, 31, 32, 5000, -1])
def test_a_filter_with_a_flipped_bit_is_not_used(tmp_path: Path, place: int) -> None:
    built(tmp_path, {bytes([number]) * 16 for number in range(200)})
    data = bytearray((tmp_path / BLOOM_FILE).read_bytes())
    data[place] ^= 0x10
    (tmp_path / BLOOM_FILE).write_bytes(data)
    with pytest.raises(SnapshotInvalid):
        open_bloom(tmp_path)


@pytest.mark.parametrize("length", [0, 1, 32, 40, 5003])
def test_a_filter_cut_short_is_not_used(tmp_path: Path, length: int) -> None:
    built(tmp_path, {b"t" * 16})
    data = (tmp_path / BLOOM_FILE).read_bytes()
    (tmp_path / BLOOM_FILE).write_bytes(data[:length])
    with pytest.raises(SnapshotInvalid):
        open_bloom(tmp_path)


def test_a_missing_filter_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotInvalid, match="missing"):
        open_bloom(tmp_path)
