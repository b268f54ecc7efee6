"""Tampering with a journal's tables: one random edit at a time, seeded, each of which changes what they say.

The same edits are made of every store. What differs between stores is how a sound journal is kept and restored.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import DataError, IntegrityError

from portcullis.adapters.sql.engines import read_url

# Table -> the columns that place a row, and those that say something. Left out is what no entry tells: when a checkpoint was
# signed, and the looks of operators.
TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "log": (("sequence",), ("leaf_hash", "entry")),
    "log_tiles": (("level", "number"), ("hash",)),
    "log_head": ((), ("origin", "seal_check", "size", "frontier", "erased", "timeline")),
    "decisions": (
        ("sequence",),
        (
            *("decision_id", "partner", "action", "purpose", "outcome", "decided_at", "dry_run", "degraded"),
            *("snapshot_version", "key_id"),
        ),
    ),
    "decision_reasons": (("sequence", "place"), ("list", "measure", "effect", "shadow")),
    "decision_handles": (("sequence", "handle"), ()),
    "events": (
        ("sequence",),
        (
            *("partner", "event_id", "kind", "code", "list", "decision_sequence", "occurred_at_ms", "recorded_at_ms"),
            "digest",
        ),
    ),
    "checkpoints": (("size",), ("root", "note")),
    "subject_keys": (("handle",), ("key_id", "wrapped")),
}


class Damage(NamedTuple):
    """What was done: the kind of edit, and where, for whoever reads a failure."""

    kind: str
    where: str


class Damageable(Protocol):
    """A journal that can be tampered with and made sound again, while connections to it are open."""

    @property
    def url(self) -> str: ...

    def restore(self) -> None:
        """Make the journal what it was when this was made."""
        ...

    def close(self) -> None:
        """Give up the database."""
        ...

    @property
    def engine(self) -> Engine:
        """What tampers with it."""
        ...


class SqliteFile:
    """A journal's file, as its bytes were given."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.file, self._sound, self._data = folder / "journal.db", folder / "sound.db", data
        self.url = f"sqlite:///{self.file}"
        self.lay_down()
        self.engine = create_engine(self.url, poolclass=NullPool)
        event.listen(self.engine, "connect", lambda raw, _entry: raw.execute("PRAGMA synchronous = OFF"))

    def lay_down(self) -> None:
        """Write the file as its bytes were given, while nobody has it open."""
        for end in ("-wal", "-shm"):
            Path(f"{self.file}{end}").unlink(missing_ok=True)
        for file in (self.file, self._sound):
            file.write_bytes(self._data)

    def restore(self) -> None:
        # Through SQLite, so that connections that are open notice.
        with closing(sqlite3.connect(self._sound)) as source, closing(sqlite3.connect(self.file)) as target:
            target.execute("PRAGMA synchronous = OFF")
            source.backup(target)

    def close(self) -> None:
        self.engine.dispose()


class PostgresTables:
    """A journal's tables as they stand, each with a copy in a schema of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(read_url(url))
        with self.engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA sound"))
            for table in TABLES:
                connection.execute(text(f"CREATE TABLE sound.{table} AS TABLE public.{table}"))

    def restore(self) -> None:
        with self.engine.begin() as connection:
            for table, (keys, _) in TABLES.items():
                # Only what differs is written: all of it anew would be mostly vacuuming after some hundred times.
                damaged = f"(SELECT * FROM {table} EXCEPT SELECT * FROM sound.{table}) AS damaged"
                same = " AND ".join(f"{table}.{key} = damaged.{key}" for key in keys) or "true"
                connection.execute(text(f"DELETE FROM {table} USING {damaged} WHERE {same}"))
                connection.execute(text(f"INSERT INTO {table} SELECT * FROM sound.{table} EXCEPT SELECT * FROM {table}"))

    def close(self) -> None:
        self.engine.dispose()


def tamper(store: Damageable, random: Random) -> Damage:
    """Tamper once with what the tables say, by SQL."""
    while True:
        act = random.choice(ACTS)
        try:
            with store.engine.begin() as connection:
                done = act(connection, random)
        except (IntegrityError, DataError):
            continue  # the database itself refuses it
        if done:
            return Damage(act.__name__, done)


def edit(connection: Connection, random: Random) -> str:
    table, (keys, facts) = pick(random)
    row, column = a_row(connection, table, random), random.choice((*keys, *facts))
    if row is None:
        return ""
    rowed = {**row, column: other(row[column], random)}
    remove_row(connection, table, row)
    insert_row(connection, table, rowed)
    return f"{table}.{column}"


def delete(connection: Connection, random: Random) -> str:
    table, _ = pick(random)
    row = a_row(connection, table, random)
    if row is None or (
        table == "checkpoints" and connection.scalar(text("SELECT max(size) FROM checkpoints")) > row["size"]
    ):
        return ""  # nobody can tell that an older checkpoint than the newest was there
    remove_row(connection, table, row)
    return table


def swap(connection: Connection, random: Random) -> str:
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


def insert(connection: Connection, random: Random) -> str:
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


def truncate(connection: Connection, random: Random) -> str:
    """Cut off the end of the log alone, or with what was derived from it, or with the head's count too."""
    size = connection.execute(text("SELECT size FROM log_head")).scalar_one()
    cut = size - random.randrange(1, 20)
    tables = ["log"]
    if random.random() < 0.7:
        tables += ["decisions", "decision_reasons", "decision_handles", "events"]
    for table in tables:
        connection.execute(text(f"DELETE FROM {table} WHERE sequence >= :cut"), {"cut": cut})
    if random.random() < 0.5:
        connection.execute(text("UPDATE log_head SET size = :cut"), {"cut": cut})
    if random.random() < 0.5:
        connection.execute(text("DELETE FROM checkpoints"))
    return f"from {size} to {cut}"


def flip_in_file(store: SqliteFile, random: Random) -> Damage:
    """Flip a bit within an entry or its hash, where the file holds it. PostgreSQL's own checksums refuse such a page."""
    with store.engine.connect() as connection:
        row = a_row(connection, "log", random)
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert row is not None
    column = random.choice(("leaf_hash", "entry"))
    data = bytearray(store.file.read_bytes())
    # An entry longer than a page's share goes on elsewhere; its beginning is in one place.
    found = data.find(row[column][:32])
    assert found >= 0
    data[found + random.randrange(32)] ^= 1 << random.randrange(8)
    store.file.write_bytes(data)
    return Damage("flip", column)


ACTS: tuple[Callable[[Connection, Random], str], ...] = (edit, edit, delete, swap, insert, truncate)


def pick(random: Random) -> tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    # The log itself as often as all that follows from it.
    table = "log" if random.random() < 0.5 else random.choice(list(TABLES))
    return table, TABLES[table]


def a_row(connection: Connection, table: str, random: Random) -> dict[str, Any] | None:
    keys, _ = TABLES[table]
    rows = connection.execute(text(f"SELECT * FROM {table} ORDER BY {', '.join(keys) or '1'}")).mappings().all()
    return dict(random.choice(rows)) if rows else None


def remove_row(connection: Connection, table: str, row: dict[str, Any]) -> None:
    # NULL is not equal to itself.
    same = "IS" if connection.dialect.name == "sqlite" else "IS NOT DISTINCT FROM"
    where = " AND ".join(f"{name} {same} :{name}" for name in row)
    connection.execute(text(f"DELETE FROM {table} WHERE {where}"), row)


def insert_row(connection: Connection, table: str, row: dict[str, Any]) -> None:
    places = ", ".join(f":{name}" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"), row)


def other(value: Any, random: Random) -> Any:
    """Give a value of the same type that is another; a number where there is none."""
    if value is None:
        return random.randrange(-1, 400)
    if isinstance(value, bytes):
        return random.choice((_flipped(value, random), value[:-1], value + b"\0", b"")) if value else b"\0"
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return value[:at] + "x" + value[at:]
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value + random.choice((-1.0, 0.5, 86_400.0))
    if isinstance(value, int):
        return random.choice((value + 1, value - 1, value + 2**40, -1 - value)) if value > 1 else 1 - value
    raise TypeError(type(value).__name__)


def _flipped(value: bytes, random: Random) -> bytes:
    changed = bytearray(value)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)
