"""Both clients of the SDK against SharingService, over a real journal and a real feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portcullis.client import (
    AioClient,
    AlreadyExists,
    Change,
    CheckpointKey,
    Client,
    Enforced,
    Event,
    EventAnswer,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    Settled,
    Unauthenticated,
    Unavailable,
)
from portcullis.domain.checkpoints import verifier_key
from portcullis.ports import Watched as FeedWatched
from tests.support.sharing_gateways import SIGNING_KEY, SharingBench, a_change, running_sharing


class Blocking:
    """Drives the blocking client in a thread, so that the server's loop runs on."""

    def __init__(self, target: str, key: str = "lender-key") -> None:
        self.client = Client(target, api_key=key, timeout_s=10.0)

    async def report(self, events: Iterable[Event], **fields: Any) -> list[EventAnswer]:
        return await asyncio.to_thread(self.client.report_events, events, **fields)

    async def stream(self, events: Iterable[Event], **fields: Any) -> list[EventAnswer]:
        return await asyncio.to_thread(lambda: list(self.client.stream_events(events, **fields)))

    async def call(self, method: str, *args: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, method), *args)

    async def watch(self, until: Callable[[list[Any]], bool], cursor: str = "", **fields: Any) -> list[Any]:
        """Watch until enough was given."""

        def gather() -> list[Any]:
            got: list[Any] = []
            for each in self.client.watch_changes(cursor, **fields):
                got.append(each)
                if until(got):
                    break
            return got

        return await asyncio.to_thread(gather)

    async def close(self) -> None:
        await asyncio.to_thread(self.client.close)


class Aio:
    """Drives the asyncio client."""

    def __init__(self, target: str, key: str = "lender-key") -> None:
        self.client = AioClient(target, api_key=key, timeout_s=10.0)

    async def report(self, events: Iterable[Event], **fields: Any) -> list[EventAnswer]:
        return await self.client.report_events(events, **fields)

    async def stream(self, events: Iterable[Event], **fields: Any) -> list[EventAnswer]:
        return [each async for each in self.client.stream_events(events, **fields)]

    async def call(self, method: str, *args: Any) -> Any:
        return await getattr(self.client, method)(*args)

    async def watch(self, until: Callable[[list[Any]], bool], cursor: str = "", **fields: Any) -> list[Any]:
        """Watch until enough was given."""
        got: list[Any] = []
        async for each in self.client.watch_changes(cursor, **fields):
            got.append(each)
            if until(got):
                break
        return got

    async def close(self) -> None:
        await self.client.close()


Driver = Blocking | Aio


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[SharingBench]:
    async with running_sharing("grpcio", tmp_path, patience_s=0.05) as running:
        yield running


@pytest.fixture(params=[Blocking, Aio])
def driver_of(request: pytest.FixtureRequest) -> type[Driver]:
    kind: type[Driver] = request.param
    return kind


@pytest.fixture
async def driver(bench: SharingBench, driver_of: type[Driver]) -> AsyncIterator[Driver]:
    made = driver_of(bench.target)
    yield made
    await made.close()


def settled(number: int, case: str = "(2090) Demo 1") -> Event:
    return Event(f"event-{number}", datetime.now(UTC).replace(microsecond=0), Settled("court", case))


def changes(count: int) -> Callable[[list[Any]], bool]:
    return lambda got: sum(isinstance(each, Change) for each in got) == count


async def test_each_event_has_its_receipt_or_its_own_error(driver: Driver) -> None:
    unknown = Event("event-2", datetime.now(UTC), Enforced("0" * 32))
    faulty = Event("event-3", datetime.now(UTC), Enforced("none"))

    answers = await driver.report([settled(1), unknown, faulty])
    again = await driver.report([settled(1, "(2090) Demo 2")])

    assert ["event-1", "event-2", "event-3"] == [each.event_id for each in answers]
    assert 0 == answers[0].get().sequence
    assert isinstance(answers[1].error, FailedPrecondition)
    assert isinstance(answers[2].error, InvalidArgument)
    assert ["events[2].enforced.decision_id"] == [each.field for each in answers[2].error.violations]
    assert isinstance(again[0].error, AlreadyExists)


async def test_any_number_of_events_goes_in_calls_of_the_contracts_size(driver: Driver) -> None:
    events = [settled(number) for number in range(1001)]

    answers = await driver.report(events)

    assert [(each.event_id, number) for number, each in enumerate(events)] == [
        (each.event_id, each.get().sequence) for each in answers
    ]
    assert answers == await driver.report(events)


async def test_events_are_read_no_further_than_a_batch_ahead(bench: SharingBench, driver: Driver) -> None:
    sizes: list[int] = []

    def source() -> Iterator[Event]:
        for number in range(9):
            sizes.append(bench.journal.size())
            yield settled(number)

    answers = await driver.stream(source(), batch=3)

    assert list(range(9)) == [each.get().sequence for each in answers]
    assert [0, 0, 0, 3, 3, 3, 6, 6, 6] == sizes


async def test_a_call_that_fails_is_the_error_of_its_own_events(bench: SharingBench, driver: Driver) -> None:
    await asyncio.to_thread(bench.journal.close)

    answers = await driver.report([settled(1), settled(2)])

    assert ["event-1", "event-2"] == [each.event_id for each in answers]
    assert [Unavailable, Unavailable] == [type(each.error) for each in answers]
    assert "ERROR_REASON_JOURNAL_UNAVAILABLE" == answers[0].error.reason  # type: ignore[union-attr]


async def test_a_receipt_and_the_log_behind_it_are_proven(bench: SharingBench, driver: Driver) -> None:
    key = CheckpointKey.parse(str(verifier_key(bench.journal.origin(), SIGNING_KEY)))
    (first,) = await driver.report([settled(1)])
    assert await driver.call("get_checkpoint") is None
    assert (await driver.call("get_receipt", "event-1")).inclusion is None
    await asyncio.to_thread(bench.sign)
    kept = await driver.call("get_checkpoint")
    await driver.report([settled(number) for number in range(2, 9)])
    await asyncio.to_thread(bench.sign)

    proven = await driver.call("get_receipt", "event-1")
    proof = await driver.call("get_consistency_proof", kept.size)

    assert first.get() == proven.receipt
    proven.verify(key)
    kept.verify(key)
    proof.verify(kept, key)
    with pytest.raises(NotFound):
        await driver.call("get_receipt", "event-99")


async def test_a_watch_gives_changes_and_heartbeats_from_a_cursor_on(bench: SharingBench, driver: Driver) -> None:
    bench.grow([a_change(number) for number in range(1, 4)])

    got = await driver.watch(changes(3), "oldest", lists=("court",))
    rest = await driver.watch(changes(1), got[1].cursor)
    quiet = await driver.watch(lambda got: len(got) == 2)

    assert got[2] == rest[0]
    assert ["ENTRY_ADDED"] * 3 == [each.kind for each in got]
    assert {got[2].cursor} == {each.cursor for each in quiet}


async def test_a_watch_resumes_from_its_last_cursor_when_the_gateway_was_away(
    driver_of: type[Driver], tmp_path: Path
) -> None:
    class Rows:
        """A feed of two rows that outlives the gateway; it breaks after the first of them, once."""

        calls: list[str] = []  # noqa: RUF012 - one test, one object

        async def watch(self, partner: str, cursor: str, lists: Sequence[str]) -> AsyncIterator[FeedWatched]:
            self.calls.append(cursor)
            if not cursor:
                yield FeedWatched("00000000-1", a_change(1), "a" * 32)
            else:
                yield FeedWatched("00000000-2", a_change(2), "b" * 32)
            await asyncio.Event().wait()

    rows = Rows()
    async with running_sharing("grpcio", tmp_path, feed=rows) as bench:
        port = bench.port
        driver = driver_of(bench.target)
        received, loop = asyncio.Event(), asyncio.get_running_loop()

        def both(got: list[Any]) -> bool:
            loop.call_soon_threadsafe(received.set)
            return len(got) == 2

        watching = asyncio.create_task(driver.watch(both))
        await asyncio.wait_for(received.wait(), 20)
    journal = bench.journal
    async with running_sharing("grpcio", tmp_path, feed=rows, port=port, journal=journal):
        got = await asyncio.wait_for(watching, 20)
        await driver.close()

    assert ["a" * 32, "b" * 32] == [each.subject for each in got]
    assert ["", "00000000-1"] == [rows.calls[0], rows.calls[-1]]


async def test_a_silent_watch_is_given_up_and_resumed(driver_of: type[Driver], tmp_path: Path) -> None:
    cursors: list[str] = []

    class Silent:
        async def watch(self, partner: str, cursor: str, lists: Sequence[str]) -> AsyncIterator[FeedWatched]:
            cursors.append(cursor)
            yield FeedWatched(f"00000000-{len(cursors)}", a_change(1), "a" * 32)
            await asyncio.Event().wait()

    async with running_sharing("grpcio", tmp_path, feed=Silent()) as bench:
        driver = driver_of(bench.target)
        await driver.watch(changes(2), silence_s=0.2)
        await driver.close()

    assert ["", "00000000-1"] == cursors


async def test_a_watch_of_nothing_is_an_error(bench: SharingBench, driver_of: type[Driver]) -> None:
    for key, cursor, lists, kind in (
        ("lender-key", "00000000-7", (), OutOfRange),
        ("lender-key", "nonsense", (), InvalidArgument),
        ("lender-key", "", ("elsewhere",), PermissionDenied),
        ("wrong", "", (), Unauthenticated),
    ):
        driver = driver_of(bench.target, key)
        with pytest.raises(kind):
            await driver.watch(lambda _: False, cursor, lists=lists)
        await driver.close()


async def test_a_watch_of_a_gateway_that_is_not_there_is_an_error_at_once(driver_of: type[Driver]) -> None:
    driver = driver_of("127.0.0.1:1")

    with pytest.raises(Unavailable):
        await driver.watch(lambda _: False)
    await driver.close()
