"""The feeder over a real registry in SQLite and a feed in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.adapters.sql.migrating import migrate_registry
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import JournalUnavailable, RegistryUnavailable
from portcullis.exchange.feeding import DAY_S, Feeder
from portcullis.ports import BEGINNING, ChangesRead, FeedEnds, Progress
from tests.support.databases import sqlite_url
from tests.support.feeds import FeedTally, a_change, positions
from tests.support.imports import StillClock
from tests.support.policies import NOW
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry


class Announced:
    """Notes what is announced."""

    def __init__(self) -> None:
        self.newest: list[int] = []

    def announce(self, ends: FeedEnds) -> None:
        self.newest.append(ends.newest)

    async def wait(self, after: int, timeout_s: float) -> None:
        raise NotImplementedError


class Parts:
    """A feeder with all that it works on."""

    def __init__(self, folder: Path) -> None:
        self.clock = StillClock()
        self.url = sqlite_url(folder, "registry.db", migrate_registry)
        self.registry = SqlRegistry(self.url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=self.clock)
        self.registry.apply_policy(POLICY, actor="ann")
        self.store = MemoryFeed()
        self.announced = Announced()
        self.tally = FeedTally()
        self.feeder = self.another()

    def another(self) -> Feeder:
        return Feeder(
            source=self.registry,
            store=self.store,
            announcer=self.announced,
            clock=self.clock,
            kept_d=90,
            metrics=self.tally,
        )

    def kinds(self) -> list[ChangeKind]:
        return [change.kind for change in self.store.read(0, 10_000)]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    with closing(made.registry):
        yield made


def test_changes_are_fed_announced_and_counted(parts: Parts) -> None:
    import_rows(parts.registry, [an_entry(f"k{number}") for number in range(2_500)])

    assert 2_500 == parts.feeder.feed_once()
    assert 0 == parts.feeder.feed_once()

    assert list(range(1, 2_501)) == positions(parts.store)
    assert [1_000, 2_000, 2_500] == parts.announced.newest
    assert 2_500 == parts.tally.changes


def test_ends_are_fed_when_they_have_come(parts: Parts) -> None:
    parts.registry.put_entry(an_entry(until=NOW + 10), actor="ann")
    parts.feeder.feed_once()

    parts.clock.time = NOW + 9.5
    assert 0 == parts.feeder.feed_once()
    parts.clock.time = NOW + 10
    assert 1 == parts.feeder.feed_once()

    assert [ChangeKind.ENTRY_ADDED, ChangeKind.EXPIRED] == parts.kinds()


def test_a_quiet_feed_is_marked_as_complete_now_and_then(parts: Parts) -> None:
    parts.feeder.feed_once()

    for tenths in range(1, 50):
        parts.clock.time = NOW + tenths / 10
        assert 0 == parts.feeder.feed_once()

    assert NOW + 4 == parts.store.ends().as_of
    assert [] == parts.announced.newest


class CountedFeed(MemoryFeed):
    """Counts how often its progress is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def progress(self) -> Progress:
        self.asked += 1
        return super().progress()


def test_a_feed_of_a_quiet_registry_is_asked_once_a_second(parts: Parts) -> None:
    parts.store = feed = CountedFeed()
    feeder = parts.another()

    for hundredths in range(300):
        parts.clock.time = NOW + hundredths / 100
        feeder.feed_once()

    assert 3 == feed.asked


def test_what_another_feeder_has_fed_is_not_fed_again(parts: Parts) -> None:
    other = parts.another()
    for number in range(4):
        parts.registry.put_entry(an_entry(f"k{number}"), actor="ann")
        assert 1 == (parts.feeder, other)[number % 2].feed_once()

    assert [0, 0] == [parts.feeder.feed_once(), other.feed_once()]
    assert [1, 2, 3, 4] == positions(parts.store)


def test_a_new_feed_holds_what_is_young_enough_to_be_kept(parts: Parts) -> None:
    parts.registry.put_entry(an_entry(until=NOW + 300 * int(DAY_S)), actor="ann")
    parts.clock.time = NOW + 80 * DAY_S
    parts.registry.put_entry(an_entry("k2", until=NOW + 300 * int(DAY_S)), actor="ann")
    parts.clock.time = NOW + 100 * DAY_S

    assert 1 == parts.feeder.feed_once()


def test_a_feeder_that_dies_anywhere_is_followed_by_one_that_goes_on(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    import_rows(parts.registry, [an_entry(f"k{number}") for number in range(3_300)])
    append = parts.store.append
    dies = iter([False, True, False, True, True])

    def append_or_die(*args: object, **named: object) -> bool:
        # Dies after the commit and before anybody hears of it.
        done: bool = append(*args, **named)  # type: ignore[arg-type]
        if next(dies, False):
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(parts.store, "append", append_or_die)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            parts.another().feed_once()
    parts.another().feed_once()

    fed = parts.store.read(0, 10_000)
    assert list(range(1, 3_301)) == [change.position for change in fed]
    assert 3_300 == len({change.entry_id for change in fed})


def test_a_feeder_that_another_overtook_stops_and_begins_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.feeder.feed_once()
    import_rows(parts.registry, [an_entry(f"k{number}") for number in range(1_500)])
    changes = parts.registry.changes

    @contextmanager
    def changes_after_another(after: Progress, now: float) -> Iterator[ChangesRead]:
        monkeypatch.undo()
        with changes(after, now) as read:
            assert 1_500 == parts.another().feed_once()
            yield read

    monkeypatch.setattr(parts.registry, "changes", changes_after_another)
    assert 0 == parts.feeder.feed_once()
    assert 0 == parts.feeder.feed_once()
    assert list(range(1, 1_501)) == positions(parts.store)


def test_the_feed_begins_anew_where_the_registry_is_another(parts: Parts, tmp_path: Path) -> None:
    parts.registry.put_entry(an_entry(), actor="ann")
    parts.feeder.feed_once()
    name = parts.store.ends().feed
    (tmp_path / "other").mkdir()
    other = Parts(tmp_path / "other")
    other.clock.time = NOW + 1
    other.registry.put_entry(an_entry("k2"), actor="ann")
    other.registry.put_entry(an_entry("k3"), actor="ann")
    other.store = parts.store

    with closing(other.registry):
        feeder = other.another()
        assert 0 == feeder.feed_once()
        assert name != parts.store.ends().feed
        assert BEGINNING == parts.store.progress()
        assert 2 == feeder.feed_once()


def test_what_is_older_than_is_kept_is_forgotten(parts: Parts) -> None:
    ages = [NOW - 91 * DAY_S, NOW - 89 * DAY_S]
    parts.store.append([a_change(happened_at=age) for age in ages], Progress(1, NOW, registry_at=NOW), expected=BEGINNING)

    assert 1 == parts.feeder.trim()

    assert 1 == parts.store.ends().oldest
    assert 1 == parts.tally.forgotten


@pytest.mark.parametrize(
    ("fault", "part"),
    [(RegistryUnavailable("gone"), "registry"), (JournalUnavailable(), "journal"), (ValueError("odd"), "other")],
)
def test_the_loop_survives_faults_and_counts_them(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, fault: Exception, part: str
) -> None:
    parts.registry.put_entry(an_entry(), actor="ann")
    progress = parts.store.progress
    faults: Iterator[Exception | None] = iter([fault, fault])

    def fails_at_first() -> Progress:
        if (raised := next(faults, None)) is not None:
            raise raised
        return progress()

    monkeypatch.setattr(parts.store, "progress", fails_at_first)
    with running(parts.feeder):
        until(lambda: parts.store.ends().newest == 1)

    assert [part, part] == parts.tally.failures


def test_the_loop_trims_too(parts: Parts) -> None:
    parts.store.append([a_change(happened_at=0.0)], Progress(1, NOW, registry_at=NOW), expected=BEGINNING)
    with running(parts.feeder):
        until(lambda: parts.store.ends().oldest == 1)


def test_a_stopped_feeder_leaves_a_large_change_in_the_middle(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    import_rows(parts.registry, [an_entry(f"k{number}") for number in range(3_000)])
    stop = threading.Event()
    monkeypatch.setattr(parts.announced, "announce", lambda _: stop.set())

    parts.feeder.run(stop, 0.01)

    assert 1_000 == parts.store.ends().newest
    assert 2_000 == parts.another().feed_once()


def test_a_memory_announcer_hears_of_nobody() -> None:
    MemoryAnnouncer().announce(FeedEnds("0123abcd", 0, 1))


@contextmanager
def running(feeder: Feeder) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=feeder.run, args=(stop, 0.005))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(4_000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come about in time")
