"""The feed and its cursors against plain lists: any order of changes, steps, ends, crashes, two feeders, trims, watchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete

from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.adapters.sql.engines import open_engine, writing
from portcullis.adapters.sql.feed.feed import SqlFeed
from portcullis.adapters.sql.feed.schema import feed, feed_head
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.domain.changes import ChangeKind, Cursor, FeedChange, read_cursor
from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.entry_life import ReleaseGround, Step, StepNote, legal_steps, single_steps
from portcullis.domain.errors import CursorExpired
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange import feeding
from portcullis.exchange.feeding import Feeder
from portcullis.exchange.watching import FeedWatch
from portcullis.gateway.registry_knowledge import RegistryKnowledge
from portcullis.ports import FeedEnds, FeedStore, Progress, StoredEntry, Watched
from tests.support.databases import PostgresServer, clear_registry, migrated_database
from tests.support.feeds import STANDS, FeedTally, next_told, thought_after
from tests.support.imports import StillClock
from tests.support.policies import NOW, YEAR_S, agreement
from tests.support.registries import import_rows
from tests.support.registry_entries import POLICY, SEAL_KEY, TOKENISER, an_entry

SUBJECTS = SubjectNames(bytes(range(32)))
PARTNERS = {"court-only": ("court",), "carrier-only": ("carrier",), "both": ("court", "carrier", "secret")}
AGREED = st.tuples(st.sampled_from(sorted(PARTNERS)), st.sampled_from([("court",), ("carrier",), ("carrier", "court")]))
LIST_NAMES = ("court", "carrier", "secret")
LISTS = st.sampled_from(["court", *LIST_NAMES])
KEYS = st.sampled_from(["k1", "k2", "k3", "k4", "k5"])
TERMS = st.sampled_from([-5, 2, 4, 9, YEAR_S])
STEPS = {
    Step.STAY: ChangeKind.STAYED,
    Step.LIFT: ChangeKind.REINSTATED,
    Step.RELEASE: ChangeKind.RELEASED,
    Step.WITHDRAW: ChangeKind.WITHDRAWN,
    Step.RETRACT: ChangeKind.RELEASED_IN_ERROR,
}
"""What a person can do to an entry that was listed, and what partners are told of it."""
BY_STEPS_ALONE = {ChangeKind.REINSTATED, ChangeKind.RELEASED, ChangeKind.RELEASED_IN_ERROR}
"""Nothing but a step makes these; the others come of imports and of extensions too."""
WITHDRAWABLE = {*LISTED, EntryStatus.WITHDRAWN}


def shared(agreed: Mapping[str, tuple[str, ...]]) -> Policy:
    """The policy with these lists in the partners' agreements."""
    return msgspec.structs.replace(
        POLICY,
        partners=tuple(
            Partner(name=name, title=name, agreements=(agreement(lists, valid_from=0, valid_until=NOW + 100 * YEAR_S),))
            for name, lists in agreed.items()
        ),
    )


class Killed(BaseException):
    """The feeder's process ends here."""


class Interrupted:
    """A feed's table at which something happens now and then before or after an append."""

    def __init__(self, store: FeedStore) -> None:
        self.store = store
        self.before: list[Callable[[], object]] = []
        self.after: list[Callable[[], object]] = []

    def append(self, changes: Any, then: Progress, *, expected: Progress) -> bool:
        if self.before:
            self.before.pop(0)()
        done = self.store.append(changes, then, expected=expected)
        if self.after:
            self.after.pop(0)()
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Fragile(MemoryAnnouncer):
    """An announcer at which whoever announces may be killed."""

    def __init__(self) -> None:
        super().__init__()
        self.kills = False

    def announce(self, ends: FeedEnds) -> None:
        if self.kills:
            self.kills = False
            raise Killed
        super().announce(ends)


class Reader(NamedTuple):
    """A watcher: from which position it began, and what it was given since, each with the position of its cursor.

    ``lists`` are those of its agreement at each position that it was past.
    """

    partner: str
    began: int
    given: tuple[tuple[int, FeedChange | None], ...] = ()
    lists: tuple[tuple[str, ...], ...] = ()

    @property
    def position(self) -> int:
        return self.given[-1][0] if self.given else self.began

    def past(self, told: Sequence[tuple[int, FeedChange | None]], lists: tuple[str, ...]) -> Reader:
        """The watcher once it was told this, under an agreement on these lists."""
        moved = self._replace(given=(*self.given, *told))
        return moved._replace(lists=(*self.lists, *[lists] * (moved.position - self.position)))

    def resumed(self, places: int) -> Reader:
        """The watcher that forgot the last things that it was given."""
        back = self._replace(given=self.given[: max(0, len(self.given) - places)])
        return back._replace(lists=self.lists[: back.position - self.began])


def _placed(partner: str, told: Watched) -> tuple[int, FeedChange | None]:
    cursor = read_cursor(told.cursor)
    assert cursor is not None
    position = SUBJECTS.position(partner, cursor.feed, cursor.mark)
    assert position is not None
    return position, told.change


def _cursor(partner: str, feed: str, position: int) -> str:
    return str(Cursor(feed, SUBJECTS.mark(partner, feed, position)))


def _may(status: EntryStatus, step: Step) -> bool:
    return any(each in legal_steps(status) for each in single_steps(status, step)[:1])


class FeedMachine(RuleBasedStateMachine):
    """``make`` opens an empty registry and an empty feed; ``log`` is every change that was ever seen in the feed."""

    make: Callable[[StillClock], tuple[SqlRegistry, FeedStore]]

    def __init__(self) -> None:
        super().__init__()
        self.clock = StillClock()
        self.registry, self.store = self.make(self.clock)
        self.agreed = dict(PARTNERS)
        self.registry.apply_policy(shared(self.agreed), actor="ann")
        # As new as its last look, which may be long ago.
        self.known = RegistryKnowledge(self.registry, self.clock.now)
        self.known.look()
        self.interrupted = Interrupted(self.store)
        self.announcer = Fragile()
        self.log: list[FeedChange] = []
        self.oldest = 0
        self.due: set[tuple[ChangeKind, int, float]] = set()
        self.made: set[tuple[ChangeKind, int, float]] = set()
        self.readers = [Reader(partner, 0) for partner in PARTNERS]
        self._feed()
        for name, key in (("court", "k1"), ("court", "k2"), ("carrier", "k1")):
            self.put(name, key, YEAR_S)

    # --- the registry ---------------------------------------------------------------------------------------------------

    @rule(name=LISTS, key=KEYS, term=TERMS)
    def put(self, name: str, key: str, term: int) -> None:
        self.clock.time += 1
        self.registry.put_entry(self._entry(name, key, term), actor="ann")

    @rule(name=LISTS, key=KEYS)
    def withdraw(self, name: str, key: str) -> None:
        self.clock.time += 1
        if (present := self._present(name, key)) is not None and present.status in WITHDRAWABLE:
            self.registry.withdraw_entry(name, key, reason="paid", actor="ann")

    @rule(name=LISTS, rows=st.dictionaries(KEYS, TERMS, max_size=5), full=st.booleans())
    def import_list(self, name: str, rows: dict[str, int], full: bool) -> None:
        self.clock.time += 1
        entries = [self._entry(name, key, term) for key, term in rows.items()]
        import_rows(self.registry, entries, list_name=name, full=full)

    @rule(agreed=AGREED)
    def agree(self, agreed: tuple[str, tuple[str, ...]]) -> None:
        self.clock.time += 1
        self.agreed |= dict((agreed,))
        self.registry.apply_policy(shared(self.agreed), actor="ann")

    @rule(seconds=st.integers(1, 6))
    def time_passes(self, seconds: int) -> None:
        self.clock.time += seconds

    # --- the life of an entry -------------------------------------------------------------------------------------------

    @precondition(lambda self: self._standing(EntryStatus.IN_FORCE))
    @rule(data=st.data())
    def stay(self, data: st.DataObject) -> None:
        self._step(*data.draw(st.sampled_from(self._standing(EntryStatus.IN_FORCE))), Step.STAY)

    @precondition(lambda self: self._standing(EntryStatus.STAYED))
    @rule(data=st.data(), step=st.sampled_from([Step.LIFT, Step.LIFT, Step.RELEASE, Step.WITHDRAW, Step.RETRACT]))
    def end_a_stay(self, data: st.DataObject, step: Step) -> None:
        self._step(*data.draw(st.sampled_from(self._standing(EntryStatus.STAYED))), step)

    @rule(name=LISTS, key=KEYS, step=st.sampled_from([Step.RELEASE, *STEPS]))
    def take_a_step(self, name: str, key: str, step: Step) -> None:
        self._step(name, key, step)

    def _standing(self, status: EntryStatus) -> list[tuple[str, str]]:
        """Give the list and the key of each entry that stands so, and has not ended."""
        entries = (each for name in LIST_NAMES for each in self._entries(name))
        return [
            (each.list, each.key) for each in entries if each.status is status and each.effective_until > self.clock.time
        ]

    @rule(name=LISTS, key=KEYS, term=TERMS)
    def propose(self, name: str, key: str, term: int) -> None:
        self.clock.time += 1
        self.registry.put(self._entry(name, key, term), note=StepNote(actor="ann"), four_eyes=True)

    @rule(data=st.data(), step=st.sampled_from([Step.APPROVE, Step.APPROVE, Step.REJECT]))
    def decide_about_a_proposal(self, data: st.DataObject, step: Step) -> None:
        self.clock.time += 1
        if waiting := self.registry.proposals():
            proposal = data.draw(st.sampled_from(waiting))
            self.registry.step(proposal.list, proposal.key, step, note=StepNote(actor="bob", why="looked at"))

    def _step(self, name: str, key: str, step: Step) -> None:
        """Take a step, where it can be taken, and note what is to be told of it."""
        self.clock.time += 1
        present = self._present(name, key)
        if present is None or not _may(present.status, step):
            return
        ground = ReleaseGround.PAID if step is Step.RELEASE else ""
        self.registry.step(name, key, step, note=StepNote(actor="bob", why="looked at", ground=ground))
        told = (STEPS[step], present.entry_id, self.clock.time)
        if name != "secret":
            self.made.add(told)
            # What has ended binds nobody, so nobody is told; that it was an error, everybody is.
            if present.effective_until > self.clock.time or step is Step.RETRACT:
                self.due.add(told)

    # --- the feeders ----------------------------------------------------------------------------------------------------

    @rule()
    def feed(self) -> None:
        self._feed()
        self._compare()

    @rule(after=st.integers(0, 3), where=st.sampled_from(["before", "after", "announcing"]))
    def feed_and_die(self, after: int, where: str) -> None:
        def die() -> None:
            raise Killed

        waits: list[Callable[[], object]] = [lambda: None] * after
        if where == "announcing":
            self.announcer.kills = True
        else:
            setattr(self.interrupted, where, [*waits, die])
        self._feed()

    @rule(after=st.integers(0, 2), name=LISTS, key=KEYS, term=TERMS, step=st.sampled_from([None, *STEPS]))
    def feed_while_somebody_writes(self, after: int, name: str, key: str, term: int, step: Step | None) -> None:
        def write() -> None:
            if step is None:
                self.put(name, key, term)
            else:
                self._step(name, key, step)

        self.interrupted.before = [*[lambda: None] * after, write]
        self._feed()

    @rule(after=st.integers(0, 2))
    def feed_while_another_feeds(self, after: int) -> None:
        self.interrupted.before = [*[lambda: None] * after, lambda: self._feeder(self.store).feed_once()]
        self._feed()

    @rule(age=st.integers(0, 20))
    def trim(self, age: int) -> None:
        self._note()
        self.store.trim(self.clock.time - age)
        self.oldest = self.store.ends().oldest

    # --- the watchers ---------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 2), count=st.integers(1, 8), ring=st.sampled_from([2, 100]), feeding=st.booleans())
    def watch(self, which: int, count: int, ring: int, feeding: bool) -> None:
        self._note()
        reader, ends = self.readers[which], self.store.ends()
        cursor = _cursor(reader.partner, ends.feed, reader.position)
        if reader.position < self.oldest:
            with pytest.raises(CursorExpired) as refused:
                asyncio.run(self._take(reader, cursor, 1, ring, feeding=False))
            assert {"oldest": _cursor(reader.partner, ends.feed, self.oldest)} == refused.value.metadata
            self.readers[which] = Reader(reader.partner, self.oldest)
            return
        told = asyncio.run(self._take(reader, cursor, count, ring, feeding=feeding))
        self._note()
        assert sorted(position for position, _ in told) == [position for position, _ in told]
        self.readers[which] = reader.past(told, self.agreed[reader.partner])

    @rule(which=st.integers(0, 2), ring=st.sampled_from([2, 100]), lists=AGREED, key=KEYS)
    def watch_while_an_agreement_changes_and_then_its_list(
        self, which: int, ring: int, lists: tuple[str, tuple[str, ...]], key: str
    ) -> None:
        reader, before = self.readers[which], self.agreed[self.readers[which].partner]
        if reader.position < self.oldest:
            return
        agreed = (reader.partner, lists[1])

        def change() -> None:
            self.agree(agreed)
            for name in agreed[1]:
                self.put(name, key, YEAR_S)
                self.withdraw(name, key)

        earlier, later = asyncio.run(self._take_all(reader, ring, change))
        self._note()
        self.readers[which] = reader.past(earlier, before).past(later, self.agreed[reader.partner])

    @rule(which=st.integers(0, 2), places=st.integers(0, 30))
    def resume_from_an_earlier_cursor(self, which: int, places: int) -> None:
        self.readers[which] = self.readers[which].resumed(places)

    async def _take(
        self, reader: Reader, cursor: str, count: int, ring: int, *, feeding: bool
    ) -> list[tuple[int, FeedChange | None]]:
        """Take some messages; or feed in the middle, and take all there are then."""
        async with self._watching(reader, cursor, ring) as stream:
            told = [_placed(reader.partner, await next_told(stream)) for _ in range(count)]
            # A heartbeat comes once all that is there was looked at.
            newest = self.store.ends().newest
            assert {newest} >= {position for position, change in told if change is None}
            if feeding:
                self._feed()
                while told[-1][0] < self.store.ends().newest:
                    told.append(_placed(reader.partner, await next_told(stream)))
            return told

    async def _take_all(
        self, reader: Reader, ring: int, change: Callable[[], None]
    ) -> tuple[list[tuple[int, FeedChange | None]], list[tuple[int, FeedChange | None]]]:
        """Take all there is; then change something, feed it, and take all there is then."""
        cursor = _cursor(reader.partner, self.store.ends().feed, reader.position)
        async with self._watching(reader, cursor, ring) as stream:
            earlier = await self._until_newest(reader, stream)
            change()
            self._feed()
            return earlier, await self._until_newest(reader, stream)

    async def _until_newest(
        self, reader: Reader, stream: AsyncIterator[Watched | None]
    ) -> list[tuple[int, FeedChange | None]]:
        told = [_placed(reader.partner, await next_told(stream))]
        while told[-1][0] < self.store.ends().newest:
            told.append(_placed(reader.partner, await next_told(stream)))
        return told

    @asynccontextmanager
    async def _watching(self, reader: Reader, cursor: str, ring: int) -> AsyncIterator[AsyncIterator[Watched | None]]:
        watch = FeedWatch(self.store, self.announcer, SUBJECTS, self.known, self.clock, heartbeat_s=0.0, ring=ring)
        async with watch, aclosing(watch.watch(reader.partner, cursor, ())) as stream, asyncio.timeout(20):
            yield stream

    # --- what must be true ----------------------------------------------------------------------------------------------

    @invariant()
    def positions_have_no_gaps_and_what_was_told_stays(self) -> None:
        self._note()
        assert list(range(1, len(self.log) + 1)) == [change.position for change in self.log]
        assert self.log[self.oldest :] == list(self.store.read(0, 100_000))

    @invariant()
    def every_reader_was_given_its_own_changes_each_once_and_in_order(self) -> None:
        for reader in self.readers:
            passed = zip(self.log[reader.began : reader.position], reader.lists, strict=True)
            expected = [change for change, lists in passed if change.list in lists]
            assert expected == [change for _, change in reader.given if change is not None]

    @invariant()
    def the_story_of_every_entry_fits(self) -> None:
        thought: dict[int, str] = {}
        commits: list[tuple[float, int, ChangeKind]] = []
        for change in self.log:
            assert "secret" != change.list
            thought[change.entry_id] = thought_after(thought.get(change.entry_id), change.kind)
            if not (change.kind is ChangeKind.EXPIRED and change.happened_at == change.until):
                commits.append((change.happened_at, change.entry_id, change.kind))
        assert len(set(commits)) == len(commits)
        assert sorted(commits, key=itemgetter(0, 1)) == commits

    def teardown(self) -> None:
        self._feed()
        self._compare()
        self.every_reader_was_given_its_own_changes_each_once_and_in_order()
        self.registry.close()

    def _compare(self) -> None:
        """Whoever followed what was fed knows how every entry stands and until when, and was told each step by its name."""
        self._note()
        thought: dict[int, tuple[str, int]] = {}
        for each in self.log:
            before, _ = thought.get(each.entry_id, (None, 0))
            thought[each.entry_id] = (thought_after(before, each.kind), each.until)
        stand = {
            each.entry_id: (STANDS[each.status], each.effective_until)
            for name in ("court", "carrier")
            for each in self._entries(name)
            if each.status in STANDS and each.effective_until > self.clock.time
        }
        assert stand == {entry_id: each for entry_id, each in thought.items() if each[0] != "gone"}
        told = {(each.kind, each.entry_id, each.happened_at) for each in self.log}
        assert self.due <= told
        assert {each for each in told if each[0] in BY_STEPS_ALONE} <= self.made

    # --- steps ----------------------------------------------------------------------------------------------------------

    def _feeder(self, store: Any) -> Feeder:
        return Feeder(
            source=self.registry, store=store, announcer=self.announcer, clock=self.clock, kept_d=90, metrics=FeedTally()
        )

    def _feed(self) -> None:
        """Feed in a process of its own, which may be killed."""
        try:
            self._feeder(self.interrupted).feed_once()
        except Killed:
            pass
        finally:
            self.interrupted.before, self.interrupted.after, self.announcer.kills = [], [], False

    def _note(self) -> None:
        self.log += self.store.read(len(self.log), 100_000)

    def _entries(self, name: str) -> Sequence[StoredEntry]:
        return self.registry.entries(name, after_id=0, limit=100)

    def _present(self, name: str, key: str) -> StoredEntry | None:
        return next((each for each in self._entries(name) if each.key == key), None)

    def _entry(self, name: str, key: str, term: int) -> Any:
        return an_entry(key, list=name, until=int(self.clock.time) + term, valid_from=NOW - YEAR_S)


@contextmanager
def makers(
    kind: str, folder: Path, server: Callable[[], PostgresServer]
) -> Iterator[Callable[[StillClock], tuple[SqlRegistry, FeedStore]]]:
    """Give a maker of empty registries and feeds; a feed in memory has its registry on SQLite."""
    database = "sqlite" if kind == "memory" else kind
    with (
        migrated_database(database, "registry", folder, server) as registry_url,
        migrated_database(database, "journal", folder, server) as journal_url,
        closing(SqlFeed(journal_url)) as sql_feed,
    ):

        def make(clock: StillClock) -> tuple[SqlRegistry, FeedStore]:
            clear_registry(registry_url)
            registry = SqlRegistry(registry_url, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=clock)
            if kind == "memory":
                return registry, MemoryFeed()
            engine = open_engine(journal_url, write_wait_s=1)
            with writing(engine).begin() as connection:
                connection.execute(delete(feed))
                connection.execute(delete(feed_head))
            engine.dispose()
            return registry, sql_feed

        yield make


@pytest.mark.parametrize(("kind", "examples"), [("memory", 15), ("sqlite", 5), ("postgresql", 4)])
def test_a_feed_tells_each_change_once_and_in_order_whatever_happens(
    kind: str, examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    # Small pages, so that a large change is one of three entries.
    monkeypatch.setattr(feeding, "_PAGE", 2)
    with makers(kind, tmp_path, lambda: request.getfixturevalue("postgres")) as make:
        machine = type("Machine", (FeedMachine,), {"make": staticmethod(make)})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )
