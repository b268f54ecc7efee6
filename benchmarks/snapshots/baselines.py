"""What the machine does without Portcullis: the baselines of the same run."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import lmdb
import redis

from benchmarks.snapshots.parts import Stand

_ROWS = 200_000
_RECORDS = 500_000
_VALUE = bytes(26)
_WAIT_S = 5.0


def raw_rows_per_s(folder: Path) -> float:
    """Rows a second into one SQLite table of a token and a value, in one transaction on a durable file."""
    rows = [(os.urandom(16), _VALUE) for _ in range(_ROWS)]
    with closing(sqlite3.connect(folder / "raw.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE raw (token BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        started = time.monotonic()
        with database:
            database.executemany("INSERT INTO raw VALUES (?, ?)", rows)
        seconds = time.monotonic() - started
    return _ROWS / seconds


def raw_records_per_s(folder: Path) -> float:
    """Sorted records a second appended to an LMDB file, forced to the disk at the end."""
    records = [(number.to_bytes(16, "big"), _VALUE) for number in range(_RECORDS)]
    started = time.monotonic()
    with closing(lmdb.open(str(folder / "raw.lmdb"), map_size=1 << 32, sync=False)) as environment:
        for place in range(0, _RECORDS, 10_000):
            with environment.begin(write=True) as transaction, transaction.cursor() as cursor:
                cursor.putmulti(records[place : place + 10_000], append=True)
        environment.sync(True)  # noqa: FBT003 - positional by LMDB's signature: force
    return _RECORDS / (time.monotonic() - started)


def start_s() -> float:
    """Seconds until a Python that serves gRPC over an LMDB file has begun: its imports alone."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import grpc.aio, lmdb, uvloop, msgspec, phonenumbers, stdnum"], check=True)
    return time.monotonic() - started


def raw_visible_s(stand: Stand, rounds: int) -> list[float]:
    """Seconds for the same way without Portcullis: a durable row, a message through the store, a durable LMDB record."""
    found = []
    with (
        closing(sqlite3.connect(stand.home / "way.db", isolation_level=None)) as database,
        closing(lmdb.open(str(stand.home / "way.lmdb"), map_size=1 << 28)) as environment,
        redis.Redis.from_url(stand.redis_url) as client,
    ):
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE way (number INTEGER PRIMARY KEY)")
        with closing(client.pubsub()) as subscription:
            subscription.subscribe("portcullis-bench")
            subscription.get_message(timeout=_WAIT_S)
            for number in range(rounds):
                database.execute("INSERT INTO way VALUES (?)", (number,))
                started = time.monotonic()
                client.publish("portcullis-bench", b"")
                if subscription.get_message(timeout=_WAIT_S) is None:
                    raise RuntimeError("the store lost a message")
                with environment.begin(write=True) as transaction:
                    transaction.put(number.to_bytes(16, "big"), _VALUE)
                found.append(time.monotonic() - started)
    return found
