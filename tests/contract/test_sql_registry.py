"""What a registry on SQL owes besides the port: crashes, secrets, failures, history."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import event, func, inspect, select, text

from portcullis.adapters.key_wrapping import KeyFileWrapper
from portcullis.adapters.sql.engines import open_engine
from portcullis.adapters.sql.migrating import REVISIONS, migrate_journal, migrate_registry, version_table
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.registry.schema import (
    change_log,
    entries,
    entry_versions,
    held_rows,
    held_withdrawals,
    imports,
    registry_metadata,
)
from portcullis.adapters.sql.registry.sealing import Sealer
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import ImportNotHeld, NotFound, RegistryUnavailable, SetupFault
from portcullis.domain.identifiers import Identifier
from portcullis.domain.policies import Policy
from portcullis.ports import EntryQuery, ImportCounts, ImportOutcome, KnownIdentity, Look
from tests.support.databases import migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW, a_list
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry, document, tokens_of

HOLDING = Policy(lists=(a_list("court", guard_percent=5, guard_entries=0), a_list("carrier")))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


@pytest.fixture
def registry(url: str) -> Iterator[SqlRegistry]:
    with closing(open_registry(url)) as store:
        yield store


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    with migrated_database("sqlite", "registry", tmp_path, NotImplemented):
        yield tmp_path / "registry.db"


def open_registry(url: str) -> SqlRegistry:
    return SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=StillClock())


def rows(registry: SqlRegistry, statement: Any) -> list[Any]:
    with registry._database.reading() as connection:
        return list(connection.execute(statement))


# --- crashes ------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "seed"), [*(("sqlite", seed) for seed in range(4)), ("postgresql", 4), ("postgresql", 5)], indirect=["url"]
)
def test_a_killed_import_has_happened_or_has_not(url: str, seed: int) -> None:
    with closing(open_registry(url)) as registry:
        registry.apply_policy(POLICY, actor="ann")
    number = 400
    command = [sys.executable, "-m", "tests.support.sql_children", "import", url, str(number)]
    draw = random.Random(seed)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        turn = draw.randint(2, 5)
        for line in child.stdout:
            if line == f"staged {turn}\n":
                break
        # A merge of this size takes about 20 to 60 ms: the kill falls before, within or after it.
        time.sleep(draw.uniform(0, 0.06))
        os.kill(child.pid, signal.SIGKILL)
    with closing(open_registry(url)) as registry:
        _is_exactly_one_round(registry, number)
        assert _import_one(registry) == ImportCounts(added=1, withdrawn=number)


@pytest.mark.parametrize(
    ("url", "seed"),
    [*(("sqlite", seed) for seed in range(6)), *(("postgresql", seed) for seed in (6, 7, 8))],
    indirect=["url"],
)
def test_a_killed_hold_or_approval_has_happened_or_has_not(url: str, seed: int) -> None:
    with closing(open_registry(url)) as registry:
        registry.apply_policy(HOLDING, actor="ann")
    number = 400
    command = [sys.executable, "-m", "tests.support.sql_children", "hold", url, str(number)]
    draw = random.Random(seed)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        told = draw.choice(["filled 2", "held 1", "held 2", "approved 1"])
        for line in child.stdout:
            if line == f"{told}\n":
                break
        time.sleep(draw.uniform(0, 0.04))
        os.kill(child.pid, signal.SIGKILL)
    with closing(open_registry(url)) as registry:
        _is_full_held_or_shrunk(registry, number)


def _is_full_held_or_shrunk(registry: SqlRegistry, number: int) -> None:
    here = registry.count_in_force("court")
    assert here in {1, number}
    with registry.view() as view:
        assert here == len({entry.entry_id for _, entry in view.index({"court"})})
    kept = [rows(registry, text(f"SELECT count(*) FROM {table}"))[0][0] for table in ("held_rows", "held_withdrawals")]
    held = registry.held_imports()
    assert [1, number - 1] * bool(held) == kept * bool(sum(kept))
    if held:
        assert number == here
        counts = registry.approve_import(held[0].import_id, actor="another", purpose="").counts
        assert ImportCounts(amended=1, withdrawn=number - 1) == counts
        assert 1 == registry.count_in_force("court")


def _is_exactly_one_round(registry: SqlRegistry, number: int) -> None:
    with registry.view() as view:
        found = list(view.index(view.list_numbers))
    (name,) = {entry.case_reference for _, entry in found}
    turn = int(name.removeprefix("round "))
    expected = {token for place in range(number) for token in tokens_of(an_entry("k", document(place + turn * number)))}
    assert expected == {token for token, _ in found}
    assert number == registry.count_in_force("court")
    assert [(turn,)] == rows(registry, text("SELECT count(*) FROM imports"))
    assert turn + 1 == registry.head()


def _import_one(registry: SqlRegistry) -> ImportCounts:
    with registry.begin_import("court", actor="ann") as session:
        session.stage([an_entry("another")])
        return session.commit(full=True).counts


def test_staging_goes_with_its_connection(registry: SqlRegistry) -> None:
    with registry.begin_import("court", actor="ann") as session:
        session.stage([an_entry("k1")])
    with registry._database.reading() as connection:
        assert {*registry_metadata.tables, version_table("registry")} == set(inspect(connection).get_table_names())
        assert inspect(connection).get_temp_table_names() == []


# --- secrets ------------------------------------------------------------


def test_neither_identifiers_nor_names_stand_in_the_database_in_clear(registry: SqlRegistry, tmp_path: Path) -> None:
    canaries = [Identifier("passport", "CANARY11", "XA"), Identifier("phone", "+447700900123")]
    entry = an_entry("k1", *canaries, names=("Canary Nobody",))
    registry.put_entry(entry, actor="ann")
    registry.put_entry(an_entry("k1", *canaries, names=("Canary Nobody", "Canary Alias"), purpose="other"), actor="ann")
    with registry.begin_import("court", actor="ann") as session:
        session.stage([an_entry("k2", *canaries, names=("Canary Nobody",))])
        session.commit(full=True)
    waiting = an_entry("k2", *canaries, names=("Canary Waiting",), purpose="other")
    assert registry.put(waiting, note=StepNote(actor="ann"), four_eyes=True).pending
    registry.apply_policy(HOLDING, actor="ann")
    changed = an_entry("k2", *canaries, names=("Canary Other",))
    assert import_rows(registry, [msgspec.structs.replace(changed, until=NOW)]).held
    registry.close()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for table in registry_metadata.sorted_tables:
        held += b"".join(bytes(str(value), "utf-8") for row in rows(registry, select(table)) for value in row)
        held += b"".join(value for row in rows(registry, select(table)) for value in row if isinstance(value, bytes))
    for canary in (b"CANARY11", b"447700900123", b"Canary"):
        assert canary not in held
        assert canary.hex().encode() not in held


def test_the_subject_is_kept_under_the_seal_of_its_entry(registry: SqlRegistry) -> None:
    entry = an_entry("k1", document(1), names=("Nobody Atall", "N. Atall"))
    registry.put_entry(entry, actor="ann")
    ((sealed,),) = rows(registry, select(entries.c.sealed))
    opened = Sealer(KeyFileWrapper(SEAL_KEY)).open(sealed, list_name="court", key="k1")
    assert KnownIdentity(identifiers=entry.identifiers, names=entry.names) == opened


# --- history ------------------------------------------------------------


def test_every_version_is_kept_with_the_change_that_made_it(registry: SqlRegistry) -> None:
    registry.put_entry(an_entry("k1", case_reference="first"), actor="ann")
    registry.put_entry(an_entry("k1", case_reference="second"), actor="bob")
    _import_one(registry)
    with registry.begin_import("court", actor="dan") as session:
        session.stage([an_entry("k1", case_reference="third")])
        session.commit(full=False)
    registry.withdraw_entry("court", "k1", reason="performed", actor="carol")
    columns = ("version", "case_reference", "status", "seq")
    present = rows(registry, select(*(entries.c[name] for name in columns)).where(entries.c.key == "k1"))
    past = rows(registry, select(*(entry_versions.c[name] for name in columns)).order_by(entry_versions.c.version))
    assert [(5, "third", "withdrawn", 5)] == present
    assert [
        (1, "first", "in-force", 1),
        (2, "second", "in-force", 2),
        (3, "second", "withdrawn", 3),
        (4, "third", "in-force", 4),
    ] == past
    log = rows(registry, select(change_log).order_by(change_log.c.seq))
    assert [
        (1, NOW, "ann", "put", "court/k1", "", "", ""),
        (2, NOW, "bob", "put", "court/k1", "", "", ""),
        (3, NOW, "ann", "import", "court", "", "", ""),
        (4, NOW, "dan", "import", "court", "", "", ""),
        (5, NOW, "carol", "withdraw", "court/k1", "performed", "", ""),
    ] == log


def test_every_import_is_noted_also_one_that_changes_nothing(registry: SqlRegistry) -> None:
    _import_one(registry)
    _import_one(registry)
    columns = ("actor", "mode", "added", "amended", "unchanged", "withdrawn", "seq")
    noted = rows(registry, select(*(imports.c[name] for name in columns)).order_by(imports.c.import_id))
    assert [("ann", "full", 1, 0, 0, 0, 1), ("ann", "full", 0, 0, 1, 0, None)] == noted


def _shrink(registry: SqlRegistry, **how: str) -> ImportOutcome:
    """Have an import held that keeps one of three entries; the list must be guarded."""
    import_rows(registry, [an_entry(f"k{number}", document(number)) for number in range(3)])
    outcome = import_rows(registry, [an_entry("k0", document(0))], **how)
    assert outcome.held
    return outcome


def test_who_imported_who_decided_when_and_why_stands_in_the_log_and_beside_the_import(url: str) -> None:
    clock = StillClock()
    with closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)) as registry:
        registry.apply_policy(HOLDING, actor="ann")
        clock.time = NOW + 1
        first = _shrink(registry)
        clock.time = NOW + 2
        second = import_rows(registry, [], actor="carol")
        clock.time = NOW + 3
        registry.reject_import(second.import_id, actor="dan", purpose="half a file")
        clock.time = NOW + 4
        third = import_rows(registry, [an_entry("k1", document(1))], actor="carol")
        clock.time = NOW + 5
        registry.approve_import(third.import_id, actor="bob", purpose="confirmed")

        columns = ("import_id", "state", "actor", "committed_at", "decided_by", "decided_at", "purpose", "withdrawn", "seq")
        noted = rows(registry, select(*(imports.c[name] for name in columns)).order_by(imports.c.import_id))
        assert [
            (first.import_id - 1, "applied", "ann", NOW + 1, None, None, "", 0, 2),
            (first.import_id, "void", "ann", NOW + 1, "carol", NOW + 2, "", 2, 4),
            (second.import_id, "rejected", "carol", NOW + 2, "dan", NOW + 3, "half a file", 3, 6),
            (third.import_id, "applied", "carol", NOW + 4, "bob", NOW + 5, "confirmed", 2, 8),
        ] == noted
        told = select(change_log.c.actor, change_log.c.change, change_log.c.detail).order_by(change_log.c.seq)
        one, two, three = (each.import_id for each in (first, second, third))
        assert [
            ("ann", "import-hold", f"import {one}: takes away 2 of 3 entries, 0 may go at once"),
            ("carol", "import-void", f"import {one} of ann"),
            ("carol", "import-hold", f"import {two}: takes away 3 of 3 entries, 0 may go at once"),
            ("dan", "import-reject", f"import {two} of carol: half a file"),
            ("carol", "import-hold", f"import {three}: takes away 2 of 3 entries, 0 may go at once"),
            ("bob", "import-approve", f"import {three} of carol: confirmed"),
        ] == rows(registry, told)[2:]


def test_a_held_import_outlives_the_process_that_held_it(url: str) -> None:
    with closing(open_registry(url)) as registry:
        registry.apply_policy(HOLDING, actor="ann")
        outcome = _shrink(registry)
    with closing(open_registry(url)) as registry:
        assert [outcome.import_id] == [each.import_id for each in registry.held_imports()]
        assert outcome.counts == registry.approve_import(outcome.import_id, actor="bob", purpose="").counts


def test_only_what_would_change_is_kept_and_nothing_once_it_is_decided(registry: SqlRegistry) -> None:
    registry.apply_policy(HOLDING, actor="ann")

    def kept() -> list[int]:
        return [rows(registry, select(func.count()).select_from(table))[0][0] for table in (held_rows, held_withdrawals)]

    decisions = (
        lambda number: registry.approve_import(number, actor="bob", purpose=""),
        lambda number: registry.reject_import(number, actor="bob", purpose=""),
        lambda _: import_rows(registry, [], full=False),
    )
    for decide in decisions:
        outcome = _shrink(registry)
        assert [0, 2] == kept()
        decide(outcome.import_id)
        assert [0, 0] == kept()


def test_two_who_decide_at_once_do_not_both(url: str) -> None:
    with closing(open_registry(url)) as registry:
        registry.apply_policy(HOLDING, actor="ann")
        outcome = _shrink(registry)
        with ThreadPoolExecutor(4) as threads:
            decided = [
                threads.submit(decide, outcome.import_id, actor=f"op{number}", purpose="")
                for number, decide in enumerate([registry.approve_import, registry.reject_import] * 2)
            ]
        refused = [each.exception() for each in decided]
        assert 1 == refused.count(None)
        assert {ImportNotHeld, type(None)} == {type(each) for each in refused}


def test_a_look_outlives_the_connection_that_noted_it(url: str) -> None:
    with closing(open_registry(url)) as registry:
        registry.put_entry(an_entry("k1"), actor="ann")
        registry.note_looks("court", ["k1"], actor="bob", purpose="an audit")
    with closing(open_registry(url)) as registry:
        assert [Look(actor="bob", at=NOW, purpose="an audit")] == registry.looks("court", "k1")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_look_does_not_wait_for_an_import_on_postgresql(registry: SqlRegistry) -> None:
    # SQLite has one writer at a time, whatever it writes.
    registry.put_entry(an_entry("k1"), actor="ann")
    with registry._database.writing():
        registry.note_looks("court", ["k1"], actor="bob", purpose="an audit")
        assert 1 == len(registry.looks("court", "k1"))


# --- failures ------------------------------------------------------------


def test_a_full_disk_leaves_the_registry_as_it_was(file: Path) -> None:
    with closing(open_registry(f"sqlite:///{file}")) as registry:
        registry.apply_policy(POLICY, actor="ann")
        registry.put_entry(an_entry("k1"), actor="ann")
        limit = {"pages": 60}

        @event.listens_for(registry._database._engine, "checkout")
        def set_limit(raw: sqlite3.Connection, *_: object) -> None:
            raw.execute(f"PRAGMA main.max_page_count = {limit['pages']}").fetchall()

        big = [an_entry(f"n{number}", document(number)) for number in range(2000)]
        with registry.begin_import("court", actor="ann") as session:
            session.stage(big)
            with pytest.raises(RegistryUnavailable):
                session.commit(full=True)
        assert (2, 1) == (registry.head(), registry.count_in_force("court"))
        with pytest.raises(NotFound):
            registry.entry("court", "n0")
        limit["pages"] = 1_000_000
        with registry.begin_import("court", actor="ann") as session:
            session.stage(big)
            assert ImportCounts(added=2000, withdrawn=1) == session.commit(full=True).counts


def test_a_database_that_is_gone_is_unavailable_for_every_method() -> None:
    with closing(open_registry("postgresql://nobody@127.0.0.1:1/none")) as registry:
        for use in (
            registry.head,
            registry.policy,
            registry.keys,
            lambda: registry.apply_policy(POLICY, actor="ann"),
            lambda: registry.put_entry(an_entry(), actor="ann"),
            lambda: registry.withdraw_entry("court", "k1", reason="performed", actor="ann"),
            lambda: registry.entry("court", "k1"),
            lambda: registry.entries("court", after_id=0, limit=1),
            lambda: registry.note_looks("court", ["k1"], actor="ann", purpose="an audit"),
            lambda: registry.looks("court", "k1"),
            lambda: registry.count_in_force("court"),
            lambda: registry.revoke_key("k1", at=NOW, actor="ann"),
            lambda: registry.view().__enter__(),
            lambda: registry.begin_import("court", actor="ann").__enter__(),
            registry.held_imports,
            lambda: registry.approve_import(1, actor="ann", purpose=""),
            lambda: registry.reject_import(1, actor="ann", purpose=""),
            lambda: registry.put(an_entry(), note=StepNote(actor="ann"), four_eyes=True),
            lambda: registry.step("court", "k1", Step.STAY, note=StepNote(actor="ann")),
            registry.proposals,
            lambda: registry.history("court", "k1"),
            lambda: registry.identity("court", "k1"),
            lambda: registry.matching(Step.RELEASE, EntryQuery(list="court"), actor="ann"),
            lambda: registry.bulk(Step.RELEASE, EntryQuery(list="court"), digest="", note=StepNote(actor="ann")),
            lambda: registry.switch_list("court", suspend=True, note=StepNote(actor="ann")),
            lambda: registry.list_switch("court"),
        ):
            with pytest.raises(RegistryUnavailable):
                use()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"nothing of the kind " * 500)
    with closing(open_registry(f"sqlite:///{tmp_path / 'registry.db'}")) as registry, pytest.raises(RegistryUnavailable):
        registry.head()
    with pytest.raises(SetupFault, match="PORTCULLIS_REGISTRY_URL"):
        migrate_registry(f"sqlite:///{tmp_path / 'registry.db'}")


def test_a_policy_of_another_form_is_named_as_such(registry: SqlRegistry) -> None:
    registry.apply_policy(POLICY, actor="ann")
    with registry._database.writing() as connection:
        connection.execute(text("UPDATE policies SET document = :document"), {"document": b'{"other": 1}'})
    with pytest.raises(RegistryUnavailable, match="apply it again"):
        registry.policy()


# --- migrations ------------------------------------------------------------


def _migrate_twice(database_url: str) -> None:
    for _ in range(2):
        migrate_registry(database_url)
        migrate_journal(database_url)
    engine = open_engine(database_url, write_wait_s=1)
    with closing(engine.connect()) as connection:
        for database, revisions in REVISIONS.items():
            assert [(revisions[-1],)] == list(connection.execute(text(f"SELECT * FROM {version_table(database)}")))
    engine.dispose()


def test_registry_and_journal_can_share_a_postgresql_database(request: pytest.FixtureRequest) -> None:
    with request.getfixturevalue("postgres").empty_database() as database_url:
        _migrate_twice(database_url)


def test_the_migrations_lead_to_the_tables_of_this_release(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = open_engine(url, write_wait_s=1)
    with closing(engine.connect()) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table("registry")})
        assert compare_metadata(context, registry_metadata) == []
    engine.dispose()


def test_to_ask_for_the_newest_change_is_one_statement(registry: SqlRegistry) -> None:
    registry.apply_policy(POLICY, actor="ann")
    asked: list[str] = []
    event.listen(
        registry._database._engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: asked.append(statement)
    )
    assert (1, 1) == (registry.head(), len(asked))
