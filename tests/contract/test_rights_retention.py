"""What the registry removes by age, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from portcullis.adapters.sql.registry.schema import entries, entry_versions, registry_metadata
from portcullis.adapters.sql.rights import erasure as rights_erasure
from portcullis.adapters.sql.rights.erasure import ERASED_TOKENS_KEPT_S
from portcullis.domain.entries import EntryStatus
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import NotFound
from portcullis.domain.policies import Policy
from portcullis.ports import EntryQuery, SubjectSession
from tests.support.databases import PostgresServer
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, an_entry, document
from tests.support.rights import DAY_S, NOTE, Office, a_number, opened_office, tokens

_SEALED = (entries, entry_versions)
RETENTION = StepNote(actor="keeper", why="term")


def forget(office: Office, before: float, *, dry_run: bool = False) -> int:
    old = office.rights.old_identities("court", before)
    return len(old) if dry_run else office.rights.forget_identities("court", before, old, note=RETENTION)


def known(office: Office, key: str) -> bool:
    try:
        office.registry.identity("court", key)
    except NotFound:
        return False
    return True


# --- identities ------------------------------------------------------------


@pytest.mark.parametrize("step", [Step.RELEASE, Step.WITHDRAW])
def test_who_left_the_list_before_a_time_is_forgotten(office: Office, step: Step) -> None:
    office.clock.time = NOW + 10.5
    gone = office.step(step)
    office.clock.time = NOW + 20.0
    office.step(step, "k2")
    assert forget(office, NOW + 10.5) == 0
    assert forget(office, NOW + 11.0, dry_run=True) == 1
    assert known(office, "k1")
    assert forget(office, NOW + 11.0) == 1
    assert [False, True] == [known(office, key) for key in ("k1", "k2")]
    assert gone == office.entry()
    assert [forget(office, NOW + 11.0, dry_run=dry_run) for dry_run in (True, False)] == [0, 0]


def test_who_is_on_an_ended_entry_is_forgotten(office: Office) -> None:
    office.put(an_entry("k1", document(1), until=NOW + 5))
    assert forget(office, NOW + 5.0) == 0
    assert forget(office, NOW + 5.5, dry_run=True) == 1
    assert forget(office, NOW + 5.5) == 1
    assert [False, True] == [known(office, key) for key in ("k1", "k2")]
    assert office.entry().status == EntryStatus.IN_FORCE


def test_an_entry_in_force_is_kept_however_old(office: Office) -> None:
    assert forget(office, NOW + YEAR_S) == 0
    assert known(office, "k1")


def test_lists_have_terms_of_their_own(office: Office) -> None:
    office.registry.step("carrier", "k1", Step.RELEASE, note=NOTE)
    office.step(Step.RELEASE)
    later = NOW + DAY_S
    released = office.entry("k1", "carrier").entry_id
    assert [released] == list(office.rights.old_identities("carrier", later))
    assert office.rights.forget_identities("carrier", later, [released], note=RETENTION) == 1
    assert known(office, "k1")
    assert [] == list(office.rights.old_identities("none", later))
    assert office.rights.forget_identities("none", later, [released], note=RETENTION) == 0


def test_many_are_forgotten_in_one_change(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights_erasure, "ENTRIES_AT_ONCE", 2)
    for number in range(10, 15):
        # One person on several entries of a list.
        office.put(an_entry(f"k{number}", document(7)))
        office.step(Step.WITHDRAW, f"k{number}")
    head = office.registry.head()
    assert forget(office, NOW + 1.0) == 5
    assert head + 1 == office.registry.head()
    assert office.last_change() == ("erase", "keeper", "court", "5 entries: term", "")


def test_a_held_import_forgets_what_it_would_have_changed(office: Office) -> None:
    guarded = (a_list("court", four_eyes=True), *POLICY.lists[1:])
    office.registry.apply_policy(Policy(lists=guarded), actor="ann")
    office.step(Step.RELEASE)
    office.registry.step("court", "k2", Step.WITHDRAW, note=NOTE)
    office.put(an_entry("k2", document(2)))
    rows = [an_entry("k3", document(6)), an_entry("k2", document(8))]
    assert import_rows(office.registry, rows, full=False).held
    assert office.scalars("SELECT key FROM held_rows ORDER BY key") == ["k2", "k3"]
    office.put(an_entry("k3", document(3)))
    office.step(Step.RELEASE, "k3")
    assert forget(office, NOW + 1.0) == 2
    assert office.scalars("SELECT key FROM held_rows") == ["k2"]


def test_an_amendment_that_waited_is_forgotten_with_its_entry(office: Office) -> None:
    office.put(an_entry("k1", document(1), until=NOW + 5))
    office.put(an_entry("k1", document(6)), four_eyes=True)
    assert len(office.scalars("SELECT entry_id FROM entry_amendments")) == 1
    assert forget(office, NOW + 6.0) == 1
    assert office.scalars("SELECT entry_id FROM entry_amendments") == []


def test_nothing_of_a_forgotten_subject_is_left_in_any_table(office: Office) -> None:
    office.put(an_entry("k1", document(1), document(4), names=("Canary Nobody",)))
    office.rights.issue_number(a_number(), note=NOTE)
    sealed = _sealed(office, "k1")
    assert len(sealed) == 3
    office.step(Step.RELEASE)
    forget(office, NOW + 1.0)
    office.clock.time = NOW + ERASED_TOKENS_KEPT_S + 1
    office.step(Step.RELEASE, "k2")
    forget(office, NOW + ERASED_TOKENS_KEPT_S + 2)
    # The carrier's entry is about the same passport, and stands.
    mine = {*sealed, *tokens(4)}
    for table in registry_metadata.sorted_tables:
        with office.rights._database.reading() as connection:
            values = [bytes(each) for row in connection.execute(select(table)) for each in row if isinstance(each, bytes)]
        assert not [one for one in mine for value in values if one in value], table.name


def test_sqlite_overwrites_what_was_forgotten(tmp_path: Path) -> None:
    with opened_office("sqlite", tmp_path, _no_server) as office:
        office.stock()
        sealed = _sealed(office, "k1")[0]
        _checkpoint(office)
        database = Path(office.url.removeprefix("sqlite:///"))
        assert sealed in database.read_bytes()
        office.step(Step.RELEASE)
        forget(office, NOW + 1.0)
        _checkpoint(office)
        assert sealed not in database.read_bytes()


def test_no_log_of_sqlite_holds_what_was_forgotten(tmp_path: Path) -> None:
    with opened_office("sqlite", tmp_path, _no_server) as office:
        office.stock()
        sealed = [_sealed(office, key)[0] for key in ("k1", "k2")]
        assert [True, True] == [_stands_in_a_file(tmp_path, one) for one in sealed]
        for key in ("k1", "k2"):
            office.step(Step.RELEASE, key)
        office.rights.erase_of(tokens(2), note=NOTE)
        assert [True, False] == [_stands_in_a_file(tmp_path, one) for one in sealed]
        forget(office, NOW + 1.0)
        assert [False, False] == [_stands_in_a_file(tmp_path, one) for one in sealed]


def _stands_in_a_file(folder: Path, value: bytes) -> bool:
    return any(value in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_an_entry_whose_subject_was_erased_is_not_renewed(office: Office) -> None:
    office.put(an_entry("k1", document(1), lapses_at=NOW + 5))
    office.put(an_entry("k2", document(2), lapses_at=NOW + 9))
    assert forget(office, NOW + 5.5) == 1
    planned = office.registry.matching(Step.RENEW, EntryQuery(list="court"), actor="bob")
    assert ["k2"] == [each.key for each in planned.samples]


def _sealed(office: Office, key: str) -> list[bytes]:
    """Give what is sealed in all versions of an entry of the court's list."""
    columns = (select(table.c.sealed).where(table.c.entry_id == office.entry(key).entry_id) for table in _SEALED)
    with office.rights._database.reading() as connection:
        return [bytes(each) for column in columns for each in connection.scalars(column)]


def _no_server() -> PostgresServer:
    raise AssertionError


def _checkpoint(office: Office) -> None:
    """Have SQLite write everything into its one file."""
    with closing(sqlite3.connect(office.url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# --- looks and sessions ------------------------------------------------------------


def test_looks_at_a_list_from_before_a_time_are_deleted(office: Office) -> None:
    for at in (NOW, NOW + 10):
        office.clock.time = at
        for list_name in ("court", "carrier"):
            office.registry.note_looks(list_name, ["k1"], actor="ann", purpose="seen")
    for dry_run in (True, False):
        assert office.rights.forget_looks("court", NOW + 10.0, dry_run=dry_run) == 1
    assert [NOW + 10.0] == [look.at for look in office.registry.looks("court", "k1")]
    assert len(office.registry.looks("carrier", "k1")) == 2
    assert office.rights.forget_looks("court", NOW + 10.0, dry_run=False) == 0


def test_codes_and_sessions_that_ended_before_a_time_are_deleted(office: Office) -> None:
    for number, ends in ((1, NOW + 5.0), (2, NOW + 10.0)):
        office.rights.keep_code(f"d{number}", tokens(number), expires_at=ends, tries=5, note=NOTE)
        session = SubjectSession(handle="h", tokens=tokens(number), expires_at=ends)
        office.rights.keep_session(f"s{number}", session)
    for dry_run in (True, False):
        assert office.rights.forget_sessions(NOW + 10.0, dry_run=dry_run) == 2
    assert office.rights.session("s1", now=NOW) is None
    assert office.rights.session("s2", now=NOW) is not None
    assert office.rights.use_code("d2", tokens(2), now=NOW)
