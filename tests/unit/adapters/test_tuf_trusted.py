"""The follower's trust against a publisher and a store that misbehave, after python-tuf's own client tests."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile

from portcullis.adapters.tuf.trusted import TufTrustedSnapshots
from portcullis.domain.errors import Refusal, SetupFault, SnapshotInvalid, StoreUnavailable
from portcullis.domain.manifests import HEAD_TARGET
from portcullis.ports import Vouched
from tests.support.clocks import HandClock
from tests.support.misbehaving_store import MisbehavingStore
from tests.support.policies import NOW
from tests.support.tuf_simulator import DAY_S, TufSimulator, stored

COURT = "lists/court/manifest.json"
CARRIERS = "lists/carriers/manifest.json"
HOURS_S = 3600.0
FORWARD, BACK = 2 * HOURS_S, -2 * HOURS_S


class Follower:
    """A follower's trust over a simulated publisher's store, which can be made to misbehave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.publisher = TufSimulator(self.clock, "court", "carriers")
        self.store = MisbehavingStore(self.publisher.store)
        self.restart()

    def restart(self) -> None:
        """Start the process anew over the same folder."""
        self.trusted = TufTrustedSnapshots(self.store, self.folder, self.publisher.anchor, self.clock)

    def look(self) -> Vouched:
        return self.trusted.look()

    def read(self, name: str) -> bytes:
        return self.trusted.read(name, 1 << 20)

    def open(self, name: str) -> None:
        with self.trusted.open(name):
            pass

    def refusal(self, name: str | None = None) -> Refusal:
        """Look, and read a target; gives why that is refused."""
        with pytest.raises(SnapshotInvalid) as caught:
            self.take(name)
        return caught.value.refusal

    def take(self, name: str | None) -> None:
        """Look, and read a target."""
        self.look()
        if name is not None:
            self.read(name)

    def replace(self, file: str, data: bytes | None) -> None:
        """Have the store give other bytes for a metadata file."""
        self.store.spoil_metadata[file] = lambda _: data

    def held(self, file: str) -> bytes:
        """What the store holds under a name."""
        data = self.store.store.read_metadata(file)
        assert data is not None
        return data


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    return Follower(tmp_path / "trust")


# --- good manners ---------------------------------------------------------------------------------------------------------


def test_a_look_gives_the_version_the_serial_and_when_it_was_vouched_for(follower):
    publisher = follower.publisher
    assert Vouched(publisher.snapshot.version, publisher.timestamp.version, NOW) == follower.look()
    follower.clock.advance(1.5)
    publisher.vouch()
    assert Vouched(publisher.snapshot.version, publisher.timestamp.version, NOW + 1.5) == follower.look()


def test_reads_are_of_the_state_last_looked_at(follower):
    follower.look()
    follower.publisher.put(COURT, b"another manifest")
    follower.publisher.roles["list-court"].version += 1
    follower.publisher.advance()
    assert b"the manifest of court" == follower.read(COURT)
    follower.look()
    assert b"another manifest" == follower.read(COURT)
    assert b"the head" == follower.read(HEAD_TARGET)


def test_reading_before_the_first_look_is_a_mistake_in_the_program(follower):
    with pytest.raises(RuntimeError):
        follower.read(HEAD_TARGET)


def test_an_idle_look_asks_the_store_for_the_next_root_and_the_timestamp_alone(follower):
    follower.look()
    follower.publisher.rotate("root")
    follower.look()
    follower.store.asked.clear()
    follower.look()
    assert ["3.root.json", "timestamp.json"] == follower.store.asked


def test_a_small_target_that_has_not_changed_is_not_fetched_again(follower):
    follower.look()
    assert b"the head" == follower.read(HEAD_TARGET)
    follower.publisher.put(COURT, b"another manifest")
    follower.publisher.roles["list-court"].version += 1
    follower.publisher.advance()
    follower.look()
    before = follower.store.reads
    assert b"the head" == follower.read(HEAD_TARGET)
    assert before == follower.store.reads
    assert b"another manifest" == follower.read(COURT)
    assert before + 1 == follower.store.reads


def test_a_large_target_is_opened_whole_and_gone_after(follower):
    content = os.urandom(3_000_000)
    follower.publisher.put("lists/court/base-1", content)
    follower.publisher.publish()
    follower.look()
    with follower.trusted.open("lists/court/base-1") as file:
        assert content == file.read()
        assert [] == [path for path in follower.folder.iterdir() if not path.name.endswith(("json", "history"))]
    assert file.closed


def test_a_store_that_is_away_is_unavailable_and_nothing_else(follower):
    follower.store.down = True
    with pytest.raises(StoreUnavailable):
        follower.look()
    follower.store.down = False
    follower.look()
    follower.store.down = True
    for use in (lambda: follower.read(COURT), lambda: follower.open(COURT), follower.look):
        with pytest.raises(StoreUnavailable):
            use()


@pytest.mark.parametrize("anchor", [b"", b"{}", b'{"signatures":[],"signed":{}}', b"\xff"])
def test_an_anchor_that_is_no_root_is_a_fault_of_the_setup(follower, anchor):
    with pytest.raises(SetupFault, match="trusted_root"):
        TufTrustedSnapshots(follower.store, follower.folder, anchor, follower.clock)


def test_an_anchor_that_too_few_keys_have_signed_is_a_fault_of_the_setup(follower):
    metadata = Metadata.from_bytes(follower.publisher.anchor)
    metadata.signatures = dict(list(metadata.signatures.items())[:1])
    with pytest.raises(SetupFault, match="trusted_root"):
        TufTrustedSnapshots(follower.store, follower.folder, metadata.to_bytes(), follower.clock)


def test_another_kind_of_metadata_is_no_anchor(follower):
    with pytest.raises(SetupFault, match="trusted_root"):
        TufTrustedSnapshots(follower.store, follower.folder, follower.held("timestamp.json"), follower.clock)


# --- rollback -------------------------------------------------------------------------------------------------------------


def test_an_older_timestamp_is_refused_and_after_a_restart_too(follower):
    older = follower.held("timestamp.json")
    follower.publisher.vouch()
    follower.look()
    follower.replace("timestamp.json", older)
    assert Refusal.ROLLBACK == follower.refusal()
    follower.restart()
    assert Refusal.ROLLBACK == follower.refusal()
    follower.store.behave()
    follower.look()


def test_a_store_with_older_data_in_the_place_of_the_store_is_refused(follower):
    older = dict(follower.publisher.store._metadata)
    follower.publisher.advance()
    follower.look()
    follower.restart()
    follower.store.store.publish(older, {})
    assert Refusal.ROLLBACK == follower.refusal()


def test_a_newer_timestamp_of_an_older_snapshot_is_refused(follower):
    publisher = follower.publisher
    publisher.advance(5)
    follower.look()
    publisher.advance(-2)
    assert Refusal.ROLLBACK == follower.refusal()
    follower.restart()
    assert Refusal.ROLLBACK == follower.refusal()


@pytest.mark.parametrize("role", ["list-court", "targets", "head"])
def test_a_newer_snapshot_with_an_older_role_is_refused(follower, role):
    publisher = follower.publisher
    signed = publisher.targets if role == "targets" else publisher.roles[role]
    signed.version = 7
    publisher.advance()
    follower.look()
    signed.version = 6
    publisher.advance()
    assert Refusal.ROLLBACK == follower.refusal()


def test_a_snapshot_that_lacks_a_role_of_the_one_before_is_refused(follower):
    follower.look()
    del follower.publisher.roles["list-carriers"]
    follower.publisher.advance()
    assert Refusal.ROLLBACK == follower.refusal()


def test_an_older_root_in_the_store_does_not_bring_old_keys_back(follower):
    follower.publisher.rotate("timestamp")
    old_signers = follower.publisher.signers["timestamp"]
    follower.publisher.advance()
    follower.look()
    follower.replace("2.root.json", None)
    follower.publisher.signers["timestamp"] = [CryptoSigner.generate_ed25519()]
    follower.publisher.vouch()
    follower.restart()
    assert Refusal.METADATA_SIGNATURE == follower.refusal()
    follower.publisher.signers["timestamp"] = old_signers
    follower.publisher.vouch()
    follower.look()


# --- freeze ---------------------------------------------------------------------------------------------------------------


def test_a_store_that_is_frozen_is_refused_once_the_timestamp_expires(follower):
    follower.look()
    follower.clock.advance(DAY_S - 1)
    follower.look()
    follower.clock.advance(1)
    assert Refusal.METADATA_EXPIRED == follower.refusal()
    follower.publisher.vouch()
    follower.look()


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp", "list-court", "head"])
def test_a_role_that_expires_before_the_others_is_refused(follower, role):
    follower.publisher.expires_in_s[role] = 10
    follower.publisher.advance()
    follower.look()
    follower.clock.advance(10)
    follower.publisher.expires_in_s["timestamp"] = 20 if role != "timestamp" else 10
    assert Refusal.METADATA_EXPIRED == follower.refusal(HEAD_TARGET if role == "head" else COURT)
    del follower.publisher.expires_in_s[role]
    follower.publisher.advance()
    follower.look()
    assert b"the manifest of court" == follower.read(COURT)


def test_an_expired_root_is_refused_until_there_is_a_newer_one(follower):
    follower.clock.advance(366 * DAY_S)
    follower.publisher.advance()
    assert Refusal.METADATA_EXPIRED == follower.refusal()
    follower.publisher.rotate("root")
    follower.look()


# --- time -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [NOW - 20 * 365 * DAY_S, NOW + 20 * 365 * DAY_S])
def test_expiry_is_judged_by_the_clock_given_and_by_no_other(tmp_path, now):
    clock = HandClock(now)
    publisher = TufSimulator(clock, "court")
    trusted = TufTrustedSnapshots(publisher.store, tmp_path, publisher.anchor, clock)
    trusted.look()
    assert b"the manifest of court" == trusted.read(COURT, 100)
    clock.advance(DAY_S)
    with pytest.raises(SnapshotInvalid) as caught:
        trusted.look()
    assert Refusal.METADATA_EXPIRED == caught.value.refusal


def test_a_clock_set_two_hours_forward_expires_nothing(follower):
    follower.publisher.expires_in_s["timestamp"] = HOURS_S
    follower.publisher.vouch()
    follower.look()
    follower.clock.set_wall(FORWARD)
    follower.look()
    follower.clock.advance(HOURS_S - 1)
    follower.look()
    follower.clock.advance(1)
    assert Refusal.METADATA_EXPIRED == follower.refusal()


def test_a_clock_set_two_hours_back_prolongs_nothing(follower):
    follower.publisher.expires_in_s["timestamp"] = HOURS_S
    follower.publisher.vouch()
    follower.look()
    follower.clock.set_wall(BACK)
    follower.clock.advance(HOURS_S)
    assert Refusal.METADATA_EXPIRED == follower.refusal()


@pytest.mark.parametrize("wrong", [FORWARD, BACK])
def test_the_wall_clock_is_believed_again_once_the_publisher_agrees_with_it(follower, wrong):
    follower.look()
    follower.clock.set_wall(wrong)
    # The publisher's clock was set, too: what it signs now agrees with the wall clock here.
    follower.publisher.expires_in_s["timestamp"] = HOURS_S
    follower.publisher.vouch()
    follower.look()
    follower.clock.advance(HOURS_S - 1)
    follower.look()
    follower.clock.advance(1)
    assert Refusal.METADATA_EXPIRED == follower.refusal()


def test_a_host_started_with_its_clock_days_ahead_recovers_when_it_is_set_right(follower):
    follower.clock.set_wall(3 * DAY_S)
    follower.restart()
    assert Refusal.METADATA_EXPIRED == follower.refusal()
    follower.clock.set_wall(-3 * DAY_S)
    follower.clock.advance(1)
    follower.publisher.vouch()
    follower.look()


def test_a_wall_clock_set_back_does_not_revive_a_timestamp_seen_before(follower):
    follower.look()
    follower.clock.advance(DAY_S)
    assert Refusal.METADATA_EXPIRED == follower.refusal()
    follower.clock.set_wall(-DAY_S)
    assert Refusal.METADATA_EXPIRED == follower.refusal()


# --- fast-forward ---------------------------------------------------------------------------------------------------------


def test_a_fast_forwarded_timestamp_is_recovered_from_by_its_new_key(follower):
    publisher = follower.publisher
    honest = publisher.timestamp.version
    publisher.timestamp.version = 1 << 60
    publisher.publish()
    follower.look()
    publisher.timestamp.version = honest + 1
    publisher.publish()
    assert Refusal.ROLLBACK == follower.refusal()
    publisher.rotate("timestamp")
    publisher.publish()
    assert honest + 1 == follower.look().serial


def test_a_fast_forwarded_snapshot_is_recovered_from_by_new_keys_of_snapshot_and_timestamp(follower):
    publisher = follower.publisher
    publisher.snapshot.version = 1 << 60
    publisher.roles["list-court"].version = 1 << 60
    publisher.timestamp.version += 1
    publisher.publish()
    follower.look()
    publisher.snapshot.version = 2
    publisher.roles["list-court"].version = 2
    publisher.timestamp.version += 1
    publisher.publish()
    assert Refusal.ROLLBACK == follower.refusal()
    publisher.rotate("snapshot", "timestamp")
    publisher.publish()
    assert 2 == follower.look().version
    assert b"the manifest of court" == follower.read(COURT)


# --- mix-and-match --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["snapshot", "targets", "list-court", "head"])
def test_a_role_of_another_snapshot_is_refused(follower, role):
    older = dict(follower.publisher.store._metadata)
    follower.clock.advance(1)
    follower.publisher.put(COURT, b"another manifest")
    for each in ("list-court", "head"):
        follower.publisher.roles[each].version += 1
    follower.publisher.targets.version += 1
    follower.publisher.advance()
    file = "snapshot.json" if role == "snapshot" else f"{role}.json"
    follower.replace(file, older[f"1.{file}"])
    refusal = follower.refusal(HEAD_TARGET if role == "head" else COURT)
    assert refusal in (Refusal.METADATA_DIGEST, Refusal.METADATA_LENGTH)


def test_a_snapshot_of_another_version_than_its_timestamp_says_is_refused(follower):
    publisher = follower.publisher
    publisher.timestamp.version += 1
    publisher.timestamp.snapshot_meta.version = 2
    publisher.store.publish(
        {"timestamp.json": publisher.sign_timestamp(), "2.snapshot.json": follower.held("1.snapshot.json")}, {}
    )
    assert Refusal.METADATA_VERSION == follower.refusal()


def test_a_role_of_another_version_than_its_snapshot_says_is_refused(follower):
    publisher = follower.publisher
    files = publisher.sign_targets_roles()
    publisher.snapshot.meta["list-court.json"].version = 2
    publisher.snapshot.version += 1
    publisher.timestamp.version += 1
    data = publisher._sign("snapshot", publisher.snapshot, None, DAY_S)
    publisher.timestamp.snapshot_meta = MetaFile.from_data(publisher.snapshot.version, data, ["sha256"])
    files |= {f"{publisher.snapshot.version}.snapshot.json": data, "2.list-court.json": files["1.list-court.json"]}
    publisher.store.publish({**files, "timestamp.json": publisher.sign_timestamp()}, {})
    assert Refusal.METADATA_VERSION == follower.refusal(COURT)


def test_a_role_that_its_snapshot_does_not_name_is_refused(follower):
    publisher = follower.publisher
    publisher.signers["list-bank"] = [CryptoSigner.generate_ed25519()]
    publisher.delegate("list-bank", "lists/bank/*")
    del publisher.roles["list-bank"]
    publisher.targets.version += 1
    publisher.advance()
    assert Refusal.METADATA_MISSING == follower.refusal("lists/bank/manifest.json")


def test_a_snapshot_without_delegations_is_refused(follower):
    publisher = follower.publisher
    publisher.sign_targets_roles()
    del publisher.snapshot.meta["targets.json"]
    data = publisher._sign("snapshot", publisher.snapshot, None, DAY_S)
    publisher.timestamp.snapshot_meta = MetaFile.from_data(publisher.snapshot.version, data, ["sha256"])
    publisher.store.publish({"1.snapshot.json": data, "timestamp.json": publisher.sign_timestamp()}, {})
    assert Refusal.METADATA_MISSING == follower.refusal()


@pytest.mark.parametrize("role", ["snapshot", "targets", "list-court"])
def test_a_file_of_another_type_in_a_roles_place_is_refused(follower, role):
    publisher = follower.publisher
    other = publisher.roles["head"] if role == "snapshot" else publisher.snapshot
    data = publisher._sign(role, other, None, DAY_S)
    if role == "snapshot":
        publisher.timestamp.snapshot_meta = MetaFile.from_data(1, data, ["sha256"])
    else:
        publisher.snapshot.meta[f"{role}.json"] = MetaFile.from_data(1, data, ["sha256"])
        snapshot = publisher._sign("snapshot", publisher.snapshot, None, DAY_S)
        publisher.timestamp.snapshot_meta = MetaFile.from_data(1, snapshot, ["sha256"])
        publisher.store.publish({"1.snapshot.json": snapshot}, {})
    publisher.store.publish({f"1.{role}.json": data, "timestamp.json": publisher.sign_timestamp()}, {})
    assert Refusal.METADATA_MALFORMED == follower.refusal(COURT)


def test_another_type_of_metadata_in_place_of_the_timestamp_is_refused(follower):
    publisher = follower.publisher
    publisher.root.roles["timestamp"].keyids = list(publisher.root.roles["snapshot"].keyids)
    publisher.root.version += 1
    publisher.publish_root()
    follower.replace("timestamp.json", follower.held("1.snapshot.json"))
    assert Refusal.METADATA_MALFORMED == follower.refusal()


# --- signatures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "list-court", "head"])
def test_a_role_that_is_signed_by_another_key_is_refused(follower, role):
    rightly, wrongly = follower.publisher.signers[role], [CryptoSigner.generate_ed25519()]
    follower.publisher.signers[role] = wrongly
    follower.publisher.advance()
    name = HEAD_TARGET if role == "head" else COURT
    assert Refusal.METADATA_SIGNATURE == follower.refusal(name)
    follower.publisher.signers[role] = rightly
    follower.publisher.advance()
    follower.look()
    follower.read(name)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "list-court", "head"])
def test_a_role_that_nobody_has_signed_is_refused(follower, role):
    follower.publisher.signers[role] = []
    follower.publisher.advance()
    assert Refusal.METADATA_SIGNATURE == follower.refusal(HEAD_TARGET if role == "head" else COURT)


def test_the_key_of_one_list_does_not_sign_for_another(follower):
    follower.publisher.signers["list-court"] = follower.publisher.signers["list-carriers"]
    follower.publisher.advance()
    assert Refusal.METADATA_SIGNATURE == follower.refusal(COURT)


def test_a_root_that_too_few_of_the_old_keys_have_signed_is_refused(follower):
    publisher = follower.publisher
    old = publisher.signers["root"]
    publisher.root.version += 1
    publisher.publish_root(old[:1])
    assert Refusal.ROOT_INVALID == follower.refusal()
    publisher.published_roots.pop()
    publisher.publish_root(old[:2])
    follower.look()


def test_a_root_that_too_few_of_its_own_keys_have_signed_is_refused(follower):
    publisher = follower.publisher
    old = list(publisher.signers["root"])
    publisher.rotate("root")
    publisher.publish_root([*old, publisher.signers["root"][0]])
    assert Refusal.ROOT_INVALID == follower.refusal()
    publisher.publish_root([*old, *publisher.signers["root"]])
    follower.look()


@pytest.mark.parametrize("version", [1, 3])
def test_a_root_that_is_not_the_next_version_is_refused(follower, version):
    follower.publisher.root.version = version
    data = follower.publisher._sign("root", follower.publisher.root, None, DAY_S)
    follower.replace("2.root.json", data)
    assert Refusal.ROOT_INVALID == follower.refusal()


def test_another_type_of_metadata_in_place_of_a_root_is_refused(follower):
    follower.replace("2.root.json", follower.held("1.targets.json"))
    assert Refusal.ROOT_INVALID == follower.refusal()


def test_the_key_of_a_list_is_replaced_by_the_delegations(follower):
    follower.look()
    follower.read(COURT)
    follower.publisher.signers["list-court"] = [CryptoSigner.generate_ed25519()]
    follower.publisher.advance()
    assert Refusal.METADATA_SIGNATURE == follower.refusal(COURT)
    follower.publisher.delegate("list-court", "lists/court/*")
    follower.publisher.targets.version += 1
    follower.publisher.advance()
    follower.look()
    follower.read(COURT)


# --- delegations ----------------------------------------------------------------------------------------------------------


def test_a_target_of_a_list_that_nobody_delegated_to_is_refused(follower):
    assert Refusal.UNDELEGATED == follower.refusal("lists/bank/manifest.json")
    assert Refusal.UNDELEGATED == follower.refusal("elsewhere/file")


def test_a_role_that_nobody_delegated_to_is_not_believed(follower):
    publisher = follower.publisher
    publisher.signers["list-bank"] = [CryptoSigner.generate_ed25519()]
    publisher.delegate("list-bank", "lists/bank/*")
    publisher.put("lists/bank/manifest.json", b"a manifest")
    del publisher.targets.delegations.roles["list-bank"]
    publisher.advance()
    assert Refusal.UNDELEGATED == follower.refusal("lists/bank/manifest.json")


def test_a_list_that_signs_for_the_path_of_another_list_is_not_believed(follower):
    follower.publisher.put("lists/court/base-9", b"a base of somebody else", role="list-carriers")
    follower.publisher.advance()
    assert Refusal.TARGET_MISSING == follower.refusal("lists/court/base-9")


def test_a_list_that_signs_for_the_head_is_not_believed(follower):
    follower.publisher.put(HEAD_TARGET, b"another head", role="list-court")
    follower.publisher.targets_of[HEAD_TARGET] = b"the head"
    follower.publisher.advance()
    follower.look()
    assert b"the head" == follower.read(HEAD_TARGET)


def test_a_target_that_its_role_does_not_name_is_missing(follower):
    assert Refusal.TARGET_MISSING == follower.refusal("lists/court/base-7")


# --- what a store can do --------------------------------------------------------------------------------------------------


def test_an_empty_store_is_a_fault(follower):
    follower.look()
    follower.store.store.collect([], [])
    assert Refusal.STORE_EMPTY == follower.refusal()


@pytest.mark.parametrize("file", ["snapshot.json", "targets.json", "list-court.json"])
def test_missing_metadata_is_refused(follower, file):
    follower.replace(file, None)
    assert Refusal.METADATA_MISSING == follower.refusal(COURT)


@pytest.mark.parametrize("file", ["timestamp.json", "snapshot.json", "targets.json", "list-court.json"])
def test_metadata_longer_than_signed_is_cut_off(follower, file):
    follower.store.spoil_metadata[file] = lambda data: (data or b"") + b" " * 20_000
    assert Refusal.METADATA_LENGTH == follower.refusal(COURT)


@pytest.mark.parametrize("file", ["snapshot.json", "targets.json", "list-court.json"])
def test_metadata_shorter_than_signed_is_refused(follower, file):
    follower.store.spoil_metadata[file] = lambda data: (data or b"")[:-1]
    assert Refusal.METADATA_LENGTH == follower.refusal(COURT)


@pytest.mark.parametrize("file", ["snapshot.json", "targets.json", "list-court.json"])
def test_metadata_with_a_flipped_bit_is_refused(follower, file):
    follower.store.spoil_metadata[file] = lambda data: (data or b"").replace(b"e", b"d", 1)
    assert Refusal.METADATA_DIGEST == follower.refusal(COURT)


def respelled(data: bytes | None) -> bytes:
    return json.dumps(json.loads(data or b""), sort_keys=True).encode()


def with_an_unsigned_field(data: bytes | None) -> bytes:
    return json.dumps({**json.loads(data or b""), "x": 1}, sort_keys=True, separators=(",", ":")).encode()


def with_a_capital(data: bytes | None) -> bytes:
    content = json.loads(data or b"")
    content["signatures"][0]["sig"] = content["signatures"][0]["sig"].upper()
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def with_a_foreign_signature(data: bytes | None) -> bytes:
    metadata = Metadata.from_bytes(data or b"")
    metadata.sign(CryptoSigner.generate_ed25519(), append=True)
    return metadata.to_bytes()


@pytest.mark.parametrize("spoil", [respelled, with_an_unsigned_field, with_a_capital, with_a_foreign_signature])
@pytest.mark.parametrize("file", ["timestamp.json", "root.json"])
def test_the_same_meaning_in_other_bytes_is_refused(follower, file, spoil):
    follower.publisher.rotate("root")
    follower.store.spoil_metadata[file] = lambda data: spoil(data) if data else data
    refusal = follower.refusal()
    assert refusal in (
        {Refusal.ROOT_INVALID} if file == "root.json" else {Refusal.METADATA_MALFORMED, Refusal.METADATA_SIGNATURE}
    )
    follower.store.behave()
    follower.look()


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda chunks: [*chunks, b"x"], Refusal.TARGET_LENGTH),
        (lambda chunks: [], Refusal.TARGET_LENGTH),
        (lambda chunks: [b"", *chunks], Refusal.TARGET_LENGTH),
        (lambda chunks: [chunks[0][:-1]], Refusal.TARGET_LENGTH),
        (lambda chunks: [chunks[0][:-1] + b"!"], Refusal.TARGET_DIGEST),
    ],
)
@pytest.mark.parametrize("way", [Follower.read, Follower.open])
def test_a_target_that_is_not_what_was_signed_is_refused(follower, spoil, refusal, way):
    follower.store.spoil_target = spoil
    follower.look()
    with pytest.raises(SnapshotInvalid) as caught:
        way(follower, COURT)
    assert refusal == caught.value.refusal
    follower.store.behave()
    assert b"the manifest of court" == follower.read(COURT)


def test_a_target_without_an_end_is_not_read_on(follower):
    given = 0

    def endless(_chunks: list[bytes]) -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"x" * 10

    follower.store.spoil_target = endless  # type: ignore[assignment]
    assert Refusal.TARGET_LENGTH == follower.refusal(COURT)
    assert given <= 3


def test_a_target_that_the_store_lacks_is_missing(follower):
    follower.look()
    follower.store.store.collect(list(follower.publisher.store._metadata), [])
    with pytest.raises(SnapshotInvalid) as caught:
        follower.read(COURT)
    assert Refusal.TARGET_MISSING == caught.value.refusal


def test_a_target_longer_than_its_reader_takes_is_not_fetched(follower):
    follower.look()
    with pytest.raises(SnapshotInvalid) as caught:
        follower.trusted.read(COURT, 5)
    assert Refusal.TARGET_LENGTH == caught.value.refusal
    assert 0 == follower.store.reads


def test_a_target_signed_without_its_sha256_is_refused(follower):
    target = follower.publisher.roles["list-court"].targets[COURT]
    target.hashes = {"sha512": "00"}
    follower.publisher.advance()
    assert Refusal.METADATA_MALFORMED == follower.refusal(COURT)


# --- equivocation ---------------------------------------------------------------------------------------------------------


def test_another_timestamp_of_the_same_serial_is_refused(follower):
    follower.look()
    follower.clock.advance(1)
    follower.publisher.store.publish({"timestamp.json": follower.publisher.sign_timestamp()}, {})
    assert Refusal.EQUIVOCATION == follower.refusal()
    follower.publisher.vouch()
    follower.look()


def test_another_snapshot_of_the_same_version_is_refused_until_there_is_a_newer_one(follower):
    follower.look()
    follower.publisher.put(COURT, b"another manifest")
    follower.publisher.advance(0)
    assert Refusal.EQUIVOCATION == follower.refusal()
    follower.restart()
    assert Refusal.EQUIVOCATION == follower.refusal()
    follower.publisher.advance()
    follower.look()


# --- races ----------------------------------------------------------------------------------------------------------------


def test_metadata_that_is_replaced_while_it_is_looked_for_is_looked_for_again(follower):
    """A publish between reading the timestamp and the snapshot takes the snapshot away."""
    first = True

    def replaced(data: bytes | None) -> bytes | None:
        nonlocal first
        if first:
            first = False
            follower.publisher.advance()
            return None
        return data

    follower.store.spoil_metadata["snapshot.json"] = replaced
    assert 2 == follower.look().version


def test_a_timestamp_whose_snapshot_never_came_does_not_stand_in_the_way_of_the_next(follower):
    follower.look()
    follower.publisher.advance()
    follower.replace("2.snapshot.json", None)
    assert Refusal.METADATA_MISSING == follower.refusal()
    follower.restart()
    assert Refusal.METADATA_MISSING == follower.refusal()
    follower.publisher.advance()
    assert 3 == follower.look().version


def test_reads_go_on_from_the_last_good_state_after_a_look_that_was_refused(follower):
    follower.look()
    follower.publisher.put(COURT, b"another manifest")
    follower.publisher.roles["list-court"].version += 1
    follower.publisher.advance()
    follower.replace("2.snapshot.json", b"{}")
    follower.refusal()
    assert b"the manifest of court" == follower.read(COURT)


# --- the local files ------------------------------------------------------------------------------------------------------


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(len(path.read_bytes())))


def removed(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


LOCAL = (
    "timestamp.json",
    "snapshot.json",
    "targets.json",
    "head.json",
    "list-court.json",
    "root.json",
    "root_history/1.root.json",
    "root_history/2.root.json",
)


@pytest.mark.parametrize("damage", [emptied, torn, zeroed, removed, a_folder])
@pytest.mark.parametrize("file", LOCAL)
def test_a_local_file_that_a_power_cut_damaged_is_made_good(follower, file: str, damage: Callable[[Path], None]):
    follower.publisher.rotate("timestamp", "root")
    follower.publisher.advance()
    follower.look()
    for name in (HEAD_TARGET, COURT, CARRIERS):
        follower.read(name)
    damage(follower.folder / file)
    follower.restart()
    assert follower.publisher.snapshot.version == follower.look().version
    for name in (HEAD_TARGET, COURT, CARRIERS):
        follower.read(name)
    follower.restart()
    assert follower.publisher.timestamp.version == follower.look().serial


def test_everything_local_damaged_begins_from_the_anchor(follower):
    follower.publisher.rotate("timestamp", "root")
    follower.publisher.advance()
    follower.look()
    for file in LOCAL[:3]:
        emptied(follower.folder / file)
    (follower.folder / "root.json").unlink()
    for path in (follower.folder / "root_history").iterdir():
        path.unlink()
    (follower.folder / "root_history").rmdir()
    (follower.folder / "root_history").write_bytes(b"")
    (follower.folder / "root.json").symlink_to("root_history/99.root.json")
    (follower.folder / "tmpleftover").write_bytes(b"x")
    follower.restart()
    assert 2 == follower.look().version
    assert not (follower.folder / "tmpleftover").exists()


def test_a_damaged_timestamp_alone_still_leaves_the_snapshots_versions_to_compare_with(follower):
    older = dict(follower.publisher.store._metadata)
    follower.publisher.roles["list-court"].version += 1
    follower.publisher.advance()
    follower.look()
    emptied(follower.folder / "timestamp.json")
    follower.restart()
    follower.store.store.publish(older, {})
    assert Refusal.ROLLBACK == follower.refusal()


def test_a_trust_folder_of_another_publisher_is_of_no_use_and_no_harm(follower):
    follower.publisher.rotate("timestamp")
    follower.publisher.advance()
    follower.look()
    other = TufSimulator(follower.clock, "court")
    trusted = TufTrustedSnapshots(other.store, follower.folder, other.anchor, follower.clock)
    assert 1 == trusted.look().version
    assert b"the manifest of court" == trusted.read(COURT, 100)


def test_a_full_disk_is_an_error_of_the_disk(follower, monkeypatch):
    follower.look()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    follower.publisher.vouch()
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(OSError, match="No space left"):
            follower.look()
    follower.look()


@pytest.mark.parametrize("extra", [{"vouched_at_ms": "soon"}, {"vouched_at_ms": True}, {"vouched_at_ms": -1}])
def test_a_timestamp_that_does_not_say_when_it_was_signed_is_refused(follower, extra):
    follower.publisher.extra = extra
    follower.publisher.vouch()
    assert Refusal.METADATA_MALFORMED == follower.refusal()
    follower.publisher.extra = {}
    follower.publisher.vouch()
    follower.look()


def test_a_refusal_says_nothing_of_the_content(follower):
    follower.store.spoil_target = lambda chunks: [b"x" * len(chunks[0])]
    follower.look()
    with pytest.raises(SnapshotInvalid) as caught:
        follower.read(COURT)
    assert "court" not in str(caught.value)
    assert stored(COURT, b"the manifest of court") not in str(caught.value)
