"""A PostgreSQL that is set so that a loss of power could take what was acknowledged is not served from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from portcullis.adapters.sql.durability import demand_durable
from portcullis.adapters.sql.migrating import migrate_journal, migrate_registry
from portcullis.cli import examinations
from portcullis.cli.findings import Finding, State
from portcullis.config import PostgresStorage, Settings
from portcullis.domain.errors import SetupFault
from portcullis.mains.keys import ensure_keys
from portcullis.mains.wiring import ProcessWiring
from tests.support.databases import KillablePostgres, NoPostgres, killable_postgres
from tests.support.stack import portcullis


@pytest.fixture(scope="module")
def own_server() -> Iterator[KillablePostgres]:
    """A server that a test sets as it wants."""
    try:
        with killable_postgres() as server:
            for name in ("registry", "journal"):
                server.create(name)
            yield server
    except NoPostgres as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


@pytest.fixture(params=[("on", "on"), ("off", "on"), ("on", "off"), ("off", "off")], ids="-".join)
def server(request: pytest.FixtureRequest, own_server: KillablePostgres) -> KillablePostgres:
    """The server, started with one setting of fsync and full_page_writes."""
    started_as(own_server, *request.param)
    return own_server


def started_as(server: KillablePostgres, fsync: str, full_page_writes: str) -> None:
    settings = {"fsync": fsync, "full_page_writes": full_page_writes}
    if settings != server.settings:
        server.stop()
        server.settings = settings
        server.start()


NAMED: dict[tuple[str, str], dict[PostgresStorage, str]] = {
    ("on", "on"): {"disk": "", "whole-pages": "", "disposable": ""},
    ("off", "on"): {"disk": "fsync", "whole-pages": "fsync", "disposable": ""},
    ("on", "off"): {"disk": "full_page_writes", "whole-pages": "", "disposable": ""},
    ("off", "off"): {"disk": "fsync", "whole-pages": "fsync", "disposable": ""},
}


def test_a_server_that_could_lose_a_commit_is_refused_by_the_name_of_its_setting(server: KillablePostgres) -> None:
    set_as = (server.settings["fsync"], server.settings["full_page_writes"])
    for storage, named in NAMED[set_as].items():
        if not named:
            demand_durable("journal", server.url("journal"), storage)
            continue
        with pytest.raises(SetupFault, match=rf"journal.* {named} = off.*ALTER SYSTEM SET {named} = on"):
            demand_durable("journal", server.url("journal"), storage)


def test_the_doctor_tells_of_a_server_that_could_lose_a_commit_and_says_what_to_do(
    own_server: KillablePostgres, tmp_path: Path
) -> None:
    urls = {f"{name}_url": own_server.url(name) for name in ("registry", "journal")}
    migrate_registry(urls["registry_url"])
    migrate_journal(urls["journal_url"])

    def look(storage: PostgresStorage) -> list[Finding]:
        settings = Settings(home=tmp_path, postgres_storage=storage, **urls)  # type: ignore[arg-type]
        wiring = ProcessWiring()
        return [*examinations.registry(wiring, settings), *examinations.journal(wiring, settings)]

    started_as(own_server, "off", "on")
    assert [State.FAIL, State.FAIL] == [each.state for each in look("disk")]
    assert ["fsync = off" in each.what and "fsync = on" in each.mend for each in look("disk")] == [True, True]
    assert [State.OK, State.OK] == [each.state for each in look("disposable")]
    started_as(own_server, "on", "on")
    assert [State.OK, State.OK] == [each.state for each in look("disk")]


@pytest.mark.parametrize(
    "part", [("serve", "exchange"), ("serve", "shipper"), ("serve", "registry"), ("run",)], ids="-".join
)
def test_no_part_that_records_begins_on_a_server_that_could_lose_it(
    part: tuple[str, ...], own_server: KillablePostgres, tmp_path: Path
) -> None:
    started_as(own_server, "off", "on")
    ensure_keys(tmp_path / "keys")
    told = portcullis(
        *part,
        PORTCULLIS_HOME=str(tmp_path),
        PORTCULLIS_GRPC_PORT="0",
        PORTCULLIS_HTTP_PORT="0",
        PORTCULLIS_JOURNAL_URL=own_server.url("journal"),
    )
    assert 2 == told.returncode, told.stderr
    assert "the journal's PostgreSQL has fsync = off" in told.stderr
