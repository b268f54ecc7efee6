"""What every spool does, in memory and in files."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import pytest

from portcullis.adapters.memory.spool import MemorySpool
from portcullis.adapters.spool import FileSpool, SpoolDirectoryReader
from portcullis.domain.errors import RecordUnavailable
from portcullis.ports import Backlog, DecisionSpool, SpoolReader
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.policies import NOW
from tests.support.spools import drained, ids


class Host(Protocol):
    """A host's spool: as many writers as it takes, and one reader at a time."""

    @abstractmethod
    def writer(self) -> DecisionSpool: ...

    @abstractmethod
    def reader(self) -> SpoolReader: ...


class MemoryHost:
    """A spool in memory has one writer, which all share."""

    def __init__(self) -> None:
        self._spool = MemorySpool()

    def writer(self) -> DecisionSpool:
        return self._spool

    def reader(self) -> SpoolReader:
        return self._spool.reader()


class FileHost:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def writer(self) -> DecisionSpool:
        return FileSpool(self._folder, clock=HandClock())

    def reader(self) -> SpoolReader:
        return SpoolDirectoryReader(self._folder)


@pytest.fixture(params=["memory", "file"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return MemoryHost() if request.param == "memory" else FileHost(tmp_path / "spool")


@pytest.fixture
def spool(host: Host) -> Iterator[DecisionSpool]:
    with closing(host.writer()) as spool:
        yield spool


@pytest.fixture
def reader(host: Host) -> Iterator[SpoolReader]:
    with closing(host.reader()) as reader:
        yield reader


async def test_a_record_is_read_as_it_was_made(spool: DecisionSpool, reader: SpoolReader) -> None:
    bare = a_record("d2", tokens=(), attributes={}, reasons=(), partner_reference="", stale=("court", "sanctions"))
    foreign = a_record("d3", partner_reference="\x00 Größe 数 \U0001f600", attributes={"amount": 1e300, "seats": -(2**62)})
    await spool.append([a_record("d1"), bare])
    await spool.append([foreign])
    assert [a_record("d1"), bare, foreign] == list(reader.read(10).records)


async def test_nothing_is_read_where_nothing_was_written(spool: DecisionSpool, reader: SpoolReader) -> None:
    await spool.append([])
    assert [] == list(reader.read(10).records)
    assert Backlog(0, None) == reader.backlog()


async def test_records_come_in_their_order_and_no_more_than_were_asked_for(
    spool: DecisionSpool, reader: SpoolReader
) -> None:
    await spool.append([a_record(f"d{number}") for number in range(3)])
    await spool.append([a_record("d3")])
    assert [["d0", "d1"], ["d2", "d3"], []] == [ids(reader.read(2).records) for _ in range(3)]


async def test_a_reader_goes_on_with_what_is_written_after_it_has_read(spool: DecisionSpool, reader: SpoolReader) -> None:
    for number in range(5):
        await spool.append([a_record(f"d{number}")])
        assert [f"d{number}"] == ids(reader.read(10).records)
        assert [] == ids(reader.read(10).records)


async def test_what_was_read_but_not_released_is_read_by_the_next_reader(host: Host, spool: DecisionSpool) -> None:
    await spool.append([a_record(f"d{number}") for number in range(4)])
    with closing(host.reader()) as first:
        first.read(1)
        first.read(2)
    with closing(host.reader()) as second:
        assert ["d0", "d1", "d2", "d3"] == ids(second.read(10).records)


async def test_what_was_released_and_is_written_no_more_is_gone(host: Host) -> None:
    with closing(host.writer()) as spool:
        await spool.append([a_record("d1")])
    with closing(host.reader()) as reader:
        assert ["d1"] == ids(drained(reader))
        assert Backlog(0, None) == reader.backlog()
    with closing(host.reader()) as reader:
        assert [] == ids(drained(reader))


async def test_releasing_the_first_that_was_read_keeps_the_second(host: Host) -> None:
    with closing(host.writer()) as spool:
        await spool.append([a_record("d1"), a_record("d2")])
    with closing(host.reader()) as reader:
        mark = reader.read(1).mark
        reader.read(1)
        reader.release(mark)
    with closing(host.reader()) as reader:
        assert "d2" in ids(reader.read(10).records)


async def test_a_mark_that_no_reader_gave_is_refused(reader: SpoolReader) -> None:
    with pytest.raises(TypeError):
        reader.release("yesterday")


async def test_many_callers_of_one_loop_are_all_recorded(spool: DecisionSpool, reader: SpoolReader) -> None:
    await asyncio.gather(*(spool.append([a_record(f"{caller}-0"), a_record(f"{caller}-1")]) for caller in range(200)))
    found = ids(drained(reader))
    assert {f"{caller}-{number}" for caller in range(200) for number in range(2)} == set(found)
    assert 400 == len(found)
    assert all(found.index(f"{caller}-0") + 1 == found.index(f"{caller}-1") for caller in range(200))


def test_callers_of_several_loops_are_all_recorded_each_in_its_order(spool: DecisionSpool, reader: SpoolReader) -> None:
    async def append_all(name: str) -> None:
        for number in range(25):
            await spool.append([a_record(f"{name}-{number:02d}")])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: asyncio.run(append_all(name)), "abcd"))
    found = ids(drained(reader))
    for name in "abcd":
        assert [f"{name}-{number:02d}" for number in range(25)] == [each for each in found if each.startswith(name)]
    assert 100 == len(found)


async def test_several_writers_share_a_spool(host: Host, reader: SpoolReader) -> None:
    with ExitStack() as open_writers:
        writers = [open_writers.enter_context(closing(host.writer())) for _ in range(3)]
        for number in range(10):
            await asyncio.gather(*(writer.append([a_record(f"w{place}-{number}")]) for place, writer in enumerate(writers)))
        found = ids(reader.read(5).records) + ids(reader.read(100).records)
    for place in range(3):
        assert [f"w{place}-{number}" for number in range(10)] == [each for each in found if each.startswith(f"w{place}")]
    assert 30 == len(found)


async def test_the_backlog_is_what_was_not_released_and_its_age_is_the_oldests(
    spool: DecisionSpool, reader: SpoolReader
) -> None:
    await spool.append([a_record("d1", decided_at=NOW + 1.0)])
    await spool.append([a_record("d2", decided_at=NOW + 2.0)])
    whole = reader.backlog()
    assert NOW + 1.0 == whole.oldest_at
    first = reader.read(1)
    assert whole == reader.backlog()
    reader.release(first.mark)
    rest = reader.backlog()
    assert NOW + 2.0 == rest.oldest_at
    assert 0 < rest.waiting_bytes < whole.waiting_bytes
    reader.release(reader.read(1).mark)
    assert Backlog(0, None) == reader.backlog()


async def test_a_closed_spool_refuses_and_what_it_has_can_be_read(host: Host, reader: SpoolReader) -> None:
    spool = host.writer()
    await spool.append([a_record("d1")])
    spool.close()
    with pytest.raises(RecordUnavailable):
        await spool.append([a_record("d2")])
    assert ["d1"] == ids(drained(reader))
