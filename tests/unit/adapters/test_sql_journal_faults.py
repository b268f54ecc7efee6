"""The journal on SQLite while its disk is full, or does not force what was written.

Whoever is told that something was recorded finds it there; whoever is not is told to try again; and nobody has to start
anything anew when the disk works again.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.domain.errors import JournalUnavailable
from portcullis.domain.log_entries import decode_entry
from portcullis.domain.log_findings import LogFinding
from portcullis.domain.shared_events import SharedEvent
from portcullis.exchange.verifying import verify_log
from portcullis.ports import Receipt
from tests.support.databases import sqlite_url
from tests.support.decision_records import a_record
from tests.support.disks import Ballast, injecting, small_disk
from tests.support.journals import a_settlement, sql_journal
from tests.support.processes import end, is_alive, wait_for
from tests.support.signers import SignerInMemory

ROOT = Path(__file__).resolve().parents[3]
CHILDREN = [sys.executable, "-m", "tests.support.journal_children"]
SEED = 2026
ROLES = ("report", "decide")
DISK = "12m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "small", DISK) as mounted:
        yield mounted


def a_journal(folder: Path) -> str:
    return sqlite_url(folder, "journal.db", migrate_journal)


class Told(NamedTuple):
    """What writers were told: the receipts or None by what was recorded, and what was refused."""

    recorded: dict[str, tuple[int, bytes] | None]
    refused: set[str]


def heard(lines: Sequence[str]) -> Told:
    told = Told({}, set())
    for line in lines:
        what, name, *receipt = line.split()
        if what == "recorded":
            told.recorded[name] = (int(receipt[0]), bytes.fromhex(receipt[1])) if receipt else None
        elif what == "refused":
            told.refused.add(name)
    return told


def assert_kept(url: str, told: Told) -> None:
    """What was recorded is there once and where its receipt says; the log is whole, and nothing else is in it."""
    with closing(sql_journal(url, SystemClock())) as journal:
        found: list[LogFinding] = []
        verify_log(journal, SignerInMemory().key, found=found.append)
        places = {decode_entry(entry).id: (sequence, leaf) for sequence, leaf, entry in journal.entries(0)}
        assert ([], len(places)) == (found, journal.size())
    assert told.recorded.keys() <= places.keys()
    receipts = {name: receipt for name, receipt in told.recorded.items() if receipt}
    assert receipts == {name: places[name] for name in receipts}


# --- full disks -----------------------------------------------------------------------------------------------------------


async def report(journal: SqlJournal, events: Sequence[SharedEvent]) -> Sequence[Receipt] | None:
    """Give the receipts, or None where the journal says that it is unavailable."""
    try:
        answers = await journal.record_events("lending", events)
    except JournalUnavailable:
        return None
    assert all(isinstance(each, Receipt) for each in answers)
    return [each for each in answers if isinstance(each, Receipt)]


def decide(journal: SqlJournal, names: Sequence[str]) -> int | None:
    """Give how many were new, or None where the journal says that it is unavailable."""
    try:
        return journal.record_decisions([a_record(name) for name in names])
    except JournalUnavailable:
        return None


async def test_with_whatever_room_is_left_what_is_told_is_so(disk: Path) -> None:
    url, ballast, told = a_journal(disk), Ballast(disk), Told({}, set())
    with closing(sql_journal(url)) as journal:
        for turn, kilobytes in enumerate([*range(0, 160, 8), *range(0, 80, 8)]):
            ballast.leave(kilobytes)
            for number in range(2):
                names = [f"e{turn}-{number}-{place}" for place in range(20)]
                receipts = await report(journal, [a_settlement(name) for name in names])
                told.refused.update(names if receipts is None else ())
                told.recorded.update((each.event_id, (each.sequence, each.entry_hash)) for each in receipts or ())
                names = [f"d{turn}-{number}-{place}" for place in range(20)]
                new = decide(journal, names)
                told.refused.update(names if new is None else ())
                told.recorded.update((name, None) for name in names if new is not None)
        assert len(told.recorded) > 100
        assert len(told.refused) > 100
        assert told.recorded.keys().isdisjoint(told.refused)
        ballast.drop()
        # Service resumes, and what was refused is brought again.
        events = [a_settlement(name) for name in sorted(told.refused) if name.startswith("e")]
        again = await report(journal, events)
        assert again is not None
        decisions = [name for name in sorted(told.refused) if name.startswith("d")]
        assert decide(journal, decisions) is not None
        told.recorded.update((each.event_id, (each.sequence, each.entry_hash)) for each in again)
        told.recorded.update((name, None) for name in decisions)
        assert len(told.recorded) == journal.size()
    assert_kept(url, told)


class Writer:
    """A child that writes, and what it has said up to now."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()

    def wait_for(self, what: str) -> None:
        """Wait for outcomes of a kind that are not said yet."""
        begin = len(self.lines)
        wait_for(lambda: self._has_said(what, begin), what=f"what is {what}", every_s=0.005)

    def _has_said(self, what: str, begin: int) -> bool:
        assert self._process.poll() is None, "the writer broke"
        return any(line.startswith(f"{what} ") for line in self.lines[begin:])

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self._listening.join(10)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                self.lines.append(line)


@contextmanager
def writer(role: str, url: str) -> Iterator[Writer]:
    command = [*CHILDREN, role, url, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        running = Writer(process)
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("role", ROLES)
def test_a_writer_goes_on_when_there_is_room_and_killed_on_a_full_disk_leaves_what_it_acknowledged(
    disk: Path, role: str
) -> None:
    url, ballast, chance = a_journal(disk), Ballast(disk), random.Random(SEED)
    with writer(role, url) as writing:
        for _ in range(4):
            writing.wait_for("recorded")
            ballast.leave(chance.randrange(64))
            writing.wait_for("refused")
            ballast.drop()
            writing.wait_for("recorded")
        ballast.leave(16)
        writing.wait_for("refused")
    ballast.drop()
    told = heard(writing.lines)
    assert len(told.recorded) > 40
    assert_kept(url, told)


# --- disks that don't force what was written -----------------------------------------------------------------------------

# Python's SQLite forces files by fdatasync or by fsync, as it was built.
SYNCS = ("fdatasync:error=EIO", "fsync:error=EIO")


def outcomes(url: str, role: str, count: int, *faults: str) -> tuple[list[str], Told]:
    """Run a writer whose system calls fail; gives the kinds of its outcomes in their order, and what it was told."""
    command = [*injecting(*faults), *CHILDREN, role, url, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert 0 == done.returncode, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("pid ")]
    return [line.split()[0] for line in lines], heard(lines)


@pytest.mark.parametrize(("role", "when"), [("report", "8..19"), ("decide", "5+3")])
def test_a_sync_that_fails_refuses_and_the_next_that_does_not_serves(tmp_path: Path, role: str, when: str) -> None:
    url = a_journal(tmp_path)

    kinds, told = outcomes(url, role, 60, *(f"{sync}:when={when}" for sync in SYNCS))

    assert {"recorded", "refused"} == set(kinds)
    assert "recorded" == kinds[0]
    assert "recorded" in kinds[kinds.index("refused") :], "it goes on by itself"
    assert_kept(url, told)


def test_writes_that_fail_refuse_and_the_next_that_does_not_serves(tmp_path: Path) -> None:
    url = a_journal(tmp_path)

    kinds, told = outcomes(url, "decide", 60, "pwrite64:error=ENOSPC:when=40+45")

    assert {"recorded", "refused"} == set(kinds)
    assert_kept(url, told)


def test_a_writer_killed_while_no_sync_succeeds_leaves_what_it_acknowledged(tmp_path: Path) -> None:
    url = a_journal(tmp_path)
    command = [*injecting(*(f"{sync}:when=20+" for sync in SYNCS)), *CHILDREN, "report", url, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline().split()[1])
        lines: list[str] = []
        try:
            while sum(line.startswith("refused") for line in lines) < 50:
                lines.append(process.stdout.readline())
                assert lines[-1], "the writer broke"
        finally:
            end(pid)
        # What is in the pipe was said before.
        lines += [line for line in process.stdout if line.endswith("\n")]
    assert not is_alive(pid)
    told = heard(lines)
    assert told.recorded
    assert_kept(url, told)
    with closing(sql_journal(url, SystemClock())) as journal:
        assert 1 == decide(journal, ["after"]), "service resumes for whoever comes next"
