"""What every feed's table owes, whatever it is kept in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, inspect, select

from portcullis.adapters.sql.engines import open_engine
from portcullis.adapters.sql.feed.feed import SqlFeed
from portcullis.adapters.sql.feed.schema import feed, feed_head
from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import JournalUnavailable
from portcullis.ports import BEGINNING, FeedStore, Progress
from tests.support.databases import migrated_database
from tests.support.feeds import a_change, entry_ids, opened_feed, positions
from tests.support.policies import NOW


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FeedStore]:
    with opened_feed(request.param, tmp_path, lambda: request.getfixturevalue("postgres")) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


def test_a_new_feed_is_empty_and_has_a_name_that_stays(store: FeedStore) -> None:
    ends = store.ends()

    assert (0, 0, 0.0) == (ends.oldest, ends.newest, ends.as_of)
    assert 8 == len(ends.feed)
    assert ends == store.ends()
    assert BEGINNING == store.progress()
    assert [] == list(store.read(0, 10))


def test_changes_are_kept_as_they_came_with_positions_from_one(store: FeedStore) -> None:
    first, second = (
        a_change(7),
        a_change(8, kind=ChangeKind.WITHDRAWN, list="carrier", list_number=2, happened_at=NOW + 0.25),
    )
    then = Progress(3, NOW, registry_at=NOW - 0.5, entry_id=8, ended_entry_id=4)

    assert store.append([first, second], then, expected=BEGINNING)

    expected = [msgspec.structs.replace(first, position=1), msgspec.structs.replace(second, position=2)]
    assert expected == list(store.read(0, 10))
    assert then == store.progress()
    assert (0, 2, float(NOW)) == store.ends()[1:]


def test_an_append_on_another_progress_does_nothing(store: FeedStore) -> None:
    store.append([a_change(1)], Progress(1, NOW), expected=BEGINNING)

    assert not store.append([a_change(1)], Progress(1, NOW), expected=BEGINNING)
    assert not store.begin_anew(expected=BEGINNING)

    assert [1] == positions(store)
    assert Progress(1, NOW) == store.progress()


def test_a_progress_alone_can_be_noted(store: FeedStore) -> None:
    assert store.append([], Progress(5, NOW), expected=BEGINNING)

    assert Progress(5, NOW) == store.progress()
    assert 0 == store.ends().newest


def test_a_page_has_at_most_its_limit_and_begins_after_its_position(store: FeedStore) -> None:
    store.append([a_change(number) for number in range(1, 8)], Progress(1, NOW), expected=BEGINNING)

    assert [3, 4, 5] == positions(store, after=2, limit=3)
    assert [] == positions(store, after=7)


def test_trimming_forgets_a_run_at_the_old_end_and_positions_go_on(store: FeedStore) -> None:
    ages = [10, 20, 60, 30, 70]
    changes = [a_change(number, happened_at=float(NOW + age)) for number, age in enumerate(ages, 1)]
    store.append(changes, Progress(1, NOW), expected=BEGINNING)

    assert 2 == store.trim(NOW + 50)
    assert 0 == store.trim(NOW + 50)

    assert (2, 5) == store.ends()[1:3]
    assert [3, 4, 5] == positions(store)
    store.append([a_change(6)], Progress(2, NOW), expected=Progress(1, NOW))
    assert 6 == store.ends().newest


def test_a_feed_that_is_trimmed_to_nothing_counts_on(store: FeedStore) -> None:
    store.append([a_change(1), a_change(2)], Progress(1, NOW), expected=BEGINNING)

    assert 2 == store.trim(NOW + 1)

    assert (2, 2) == store.ends()[1:3]
    store.append([a_change(3)], Progress(2, NOW), expected=Progress(1, NOW))
    assert [3] == positions(store)


def test_beginning_anew_gives_another_name_and_nothing_else(store: FeedStore) -> None:
    store.append([a_change(1)], Progress(1, NOW), expected=BEGINNING)
    name = store.ends().feed

    assert store.begin_anew(expected=Progress(1, NOW))

    assert name != store.ends().feed
    assert (0, 0) == store.ends()[1:3]
    assert BEGINNING == store.progress()
    store.append([a_change(2)], Progress(1, NOW), expected=BEGINNING)
    assert [2] == entry_ids(store)
    assert [1] == positions(store)


def test_of_many_who_append_on_one_progress_one_does(store: FeedStore) -> None:
    def append(number: int) -> bool:
        return store.append([a_change(number)], Progress(number, NOW), expected=BEGINNING)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(append, range(1, 9)))

    assert [True] == [outcome for outcome in outcomes if outcome]
    assert 1 == store.ends().newest


def test_processes_that_meet_a_new_feed_agree_on_its_name(url: str) -> None:
    stores = [SqlFeed(url) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        names = {ends.feed for ends in pool.map(SqlFeed.ends, stores)}
    for each in stores:
        each.close()

    assert 1 == len(names)


def test_a_large_feed_is_trimmed_some_at_a_time(url: str) -> None:
    with closing(SqlFeed(url)) as store:
        store.append([a_change(number) for number in range(1, 12_001)], Progress(1, NOW), expected=BEGINNING)

        assert [10_000, 2_000, 0] == [store.trim(NOW + 1) for _ in range(3)]


def test_the_migration_makes_the_tables_that_the_code_knows(url: str) -> None:
    engine = open_engine(url, write_wait_s=1)
    with engine.connect() as connection:
        for table in (feed, feed_head):
            made = {column["name"]: column["nullable"] for column in inspect(connection).get_columns(table.name)}
            assert {column.name: False for column in table.columns} == made
            assert 0 == connection.scalar(select(func.count()).select_from(table))
    engine.dispose()


def test_a_database_that_is_not_there_is_said_to_be_unavailable(tmp_path: Path) -> None:
    with closing(SqlFeed(f"sqlite:///{tmp_path}/none/journal.db")) as store:
        for attempt in (store.ends, store.progress, lambda: store.read(0, 1), lambda: store.trim(0.0)):
            with pytest.raises(JournalUnavailable):
                attempt()
