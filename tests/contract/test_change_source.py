"""What the feed is given by a registry on SQL: every version and every end once, in the order of commits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from portcullis.adapters.sql.engines import open_engine, writing
from portcullis.adapters.sql.registry.database import next_change
from portcullis.adapters.sql.registry.life import find_numbered, set_clearances, set_decide_by
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.changes import ChangeKind, FeedChange
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.policies import Disclosure, Policy
from portcullis.ports import BEGINNING, EntryQuery, Progress
from tests.support.databases import migrated_database
from tests.support.imports import StillClock
from tests.support.policies import NOW, YEAR_S, a_list
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry

ADDED, AMENDED, WITHDRAWN, EXPIRED, STAYED, REINSTATED, RELEASED, IN_ERROR = (
    ChangeKind.ENTRY_ADDED,
    ChangeKind.AMENDED,
    ChangeKind.WITHDRAWN,
    ChangeKind.EXPIRED,
    ChangeKind.STAYED,
    ChangeKind.REINSTATED,
    ChangeKind.RELEASED,
    ChangeKind.RELEASED_IN_ERROR,
)
START = Progress(0, NOW)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "registry", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


@pytest.fixture
def registry(url: str, clock: StillClock) -> Iterator[SqlRegistry]:
    with closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)) as store:
        store.apply_policy(POLICY, actor="ann")
        yield store


def read(registry: SqlRegistry, after: Progress, now: float = NOW) -> tuple[list[FeedChange], Progress]:
    with registry.changes(after, now) as found:
        assert found.follows
        return [change for change, _ in found.changes], found.then


def told(registry: SqlRegistry, after: Progress = START, now: float = NOW) -> list[tuple[ChangeKind, int, float]]:
    return [(change.kind, change.entry_id, change.happened_at) for change in read(registry, after, now)[0]]


def put(registry: SqlRegistry, key: str = "k1", **values: Any) -> int:
    stored, _ = registry.put_entry(an_entry(key, **values), actor="ann")
    return stored.entry_id


def take(registry: SqlRegistry, *steps: Step, by: str = "bob") -> None:
    for step in steps:
        registry.step("court", "k1", step, note=StepNote(actor=by))


def propose(registry: SqlRegistry, **values: Any) -> None:
    registry.put(an_entry("k1", **values), note=StepNote(actor="ann"), four_eyes=True)


def kinds(registry: SqlRegistry, after: Progress = START, now: float = NOW) -> list[ChangeKind]:
    return [kind for kind, _, _ in told(registry, after, now)]


def test_every_version_is_told_once_in_the_order_of_commits(registry: SqlRegistry, clock: StillClock) -> None:
    one = put(registry)
    clock.time = NOW + 1
    two = put(registry, "k2")
    clock.time = NOW + 2
    put(registry, case_reference="another")
    registry.withdraw_entry("court", "k1", reason="paid", actor="ann")
    clock.time = NOW + 3
    put(registry)

    expected = [
        (ADDED, one, NOW),
        (ADDED, two, NOW + 1),
        (AMENDED, one, NOW + 2),
        (WITHDRAWN, one, NOW + 2),
        (ADDED, one, NOW + 3),
    ]
    assert expected == told(registry)


def test_stays_lifts_and_releases_are_told_as_such(registry: SqlRegistry) -> None:
    put(registry)
    take(registry, Step.STAY, Step.LIFT, Step.STAY, Step.RELEASE)
    put(registry)

    assert [ADDED, STAYED, REINSTATED, STAYED, RELEASED, ADDED] == kinds(registry)


@pytest.mark.parametrize(("steps", "left"), [((Step.RETRACT,), WITHDRAWN), ((Step.RELEASE, Step.RETRACT), RELEASED)])
def test_what_should_never_have_been_there_is_told_to_make_good(
    registry: SqlRegistry, steps: tuple[Step, ...], left: ChangeKind
) -> None:
    put(registry)
    take(registry, *steps)

    assert [ADDED, left, IN_ERROR] == kinds(registry)


def test_what_is_only_proposed_is_not_told(registry: SqlRegistry) -> None:
    propose(registry)
    propose(registry, case_reference="another")
    take(registry, Step.REJECT)
    assert [] == kinds(registry)
    propose(registry)
    take(registry, Step.APPROVE)
    assert [ADDED] == kinds(registry)
    _, then = read(registry, START)
    propose(registry, case_reference="another")
    take(registry, Step.REJECT)
    propose(registry, case_reference="another")
    assert [] == kinds(registry, then)
    take(registry, Step.APPROVE)
    assert [AMENDED] == kinds(registry, then)


def test_an_entry_that_left_is_told_again_once_its_listing_is_approved(registry: SqlRegistry) -> None:
    put(registry)
    take(registry, Step.RELEASE)
    propose(registry)
    assert [ADDED, RELEASED] == kinds(registry)
    take(registry, Step.APPROVE)
    assert [ADDED, RELEASED, ADDED] == kinds(registry)


def test_a_redress_number_is_no_matter_of_partners(registry: SqlRegistry) -> None:
    one = put(registry)
    with registry._database.writing() as connection:
        row = find_numbered(connection, one)
        assert row is not None
        set_clearances(connection, row, bytes(range(16)), note=StepNote(actor="rev"), at=NOW)

    assert [ADDED] == kinds(registry)


def test_a_stayed_entry_ends_and_an_ended_one_is_stayed_unheard(registry: SqlRegistry) -> None:
    put(registry, until=NOW + 10)
    take(registry, Step.STAY)
    _, then = read(registry, START)
    assert [EXPIRED] == kinds(registry, then, NOW + 10)
    _, then = read(registry, then, NOW + 10)
    take(registry, Step.LIFT, Step.RELEASE)
    assert [] == kinds(registry, then, NOW + 20)


def test_a_lapse_and_a_dispute_that_nobody_decided_are_told_as_ends(registry: SqlRegistry, clock: StillClock) -> None:
    one = put(registry, lapses_at=NOW + 10)
    _, then = read(registry, START)
    assert [(EXPIRED, one, NOW + 10)] == told(registry, then, NOW + 11)
    _, then = read(registry, then, NOW + 11)
    clock.time = NOW + 12
    put(registry, lapses_at=NOW + 100)
    with registry._database.writing() as connection:
        row = find_numbered(connection, one)
        assert row is not None
        set_decide_by(connection, row, NOW + 50, note=StepNote(actor="rev"), at=NOW + 12)

    changes, _ = read(registry, then, NOW + 60)
    assert [(ADDED, NOW + 100), (AMENDED, NOW + 50), (EXPIRED, NOW + 50)] == [
        (change.kind, change.until) for change in changes
    ]


def test_a_step_on_many_entries_is_told_of_each(registry: SqlRegistry) -> None:
    import_rows(registry, [an_entry(f"k{number}") for number in range(3)])
    _, then = read(registry, START)
    query = EntryQuery(list="court")
    digest = registry.matching(Step.RELEASE, query, actor="bob").digest
    registry.bulk(Step.RELEASE, query, digest=digest, note=StepNote(actor="bob"))

    assert [RELEASED] * 3 == kinds(registry, then)


def test_a_change_tells_its_list_and_the_end_it_gave_the_entry(registry: SqlRegistry) -> None:
    put(registry, until=NOW + 500)
    put(registry, until=NOW + 900)

    changes, _ = read(registry, START)

    number = changes[0].list_number
    assert [("court", number, NOW + 500, 0), ("court", number, NOW + 900, 0)] == [
        (change.list, change.list_number, change.until, change.position) for change in changes
    ]


def test_nothing_is_told_of_a_list_that_never_leaves_the_registry(registry: SqlRegistry) -> None:
    import_rows(registry, [an_entry("k1", list="secret", until=NOW + 10)], list_name="secret")
    one = put(registry)

    assert [(ADDED, one, NOW)] == told(registry)
    assert [(ADDED, one, NOW)] == told(registry, now=NOW + 20)


def test_nothing_is_told_of_a_list_that_left_the_policy(registry: SqlRegistry) -> None:
    put(registry)
    registry.apply_policy(Policy(lists=(a_list("carrier"),)), actor="ann")

    assert [] == told(registry)


def test_reading_can_go_on_within_one_large_change(registry: SqlRegistry) -> None:
    import_rows(registry, [an_entry(f"k{number}") for number in range(8)])
    import_rows(registry, [an_entry(f"k{number}", case_reference="amended") for number in range(8)])
    with registry.changes(START, NOW) as found:
        whole = list(found.changes)
        assert (found.then.registry_seq, 0) == (registry.head(), found.then.entry_id)

    assert [*[ADDED] * 8, *[AMENDED] * 8] == [change.kind for change, _ in whole]
    for place in range(16):
        rest, _ = read(registry, whole[place][1])
        assert [change for change, _ in whole[place + 1 :]] == rest


def test_a_version_that_was_superseded_is_told_after_it_moved_to_the_history(registry: SqlRegistry) -> None:
    import_rows(registry, [an_entry(f"k{number}") for number in range(3)])
    with registry.changes(START, NOW) as found:
        (first, then), *_ = found.changes
    put(registry, "k2", case_reference="meanwhile")

    assert [ADDED, ADDED, AMENDED] == [change.kind for change in read(registry, then)[0]]
    assert 3 == len({change.entry_id for change in [first, *read(registry, then)[0]]})


def test_an_end_is_told_once_it_has_come(registry: SqlRegistry) -> None:
    two, one = put(registry, "k2", until=NOW + 20), put(registry, until=NOW + 10)
    _, then = read(registry, START)

    assert [] == told(registry, then, NOW + 9.9)
    assert [(EXPIRED, one, NOW + 10)] == told(registry, then, NOW + 10)
    changes, later = read(registry, then, NOW + 25.5)
    assert [(EXPIRED, one), (EXPIRED, two)] == [(change.kind, change.entry_id) for change in changes]
    assert NOW + 25 == later.ended_until
    assert [] == told(registry, later, NOW + 30)


def test_many_ends_in_one_second_can_be_told_in_parts(registry: SqlRegistry) -> None:
    import_rows(registry, [an_entry(f"k{number}", until=NOW + 5) for number in range(6)])
    _, then = read(registry, START)
    with registry.changes(then, NOW + 6) as found:
        whole = list(found.changes)

    for place in range(6):
        rest, _ = read(registry, whole[place][1], NOW + 6)
        assert [change for change, _ in whole[place + 1 :]] == rest


def test_an_end_told_in_part_goes_on_from_what_was_told(registry: SqlRegistry, clock: StillClock) -> None:
    one = put(registry, until=NOW + 5)
    two = put(registry, "k2", until=NOW + 5)
    _, then = read(registry, START)
    with registry.changes(then, NOW + 6) as found:
        (expired, part), *_ = found.changes
    assert one == expired.entry_id
    clock.time = NOW + 7
    put(registry, until=NOW + 50)
    put(registry, "k2", until=NOW + 50)

    assert [(ADDED, one, NOW + 7), (AMENDED, two, NOW + 7)] == told(registry, part, NOW + 8)


def test_a_later_end_puts_an_ended_entry_in_force_again_and_ends_once_more(registry: SqlRegistry, clock: StillClock) -> None:
    one = put(registry, until=NOW + 10)
    _, then = read(registry, START)
    _, then = read(registry, then, NOW + 15)
    clock.time = NOW + 16
    put(registry, until=NOW + 30)

    assert [(ADDED, one, NOW + 16)] == told(registry, then, NOW + 16)
    assert [(ADDED, one, NOW + 16), (EXPIRED, one, NOW + 30)] == told(registry, then, NOW + 30)


def test_an_end_moved_before_it_was_told_is_an_amendment(registry: SqlRegistry) -> None:
    one = put(registry, until=NOW + 10)
    _, then = read(registry, START)
    put(registry, until=NOW + 30)

    assert [(AMENDED, one, NOW)] == told(registry, then, NOW + 20)


def test_an_end_amended_to_a_time_that_is_past_is_told_at_once(registry: SqlRegistry, clock: StillClock) -> None:
    one = put(registry, until=NOW + 100)
    _, then = read(registry, START, NOW + 50)
    clock.time = NOW + 51
    put(registry, until=NOW + 40)

    assert [(EXPIRED, one, NOW + 51)] == told(registry, then, NOW + 52)


def test_an_entry_that_had_ended_before_it_was_told_never_is(registry: SqlRegistry) -> None:
    put(registry, until=NOW - 10)
    put(registry, until=NOW - 5)
    registry.withdraw_entry("court", "k1", reason="old", actor="ann")

    assert [] == told(registry)


def test_the_withdrawal_of_an_ended_entry_is_not_told(registry: SqlRegistry) -> None:
    put(registry, until=NOW + 10)
    _, then = read(registry, START)
    _, then = read(registry, then, NOW + 15)
    registry.withdraw_entry("court", "k1", reason="old", actor="ann")

    assert [] == told(registry, then, NOW + 20)


def test_a_withdrawn_entry_does_not_end(registry: SqlRegistry) -> None:
    put(registry, until=NOW + 10)
    registry.withdraw_entry("court", "k1", reason="paid", actor="ann")
    _, then = read(registry, START)

    assert [] == told(registry, then, NOW + 20)


def test_time_that_goes_back_tells_no_end_twice(registry: SqlRegistry) -> None:
    put(registry, until=NOW + 10)
    _, then = read(registry, START, NOW + 20)

    changes, back = read(registry, then, NOW + 5)

    assert [] == changes
    assert then == back


def test_a_feed_begins_with_what_is_as_young_as_it_keeps(registry: SqlRegistry, clock: StillClock) -> None:
    put(registry)
    clock.time = NOW + 100
    two = put(registry, "k2")

    start = registry.feed_start(NOW + 50, NOW + 200.5)

    assert (registry.head() - 1, NOW, NOW + 200) == (start.registry_seq, start.registry_at, start.ended_until)
    assert [(ADDED, two, NOW + 100)] == told(registry, start, NOW + 201)
    assert Progress(0, NOW) == registry.feed_start(NOW - YEAR_S, NOW)
    assert BEGINNING != registry.feed_start(NOW - YEAR_S, NOW)


@pytest.mark.parametrize("seq", [2, 50])
def test_a_registry_without_the_change_that_was_taken_over_does_not_follow(registry: SqlRegistry, seq: int) -> None:
    put(registry)

    with registry.changes(Progress(seq, NOW, registry_at=NOW - 1.5), NOW) as found:
        assert not found.follows
        assert [] == list(found.changes)


def test_a_change_that_commits_late_has_a_later_number(url: str, registry: SqlRegistry, clock: StillClock) -> None:
    """A writer that has drawn its number holds up the next one, so the reader never sees a later number first."""
    drawn, commit, done = threading.Event(), threading.Event(), threading.Event()

    def write_slowly() -> None:
        with registry._database.writing() as connection:
            next_change(connection, at=NOW, actor="slow", change="put", subject="court/none")
            drawn.set()
            assert commit.wait(20)

    def write_after() -> None:
        with closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)) as other:
            put(other, "k2")
        done.set()

    slow, fast = threading.Thread(target=write_slowly), threading.Thread(target=write_after)
    head = registry.head()
    slow.start()
    assert drawn.wait(20)
    fast.start()
    assert not done.wait(0.3)
    assert ([], head) == (told(registry), registry.head())
    commit.set()
    slow.join()
    fast.join()

    (change,), then = read(registry, START)
    assert ADDED == change.kind
    assert head + 2 == then.registry_seq
    assert ["slow", "ann"] == _actors(url, head)


def test_a_reader_sees_one_state_however_long_it_reads(registry: SqlRegistry) -> None:
    import_rows(registry, [an_entry(f"k{number}") for number in range(10)])
    with registry.changes(START, NOW) as found:
        head = found.then.registry_seq
        first = [next(found.changes)[0] for _ in range(2)]
        put(registry, "k5", case_reference="meanwhile")
        rest = [change for change, _ in found.changes]

    assert [ADDED] * 10 == [change.kind for change in [*first, *rest]]
    assert head + 1 == registry.head()


def test_a_list_that_becomes_public_to_partners_is_told_from_then_on(registry: SqlRegistry) -> None:
    import_rows(registry, [an_entry("k1", list="secret")], list_name="secret")
    _, then = read(registry, START)
    registry.apply_policy(Policy(lists=(a_list("secret", disclosure=Disclosure.RESTRICTED),)), actor="ann")
    put(registry, list="secret", case_reference="amended")

    assert [AMENDED] == [change.kind for change in read(registry, then)[0]]


def test_a_registry_that_is_not_there_is_said_to_be_unavailable(tmp_path: Path, clock: StillClock) -> None:
    url = f"sqlite:///{tmp_path}/none/registry.db"
    with closing(SqlRegistry(url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)) as registry:
        with pytest.raises(RegistryUnavailable), registry.changes(START, NOW):
            pass
        with pytest.raises(RegistryUnavailable):
            registry.feed_start(0.0, NOW)


def _actors(url: str, after: int) -> list[str]:
    engine = open_engine(url, write_wait_s=1)
    try:
        with writing(engine).begin() as connection:
            statement = text("SELECT actor FROM change_log WHERE seq > :after ORDER BY seq")
            return list(connection.scalars(statement, {"after": after}))
    finally:
        engine.dispose()
