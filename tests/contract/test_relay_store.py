"""What every store of streams owes, whatever it is kept in; and what the durable ones keep secret."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from portcullis.adapters.memory.relay import MemoryRelay
from portcullis.adapters.set_reading import parse_set
from portcullis.adapters.sql.engines import open_engine, writing
from portcullis.adapters.sql.relay.relay import SqlRelay
from portcullis.adapters.sql.relay.schema import relay_streams
from portcullis.domain.errors import JournalUnavailable, NotFound, SetupFault
from portcullis.ports.relay import (
    DeliveryMethod,
    Notice,
    Place,
    RelayStore,
    Side,
    Stream,
    StreamSettings,
    StreamStatus,
)
from tests.support.databases import migrated_database
from tests.support.relays import ISSUER, NAMES, World, running, until
from tests.support.web_receivers import web_receiver

SEAL_KEY = bytes(range(32))
DIGEST = b"d" * 32


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres")) as database_url:
        yield database_url


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RelayStore]:
    if request.param == "memory":
        yield MemoryRelay()
        return
    with ExitStack() as stack:
        database_url = stack.enter_context(
            migrated_database(request.param, "journal", tmp_path, lambda: request.getfixturevalue("postgres"))
        )
        yield stack.enter_context(closing(SqlRelay(database_url, seal_key=SEAL_KEY)))


def a_stream(stream_id: str = "a" * 32, **values: Any) -> Stream:
    defaults: dict[str, Any] = {
        "holder": "lender",
        "side": Side.PARTNER,
        "created_at": 1.5,
        "settings": StreamSettings(
            method=DeliveryMethod.PUSH,
            endpoint="https://receiver.example/events",
            audience=("receiver.example",),
            events_requested=("urn:portcullis:change:stayed",),
            description="ours",
            status=StreamStatus.PAUSED,
            status_reason="upgrade",
            held="",
        ),
        "place": Place(
            log="0a1b2c3d",
            position=7,
            acked=(9, 11),
            notices=(Notice(number=2, event_type="urn:x", payload={"state": "s"}, made_at=2.5),),
            notices_made=2,
            attempts=3,
            failing_since=4.5,
            retry_at=5.5,
        ),
    }
    return Stream(stream_id=stream_id, **(defaults | values))


def moved(stream: Stream, position: int) -> Stream:
    return msgspec.structs.replace(stream, place=msgspec.structs.replace(stream.place, position=position))


def test_a_stream_is_given_as_it_was_made(store: RelayStore) -> None:
    store.add(a_stream(), token_digest=DIGEST, secret="Bearer made-up")

    assert a_stream() == store.stream("a" * 32)
    assert a_stream() == store.by_token(DIGEST)
    assert "Bearer made-up" == store.secret("a" * 32)


def test_streams_are_listed_with_the_oldest_first(store: RelayStore) -> None:
    store.add(a_stream("b" * 32, created_at=1.0))
    store.add(a_stream("a" * 32, created_at=2.0))
    store.add(a_stream("c" * 32, created_at=2.0))

    assert ["b" * 32, "a" * 32, "c" * 32] == [each.stream_id for each in store.streams()]


def test_a_stream_that_is_not_there_is_not_found(store: RelayStore) -> None:
    store.add(a_stream())

    for call in (store.stream, store.secret):
        with pytest.raises(NotFound):
            call("b" * 32)
    assert store.by_token(b"") is None
    assert store.by_token(b"e" * 32) is None
    assert not store.put(a_stream("b" * 32))
    assert not store.remove("b" * 32)
    assert not store.lease("b" * 32, "one", now=1.0, until=2.0)


def test_a_write_counts_the_turn_and_is_refused_on_an_older_one(store: RelayStore) -> None:
    store.add(a_stream())
    read = store.stream("a" * 32)

    assert store.put(moved(read, 8))
    assert not store.put(moved(read, 9))

    now = store.stream("a" * 32)
    assert (8, 1) == (now.place.position, now.turn)
    assert store.put(moved(now, 9))


def test_of_writers_at_once_one_has_its_way(store: RelayStore) -> None:
    store.add(a_stream())
    read = store.stream("a" * 32)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda position: store.put(moved(read, position)), range(100, 116)))

    assert 1 == answers.count(True)
    assert 100 + answers.index(True) == store.stream("a" * 32).place.position


def test_a_secret_stays_until_another_is_given(store: RelayStore) -> None:
    store.add(a_stream(), secret="Bearer one")

    store.put(a_stream())
    assert "Bearer one" == store.secret("a" * 32)
    store.put(store.stream("a" * 32), secret="Bearer two")
    assert "Bearer two" == store.secret("a" * 32)
    store.put(store.stream("a" * 32), secret="")
    assert store.secret("a" * 32) == ""


def test_a_lease_is_of_one_until_it_is_over_or_given_back(store: RelayStore) -> None:
    store.add(a_stream())

    assert store.lease("a" * 32, "one", now=10.0, until=20.0)
    assert not store.lease("a" * 32, "two", now=19.9, until=30.0)
    assert store.lease("a" * 32, "one", now=19.9, until=25.0)
    assert store.lease("a" * 32, "two", now=25.0, until=35.0)
    store.release("a" * 32, "one")
    assert not store.lease("a" * 32, "one", now=26.0, until=36.0)
    store.release("a" * 32, "two")
    assert store.lease("a" * 32, "one", now=26.0, until=36.0)


def test_of_two_that_want_a_lease_one_has_it(store: RelayStore) -> None:
    store.add(a_stream())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: store.lease("a" * 32, f"relay-{n}", now=1.0, until=9.0), range(8)))

    assert 1 == answers.count(True)


def test_a_removed_stream_is_gone(store: RelayStore) -> None:
    store.add(a_stream(), token_digest=DIGEST)

    assert store.remove("a" * 32)

    assert [] == list(store.streams())
    assert store.by_token(DIGEST) is None


# --- the durable ones ------------------------------------------------------------


def test_streams_outlive_their_process(url: str) -> None:
    with closing(SqlRelay(url, seal_key=SEAL_KEY)) as store:
        store.add(a_stream(), secret="Bearer made-up")
        store.put(moved(a_stream(), 99))
    with closing(SqlRelay(url, seal_key=SEAL_KEY)) as again:
        assert 99 == again.stream("a" * 32).place.position
        assert "Bearer made-up" == again.secret("a" * 32)


def test_a_secret_is_sealed_at_rest_and_bound_to_its_stream(url: str) -> None:
    with closing(SqlRelay(url, seal_key=SEAL_KEY)) as store:
        store.add(a_stream("a" * 32), secret="Bearer made-up")
        store.add(a_stream("b" * 32))
        engine = open_engine(url, write_wait_s=1)
        with writing(engine).begin() as connection:
            blob = connection.scalar(select(relay_streams.c.secret).where(relay_streams.c.stream_id == "a" * 32))
            assert b"made-up" not in blob
            connection.execute(update(relay_streams).where(relay_streams.c.stream_id == "b" * 32).values(secret=blob))
        engine.dispose()
        with pytest.raises(SetupFault, match=r"record\.key"):
            store.secret("b" * 32)
    with closing(SqlRelay(url, seal_key=bytes(32))) as other, pytest.raises(SetupFault, match=r"record\.key"):
        other.secret("a" * 32)


def test_a_database_that_is_gone_is_unavailable() -> None:
    with closing(SqlRelay("postgresql://nobody@127.0.0.1:1/none", seal_key=SEAL_KEY)) as store:
        for call in (store.streams, lambda: store.add(a_stream()), lambda: store.put(a_stream())):
            with pytest.raises(JournalUnavailable):
                call()


# --- with a relay at work ------------------------------------------------------------


async def test_a_relay_goes_on_where_another_has_stopped(store: RelayStore, tmp_path: Path) -> None:
    world = World(tmp_path, store=store)
    with web_receiver() as receiver:
        made = [world.stream(DeliveryMethod.PUSH, receiver.url, holder=name) for name in ("lender", "shop")]

        def positions() -> set[int]:
            return {store.stream(each.stream_id).place.position for each in made}

        for life, first in enumerate((1, 4, 7)):
            world.grow(*range(first, first + 3))
            async with running(world.relay(owner=f"one-{life}"), world.relay(owner=f"two-{life}")):
                await until(lambda reached=first + 2: positions() == {reached})

        jwks = world.signer.jwks()
        for name in ("lender", "shop"):
            tokens = [text for text in map(bytes.decode, receiver.bodies) if audience_of(text) == name]
            told = [parse_set(text, jwks, issuer=ISSUER, audience=name) for text in tokens]
            assert [NAMES.name(name, 1, number) for number in range(1, 10)] == [each.subject_id["id"] for each in told]


def audience_of(token: str) -> str:
    part = token.split(".")[1]
    return str(msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["aud"])
