"""Engines: which URLs are read, and what holds on every connection."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from portcullis.adapters.sql.engines import DATABASE_ERRORS, open_engine, read_url, writing
from portcullis.domain.errors import SetupFault


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'some.db'}", write_wait_s=0.1)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_means_psycopg_3(scheme: str) -> None:
    assert read_url(f"{scheme}://ann:secret@db.example/portcullis").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "url", ["", "registry.db", "mysql://db.example/x", "sqlite://", "sqlite:///:memory:", "postgresql+asyncpg://h/d"]
)
def test_another_url_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(SetupFault, match="sqlite:///PATH"):
        read_url(url)


def test_a_refused_url_is_not_repeated() -> None:
    with pytest.raises(SetupFault) as fault:
        read_url("mysql://ann:hunter2@db.example/x")
    assert "hunter2" not in str(fault.value)


@pytest.mark.parametrize(("query", "idle"), [("", 5), ("?keepalives_idle=60", "60")])
def test_a_silent_postgresql_is_given_up_soon_unless_the_url_says_otherwise(query: str, idle: object) -> None:
    engine = open_engine(f"postgresql://nobody@127.0.0.1:1/none{query}", write_wait_s=0.1)
    asked: dict[str, object] = {}

    @event.listens_for(engine, "do_connect")
    def note(_dialect: object, _record: object, _given: object, parameters: dict[str, object]) -> None:
        asked.update(parameters)

    with pytest.raises(DATABASE_ERRORS), engine.connect():
        pass
    kept = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
    assert [idle, 3, 3, 15_000] == [asked.get(name) for name in kept]
    engine.dispose()


def test_every_sqlite_connection_is_durable_and_checks_its_references(engine: Engine) -> None:
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            asked = {
                name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
            }
            assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_writer_waits_for_another_and_gives_up_in_time(engine: Engine) -> None:
    with writing(engine).begin() as first:
        first.execute(text("CREATE TABLE things (name TEXT)"))
        begun = time.monotonic()
        with pytest.raises(DATABASE_ERRORS), writing(engine).begin():
            pass
        assert 0.1 <= time.monotonic() - begun < 5
    with writing(engine).begin() as second:
        second.execute(text("INSERT INTO things VALUES ('one')"))


def test_readers_and_a_writer_do_not_wait_for_each_other(engine: Engine) -> None:
    with writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE things (name TEXT)"))
    count = text("SELECT count(*) FROM things")
    with engine.begin() as reader:
        assert reader.scalar(count) == 0
        with writing(engine).begin() as writer:
            writer.execute(text("INSERT INTO things VALUES ('one')"))
            assert reader.scalar(count) == 0
        assert reader.scalar(count) == 0
    with engine.begin() as reader:
        assert reader.scalar(count) == 1


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def use() -> None:
        own = open_engine(f"sqlite:///{tmp_path / 'new.db'}", write_wait_s=10)
        try:
            with writing(own).begin() as connection:
                connection.execute(text("CREATE TABLE IF NOT EXISTS things (name TEXT)"))
        except DATABASE_ERRORS as fault:
            faults.append(fault)
        finally:
            own.dispose()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_fault_does_not_quote_what_was_to_be_written(engine: Engine) -> None:
    with pytest.raises(DATABASE_ERRORS) as fault, writing(engine).begin() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "CANARY"})
    assert "CANARY" not in str(fault.value)


def test_the_file_is_sound_after_use(engine: Engine, tmp_path: Path) -> None:
    with writing(engine).begin() as connection:
        connection.execute(text("CREATE TABLE things (name TEXT)"))
    engine.dispose()
    with closing(sqlite3.connect(tmp_path / "some.db")) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
