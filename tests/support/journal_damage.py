"""Tampering with a journal's SQLite file: one random edit at a time, seeded, each of which changes what the file says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

# Table -> the columns that place a row, and those that say something. Left out is what no entry tells: when a checkpoint was
# signed, and the looks of operators.
TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "log": (("sequence",), ("leaf_hash", "entry")),
    "log_tiles": (("level", "number"), ("hash",)),
    "log_head": ((), ("origin", "seal_check", "size", "frontier", "erased")),
    "decisions": (
        ("sequence",),
        ("decision_id", "partner", "action", "purpose", "outcome", "decided_at", "dry_run", "degraded", "key_id"),
    ),
    "decision_reasons": (("sequence", "place"), ("list", "measure", "effect", "shadow")),
    "decision_handles": (("sequence", "handle"), ()),
    "events": (
        ("sequence",),
        ("partner", "event_id", "kind", "code", "list", "occurred_at_ms", "recorded_at_ms", "digest"),
    ),
    "checkpoints": (("size",), ("root", "note")),
    "subject_keys": (("handle",), ("key_id", "wrapped")),
}


def tamper(file: Path, random: Random) -> str:
    """Tamper once with what the tables say, by SQL; gives what was done, for whoever reads a failure."""
    while True:
        act = random.choice(ACTS)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            try:
                with connection:
                    done = act(connection, random)
            except sqlite3.IntegrityError:
                continue  # the database itself refuses it
        if done:
            return f"{act.__name__} {done}"


def edit(connection: sqlite3.Connection, random: Random) -> str:
    table, (keys, facts) = pick(random)
    row, column = a_row(connection, table, random), random.choice((*keys, *facts))
    if row is None:
        return ""
    rowed = {**row, column: other(row[column], random)}
    remove_row(connection, table, row)
    insert_row(connection, table, rowed)
    return f"{table}.{column}"


def delete(connection: sqlite3.Connection, random: Random) -> str:
    table, _ = pick(random)
    row = a_row(connection, table, random)
    if row is None or (
        table == "checkpoints" and connection.execute("SELECT max(size) FROM checkpoints").fetchone()[0] > row["size"]
    ):
        return ""  # nobody can tell that an older checkpoint than the newest was there
    remove_row(connection, table, row)
    return table


def swap(connection: sqlite3.Connection, random: Random) -> str:
    table, (keys, _) = pick(random)
    first, second = a_row(connection, table, random), a_row(connection, table, random)
    if first is None or second is None:
        return ""
    if table == "decision_handles":
        keys = ("sequence",)
    swapped = [{**first, **{key: second[key] for key in keys}}, {**second, **{key: first[key] for key in keys}}]
    if not keys or all(row in (first, second) for row in swapped):
        return ""
    remove_row(connection, table, first)
    remove_row(connection, table, second)
    for row in swapped:
        insert_row(connection, table, row)
    return table


def insert(connection: sqlite3.Connection, random: Random) -> str:
    table, (keys, _) = pick(random)
    row = a_row(connection, table, random)
    if row is None or not keys:
        return ""
    changed = dict(row)
    for name in [random.choice(keys), *(name for name in ("decision_id", "event_id") if name in row)]:
        changed[name] = other(row[name], random)
    if table == "subject_keys":
        return ""  # a key that nothing is sealed under is nobody's
    insert_row(connection, table, changed)
    return table


def truncate(connection: sqlite3.Connection, random: Random) -> str:
    """Cut off the end of the log alone, or with what was derived from it, or with the head's count too."""
    size = connection.execute("SELECT size FROM log_head").fetchone()[0]
    cut = size - random.randrange(1, 20)
    tables = ["log"]
    if random.random() < 0.7:
        tables += ["decisions", "decision_reasons", "decision_handles", "events"]
    for table in tables:
        connection.execute(f"DELETE FROM {table} WHERE sequence >= ?", (cut,))
    if random.random() < 0.5:
        connection.execute("UPDATE log_head SET size = ?", (cut,))
    if random.random() < 0.5:
        connection.execute("DELETE FROM checkpoints")
    return f"from {size} to {cut}"


def flip_in_file(file: Path, random: Random) -> str:
    """Flip a bit within an entry or its hash, where the file holds it."""
    with closing(sqlite3.connect(file)) as connection:
        row = a_row(connection, "log", random)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert row is not None
    column = random.choice(("leaf_hash", "entry"))
    data = bytearray(file.read_bytes())
    # An entry longer than a page's share goes on elsewhere; its beginning is in one place.
    found = data.find(row[column][:32])
    assert found >= 0
    data[found + random.randrange(32)] ^= 1 << random.randrange(8)
    file.write_bytes(data)
    return f"flip {column}"


ACTS: tuple[Callable[[sqlite3.Connection, Random], str], ...] = (edit, edit, delete, swap, insert, truncate)


def pick(random: Random) -> tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    # The log itself as often as all that follows from it.
    table = "log" if random.random() < 0.5 else random.choice(list(TABLES))
    return table, TABLES[table]


def a_row(connection: sqlite3.Connection, table: str, random: Random) -> dict[str, Any] | None:
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1")
    names = [each[0] for each in cursor.description]
    rows = cursor.fetchall()
    return dict(zip(names, random.choice(rows), strict=True)) if rows else None


def remove_row(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    # NULL is not equal to itself.
    where = " AND ".join(f"{name} IS ?" for name in row)
    connection.execute(f"DELETE FROM {table} WHERE {where}", list(row.values()))


def insert_row(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    places = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))


def other(value: Any, random: Random) -> Any:
    """Give a value of the same type that is another."""
    if isinstance(value, bytes):
        return random.choice((_flipped(value, random), value[:-1], value + b"\0", b"")) if value else b"\0"
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return value[:at] + "x" + value[at:]
    if isinstance(value, float):
        return value + random.choice((-1.0, 0.5, 86_400.0))
    if isinstance(value, int):
        return random.choice((value + 1, value - 1, value + 2**40, -1 - value)) if value > 1 else 1 - value
    raise TypeError(type(value).__name__)


def _flipped(value: bytes, random: Random) -> bytes:
    changed = bytearray(value)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)
