"""The follower: by deltas or by the bases it comes to what is signed, and whatever is wrong leaves it where it was."""

from __future__ import annotations

import threading
from itertools import islice

import msgspec
import pytest
import structlog

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain import routes
from portcullis.domain.editions import Credential, Legal
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import HEAD_TARGET, Delta, decode_manifest, encode_document, manifest_target
from portcullis.gateway.follower import Follower
from tests.support.clocks import HandClock
from tests.support.dict_snapshots import DictPublisher, DictSnapshots
from tests.support.distribution import BANK, CARRIERS, COURT, NAMES, FollowerTally, token
from tests.support.processes import wait_for
from tests.support.token_rings import FIRST, SECOND, Ring, named


class World:
    """A follower of a publisher that can be made to say anything."""

    def __init__(self, of=(COURT,)):
        self.clock = HandClock()
        self.store = MemorySnapshotStore()
        self.snapshots = DictSnapshots()
        self.publisher = DictPublisher(self.snapshots, self.clock, of)
        self.writer = MemoryReplicaWriter(self.clock)
        self.restart()

    def restart(self):
        self.tally = FollowerTally()
        self.follower = Follower(
            store=self.store,
            trusted=self.snapshots,
            replica=self.writer,
            clock=self.clock,
            counts=self.tally,
            follow_interval_s=0.5,
        )

    def wipe(self):
        self.writer = MemoryReplicaWriter(self.clock)
        self.follower._replica = self.follower._catching_up._replica = self.writer

    def look(self):
        return self.follower.look()

    def publish(self, version, numbers=(), mark="v", *, on=COURT, **more):
        self.publisher.put(numbers, mark, on=on)
        self.publisher.publish(version, **more)

    def version(self):
        held = self.writer.held()
        return held.version if held else None

    def age(self):
        return MemoryReplica(self.writer, self.clock).vouched_age_s()

    def is_whole(self):
        """Say whether the replica holds exactly what was published last."""
        published = sorted(
            (key, each.number, value) for each in self.publisher.lists.values() for key, value in each.bodies.items()
        )
        return published == list(self.writer.records()) and self.version() == self.snapshots.vouched.version

    def amend(self, name, **changes):
        """Have a list's key sign another manifest."""
        target = manifest_target(name)
        manifest = decode_manifest(self.snapshots.targets[target])
        changes = {key: change(manifest) if callable(change) else change for key, change in changes.items()}
        self.snapshots.targets[target] = encode_document(msgspec.structs.replace(manifest, **changes))

    def lose(self, part):
        """Lose every target whose name holds this."""
        lost = [name for name in self.snapshots.targets if part in name]
        assert lost
        for name in lost:
            del self.snapshots.targets[name]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def held(world):
    """A world whose replica holds version 5, of a base of 30 tokens."""
    world.publish(5, range(30))
    assert world.look()
    world.tally = world.follower._counts = world.follower._catching_up._counts = FollowerTally()
    world.snapshots.opened.clear()
    return world


@pytest.fixture
def three():
    """A world of three lists that share tokens, all held in version 5."""
    world = World((COURT, CARRIERS, BANK))
    for on in (COURT, CARRIERS, BANK):
        world.publisher.put(range(10 * on), on=on)
    world.publish(5)
    assert world.look()
    world.snapshots.opened.clear()
    world.tally.installs.clear()
    return world


def refused(world, reason):
    """See that a look refuses for one reason, counts it once, and leaves version 5."""
    world.tally.refusals.clear()
    world.clock.advance(100)
    assert not world.look()
    assert {reason: 1} == world.tally.refusals
    assert 5 == world.version()


# --- the good way -------------------------------------------------------------------------------------------------------


def test_a_first_snapshot_is_installed_from_its_base_and_vouched_for(world):
    world.publish(5, range(3))
    assert world.look()
    assert world.is_whole()
    assert (["lists/court/base-5"], [5], [], 0.0) == (
        world.snapshots.opened,
        world.tally.installs,
        world.tally.applies,
        world.age(),
    )


def test_an_empty_list_is_a_snapshot_too(world):
    world.publish(5)
    assert world.look()
    assert world.is_whole()


def test_a_version_held_is_not_read_again(held):
    for _ in range(3):
        held.publisher.vouch()
        assert held.look()
    assert ([], []) == (held.snapshots.opened, held.tally.versions)


def test_a_restarted_follower_goes_on_with_the_version_held(held):
    held.restart()
    held.clock.advance(3)
    held.publisher.vouch()
    assert held.look()
    assert ([], 0.0) == (held.snapshots.opened, held.age())


def test_a_change_arrives_as_a_delta_in_place(held):
    held.publisher.withdraw([4])
    held.publish(6, [3, 77], "w")
    assert held.look()
    assert held.is_whole()
    assert (["lists/court/delta-5-6"], [6], []) == (held.snapshots.opened, held.tally.applies, held.tally.installs)


def test_a_lagging_follower_takes_all_deltas_in_one_transaction(held):
    for version in range(6, 12):
        held.publish(version, [version, 40], mark=str(version))
    assert held.look()
    assert held.is_whole()
    assert [11] == held.tally.applies


def test_a_version_without_changes_of_any_list_is_applied_without_a_file(held):
    held.publish(6)
    assert held.look()
    assert held.is_whole()
    assert ([], [6]) == (held.snapshots.opened, held.tally.applies)


def test_new_terms_and_credentials_arrive_without_a_file(held):
    held.publisher.lists[COURT].title = "Court list, second edition"
    held.publisher.lists[COURT].legal += (Legal("Another Act", "https://redress.example/other"),)
    held.publisher.credentials = (Credential("key", "ticketing", "0" * 64),)
    held.publish(6)
    assert held.look()
    edition = held.writer.held()
    assert ("Court list, second edition", 2, 1) == (
        edition.policy.lists[0].title,
        len(edition.lists[0].legal),
        len(edition.credentials),
    )
    assert ([], [6]) == (held.snapshots.opened, held.tally.applies)


def test_documents_that_have_not_changed_are_not_decoded_again(three, monkeypatch):
    decoded = []

    def noting(data, decode=decode_manifest):
        decoded.append(decode(data).list)
        return decode(data)

    monkeypatch.setattr("portcullis.gateway.following.documents.decode_manifest", noting)
    three.publish(6, [500], on=CARRIERS)
    assert three.look()
    assert ["carriers"] == decoded


def test_bytes_fetched_are_counted_by_kind(world):
    world.publish(5, range(30))
    world.look()
    world.publish(6, [3])
    world.look()
    lengths = {kind: len(world.snapshots.targets[f"lists/court/{name}"]) for kind, name in COUNTED_FILES.items()}
    assert lengths == world.tally.bytes


COUNTED_FILES = {"base": "base-5", "delta": "delta-5-6"}


def test_the_version_held_and_its_age_are_noted_at_every_look(held):
    held.look()
    assert (5, 0.0) == held.tally.holding
    held.snapshots.down = True
    held.clock.advance(7)
    held.look()
    assert (5, 7.0) == held.tally.holding


def test_before_the_first_good_look_a_replica_is_as_old_as_its_publication(held):
    held.restart()
    held.snapshots.down = True
    held.clock.advance(50)
    held.look()
    assert (5, 50.0) == held.tally.holding


# --- several lists ------------------------------------------------------------------------------------------------------


def test_changes_of_several_lists_arrive_in_one_transaction(three):
    three.publisher.put([3, 44], "w", on=COURT)
    three.publisher.withdraw([3], on=CARRIERS)
    three.publish(6, [8], "x", on=BANK)
    assert three.look()
    assert three.is_whole()
    assert ([6], []) == (three.tally.applies, three.tally.installs)


def test_a_list_with_a_gap_takes_its_base_and_the_others_stay(three):
    three.publish(6, [50], on=CARRIERS)
    three.publish(7, [51], on=COURT)
    three.publish(8, [51], on=CARRIERS, compacted=True)
    three.publish(9, [52], on=CARRIERS)
    assert three.look()
    assert three.is_whole()
    assert [9] == three.tally.installs
    assert {"lists/carriers/base-8", "lists/carriers/delta-8-9", "lists/court/delta-5-7"} == set(three.snapshots.opened)


def test_a_small_new_list_is_added_in_place():
    two = World((COURT, CARRIERS))
    two.publisher.put(range(20), on=COURT)
    two.publish(5)
    assert two.look()
    two.publisher.add(BANK)
    two.publish(6, range(15, 25), on=BANK)
    two.publish(7, [99], on=BANK)
    assert two.look()
    assert two.is_whole()
    assert ([7], [5]) == (two.tally.applies, two.tally.installs)


def test_a_list_that_left_takes_its_bodies_with_it(three):
    del three.publisher.lists[CARRIERS]
    three.publish(6, [70], on=BANK)
    assert three.look()
    assert three.is_whole()
    assert ([6], ["lists/bank/delta-5-6"]) == (three.tally.installs, three.snapshots.opened)


def test_an_empty_list_that_left_leaves_the_replica_in_place():
    world = World((COURT, CARRIERS))
    world.publish(5, range(9), on=COURT)
    assert world.look()
    del world.publisher.lists[CARRIERS]
    world.publish(6)
    assert world.look()
    assert world.is_whole()
    assert [6] == world.tally.applies


def test_a_list_that_came_back_under_another_number_is_another_list(three, monkeypatch):
    monkeypatch.setattr("tests.support.dict_snapshots.NAMES", {**NAMES, 9: "carriers"})
    del three.publisher.lists[CARRIERS]
    three.publisher.add(9)
    three.publish(6, range(7), on=9)
    assert three.look()
    assert three.is_whole()
    assert [6] == three.tally.installs


def test_terms_that_were_not_only_added_to_send_a_list_to_its_base(three):
    three.publisher.lists[CARRIERS].legal = (Legal("Another Act", "https://redress.example/other"),)
    three.publish(6)
    assert three.look()
    assert three.is_whole()
    assert (["lists/carriers/base-5"], [6]) == (three.snapshots.opened, three.tally.installs)


# --- deltas that go wrong -----------------------------------------------------------------------------------------------


def test_deltas_doubled_and_in_any_order_lead_to_the_same(held):
    for version in (6, 7, 8):
        held.publish(version, [version, 50], mark=str(version))
    held.amend("court", deltas=lambda manifest: (*manifest.deltas[::-1], *manifest.deltas))
    assert held.look()
    assert held.is_whole()
    assert [8] == held.tally.applies


def test_folded_deltas_are_taken_from_the_middle(held):
    held.publish(6, [50])
    held.look()
    held.publish(7, [51])
    held.publish(8, [52])
    target = "lists/court/delta-5-8"
    held.publisher.withdraw([1, 2])
    held.publisher.lists[COURT].version = 5
    held.publisher.lists[COURT].changed |= {token(number) for number in (1, 2, 50, 51, 52)}
    held.publisher.lists[COURT].deltas = []
    held.publish(8)
    held.snapshots.opened.clear()
    assert held.look()
    assert held.is_whole()
    assert ([target], [6, 8]) == (held.snapshots.opened, held.tally.applies)


def test_a_delta_collected_before_it_was_read_sends_the_follower_to_the_base(held):
    held.publish(6, [50])
    held.publish(7, [51])
    held.publish(8, [52], compacted=True)
    held.publish(9, [53])
    held.amend("court", deltas=lambda manifest: (*held.publisher.lists[COURT].deltas, *_lost_deltas(manifest)))
    assert held.look()
    assert held.is_whole()
    assert ([9], {"target-missing": 1}, {}) == (held.tally.installs, held.tally.fallbacks, held.tally.refusals)


def _lost_deltas(manifest):
    """A delta that the manifest names from version 5 on, and that nobody can have any more."""
    return [msgspec.structs.replace(manifest.deltas[0], target="lists/court/delta-5-8", since=5, version=8)]


def test_a_missing_delta_that_the_base_needs_as_well_is_refused_without_reading_the_base(held):
    held.publish(6, [50])
    held.lose("delta")
    refused(held, "target-missing")
    assert ["lists/court/delta-5-6"] == held.snapshots.opened
    assert {} == held.tally.fallbacks


def test_a_digest_mismatch_falls_back_to_the_base_by_itself_and_is_counted(held):
    held.publish(6, [50])
    held.publish(7, [51], compacted=True)
    held.snapshots.targets["lists/court/delta-5-7"] = b"PCD2"
    held.amend(
        "court",
        deltas=lambda manifest: (_delta(since=5, version=7),),
    )
    assert held.look()
    assert held.is_whole()
    assert ([7], {"digest-mismatch": 1}, {}) == (held.tally.installs, held.tally.fallbacks, held.tally.refusals)


def _delta(since, version, changes=0):
    return Delta(target=f"lists/court/delta-{since}-{version}", since=since, version=version, changes=changes, length=4)


def test_a_replica_that_can_not_be_led_on_is_mended_from_the_bases(three, monkeypatch):
    def mismatch(*_):
        raise SnapshotInvalid("another digest", refusal=Refusal.DIGEST_MISMATCH)

    monkeypatch.setattr(three.writer, "apply", mismatch)
    three.publish(6, [3], "w", on=CARRIERS)
    assert three.look()
    assert three.is_whole()
    assert ({"digest-mismatch": 1}, [6]) == (three.tally.fallbacks, three.tally.installs)
    assert {"lists/court/base-5", "lists/carriers/base-5", "lists/bank/base-5"} < set(three.snapshots.opened)


def test_bodies_held_that_are_not_what_they_should_be_are_taken_from_the_bases(three, monkeypatch):
    right = three.writer.records
    monkeypatch.setattr(three.writer, "records", lambda: islice(right(), 3, None))
    three.publish(6, [50], on=CARRIERS, compacted=True)
    assert three.look()
    monkeypatch.undo()
    assert three.is_whole()
    assert ({"digest-mismatch": 1}, [6]) == (three.tally.fallbacks, three.tally.installs)


@pytest.mark.parametrize("data", [b"PCB2", b"PCD2" + b"\x00" * 19, b"PCD2" + b"t" * 16 + b"\x03\x00\x00\x00abc"])
def test_a_malformed_delta_falls_back_to_the_base(held, data):
    held.publish(6, [50], compacted=True)
    held.snapshots.targets["lists/court/delta-5-6"] = data
    held.amend("court", deltas=(_delta(5, 6),))
    assert held.look()
    assert held.is_whole()
    assert ([6], {"records-malformed": 1}) == (held.tally.installs, held.tally.fallbacks)


def test_where_the_base_is_wrong_too_the_replica_stays(held):
    held.publish(6, [50], compacted=True)
    held.snapshots.targets["lists/court/delta-5-6"] = b"PCD2"
    held.snapshots.targets["lists/court/base-6"] = held.snapshots.targets["lists/court/base-5"]
    held.amend("court", deltas=(_delta(5, 6),))
    refused(held, "digest-mismatch")
    assert {"digest-mismatch": 1} == held.tally.fallbacks


def test_one_malformed_list_leaves_the_whole_replica_as_it_is(three):
    three.publisher.put([77], on=COURT)
    three.publish(6, [78], on=CARRIERS)
    three.snapshots.targets["lists/carriers/delta-5-6"] = b"PCD2"
    refused(three, "digest-mismatch")


# --- what is too much for one transaction -------------------------------------------------------------------------------


def test_a_large_delta_is_laid_over_the_bodies_held(three, monkeypatch):
    monkeypatch.setattr(routes, "MANY_CHANGES", 10)
    three.publisher.put(range(5, 12), "w", on=CARRIERS)
    three.publisher.withdraw(range(5), on=CARRIERS)
    three.publish(6, [100, 200], on=CARRIERS)
    three.publisher.put([6, 300], "x", on=CARRIERS)
    three.publish(7, [7], "y", on=BANK)
    assert three.look()
    assert three.is_whole()
    assert ([7], []) == (three.tally.installs, three.tally.applies)


def test_a_large_delta_is_laid_over_the_base_it_belongs_to(world, monkeypatch):
    monkeypatch.setattr(routes, "MANY_CHANGES", 10)
    world.publish(5, range(30))
    world.publish(6, [1], "small")
    world.publish(7, range(20), "large")
    world.publish(8, [2], "small again")
    assert world.look()
    assert world.is_whole()


def test_a_large_delta_out_of_order_is_refused(held, monkeypatch):
    monkeypatch.setattr(routes, "MANY_CHANGES", 10)
    held.publish(6, range(20), "w")
    name = "lists/court/delta-5-6"
    whole = held.snapshots.targets[name]
    frame = (len(whole) - 4) // 20
    held.snapshots.targets[name] = whole[:4] + whole[4 + frame :] + whole[4 : 4 + frame]
    refused(held, "records-malformed")


# --- freshness ----------------------------------------------------------------------------------------------------------


def test_without_new_vouchings_the_age_grows(held):
    for seconds in (10, 20):
        held.clock.advance(10)
        held.look()
        assert seconds == pytest.approx(held.age())


def test_a_statement_found_at_a_start_is_as_old_as_the_wall_clock_says(world):
    world.publish(5)
    world.clock.advance(3600)
    world.look()
    assert 3600 == pytest.approx(world.age())


@pytest.mark.parametrize("skew", [7200, -7200])
def test_a_clock_that_is_set_makes_nothing_old_or_fresh(held, skew):
    held.clock.advance(1)
    vouched_at = held.clock.now()
    held.clock.set_wall(skew)
    held.snapshots.vouched = held.snapshots.vouched._replace(serial=9, vouched_at=vouched_at)
    held.look()
    assert 0 <= held.age() <= 1
    held.clock.advance(30)
    assert 30 <= held.age() <= 31


def test_a_vouching_after_an_outage_is_no_older_than_the_outage(held):
    held.snapshots.down = True
    held.clock.advance(60)
    assert not held.look()
    assert 60 == pytest.approx(held.age())
    held.snapshots.behave()
    held.publisher.vouch()
    held.look()
    assert 0.0 == held.age()


def test_a_replica_built_again_from_an_old_vouching_is_no_fresher(held):
    held.clock.advance(600)
    held.look()
    held.wipe()
    assert held.look()
    assert 600 == pytest.approx(held.age())


def test_the_publishers_clock_is_heard_at_every_new_vouching(held, monkeypatch):
    heard = []
    monkeypatch.setattr(held.clock, "hear", lambda *said: heard.append(said))
    for pause in (1, 1, 600, 1):
        held.clock.advance(pause)
        held.publisher.vouch()
        held.look()
        held.look()
    now, monotonic = held.clock.now(), held.clock.monotonic()
    # After ten minutes without a look nobody can say when it was made.
    assert [(now - back, monotonic - back) for back in (602, 601, 0)] == heard


# --- refusals -----------------------------------------------------------------------------------------------------------


def test_refused_metadata_leaves_the_replica(held):
    held.publish(6, [50])
    held.snapshots.refusal = Refusal.METADATA_SIGNATURE
    refused(held, "metadata-signature")


def test_a_store_found_empty_is_a_fault_and_the_replica_stays(held):
    held.snapshots.refusal = Refusal.STORE_EMPTY
    refused(held, "store-empty")


def test_a_store_that_was_never_published_to_is_waited_for(world):
    assert not world.look()
    assert ({}, None) == (world.tally.refusals, world.version())


@pytest.mark.parametrize("restarted", [False, True])
def test_a_lower_version_is_refused_even_where_the_trust_was_lost(held, restarted):
    if restarted:
        held.restart()
    held.publisher.vouch(4)
    refused(held, "rollback")


def test_an_older_timestamp_of_the_same_version_is_refused(held):
    first = held.snapshots.vouched
    held.publisher.vouch()
    held.look()
    held.snapshots.vouched = first
    refused(held, "rollback")


def test_a_wiped_replica_is_not_filled_with_an_older_version(held):
    held.wipe()
    held.publisher.vouch(4)
    assert not held.look()
    assert ({"rollback": 1}, None) == (held.tally.refusals, held.version())


def test_a_wiped_replica_is_built_again(held):
    held.wipe()
    assert held.look()
    assert held.is_whole()
    assert [5] == held.tally.installs


def test_another_snapshot_under_the_version_held_is_refused(held):
    held.restart()
    held.publisher.publish(5, published_at=1.0)
    refused(held, "equivocation")


def test_a_head_of_another_version_than_the_metadata_is_refused(held):
    held.publish(6)
    held.publisher.vouch(7)
    refused(held, "mixed-versions")


def test_a_manifest_of_another_list_is_refused(three):
    three.snapshots.targets[manifest_target("bank")] = three.snapshots.targets[manifest_target("court")]
    three.publisher._write_head(6, {})
    three.publisher.vouch(6)
    refused(three, "mixed-versions")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (HEAD_TARGET, "head-malformed"),
        ("lists/court/manifest.json", "manifest-malformed"),
        ("lists/court/terms-1.json", "terms-malformed"),
    ],
)
def test_documents_that_are_malformed_or_missing_are_refused(held, name, reason):
    held.publish(6, [50])
    held.snapshots.spoil[name] = lambda data: data + b" "
    refused(held, reason)
    held.snapshots.spoil[name] = lambda _: None
    refused(held, "target-missing")


def test_a_refused_base_is_read_again_after_a_pause_that_doubles(world):
    world.publish(5, range(9))
    whole = world.snapshots.targets["lists/court/base-5"]
    world.snapshots.targets["lists/court/base-5"] = whole[:-7]
    reads = []
    for _ in range(10):
        assert not world.look()
        reads.append(len(world.snapshots.opened))
        world.clock.advance(1.01)
    assert [1, 2, 2, 3, 3, 3, 3, 4, 4, 4] == reads
    assert {"records-malformed": 4} == world.tally.refusals


def test_a_new_base_is_tried_at_once(world):
    world.publish(5, range(9))
    world.lose("base")
    assert not world.look()
    world.publish(6, [10], compacted=True)
    assert world.look()
    assert world.is_whole()


def test_a_base_that_was_refused_is_not_read_at_every_new_version(held):
    held.publish(6, [50], compacted=True)
    held.snapshots.targets["lists/court/base-6"] = b"PCB2"
    for version in range(7, 40):
        held.publish(version, [version])
        assert not held.look()
        held.clock.advance(0.1)
    assert 3 == held.snapshots.opened.count("lists/court/base-6")


def test_a_new_delta_is_tried_at_once_after_one_that_was_refused(held):
    held.publish(6, [50])
    good = held.snapshots.targets["lists/court/delta-5-6"]
    held.snapshots.targets["lists/court/delta-5-6"] = b"PCD2"
    refused(held, "digest-mismatch")
    held.snapshots.targets["lists/court/delta-5-6"] = good
    held.publish(7, [51])
    assert held.look()
    assert held.is_whole()


# --- replaced while it is read ------------------------------------------------------------------------------------------


def test_a_head_replaced_while_it_is_read_is_no_fault(held):
    held.publish(6, [50])

    def replaced(data):
        held.snapshots.behave()
        held.publish(7, [51])

    held.snapshots.spoil[HEAD_TARGET] = replaced
    assert held.look()
    assert held.is_whole()
    assert {} == held.tally.refusals


def test_a_delta_collected_while_it_is_read_gives_way_to_what_is_newer(held):
    held.publish(6, [50])

    def collected(data):
        held.snapshots.behave()
        held.publish(7, [51], compacted=True)

    held.snapshots.spoil["lists/court/delta-5-6"] = collected
    assert held.look()
    assert held.is_whole()
    assert ({}, {}) == (held.tally.refusals, held.tally.fallbacks)


def test_metadata_that_another_publish_has_replaced_is_looked_at_again(held, monkeypatch):
    held.publish(6, [50])
    looks = []

    def look(good=held.snapshots.look):
        looks.append(None)
        held.snapshots.refusal = Refusal.METADATA_MISSING if len(looks) == 1 else None
        return good()

    monkeypatch.setattr(held.snapshots, "look", look)
    assert held.look()
    assert held.is_whole()


# --- faults of the surroundings -----------------------------------------------------------------------------------------


def test_a_store_that_is_down_leaves_the_replica_and_is_no_refusal(held):
    held.publish(6, [50])
    held.snapshots.down = True
    assert not held.look()
    assert (5, {}) == (held.version(), held.tally.refusals)
    held.snapshots.behave()
    assert held.look()
    assert held.is_whole()


def test_a_store_that_goes_down_within_a_delta_leaves_the_replica(three):
    three.publisher.put([50], on=COURT)
    three.publish(6, [50], on=BANK)

    def down(name):
        three.snapshots.down = "bank/delta" in name
        three.snapshots._demand_up()

    three.snapshots.before = down
    assert not three.look()
    assert (5, {}) == (three.version(), three.tally.refusals)
    three.snapshots.before = lambda _: None
    three.snapshots.down = False
    assert three.look()
    assert three.is_whole()


def test_every_file_is_closed_whatever_becomes_of_the_attempt(held):
    held.publish(6, [50])
    held.snapshots.targets["lists/court/delta-5-6"] = b"PCD2" + b"t" * 16 + b"\x03\x00\x00\x00abc" * 2
    assert not held.look()
    assert 0 == held.snapshots.left_open


def test_an_unexpected_fault_neither_ends_the_loop_nor_shows_its_message(held, monkeypatch):
    def failing(*_):
        raise ValueError("cn.resident-id:110101209001010000")

    held.publish(6, [50])
    monkeypatch.setattr(held.writer, "apply", failing)
    with structlog.testing.capture_logs() as logs:
        assert not held.look()
    assert logs
    assert "110101209001010000" not in repr(logs)


def test_a_lasting_fault_is_logged_once_and_once_when_it_is_over(held):
    held.publish(6, [50], compacted=True)
    held.snapshots.down = True
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            held.look()
        held.snapshots.behave()
        held.look()
    assert ["not following; the replica stays as it is", "installed", "following again"] == [each["event"] for each in logs]


def test_a_follower_says_once_what_it_follows_from(world):
    with structlog.testing.capture_logs() as logs:
        world.look()
        world.publish(5, [50])
        world.look()
        world.look()
    assert [("following", 5)] == [(each["event"], each["version"]) for each in logs if "following" == each["event"]]


def test_the_loop_follows_publishes_until_it_is_told_to_stop():
    clock = SystemClock()
    store, writer, tally, snapshots = MemorySnapshotStore(), MemoryReplicaWriter(clock), FollowerTally(), DictSnapshots()
    publisher = DictPublisher(snapshots, clock)
    follower = Follower(store=store, trusted=snapshots, replica=writer, clock=clock, counts=tally, follow_interval_s=60.0)
    stop = threading.Event()
    loop = threading.Thread(target=follower.run, args=(stop,))
    loop.start()
    try:
        for version in (5, 6, 7):
            publisher.put([version])
            publisher.publish(version)
            store.publish({"timestamp.json": b""}, {})
            wait_for(lambda version=version: version in tally.versions)
    finally:
        stop.set()
        loop.join(10)
    assert not loop.is_alive()


def test_a_store_whose_answers_make_no_sense_does_not_end_the_loop():
    class Senseless(MemorySnapshotStore):
        waits = 0

        def wait(self, timeout_s):
            self.waits += 1
            raise TypeError("'int' object is not subscriptable")

    clock, store, snapshots = SystemClock(), Senseless(), DictSnapshots()
    follower = Follower(
        store=store,
        trusted=snapshots,
        replica=MemoryReplicaWriter(clock),
        clock=clock,
        counts=FollowerTally(),
        follow_interval_s=0.05,
    )
    stop = threading.Event()
    loop = threading.Thread(target=follower.run, args=(stop,))
    loop.start()
    try:
        wait_for(lambda: snapshots.looks >= 3)
    finally:
        stop.set()
        loop.join(10)
    assert not loop.is_alive()
    # It waits in the store's stead, and does not turn round and round.
    assert store.waits <= 3 * snapshots.looks


def test_what_the_replica_holds_is_told_after_each_look():
    world = World()
    told = []
    world.follower = Follower(
        store=world.store,
        trusted=world.snapshots,
        replica=world.writer,
        clock=world.clock,
        counts=world.tally,
        follow_interval_s=0.5,
        note_held=lambda held: told.append(held.version),
    )
    world.look()
    assert [] == told
    world.publish(5, range(3))
    world.look()
    world.snapshots.vouched = None
    world.look()
    assert [5, 5] == told


def test_a_version_whose_token_key_is_missing_is_refused_until_the_key_is_here():
    world, ring = World(), Ring(FIRST)
    world.follower = Follower(
        store=world.store,
        trusted=world.snapshots,
        replica=world.writer,
        clock=world.clock,
        counts=world.tally,
        follow_interval_s=0.5,
        token_keys=ring,
    )
    world.publish(1, range(3), token_keys=(named(FIRST),))
    assert world.look()
    world.publish(2, range(5), token_keys=(named(SECOND), named(FIRST)))
    with structlog.testing.capture_logs() as logs:
        assert not world.look()
        assert not world.look()
    assert (1, "copy token.2.key" in world.follower.key_fault) == (world.version(), True)
    assert ["token-key-missing"] == [each["part"] for each in logs]
    assert "copy token.2.key" in logs[0]["fault"]
    ring.keys[2] = SECOND
    assert world.look()
    assert (2, "") == (world.version(), world.follower.key_fault)
    assert world.is_whole()
