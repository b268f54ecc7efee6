"""The spool against a plain list, over any order of appends, crashes, torn ends, new writers, reads and restarts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from portcullis.adapters.spool import FileSpool, SpoolDirectoryReader, SpoolFault
from portcullis.adapters.spool.frames import HEADER_BYTES
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.spools import crash, ids, segments, set_aside

SHARED_MEMORY = Path("/dev/shm")
WRITERS = 2
writers = st.integers(0, WRITERS - 1)


class SpoolMachine(RuleBasedStateMachine):
    """What is acknowledged must be read at least once; what was written but not acknowledged may be."""

    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.root))
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.faults: list[SpoolFault] = []
        self.spools = [self._spool() for _ in range(WRITERS)]
        self.reader = self._reader()
        self.count = 0
        self.acknowledged: list[str] = []
        self.unsure: set[str] = set()
        self.read_now: list[str] = []
        self.marks: list[tuple[object, list[str]]] = []
        self.shipped: list[str] = []

    def _spool(self) -> FileSpool:
        return FileSpool(self.folder, clock=self.clock, segment_bytes=2500)

    def _reader(self) -> SpoolDirectoryReader:
        return SpoolDirectoryReader(self.folder, faults=self.faults.append)

    def _append(self, writer: int, count: int) -> list[str]:
        names = [f"w{writer}-{self.count + number:05d}" for number in range(count)]
        self.count += count
        self.runner.run(self._appended(self.spools[writer], names))
        return names

    @staticmethod
    async def _appended(spool: FileSpool, names: list[str]) -> None:
        await spool.append([a_record(name) for name in names])

    @rule(writer=writers, count=st.integers(1, 6))
    def append(self, writer: int, count: int) -> None:
        self.acknowledged += self._append(writer, count)

    @rule(writer=writers)
    def leave_the_segment(self, writer: int) -> None:
        self.clock.advance(10)
        self.spools[writer].retire()

    @rule(writer=writers)
    def start_a_writer_anew(self, writer: int) -> None:
        self.spools[writer].close()
        self.spools[writer] = self._spool()

    @rule(writer=writers)
    def kill_a_writer(self, writer: int) -> None:
        crash(self.spools[writer])
        self.spools[writer] = self._spool()

    @rule(
        writer=writers, count=st.integers(1, 3), kept=st.floats(0, 1), noise=st.sampled_from([b"", bytes(700), b"\xffPCF!"])
    )
    def lose_power_while_a_group_is_written(self, writer: int, count: int, kept: float, noise: bytes) -> None:
        """The group's bytes reach the disk up to some place, and noise may stand behind it."""
        sizes = {path: path.stat().st_size for path in segments(self.folder)}
        lost = self._append(writer, count)
        (path,) = [each for each in segments(self.folder) if each.stat().st_size != sizes.get(each)][-1:]
        crash(self.spools[writer])
        before, after = sizes.get(path, HEADER_BYTES), path.stat().st_size
        data = path.read_bytes()
        path.write_bytes(data[: before + round(kept * (after - before))] + noise)
        self.unsure.update(lost)
        self.spools[writer] = self._spool()
        self.start_the_reader_anew()

    @rule(limit=st.integers(1, 8))
    def read(self, limit: int) -> None:
        spooled = self.reader.read(limit)
        names = ids(spooled.records)
        assert len(names) <= limit
        assert [a_record(name) for name in names] == list(spooled.records)
        assert set(names) <= {*self.acknowledged, *self.unsure}
        self.read_now += names
        assert len(self.read_now) == len(set(self.read_now)), "one reader gives each record once"
        for writer in range(WRITERS):
            own = [name for name in self.read_now if name.startswith(f"w{writer}")]
            assert sorted(own) == own
        self.marks.append((spooled.mark, names))

    @precondition(lambda self: self.marks)
    @rule(some=st.integers(1, 4))
    def release(self, some: int) -> None:
        for mark, names in self.marks[:some]:
            self.shipped += names
            self.reader.release(mark)
        del self.marks[:some]

    @rule()
    def start_the_reader_anew(self) -> None:
        self.reader.close()
        self.reader = self._reader()
        self.read_now, self.marks = [], []

    @rule()
    def look_at_the_backlog(self) -> None:
        waiting = self.reader.backlog()
        unshipped = set(self.acknowledged) - set(self.shipped)
        assert not unshipped or waiting.waiting_bytes > 0

    def teardown(self) -> None:
        for spool in self.spools:
            spool.close()
        self.read(1000)
        while self.marks[-1][1]:
            self.read(1000)
        self.release(len(self.marks))
        self.reader.close()
        self.runner.close()
        assert set(self.acknowledged) <= set(self.shipped) <= {*self.acknowledged, *self.unsure}
        assert [] == segments(self.folder)
        assert ([], False) == (set_aside(self.folder), SpoolFault.DAMAGED in self.faults), "no crash is taken for damage"


@pytest.fixture
def root() -> Iterator[Path]:
    # What is forced to the disk here hundreds of times has nobody to outlive: memory will do.
    memory = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_what_is_acknowledged_is_read_and_nothing_is_invented(root: Path) -> None:
    machine = type("Machine", (SpoolMachine,), {"root": root})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)),
    )
