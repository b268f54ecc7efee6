"""Every edit, deletion, swap, insertion and truncation of a journal's tables is found by verifying it, on every store.

500 of them in SQLite and 250 in PostgreSQL here; PORTCULLIS_FUZZ=10000 tries as many in each, PORTCULLIS_FUZZ_SEED others.
`make fuzz-journal` does so, and keeps a page of what was found by what.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
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
from tests.support.databases import PostgresServer, sqlite_url
from tests.support.decision_records import a_reason, a_record
from tests.support.journal_damage import Damage, Damageable, PostgresTables, SqliteFile, flip_in_file, tamper
from tests.support.journals import a_settlement, an_event, sql_journal
from tests.support.result_pages import keep_page, table
from tests.support.signers import SignCounts, SignerInMemory

ASKED = os.environ.get("PORTCULLIS_FUZZ")
TRIES = {"sqlite": int(ASKED or "500"), "postgresql": int(ASKED or "250")}
SEED = int(os.environ.get("PORTCULLIS_FUZZ_SEED", "4"))
SIGNER = SignerInMemory()
OVERLOOKED = "overlooked"

Tally = Counter[tuple[str, str, str]]
"""How often, by (store, kind of edit, fault that was told first)."""


class Sound(NamedTuple):
    """A journal that nobody touched, and a checkpoint of it that is kept elsewhere."""

    store: Damageable
    note: Note


async def fill(journal: SqlJournal, numbers: range) -> None:
    reasons = (a_reason(), a_reason(list="carrier", shadow=True))
    records = [a_record(f"d{n}", tokens=(f"{n % 7 + 1:032x}", f"{n % 11 + 101:032x}"), reasons=reasons) for n in numbers]
    journal.record_decisions(records)
    await journal.record_events("lending", [an_event(f"e{n}", decision_id=f"d{n}") for n in numbers[::2]])
    await journal.record_events("lending", [a_settlement(f"s{n}") for n in numbers[::3]])


def filled(url: str) -> Note:
    """Put 280 entries into a journal, one tile among them, signed to the last; gives the checkpoint."""
    with closing(sql_journal(url)) as journal:
        checkpointer = Checkpointer(journal, SignerInMemory(), HandClock(), SignCounts())
        for begin in (0, 80):
            asyncio.run(fill(journal, range(begin, begin + 80)))
            # Somebody who was asked about, and is mentioned beside others; and somebody who is mentioned alone.
            journal.erase([(begin // 80 + 3).to_bytes(16), (105).to_bytes(16)], actor="dpo", purpose="")
            stored = checkpointer.sign_once()
        assert stored is not None
        assert 256 < stored.size == journal.size()
    return Note(Place.GIVEN, stored.note)


@pytest.fixture(params=sorted(TRIES))
def sound(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sound]:
    with ExitStack() as held:
        if request.param == "sqlite":
            yield held.enter_context(on_sqlite(tmp_path))
        else:
            yield held.enter_context(on_postgresql(request.getfixturevalue("postgres")))


@contextmanager
def on_sqlite(folder: Path) -> Iterator[Sound]:
    """Give a sound journal in a file."""
    (folder / "filled").mkdir()
    note = filled(sqlite_url(folder / "filled", "journal.db", migrate_journal))
    with closing(SqliteFile(folder, (folder / "filled" / "journal.db").read_bytes())) as store:
        yield Sound(store, note)


@contextmanager
def on_postgresql(server: PostgresServer) -> Iterator[Sound]:
    """Give a sound journal in a database of its own."""
    with server.empty_database() as url:
        migrate_journal(url)
        note = filled(url)
        with closing(PostgresTables(url)) as store:
            yield Sound(store, note)


def verified(journal: SqlJournal, *kept: Note) -> list[LogFinding]:
    found: list[LogFinding] = []
    verify_log(journal, SIGNER.key, kept, found=found.append)
    return found


class Enough(Exception):
    """One finding is all that is wanted."""

    def __init__(self, finding: LogFinding) -> None:
        self.finding = finding


def first_fault(journal: SqlJournal, *kept: Note) -> str:
    """Give the fault that a verification tells first; OVERLOOKED where it tells none."""

    def found(finding: LogFinding) -> None:
        raise Enough(finding)

    try:
        verify_log(journal, SIGNER.key, kept, found=found)
    except Enough as told:
        return told.finding.fault.value
    return OVERLOOKED


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """Counts what was found by what; kept as a page at the end."""
    counted: Tally = Counter()
    yield counted
    if counted:
        keep_page("journal-tampering", "A journal tampered with", described(counted))


def described(tally: Tally) -> Iterator[str]:
    """Write what was tried and how each was found."""
    edits, overlooked = sum(tally.values()), overlooked_in(tally)
    yield (
        f"`make fuzz-journal`, seed {SEED}: {edits:,} random edits, deletions, swaps, insertions and truncations of a "
        "journal of 280 entries, one at a time, each verified with a checkpoint that is kept elsewhere. In SQLite, bits "
        f"were flipped in the file besides. {edits - overlooked:,} were found, {overlooked:,} overlooked."
    )
    faults = sorted({fault for _, _, fault in tally})
    kinds = sorted({(store, kind) for store, kind, _ in tally})
    rows = [
        [store, kind, sum(tally[store, kind, fault] for fault in faults), *(tally[store, kind, fault] for fault in faults)]
        for store, kind in kinds
    ]
    yield "By the kind of edit, and by what was told first of it:"
    yield table(["store", "edit", "tried", *faults], rows)


def overlooked_in(tally: Tally) -> int:
    return sum(count for (_, _, fault), count in tally.items() if fault == OVERLOOKED)


def note_in(tally: Tally, store: Damageable, done: Damage, fault: str) -> None:
    tally[store.engine.dialect.name, done.kind, fault] += 1


def test_a_journal_that_nobody_touched_has_no_finding(sound: Sound) -> None:
    with closing(sql_journal(sound.store.url)) as journal:
        assert [] == verified(journal, sound.note)


def test_any_tampering_with_the_tables_is_found(sound: Sound, tally: Tally) -> None:
    store, random, overlooked = sound.store, Random(SEED), []
    # One journal for all: what is costly is that SQLAlchemy compiles each statement anew for another.
    with closing(sql_journal(store.url)) as journal:
        for number in range(TRIES[store.engine.dialect.name]):
            done = tamper(store, random)
            fault = first_fault(journal, sound.note)
            note_in(tally, store, done, fault)
            if fault == OVERLOOKED:
                overlooked.append((number, done))
            store.restore()
        assert [] == verified(journal, sound.note)
    assert [] == overlooked


def test_any_bit_flipped_in_the_files_entries_is_found(tmp_path: Path, tally: Tally) -> None:
    random = Random(SEED)
    with on_sqlite(tmp_path) as sound:
        assert isinstance(sound.store, SqliteFile)
        for number in range(TRIES["sqlite"] // 20):
            sound.store.lay_down()
            done = flip_in_file(sound.store, random)
            with closing(sql_journal(sound.store.url)) as journal:
                fault = first_fault(journal, sound.note)
            note_in(tally, sound.store, done, fault)
            assert OVERLOOKED != fault, (number, done)
