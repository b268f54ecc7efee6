"""The audit of the journal's index: whatever is changed, taken away or slipped in beside the log is named."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from portcullis.adapters.sql.journal.handle_audit import HandleAudit
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.domain.log_facts import ERASURE_FACTS
from tests.support.databases import sqlite_url
from tests.support.decision_records import a_reason, a_record
from tests.support.journals import a_settlement, an_event, sql_journal

ROWS = 40


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with 520 entries of every kind, of which the first 480 are before an erasure."""
    folder = tmp_path_factory.mktemp("journal")
    url = sqlite_url(folder, "journal.db", migrate_journal)
    with closing(sql_journal(url)) as journal:
        for begin in range(0, 480, 2 * ROWS):
            asyncio.run(fill(journal, range(begin, begin + ROWS)))
        journal.erase([(3).to_bytes(16)], actor="dpo", purpose="")
        asyncio.run(fill(journal, range(480, 500)))
    return (folder / "journal.db").read_bytes()


async def fill(journal: SqlJournal, numbers: range) -> None:
    reasons = (a_reason(), a_reason(list="carrier", shadow=True))
    records = [a_record(f"d{n}", tokens=(f"{n % 7:032x}", f"{n % 11:032x}"), reasons=reasons) for n in numbers]
    journal.record_decisions(records)
    half = [a_settlement(f"e{n}", case_reference=f"(2090) Demo {n % 5}") for n in numbers[::2]]
    await journal.record_events("lending", [*half, *(an_event(f"e{n}", decision_id=f"d{n}") for n in numbers[1::2])])


@pytest.fixture
def file(sound: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    path.write_bytes(sound)
    return path


def faults(file: Path) -> list[str]:
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        return list(journal.index_faults())


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0


def test_a_sound_journal_has_no_faults(file: Path) -> None:
    assert faults(file) == []


def test_an_empty_journal_has_no_faults(tmp_path: Path) -> None:
    sqlite_url(tmp_path, "journal.db", migrate_journal)
    assert faults(tmp_path / "journal.db") == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE decisions SET outcome = 'ALLOW' WHERE sequence = 5", "decisions 5: it says something else than its entry"),
        ("UPDATE decisions SET decided_at = decided_at + 1 WHERE sequence = 5", "decisions 5: it says something else"),
        ("DELETE FROM decisions WHERE sequence = 5", "decisions 5: it is missing"),
        ("DELETE FROM decision_reasons WHERE sequence = 5 AND place = 1", "decision_reasons 5: it says something else"),
        ("DELETE FROM decision_reasons WHERE sequence = 5", "decision_reasons 5: it is missing"),
        ("UPDATE decision_reasons SET shadow = 0 WHERE sequence = 5", "decision_reasons 5: it says something else"),
        ("DELETE FROM decision_handles WHERE sequence = 485", "decision_handles 485: it is missing"),
        (
            "UPDATE decision_handles SET handle = 'x' || handle WHERE sequence = 5",
            "decision_handles 5: it says something else",
        ),
        ("UPDATE events SET digest = x'00' WHERE sequence = 45", "events 45: it says something else than its entry"),
        ("UPDATE events SET decision_sequence = 4 WHERE sequence = 75", "events 75: it says something else than its entry"),
        (
            "UPDATE events SET decision_sequence = 9999 WHERE sequence = 45",
            "events 45: it says something else than its entry",
        ),
        (
            "UPDATE events SET decision_sequence = NULL WHERE sequence = 75",
            "events 75: it says something else than its entry",
        ),
        ("UPDATE events SET event_id = 'x' WHERE sequence = 45", "events 45: it says something else than its entry"),
        ("DELETE FROM events WHERE sequence = 45", "events 45: it is missing"),
        ("UPDATE events SET sequence = 900 WHERE sequence = 45", "events 900: it belongs to no entry of the log"),
        ("UPDATE events SET sequence = -1 WHERE sequence = 45", "events -1: it belongs to no entry of the log"),
        ("DELETE FROM decision_handles WHERE sequence = 5", "decision_handles 5: it is missing"),
        ("INSERT INTO decision_handles VALUES (3, 'x')", "decision_handles 3: it finds a decision whose person was erased"),
        (
            "UPDATE decision_handles SET handle = 'erased-7' WHERE handle LIKE 'erased-%' AND sequence = 14",
            "decision_handles 14: it says something else than its entry",
        ),
        (
            "UPDATE decision_handles SET handle = 'erased-0' WHERE sequence = 5",
            "decision_handles: 21 are blank, and the erasures left 20",
        ),
        (
            "DELETE FROM decision_handles WHERE handle LIKE 'erased-%' AND sequence = 14",
            "decision_handles 14: it is missing",
        ),
        ("INSERT INTO decision_handles VALUES (45, 'x')", "decision_handles 45: it belongs to no decision"),
        (
            "INSERT INTO decision_reasons VALUES (45, 0, 'court', 'loans', 'RESTRICT', 0)",
            "decision_reasons 45: it belongs to no entry of its kind",
        ),
        ("INSERT INTO log_tiles VALUES (9, 0, zeroblob(32))", "log_tiles level 9 number 0: no subtree has this place"),
        ("INSERT INTO log_tiles VALUES (1, -1, zeroblob(32))", "log_tiles level 1 number -1: no subtree has this place"),
        ("UPDATE log_head SET erased = 0", "log_head: it says something else of the last erasure"),
        ("UPDATE log_head SET erased = erased + 1", "log_head: it says something else of the last erasure"),
        ("UPDATE log SET entry = x'7b7d' WHERE sequence = 5", "log 5: it is no entry"),
        ("DELETE FROM log WHERE sequence = 5", "decisions 5: it belongs to no entry of the log"),
    ],
)
def test_each_difference_is_named(file: Path, statement: str, expected: str) -> None:
    change(file, statement)
    assert [line for line in faults(file) if line.startswith(expected)] != []


KEY_OF_5 = "key_id = (SELECT key_id FROM decisions WHERE sequence = 5)"
KEY_OF_6 = "key_id = (SELECT key_id FROM decisions WHERE sequence = 6)"
KEY_OF_A_CASE = "key_id NOT IN (SELECT key_id FROM decisions)"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            f"DELETE FROM subject_keys WHERE {KEY_OF_5}",
            "subject_keys: the key of entry 5 is missing, and no erasure",
        ),
        (f"UPDATE subject_keys SET key_id = 'x' || key_id WHERE {KEY_OF_5}", "subject_keys: the key of entry 5 is missing"),
        (f"UPDATE subject_keys SET handle = 'x' || handle WHERE {KEY_OF_5}", "subject_keys: the key of entry 5 was changed"),
        (
            f"UPDATE subject_keys SET wrapped = (SELECT wrapped FROM subject_keys WHERE {KEY_OF_6}) WHERE {KEY_OF_5}",
            "subject_keys: the key of entry 5 was changed, or is another subject's",
        ),
        (f"DELETE FROM subject_keys WHERE {KEY_OF_A_CASE}", "subject_keys: the key of entry 40 is missing"),
        (f"UPDATE subject_keys SET wrapped = zeroblob(61) WHERE {KEY_OF_A_CASE}", "subject_keys: the key of entry 40 was"),
        ("UPDATE log_head SET seal_check = zeroblob(16)", "log_head: the journal was written with another record key"),
    ],
)
def test_a_key_that_was_taken_away_or_changed_without_an_erasure_is_named(file: Path, statement: str, expected: str) -> None:
    change(file, statement)
    assert [line for line in faults(file) if line.startswith(expected)] != []


def test_an_erased_key_that_came_back_is_named(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        kept = connection.execute(f"SELECT handle, key_id, wrapped FROM subject_keys WHERE {KEY_OF_5}").fetchone()
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        assert journal.erase([(5).to_bytes(16)], actor="dpo", purpose="").keys == 1
        assert list(journal.index_faults()) == []
        erased_by = journal.size() - 1
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO subject_keys (handle, key_id, wrapped) VALUES (?, ?, ?)", kept)
    assert f"subject_keys: a key is there that was erased by entry {erased_by}" in faults(file)


def test_an_erasure_while_the_log_is_audited_is_no_fault(file: Path) -> None:
    change(file, "INSERT INTO decision_handles VALUES (900, 'x')")
    with closing(sql_journal(f"sqlite:///{file}")) as journal:
        found = journal.index_faults()
        # The extent of the log was taken, and none of its keys looked at.
        assert next(found).startswith("decision_handles 900")
        assert journal.erase([(5).to_bytes(16)], actor="dpo", purpose="").keys == 1
        assert list(found) == []


def test_entries_cut_off_at_the_end_leave_rows_that_are_named(file: Path) -> None:
    change(file, "DELETE FROM log WHERE sequence > 500")
    found = faults(file)
    assert {"events"} == {line.split()[0] for line in found if "handles" not in line}
    assert len(found) >= 19


def test_any_random_change_of_the_index_is_found(file: Path) -> None:
    draw = random.Random(7)
    columns = {
        "decisions": ["decision_id", "partner", "action", "purpose", "key_id", "snapshot_version", "degraded", "sequence"],
        "decision_reasons": ["list", "measure", "effect", "place", "sequence"],
        "events": ["partner", "event_id", "kind", "code", "list", "occurred_at_ms", "recorded_at_ms", "sequence"],
    }
    sound = file.read_bytes()
    for _ in range(12):
        file.write_bytes(sound)
        table = draw.choice(list(columns))
        with closing(sqlite3.connect(file)) as connection, connection:
            names = [row[0] for row in connection.execute(f"SELECT DISTINCT sequence FROM {table}")]
            chosen = draw.choice(names)
            if draw.random() < 0.3:
                connection.execute(f"DELETE FROM {table} WHERE sequence = ?", (chosen,))
            else:
                column = draw.choice(columns[table])
                value = f"{column} + 100000" if column in NUMBERS else f"{column} || 'x'"
                connection.execute(f"UPDATE {table} SET {column} = {value} WHERE sequence = ?", (chosen,))
        assert faults(file) != []


NUMBERS = {"snapshot_version", "degraded", "sequence", "place", "occurred_at_ms", "recorded_at_ms"}


def test_the_faults_name_nobody(file: Path) -> None:
    change(
        file,
        "UPDATE decisions SET partner = 'x'",
        "UPDATE events SET event_id = 'y' || event_id",
        "DELETE FROM decision_handles",
    )
    for line in faults(file):
        assert "Demo" not in line
        assert "order" not in line
        assert "0000" not in line


def test_rows_that_an_erasure_of_an_earlier_release_deleted_are_missed_by_nobody() -> None:
    untold = ERASURE_FACTS.decode(b'{"key_ids":["k1"],"actor":"dpo","purpose":""}')
    audit = HandleAudit()

    assert [] == list(audit.decision(1, "k2", {"a", "b"}, {"a"}))
    audit.erased(2, untold)
    assert [] == list(audit.decision(3, "k2", {"a", "b"}, {"a"}))

    assert ["decision_handles 3: it is missing"] == list(audit.rest())
