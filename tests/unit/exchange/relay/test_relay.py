"""The relay's service with real receivers: in order, at least once, and one receiver's fault is not another's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from portcullis.adapters.line_files import DurableLines
from portcullis.adapters.memory.relay import MemoryRelay
from portcullis.adapters.set_reading import parse_set
from portcullis.domain.changes import ChangeKind
from portcullis.domain.errors import JournalUnavailable
from portcullis.domain.security_events import CHANGE_TYPES, REPORT_TYPES, STREAM_UPDATED, VERIFICATION, SecurityEvent
from portcullis.domain.shared_events import EventKind
from portcullis.exchange.relay.delivering import Deliveries
from portcullis.exchange.relay.envelopes import Delivered
from portcullis.exchange.relay.judging import MAX_ATTEMPTS, PARK_AFTER_S
from portcullis.exchange.relay.receivers import Receiver, Receivers, Wish
from portcullis.ports.relay import (
    DeliveryFault,
    DeliveryMethod,
    Fault,
    Reply,
    ReportedCase,
    ReportedEvent,
    Side,
    Stream,
    StreamSettings,
    StreamStatus,
)
from tests.support.clocks import HandClock
from tests.support.policies import NOW
from tests.support.relays import ISSUER, NAMES, World, running, until
from tests.support.shared_events import an_event
from tests.support.web_receivers import WebReceiver, free_port, hang_up, status, web_receiver


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web_receiver() as running_receiver:
        yield running_receiver


def read(world: World, body: bytes, audience: str = "lender") -> SecurityEvent:
    return parse_set(body.decode(), world.signer.jwks(), issuer=ISSUER, audience=audience)


def entries(world: World, receiver: WebReceiver, holder: str = "lender") -> list[int]:
    """The entries that tokens are about, in the order of their arrival."""
    known = {NAMES.name(holder, 1, number): number for number in range(1, 1000)}
    return [known[str(read(world, body, holder).subject_id["id"])] for body in receiver.bodies]


def place(world: World, stream: Stream) -> Any:
    return world.store.stream(stream.stream_id).place


# --- what arrives ------------------------------------------------------------


async def test_changes_arrive_as_tokens_in_their_order(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1, 2)
    world.grow(3, kind=ChangeKind.WITHDRAWN, happened_at=NOW - 5.0)

    async with running(world.relay()):
        await until(lambda: place(world, stream).position == 3)

    assert [1, 2, 3] == entries(world, receiver)
    last = read(world, receiver.bodies[2])
    assert [CHANGE_TYPES[ChangeKind.WITHDRAWN]] == list(last.events)
    assert {"format": "opaque", "id": NAMES.name("lender", 1, 3)} == last.subject_id
    assert NOW - 5.0 == last.happened_at
    assert {"application/secevent+jwt"} == {each["content-type"] for each in receiver.headers}
    assert 3 == world.metric("portcullis_relay_delivered_total", stream=stream.stream_id)
    assert 0 == world.metric("portcullis_relay_behind_seconds", stream=stream.stream_id)


async def test_two_partners_can_not_join_what_they_are_told(world: World, receiver: WebReceiver) -> None:
    streams = [world.stream(DeliveryMethod.PUSH, receiver.url, holder=name) for name in ("lender", "shop")]
    world.grow(1)

    async with running(world.relay()):
        await until(lambda: all(place(world, each).position == 1 for each in streams))

    tokens = [msgspec.json.decode(_payload(body)) for body in receiver.bodies]
    assert {"lender", "shop"} == {each["aud"] for each in tokens}
    assert 2 == len({each["sub_id"]["id"] for each in tokens})
    assert 2 == len({each["jti"].rpartition("-")[2] for each in tokens})


def _payload(body: bytes) -> bytes:
    part = body.split(b".")[1]
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


async def test_cloud_events_arrive_at_a_webhook_with_the_receivers_secret(world: World, receiver: WebReceiver) -> None:
    settings = StreamSettings(method=DeliveryMethod.WEBHOOK, endpoint=receiver.url)
    stream = world.desk.create(
        holder="lender", side=Side.PARTNER, settings=settings, authorization="Bearer made-up", from_oldest=True
    ).stream
    world.grow(7)

    async with running(world.relay()):
        await until(lambda: place(world, stream).position == 1)

    event = JSONFormat().read(CloudEvent, receiver.bodies[0])
    assert "1.0" == event.get_specversion()
    assert f"{ISSUER}/streams/{stream.stream_id}" == event.get_source()
    assert CHANGE_TYPES[ChangeKind.ENTRY_ADDED] == event.get_type()
    assert NAMES.name("lender", 1, 7) == event.get_subject()
    assert NOW == event.get_time().timestamp()
    assert "court" == event.get_data()["list"]
    assert "application/cloudevents+json" == receiver.headers[0]["content-type"]
    assert "Bearer made-up" == receiver.headers[0]["authorization"]


async def test_cloud_events_are_added_to_a_file_and_nothing_is_lost_when_a_line_is_torn(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    stream = world.stream(DeliveryMethod.FILE, str(file))
    world.grow(*range(1, 301))
    async with running(world.relay()):
        await until(lambda: place(world, stream).position == 300)
    # A crash in the middle of the next line.
    with file.open("ab") as out:
        out.write(b'{"specversion": "1.0", "id": "torn')
    world.grow(301)

    async with running(world.relay(owner="relay-2")):
        await until(lambda: place(world, stream).position == 301)

    events = [JSONFormat().read(CloudEvent, line) for line in file.read_bytes().splitlines()]
    ids = [world.envelopes.read_id(world.desk.stream(stream.stream_id), each.get_id()) for each in events]
    assert [Delivered(number, 0) for number in range(1, 302)] == ids
    assert 0o600 == file.stat().st_mode & 0o777


async def test_only_the_types_that_were_asked_for_arrive(world: World, receiver: WebReceiver) -> None:
    wanted = (CHANGE_TYPES[ChangeKind.STAYED],)
    stream = world.stream(DeliveryMethod.PUSH, receiver.url, events_requested=wanted)
    world.grow(1)
    world.grow(2, kind=ChangeKind.STAYED)
    world.grow(3)

    async with running(world.relay()):
        await until(lambda: place(world, stream).position >= 2)

    assert [2] == entries(world, receiver)


async def test_a_stream_is_not_held_up_by_thousands_of_changes_of_others(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(*range(1, 3001), list="unknown", list_number=9)
    world.grow(5)

    async with running(world.relay()):
        await until(lambda: place(world, stream).position == 3001)

    assert [5] == entries(world, receiver)


# --- faults ------------------------------------------------------------


async def test_a_receiver_that_fails_is_tried_again_later_and_the_order_stays(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1, 2, 3)
    receiver.faults = deque([status(500), status(503, retry_after="7")])
    assert isinstance(world.clock, HandClock)

    async with running(world.relay(draw=lambda: 0.0)):
        await until(lambda: place(world, stream).attempts == 1)
        assert NOW + 0.5 == place(world, stream).retry_at
        world.clock.advance(0.5)
        await until(lambda: place(world, stream).attempts == 2)
        # Retry-After counts for more than our own pause.
        assert world.clock.now() + 7 == place(world, stream).retry_at
        world.clock.advance(7)
        await until(lambda: place(world, stream).position == 3)

    assert [1, 2, 3] == entries(world, receiver)
    assert (0, 0.0) == (place(world, stream).attempts, place(world, stream).failing_since)
    assert 2 == world.metric("portcullis_relay_failures_total", stream=stream.stream_id, fault="status")


async def test_a_receiver_that_is_down_is_tried_again_until_it_is_up(world: World) -> None:
    port = free_port()
    stream = world.stream(DeliveryMethod.PUSH, f"http://127.0.0.1:{port}/events")
    world.grow(1, 2)
    assert isinstance(world.clock, HandClock)

    async with running(world.relay()):
        await until(lambda: place(world, stream).attempts == 1)
        assert 0 < place(world, stream).failing_since
        world.clock.advance(5)
        with web_receiver(port) as receiver:
            await until(lambda: place(world, stream).position == 2)
            assert [1, 2] == entries(world, receiver)


async def test_a_slow_receiver_does_not_hold_up_another(world: World, receiver: WebReceiver) -> None:
    with web_receiver() as slow:
        gate = threading.Event()

        def wait() -> Any:
            gate.wait(20)
            return (202, b"", {})

        slow.faults = deque([wait])
        held = world.stream(DeliveryMethod.PUSH, slow.url)
        quick = world.stream(DeliveryMethod.PUSH, receiver.url, holder="shop")
        world.grow(1, 2, 3)
        try:
            async with running(world.relay()):
                await until(lambda: place(world, quick).position == 3)
                assert 0 == place(world, held).position
                gate.set()
                await until(lambda: place(world, held).position == 3)
        finally:
            gate.set()


async def test_a_receiver_that_never_answers_is_given_up_in_time(world: World, receiver: WebReceiver) -> None:
    gate = threading.Event()

    def wait() -> Any:
        gate.wait(20)
        return (202, b"", {})

    receiver.faults = deque([wait])
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1)
    try:
        async with running(world.relay(timeout_s=0.1)):
            await until(lambda: place(world, stream).attempts == 1)
    finally:
        gate.set()

    assert 1 == world.metric("portcullis_relay_failures_total", stream=stream.stream_id, fault="timeout")


async def test_a_redirect_is_not_followed(world: World, receiver: WebReceiver) -> None:
    with web_receiver() as elsewhere:
        receiver.faults = deque([status(307, location=elsewhere.url)])
        stream = world.stream(DeliveryMethod.PUSH, receiver.url)
        world.grow(1)

        async with running(world.relay()):
            await until(lambda: place(world, stream).attempts == 1)

        assert [] == elsewhere.bodies


async def test_an_event_that_is_refused_parks_its_stream_until_the_operator_skips_it(
    world: World, receiver: WebReceiver
) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1, 2, 3)
    receiver.faults = deque([status(400, json.dumps({"err": "invalid_audience", "description": "secret words"}).encode())])

    async with running(world.relay()):
        await until(lambda: bool(place(world, stream).parked))
        assert "the receiver refused the event: invalid_audience" == place(world, stream).parked
        await until(lambda: world.metric("portcullis_relay_parked", stream=stream.stream_id) == 1)
        receiver.bodies.clear()

        world.desk.replay(stream.stream_id, skip=True)
        await until(lambda: place(world, stream).position == 3)

    told = [next(iter(read(world, each).events)) for each in receiver.bodies]
    assert [STREAM_UPDATED, *[CHANGE_TYPES[ChangeKind.ENTRY_ADDED]] * 2] == told
    assert 1 == world.metric("portcullis_relay_failures_total", stream=stream.stream_id, fault="refused")


async def test_an_event_that_is_skipped_is_left_out_though_a_verification_was_asked_for_meanwhile(
    world: World, receiver: WebReceiver
) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1, 2)
    receiver.faults = deque([status(400, json.dumps({"err": "invalid_audience"}).encode())])

    async with running(world.relay()):
        await until(lambda: bool(place(world, stream).parked))
        receiver.bodies.clear()
        world.desk.verify(stream.stream_id)

        world.desk.replay(stream.stream_id, skip=True)
        await until(lambda: place(world, stream).position == 2)

    told = [read(world, each) for each in receiver.bodies]
    assert [VERIFICATION, STREAM_UPDATED, CHANGE_TYPES[ChangeKind.ENTRY_ADDED]] == [next(iter(each.events)) for each in told]
    assert NAMES.name("lender", 1, 2) == told[-1].subject_id["id"]


async def test_a_notice_that_is_refused_is_left_out_and_nothing_else(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1)
    world.desk.verify(stream.stream_id)
    receiver.faults = deque([status(400, json.dumps({"err": "invalid_audience"}).encode())])

    async with running(world.relay()):
        await until(lambda: bool(place(world, stream).parked))
        receiver.bodies.clear()

        world.desk.replay(stream.stream_id, skip=True)
        await until(lambda: place(world, stream).position == 1)

    told = [next(iter(read(world, each).events)) for each in receiver.bodies]
    assert [STREAM_UPDATED, CHANGE_TYPES[ChangeKind.ENTRY_ADDED]] == told


async def test_what_a_receiver_had_or_was_to_be_left_out_is_not_posted_when_it_turns_from_polling(
    world: World, receiver: WebReceiver
) -> None:
    stream = world.stream(DeliveryMethod.POLL)
    world.grow(1, 2, 3)
    turned = msgspec.structs.replace(stream.settings, method=DeliveryMethod.PUSH, endpoint=receiver.url)
    acked = msgspec.structs.replace(stream.place, acked=(2,))
    assert world.store.put(msgspec.structs.replace(stream, settings=turned, place=acked))

    async with running(world.relay()):
        await until(lambda: place(world, stream).position == 3)

    assert [1, 3] == entries(world, receiver)
    assert () == place(world, stream).acked


async def test_a_parked_stream_can_be_played_again_from_any_position_with_the_same_ids(
    world: World, receiver: WebReceiver
) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1, 2, 3)

    async with running(world.relay()):
        await until(lambda: place(world, stream).position == 3)
        first = [read(world, body).id for body in receiver.bodies]
        world.desk.replay(stream.stream_id, position=1)
        await until(lambda: len(receiver.bodies) == 5 and place(world, stream).position == 3)

    assert first[1:] == [read(world, body).id for body in receiver.bodies[3:]]


@pytest.mark.parametrize("bound", ["tries", "time"])
async def test_a_stream_parks_after_a_bound_of_tries_or_of_time(world: World, receiver: WebReceiver, bound: str) -> None:
    assert isinstance(world.clock, HandClock)
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1)
    receiver.faults = deque([status(500)] * (MAX_ATTEMPTS + 1))
    step = 301.0 if bound == "tries" else PARK_AFTER_S

    async with running(world.relay(draw=lambda: 0.0)):
        while not place(world, stream).parked:
            attempts = place(world, stream).attempts
            world.clock.advance(step)
            await until(lambda tried=attempts: place(world, stream).attempts > tried)

    assert (MAX_ATTEMPTS if bound == "tries" else 2) == place(world, stream).attempts
    assert "the receiver answered with status 500" == place(world, stream).parked


async def test_a_place_that_the_feed_does_not_reach_back_to_parks_the_stream(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1, 2, happened_at=NOW - 100.0)
    world.grow(3)
    world.feed.trim(NOW - 50.0)

    async with running(world.relay()):
        await until(lambda: bool(place(world, stream).parked))
        assert "not kept any more" in place(world, stream).parked
        assert [] == receiver.bodies
        world.desk.replay(stream.stream_id, position=2)
        await until(lambda: place(world, stream).position == 3)


async def test_a_feed_that_was_begun_anew_parks_the_stream(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.feed.begin_anew(expected=world.feed.progress())
    world.grow(1)

    async with running(world.relay()):
        await until(lambda: bool(place(world, stream).parked))

    assert "another log" in place(world, stream).parked


async def test_a_file_that_can_not_be_written_is_tried_again(world: World, tmp_path: Path) -> None:
    file = tmp_path / "out" / "events.ndjson"
    stream = world.stream(DeliveryMethod.FILE, str(file))
    world.grow(1)
    assert isinstance(world.clock, HandClock)

    async with running(world.relay()):
        await until(lambda: place(world, stream).attempts == 1)
        file.parent.mkdir()
        world.clock.advance(5)
        await until(lambda: place(world, stream).position == 1)

    assert 1 == len(file.read_bytes().splitlines())


# --- operators and receivers ------------------------------------------------------------


async def test_a_paused_stream_tells_its_receiver_and_holds_what_comes(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)

    async with running(world.relay()):
        world.desk.pause(stream.stream_id, "upgrade")
        await until(lambda: len(receiver.bodies) == 1)
        world.grow(1)
        world.desk.verify(stream.stream_id)
        await until(lambda: len(receiver.bodies) == 2)
        assert 0 == place(world, stream).position
        world.desk.resume(stream.stream_id)
        await until(lambda: place(world, stream).position == 1)

    told = [dict(read(world, body).events) for body in receiver.bodies]
    assert {STREAM_UPDATED: {"status": "paused", "reason": "upgrade"}} == told[0]
    assert {VERIFICATION: {}} == told[1]
    assert {STREAM_UPDATED: {"status": "enabled"}} == told[2]
    assert [CHANGE_TYPES[ChangeKind.ENTRY_ADDED]] == list(told[3])
    assert {"format": "opaque", "id": stream.stream_id} == read(world, receiver.bodies[0]).subject_id


async def test_a_stream_that_its_receiver_has_disabled_gets_nothing(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url, status=StreamStatus.DISABLED)
    other = world.stream(DeliveryMethod.PUSH, receiver.url, holder="shop")
    world.grow(1)

    async with running(world.relay()):
        world.desk.verify(stream.stream_id)
        await until(lambda: place(world, other).position == 1)

    assert 1 == len(receiver.bodies)
    assert 0 == place(world, stream).position


# --- crashes and others ------------------------------------------------------------


class FaultyStore(MemoryRelay):
    """Loses its database now and then: before a place is written, or after, so that nobody knows."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.draw = random.Random(seed)
        self.faulty = False

    def put(self, stream: Stream, *, secret: str | None = None) -> bool:
        chance = self.draw.random() if self.faulty else 1.0
        if chance < 0.2:
            raise JournalUnavailable
        done = super().put(stream, secret=secret)
        if chance < 0.4:
            raise JournalUnavailable
        return done


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_fails_every_event_arrives_in_order_under_one_id(tmp_path: Path, seed: int) -> None:
    store = FaultyStore(seed)
    world = World(tmp_path, store=store)
    draw = random.Random(seed)
    assert isinstance(world.clock, HandClock)
    with web_receiver() as receiver:
        stream = world.stream(DeliveryMethod.PUSH, receiver.url)
        store.faulty = True
        for number in range(1, 21):
            world.grow(number)
        receiver.faults = deque(draw.choices([hang_up, status(500), None], k=30))
        for life in range(200):
            task = asyncio.create_task(world.relay(owner=f"relay-{life}").serve(threading.Event()))
            await asyncio.sleep(draw.uniform(0.0, 0.05))
            # The process dies: nothing is written or given back any more, save what runs out by itself.
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            world.clock.advance(400)
            if place(world, stream).position == 20:
                break
        assert 20 == place(world, stream).position

        tokens = [read(world, body) for body in receiver.bodies]
    subjects = {each.id: each.subject_id["id"] for each in tokens}
    firsts = list(dict.fromkeys(each.id for each in tokens))
    assert [NAMES.name("lender", 1, number) for number in range(1, 21)] == [subjects[each] for each in firsts]
    assert all(subjects[each.id] == each.subject_id["id"] for each in tokens)


async def test_of_two_relays_one_carries_a_stream(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)

    async with running(world.relay(owner="one"), world.relay(owner="two")):
        for number in range(1, 31):
            world.grow(number)
            await asyncio.sleep(0.003)
        await until(lambda: place(world, stream).position == 30)

    assert list(range(1, 31)) == entries(world, receiver)


async def test_another_relay_takes_over_when_the_lease_of_a_dead_one_is_over(world: World, receiver: WebReceiver) -> None:
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    world.grow(1)
    assert isinstance(world.clock, HandClock)
    assert world.store.lease(stream.stream_id, "dead", now=NOW, until=NOW + 30)

    async with running(world.relay(owner="alive")):
        await asyncio.sleep(0.1)
        assert [] == receiver.bodies
        world.clock.advance(30)
        await until(lambda: place(world, stream).position == 1)


async def test_a_database_that_is_away_for_a_while_is_waited_for(tmp_path: Path, receiver: WebReceiver) -> None:
    class Away(MemoryRelay):
        away = False

        def streams(self) -> Any:
            if self.away:
                raise JournalUnavailable
            return super().streams()

    store = Away()
    world = World(tmp_path, store=store)
    stream = world.stream(DeliveryMethod.PUSH, receiver.url)
    store.away = True
    world.grow(1)

    async with running(world.relay()):
        await asyncio.sleep(0.05)
        store.away = False
        await until(lambda: place(world, stream).position == 1)


async def test_a_full_disk_costs_no_line(world: World, tmp_path: Path) -> None:
    faults = [OSError(28, "No space left on device")]

    def sync(_descriptor: int) -> None:
        if faults:
            raise faults.pop()

    file = tmp_path / "events.ndjson"
    stream = world.stream(DeliveryMethod.FILE, str(file))
    world.grow(1, 2)
    assert isinstance(world.clock, HandClock)

    async with running(world.relay(files=DurableLines(sync=sync))):
        await until(lambda: place(world, stream).attempts == 1)
        assert file.read_bytes() == b""
        world.clock.advance(5)
        await until(lambda: place(world, stream).position == 2)

    assert 2 == len(file.read_bytes().splitlines())


async def test_what_partners_report_arrives_at_the_authority_of_the_list(world: World, receiver: WebReceiver) -> None:
    settings = StreamSettings(method=DeliveryMethod.PUSH, endpoint=receiver.url, audience=("court.example",))
    stream = world.desk.create(holder="Demonstration Court", side=Side.AUTHORITY, settings=settings).stream
    for sequence, name in enumerate(("court", "rentals", "court")):
        event = an_event(EventKind.SETTLED, event_id=f"event-{sequence}", list=name)
        cases = (ReportedCase(name, "(2090) Demo 1"),)
        world.reported.events.append(
            ReportedEvent(sequence=sequence + 4, partner="shop", recorded_at_ms=NOW * 1000, event=event, cases=cases)
        )

    async with running(world.relay()):
        await until(lambda: place(world, stream).position == 7)

    events = [read(world, body, "court.example") for body in receiver.bodies]
    told = [event.events[REPORT_TYPES[EventKind.SETTLED]] for event in events]
    assert ["event-0", "event-2"] == [each["event_id"] for each in told]
    assert [{"list": "court", "case_reference": "(2090) Demo 1"}] == told[0]["cases"]
    assert {"format": "opaque", "id": "(2090) Demo 1"} == events[0].subject_id


async def test_a_reader_of_logs_learns_nothing_of_what_was_sent(
    world: World, receiver: WebReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = StreamSettings(method=DeliveryMethod.PUSH, endpoint=f"{receiver.url}?secret=url-secret")
    stream = world.desk.create(
        holder="lender", side=Side.PARTNER, settings=settings, authorization="Bearer header-secret", from_oldest=True
    ).stream
    world.grow(1)
    receiver.faults = deque([status(400, b'{"err": "invalid_issuer", "description": "body-secret"}')])

    async with running(world.relay()):
        await until(lambda: bool(place(world, stream).parked))

    logged = "".join(capsys.readouterr())
    assert "parked" in logged
    assert not [
        word for word in ("url-secret", "header-secret", "body-secret", NAMES.name("lender", 1, 1)) if word in logged
    ]


async def test_a_relay_works_in_a_thread_until_it_is_told_to_stop(world: World, receiver: WebReceiver) -> None:
    stream, stop = world.stream(DeliveryMethod.PUSH, receiver.url), threading.Event()
    world.grow(1)
    thread = threading.Thread(target=world.relay().run, args=(stop,))
    thread.start()
    try:
        await until(lambda: place(world, stream).position == 1)
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, 10)

    assert not thread.is_alive()
    # The lease is given back, so that another goes on at once.
    await until(lambda: world.store.lease(stream.stream_id, "another", now=NOW, until=NOW + 30))


class NamesThatAreLookedUpForEver:
    """A way out whose every post but one hangs in the resolver, in a thread of the loop's, after it was given up."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.asked = 0

    async def post(self, url: str, body: bytes, *, content_type: str, authorization: str) -> Reply:
        if "quick" in url:
            return Reply(202, b"")
        self.asked += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self.over.wait), 0.05)
        raise DeliveryFault(Fault.TIMEOUT, "the receiver did not answer in time")

    async def close(self) -> None:
        self.over.set()


async def test_receivers_whose_names_are_not_found_do_not_hold_up_the_others(world: World) -> None:
    for number in range(40):
        world.stream(DeliveryMethod.PUSH, f"https://slow-{number}.example/")
    world.grow(1)
    stop, poster = threading.Event(), NamesThatAreLookedUpForEver()
    relay = world.relay(deliveries=Deliveries(world.store, poster=poster, files=DurableLines()))
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    try:
        await until(lambda: poster.asked == 40)
        stream = world.stream(DeliveryMethod.PUSH, "https://quick.example/")
        await until(lambda: place(world, stream).position == 1)
    finally:
        poster.over.set()
        stop.set()
        await asyncio.to_thread(thread.join, 10)


class Posts:
    """A way out that only keeps where it was asked to post."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def post(self, url: str, body: bytes, *, content_type: str, authorization: str) -> Reply:
        self.urls.append(url)
        return Reply(202, b"")

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("paused", [False, True])
async def test_nothing_is_posted_to_an_endpoint_before_the_operator_has_agreed_to_it(world: World, *, paused: bool) -> None:
    receivers = Receivers(world.desk, store=world.store, sources=world.sources, partner_of=str, clock=world.clock)
    lender, posts = Receiver("lender", Side.PARTNER), Posts()
    stream = receivers.create(lender, Wish(DeliveryMethod.PUSH, "https://10.0.0.1/admin"))
    if paused:
        world.desk.pause(stream.stream_id, "maintenance")
    receivers.verify(lender, stream.stream_id, "my own words")
    world.desk.verify(stream.stream_id)
    world.grow(1)
    other = world.stream(DeliveryMethod.PUSH, "https://agreed.example/")

    async with running(world.relay(deliveries=Deliveries(world.store, poster=posts, files=DurableLines()))):
        await until(lambda: place(world, other).position == 1)
        world.grow(2)
        await until(lambda: place(world, other).position == 2)
        if paused:
            world.desk.resume(stream.stream_id)
        world.grow(3)
        await until(lambda: place(world, other).position == 3)
        before = set(posts.urls)
        world.desk.resume(stream.stream_id)
        await until(lambda: not place(world, stream).notices)

    assert {"https://agreed.example/"} == before
    assert "https://10.0.0.1/admin" in posts.urls


def test_a_stream_that_is_polled_instead_needs_no_word(world: World) -> None:
    receivers = Receivers(world.desk, store=world.store, sources=world.sources, partner_of=str, clock=world.clock)
    lender = Receiver("lender", Side.PARTNER)
    stream = receivers.create(lender, Wish(DeliveryMethod.PUSH, "https://receiver.example/"))

    polled = receivers.update(lender, stream.stream_id, Wish(DeliveryMethod.POLL), replace=False)

    assert polled.flows
