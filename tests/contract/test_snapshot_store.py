"""What every snapshot store does, in memory and on a real Valkey."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.redis.store import TARGET_KEY, RedisSnapshotStore
from portcullis.domain.errors import SnapshotInvalid, StoreUnavailable
from portcullis.ports import SnapshotStore
from tests.support.valkey import ValkeyAt, running_valkey

CHUNKS = [b"a" * 1000, b"b" * 1000, b"c"]


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyAt]:
    with running_valkey() as server:
        yield server


@pytest.fixture(params=["memory", "valkey"])
def store(request: pytest.FixtureRequest) -> Iterator[SnapshotStore]:
    if request.param == "memory":
        made: SnapshotStore = MemorySnapshotStore()
    else:
        server: ValkeyAt = request.getfixturevalue("valkey")
        server.flush()
        made = RedisSnapshotStore(server.url)
    yield made
    made.close()


def test_a_store_without_a_publish_has_no_metadata(store):
    assert store.read_metadata("timestamp.json") is None


def test_a_publish_makes_metadata_and_targets_readable(store):
    store.publish({"one.json": b"1", "two.json": b"2"}, {"base-x": iter(CHUNKS)})
    assert (b"1", b"2") == (store.read_metadata("one.json"), store.read_metadata("two.json"))
    assert list(store.read_target("base-x")) == CHUNKS


def test_a_publish_replaces_only_the_metadata_that_it_names(store):
    store.publish({"one.json": b"1", "two.json": b"2"}, {})
    store.publish({"two.json": b"3"}, {})
    assert (b"1", b"3") == (store.read_metadata("one.json"), store.read_metadata("two.json"))


def test_a_target_that_nobody_published_is_invalid(store):
    with pytest.raises(SnapshotInvalid) as caught:
        list(store.read_target("base-x"))
    assert "target-missing" == caught.value.refusal


def test_a_target_without_chunks_is_an_empty_target(store):
    store.publish({}, {"base-x": []})
    assert [] == list(store.read_target("base-x"))
    assert store.holds("base-x")


def test_a_store_says_which_targets_it_holds(store):
    assert not store.holds("base-x")
    store.publish({}, {"base-x": CHUNKS})
    assert store.holds("base-x")


def test_collecting_removes_the_targets_not_named_and_nothing_else(store):
    store.publish({"one.json": b"1"}, {"base-x": CHUNKS, "base-y": CHUNKS, "base-z": CHUNKS})
    assert 2 == store.collect(["base-y", "base-unknown"])
    assert [False, True, False] == [store.holds(name) for name in ("base-x", "base-y", "base-z")]
    assert b"1" == store.read_metadata("one.json")
    assert 0 == store.collect(["base-y"])


def test_a_target_published_again_is_whole_and_not_longer(store):
    store.publish({}, {"base-x": CHUNKS})
    store.publish({}, {"base-x": CHUNKS[:1]})
    assert CHUNKS[:1] == list(store.read_target("base-x"))
    assert store.holds("base-x")


def test_a_failing_source_of_chunks_leaves_the_metadata_as_it_was(store):
    store.publish({"one.json": b"1"}, {})

    def failing() -> Iterator[bytes]:
        yield b"a"
        raise OSError("the spool's disk is gone")

    with pytest.raises((OSError, StoreUnavailable)):
        store.publish({"one.json": b"2"}, {"base-x": failing()})
    assert b"1" == store.read_metadata("one.json")
    assert not store.holds("base-x")


def test_a_wait_without_a_publish_ends_with_its_time(store):
    store.wait(0.05)
    assert not store.wait(0.05)


def test_a_publish_between_two_waits_is_not_missed(store):
    store.wait(0.05)
    store.publish({"one.json": b"1"}, {})
    store.publish({"one.json": b"2"}, {})
    assert store.wait(5.0)
    assert not store.wait(0.05)


def test_a_publish_wakes_whoever_waits(store):
    store.wait(0.05)
    woken = threading.Event()

    def wait() -> None:
        if store.wait(20.0):
            woken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    store.publish({"one.json": b"1"}, {})
    waiter.join(20)
    assert woken.is_set()


def test_a_store_closes_twice(store):
    store.wait(0.01)
    store.close()


# --- what only a store on a server can do -------------------------------------------------------------------------------


def test_a_chunk_missing_on_the_server_is_invalid_and_the_target_not_held(valkey):
    store = RedisSnapshotStore(valkey.url)
    store.publish({}, {"base-x": CHUNKS})
    with valkey.client() as client:
        client.hdel(TARGET_KEY + "base-x", "1")
    assert not store.holds("base-x")
    with pytest.raises(SnapshotInvalid) as caught:
        list(store.read_target("base-x"))
    assert "chunk-missing" == caught.value.refusal
    store.close()


def test_every_key_on_the_server_has_our_prefix(valkey):
    valkey.flush()
    store = RedisSnapshotStore(valkey.url)
    store.publish({"one.json": b"1"}, {"base-x": CHUNKS})
    with valkey.client() as client:
        assert {b"portcullis:metadata:one.json", b"portcullis:target:base-x"} == set(client.keys("*"))
    store.close()


def test_a_server_that_is_away_is_unavailable_and_waits_go_their_time():
    with running_valkey() as server:
        store = RedisSnapshotStore(server.url)
        store.publish({"one.json": b"1"}, {"base-x": CHUNKS})
        assert store.wait(1.0)
        server.kill()
        for use in (
            lambda: store.read_metadata("one.json"),
            lambda: store.publish({"one.json": b"2"}, {}),
            lambda: list(store.read_target("base-x")),
            lambda: store.holds("base-x"),
            lambda: store.collect([]),
        ):
            with pytest.raises(StoreUnavailable):
                use()
        assert not store.wait(0.02)
        server.start()
        assert store.read_metadata("one.json") is None
        assert store.wait(1.0), "a new subscription may have missed a publish, so it counts as one"
        store.publish({"one.json": b"3"}, {})
        assert store.wait(5.0)
        assert b"3" == store.read_metadata("one.json")
        store.close()


def test_an_unavailable_server_is_not_named_in_the_error(tmp_path):
    store = RedisSnapshotStore(f"unix://{tmp_path}/nothing-here.sock?password=top-secret")
    with pytest.raises(StoreUnavailable) as caught:
        store.read_metadata("one.json")
    assert "top-secret" not in str(caught.value)
    assert "nothing-here" not in str(caught.value)
    store.close()
