"""Watchers over a feed in memory."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.domain.changes import ChangeKind, Cursor, FeedChange
from portcullis.domain.errors import CursorExpired, InvalidRequest, JournalUnavailable, NotPermitted, RegistryUnavailable
from portcullis.domain.policies import Disclosure, Partner, Policy
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange import feed_tail, policy_looks
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
        self.known = UnknownAtTimes(lambda: self.policy)
        self.watch = FeedWatch(
            self.store, self.announcer, SUBJECTS, self.known, self.clock, heartbeat_s=heartbeat_s, ring=ring
        )

    def feed(self, *changes: FeedChange) -> None:
        progress = self.store.progress()
        then = Progress(progress.registry_seq + 1, int(self.clock.now()))
        assert self.store.append(changes, then, expected=progress)
        self.announcer.announce(self.store.ends())

    def feed_many(self, count: int, **values: Any) -> None:
        self.feed(*(a_change(number, **values) for number in range(1, count + 1)))

    async def hold_back(self, *changes: FeedChange) -> None:
        """Have the registry go away, and the feed grow; gives once that is known."""
        self.known.fails = True
        self.feed(*changes)
        tried = self.known.looks_in_vain
        await until(lambda: self.known.looks_in_vain > tried)

    def cursor(self, position: int, partner: str = "lender") -> str:
        feed = self.store.ends().feed
        return str(Cursor(feed, SUBJECTS.mark(partner, feed, position)))

    def agree(self, *agreements: Any) -> None:
        self.policy = msgspec.structs.replace(
            self.policy, partners=(Partner(name="lender", title="A lender", agreements=agreements),)
        )


class FailingFeed(MemoryFeed):
    """A feed that can't be read while ``fails`` is set, and counts its readings.

    ``meanwhile`` happens once, when its ends have been read and whoever asked has not heard of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.reads = 0
        self.meanwhile: Callable[[], object] | None = None

    def ends(self) -> FeedEnds:
        if self.fails:
            raise JournalUnavailable
        ends = super().ends()
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()
        return ends

    def read(self, after: int, limit: int) -> Sequence[FeedChange]:
        self.reads += 1
        if self.fails:
            raise JournalUnavailable
        return super().read(after, limit)


class UnknownAtTimes(KnownBy):
    """A policy of a registry that can't be reached while ``fails`` is set."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        super().__init__(policy)
        self.fails = False
        self.looks_in_vain = 0
        self._answers = threading.Event()
        self._answers.set()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Have looks take as long as this block."""
        self._answers.clear()
        try:
            yield
        finally:
            self._answers.set()

    def look(self) -> None:
        assert self._answers.wait(WITHIN_S)
        if self.fails:
            self.looks_in_vain += 1
            raise RegistryUnavailable("gone")
        super().look()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have faults be tried again, and looks be waited for, in a fraction of the time."""
    monkeypatch.setattr(feed_tail, "POLL_S", 0.05)
    monkeypatch.setattr(policy_looks, "_WITHIN_S", 0.05)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    async with made.watch:
        yield made


async def take(stream: AsyncIterator[Watched | None], count: int) -> list[Watched]:
    async with asyncio.timeout(WITHIN_S):
        return [await next_told(stream) for _ in range(count)]


async def first_told(stream: AsyncIterator[Watched | None], count: int) -> AsyncIterator[Watched]:
    """Give so many changes, without the heartbeats between them."""
    async with asyncio.timeout(WITHIN_S):
        while count:
            if (told := await next_told(stream)).change is not None:
                count -= 1
                yield told


async def until_lag(stream: AsyncIterator[Watched | None]) -> AsyncIterator[Watched]:
    """Give what is told up to a heartbeat that says that something is held back."""
    async with asyncio.timeout(WITHIN_S):
        while (told := await next_told(stream)).change is not None or not told.lag_s:
            yield told


async def let_time_pass(desk: Desk, seconds: float) -> None:
    """Have time pass, and the feed read since; a look at it is not that old before."""
    desk.clock.advance(seconds)
    before = desk.store.reads
    # The first of these readings began after the time had passed, and has ended once the second begins.
    await until(lambda: desk.store.reads > before + 1)


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
    async with aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        await desk.hold_back(a_change(1), a_change(2), a_change(3))
        desk.known.fails = False
        told = await take(stream, 3)

    assert [1, 2, 3] == entries(told)


@pytest.mark.usefixtures("impatient")
async def test_while_something_is_held_back_heartbeats_tell_since_when_and_streams_go_on() -> None:
    desk = Desk(heartbeat_s=0.02)
    desk.feed_many(2)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        await desk.hold_back(a_change(3, happened_at=float(NOW - 1)))
        # The feeder's own mark is not that old, so what is held back alone can tell.
        desk.clock.set_wall(4)
        assert {(desk.cursor(2), None, 5.0)} == {(each.cursor, each.change, each.lag_s) for each in await take(stream, 3)}
        for _ in range(4):
            await let_time_pass(desk, 3)
            assert {(desk.cursor(2), None)} == {(each.cursor, each.change) for each in await take(stream, 3)}
        desk.known.fails = False
        desk.feed(a_change(4))
        told = [each async for each in first_told(stream, 2)]
        assert [3, 4] == entries(told)
        beat = (await take(stream, 1))[0]

    assert (desk.cursor(4), None, 0.0) == (beat.cursor, beat.change, beat.lag_s)


@pytest.mark.usefixtures("impatient")
async def test_who_comes_while_something_is_held_back_catches_up_to_there_and_has_the_rest_afterwards() -> None:
    desk = Desk(ring=10, heartbeat_s=0.05)
    desk.feed_many(700)
    async with desk.watch:
        await take(desk.watch.watch("lender", "", ()), 1)
        await desk.hold_back(a_change(701), a_change(702), a_change(703))
        await let_time_pass(desk, 4)
        places = {"oldest": range(1, 704), desk.cursor(699): range(700, 704), desk.cursor(702): (703,), "": ()}
        streams = {cursor: desk.watch.watch("lender", cursor, ()) for cursor in places}
        told = {cursor: [each async for each in until_lag(stream)] for cursor, stream in streams.items() if cursor}
        assert [700, 1, 0] == [len(entries(each)) for each in told.values()]
        assert [0.0] == [each.lag_s for each in await take(streams[""], 1)]
        desk.known.fails = False
        for cursor, told_before in told.items():
            told_after = first_told(streams[cursor], len(places[cursor]) - len(entries(told_before)))
            assert list(places[cursor]) == entries(told_before) + entries([each async for each in told_after])
        desk.feed(a_change(704))
        for stream in streams.values():
            assert [704] == entries([each async for each in first_told(stream, 1)])
            await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("impatient")
async def test_a_process_that_could_not_look_at_the_policy_yet_holds_all_back_and_refuses_nobody() -> None:
    desk = Desk(heartbeat_s=0.02)
    desk.feed_many(3, happened_at=float(NOW - 30))
    desk.known.fails = True
    async with desk.watch, aclosing(desk.watch.watch("lender", "oldest", ())) as stream:
        assert {(desk.cursor(0), None, 30.0)} == {(each.cursor, each.change, each.lag_s) for each in await take(stream, 3)}
        desk.known.fails = False
        assert [1, 2, 3] == entries([each async for each in first_told(stream, 3)])


@pytest.mark.usefixtures("impatient")
async def test_a_registry_that_does_not_answer_keeps_nobody_from_reading_the_feed() -> None:
    desk = Desk(heartbeat_s=0.02)
    desk.feed_many(1)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        with desk.known.hanging():
            desk.feed(a_change(2))
            for _ in range(3):
                await let_time_pass(desk, 3)
                await take(stream, 3)
            async with aclosing(desk.watch.watch("lender", "oldest", ())) as other:
                assert [1] == entries([each async for each in first_told(other, 1)])
        assert [2] == entries([each async for each in first_told(stream, 1)])


@pytest.mark.usefixtures("impatient")
async def test_what_was_forgotten_while_it_was_held_back_is_refused_with_the_oldest() -> None:
    desk = Desk()
    desk.feed_many(1, happened_at=float(NOW - 10))
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        await desk.hold_back(a_change(2, happened_at=float(NOW - 10)), a_change(3, happened_at=float(NOW - 10)), a_change(4))
        desk.store.trim(NOW)
        desk.known.fails = False
        with pytest.raises(CursorExpired) as refused:
            await take(stream, 1)
        assert {"oldest": desk.cursor(3)} == refused.value.metadata
        async with aclosing(desk.watch.watch("lender", desk.cursor(3), ())) as again:
            assert [4] == entries(await take(again, 1))


@pytest.mark.usefixtures("impatient")
async def test_a_feed_that_begins_anew_while_the_registry_is_away_ends_every_stream_and_is_held_back() -> None:
    desk = Desk(heartbeat_s=0.02)
    async with desk.watch, aclosing(desk.watch.watch("lender", "", ())) as stream:
        desk.feed_many(30)
        await take(stream, 31)
        desk.known.fails = True
        desk.store.begin_anew(expected=desk.store.progress())
        desk.feed_many(40)
        with pytest.raises(CursorExpired):
            await take(stream, 1_000)
        async with aclosing(desk.watch.watch("lender", "oldest", ())) as again:
            assert [] == entries(await take(again, 3))
            desk.known.fails = False
            assert list(range(1, 41)) == entries([each async for each in first_told(again, 40)])


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


@pytest.mark.parametrize("cut", ["anew", "shorter"])
async def test_who_comes_while_the_feed_becomes_another_is_refused_or_begins_with_that_one(cut: str) -> None:
    desk = Desk(heartbeat_s=0.05)
    desk.feed_many(5)
    await desk.watch._tail.look()
    loop, cursor = asyncio.get_running_loop(), desk.cursor(5)

    def become_another() -> None:
        if cut == "anew":
            desk.store.begin_anew(expected=desk.store.progress())
        else:
            desk.store._changes = desk.store._changes[:3]
        asyncio.run_coroutine_threadsafe(desk.watch._tail.look(), loop).result(WITHIN_S)

    desk.store.meanwhile = become_another
    async with aclosing(desk.watch.watch("lender", cursor, ())) as stream:
        with pytest.raises(CursorExpired) as refused:
            await take(stream, 3)
    assert {"oldest": desk.cursor(0)} == refused.value.metadata

    desk.store.meanwhile = become_another
    async with aclosing(desk.watch.watch("lender", "", ())) as stream:
        await take(stream, 1)
        desk.feed(a_change(7))
        await desk.watch._tail.look()
        assert [7] == entries([await next_told(stream)])


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
