"""What the life of entries owes on SQL besides the port: history, races, what disputes lead to, bounded memory."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row, select, update

from portcullis.adapters.sql.registry.life import find, set_clearances, set_decide_by, take_step
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.registry.schema import VERSION_COLUMNS, change_log, entries, entry_versions
from portcullis.domain.entries import Entry, EntryStatus
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote
from portcullis.domain.errors import NotFound, SecondPersonRequired, StepNotAllowed, VersionMissed
from portcullis.domain.policies import Policy
from portcullis.ports import EntryQuery, ImportCounts
from tests.support.databases import migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry, document, tokens_of

DAY_S = 86_400
NOTE = StepNote(actor="rev", why="as told", document="D-1")
CLEARANCE, ANOTHER = bytes(range(100, 116)), bytes(range(200, 216))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def registry(url: str, clock: StillClock) -> Iterator[SqlRegistry]:
    with closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)) as store:
        store.apply_policy(POLICY, actor="ann")
        yield store


def put(registry: SqlRegistry, entry: Entry, *, by: str = "ann", four_eyes: bool = False) -> None:
    registry.put(entry, note=StepNote(actor=by), four_eyes=four_eyes)


def take(registry: SqlRegistry, *steps: Step) -> None:
    for step in steps:
        registry.step("court", "k1", step, note=StepNote(actor="bob"))


def row_of(connection: Connection, key: str = "k1") -> Row[Any]:
    row = find(connection, "court", key)
    assert row is not None
    return row


def decide_by(registry: SqlRegistry, at: int) -> None:
    with registry._database.writing() as connection:
        set_decide_by(connection, row_of(connection), at, note=NOTE, at=NOW)


def clear(registry: SqlRegistry, *clearances: bytes) -> None:
    with registry._database.writing() as connection:
        set_clearances(connection, row_of(connection), b"".join(clearances), note=NOTE, at=NOW)


def indexed(registry: SqlRegistry) -> set[bytes]:
    with registry.view() as view:
        return {token for token, _ in view.index({"court"})}


# --- history ------------------------------------------------------------


def test_nothing_is_overwritten(registry: SqlRegistry) -> None:
    """Every version stays to be read as it stood when it was the present one, whatever comes after."""
    columns = [entries.c.entry_id, *(entries.c[name] for name in VERSION_COLUMNS)]
    seen: dict[int, Any] = {}

    def look() -> None:
        with registry._database.reading() as connection:
            present = connection.execute(select(*columns)).one()
        seen[present.version] = tuple(present)

    def step(step: Step) -> None:
        take(registry, step)

    query = EntryQuery(list="court")
    for change in (
        lambda: put(registry, an_entry("k1", document(1))),
        lambda: put(registry, an_entry("k1", document(2)), four_eyes=True),
        lambda: step(Step.APPROVE),
        lambda: decide_by(registry, NOW + DAY_S),
        lambda: step(Step.STAY),
        lambda: clear(registry, CLEARANCE),
        lambda: import_rows(registry, [an_entry("k1", document(3))]),
        lambda: step(Step.LIFT),
        lambda: import_rows(registry, []),
        lambda: import_rows(registry, [an_entry("k1", document(4), lapses_at=NOW + DAY_S)]),
        lambda: registry.bulk(
            Step.RENEW,
            query,
            digest=registry.matching(Step.RENEW, query, actor="bob").digest,
            note=NOTE,
            lapses_at=NOW + 2 * DAY_S,
        ),
        lambda: step(Step.RELEASE),
        lambda: step(Step.RETRACT),
        lambda: put(registry, an_entry("k1", document(5)), four_eyes=True),
        lambda: step(Step.REJECT),
    ):
        change()
        look()
    assert list(range(1, 16)) == sorted(seen)
    kept = select(entry_versions.c.entry_id, *(entry_versions.c[name] for name in VERSION_COLUMNS))
    with registry._database.reading() as connection:
        past = {row.version: tuple(row) for row in connection.execute(kept)}
    del seen[15]
    assert seen == past
    assert [
        "put",
        "propose",
        "approve",
        "dispute",
        "stay",
        "clear",
        "import",
        "lift",
        "import",
        "import",
        "renew",
        "release",
        "retract",
        "propose",
        "reject",
    ] == [each.step for each in registry.history("court", "k1")]


def test_a_step_is_noted_with_its_document_and_its_ground(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    note = StepNote(actor="bob", why="paid", document="R-7", ground=ReleaseGround.PAID)
    registry.step("court", "k1", Step.RELEASE, note=note)
    with registry._database.reading() as connection:
        last = connection.execute(select(change_log).order_by(change_log.c.seq.desc())).first()
    assert (3, NOW, "bob", "release", "court/k1", "paid", "R-7", "PAID") == last


def test_an_import_held_for_a_second_person_says_so_in_the_log(registry: SqlRegistry) -> None:
    registry.apply_policy(Policy(lists=(a_list("court", four_eyes=True),)), actor="ann")
    held = import_rows(registry, [an_entry("k1"), an_entry("k2")])
    with registry._database.reading() as connection:
        detail = connection.scalar(select(change_log.c.detail).order_by(change_log.c.seq.desc()))
    assert f"import {held.import_id}: adds 2 and amends 0 entries, which takes a second person" == detail


def test_a_version_of_a_held_import_tells_who_imported_it_and_who_approved_it(registry: SqlRegistry) -> None:
    registry.apply_policy(Policy(lists=(a_list("court", four_eyes=True),)), actor="ann")
    held = import_rows(registry, [an_entry("k1")], actor="ann")
    registry.approve_import(held.import_id, actor="bob", purpose="checked")
    assert [("import", "bob", "ann")] == [(each.step, each.actor, each.importer) for each in registry.history("court", "k1")]


def test_an_identity_that_was_erased_is_not_found(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    with registry._database.writing() as connection:
        connection.execute(update(entries).values(sealed=b""))
    with pytest.raises(NotFound, match="erased"):
        registry.identity("court", "k1")


# --- races ------------------------------------------------------------


def race(registry: SqlRegistry, version: int, reference: str) -> list[int | dict[str, str]]:
    """Let two people amend one version at once: each gets the version they have made, or what they are told they missed."""
    start = threading.Barrier(2)
    outcomes: list[int | dict[str, str]] = []

    def amend(name: str) -> None:
        entry = an_entry("k1", case_reference=f"{reference} of {name}")
        start.wait(20)
        try:
            done = registry.put(entry, note=StepNote(actor=name), four_eyes=False, expected_version=version)
        except VersionMissed as missed:
            outcomes.append(dict(missed.metadata))
        else:
            outcomes.append(done.entry.version)

    threads = [threading.Thread(target=amend, args=(name,)) for name in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_of_two_who_change_the_same_version_at_once_one_is_told_what_it_missed(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    for version in range(1, 6):
        outcomes = race(registry, version, f"turn {version}")
        assert version + 1 in outcomes
        assert {"expected": str(version), "present": str(version + 1)} in outcomes
        assert version + 1 == registry.entry("court", "k1").version


# --- what disputes lead to ------------------------------------------------------------


def test_a_dispute_ends_its_entry_in_time_unless_it_is_decided(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    decide_by(registry, NOW + DAY_S)
    stored = registry.entry("court", "k1")
    assert (NOW + DAY_S, NOW + DAY_S, NOW + YEAR_S, 2) == (
        stored.effective_until,
        stored.decide_by,
        stored.until,
        stored.version,
    )
    with registry.view() as view:
        assert {NOW + DAY_S} == {each.until for _, each in view.index({"court"})}
    decide_by(registry, 0)
    stored = registry.entry("court", "k1")
    assert (NOW + YEAR_S, 0) == (stored.effective_until, stored.decide_by)


def test_the_time_to_decide_outlasts_amendments_and_imports(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    decide_by(registry, NOW + DAY_S)

    def ends() -> tuple[int, int]:
        stored = registry.entry("court", "k1")
        return stored.effective_until, stored.decide_by

    put(registry, an_entry("k1", case_reference="amended"))
    assert (NOW + DAY_S, NOW + DAY_S) == ends()
    assert ImportCounts(amended=1) == import_rows(registry, [an_entry("k1", case_reference="imported")]).counts
    assert (NOW + DAY_S, NOW + DAY_S) == ends()
    assert ImportCounts(unchanged=1) == import_rows(registry, [an_entry("k1", case_reference="imported")]).counts
    import_rows(registry, [an_entry("k1", until=NOW + 10)])
    assert (NOW + 10, NOW + DAY_S) == ends()


def test_a_dispute_of_before_does_not_end_what_a_person_lists_again(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    decide_by(registry, NOW + DAY_S)
    take(registry, Step.RELEASE)
    put(registry, an_entry("k1"))
    stored = registry.entry("court", "k1")
    assert (0, NOW + YEAR_S) == (stored.decide_by, stored.effective_until)


def test_a_proposal_ends_as_a_dispute_of_its_entry_has_it(registry: SqlRegistry) -> None:
    def shown_and_approved() -> tuple[tuple[int, int], ...]:
        put(registry, an_entry("k1", case_reference="another"), four_eyes=True)
        shown = registry.proposals()[0].proposed
        take(registry, Step.APPROVE)
        return tuple((each.decide_by, each.effective_until) for each in (shown, registry.entry("court", "k1")))

    put(registry, an_entry("k1"))
    decide_by(registry, NOW + DAY_S)
    assert ((NOW + DAY_S, NOW + DAY_S),) * 2 == shown_and_approved()
    take(registry, Step.RELEASE)
    assert ((0, NOW + YEAR_S),) * 2 == shown_and_approved()


def test_clearances_stand_in_the_index_beside_the_tokens_of_identifiers(registry: SqlRegistry) -> None:
    entry = an_entry("k1", document(1))
    put(registry, entry)
    head = registry.head()
    clear(registry, CLEARANCE, ANOTHER, CLEARANCE, next(iter(tokens_of(entry))))
    assert tokens_of(entry) | {CLEARANCE, ANOTHER} == indexed(registry)
    with registry.view() as view:
        assert {CLEARANCE, ANOTHER} <= {token for token, _, now in view.touched(head, NOW) if now}
    head = registry.head()
    clear(registry, ANOTHER)
    assert tokens_of(entry) | {ANOTHER} == indexed(registry)
    with registry.view() as view:
        assert [CLEARANCE] == [token for token, _, now in view.touched(head, NOW) if not now]
    clear(registry)
    assert tokens_of(entry) == indexed(registry)


def test_clearances_outlast_amendments_imports_and_time_off_the_list(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1", document(1)))
    clear(registry, CLEARANCE)
    assert ImportCounts(unchanged=1) == import_rows(registry, [an_entry("k1", document(1))]).counts

    def amend(entry: Entry) -> None:
        put(registry, entry)

    def bring(entry: Entry) -> None:
        import_rows(registry, [entry])

    def leave_out_and_bring(entry: Entry) -> None:
        import_rows(registry, [])
        bring(entry)

    def release_and_list(entry: Entry) -> None:
        take(registry, Step.RELEASE)
        put(registry, entry)

    def propose_and_approve(entry: Entry) -> None:
        put(registry, entry, four_eyes=True)
        take(registry, Step.APPROVE)

    changes = (amend, bring, leave_out_and_bring, release_and_list, propose_and_approve)
    for number, change in enumerate(changes, 2):
        entry = an_entry("k1", document(number))
        change(entry)
        assert tokens_of(entry) | {CLEARANCE} == indexed(registry), change.__name__


def test_only_what_is_listed_is_cleared(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    take(registry, Step.RELEASE)
    with pytest.raises(StepNotAllowed):
        clear(registry, CLEARANCE)


def test_steps_of_one_transaction_can_share_their_change(registry: SqlRegistry) -> None:
    for key in ("k1", "k2"):
        put(registry, an_entry(key))
    head = registry.head()
    with registry._database.writing() as connection:
        seq = take_step(connection, row_of(connection, "k1"), Step.RELEASE, note=NOTE, at=NOW)
        assert seq == take_step(connection, row_of(connection, "k2"), Step.RELEASE, note=NOTE, at=NOW, seq=seq)
    assert (head + 1, 0) == (registry.head(), registry.count_in_force("court"))


def test_a_step_that_is_refused_in_a_transaction_leaves_nothing_of_it(registry: SqlRegistry) -> None:
    put(registry, an_entry("k1"))
    put(registry, an_entry("k2"), four_eyes=True)
    head = registry.head()

    def stay_and_approve() -> None:
        with registry._database.writing() as connection:
            take_step(connection, row_of(connection, "k1"), Step.STAY, note=NOTE, at=NOW)
            take_step(connection, row_of(connection, "k2"), Step.APPROVE, note=StepNote(actor="ann"), at=NOW)

    with pytest.raises(SecondPersonRequired):
        stay_and_approve()
    assert (EntryStatus.IN_FORCE, head) == (registry.entry("court", "k1").status, registry.head())


@pytest.mark.parametrize("step", [Step.PUT, Step.RENEW, Step.CLEAR])
def test_a_step_that_takes_more_than_a_note_is_not_taken_so(registry: SqlRegistry, step: Step) -> None:
    put(registry, an_entry("k1"))
    with pytest.raises(ValueError, match="takes more"):
        take(registry, step)
    with pytest.raises(ValueError, match="many entries"):
        registry.matching(Step.STAY, EntryQuery(list="court"), actor="bob")


# --- many at once ------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_step_on_many_entries_takes_little_memory(registry: SqlRegistry) -> None:
    query = EntryQuery(list="court")
    number = 15_000
    with registry.begin_import("court", actor="ann") as session:
        for start in range(0, number, 1_000):
            session.stage([an_entry(f"k{place}", document(place)) for place in range(start, start + 1_000)])
        session.commit(full=True)
    registry.matching(Step.RELEASE, query, actor="bob")
    tracemalloc.start()
    try:
        planned = registry.matching(Step.RELEASE, query, actor="bob")
        assert number == registry.bulk(Step.RELEASE, query, digest=planned.digest, note=NOTE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All of the rows at once would take 15,000 times 200 bytes and more.
    assert peak < 2_500_000
    assert 0 == registry.count_in_force("court")
