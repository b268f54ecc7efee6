"""The trust folder as the publisher sees it."""

import shutil
import stat
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Signer
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata

from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.domain.errors import SetupFault
from tests.support.trust_folders import Ceremonies, follow_roots, sign_as, trusted_delegations


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """What waits for the disk is tested with the files; here it would only take time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def trust(tmp_path):
    made = Ceremonies(tmp_path / "keys" / "trust")
    made.work.establish(["court", "carriers"])
    return made


def test_files_and_folders_are_for_their_owner_only(trust):
    trust.directory.delegate("bikes", now=trust.clock.now())
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in trust.folder.parent.rglob("*")}
    assert {(True, 0o700), (False, 0o600)} == modes


def test_the_files_lie_where_the_layout_says(trust):
    files = sorted(str(path.relative_to(trust.folder)) for path in trust.folder.rglob("*.*") if path.is_file())
    assert [
        ".lock",
        "1.root.json",
        "offline/root-1.pem",
        "offline/root-2.pem",
        "offline/root-3.pem",
        "offline/targets.pem",
        "online/head.pem",
        "online/lists/carriers.pem",
        "online/lists/court.pem",
        "online/snapshot.pem",
        "online/timestamp.pem",
        "signers.json",
        "targets.json",
    ] == files


def test_root_is_for_consistent_snapshots_by_ed25519_keys(trust):
    root = follow_roots(trust.directory.roots())
    assert root.consistent_snapshot
    assert {"ed25519"} == {key.scheme for key in root.keys.values()}
    assert {"root": (3, 2), "targets": (1, 1), "snapshot": (1, 1), "timestamp": (1, 1)} == {
        name: (len(role.keyids), role.threshold) for name, role in root.roles.items()
    }


def test_delegations_name_no_targets_and_end_at_each_role(trust):
    targets = trusted_delegations(trust.directory)
    assert {} == targets.targets
    assert [
        ("head", ["head/*"], True, 1, 1),
        ("list-carriers", ["lists/carriers/*"], True, 1, 1),
        ("list-court", ["lists/court/*"], True, 1, 1),
    ] == [
        (each.name, each.paths, each.terminating, each.threshold, len(each.keyids))
        for each in targets.delegations.roles.values()
    ]


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "head", "list-court", "targets"])
def test_what_the_signers_of_a_role_sign_is_believed(trust, role):
    sign_as(trust.directory, role)


def test_a_role_that_nobody_delegates_to_has_no_signers(trust):
    assert () == trust.directory.signers("list-unheard-of")


def test_a_list_whose_key_is_not_here_has_no_signers_and_the_others_work(trust):
    (trust.folder / "online" / "lists" / "court.pem").unlink()
    assert () == trust.directory.signers("list-court")
    for role in ("timestamp", "snapshot", "head", "list-carriers"):
        sign_as(trust.directory, role)


@pytest.mark.parametrize("damage", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_counts_as_not_here_and_the_others_work(trust, damage):
    (trust.folder / "online" / "lists" / "court.pem").write_bytes(damage)
    assert () == trust.directory.signers("list-court")
    sign_as(trust.directory, "list-carriers")


def test_the_key_of_another_role_in_a_keys_place_counts_as_not_here(trust):
    shutil.copy(trust.folder / "online" / "head.pem", trust.folder / "online" / "timestamp.pem")
    assert () == trust.directory.signers("timestamp")


def test_a_list_key_may_lie_in_another_directory(trust, tmp_path):
    elsewhere = tmp_path / "authority" / "court.pem"
    elsewhere.parent.mkdir()
    (trust.folder / "online" / "lists" / "court.pem").rename(elsewhere)
    signers = trust.folder / "signers.json"
    signers.write_text(signers.read_text().replace("file:online/lists/court.pem", f"file:{elsewhere}"))
    sign_as(trust.directory, "list-court")


def test_an_authority_signs_for_its_own_list_and_no_other(trust, tmp_path):
    """Its folder holds what is public, and one private key."""
    own = tmp_path / "authority"
    shutil.copytree(trust.folder, own, ignore=lambda folder, names: {"offline", "head.pem", "timestamp.pem", "carriers.pem"})
    directory = KeyDirectory(own)
    sign_as(directory, "list-court")
    with pytest.raises(UnsignedMetadataError):
        sign_as(directory, "list-carriers")


def test_the_key_of_one_list_is_not_believed_for_another(trust):
    targets = trusted_delegations(trust.directory)
    (signer,) = trust.directory.signers("list-court")
    metadata = Metadata(targets)
    metadata.sign(signer)
    with pytest.raises(UnsignedMetadataError):
        targets.verify_delegate("list-carriers", metadata.signed_bytes, metadata.signatures)


class ServiceSigner(Signer):
    """Stands for a KMS: signs with a key that it shows to nobody."""

    held: ClassVar[dict] = {}

    def __init__(self, inner):
        self._inner = inner

    @property
    def public_key(self):
        return self._inner.public_key

    def sign(self, payload):
        return self._inner.sign(payload)

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri, public_key, secrets_handler=None):
        return cls(CryptoSigner(cls.held[priv_key_uri], public_key))


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "testkms", ServiceSigner)
    monkeypatch.setattr(ServiceSigner, "held", {})
    return ServiceSigner.held


@pytest.mark.parametrize("make", [CryptoSigner.generate_ed25519, CryptoSigner.generate_ecdsa])
def test_a_list_key_may_lie_in_a_service(trust, service, tmp_path, make):
    private = load_pem_private_key(make().private_bytes, None)
    service["testkms:court/1"] = private
    public = tmp_path / "court.pub"
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    trust.work.rotate("list:court", uri="testkms:court/1", public_key=public)
    sign_as(trust.directory, "list-court")
    assert not (trust.folder / "online" / "lists" / "court.pem").exists()

    del service["testkms:court/1"]  # it can't be reached now
    assert () == trust.directory.signers("list-court")
    sign_as(trust.directory, "list-carriers")


def test_a_new_list_is_delegated_at_once_where_the_targets_key_is_here(trust):
    directory = trust.directory
    before = trusted_delegations(directory)
    assert directory.delegate("bikes", now=trust.clock.now())
    sign_as(directory, "list-bikes")
    after = trusted_delegations(directory)
    assert before.version < after.version
    assert before.expires <= after.expires


def test_a_list_that_is_delegated_already_stays_as_it_is(trust):
    before = trust.directory.delegations()
    assert trust.directory.delegate("court", now=trust.clock.now() + 1)
    assert before == trust.directory.delegations()


def test_a_list_that_is_delegated_to_a_key_elsewhere_stays_as_it_is(trust):
    (trust.folder / "online" / "lists" / "court.pem").unlink()
    before = trust.directory.delegations()
    assert not trust.directory.delegate("court", now=trust.clock.now() + 1)
    assert before == trust.directory.delegations()


def test_a_new_list_is_not_delegated_without_the_targets_key(trust):
    shutil.rmtree(trust.folder / "offline")
    before = trust.directory.delegations()
    assert not trust.directory.delegate("bikes", now=trust.clock.now())
    assert before == trust.directory.delegations()
    assert not (trust.folder / "online" / "lists" / "bikes.pem").exists()


def test_the_version_of_the_delegations_grows_even_when_the_clock_stands_or_goes_back(trust):
    directory, now = trust.directory, trust.clock.now()
    versions = []
    for name, at in [("one", now), ("two", now), ("three", now - 3600), ("four", now + 10)]:
        assert directory.delegate(name, now=at)
        versions.append(trusted_delegations(directory).version)
    assert sorted(set(versions)) == versions
    assert int((now + 10) * 1000) == versions[-1]


def test_the_stamp_stands_while_nothing_changes(trust):
    directory = trust.directory
    before = directory.stamp()
    directory.signers("timestamp")
    directory.delegate("court", now=trust.clock.now())
    assert before == directory.stamp()


@pytest.mark.parametrize(
    "change",
    [
        lambda trust: trust.work.rotate("timestamp"),
        lambda trust: trust.work.rotate("list:court"),
        lambda trust: trust.work.rotate("root"),
        lambda trust: trust.work.renew("targets"),
        lambda trust: trust.work.establish(["bikes"]),
        lambda trust: (trust.folder / "online" / "lists" / "court.pem").unlink(),
    ],
)
def test_a_running_publisher_sees_what_another_process_changes(trust, change):
    directory = trust.directory
    before = directory.stamp()
    directory.signers("timestamp")
    change(trust)
    assert before != directory.stamp()
    for role in ("timestamp", "snapshot", "head", "list-carriers"):
        sign_as(directory, role)


def test_a_key_that_arrives_later_is_used(trust, tmp_path):
    key = trust.folder / "online" / "lists" / "court.pem"
    key.rename(tmp_path / "away.pem")
    directory = trust.directory
    assert () == directory.signers("list-court")
    before = directory.stamp()
    (tmp_path / "away.pem").rename(key)
    assert before != directory.stamp()
    sign_as(directory, "list-court")


@pytest.mark.parametrize("file", ["1.root.json", "targets.json"])
def test_a_missing_file_says_what_to_do(trust, file):
    (trust.folder / file).unlink()
    with pytest.raises(SetupFault, match=f"{file} is missing; make the keys with `portcullis keys init`"):
        trust.directory.delegations()


@pytest.mark.parametrize("file", ["1.root.json", "targets.json", "signers.json"])
@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"signed": 1}', b"\xff"])
def test_a_damaged_file_is_refused_by_its_name(trust, file, damage):
    (trust.folder / file).write_bytes(damage)
    with pytest.raises(SetupFault, match=f"{file}.*restore it from its backup"):
        trust.directory.signers("timestamp")


@pytest.mark.parametrize("file", ["1.root.json", "targets.json", "signers.json"])
def test_a_file_that_can_not_be_read_is_named(trust, file):
    (trust.folder / file).unlink()
    (trust.folder / file).mkdir()
    with pytest.raises(SetupFault, match=f"{file} can't be read .*let this user read it"):
        trust.directory.signers("timestamp")


def test_delegations_that_root_does_not_vouch_for_are_refused(trust, tmp_path):
    other = Ceremonies(tmp_path / "other")
    other.randomness.drawn = 100
    other.work.establish()
    shutil.copy(other.folder / "targets.json", trust.folder / "targets.json")
    with pytest.raises(SetupFault, match=r"not signed by the key that 1\.root.json names"):
        trust.directory.delegations()


def test_a_root_under_the_name_of_another_version_is_refused(trust):
    shutil.copy(trust.folder / "1.root.json", trust.folder / "2.root.json")
    with pytest.raises(SetupFault, match=r"2\.root\.json is another version"):
        trust.directory.roots()


def test_it_tells_when_what_people_sign_expires(trust):
    two_years = trust.clock.now() + 730 * 86_400
    assert {"root": two_years, "targets": two_years} == trust.directory.expiries()
