"""What was acknowledged is on the disk, whatever the database's server or library does by default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, Pool, event, make_url

from portcullis.adapters.sql.engines import asking, open_engine, reading_consistently, writing
from portcullis.adapters.sql.feed.feed import SqlFeed
from portcullis.adapters.sql.migrating import migrate_journal, migrate_registry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.ports import Progress, StoredCheckpoint
from tests.support.databases import PostgresServer, sqlite_url
from tests.support.decision_records import a_record
from tests.support.feeds import a_change
from tests.support.imports import StillClock
from tests.support.journals import a_settlement, sql_journal
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry

IN_DATABASE = "ALTER DATABASE {0} SET synchronous_commit = off"
FOR_ROLE = "ALTER ROLE CURRENT_USER IN DATABASE {0} SET synchronous_commit = off"


def work_on_journal(url: str) -> None:
    """Have the journal and the feed in its database commit what they can."""
    migrate_journal(url)
    with closing(sql_journal(url)) as journal, closing(SqlFeed(url)) as feed:
        journal.record_decisions([a_record("d1", tokens=("1" * 32,))])
        asyncio.run(journal.record_events("lending", [a_settlement("s1")]))
        journal.keep_checkpoint(StoredCheckpoint(size=1, root=bytes(32), signed_at=1.0, note="note"))
        journal.erase([bytes.fromhex("1" * 32)], actor="ann", purpose="asked for")
        assert feed.append([a_change()], Progress(1, 1), expected=feed.progress())


def work_on_registry(url: str) -> None:
    """Have the registry commit what one person puts and what is imported."""
    migrate_registry(url)
    with closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=StillClock())) as registry:
        registry.apply_policy(POLICY, actor="ann")
        registry.put_entry(an_entry("k1"), actor="ann")
        import_rows(registry, [an_entry("k2")])


@contextmanager
def committing(ask: Callable[[Connection], str | None]) -> Iterator[list[str]]:
    """Ask at every commit of every engine, and gather the answers that are not None."""
    asked: list[str] = []

    def note(connection: Connection) -> None:
        if (said := ask(connection)) is not None:
            asked.append(said)

    event.listen(Engine, "commit", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "commit", note)


def on_postgresql(connection: Connection) -> str | None:
    """Say when a commit is acknowledged; None of one that wrote into no table, or into those of its session alone."""
    wrote, commits = connection.exec_driver_sql(
        "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE pid = pg_backend_pid()"
        " AND mode IN ('RowExclusiveLock', 'AccessExclusiveLock') AND relpersistence = 'p'"
        " AND relnamespace = 'public'::regnamespace), current_setting('synchronous_commit')"
    ).one()
    return str(commits) if wrote else None


def on_sqlite(connection: Connection) -> str | None:
    """Say how a commit is written and forced."""
    mode, forced = (connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous"))
    return f"{mode} {forced}"


@pytest.fixture(params=[IN_DATABASE, FOR_ROLE, "url"], ids=["database", "role", "url"])
def hasty(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database whose server would answer a commit before its disk does."""
    with postgres.empty_database() as url:
        name = make_url(url).database
        assert name is not None
        if request.param == "url":
            yield make_url(url).update_query_dict({"options": "-csynchronous_commit=off"}).render_as_string(False)
            return
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL(request.param).format(sql.Identifier(name)))
        yield url


@pytest.mark.parametrize("work", [work_on_journal, work_on_registry])
def test_a_server_that_answers_before_its_disk_does_so_for_no_commit_of_ours(
    work: Callable[[str], None], hasty: str
) -> None:
    with psycopg.connect(hasty) as connection:
        assert ("off",) == connection.execute("SHOW synchronous_commit").fetchone()
    with committing(on_postgresql) as asked:
        work(hasty)
    assert len(asked) > 3
    assert {"on"} == set(asked)


def test_a_writing_transaction_waits_for_the_disk_and_the_next_one_on_its_connection_does_again(hasty: str) -> None:
    engine = open_engine(hasty, write_wait_s=1)
    try:
        for _ in range(2):
            with writing(engine).begin() as connection:
                assert "on" == connection.exec_driver_sql("SHOW synchronous_commit").scalar()
        # What only reads has nothing to wait for.
        with reading_consistently(engine).begin() as connection:
            assert "on" == connection.exec_driver_sql("SHOW transaction_read_only").scalar()
    finally:
        engine.dispose()


def test_what_an_operator_set_that_waits_for_a_disk_or_for_more_stays(postgres: PostgresServer) -> None:
    with postgres.empty_database() as url:
        for kept in ("local", "remote_write", "on", "remote_apply"):
            given = make_url(url).update_query_dict({"options": f"-csynchronous_commit={kept}"})
            engine = open_engine(given.render_as_string(False), write_wait_s=1)
            with writing(engine).begin() as connection:
                assert kept == connection.exec_driver_sql("SHOW synchronous_commit").scalar()
            engine.dispose()


def test_no_statement_outside_a_transaction_writes(hasty: str) -> None:
    outside: list[str] = []

    def note(connection: Connection, _cursor: object, statement: str, *_more: object) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            outside.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        work_on_registry(hasty)
        work_on_journal(hasty)
        engine = open_engine(hasty, write_wait_s=1)
        with asking(engine).connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        engine.dispose()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert outside
    assert {"SELECT"} == {each.split()[0] for each in outside}


@pytest.mark.parametrize(("work", "migrate"), [(work_on_journal, migrate_journal), (work_on_registry, migrate_registry)])
def test_a_sqlite_that_was_built_to_answer_before_its_disk_does_so_for_no_commit_of_ours(
    work: Callable[[str], None], migrate: Callable[[str], None], tmp_path: Path
) -> None:
    def be_hasty(raw: object, _entry: object) -> None:
        raw.execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]

    url = sqlite_url(tmp_path, "some.db", migrate)
    # Before what an engine of ours does to its connections.
    event.listen(Pool, "connect", be_hasty)
    try:
        with committing(on_sqlite) as asked:
            work(url)
    finally:
        event.remove(Pool, "connect", be_hasty)
    assert asked
    assert {"wal 2"} == set(asked)
