"""What every journal does, in memory, on SQLite and on PostgreSQL; and what the durable ones do when things go wrong."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.sql.journal import SqlJournal
from portcullis.domain.errors import NotFound, RecordUnavailable
from portcullis.ports import Journal, Look
from tests.support.databases import migrated_database
from tests.support.decision_records import a_record
from tests.support.imports import StillClock
from tests.support.policies import NOW

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield MemoryJournal(clock=StillClock())
            return
        database_url = stack.enter_context(
            migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres"))
        )
        store = SqlJournal(database_url, clock=StillClock())
        stack.callback(store.close)
        yield store


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    with migrated_database("sqlite", "journal", tmp_path, NotImplemented):
        yield tmp_path / "journal.db"


def look_at(journal: Journal, decision_id: str) -> Any:
    return journal.get(decision_id, actor="ann", purpose="a complaint")


# --- every journal ------------------------------------------------------------


async def test_a_record_is_given_as_it_was_made(journal: Journal) -> None:
    bare = a_record("d2", tokens=(), attributes={}, reasons=(), partner_reference="", degraded=True)
    await journal.append([a_record("d1"), bare])
    assert a_record("d1") == look_at(journal, "d1")
    assert bare == look_at(journal, "d2")


async def test_every_look_at_a_record_is_noted(journal: Journal) -> None:
    await journal.append([a_record("d1"), a_record("d2")])
    journal.get("d1", actor="ann", purpose="a complaint")
    journal.get("d1", actor="bob", purpose="an audit")
    expected = [Look(actor="ann", at=NOW, purpose="a complaint"), Look(actor="bob", at=NOW, purpose="an audit")]
    assert expected == list(journal.looks("d1"))
    assert list(journal.looks("d2")) == []


async def test_a_decision_that_is_not_recorded_is_not_found(journal: Journal) -> None:
    with pytest.raises(NotFound):
        look_at(journal, "d1")
    assert list(journal.looks("d1")) == []


async def test_nothing_to_record_is_nothing_to_wait_for(journal: Journal) -> None:
    await journal.append([])


async def test_a_decision_is_recorded_once(journal: Journal) -> None:
    await journal.append([a_record("d1", partner="lending")])
    with pytest.raises(RecordUnavailable):
        await journal.append([a_record("d1", partner="ticketing")])
    assert look_at(journal, "d1").partner == "lending"


async def test_records_of_one_call_are_kept_together_or_not_at_all(journal: Journal) -> None:
    await journal.append([a_record("d1")])
    with pytest.raises(RecordUnavailable):
        await journal.append([a_record("d2"), a_record("d1")])
    with pytest.raises(RecordUnavailable):
        await journal.append([a_record("d3"), a_record("d3")])
    for absent in ("d2", "d3"):
        with pytest.raises(NotFound):
            look_at(journal, absent)


async def test_one_callers_fault_costs_nobody_else_their_records(journal: Journal) -> None:
    await journal.append([a_record("taken")])
    names = [f"d{number}" if number % 7 else "taken" for number in range(50)]
    results = await asyncio.gather(*(journal.append([a_record(name)]) for name in names), return_exceptions=True)
    for name, result in zip(names, results, strict=True):
        assert isinstance(result, RecordUnavailable) == (name == "taken")
        assert look_at(journal, name).decision_id == name


async def test_many_callers_are_served_at_once(journal: Journal) -> None:
    await asyncio.gather(*(journal.append([a_record(f"d{number}-{part}") for part in range(3)]) for number in range(200)))
    for number in (0, 99, 199):
        assert a_record(f"d{number}-2") == look_at(journal, f"d{number}-2")


async def test_a_closed_journal_takes_no_more(journal: Journal) -> None:
    journal.close()
    with pytest.raises(RecordUnavailable):
        await journal.append([a_record()])


# --- the durable ones ------------------------------------------------------------


async def test_closing_writes_what_is_waiting(url: str) -> None:
    journal = SqlJournal(url, clock=StillClock())
    waiting = [asyncio.ensure_future(journal.append([a_record(f"d{number}")])) for number in range(50)]
    await asyncio.sleep(0)
    await asyncio.to_thread(journal.close)
    await asyncio.gather(*waiting)
    with closing(SqlJournal(url, clock=StillClock())) as again:
        assert a_record("d49") == look_at(again, "d49")


async def test_a_caller_that_gives_up_does_not_disturb_the_others(url: str) -> None:
    with closing(SqlJournal(url, clock=StillClock())) as journal:
        calls = [asyncio.ensure_future(journal.append([a_record(f"d{number}")])) for number in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [None] * 10 == results[1::2]
        await journal.append([a_record("later")])


async def test_more_than_may_wait_is_refused_at_once(file: Path) -> None:
    with closing(SqlJournal(f"sqlite:///{file}", clock=StillClock(), waiting_records=10)) as journal:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            calls = [asyncio.ensure_future(journal.append([a_record(f"d{number}")])) for number in range(15)]
            refused, _ = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
            assert 5 == len(refused)
            assert all(isinstance(call.exception(), RecordUnavailable) for call in refused)
            other.execute("COMMIT")
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results.count(None) == 10
        await journal.append([a_record("later")])


async def test_a_lock_held_too_long_refuses_and_heals(file: Path) -> None:
    with closing(SqlJournal(f"sqlite:///{file}", clock=StillClock(), write_wait_s=0.1)) as journal:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RecordUnavailable):
                await journal.append([a_record("d1")])
            other.execute("COMMIT")
        with pytest.raises(NotFound):
            look_at(journal, "d1")
        await journal.append([a_record("d1")])
        assert a_record("d1") == look_at(journal, "d1")


async def test_a_full_disk_refuses_and_leaves_nothing_and_heals(file: Path) -> None:
    with closing(SqlJournal(f"sqlite:///{file}", clock=StillClock())) as journal:
        limit = {"pages": 20}

        @event.listens_for(journal._engine, "checkout")
        def set_limit(raw: sqlite3.Connection, *_: object) -> None:
            raw.execute(f"PRAGMA max_page_count = {limit['pages']}").fetchall()

        await journal.append([a_record("small")])
        big = [a_record(f"big{number}", partner_reference="x" * 1000) for number in range(200)]
        with pytest.raises(RecordUnavailable):
            await journal.append(big)
        with pytest.raises(NotFound):
            look_at(journal, "big0")
        limit["pages"] = 1_000_000
        await journal.append(big)
        assert big[199] == look_at(journal, "big199")


async def test_a_record_is_not_given_when_the_look_can_not_be_noted(file: Path) -> None:
    with closing(SqlJournal(f"sqlite:///{file}", clock=StillClock(), write_wait_s=0.1)) as journal:
        await journal.append([a_record("d1")])
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RecordUnavailable):
                look_at(journal, "d1")
        assert list(journal.looks("d1")) == []


async def test_a_database_that_is_gone_refuses() -> None:
    with closing(SqlJournal("postgresql://nobody@127.0.0.1:1/none", clock=StillClock())) as journal:
        with pytest.raises(RecordUnavailable):
            await journal.append([a_record()])
        with pytest.raises(RecordUnavailable):
            look_at(journal, "d1")


# --- several processes ------------------------------------------------------------


def appender(url: str, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.sql_children", "append", url, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_two_processes_append_to_one_journal(url: str) -> None:
    with appender(url, "a", 100) as first, appender(url, "b", 100) as second:
        assert {first.communicate(timeout=60)[0].count("\n"), second.communicate(timeout=60)[0].count("\n")} == {100}
    assert (0, 0) == (first.returncode, second.returncode)
    with closing(SqlJournal(url, clock=StillClock())) as journal:
        for name in ("a", "b"):
            for number in range(100):
                assert look_at(journal, f"{name}-{number}").decision_id == f"{name}-{number}"


@pytest.mark.parametrize(("url", "seed"), [("sqlite", 1), ("sqlite", 2), ("postgresql", 3)], indirect=["url"])
def test_what_a_killed_process_was_told_is_recorded(url: str, seed: int) -> None:
    acknowledged: list[str] = []
    with appender(url, "a", 0) as process:
        assert process.stdout is not None
        # The kill falls on any point of a commit: records go on being written while the lines are read.
        while len(acknowledged) < 200:
            acknowledged.append(process.stdout.readline().strip())
        time.sleep(random.Random(seed).uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    with closing(SqlJournal(url, clock=StillClock())) as journal:
        for decision_id in acknowledged:
            assert look_at(journal, decision_id).decision_id == decision_id
