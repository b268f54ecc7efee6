"""Registry, feeders, announcements and watchers together, over real databases and a real Valkey."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, contextmanager
from pathlib import Path

import pytest

from portcullis.adapters.redis.announcer import RedisAnnouncer
from portcullis.adapters.sql.feed.feed import SqlFeed
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.changes import ChangeKind, FeedChange
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.feeding import Feeder
from portcullis.exchange.watching import FeedWatch
from tests.support.databases import PostgresServer, migrated_database
from tests.support.feeds import FeedTally, next_told
from tests.support.imports import StillClock
from tests.support.policies import KnownBy, agreement
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry
from tests.support.valkey import running_valkey

WITHIN_S = 30.0
SHARED = Policy(lists=POLICY.lists, partners=(Partner(name="lender", title="A lender", agreements=(agreement(),)),))


class Urls:
    """Where the parts of one exchange are."""

    def __init__(self, registry: str, journal: str, redis: str) -> None:
        self.registry = registry
        self.journal = journal
        self.redis = redis

    def open_registry(self) -> SqlRegistry:
        return SqlRegistry(self.registry, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=StillClock())


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Urls]:
    def server() -> PostgresServer:
        found: PostgresServer = request.getfixturevalue("postgres")
        return found

    with (
        migrated_database(request.param, "registry", tmp_path, server) as registry,
        migrated_database(request.param, "journal", tmp_path, server) as journal,
        running_valkey() as valkey,
    ):
        yield Urls(registry, journal, valkey.url)


@contextmanager
def feeding(urls: Urls) -> Iterator[None]:
    """Run a feeder with connections of its own."""
    stop = threading.Event()
    with (
        closing(urls.open_registry()) as registry,
        closing(SqlFeed(urls.journal)) as store,
        closing(RedisAnnouncer(urls.redis, count_fault=lambda: None)) as announcer,
    ):
        feeder = Feeder(
            source=registry, store=store, announcer=announcer, clock=StillClock(), kept_d=90, metrics=FeedTally()
        )
        thread = threading.Thread(target=feeder.run, args=(stop, 0.005))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(WITHIN_S)
            assert not thread.is_alive()


async def told(urls: Urls, count: int) -> list[FeedChange]:
    """Watch from the oldest change on, until ``count`` were given."""
    store, announcer = SqlFeed(urls.journal), RedisAnnouncer(urls.redis, count_fault=lambda: None)
    desk = FeedWatch(store, announcer, SubjectNames(bytes(32)), KnownBy(lambda: SHARED), StillClock(), heartbeat_s=60.0)
    found: list[FeedChange] = []
    with closing(store):
        async with desk, aclosing(desk.watch("lender", "oldest", ())) as stream, asyncio.timeout(WITHIN_S):
            while len(found) < count:
                change = (await next_told(stream)).change
                assert change is not None
                found.append(change)
    await announcer.aclose()
    return found


def put_many(urls: Urls, writer: int, count: int) -> None:
    with closing(urls.open_registry()) as registry:
        for number in range(count):
            registry.put_entry(an_entry(f"{writer}-{number}"), actor=f"writer {writer}")


async def test_writers_two_feeders_and_watchers_at_once_tell_each_change_once(urls: Urls) -> None:
    writers, count = 3, 8
    with closing(urls.open_registry()) as registry:
        registry.apply_policy(POLICY, actor="ann")
    with feeding(urls), feeding(urls), ThreadPoolExecutor(writers) as pool:
        watching = [asyncio.create_task(told(urls, writers * count)) for _ in range(3)]
        for writer in range(writers):
            pool.submit(put_many, urls, writer, count)
        first, *others = await asyncio.gather(*watching)

    assert [first, first] == others
    assert list(range(1, writers * count + 1)) == [change.position for change in first]
    with closing(urls.open_registry()) as registry:
        stored = registry.entries("court", after_id=0, limit=1_000)
    # Entries were numbered as they were committed, since each writer waits for the other.
    assert [entry.entry_id for entry in stored] == [change.entry_id for change in first]


async def test_an_import_that_commits_late_is_told_whole_and_in_its_place(urls: Urls) -> None:
    with closing(urls.open_registry()) as registry:
        registry.apply_policy(POLICY, actor="ann")
        merging, go_on = threading.Event(), threading.Event()
        with feeding(urls), ThreadPoolExecutor(2) as pool:
            importing = pool.submit(import_slowly, registry, merging, go_on)
            assert merging.wait(WITHIN_S)
            putting = pool.submit(put_many, urls, 9, 1)
            with closing(SqlFeed(urls.journal)) as store:
                assert 0 == store.ends().newest
            go_on.set()
            importing.result(WITHIN_S)
            putting.result(WITHIN_S)
            changes = await told(urls, 41)

    assert [ChangeKind.ENTRY_ADDED] * 41 == [change.kind for change in changes]
    assert sorted(change.entry_id for change in changes) == [change.entry_id for change in changes]


def import_slowly(registry: SqlRegistry, merging: threading.Event, go_on: threading.Event) -> None:
    """Import forty entries; between drawing the number of the change and the commit, let others come."""
    database = registry._database

    def wait() -> None:
        merging.set()
        assert go_on.wait(WITHIN_S)

    with delayed_commit(database, wait):
        import_rows(registry, [an_entry(f"k{number}") for number in range(40)])


@contextmanager
def delayed_commit(database: object, wait: Callable[[], None]) -> Iterator[None]:
    """Have a registry wait before its next writing transaction on a session commits."""
    original = type(database).writing_in  # type: ignore[attr-defined]

    @contextmanager
    def writing_in(session: object) -> Iterator[object]:
        with original(database, session) as connection:
            yield connection
            wait()

    database.writing_in = writing_in  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del database.writing_in  # type: ignore[attr-defined]
