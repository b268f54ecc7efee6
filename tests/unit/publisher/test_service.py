"""The publisher, look by look, on a clock moved by hand."""

from __future__ import annotations

import copy
import json
import threading

import pytest

from portcullis.domain.editions import Credential
from portcullis.domain.errors import SetupFault
from portcullis.domain.manifests import encode_document, manifest_target
from portcullis.publisher.shipping import VOUCH_INTERVAL_S
from tests.support.distribution import entry, token
from tests.support.policies import NOW, YEAR_S
from tests.support.processes import wait_for


def test_the_first_look_publishes_the_registry_as_a_base_for_every_list(world):
    world.registry.put(1)
    world.registry.put(2, entry(2, "bikes"))
    assert world.look()
    found = world.snapshot()
    assert {"court": {token(1): {1}}, "bikes": {token(2): {2}}} == found.entries()
    assert {"court": (1, ()), "bikes": (1, ())} == {
        name: (each.base.records, each.deltas) for name, each in found.manifests.items()
    }
    assert (NOW, 2, NOW * 1000) == (found.head.published_at, found.head.registry_seq, found.version)
    assert [found.version] == world.tally.versions


def test_an_empty_registry_is_published_too(world):
    assert world.look()
    assert {"court": {}, "bikes": {}} == world.snapshot().entries()


def test_a_change_becomes_a_delta_of_its_list_and_the_others_stay_as_they_are(world):
    world.registry.put(1)
    world.registry.put(2, entry(2, "bikes"))
    world.look()
    before = world.snapshot()
    world.registry.withdraw(1)
    world.registry.put(3)
    world.tick(0.1)
    after = world.snapshot()
    assert {"court": {token(3): {3}}, "bikes": {token(2): {2}}} == after.entries()
    (delta,) = after.manifests["court"].deltas
    assert (before.version, after.version, 2, 1) == (delta.since, delta.version, delta.changes, delta.steps)
    assert before.manifests["court"].base == after.manifests["court"].base
    assert before.manifests["bikes"] == after.manifests["bikes"]
    assert before.stored(manifest_target("bikes")) == after.stored(manifest_target("bikes"))


def test_only_tokens_whose_body_is_another_are_in_a_delta(world):
    world.registry.put(1)
    world.look()
    world.registry.put(1)
    world.registry.put(2)
    world.look()
    (delta,) = world.snapshot().manifests["court"].deltas
    assert 1 == delta.changes


def test_a_change_that_changes_no_list_is_published_so_that_whoever_waits_for_it_sees_it(world):
    world.look()
    before = world.snapshot()
    world.registry.put(1, entry(1, "unheard-of"))
    world.look()
    after = world.snapshot()
    assert (1, before.manifests) == (after.head.registry_seq, after.manifests)
    assert before.version < after.version


def test_credentials_are_in_the_head_and_change_no_list(world):
    world.registry.put(1)
    world.look()
    before = world.snapshot()
    world.registry.credentials = (Credential("k1", "ticketing", "00" * 32),)
    world.registry.seq += 1
    world.look()
    assert world.registry.credentials == world.snapshot().head.credentials
    assert before.manifests == world.snapshot().manifests


def test_an_entry_long_past_its_end_leaves_with_the_next_change(world):
    world.registry.put(1, entry(1, until=NOW + 10))
    world.look()
    world.tick(2 * 86_400)
    assert {token(1)} == world.snapshot().bodies("court").keys()
    world.registry.put(2)
    world.look()
    assert {token(2)} == world.snapshot().bodies("court").keys()


def test_the_version_is_the_time_in_milliseconds_and_more_than_any_known(world):
    world.look()
    world.registry.put(1)
    world.look()
    assert NOW * 1000 + 1 == world.snapshot().version
    world.registry.put(2)
    world.tick(5)
    assert (NOW + 5) * 1000 == world.snapshot().version
    world.clock.set_wall(-100)
    world.registry.put(3)
    world.look()
    assert (NOW + 5) * 1000 + 1 == world.snapshot().version


def test_documents_are_canonical_and_terms_only_grow(world):
    world.registry.put(1, entry(1, measures=("hotels", "unheard-of")))
    world.look()
    first = world.snapshot().terms["court"]
    assert ("trains", "loans", "hotels", "unheard-of") == first.measures
    world.registry.put(2, entry(2, measures=("new",), legal_basis="section 2"))
    world.look()
    found = world.snapshot()
    second = found.terms["court"]
    assert (first.measures, first.legal) == (second.measures[:4], second.legal[: len(first.legal)])
    assert (5, 2) == (len(second.measures), len(second.legal))
    assert encode_document(found.head) == found.target("head/head.json")


def test_without_a_change_nothing_is_published_but_vouched_for_each_second(world):
    world.look()
    first = world.snapshot()
    world.tick(VOUCH_INTERVAL_S / 2)
    assert first.timestamp == world.snapshot().timestamp
    world.tick(VOUCH_INTERVAL_S)
    now = world.snapshot()
    assert (first.version, world.clock.now()) == (now.version, now.vouched_at)
    assert first.serial < now.serial
    assert 1 == len(world.tally.versions)


def test_a_registry_that_is_down_is_not_vouched_for(world):
    world.look()
    before = world.snapshot().timestamp
    world.registry.down = True
    assert not world.tick()
    assert (before, {"registry": 1}) == (world.snapshot().timestamp, world.tally.failures)
    world.registry.down = False
    assert world.tick()
    assert before["version"] < world.snapshot().serial


def test_a_registry_with_changes_that_can_not_be_published_is_not_vouched_for(world):
    world.look()
    before = world.snapshot().timestamp
    world.registry.put(1)
    world.repository.before["sign"] = OSError(28, "No space left on device")
    assert not world.tick()
    assert before == world.snapshot().timestamp
    assert {"disk": 1} == world.tally.failures
    assert world.tick()
    assert {token(1)} == world.snapshot().bodies("court").keys()


def test_a_version_is_vouched_for_as_of_its_reading_however_long_compiling_took(world):
    index, publish, stamps = world.registry.index, world.transport.publish, []
    world.registry.index = lambda lists: (world.clock.advance(40), index(lists))[1]
    world.store.instead["publish"] = lambda metadata, targets, *, lease: (
        stamps.append(json.loads(metadata["timestamp.json"])["signed"]["vouched_at_ms"]),
        publish(metadata, targets, lease=lease),
    )
    world.look()
    assert NOW * 1000 == stamps[0]
    world.tick()
    assert (NOW + 41) * 1000 == stamps[-1]


def test_a_registry_that_knows_fewer_changes_than_were_published_is_not_published(world):
    world.registry.put(1)
    world.registry.put(2)
    world.look()
    before = world.snapshot().timestamp
    world.registry.seq = 1
    world.registry.entries.clear()
    for _ in range(2):
        assert not world.tick()
        world.crash()
    assert before == world.snapshot().timestamp


def restore_a_backup(world, changes_since):
    """Publish two entries, put the registry back to when there was one, and write to it since."""
    world.registry.put(1)
    backup = copy.copy(world.registry)
    world.clock.advance(1)
    world.registry.put(2)
    world.look()
    world.clock.advance(1)
    for number in range(changes_since):
        backup.put(3 + number)
    vars(world.registry).update(vars(backup))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_registry_from_a_backup_that_was_written_to_since_is_not_published(world, restarted):
    restore_a_backup(world, changes_since=2)
    before = world.snapshot().timestamp
    if restarted:
        world.crash()
    for _ in range(2):
        assert not world.tick()
    assert before == world.snapshot().timestamp
    assert {"keys": 2} == world.tally.failures


def test_a_registry_from_a_backup_with_as_many_changes_is_found_out_at_a_start_or_the_next_change(world):
    restore_a_backup(world, changes_since=1)
    before = world.snapshot().head
    world.registry.put(9)
    assert not world.tick()
    world.registry.seq -= 1
    world.crash()
    assert not world.look()
    assert before == world.snapshot().head


def test_metadata_that_is_due_is_signed_anew_under_a_version_of_its_own(world):
    world.registry.put(1)
    world.look()
    before = world.snapshot()
    world.tick(6 * 86_400)
    after = world.snapshot()
    assert before.version < after.version
    assert (before.manifests, before.head.registry_seq) == (after.manifests, after.head.registry_seq)
    world.tick(1)
    assert after.version == world.snapshot().version


def test_every_version_is_in_the_log(world):
    world.registry.put(1)
    world.look()
    world.registry.put(2)
    world.look()
    world.registry.credentials = (Credential("k1", "ticketing", "00" * 32),)
    world.registry.seq += 1
    world.look()
    log = [json.loads(line) for line in (world.folder / "publisher" / "log.jsonl").read_text().splitlines()]
    assert world.tally.versions == [each["version"] for each in log]
    assert [1, 2, 3] == [each["registry_seq"] for each in log]
    assert [{"court": "base", "bikes": "base"}, {"court": "delta"}, {}] == [
        {changed["list"]: changed["kind"] for changed in each["lists"]} for each in log
    ]


def test_a_disk_that_keeps_no_log_stops_nothing(world):
    (world.folder / "publisher" / "log.jsonl").mkdir(parents=True)
    assert world.look()
    assert [world.snapshot().version] == world.tally.versions


def test_an_unexpected_fault_neither_ends_the_loop_nor_shows_its_message(world, logs):
    def index(lists):
        raise ValueError("cn.resident-id:110101209001010000")

    world.registry.index = index
    assert not world.look()
    assert {"other": 1} == world.tally.failures
    assert "110101209001010000" not in repr(logs)


def test_a_lasting_fault_is_logged_once_and_once_when_it_is_over(world, logs):
    world.look()
    logs.clear()
    world.registry.down = True
    for _ in range(5):
        world.tick()
    world.registry.down = False
    world.tick()
    world.tick()
    told = [each["event"] for each in logs]
    assert ["not publishing; still trying", "publishing again"] == told


def test_a_missing_key_of_the_publishers_own_is_a_fault_of_the_keys(world):
    world.repository.before["sign"] = SetupFault("no key of the role snapshot is here")
    assert not world.look()
    assert {"keys": 1} == world.tally.failures
    assert world.look()


def test_entries_left_out_are_logged_and_counted_by_list(world, logs):
    world.registry.put(1, entry(1 << 32))
    world.registry.put(2)
    world.look()
    assert {"court": 1} == world.tally.faults
    assert [("court", 1)] == [(each["list"], each["entries"]) for each in logs if "entries" in each]
    assert {token(2)} == world.snapshot().bodies("court").keys()


@pytest.mark.parametrize("until", [NOW + YEAR_S, 1 << 33])
def test_a_change_of_nothing_but_an_end_is_published(world, until):
    world.registry.put(1, entry(1, until=NOW + 60))
    world.look()
    before = world.snapshot().bodies("court")
    world.registry.put(1, entry(1, until=until))
    world.look()
    assert before != world.snapshot().bodies("court")


def test_the_loop_publishes_changes_until_it_is_told_to_stop_and_gives_the_lease_back(world):
    stop = threading.Event()
    loop = threading.Thread(target=world.publisher.run, args=(stop,))
    loop.start()
    try:
        wait_for(lambda: world.tally.versions)
        world.registry.put(1)
        wait_for(lambda: len(world.tally.versions) == 2)
    finally:
        stop.set()
        loop.join(10)
    assert not loop.is_alive()
    assert {token(1)} == world.snapshot().bodies("court").keys()
    assert world.transport.store.lease("another", 1.0)


def test_a_stop_ends_a_long_compilation(world):
    stop = threading.Event()
    index = world.registry.index

    def endless(lists):
        world.registry.put(1)
        stop.set()
        for number in range(1 << 60):
            yield token(number), entry(1)
        yield from index(lists)

    world.registry.index = endless
    loop = threading.Thread(target=world.publisher.run, args=(stop,))
    loop.start()
    loop.join(20)
    assert not loop.is_alive()
    assert [] == world.tally.versions
