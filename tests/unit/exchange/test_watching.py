"""Watchers over a feed in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.domain.changes import ChangeKind, Cursor, FeedChange
from portcullis.domain.errors import CursorExpired, InvalidRequest, JournalUnavailable, NotPermitted, RegistryUnavailable
from portcullis.domain.policies import Disclosure, Partner, Policy
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.watching import LOOKED_AT_S, FeedWatch
from portcullis.ports import BEGINNING, FeedEnds, Progress, Watched
from tests.support.clocks import HandClock
from tests.support.feeds import a_change, next_told
from tests.support.policies import NOW, YEAR_S, KnownBy, KnownLate, a_list, agreement
from tests.support.relays import until

SUBJECTS = SubjectNames(bytes(range(32)))
LISTS = (a_list("court"), a_list("carrier"), a_list("secret", disclosure=Disclosure.AUTHORITY_ONLY))
WITHIN_S = 20.0


class Desk:
    """A desk with all that it works on; its feed can be made to fail."""

    def __init__(self, *, heartbeat_s: float = 60.0, ring: int = 10_000) -> None:
        self.clock = HandClock()
        self.store = FailingFeed()
        self.announcer = MemoryAnnouncer()
        self.policy = Policy(
            lists=LISTS,
            partners=(
                Partner(name="lender", title="A lender", agreements=(agreement(("court", "secret")),)),
                Partner(name="airline", title="An airline", agreements=(agreement(("carrier", "court")),)),
            ),
        )
        self.watch = FeedWatch(
            self.store,
            self.announcer,
            SUBJECTS,
            KnownBy(lambda: self.policy),
            self.clock,
            heartbeat_s=heartbeat_s,
            ring=ring,
        )

    def feed(self, *changes: FeedChange) -> None:
        progress = self.store.progress()
        then = Progress(progress.registry_seq + 1, int(self.clock.now()))
        assert self.store.append(changes, then, expected=progress)
        self.announcer.announce(self.store.ends())

    def feed_many(self, count: int, **values: Any) -> None:
        self.feed(*(a_change(number, **values) for number in range(1, count + 1)))

    def cursor(self, position: int, partner: str = "lender") -> str:
        feed = self.store.ends().feed
        return str(Cursor(feed, SUBJECTS.mark(partner, feed, position)))

    def agree(self, *agreements: Any) -> None:
        self.policy = msgspec.structs.replace(
            self.policy, partners=(Partner(name="lender", title="A lender", agreements=agreements),)
        )


class FailingFeed(MemoryFeed):
    """A feed that can't be read while ``fails`` is set, and counts its readings."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.reads = 0

    def ends(self) -> FeedEnds:
        if self.fails:
            raise JournalUnavailable
        return super().ends()

    def read(self, after: int, limit: int) -> Sequence[FeedChange]:
        self.reads += 1
        if self.fails:
            raise JournalUnavailable
        return super().read(after, limit)


class UnknownAtTimes(KnownBy):
    """A policy of a registry that can't be reached while ``fails`` is set."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(lambda: policy)
        self.fails = False
        self.looks_in_vain = 0

    def look(self) -> None:
        if self.fails:
            self.looks_in_vain += 1
            raise RegistryUnavailable
        super().look()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    async with made.watch:
        yield made


async def take(stream: AsyncIterator[Watched | None], count: int) -> list[Watched]:
    async with asyncio.timeout(WITHIN_S):
        return [await next_told(stream) for _ in range(count)]


def entries(told: Sequence[Watched]) -> list[int]:
    return [each.change.entry_id for each in told if each.change is not None]


async def test_nothing_asked_for_begins_with_a_heartbeat_and_goes_on_from_now(desk: Desk) -> None:
    desk.feed_many(3)
    async with aclosing(desk.watch.watch("lender", "", ())) as stream:
        (first,) = await take(stream, 1)
        desk.feed(a_change(9))
        (second,) = await take(stream, 1)

    assert Watched(desk.cursor(3), None) == first
    expected = msgspec.structs.replace(a_change(9), position=4)
    assert Watched(desk.cursor(4), expected, SUBJECTS.name("lender", 1, 9)) == second


async def test_a_list_agreed_on_since_the_last_look_is_told_of_the_change_that_followed(desk: Desk) -> None:
    desk.feed_many(1)
    known = KnownLate(desk.policy, desk.policy)
    watch = FeedWatch(desk.store, desk.announcer, SUBJECTS, known, desk.clock, heartbeat_s=60.0)
    async with watch, aclosing(watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.agree(agreement(("carrier",)))
        known.present = desk.policy
        desk.feed(a_change(2, list="carrier"))
        (told,) = await take(stream, 1)

    assert [2] == entries([told])


async def test_what_the_policy_is_not_known_for_is_held_back_and_then_told(desk: Desk) -> None:
    known = UnknownAtTimes(desk.policy)
    watch = FeedWatch(desk.store, desk.announcer, SUBJECTS, known, desk.clock, heartbeat_s=60.0)
    async with watch, aclosing(watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        known.fails = True
        desk.feed_many(3)
        await until(lambda: known.looks_in_vain > 0)
        known.fails = False
        told = await take(stream, 3)

    assert [1, 2, 3] == entries(told)


async def test_oldest_gives_everything_that_is_kept(desk: Desk) -> None:
    desk.feed_many(3, happened_at=float(NOW - 10))
    desk.feed_many(2)
    desk.store.trim(NOW)
    async with aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        told = await take(stream, 2)

    assert [desk.cursor(4), desk.cursor(5)] == [each.cursor for each in told]


async def test_a_cursor_goes_on_after_what_it_names(desk: Desk) -> None:
    desk.feed_many(1_700)
    async with aclosing(desk.watch.watch("lender", desk.cursor(100), ())) as stream:
        told = await take(stream, 1_600)

    assert list(range(101, 1_701)) == entries(told)


async def test_two_partners_know_an_entry_by_other_names(desk: Desk) -> None:
    desk.feed(a_change())
    subjects = set()
    for partner in ("lender", "airline"):
        async with aclosing(desk.watch.watch(partner, "oldest", ())) as stream:
            subjects.add((await take(stream, 1))[0].subject)

    assert 2 == len(subjects)


async def test_only_lists_of_the_agreement_that_may_be_disclosed_are_told(desk: Desk) -> None:
    desk.feed(a_change(1, list="carrier"), a_change(2, list="secret"), a_change(3), a_change(4, list="gone"), a_change(5))
    async with aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        assert [3, 5] == entries(await take(stream, 2))


async def test_only_lists_that_were_named_are_told(desk: Desk) -> None:
    desk.feed(a_change(1, list="carrier"), a_change(2), a_change(3, list="carrier"))
    async with aclosing(desk.watch.watch("airline", "oldest", ("carrier",))) as stream:
        assert [1, 3] == entries(await take(stream, 2))


async def test_only_kinds_of_the_agreement_are_told(desk: Desk) -> None:
    desk.agree(agreement(changes=(ChangeKind.WITHDRAWN,)), agreement(changes=(ChangeKind.EXPIRED,)))
    desk.feed(*(a_change(number, kind=kind) for number, kind in enumerate(ChangeKind, 1)))
    async with aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        told = [each.change.kind for each in await take(stream, 2) if each.change is not None]

    assert [ChangeKind.WITHDRAWN, ChangeKind.EXPIRED] == told


async def test_an_agreement_is_judged_at_each_change(desk: Desk) -> None:
    desk.agree(agreement(changes=(ChangeKind.ENTRY_ADDED,)), agreement(valid_until=NOW + 100))
    desk.feed(a_change(1, kind=ChangeKind.AMENDED), a_change(2, kind=ChangeKind.AMENDED), a_change(3))
    async with aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        first = await take(stream, 1)
        desk.clock.advance(100)
        second = await take(stream, 1)

    assert [1, 3] == entries([*first, *second])


async def test_the_end_of_the_last_agreement_ends_the_stream(desk: Desk) -> None:
    desk.agree(agreement(valid_until=NOW + 100))
    desk.feed_many(2)
    async with aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        await take(stream, 1)
        desk.clock.advance(100)
        with pytest.raises(NotPermitted):
            await take(stream, 1)


async def test_the_end_of_the_last_agreement_ends_a_quiet_stream_too() -> None:
    desk = Desk(heartbeat_s=0.01)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 2)
        desk.agree()
        with pytest.raises(NotPermitted):
            await take(stream, 2)


async def test_a_list_that_leaves_the_agreement_ends_a_stream_that_named_it(desk: Desk) -> None:
    desk.agree(agreement(("court", "carrier")))
    desk.feed_many(2)
    async with aclosing(desk.watch.watch("lender", "oldest", ("court",))) as stream:
        await take(stream, 1)
        desk.agree(agreement(("carrier",)))
        with pytest.raises(NotPermitted):
            await take(stream, 1)


@pytest.mark.parametrize(
    ("partner", "lists"),
    [
        ("nobody", ()),
        ("lender", ("carrier",)),
        ("lender", ("secret",)),
        ("lender", ("court", "none")),
        ("airline", ("none",)),
    ],
)
async def test_what_is_outside_the_agreements_is_refused(desk: Desk, partner: str, lists: tuple[str, ...]) -> None:
    with pytest.raises(NotPermitted):
        await take(desk.watch.watch(partner, "", lists), 1)


async def test_a_partner_without_an_agreement_in_force_is_refused(desk: Desk) -> None:
    desk.agree(agreement(valid_until=NOW), agreement(valid_from=NOW + 1, valid_until=NOW + YEAR_S))

    with pytest.raises(NotPermitted):
        await take(desk.watch.watch("lender", "", ()), 1)


@pytest.mark.parametrize(("cursor", "lists"), [("newest", ()), ("0123abcd-x", ()), ("", ["court"] * 65)])
async def test_what_is_no_request_is_refused(desk: Desk, cursor: str, lists: Sequence[str]) -> None:
    with pytest.raises(InvalidRequest):
        await take(desk.watch.watch("lender", cursor, lists), 1)


async def test_a_cursor_that_the_feed_can_not_go_on_from_is_told_the_oldest(desk: Desk) -> None:
    desk.feed_many(3, happened_at=float(NOW - 10))
    desk.feed_many(1)
    desk.store.trim(NOW)

    for cursor in (desk.cursor(2), desk.cursor(5), str(Cursor("ffffffff", "4"))):
        with pytest.raises(CursorExpired) as refused:
            await take(desk.watch.watch("lender", cursor, ()), 1)
        assert {"oldest": desk.cursor(3)} == refused.value.metadata
    async with aclosing(desk.watch.watch("lender", desk.cursor(3), ())) as stream:
        assert [1] == entries(await take(stream, 1))


async def test_a_slow_reader_that_is_overtaken_by_the_trimming_is_told_so() -> None:
    desk = Desk(ring=50)
    desk.feed_many(2_000, happened_at=float(NOW - 10))
    desk.feed_many(200)
    async with desk.watch, aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        await take(stream, 1)
        desk.store.trim(NOW)
        rest = await take(stream, 499)
        with pytest.raises(CursorExpired) as refused:
            await take(stream, 1)

    assert desk.cursor(500) == rest[-1].cursor
    assert {"oldest": desk.cursor(2_000)} == refused.value.metadata


@pytest.mark.parametrize("ring", [10, 10_000])
async def test_a_feed_that_begins_anew_ends_every_stream(ring: int) -> None:
    desk = Desk(ring=ring, heartbeat_s=0.05)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.feed_many(30)
        await take(stream, 10)
        desk.store.begin_anew(expected=desk.store.progress())
        desk.feed_many(40)
        with pytest.raises(CursorExpired) as refused:
            await take(stream, 1_000)

    assert {"oldest": desk.cursor(0)} == refused.value.metadata


async def test_a_feed_restored_from_a_backup_ends_streams_that_are_ahead_of_it() -> None:
    desk = Desk(heartbeat_s=0.05)
    desk.feed_many(5)
    backup = list(desk.store._changes)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        desk.feed_many(5)
        await take(stream, 2)
        desk.store._changes = backup[:3]
        with capture_logs() as logs, pytest.raises(CursorExpired):
            await take(stream, 1_000)

    assert [3] == [each["newest"] for each in logs if "portcullis journal restored" in each["event"]]


async def test_who_serves_a_quiet_watch_can_look_each_second_whether_its_caller_may_still_be_there(desk: Desk) -> None:
    async with aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        began = time.monotonic()
        async with asyncio.timeout(WITHIN_S):
            assert [None, None] == [await anext(stream), await anext(stream)]
    assert time.monotonic() - began >= 1.9 * LOOKED_AT_S


async def test_a_quiet_watch_ends_with_its_agreement_before_its_heartbeat(desk: Desk) -> None:
    async with aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.agree()
        async with asyncio.timeout(WITHIN_S):
            with pytest.raises(NotPermitted):
                await anext(stream)


async def test_heartbeats_carry_the_cursor_past_what_others_are_told() -> None:
    desk = Desk(heartbeat_s=0.05)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.feed_many(700, list="carrier")
        async with asyncio.timeout(WITHIN_S):
            while (beat := await next_told(stream)).cursor != desk.cursor(700):
                assert beat.change is None

    assert Watched(desk.cursor(700), None) == beat


async def test_a_heartbeat_tells_how_long_the_next_change_has_waited() -> None:
    desk = Desk(heartbeat_s=0.0)
    desk.feed_many(3, happened_at=float(NOW - 30), list="carrier")
    desk.feed_many(600, happened_at=float(NOW - 20), list="carrier")
    async with desk.watch, aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        beats = await take(stream, 4)

    assert [20.0, 0.0] == [beats[0].lag_s, beats[-1].lag_s]
    assert {None} == {each.change for each in beats}


async def test_a_heartbeat_tells_that_the_feed_itself_is_behind() -> None:
    desk = Desk(heartbeat_s=0.05)
    desk.feed_many(1)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        assert 0.0 == (await take(stream, 1))[0].lag_s
        desk.clock.set_wall(40)
        beats = await take(stream, 2)

    assert 40.0 == beats[-1].lag_s


async def test_a_feed_that_can_not_be_read_ends_the_stream_rather_than_seem_quiet() -> None:
    desk = Desk(heartbeat_s=0.02)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 2)
        desk.store.fails = True
        desk.clock.advance(6)
        with pytest.raises(JournalUnavailable):
            await take(stream, 200)
        with pytest.raises(JournalUnavailable):
            await take(desk.watch.watch("lender", "", ()), 1)
        desk.store.fails = False
        desk.feed_many(1)
        async with aclosing(desk.watch.watch("lender", "oldest", ())) as again:
            assert [1] == entries(await take(again, 1))


async def test_watchers_in_step_share_one_reading() -> None:
    desk = Desk()
    async with desk.watch:
        streams = [desk.watch.watch("lender", "", ()) for _ in range(200)]
        for stream in streams:
            await take(stream, 1)
        desk.store.reads = 0
        waiting = [asyncio.create_task(take(stream, 3)) for stream in streams]
        await asyncio.sleep(0)
        desk.feed_many(3)
        told = await asyncio.gather(*waiting)
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]

    assert {(1, 2, 3)} == {tuple(entries(each)) for each in told}
    assert desk.store.reads < 10


async def test_a_reader_that_does_not_read_holds_nobody_up(desk: Desk) -> None:
    async with (
        aclosing(desk.watch.watch("lender", "", ())) as idle,
        aclosing(desk.watch.watch("lender", "", ())) as quick,
    ):
        await take(idle, 1)
        await take(quick, 1)
        for _ in range(30):
            desk.feed_many(100)
            assert list(range(1, 101)) == entries(await take(quick, 100))
        assert list(range(1, 101)) * 30 == entries(await take(idle, 3_000))


async def test_without_announcements_changes_come_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.announcer, "announce", lambda _: None)
    async with aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.feed_many(1)
        assert [1] == entries(await take(stream, 1))


async def test_an_announcement_of_what_is_not_there_does_not_keep_the_store_busy(desk: Desk) -> None:
    async with aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.store.reads = 0
        desk.announcer.announce(FeedEnds(desk.store.ends().feed, 0, 10**17))
        await asyncio.sleep(0.5)

    assert desk.store.reads < 60


async def test_a_burst_larger_than_the_ring_reaches_everybody_whole() -> None:
    desk = Desk(ring=100)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.feed_many(5_000)
        assert list(range(1, 5_001)) == entries(await take(stream, 5_000))


async def test_a_desk_that_closes_leaves_no_task_behind() -> None:
    desk = Desk()
    async with desk.watch:
        await asyncio.sleep(0)

    assert 1 == len(asyncio.all_tasks())
    assert BEGINNING == desk.store.progress()


async def test_a_cursor_of_before_the_partners_feed_key_was_rotated_has_expired_and_names_are_others(desk: Desk) -> None:
    desk.feed_many(3)
    before = desk.cursor(2)
    async with aclosing(desk.watch.watch("lender", before, ())) as stream:
        (told,) = await take(stream, 1)
        rotated = (msgspec.structs.replace(each, feed_epoch=2) for each in desk.policy.partners)
        desk.policy = msgspec.structs.replace(desk.policy, partners=tuple(rotated))
        desk.feed(a_change(4))
        with pytest.raises(CursorExpired):
            await take(stream, 1)
    assert SUBJECTS.name("lender", 1, 3) == told.subject
    with pytest.raises(CursorExpired) as expired:
        async with aclosing(desk.watch.watch("lender", before, ())) as stream:
            await take(stream, 1)
    oldest = expired.value.metadata["oldest"]
    async with aclosing(desk.watch.watch("lender", oldest, ())) as stream:
        anew = await take(stream, 4)
    assert [1, 2, 3, 4] == entries(anew)
    assert [SUBJECTS.name("lender", 1, number, 2) for number in (1, 2, 3, 4)] == [each.subject for each in anew]
    with pytest.raises(InvalidRequest):
        async with aclosing(desk.watch.watch("lender", desk.cursor(2, "shop"), ())) as stream:
            await take(stream, 1)
