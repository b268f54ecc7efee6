"""Every edit, deletion, swap, insertion and truncation of a journal's SQLite file is found by verifying it.

500 of them here; PORTCULLIS_FUZZ=10000 tries as many, PORTCULLIS_FUZZ_SEED others.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.domain.log_findings import LogFinding, Note, Place
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.verifying import verify_log
from tests.support.clocks import HandClock
from tests.support.databases import sqlite_url
from tests.support.decision_records import a_reason, a_record
from tests.support.journal_damage import flip_in_file, tamper
from tests.support.journals import a_settlement, an_event, sql_journal
from tests.support.signers import SignCounts, SignerInMemory

TRIES = int(os.environ.get("PORTCULLIS_FUZZ", "500"))
SEED = int(os.environ.get("PORTCULLIS_FUZZ_SEED", "4"))
SIGNER = SignerInMemory()


class Sound(NamedTuple):
    """A journal that nobody touched: the file, and a checkpoint of it that is kept elsewhere."""

    data: bytes
    note: str


async def fill(journal: SqlJournal, numbers: range) -> None:
    reasons = (a_reason(), a_reason(list="carrier", shadow=True))
    journal.record_decisions([a_record(f"d{n}", tokens=(f"{n % 7 + 1:032x}",), reasons=reasons) for n in numbers])
    await journal.record_events("lending", [an_event(f"e{n}", decision_id=f"d{n}") for n in numbers[::2]])
    await journal.record_events("lending", [a_settlement(f"s{n}") for n in numbers[::3]])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """280 entries, one tile among them, signed to the last."""
    folder = tmp_path_factory.mktemp("journal")
    url = sqlite_url(folder, "journal.db", migrate_journal)
    with closing(sql_journal(url)) as journal:
        checkpointer = Checkpointer(journal, SignerInMemory(), HandClock(), SignCounts())
        for begin in (0, 80):
            asyncio.run(fill(journal, range(begin, begin + 80)))
            stored = checkpointer.sign_once()
        assert stored is not None
        assert 256 < stored.size == journal.size()
    return Sound((folder / "journal.db").read_bytes(), stored.note)


def verified(journal: SqlJournal, *kept: Note) -> list[LogFinding]:
    found: list[LogFinding] = []
    verify_log(journal, SIGNER.key, kept, found=found.append)
    return found


class Enough(Exception):
    """One finding is all that is wanted."""


def is_found_out(journal: SqlJournal, *kept: Note) -> bool:
    def found(finding: LogFinding) -> None:
        raise Enough

    try:
        verify_log(journal, SIGNER.key, kept, found=found)
    except Enough:
        return True
    return False


def put(sound: Sound, folder: Path) -> Path:
    file = folder / "journal.db"
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)
    file.write_bytes(sound.data)
    return file


def restore(sound: Path, file: Path) -> None:
    """Make a file what it was, through SQLite, so that connections that are open notice."""
    with closing(sqlite3.connect(sound)) as source, closing(sqlite3.connect(file)) as target:
        target.execute("PRAGMA synchronous = OFF")
        source.backup(target)


def test_a_journal_that_nobody_touched_has_no_finding(sound: Sound, tmp_path: Path) -> None:
    with closing(sql_journal(f"sqlite:///{put(sound, tmp_path)}")) as journal:
        assert [] == verified(journal, Note(Place.GIVEN, sound.note))


def test_any_tampering_with_the_tables_is_found(sound: Sound, tmp_path: Path) -> None:
    (tmp_path / "sound").mkdir()
    kept, file = put(sound, tmp_path / "sound"), put(sound, tmp_path)
    random, overlooked = Random(SEED), []
    # One journal for all: what is costly is that SQLAlchemy compiles each statement anew for another.
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        for number in range(TRIES):
            done = tamper(file, random)
            if not is_found_out(journal, Note(Place.GIVEN, sound.note)):
                overlooked.append((number, done))
            restore(kept, file)
        assert [] == verified(journal, Note(Place.GIVEN, sound.note))
    assert [] == overlooked


def test_any_bit_flipped_in_the_files_entries_is_found(sound: Sound, tmp_path: Path) -> None:
    random = Random(SEED)
    for number in range(TRIES // 20):
        file = put(sound, tmp_path)
        done = flip_in_file(file, random)
        with closing(sql_journal(f"sqlite:///{file}")) as journal:
            assert is_found_out(journal, Note(Place.GIVEN, sound.note)), (number, done)
