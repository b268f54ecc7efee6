"""Migrations: any number of processes may start at once, on a new database or an old one."""

from __future__ import annotations

import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, insert, text

from portcullis.adapters.sql.engines import open_engine, writing
from portcullis.adapters.sql.feed.feed import SqlFeed
from portcullis.adapters.sql.journal.schema import journal_metadata
from portcullis.adapters.sql.migrating import (
    MIGRATIONS,
    REVISIONS,
    migrate_journal,
    migrate_registry,
    version_table,
)
from portcullis.adapters.sql.registry.schema import registry_metadata
from portcullis.adapters.sql.relay import schema as relay_schema  # noqa: F401 - they add their tables to the journal's
from portcullis.adapters.sql.relay.source import SqlReportedEvents
from portcullis.domain.errors import SetupFault
from tests.support.journals import SEAL_KEY

MIGRATE = {"registry": migrate_registry, "journal": migrate_journal}


@pytest.mark.parametrize(
    ("database", "metadata"), [("registry", registry_metadata), ("journal", journal_metadata)], ids=["registry", "journal"]
)
def test_the_migrations_lead_to_the_tables_of_this_release(tmp_path: Path, database: str, metadata: MetaData) -> None:
    url = f"sqlite:///{tmp_path / 'some.db'}"
    MIGRATE[database](url)
    engine = open_engine(url, write_wait_s=1)
    with closing(engine.connect()) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table(database)})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


@pytest.mark.parametrize("database", ["registry", "journal"])
def test_the_known_revisions_are_those_that_are_shipped(database: str) -> None:
    shipped = ScriptDirectory(str(MIGRATIONS / database)).walk_revisions()
    assert list(REVISIONS[database]) == [script.revision for script in shipped][::-1]


def test_what_was_kept_of_a_journal_before_it_had_timelines_stays_good(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'some.db'}"
    migrate_up_to(url, "journal", "journal_3")
    engine = open_engine(url, write_wait_s=1)
    with writing(engine).begin() as connection:
        for name, values in (
            ("log_head", {"id": 1, "origin": "log/5e1f", "seal_check": b"", "size": 3, "frontier": b"", "erased": 0}),
            (
                "feed_head",
                {"number": 1, "feed": "0c4d9a27", "oldest": 2, "newest": 7, "registry_seq": 9, "registry_at": 1.0}
                | {"entry_id": 0, "ended_until": 5, "ended_entry_id": 0},
            ),
        ):
            connection.execute(insert(Table(name, MetaData(), autoload_with=connection)).values(values))
    engine.dispose()

    migrate_journal(url)

    with closing(SqlFeed(url)) as feed, closing(SqlReportedEvents(url, seal_key=SEAL_KEY)) as reported:
        assert ("0c4d9a27", 2, 7) == feed.ends()[:3]
        assert ("log/5e1f", 3) == (reported.timeline(), reported.size())


def migrate_up_to(url: str, database: str, revision: str) -> None:
    """Bring a new database to an older release's schema."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / database))
    engine = open_engine(url, write_wait_s=1)
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = version_table(database)
        command.upgrade(config, revision)
    engine.dispose()


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'some.db'}"
    call = f"from portcullis.adapters.sql.migrating import migrate_registry; migrate_registry({url!r})"
    processes = [subprocess.Popen([sys.executable, "-c", call]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    migrate_registry(url)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    migrate_registry(f"sqlite:///{tmp_path / 'some.db'}")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_path_may_hold_what_alembic_or_a_url_would_read_otherwise(tmp_path: Path) -> None:
    folder = tmp_path / "100% of it, %(here)s"
    folder.mkdir()
    migrate_journal(f"sqlite:///{folder / 'some.db'}")
    assert (folder / "some.db").exists()


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'some.db'}"
    migrate_registry(url)
    engine = open_engine(url, write_wait_s=1)
    with writing(engine).begin() as connection:
        connection.execute(text(f"UPDATE {version_table('registry')} SET version_num = 'registry_9999'"))
    engine.dispose()
    with pytest.raises(SetupFault, match="newer release"):
        migrate_registry(url)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all/some.db", "postgresql://nobody@127.0.0.1:1/none"])
def test_a_database_that_can_not_be_opened_is_a_fault_of_the_setup(url: str) -> None:
    with pytest.raises(SetupFault, match="PORTCULLIS_JOURNAL_URL"):
        migrate_journal(url)
