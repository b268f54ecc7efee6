"""What a repository signs, a store carries and a follower trusts: the two ports of trust together, over every store."""

from __future__ import annotations

from pathlib import Path

import pytest

from portcullis.adapters.tuf.ceremony import TrustCeremony
from portcullis.adapters.tuf.repository import TufRepository
from portcullis.adapters.tuf.trusted import TufTrustedSnapshots
from portcullis.domain.errors import Refusal, SnapshotInvalid
from portcullis.domain.manifests import HEAD_TARGET
from portcullis.ports import SnapshotRepository, SnapshotStore, TrustedSnapshots
from tests.support.clocks import HandClock
from tests.support.signed_snapshots import SMALL, make_keys, make_trusted, publish_snapshot, put, sign_snapshot

MANIFEST = "lists/court/manifest.json"
BASE = "lists/court/base-1"
LONGEST = 1 << 20


class Chain:
    """A publisher's repository, a store, and a follower's trust, all as they are in production."""

    def __init__(self, folder: Path, store: SnapshotStore) -> None:
        self.folder = folder
        self.store = store
        self.clock = HandClock()
        self.keys = make_keys(folder / "trust", "court", clock=self.clock)
        self.repository: SnapshotRepository = self.new_repository()
        self.trusted: TrustedSnapshots = self.new_follower()

    def new_repository(self, name: str = "repository") -> TufRepository:
        return TufRepository(self.folder / name, self.keys, self.clock)

    def new_follower(self, name: str = "follower") -> TufTrustedSnapshots:
        return make_trusted(self.folder / name, self.store, self.keys, self.clock)

    def publish(self, version: int, manifest: bytes = SMALL[MANIFEST]) -> None:
        files = {**SMALL, MANIFEST: manifest}
        publish_snapshot(self.repository, self.store, version, files, now=self.clock.now())

    def refusal(self) -> Refusal:
        with pytest.raises(SnapshotInvalid) as caught:
            self.trusted.look()
        return caught.value.refusal


@pytest.fixture
def chain(tmp_path: Path, store: SnapshotStore) -> Chain:
    return Chain(tmp_path, store)


def test_nothing_published_is_a_fault(chain):
    assert Refusal.STORE_EMPTY == chain.refusal()


def test_what_was_signed_is_trusted_and_read(chain):
    chain.publish(1)
    assert chain.repository.vouched() == chain.trusted.look()
    for name, data in SMALL.items():
        assert data == chain.trusted.read(name, LONGEST)
        with chain.trusted.open(name) as file:
            assert data == file.read()


def test_a_target_that_was_not_signed_is_refused(chain):
    chain.publish(1)
    chain.trusted.look()
    for name, refusal in (("lists/court/base-2", Refusal.TARGET_MISSING), ("lists/bank/base-2", Refusal.UNDELEGATED)):
        with pytest.raises(SnapshotInvalid) as caught:
            chain.trusted.read(name, LONGEST)
        assert refusal == caught.value.refusal
        with pytest.raises(SnapshotInvalid), chain.trusted.open(name):
            pass


def test_a_target_longer_than_is_read_is_refused(chain):
    chain.publish(1)
    chain.trusted.look()
    with pytest.raises(SnapshotInvalid) as caught:
        chain.trusted.read(BASE, len(SMALL[BASE]) - 1)
    assert Refusal.TARGET_LENGTH == caught.value.refusal
    assert SMALL[BASE] == chain.trusted.read(BASE, len(SMALL[BASE]))


def test_reads_stay_with_the_version_looked_at_while_the_store_still_has_it(chain):
    chain.publish(1)
    chain.trusted.look()
    sign_snapshot(chain.repository, 2, {MANIFEST: b"another manifest"}, now=chain.clock.now(), kept=SMALL.keys())
    publication = chain.repository.publication()
    chain.store.publish(publication.metadata, {name: path.read_bytes() for name, path in publication.targets.items()})
    assert SMALL[MANIFEST] == chain.trusted.read(MANIFEST, LONGEST)
    assert 2 == chain.trusted.look().version
    assert b"another manifest" == chain.trusted.read(MANIFEST, LONGEST)


def test_version_after_version_is_followed(chain):
    for version in range(1, 12):
        chain.clock.advance(0.1)
        chain.publish(version, manifest=b"%d" % version)
        assert version == chain.trusted.look().version
        assert b"%d" % version == chain.trusted.read(MANIFEST, LONGEST)


def test_a_vouching_is_heard(chain):
    chain.publish(1)
    before = chain.trusted.look()
    chain.clock.advance(1)
    chain.repository.vouch(now=chain.clock.now())
    put(chain.repository, chain.store)
    after = chain.trusted.look()
    assert (before.version, before.vouched_at + 1) == (after.version, after.vouched_at)
    assert after.serial > before.serial
    assert after == chain.repository.vouched()


def test_a_store_with_older_data_is_refused_after_a_restart_too(chain):
    chain.publish(1)
    older = chain.repository.publication()
    files = {name: path.read_bytes() for name, path in older.targets.items()}
    chain.clock.advance(1)
    chain.publish(2, manifest=b"another manifest")
    chain.trusted.look()
    chain.store.collect([], [])
    chain.store.publish(older.metadata, files)
    assert Refusal.ROLLBACK == chain.refusal()
    chain.trusted = chain.new_follower()
    assert Refusal.ROLLBACK == chain.refusal()
    assert 1 == chain.new_follower("a follower that knows nothing").look().version


def test_an_emptied_store_is_a_fault_and_is_filled_again_from_the_repository(chain):
    chain.publish(1)
    chain.trusted.look()
    chain.store.collect([], [])
    assert Refusal.STORE_EMPTY == chain.refusal()
    chain.repository = chain.new_repository()
    put(chain.repository, chain.store)
    assert 1 == chain.trusted.look().version
    assert SMALL[BASE] == chain.trusted.read(BASE, LONGEST)


def test_a_publisher_that_lost_its_disk_goes_on_from_the_store(chain):
    chain.publish(1000)
    chain.trusted.look()
    chain.repository = chain.new_repository("another disk")
    stamp = chain.store.read_metadata("timestamp.json")
    assert stamp is not None
    chain.repository.surpass({"timestamp.json": stamp}.get)
    assert 1000 == chain.repository.version()
    chain.publish(1001, manifest=b"another manifest")
    assert 1001 == chain.trusted.look().version
    assert b"another manifest" == chain.trusted.read(MANIFEST, LONGEST)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "head", "list:court"])
def test_a_key_is_exchanged_while_a_follower_runs(chain, role):
    chain.publish(1)
    chain.trusted.look()
    chain.clock.advance(1)
    TrustCeremony(chain.folder / "trust", chain.clock).rotate(role)
    assert chain.repository.due(now=chain.clock.now())
    chain.publish(2, manifest=b"another manifest")
    assert not chain.repository.due(now=chain.clock.now())
    assert 2 == chain.trusted.look().version
    assert b"another manifest" == chain.trusted.read(MANIFEST, LONGEST)
    late = chain.new_follower("a follower that begins at the first root")
    assert 2 == late.look().version
    assert b"another manifest" == late.read(MANIFEST, LONGEST)


def test_a_follower_that_slept_through_many_exchanges_catches_up(chain):
    chain.publish(1)
    chain.trusted.look()
    for version, role in enumerate(["timestamp", "root", "snapshot", "root", "list:court", "targets", "timestamp"], 2):
        chain.clock.advance(1)
        TrustCeremony(chain.folder / "trust", chain.clock).rotate(role)
        chain.publish(version)
    assert version == chain.trusted.look().version
    assert SMALL[HEAD_TARGET] == chain.trusted.read(HEAD_TARGET, LONGEST)


def test_a_new_list_is_delegated_to_signed_and_read(chain):
    chain.publish(1)
    chain.trusted.look()
    assert chain.repository.can_sign("bank")
    files = {**SMALL, "lists/bank/manifest.json": b"the bank's manifest"}
    publish_snapshot(chain.repository, chain.store, 2, files, now=chain.clock.now())
    chain.trusted.look()
    assert b"the bank's manifest" == chain.trusted.read("lists/bank/manifest.json", LONGEST)


def test_a_list_that_comes_and_goes_is_followed(chain):
    chain.publish(1)
    chain.trusted.look()
    for version, names in enumerate([[HEAD_TARGET], [*SMALL], [HEAD_TARGET], [*SMALL]], 2):
        publish_snapshot(
            chain.repository, chain.store, version, {name: SMALL[name] for name in names}, now=chain.clock.now()
        )
        assert version == chain.trusted.look().version
    assert SMALL[BASE] == chain.trusted.read(BASE, LONGEST)


def test_metadata_is_signed_anew_before_it_expires(chain):
    chain.publish(1)
    for day in range(1, 30):
        chain.clock.advance(86_000)
        if chain.repository.due(now=chain.clock.now()):
            sign_snapshot(chain.repository, day + 1, {}, now=chain.clock.now(), kept=SMALL.keys())
        chain.repository.vouch(now=chain.clock.now())
        put(chain.repository, chain.store)
        chain.trusted.look()
        assert SMALL[MANIFEST] == chain.trusted.read(MANIFEST, LONGEST)
        assert SMALL[HEAD_TARGET] == chain.trusted.read(HEAD_TARGET, LONGEST)
    assert chain.repository.version() > 1


def test_a_publisher_that_is_gone_for_more_than_a_day_is_noticed(chain):
    chain.publish(1)
    chain.trusted.look()
    chain.clock.advance(86_400)
    assert Refusal.METADATA_EXPIRED == chain.refusal()
    chain.repository.vouch(now=chain.clock.now())
    put(chain.repository, chain.store)
    chain.trusted.look()


def test_two_followers_of_one_store_trust_the_same(chain):
    chain.publish(1)
    other = chain.new_follower("another host")
    assert chain.trusted.look() == other.look()
    assert chain.trusted.read(BASE, LONGEST) == other.read(BASE, LONGEST)


def test_a_target_of_many_chunks_is_proven_whole(chain):
    data = bytes(range(256)) * 20_000
    chain.publish(1)
    with chain.repository.create(BASE) as out:
        out.write(data)
    stored, path = chain.repository.created(BASE)
    assert len(data) == sum(chain.store.upload(stored, [path.read_bytes()]))
    chain.repository.sign(2, now=chain.clock.now(), targets=SMALL)
    chain.store.publish(chain.repository.publication().metadata, {})
    chain.trusted.look()
    with chain.trusted.open(BASE) as file:
        assert data == file.read()
