"""A stream that is polled, and set back by an operator at the very moment of a poll: what the replay asks for comes.

The moment is found by a store that does something once, just before a call; beneath it is a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from portcullis.adapters.set_reading import parse_set
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.adapters.sql.relay.relay import SqlRelay
from portcullis.domain.changes import ChangeKind
from portcullis.domain.security_events import CHANGE_TYPES
from portcullis.exchange.relay.polling import WINDOW, PollAnswer, PollRequest, Polls
from portcullis.ports.relay import DeliveryMethod, RelayStore, Stream
from tests.support.relays import ISSUER, NAMES, World

ADDED = CHANGE_TYPES[ChangeKind.ENTRY_ADDED]


class StoreWithAMoment:
    """A store of streams in which something happens before the n-th reading of a stream, or the n-th writing, from 1 on."""

    def __init__(self, store: RelayStore) -> None:
        self._store = store
        self._calls: dict[str, int] = {}
        self._happen: dict[tuple[str, int], Callable[[], object]] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def before(self, call: str, number: int, what: Callable[[], object]) -> None:
        """Have something happen before a call, counted from now on."""
        self._calls, self._happen = {}, {(call, number): what}

    def stream(self, stream_id: str) -> Stream:
        self._pass("stream")
        return self._store.stream(stream_id)

    def put(self, stream: Stream, *, secret: str | None = None) -> bool:
        self._pass("put")
        return self._store.put(stream, secret=secret)

    def _pass(self, call: str) -> None:
        number = self._calls[call] = self._calls.get(call, 0) + 1
        if what := self._happen.pop((call, number), None):
            what()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreWithAMoment]:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    migrate_journal(url)
    with closing(SqlRelay(url, seal_key=bytes(32))) as kept:
        yield StoreWithAMoment(kept)


@pytest.fixture
def world(tmp_path: Path, store: StoreWithAMoment) -> World:
    return World(tmp_path, store=store)  # type: ignore[arg-type]


@pytest.fixture
def polls(world: World, store: StoreWithAMoment) -> Polls:
    return Polls(
        store,  # type: ignore[arg-type]
        sources=world.sources,
        envelopes=world.envelopes,
        clock=world.clock,
        metrics=world.metrics,
    )


async def poll(polls: Polls, stream: Stream, ack: Sequence[str] = (), **said: dict[str, str]) -> PollAnswer:
    return await polls.poll(stream.stream_id, PollRequest(at_once=True, ack=tuple(ack), **said))


def entries(world: World, answer: PollAnswer) -> list[int]:
    known = {NAMES.name("lender", 1, number): number for number in range(1, 10)}
    events = [parse_set(each, world.signer.jwks(), issuer=ISSUER, audience="lender") for each in answer.sets.values()]
    return [known[str(event.subject_id["id"])] for event in events]


def back(world: World, stream: Stream, position: int = 0) -> Callable[[], object]:
    return lambda: world.desk.replay(stream.stream_id, position=position)


async def test_a_replay_between_two_looks_through_the_log_is_not_passed_over(
    world: World, polls: Polls, store: StoreWithAMoment
) -> None:
    # Three events that the receiver has; then more changes than one look goes through that are none of its business.
    world.grow(1, 2, 3)
    stream = world.stream(DeliveryMethod.POLL, events_requested=(ADDED,))
    await poll(polls, stream, list((await poll(polls, stream)).sets))
    world.grow(*[1] * (3 * WINDOW), kind=ChangeKind.AMENDED)

    store.before("stream", 2, back(world, stream))
    answer = await poll(polls, stream)

    assert [1, 2, 3] == entries(world, answer)
    assert [1, 2, 3] == entries(world, await poll(polls, stream))


async def test_an_acknowledgement_from_before_a_replay_does_not_take_its_events_away(
    world: World, polls: Polls, store: StoreWithAMoment
) -> None:
    world.grow(1, 2, 3, 4, 5)
    stream = world.stream(DeliveryMethod.POLL)
    offered = list((await poll(polls, stream)).sets)
    await poll(polls, stream, offered[:3])

    store.before("put", 1, back(world, stream))
    answer = await poll(polls, stream, offered)

    assert [1, 2, 3, 4, 5] == entries(world, answer)
    await poll(polls, stream, offered)
    assert 5 == store.stream(stream.stream_id).place.position


async def test_an_event_acknowledged_out_of_order_comes_again_after_a_replay_from_the_same_place(
    world: World, polls: Polls, store: StoreWithAMoment
) -> None:
    world.grow(1, 2, 3)
    stream = world.stream(DeliveryMethod.POLL)
    offered = list((await poll(polls, stream)).sets)
    await poll(polls, stream, offered[1:2])

    store.before("put", 1, back(world, stream))
    answer = await poll(polls, stream, offered[2:])

    assert [1, 2, 3] == entries(world, answer)


async def test_an_error_from_before_a_replay_does_not_park_the_stream_again(
    world: World, polls: Polls, store: StoreWithAMoment
) -> None:
    world.grow(1, 2)
    stream = world.stream(DeliveryMethod.POLL)
    offered = list((await poll(polls, stream)).sets)
    await poll(polls, stream, offered[:1])

    store.before("put", 1, back(world, stream))
    answer = await poll(polls, stream, errors={offered[1]: "invalid_request"})

    assert [1, 2] == entries(world, answer)
    assert "" == store.stream(stream.stream_id).place.parked


async def test_what_else_changes_meanwhile_takes_no_acknowledgement_away(
    world: World, polls: Polls, store: StoreWithAMoment
) -> None:
    world.grow(1, 2, 3)
    stream = world.stream(DeliveryMethod.POLL)
    offered = list((await poll(polls, stream)).sets)

    store.before("put", 1, lambda: world.desk.verify(stream.stream_id))
    await poll(polls, stream, offered[:2])

    assert 2 == store.stream(stream.stream_id).place.position
