"""A journal that was restored from a backup, and goes on with other things at the places that were given out before.

Everything is real but the backup: the rows of the journal's tables are kept, and put back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import delete, insert, select, update
from structlog.testing import capture_logs

from portcullis.adapters.memory.feed import MemoryAnnouncer
from portcullis.adapters.set_reading import parse_set
from portcullis.adapters.set_signing import FileSigner, ensure_set_key
from portcullis.adapters.sql.engines import open_engine, writing
from portcullis.adapters.sql.feed.feed import SqlFeed
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.journal.schema import journal_metadata, log_head
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.adapters.sql.relay.relay import SqlRelay
from portcullis.adapters.sql.relay.source import SqlReportedEvents
from portcullis.adapters.sql.rights.rights import SqlRights
from portcullis.adapters.sql.timelines import SqlTimelines
from portcullis.domain.changes import ChangeKind, Cursor, read_cursor
from portcullis.domain.errors import CursorExpired, SetupFault
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.feeding import Feeder
from portcullis.exchange.relay.carrying import gap_before
from portcullis.exchange.relay.desk import Streams
from portcullis.exchange.relay.envelopes import Envelopes
from portcullis.exchange.relay.polling import PollRequest, Polls
from portcullis.exchange.relay.sources import AuthoritySource, PartnerSource
from portcullis.exchange.restoring import QUIET_S, begin_timeline
from portcullis.exchange.verifying import verify_log
from portcullis.exchange.watching import FeedWatch
from portcullis.metrics.relay import RelayMetrics
from portcullis.ports import EventsRead
from portcullis.ports.relay import DeliveryMethod, Side, Stream, StreamSettings
from portcullis.ports.timelines import Timeline
from portcullis.registry.settling import PartnerReports
from tests.support.databases import PostgresServer, migrated_database
from tests.support.decision_records import a_record
from tests.support.feeds import FeedTally, next_told
from tests.support.imports import StillClock
from tests.support.journals import SEAL_KEY, a_settlement, sql_journal
from tests.support.policies import NOW, YEAR_S, KnownBy, agreement
from tests.support.registry_entries import POLICY, TOKENISER, an_entry
from tests.support.signers import SignCounts, SignerInMemory

ISSUER = "https://portcullis.example/relay"
NAMES = SubjectNames(bytes(range(32)))
LENDER = Policy(
    lists=tuple(msgspec.structs.replace(each, settled_days=3) for each in POLICY.lists),
    partners=(Partner(name="lender", title="A lender", agreements=(agreement(("court",)),)),),
)
ADDED, EXPIRED = ChangeKind.ENTRY_ADDED, ChangeKind.EXPIRED
Rows = dict[str, list[dict[str, Any]]]


class Deployment:
    """A registry, a journal with its feed and streams, and what works on them when it is asked to."""

    def __init__(self, folder: Path, registry: str, journal: str, held: ExitStack) -> None:
        self.clock = StillClock()
        self.signer = SignerInMemory()
        self.journal_url = journal
        self.registry = held.enter_context(
            closing(SqlRegistry(registry, seal_key=SEAL_KEY, tokeniser=TOKENISER, clock=self.clock))
        )
        self.registry.apply_policy(LENDER, actor="ann")
        self.rights = held.enter_context(closing(SqlRights(registry, clock=self.clock)))
        self.journal: SqlJournal = held.enter_context(closing(sql_journal(journal, self.clock)))
        self.feed = held.enter_context(closing(SqlFeed(journal)))
        self.store = held.enter_context(closing(SqlRelay(journal, seal_key=SEAL_KEY)))
        self.timelines = held.enter_context(closing(SqlTimelines(journal, seal_key=SEAL_KEY)))
        reported = held.enter_context(closing(SqlReportedEvents(journal, seal_key=SEAL_KEY)))
        self.sources = {
            Side.PARTNER: PartnerSource(self.feed, known=KnownBy(lambda: LENDER), names=NAMES, clock=self.clock),
            Side.AUTHORITY: AuthoritySource(reported, known=KnownBy(lambda: LENDER)),
        }
        self.streams = Streams(self.store, sources=self.sources, clock=self.clock)
        ensure_set_key(folder)
        self.keys = FileSigner(folder)
        self.polls = Polls(
            self.store,
            sources=self.sources,
            envelopes=Envelopes(self.keys, names=NAMES, issuer=ISSUER, clock=self.clock),
            clock=self.clock,
            metrics=RelayMetrics(CollectorRegistry()),
        )
        # Left first: what a watch still reads as it ends is over before its connection is closed.
        self.threads = held.enter_context(ThreadPoolExecutor())

    def put(self, key: str, **values: Any) -> int:
        """Put an entry on the court's list."""
        return self.registry.put_entry(an_entry(key, **values), actor="ann")[0].entry_id

    def feed_once(self, at: float) -> None:
        """Have a feeder look at the registry at a time."""
        self.clock.time = at
        Feeder(self.registry, self.feed, MemoryAnnouncer(), self.clock, 90, FeedTally()).feed_once()

    async def report(self, event_id: str) -> None:
        """Take a partner's report about the court's list."""
        for answer in await self.journal.record_events(
            "lender", [a_settlement(event_id, case_reference=f"case {event_id}")]
        ):
            assert not isinstance(answer, Exception), answer

    def sign(self) -> None:
        """Sign a checkpoint."""
        Checkpointer(self.journal, self.signer, self.clock, SignCounts()).sign_once()

    def follow_reports(self) -> list[str]:
        """Take over what partners have reported; gives which events that were."""
        journal = _Overheard(self.journal)
        reports = PartnerReports(self.registry, self.rights, journal, clock=self.clock)  # type: ignore[arg-type]
        while reports.take_over():
            pass
        return journal.event_ids

    @asynccontextmanager
    async def watching(self, cursor: str) -> AsyncIterator[Any]:
        """Watch as the lender."""
        asyncio.get_running_loop().set_default_executor(self.threads)
        watch = FeedWatch(self.feed, MemoryAnnouncer(), NAMES, KnownBy(lambda: LENDER), self.clock, heartbeat_s=60.0)
        async with watch, aclosing(watch.watch("lender", cursor, ())) as stream:
            yield stream

    async def told(self, cursor: str, count: int) -> list[tuple[ChangeKind, int, str]]:
        """Give (kind, entry, cursor) of so many changes from a cursor on."""
        async with self.watching(cursor) as stream:
            found = [await next_told(stream) for _ in range(count)]
        return [(each.change.kind, each.change.entry_id, each.cursor) for each in found]

    def stream(self, side: Side) -> Stream:
        """Make a polled stream from the oldest on."""
        holder = "lender" if side is Side.PARTNER else POLICY.lists[0].authority
        settings = StreamSettings(method=DeliveryMethod.POLL)
        return self.streams.create(holder=holder, side=side, settings=settings, from_oldest=True).stream

    async def poll(self, stream: Stream, *ack: str) -> dict[str, str]:
        """Acknowledge, and give what is offered: its id, and what it is about."""
        answer = await self.polls.poll(stream.stream_id, PollRequest(at_once=True, ack=ack))
        read = {
            each: parse_set(text, self.keys.jwks(), issuer=ISSUER, audience=stream.holder)
            for each, text in answer.sets.items()
        }
        return {each: str(event.subject_id) for each, event in read.items()}

    def back_up(self) -> Rows:
        """Keep what the journal's database holds."""
        engine = open_engine(self.journal_url, write_wait_s=5)
        with engine.begin() as connection:
            rows = {
                each.name: [row._asdict() for row in connection.execute(select(each))]
                for each in journal_metadata.sorted_tables
            }
        engine.dispose()
        return rows

    def restore(self, rows: Rows) -> None:
        """Put back what was kept. What processes remember of the database is gone with them."""
        engine = open_engine(self.journal_url, write_wait_s=5)
        with writing(engine).begin() as connection:
            for table in journal_metadata.sorted_tables:
                connection.execute(delete(table))
                if rows[table.name]:
                    connection.execute(insert(table), rows[table.name])
        engine.dispose()

    def begin_timeline(self, **values: Any) -> Timeline:
        """Say that a backup was restored."""
        self.clock.time += QUIET_S
        return begin_timeline(
            self.timelines,
            journal=self.journal,
            feed=self.feed,
            settlements=self.rights,
            clock=self.clock,
            actor="ops",
            purpose="the backup of noon",
            **values,
        )


class _Overheard:
    """A journal whose events are noted as they are read to be followed."""

    def __init__(self, journal: SqlJournal) -> None:
        self._journal = journal
        self.event_ids: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def events_after(self, *arguments: Any, **values: Any) -> EventsRead:
        read = self._journal.events_after(*arguments, **values)
        self.event_ids += [each.event.event_id for each in read.events if each.event is not None]
        return read


@pytest.fixture(params=["sqlite", "postgresql"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    def server() -> PostgresServer:
        found: PostgresServer = request.getfixturevalue("postgres")
        return found

    with ExitStack() as held:
        registry = held.enter_context(migrated_database(request.param, "registry", tmp_path, server))
        journal = held.enter_context(migrated_database(request.param, "journal", tmp_path, server))
        yield Deployment(tmp_path, registry, journal, held)


async def lose_the_order(on: Deployment) -> tuple[str, int, int]:
    """Restore a backup, after which the feed holds the same changes in another order.

    Gives the cursor of a partner that was told of an end and not of the entry after it, and both entries. The feed then has
    that entry at the place that the cursor names.
    """
    ends = on.put("ends", until=NOW + 100)
    on.feed_once(NOW + 1)
    backup = on.back_up()
    on.feed_once(NOW + 200)
    (_, _, _), (kind, entry_id, cursor) = await on.told("oldest", 2)
    assert (EXPIRED, ends) == (kind, entry_id)
    comes = on.put("comes", until=NOW + YEAR_S)
    on.feed_once(NOW + 300)
    on.restore(backup)
    return cursor, ends, comes


async def test_a_cursor_from_after_the_backup_is_refused_over_other_content_at_its_place(deployment: Deployment) -> None:
    cursor, ends, comes = await lose_the_order(deployment)

    begun = deployment.begin_timeline()
    deployment.feed_once(NOW + 400)

    with pytest.raises(CursorExpired) as refused:
        await deployment.told(cursor, 1)
    oldest = refused.value.metadata["oldest"]
    told = await deployment.told(oldest, 3)
    assert [(ADDED, ends), (ADDED, comes), (EXPIRED, ends)] == [each[:2] for each in told]
    assert {begun.feed} == {found.feed for each in told if (found := read_cursor(each[2]))}
    assert [(EXPIRED, ends)] == [each[:2] for each in await deployment.told(told[1][2], 1)]


async def test_what_the_backup_lacks_is_read_from_the_registry_again(deployment: Deployment) -> None:
    first = deployment.put("k1")
    deployment.feed_once(NOW + 1)
    backup = deployment.back_up()
    later = [deployment.put(f"k{number}") for number in range(2, 6)]
    deployment.feed_once(NOW + 2)
    deployment.restore(backup)

    begun = deployment.begin_timeline()
    assert (1, NOW + 1.0) == (deployment.feed.ends().newest, begun.fed_until)
    deployment.feed_once(NOW + 30)

    assert [first, *later] == [each.entry_id for each in deployment.feed.read(0, 100)]


async def test_the_same_backup_restored_twice_gives_out_no_name_twice(deployment: Deployment) -> None:
    deployment.put("k1")
    deployment.feed_once(NOW + 1)
    names = [(deployment.journal.timeline(), deployment.feed.ends().feed)]
    backup = deployment.back_up()
    for _ in range(3):
        deployment.restore(backup)
        begun = deployment.begin_timeline()
        assert (deployment.journal.timeline(), deployment.feed.ends().feed) == (begun.log, begun.feed)
        names.append((begun.log, begun.feed))

    assert (4, 4) == tuple(len(set(each)) for each in zip(*names, strict=True))
    assert {deployment.journal.origin()} == {log.partition("@")[0] for log, _ in names}


async def test_a_cursor_beyond_the_feeds_end_is_logged_as_a_restored_backup(deployment: Deployment) -> None:
    deployment.put("k1")
    deployment.feed_once(NOW + 1)
    backup = deployment.back_up()
    deployment.put("k2")
    deployment.feed_once(NOW + 2)
    cursor = (await deployment.told("oldest", 2))[1][2]
    deployment.restore(backup)

    with capture_logs() as logs, pytest.raises(CursorExpired):
        await deployment.told(cursor, 1)
    assert [True] == ["journal restored" in each["event"] for each in logs if each["log_level"] == "error"]
    made_up = str(Cursor(deployment.feed.ends().feed, "0" * 32))
    with capture_logs() as logs, pytest.raises(Exception, match="none of yours"):
        await deployment.told(made_up, 1)
    assert [] == logs


async def test_a_stream_delivers_again_under_ids_that_its_receiver_has_not_seen(deployment: Deployment) -> None:
    stream = deployment.stream(Side.PARTNER)
    deployment.put("k1")
    deployment.feed_once(NOW + 1)
    before = await deployment.poll(stream)
    await deployment.poll(stream, *before)
    backup = deployment.back_up()
    deployment.put("k2")
    deployment.feed_once(NOW + 2)
    seen = await deployment.poll(stream)
    deployment.restore(backup)

    assert [stream.stream_id] == [each.stream_id for each in deployment.begin_timeline().carried_over]
    deployment.feed_once(NOW + 30)

    # What was acknowledged on the way to the backup is not known any more, and takes nothing away.
    again = await deployment.poll(stream, *seen)
    assert list(seen.values()) == list(again.values())
    assert not set(seen) & set(again)
    assert {} == await deployment.poll(stream, *again)


async def test_an_authority_is_told_what_took_the_places_of_lost_reports(deployment: Deployment) -> None:
    stream = deployment.stream(Side.AUTHORITY)
    await deployment.report("kept")
    deployment.sign()
    first = await deployment.poll(stream)
    await deployment.poll(stream, *first)
    backup = deployment.back_up()
    await deployment.report("lost")
    await deployment.report("lost too")
    deployment.sign()
    lost = await deployment.poll(stream)
    deployment.restore(backup)

    # Its own entry takes the place of the first that was lost, and this the second's.
    deployment.begin_timeline()
    await deployment.report("other")

    told = await deployment.poll(stream, *lost)
    (about,) = told.values()
    assert "case other" in about
    assert not set(told) & set(lost)
    assert "" == deployment.store.stream(stream.stream_id).place.parked


async def test_reports_that_took_the_places_of_lost_ones_are_followed(deployment: Deployment) -> None:
    await deployment.report("kept")
    deployment.sign()
    backup = deployment.back_up()
    for number in range(5):
        await deployment.report(f"lost-{number}")
    deployment.sign()
    assert 6 == len(deployment.follow_reports())
    deployment.restore(backup)
    # As it is where an exchange has worked before anybody said that a backup was restored.
    await deployment.report("early")
    assert [] == deployment.follow_reports()

    deployment.begin_timeline()
    await deployment.report("late")

    assert ["early", "late"] == deployment.follow_reports()
    assert [] == deployment.follow_reports()


async def test_after_an_exchange_has_worked_on_the_backup_streams_can_begin_with_the_oldest(deployment: Deployment) -> None:
    to_partner, to_authority = deployment.stream(Side.PARTNER), deployment.stream(Side.AUTHORITY)
    backup = deployment.back_up()
    deployment.put("k1")
    await deployment.report("r1")
    deployment.feed_once(NOW + 1)
    deployment.restore(backup)
    deployment.feed_once(NOW + 2)
    await deployment.report("r2")
    for stream in (to_partner, to_authority):
        await deployment.poll(stream, *await deployment.poll(stream))

    deployment.begin_timeline()
    assert [0, 1] == [len(await deployment.poll(each)) for each in (to_partner, to_authority)]
    deployment.begin_timeline(from_oldest=True)
    assert [1, 1] == [len(await deployment.poll(each)) for each in (to_partner, to_authority)]


async def test_only_a_stream_that_stood_beyond_the_end_goes_on_where_it_was_parked(deployment: Deployment) -> None:
    deployment.put("k1")
    deployment.feed_once(NOW + 1)
    beyond, refused, elsewhere = (deployment.stream(Side.PARTNER) for _ in range(3))
    ends = deployment.sources[Side.PARTNER].ends()
    for stream, changes in (
        (beyond, {"position": ends.newest + 5, "parked": "its place is after the log's end", "parked_at": 1.0}),
        (refused, {"parked": "the receiver refused the event", "parked_at": 1.0, "acked": (ends.newest,)}),
        (elsewhere, {"log": "0" * 8, "parked": "its place is of another log", "parked_at": 1.0}),
    ):
        place = msgspec.structs.replace(stream.place, **changes)
        assert deployment.store.put(msgspec.structs.replace(stream, place=place))

    begun = deployment.begin_timeline()

    now = {each.stream_id: each.place for each in deployment.store.streams()}
    after = deployment.sources[Side.PARTNER].ends()
    assert ("", ends.newest, "") == (
        now[beyond.stream_id].parked,
        now[beyond.stream_id].position,
        gap_before(now[beyond.stream_id], after),
    )
    assert ("the receiver refused the event", ()) == (now[refused.stream_id].parked, now[refused.stream_id].acked)
    assert [elsewhere.stream_id] == [each.stream_id for each in begun.left]
    assert "0" * 8 == now[elsewhere.stream_id].log


async def test_nothing_is_done_while_an_exchange_works(deployment: Deployment) -> None:
    deployment.put("k1")
    deployment.feed_once(NOW + 1)
    before = (deployment.journal.timeline(), deployment.feed.ends(), deployment.journal.size())
    deployment.clock.time = NOW + 1 - QUIET_S / 2

    with pytest.raises(SetupFault, match="stop every"):
        deployment.begin_timeline()

    assert before == (deployment.journal.timeline(), deployment.feed.ends(), deployment.journal.size())


async def test_the_log_tells_who_began_a_timeline_and_still_verifies(deployment: Deployment) -> None:
    deployment.journal.record_decisions([a_record("d1")])
    deployment.sign()
    origin = deployment.journal.origin()

    begun = deployment.begin_timeline()
    deployment.sign()

    (_, _, entry) = list(deployment.journal.entries(0))[-1]
    assert b'"actor":"ops","purpose":"the backup of noon"' in entry
    assert begun.timeline.encode() in entry
    assert (2, 2, origin) == (begun.entries, deployment.journal.size(), deployment.journal.origin())
    found: list[object] = []
    verify_log(deployment.journal, deployment.signer.key, (), found=found.append)
    assert [] == found


async def test_a_timeline_that_the_log_does_not_tell_of_is_found(deployment: Deployment) -> None:
    deployment.begin_timeline()
    engine = open_engine(deployment.journal_url, write_wait_s=5)
    with writing(engine).begin() as connection:
        connection.execute(update(log_head).values(timeline=""))
    engine.dispose()

    assert ["log_head: it names another timeline than the log does"] == list(deployment.journal.index_faults())
