"""What every snapshot store does, in memory and on a real Valkey."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from portcullis.adapters.chunks import CHUNK_BYTES, in_chunks
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.redis.store import ACKNOWLEDGED_KEY, LEASE_KEY, TARGET_KEY, RedisSnapshotStore
from portcullis.domain.errors import LeaseLost, SnapshotInvalid, StoreUnavailable
from portcullis.ports import ACKNOWLEDGED_KEPT_S, Acknowledgement, SnapshotStore
from tests.support.valkey import running_valkey

PIECES = [b"a" * CHUNK_BYTES, b"b" * 1000, b"", b"c" * (2 * CHUNK_BYTES), b"d"]
CONTENT = b"".join(PIECES)


def upload(store: SnapshotStore, name: str, pieces: list[bytes]) -> list[int]:
    return list(store.upload(name, pieces))


def content(store: SnapshotStore, name: str) -> bytes:
    return b"".join(store.read_target(name))


def test_a_store_without_a_publish_has_no_metadata(store):
    assert store.read_metadata("timestamp.json") is None


def test_a_publish_makes_metadata_and_targets_readable(store):
    store.publish({"one.json": b"1", "two.json": b"2"}, {"head/a.head.json": b"h", "lists/x/b.delta-1-2": b""})
    assert (b"1", b"2") == (store.read_metadata("one.json"), store.read_metadata("two.json"))
    assert (b"h", b"") == (content(store, "head/a.head.json"), content(store, "lists/x/b.delta-1-2"))
    assert store.holds(["head/a.head.json", "lists/x/b.delta-1-2"])


def test_a_publish_replaces_only_the_metadata_that_it_names(store):
    store.publish({"one.json": b"1", "two.json": b"2"}, {})
    store.publish({"two.json": b"3"}, {})
    assert (b"1", b"3") == (store.read_metadata("one.json"), store.read_metadata("two.json"))


def test_a_target_that_nobody_published_is_invalid(store):
    with pytest.raises(SnapshotInvalid) as caught:
        content(store, "base-x")
    assert "target-missing" == caught.value.refusal


def test_an_upload_gives_the_length_of_a_chunk_for_each_step_and_cuts_what_comes_anew(store):
    assert [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 1001] == upload(store, "base-x", PIECES)
    assert [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, 1001] == [len(chunk) for chunk in store.read_target("base-x")]
    assert CONTENT == content(store, "base-x")


def test_an_upload_without_a_byte_is_an_empty_target(store):
    assert [] == upload(store, "base-x", [])
    assert b"" == content(store, "base-x")
    assert store.holds(["base-x"])


def test_an_upload_does_nothing_before_its_first_step_and_can_be_read_after_its_last(store):
    steps = store.upload("base-x", PIECES)
    assert not store.holds(["base-x"])
    for _ in range(4):
        next(steps)
        assert not store.holds(["base-x"])
        with pytest.raises(SnapshotInvalid):
            content(store, "base-x")
    assert next(steps, None) is None
    assert store.holds(["base-x"])


def test_an_upload_takes_its_source_a_chunk_at_a_time(store):
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(4):
            taken += 1
            yield b"x" * CHUNK_BYTES

    steps = store.upload("base-x", source())
    next(steps)
    assert 1 == taken
    next(steps)
    assert 2 == taken


def test_an_upload_that_was_given_up_is_replaced_by_the_next(store):
    given_up = store.upload("base-x", [b"x" * 3 * CHUNK_BYTES])
    for _ in range(3):
        next(given_up)
    del given_up
    assert not store.holds(["base-x"])
    upload(store, "base-x", [b"short"])
    assert b"short" == content(store, "base-x")
    assert store.holds(["base-x"])


def test_an_upload_that_was_given_up_leaves_a_whole_target_of_the_same_content_whole(store):
    upload(store, "base-x", PIECES)
    again = store.upload("base-x", PIECES)
    next(again)
    assert CONTENT == content(store, "base-x")


def test_a_failing_source_fails_the_upload_as_itself_and_leaves_no_target(store):
    def failing() -> Iterator[bytes]:
        yield b"a" * CHUNK_BYTES
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(store.upload("base-x", failing()))
    assert not store.holds(["base-x"])


def test_a_small_target_takes_the_place_of_what_an_upload_has_left(store):
    next(store.upload("base-x", PIECES))
    store.publish({}, {"base-x": b"small"})
    assert b"small" == content(store, "base-x")
    assert store.holds(["base-x"])


def test_a_store_says_whether_it_holds_all_of_many_targets(store):
    names = [f"lists/x/{number}" for number in range(1200)]
    assert store.holds([])
    store.publish({}, dict.fromkeys(names, b"t"))
    assert store.holds(names)
    assert not store.holds([*names, "another"])


def test_a_publish_of_thousands_of_files_is_one_step(store):
    seen: list[bool] = []
    store.wait(0.05)
    store.publish(
        {f"{number}.snapshot.json": b"m" * 500 for number in range(3000)},
        {f"lists/x/{number}": b"t" * 500 for number in range(3000)},
    )
    seen += (store.wait(5.0), store.wait(0.05))
    assert [True, False] == seen
    assert store.holds([f"lists/x/{number}" for number in range(3000)])


def test_collecting_removes_what_is_not_named_and_nothing_else(store):
    store.publish({"1.root.json": b"r", "1.snapshot.json": b"1", "2.snapshot.json": b"2"}, {"base-x": b"x", "base-y": b"y"})
    upload(store, "base-z", PIECES)
    store.lease("one", 60.0)
    assert 3 == store.collect(["1.root.json", "2.snapshot.json"], ["base-y", "base-unknown"])
    kept = [store.read_metadata(name) for name in ("1.root.json", "1.snapshot.json", "2.snapshot.json")]
    assert [b"r", None, b"2"] == kept
    assert [False, True, False] == [store.holds([name]) for name in ("base-x", "base-y", "base-z")]
    assert not store.lease("two", 60.0), "a lease is no file"
    assert 0 == store.collect(["1.root.json", "2.snapshot.json"], ["base-y"])


def test_collecting_removes_thousands(store):
    store.publish(
        {f"{number}.snapshot.json": b"m" for number in range(1500)}, {f"t-{number}": b"t" for number in range(1500)}
    )
    assert 2999 == store.collect(["7.snapshot.json"], [])
    assert b"m" == store.read_metadata("7.snapshot.json")


def test_a_lease_is_one_holders_until_it_is_given_back(store):
    assert store.lease("one", 60.0)
    assert not store.lease("two", 60.0)
    assert store.lease("one", 60.0), "its holder prolongs it"
    store.release("two")
    assert not store.lease("two", 60.0), "only its holder gives it back"
    store.release("one")
    store.release("one")
    assert store.lease("two", 60.0)


def test_a_lease_ends_with_its_time(store):
    assert store.lease("one", 0.05)
    deadline = threading.Event()
    for _ in range(200):
        if store.lease("two", 60.0):
            break
        deadline.wait(0.01)
    assert not store.lease("one", 60.0)
    store.publish({"one.json": b"2"}, {}, lease="two")


def test_prolonging_a_lease_sets_its_time_anew(store):
    assert store.lease("one", 0.2)
    assert store.lease("one", 60.0)
    threading.Event().wait(0.3)
    assert not store.lease("two", 60.0)


def test_the_holder_of_the_lease_publishes_and_collects(store):
    store.lease("one", 60.0)
    store.publish({"one.json": b"1"}, {"base-x": b"x"}, lease="one")
    assert b"1" == store.read_metadata("one.json")
    assert 1 == store.collect(["one.json"], [], lease="one")


@pytest.mark.parametrize("holder", ["two", None])
def test_whoever_lost_the_lease_changes_nothing(store, holder):
    store.publish({"one.json": b"1"}, {"base-x": b"x"})
    store.wait(0.05)
    if holder:
        store.lease(holder, 60.0)
    with pytest.raises(LeaseLost):
        store.publish({"one.json": b"2"}, {"base-x": b"y", "base-y": b"y"}, lease="one")
    with pytest.raises(LeaseLost):
        store.collect([], [], lease="one")
    assert (b"1", b"x") == (store.read_metadata("one.json"), content(store, "base-x"))
    assert not store.holds(["base-y"])
    assert not store.wait(0.05)


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


# --- what followers say they serve --------------------------------------------------------------------------------------


def test_nobody_has_said_anything_before_the_first(store):
    assert [] == store.acknowledged()


def test_what_each_host_said_last_is_given_in_the_order_of_their_names(store):
    store.acknowledge(Acknowledgement("gateway-2", 7, 41, 1_800_000_000.25))
    store.acknowledge(Acknowledgement("gateway-1", 7, 41, 1_800_000_001.0))
    store.acknowledge(Acknowledgement("gateway-2", 8, 43, 1_800_000_002.5))
    expected = [
        Acknowledgement("gateway-1", 7, 41, 1_800_000_001.0),
        Acknowledgement("gateway-2", 8, 43, 1_800_000_002.5),
    ]
    assert expected == store.acknowledged()


def test_what_hosts_say_is_no_published_file(store):
    store.acknowledge(Acknowledgement("gateway-1", 7, 41, 1_800_000_000.0))
    assert 0 == store.collect([], [])
    assert ["gateway-1"] == [each.host for each in store.acknowledged()]


def test_a_host_that_is_silent_for_a_day_is_forgotten_in_memory():
    now = [0.0]
    store = MemorySnapshotStore(monotonic=lambda: now[0])
    store.acknowledge(Acknowledgement("gateway-1", 7, 41, 1.0))
    now[0] = 1.0
    store.acknowledge(Acknowledgement("gateway-2", 7, 41, 1.0))
    now[0] = ACKNOWLEDGED_KEPT_S
    assert ["gateway-2"] == [each.host for each in store.acknowledged()]


# --- what only a store on a server can do -------------------------------------------------------------------------------


def test_a_chunk_missing_on_the_server_is_invalid_and_the_target_not_held(valkey):
    store = RedisSnapshotStore(valkey.url)
    upload(store, "base-x", PIECES)
    with valkey.client() as client:
        client.hdel(TARGET_KEY + "base-x", "1")
    assert not store.holds(["base-x"])
    with pytest.raises(SnapshotInvalid) as caught:
        content(store, "base-x")
    assert "chunk-missing" == caught.value.refusal
    upload(store, "base-x", PIECES)
    assert CONTENT == content(store, "base-x")
    store.close()


def test_collecting_removes_what_an_upload_that_was_given_up_has_left(valkey):
    valkey.flush()
    store = RedisSnapshotStore(valkey.url)
    next(store.upload("base-x", PIECES))
    assert 1 == store.collect([], [])
    with valkey.client() as client:
        assert [] == client.keys("*")
    store.close()


@pytest.mark.parametrize("lease", ["", "one"])
def test_a_publish_of_many_files_is_one_transaction_on_the_server(valkey, lease):
    valkey.flush()
    store = RedisSnapshotStore(valkey.url)
    store.lease("one", 60.0)
    with valkey.client() as client:
        client.config_resetstat()
        store.publish(
            {f"{number}.json": b"m" for number in range(50)}, {f"t-{number}": b"t" for number in range(50)}, lease=lease
        )
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in client.info("commandstats").items()}
    assert (1, 1, 1, 50, 50) == tuple(calls[name] for name in ("multi", "exec", "publish", "set", "hset"))
    store.close()


def test_every_key_on_the_server_has_our_prefix(valkey):
    valkey.flush()
    store = RedisSnapshotStore(valkey.url)
    store.lease("one", 60.0)
    store.publish({"one.json": b"1"}, {"head": b"h"}, lease="one")
    upload(store, "base-x", PIECES)
    with valkey.client() as client:
        keys = {"metadata:one.json", "target:head", "target:base-x", "lease"}
        assert {f"portcullis:{key}".encode() for key in keys} == set(client.keys("*"))
    store.close()


class Disturbed(RedisSnapshotStore):
    """A store that does something between the comparing of the lease and the publish, as often as it is told."""

    def __init__(self, url: str, times: int, disturb) -> None:
        super().__init__(url)
        self._times = times
        self._disturb = disturb

    def _try_together(self, queue, lease):
        def disturbed(together) -> None:
            if self._times:
                self._times -= 1
                self._disturb()
            queue(together)

        return super()._try_together(disturbed, lease)


@pytest.fixture
def other(valkey) -> Iterator[RedisSnapshotStore]:
    valkey.flush()
    made = RedisSnapshotStore(valkey.url)
    yield made
    made.close()


def test_a_lease_that_changes_hands_in_the_middle_of_a_publish_stops_it(valkey, other):
    def change_hands() -> None:
        other.release("one")
        assert other.lease("two", 60.0)

    store = Disturbed(valkey.url, 1, change_hands)
    store.lease("one", 60.0)
    with pytest.raises(LeaseLost):
        store.publish({"one.json": b"1"}, {}, lease="one")
    assert store.read_metadata("one.json") is None
    store.close()


def test_a_lease_that_runs_out_in_the_middle_of_a_publish_stops_it(valkey, other):
    def run_out() -> None:
        with valkey.client() as client:
            client.pexpire(LEASE_KEY, 1)
            while client.exists(LEASE_KEY):
                pass

    store = Disturbed(valkey.url, 1, run_out)
    store.lease("one", 60.0)
    with pytest.raises(LeaseLost):
        store.publish({"one.json": b"1"}, {}, lease="one")
    assert store.read_metadata("one.json") is None
    store.close()


def test_a_lease_that_is_prolonged_in_the_middle_of_a_publish_stops_nothing(valkey, other):
    store = Disturbed(valkey.url, 1, lambda: other.lease("one", 60.0))
    store.lease("one", 60.0)
    store.publish({"one.json": b"1"}, {}, lease="one")
    assert b"1" == store.read_metadata("one.json")
    store.close()


def test_a_server_that_was_flushed_in_the_middle_of_a_publish_takes_nothing(valkey, other):
    store = Disturbed(valkey.url, 1, valkey.flush)
    store.lease("one", 60.0)
    with pytest.raises(LeaseLost):
        store.publish({"one.json": b"1"}, {}, lease="one")
    assert store.read_metadata("one.json") is None
    store.close()


def test_a_lease_without_end_of_disturbance_is_unavailable_and_changes_nothing(valkey, other):
    store = Disturbed(valkey.url, 100, lambda: other.lease("one", 60.0))
    store.lease("one", 60.0)
    with pytest.raises(StoreUnavailable):
        store.publish({"one.json": b"1"}, {}, lease="one")
    assert other.read_metadata("one.json") is None
    store.close()


def test_a_lease_is_taken_on_a_server_that_knows_none_of_our_scripts(valkey, other):
    assert other.lease("one", 60.0)
    with valkey.client() as client:
        client.script_flush()
    assert other.lease("one", 60.0)
    with valkey.client() as client:
        client.script_flush()
    other.release("one")
    assert other.lease("two", 60.0)


def test_a_host_that_is_silent_for_a_day_by_the_servers_clock_is_forgotten_and_so_is_what_is_no_acknowledgement(
    valkey, other
):
    with valkey.client() as client:
        now = client.time()[0]
        said = {
            "lately": f"7 41 1.0 - {now - int(ACKNOWLEDGED_KEPT_S) + 60}",
            "long-ago": f"7 41 1.0 - {now - int(ACKNOWLEDGED_KEPT_S)}",
            "older-release": f"7 41 1.0 {now}",
            "odd": f"seven 41 1.0 - {now}",
            "none": "",
        }
        client.hset(ACKNOWLEDGED_KEY, mapping=said)
        assert [Acknowledgement(host, 7, 41, 1.0) for host in ("lately", "older-release")] == other.acknowledged()
        assert {b"lately", b"older-release", b"odd"} == set(client.hkeys(ACKNOWLEDGED_KEY))


def test_a_server_that_is_away_is_unavailable_and_waits_go_their_time():
    with running_valkey() as server:
        store = RedisSnapshotStore(server.url)
        store.publish({"one.json": b"1"}, {"base-x": b"x"})
        assert store.wait(1.0)
        begun = store.upload("base-y", PIECES)
        next(begun)
        server.kill()
        for use in (
            lambda: store.read_metadata("one.json"),
            lambda: store.publish({"one.json": b"2"}, {}),
            lambda: store.publish({"one.json": b"2"}, {}, lease="one"),
            lambda: content(store, "base-x"),
            lambda: upload(store, "base-x", PIECES),
            lambda: next(begun),
            lambda: store.holds(["base-x"]),
            lambda: store.collect([], []),
            lambda: store.lease("one", 1.0),
            lambda: store.release("one"),
            lambda: store.acknowledge(Acknowledgement("gateway-1", 7, 41, 1.0)),
            store.acknowledged,
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


def test_a_full_valkey_still_gives_the_lease_so_that_who_has_it_can_clear_it(valkey):
    valkey.flush()
    store = RedisSnapshotStore(valkey.url)
    with valkey.client() as client:
        store.publish({"one.json": b"1"}, {f"base-{number}": b"x" * CHUNK_BYTES for number in range(8)})
        client.config_set("maxmemory", 4 << 20)
        try:
            with pytest.raises(StoreUnavailable):
                store.publish({"one.json": b"2"}, {})
            assert store.lease("first", 60)
            assert store.lease("first", 60)
            assert not store.lease("second", 60)
            assert 8 == store.collect(["one.json"], [], lease="first")
        finally:
            client.config_set("maxmemory", 0)
    assert b"1" == store.read_metadata("one.json")
    store.close()


# --- how targets are cut -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [[], [b""], [b"ab"], [b"abcd"], [b"abcdefghi"], [b"a", b"bcde", b"", b"fgh", b"i" * 20]])
def test_chunks_are_of_one_length_save_the_last_and_none_is_empty(pieces):
    chunks = list(in_chunks(pieces, 4))
    assert b"".join(pieces) == b"".join(chunks)
    assert all(len(chunk) == 4 for chunk in chunks[:-1])
    assert all(1 <= len(chunk) <= 4 for chunk in chunks[-1:])
