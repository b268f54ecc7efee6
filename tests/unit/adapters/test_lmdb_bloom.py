"""The filter of a generation: what it answers, when it is trusted, and how its writer keeps it up."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portcullis.adapters.lmdb.bloom import (
    BLOOM_FILE,
    HEAD_BYTES,
    UNTOUCHED,
    BloomBuilder,
    BloomReader,
    absent_first,
    open_bloom,
)
from portcullis.adapters.lmdb.bloom_keeper import BloomKeeper
from portcullis.domain.errors import SnapshotInvalid

BOOT = "boot-1"
tokens = st.binary(min_size=16, max_size=16)


def random_tokens(count: int, seed: int = 7) -> list[bytes]:
    chance = random.Random(seed)
    return [chance.randbytes(16) for _ in range(count)]


def build(folder: Path, present: Iterable[bytes], sized: int | None = None) -> None:
    present = list(present)
    (folder / BLOOM_FILE).unlink(missing_ok=True)
    builder = BloomBuilder.sized(len(present) if sized is None else sized)
    builder.add_all(present)
    builder.write(folder, 0o640)


def built(folder: Path, present: Iterable[bytes]) -> memoryview:
    build(folder, present)
    return open_bloom(folder, BOOT)


def admits(words: memoryview, token: bytes) -> bool:
    return absent_first(words, lambda _: b"asked")(token) is not None


def all_admitted(words: memoryview, present: Iterable[bytes]) -> bool:
    return all(admits(words, token) for token in present)


def mark(folder: Path) -> bytes:
    return (folder / BLOOM_FILE).read_bytes()[HEAD_BYTES // 2 : HEAD_BYTES]


class Keeping:
    """Keepers of one folder, each closed at the end; remembers how often the tokens were asked for."""

    def __init__(self, folder: Path, present: list[bytes]) -> None:
        self.folder = folder
        self.present = present
        self.asked = 0
        self._keepers: list[BloomKeeper] = []

    def open(self, boot: str = BOOT) -> BloomKeeper:
        self._keepers.append(BloomKeeper(self.folder, boot, self._tokens))
        return self._keepers[-1]

    def _tokens(self) -> list[bytes]:
        self.asked += 1
        return self.present

    def close(self) -> None:
        for each in self._keepers:
            each.close()


@pytest.fixture
def keeping(tmp_path):
    build(tmp_path, random_tokens(300))
    keeping = Keeping(tmp_path, random_tokens(300))
    yield keeping
    keeping.close()


# --- as it is written ---------------------------------------------------------------------------------------------------


@given(st.sets(tokens, max_size=60), st.sets(tokens, max_size=20))
def test_what_was_added_is_always_found(
    tmp_path_factory: pytest.TempPathFactory, present: set[bytes], absent: set[bytes]
) -> None:
    index = dict.fromkeys(present, b"records")
    get = absent_first(built(tmp_path_factory.getbasetemp(), present), index.get)
    assert {token: index.get(token) for token in present | absent} == {token: get(token) for token in present | absent}


def test_fewer_than_one_miss_in_fifty_asks_further(tmp_path):
    words = built(tmp_path, random_tokens(50_000))
    asked = sum(admits(words, token) for token in random_tokens(20_000, seed=8))
    assert 0 < asked < 400


def test_no_claim_of_tokens_makes_a_filter_of_any_size():
    assert len(BloomBuilder.sized(1 << 53).data) <= 1 << 29


@pytest.mark.parametrize("place", [0, 31, 32, 63, 64, 5000, -1])
def test_a_filter_with_a_flipped_bit_is_not_used(tmp_path, place):
    build(tmp_path, random_tokens(200))
    data = bytearray((tmp_path / BLOOM_FILE).read_bytes())
    data[place] ^= 0x10
    (tmp_path / BLOOM_FILE).write_bytes(data)
    with pytest.raises(SnapshotInvalid):
        open_bloom(tmp_path, BOOT)


@pytest.mark.parametrize("length", [0, 1, 64, 72, 4160, 5003])
def test_a_filter_cut_short_is_not_used(tmp_path, length):
    build(tmp_path, random_tokens(200))
    os.truncate(tmp_path / BLOOM_FILE, length)
    with pytest.raises(SnapshotInvalid):
        open_bloom(tmp_path, BOOT)


@pytest.mark.parametrize("length", [0, 1, 64, 5003])
def test_a_filter_that_is_not_of_whole_words_can_not_be_kept_up(tmp_path, length):
    build(tmp_path, random_tokens(200))
    os.truncate(tmp_path / BLOOM_FILE, length)
    with pytest.raises(SnapshotInvalid):
        BloomKeeper(tmp_path, BOOT, list)


def test_a_missing_filter_is_said_to_be_missing(tmp_path):
    with pytest.raises(SnapshotInvalid, match="missing"):
        open_bloom(tmp_path, BOOT)
    with pytest.raises(SnapshotInvalid, match="missing"):
        BloomKeeper(tmp_path, BOOT, list)
    assert BloomReader(tmp_path, BOOT).words() is None


# --- kept up ------------------------------------------------------------------------------------------------------------


def test_what_is_added_is_seen_by_whoever_had_the_filter_already(tmp_path, keeping):
    words = open_bloom(tmp_path, BOOT)
    keeper = keeping.open()
    for token in random_tokens(100, seed=9):
        keeper.add(token)
        assert admits(words, token)
    assert all_admitted(words, keeping.present)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(st.one_of(tokens, st.sampled_from(["open", "seal", "reboot"])), max_size=30))
def test_no_token_is_ever_missed_whatever_becomes_of_the_writer(tmp_path, steps):
    present = random_tokens(40)
    build(tmp_path, present)
    keeping, boot = Keeping(tmp_path, present), 1
    reader = BloomReader(tmp_path, "boot-1")
    keeper = keeping.open("boot-1")
    for step in steps:
        if step == "seal":
            keeper.seal()
        elif step == "open":
            keeper = keeping.open(f"boot-{boot}")
        elif step == "reboot":
            boot += 1
            reader = BloomReader(tmp_path, f"boot-{boot}")
            keeper = keeping.open(f"boot-{boot}")
        else:
            keeper.add(step)
            present.append(step)
        for words in (reader.words(), BloomReader(tmp_path, f"boot-{boot}").words()):
            assert words is not None
            assert all_admitted(words, present)
    keeping.close()


def test_a_filter_that_gained_nothing_stays_as_it_was_written(tmp_path, keeping):
    keeper = keeping.open()
    keeper.add(keeping.present[0])
    assert UNTOUCHED == mark(tmp_path)


def test_the_mark_is_on_the_disk_before_the_first_bit(keeping, monkeypatch):
    steps: list[int | str] = []
    keeper = keeping.open()
    monkeypatch.setattr(os, "pwrite", lambda _, data, place: steps.append(place) or len(data))
    monkeypatch.setattr(os, "fsync", lambda _: steps.append("forced"))
    for token in random_tokens(2, seed=9):
        keeper.add(token)
    assert [HEAD_BYTES // 2, "forced"] == steps[:2]
    assert 2 == sum(isinstance(place, int) and place >= HEAD_BYTES for place in steps[2:]) == len(steps[2:])


def test_a_changed_filter_is_trusted_in_the_boot_that_changed_it_and_in_no_other(tmp_path, keeping):
    added = random_tokens(1, seed=9)
    keeping.open().add(added[0])
    assert all_admitted(open_bloom(tmp_path, BOOT), keeping.present + added)
    for other in ("boot-2", ""):
        with pytest.raises(SnapshotInvalid, match="another boot"):
            open_bloom(tmp_path, other)


def test_a_killed_writer_of_the_same_boot_goes_on_without_reading_every_token(tmp_path, keeping):
    added = random_tokens(2, seed=9)
    keeping.open().add(added[0])
    keeping.open().add(added[1])
    assert 0 == keeping.asked
    assert all_admitted(open_bloom(tmp_path, BOOT), keeping.present + added)


def test_after_a_reboot_the_bits_of_every_token_are_set_before_anyone_trusts_it(tmp_path, keeping):
    added = random_tokens(1, seed=9)
    keeping.open().add(added[0])
    file = tmp_path / BLOOM_FILE
    data = file.read_bytes()
    file.write_bytes(data[:HEAD_BYTES] + bytes(len(data) - HEAD_BYTES))  # What a power cut may leave of it.
    reader = BloomReader(tmp_path, "boot-2")
    assert reader.words() is None
    keeping.present += added
    keeping.open("boot-2")
    assert 1 == keeping.asked
    assert all_admitted(reader.words(), keeping.present)
    keeping.open("boot-2")
    assert 1 == keeping.asked


def test_a_filter_that_is_restored_only_gains_for_whoever_has_it_still(tmp_path, keeping):
    words = open_bloom(tmp_path, BOOT)
    gone = random_tokens(1, seed=9)
    keeping.open().add(gone[0])
    keeper = keeping.open("boot-2")
    added = random_tokens(1, seed=10)
    keeper.add(added[0])
    assert all_admitted(words, keeping.present + gone + added)


def test_a_damaged_filter_is_restored_when_the_writer_starts(tmp_path, keeping):
    file = tmp_path / BLOOM_FILE
    data = bytearray(file.read_bytes())
    data[HEAD_BYTES:] = bytes(len(data) - HEAD_BYTES)
    file.write_bytes(data)
    keeping.open()
    assert 1 == keeping.asked
    assert all_admitted(open_bloom(tmp_path, BOOT), keeping.present)


def test_a_sealed_filter_is_trusted_in_any_boot(tmp_path, keeping):
    added = random_tokens(1, seed=9)
    keeper = keeping.open()
    keeper.add(added[0])
    keeper.seal()
    assert UNTOUCHED == mark(tmp_path)
    assert all_admitted(open_bloom(tmp_path, "boot-2"), keeping.present + added)
    keeping.open("boot-2")
    assert 0 == keeping.asked


def test_a_copy_of_a_changed_filter_is_not_trusted(tmp_path, keeping):
    keeping.open().add(random_tokens(1, seed=9)[0])
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / BLOOM_FILE, copy / BLOOM_FILE)
    with pytest.raises(SnapshotInvalid):
        open_bloom(copy, BOOT)


def test_where_the_host_does_not_tell_its_boot_a_changed_filter_is_trusted_once_it_is_sealed(tmp_path, keeping):
    words = open_bloom(tmp_path, "")
    added = random_tokens(1, seed=9)
    keeper = keeping.open("")
    keeper.add(added[0])
    assert all_admitted(words, keeping.present + added)
    assert BloomReader(tmp_path, "").words() is None
    keeper.seal()
    assert all_admitted(open_bloom(tmp_path, ""), keeping.present + added)


def test_a_filter_that_was_refused_is_read_again_only_when_its_head_has_changed(tmp_path, monkeypatch):
    build(tmp_path, random_tokens(20))
    (tmp_path / BLOOM_FILE).write_bytes((tmp_path / BLOOM_FILE).read_bytes()[:-1] + b"\xff")
    proofs = []
    monkeypatch.setattr("portcullis.adapters.lmdb.bloom.head_of", lambda _: proofs.append(1) or b"")
    reader = BloomReader(tmp_path, BOOT)
    assert [None, None, None] == [reader.words() for _ in range(3)]
    assert 1 == len(proofs)
    monkeypatch.undo()
    build(tmp_path, random_tokens(30))
    assert all_admitted(reader.words(), random_tokens(30))


def test_a_disk_that_refuses_a_bit_is_a_fault(keeping, monkeypatch):
    keeper = keeping.open()
    monkeypatch.setattr("portcullis.adapters.lmdb.bloom_keeper.os.pwrite", lambda *_: 3)
    with pytest.raises(OSError, match="only a part"):
        keeper.add(random_tokens(1, seed=9)[0])
