"""The files of the spool: segments, torn ends, damage."""

from __future__ import annotations

import os
import random
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from portcullis.adapters.spool import FileSpool, SpoolDirectoryReader, SpoolFault
from portcullis.adapters.spool.frames import HEADER_BYTES, frame, header, name_of
from portcullis.adapters.spool.segments import Segment
from portcullis.domain.errors import RecordUnavailable, SetupFault
from portcullis.ports import Backlog
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.processes import wait_for
from tests.support.spools import crash, drained, ids, segments, set_aside

IDENTITY = bytes(range(16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def spool(folder: Path, clock: HandClock) -> Iterator[FileSpool]:
    with closing(FileSpool(folder, clock=clock, segment_bytes=4000)) as spool:
        yield spool


@pytest.fixture
def faults() -> list[SpoolFault]:
    return []


@pytest.fixture
def reader(folder: Path, faults: list[SpoolFault]) -> Iterator[SpoolDirectoryReader]:
    with closing(SpoolDirectoryReader(folder, faults=faults.append)) as reader:
        yield reader


def a_segment(folder: Path, payloads: list[bytes], *, sealed: bool = True, number: int = 1) -> Path:
    """Write a segment by hand."""
    folder.mkdir(exist_ok=True)
    data = header(IDENTITY)
    for payload in [*payloads, *([b""] if sealed else [])]:
        data += frame(IDENTITY, len(data), payload)
    path = folder / name_of(number, IDENTITY)
    path.write_bytes(data)
    return path


def modes(paths: list[Path]) -> set[int]:
    return {stat.S_IMODE(each.stat().st_mode) for each in paths}


def payload(decision_id: str) -> bytes:
    return msgspec.json.encode(a_record(decision_id))


# --- segments -------------------------------------------------------------------------------------------------------------


async def test_nothing_is_made_before_the_first_record(folder: Path, spool: FileSpool) -> None:
    assert not segments(folder)
    await spool.append([a_record()])
    assert 1 == len(segments(folder))


async def test_the_files_are_for_their_owner_alone(folder: Path, spool: FileSpool, reader: SpoolDirectoryReader) -> None:
    await spool.append([a_record()])
    assert {0o700} == modes([folder])
    assert {0o600} == modes([*segments(folder), folder / "reader.lock"])


async def test_a_segment_that_is_large_enough_is_followed_by_the_next(
    folder: Path, spool: FileSpool, reader: SpoolDirectoryReader
) -> None:
    for number in range(20):
        await spool.append([a_record(f"d{number:02d}")])
    assert 3 <= len(segments(folder)) <= 10
    assert max(each.stat().st_size for each in segments(folder)) < 6000
    assert [f"d{number:02d}" for number in range(20)] == ids(drained(reader, limit=3))


async def test_a_segment_that_was_released_is_deleted_unless_it_is_written(
    folder: Path, spool: FileSpool, reader: SpoolDirectoryReader
) -> None:
    for number in range(20):
        await spool.append([a_record(f"d{number}")])
    written = segments(folder)[-1]
    drained(reader)
    assert [written] == segments(folder)
    assert Backlog(0, None) == reader.backlog()
    await spool.append([a_record("d20")])
    assert ["d20"] == ids(drained(reader))


async def test_a_segment_that_has_stood_long_enough_is_left_so_that_it_can_go(
    folder: Path, spool: FileSpool, reader: SpoolDirectoryReader, clock: HandClock
) -> None:
    await spool.append([a_record("d1")])
    drained(reader)
    clock.advance(9)
    spool.retire()
    drained(reader)
    assert 1 == len(segments(folder))
    clock.advance(1)
    spool.retire()
    drained(reader)
    assert [] == segments(folder)
    await spool.append([a_record("d2")])
    assert ["d2"] == ids(drained(reader))


async def test_a_worker_that_falls_silent_leaves_its_segment_by_itself(folder: Path, reader: SpoolDirectoryReader) -> None:
    clock = HandClock()
    with closing(FileSpool(folder, clock=clock, segment_s=0.01)) as spool:
        await spool.append([a_record("d1")])
        clock.advance(1)

        def is_gone() -> bool:
            drained(reader)
            return not segments(folder)

        wait_for(is_gone, what="the segment is left and deleted")


async def test_a_segment_whose_name_was_taken_away_is_written_no_more(
    folder: Path, spool: FileSpool, reader: SpoolDirectoryReader
) -> None:
    await spool.append([a_record("d1")])
    segments(folder)[0].unlink()
    await spool.append([a_record("d2")])
    assert ["d2"] == ids(drained(reader))


async def test_segments_are_read_in_the_order_in_which_they_were_begun(folder: Path, reader: SpoolDirectoryReader) -> None:
    for number in range(12):
        with closing(FileSpool(folder, clock=HandClock())) as spool:
            await spool.append([a_record(f"d{number:02d}")])
    assert [f"d{number:02d}" for number in range(12)] == ids(drained(reader))


async def test_what_can_not_be_written_as_json_is_refused_alone(spool: FileSpool, reader: SpoolDirectoryReader) -> None:
    with pytest.raises(RecordUnavailable):
        await spool.append([a_record("d1", partner_reference="\ud800")])
    await spool.append([a_record("d2")])
    assert ["d2"] == ids(drained(reader))


def test_segments_are_made_while_readers_come_and_go(folder: Path) -> None:
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            with closing(SpoolDirectoryReader(folder)) as reader:
                for _ in range(10):
                    reader.read(10)

    sweeping = threading.Thread(target=sweep)
    sweeping.start()
    try:
        for turn in range(60):
            segment = Segment.create(folder, after=turn)
            assert segment.is_linked()
            segment.append([payload("d1")])
            segment.seal()
    finally:
        stop.set()
        sweeping.join()


def test_what_a_writer_left_before_it_wrote_anything_is_cleared_away(folder: Path, faults: list[SpoolFault]) -> None:
    folder.mkdir()
    (folder / f".{name_of(1, IDENTITY)}.new").write_bytes(header(IDENTITY))
    (folder / name_of(2, IDENTITY)).write_bytes(b"")
    (folder / name_of(3, IDENTITY)).write_bytes(header(IDENTITY))
    with closing(SpoolDirectoryReader(folder, faults=faults.append)) as reader:
        assert [] == ids(drained(reader))
        assert ["reader.lock"] == [each.name for each in folder.iterdir()]
    assert [] == faults


def test_a_second_reader_is_kept_out(folder: Path, reader: SpoolDirectoryReader) -> None:
    with pytest.raises(SetupFault, match="another shipper reads"):
        SpoolDirectoryReader(folder)


def test_a_reader_says_where_it_can_not_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SetupFault, match="PORTCULLIS_SPOOL_DIR"):
        SpoolDirectoryReader(tmp_path / "file" / "spool")


async def test_a_spool_with_no_place_to_write_refuses_and_resumes_when_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")
    with closing(FileSpool(tmp_path / "spool", clock=HandClock())) as spool, capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(RecordUnavailable):
                await spool.append([a_record("d1")])
        (tmp_path / "spool").unlink()
        await spool.append([a_record("d2")])
    with closing(SpoolDirectoryReader(tmp_path / "spool")) as reader:
        assert ["d2"] == ids(drained(reader))
    assert ["error", "info"] == [each["log_level"] for each in logs], "one line when it begins, one when it is over"


# --- torn ends and damage --------------------------------------------------------------------------------------------------


async def test_a_tail_torn_at_any_byte_is_skipped_and_what_is_before_it_is_read(
    folder: Path, reader: SpoolDirectoryReader, faults: list[SpoolFault]
) -> None:
    spool = FileSpool(folder, clock=HandClock())
    await spool.append([a_record("d1"), a_record("d2")])
    whole = segments(folder)[0].stat().st_size
    await spool.append([a_record("d3")])
    crash(spool)
    (path,) = segments(folder)
    data = path.read_bytes()
    for length in range(whole + 1, len(data)):
        path.write_bytes(data[:length])
        assert ["d1", "d2"] == ids(drained(reader)), length
        assert [] == segments(folder)
    assert {SpoolFault.TORN} == set(faults)
    assert len(data) - whole - 1 == len(faults)


@pytest.mark.parametrize("rest", [bytes(5000), b"\xff" * 5000, b"\xffPCF" * 100, random.Random(1).randbytes(5000)])
def test_a_tail_of_noise_is_skipped(folder: Path, reader: SpoolDirectoryReader, rest: bytes) -> None:
    path = a_segment(folder, [payload("d1")], sealed=False)
    path.write_bytes(path.read_bytes() + rest)
    assert ["d1"] == ids(drained(reader))
    assert [] == segments(folder)


async def test_a_frame_that_is_being_written_is_waited_for(
    folder: Path, spool: FileSpool, reader: SpoolDirectoryReader
) -> None:
    await spool.append([a_record("d1")])
    assert spool._segment is not None
    following = frame(spool._segment._identity, spool._segment.size, payload("d2"))
    os.write(spool._segment._descriptor, following[:100])
    assert ["d1"] == ids(reader.read(10).records)
    assert [] == ids(reader.read(10).records)
    os.write(spool._segment._descriptor, following[100:])
    assert ["d2"] == ids(reader.read(10).records)
    spool._segment.size += len(following)


def test_any_byte_that_is_changed_costs_one_record_at_most_and_the_segment_is_kept(
    folder: Path, reader: SpoolDirectoryReader, faults: list[SpoolFault]
) -> None:
    names = ["d1", "d2", "d3"]
    path = a_segment(folder, [payload(name) for name in names])
    data = path.read_bytes()
    seal = len(data) - 16
    chance = random.Random(2026)
    for place in [*range(HEADER_BYTES + 16), *chance.sample(range(seal), 200)]:
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :])
        found = drained(reader)
        assert set(ids(found)) <= set(names)
        assert len(found) >= (3 if place < HEADER_BYTES else 2)
        assert all(a_record(each.decision_id) == each for each in found)
        assert ([], [path.name + ".damaged"]) == (segments(folder), [each.name for each in set_aside(folder)])
        set_aside(folder)[0].unlink()
        assert [SpoolFault.DAMAGED] == faults
        faults.clear()


def test_damage_holds_up_no_other_segment_and_names_no_person(folder: Path, reader: SpoolDirectoryReader) -> None:
    damaged = a_segment(folder, [payload("d1"), payload("d2"), payload("d3")], number=1)
    a_segment(folder, [payload("d4")], number=2)
    with damaged.open("r+b") as file:
        file.seek(HEADER_BYTES + 20)
        file.write(bytes(40))
    with capture_logs() as logs:
        assert ["d2", "d3", "d4"] == ids(drained(reader, limit=1))
    (line,) = logs
    assert ("error", damaged.name) == (line["log_level"], line["segment"])
    assert "case" not in str(logs).lower().replace("(2090) demo", "case")


def test_a_segment_is_set_aside_only_when_what_can_be_read_of_it_was_released(
    folder: Path, reader: SpoolDirectoryReader
) -> None:
    path = a_segment(folder, [payload("d1"), payload("d2")])
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + 20)
        file.write(b"?")
    spooled = reader.read(10)
    assert ["d2"] == ids(spooled.records)
    reader.read(10)
    assert [path] == segments(folder)
    reader.release(spooled.mark)
    assert ([], 1) == (segments(folder), len(set_aside(folder)))


def test_a_frame_is_believed_at_its_own_place_alone(
    folder: Path, reader: SpoolDirectoryReader, faults: list[SpoolFault]
) -> None:
    path = a_segment(folder, [payload("d1")], sealed=False)
    data = path.read_bytes()
    # The same frame again, further behind, as a file system may leave it.
    path.write_bytes(data + data[HEADER_BYTES:])
    assert ["d1"] == ids(drained(reader))
    assert [SpoolFault.TORN] == faults


def test_a_record_of_another_release_is_set_aside_not_lost(
    folder: Path, reader: SpoolDirectoryReader, faults: list[SpoolFault]
) -> None:
    a_segment(folder, [b'{"decision_id":"d1"}', payload("d2")])
    assert ["d2"] == ids(drained(reader))
    assert ([SpoolFault.DAMAGED], 1) == (faults, len(set_aside(folder)))


def test_a_segment_that_can_not_be_read_holds_up_no_other(
    folder: Path, reader: SpoolDirectoryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_segment(folder, [payload("d1")], number=1)
    a_segment(folder, [payload("d2")], number=2)
    pread = os.pread
    refused = {"inodes": {segments(folder)[0].stat().st_ino}}

    def refusing(descriptor: int, count: int, start: int) -> bytes:
        if os.fstat(descriptor).st_ino in refused["inodes"]:
            raise OSError(5, "Input/output error")
        return pread(descriptor, count, start)

    monkeypatch.setattr(os, "pread", refusing)
    assert ["d2"] == ids(drained_once := reader.read(10).records)
    assert 1 == len(drained_once)
    with pytest.raises(OSError, match="Input/output error"):
        reader.read(10)
    refused["inodes"] = set()
    assert ["d1"] == ids(reader.read(10).records)
