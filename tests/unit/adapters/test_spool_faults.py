"""The spool while much goes wrong: writers killed at any moment, full disks, disks that refuse to force what was written."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portcullis.adapters.spool import FileSpool, SpoolDirectoryReader, SpoolFault
from portcullis.domain.errors import RecordUnavailable
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.disks import Ballast, injecting, small_disk
from tests.support.processes import is_alive, wait_for
from tests.support.spools import drained, ids, segments

ROOT = Path(__file__).resolve().parents[3]
CHILDREN = [sys.executable, "-m", "tests.support.spool_children"]
TURNS = 60
WRITERS = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


# --- killed writers -------------------------------------------------------------------------------------------------------


class Writers:
    """Writers of a spool, in processes of their own; ``recorded`` is what they were told is on the disk."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server
        self.recorded: list[str] = []
        self.pids: list[int] = []

    def start(self, name: str) -> None:
        self._tell(f"start {name}")

    def hear(self) -> str:
        assert self._server.stdout is not None
        word, _, rest = self._server.stdout.readline().strip().partition(" ")
        assert word in {"recorded", "started", "done"}
        if word == "recorded":
            self.recorded.append(rest)
        elif word == "started":
            self.pids.append(int(rest))
        return word

    def kill(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self.pids:
            wait_for(lambda pid=pid: not is_alive(pid), every_s=0.001, what="the writer's end")  # type: ignore[misc]
        self.pids.clear()
        self._tell("done")
        while self.hear() != "done":
            pass

    def _tell(self, line: str) -> None:
        assert self._server.stdin is not None
        self._server.stdin.write(f"{line}\n")
        self._server.stdin.flush()


def test_what_writers_killed_at_any_moment_have_acknowledged_is_read(folder: Path) -> None:
    chance = random.Random(2026)
    shipped: dict[str, int] = {}
    faults: list[SpoolFault] = []
    reader = SpoolDirectoryReader(folder, faults=faults.append)
    command = [*CHILDREN, "fork", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        writers = Writers(server)
        for turn in range(TURNS):
            for place in range(WRITERS):
                writers.start(f"t{turn}w{place}")
            before = len(writers.recorded)
            while len(writers.pids) < WRITERS or len(writers.recorded) < before + chance.randrange(1, 60):
                writers.hear()
            # The kill falls on any point of a write, a sync or a new segment; others are read meanwhile.
            time.sleep(chance.uniform(0, 0.01))
            spooled = reader.read(chance.randrange(1, 200))
            writers.kill()
            if turn % 5 == 4:
                # The shipper dies as well, with records in its hands.
                reader.close()
                reader = SpoolDirectoryReader(folder, faults=faults.append)
            else:
                ship(spooled.records, shipped)
                reader.release(spooled.mark)
        assert server.stdin is not None
        server.stdin.close()
    ship(drained(reader), shipped)
    reader.close()
    assert len(writers.recorded) > TURNS
    assert set(writers.recorded) <= shipped.keys()
    assert [] == segments(folder)
    assert SpoolFault.DAMAGED not in faults


def ship(records, shipped: dict[str, int]) -> None:
    for record in records:
        assert a_record(record.decision_id) == record
        shipped[record.decision_id] = shipped.get(record.decision_id, 0) + 1


# --- full disks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", "2m") as mounted:
        yield mounted


async def try_append(spool: FileSpool, names: list[str]) -> bool:
    try:
        await spool.append([a_record(name) for name in names])
    except RecordUnavailable:
        return False
    return True


async def test_a_full_disk_refuses_what_has_no_room_and_keeps_what_was_acknowledged(disk: Path) -> None:
    ballast, recorded, refused = Ballast(disk), [], []
    with closing(FileSpool(disk / "spool", clock=HandClock())) as spool:
        for turn, kilobytes in enumerate([*range(0, 120, 4), *range(0, 60, 4)]):
            ballast.leave(kilobytes)
            for number in range(8):
                names = [f"d{turn}-{number}-{place}" for place in range(10)]
                (recorded if await try_append(spool, names) else refused).extend(names)
        assert len(recorded) > 100
        assert len(refused) > 100
        ballast.drop()
        assert await try_append(spool, ["last"])
    with closing(SpoolDirectoryReader(disk / "spool")) as reader:
        found = ids(drained(reader))
    assert {*recorded, "last"} <= set(found) <= {*recorded, *refused, "last"}


async def test_service_resumes_when_the_shipper_has_made_room(disk: Path) -> None:
    recorded: list[str] = []
    found: list[str] = []
    with (
        closing(FileSpool(disk / "spool", clock=HandClock(), segment_bytes=200_000)) as spool,
        closing(SpoolDirectoryReader(disk / "spool")) as reader,
    ):
        for turn in range(3):
            for number in range(1000):
                names = [f"d{turn}-{number}-{place}" for place in range(20)]
                if not await try_append(spool, names):
                    break
                recorded += names
            assert number < 999, "the disk fills up"
            assert not await try_append(spool, ["no room"])
            assert len(segments(disk / "spool")) < 20, "a full disk is not filled with empty files"
            found += ids(drained(reader))
    assert set(recorded) <= set(found)


# --- disks that refuse ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync", "open", "fstat"])
async def test_a_disk_that_refuses_refuses_the_records_of_that_moment_alone(
    folder: Path, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(os, call)
    refusing = False

    def maybe(*args: object, **options: object) -> object:
        if refusing:
            raise OSError(number, os.strerror(number))
        return real(*args, **options)

    with closing(FileSpool(folder, clock=HandClock(), segment_bytes=2000)) as spool:
        recorded = [name for turn in range(4) if await try_append(spool, [name := f"before{turn}"])]
        monkeypatch.setattr(os, call, maybe)
        refusing = True
        outcomes = [await try_append(spool, [f"meanwhile{turn}"]) for turn in range(5)]
        refusing = False
        assert not all(outcomes)
        recorded += [f"meanwhile{turn}" for turn, outcome in enumerate(outcomes) if outcome]
        assert await try_append(spool, ["after"])
    with closing(SpoolDirectoryReader(folder)) as reader:
        found = ids(drained(reader))
    assert {*recorded, "after"} <= set(found)
    assert 4 == len([name for name in recorded if name.startswith("before")])


def appended(folder: Path, count: int, *faults: str) -> dict[str, str]:
    """Run a writer whose system calls fail; gives what became of each record."""
    folder.mkdir(mode=0o700)
    command = [*injecting(*faults), *CHILDREN, "append", str(folder), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return {name: what for what, _, name in lines if what in {"recorded", "refused"}}


def test_a_sync_that_fails_refuses_and_the_next_segment_serves(folder: Path) -> None:
    outcomes = appended(folder, 8, "fdatasync:error=EIO:when=3..4")
    refused = [f"d{number}" for number in (2, 3)]
    assert refused == [name for name, what in outcomes.items() if what == "refused"]
    assert 2 == len(segments(folder)), "the one that failed, and the one that serves"
    with closing(SpoolDirectoryReader(folder)) as reader:
        found = ids(drained(reader))
    assert set(outcomes) - set(refused) <= set(found) <= set(outcomes)


def test_a_segment_whose_name_can_not_be_forced_to_the_disk_is_not_used(folder: Path) -> None:
    outcomes = appended(folder, 4, "fsync:error=EIO:when=1..2")
    assert ["refused", "refused", "recorded", "recorded"] == list(outcomes.values())
    assert 1 == len(segments(folder))


async def test_a_caller_that_gave_up_costs_nobody_else_theirs(folder: Path) -> None:
    with closing(FileSpool(folder, clock=HandClock())) as spool:
        given_up = asyncio.ensure_future(spool.append([a_record("d1")]))
        other = asyncio.ensure_future(spool.append([a_record("d2")]))
        await asyncio.sleep(0)
        given_up.cancel()
        await other
    with closing(SpoolDirectoryReader(folder)) as reader:
        assert "d2" in ids(drained(reader))
