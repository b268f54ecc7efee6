"""The ceremonies: every step verified by python-tuf, crashes in between, two at once."""

import itertools
import shutil
import threading

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Targets

from portcullis.adapters import durable_files
from portcullis.adapters.tuf.key_files import KeyFiles
from portcullis.adapters.tuf.key_roles import read_root, set_root_keys, sign_root, tuf_role
from portcullis.domain.errors import InvalidRequest, SetupFault
from portcullis.ports import KeyCeremony, KeyChanges, KeyState
from tests.support.trust_folders import Ceremonies, follow_roots, sign_as, trusted_delegations

ONLINE = ("timestamp", "snapshot", "head", "list-court")
ROLES = ("root", "targets", "snapshot", "timestamp", "head", "list:court")


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """What waits for the disk is tested with the files; here it would only take time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def trust(tmp_path):
    made = Ceremonies(tmp_path / "trust")
    made.work.establish(["court"])
    return made


def demand_working(trust):
    """Everything of the folder is believed by python-tuf, and every role that signs online can."""
    for role in ONLINE:
        sign_as(trust.directory, role)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_the_port(trust):
    ceremony: KeyCeremony = trust.work
    assert ceremony.roles()


def test_establishing_makes_everything_that_signs(trust):
    demand_working(trust)


def test_establishing_tells_what_was_made_and_what_belongs_elsewhere(tmp_path):
    changes = Ceremonies(tmp_path / "trust").work.establish(["court"], root_keys=1)
    offline = [str(tmp_path / "trust" / "offline" / name) for name in ("root-1.pem", "targets.pem")]
    online = [
        str(tmp_path / "trust" / "online" / name)
        for name in ("head.pem", "lists/court.pem", "snapshot.pem", "timestamp.pem")
    ]
    assert [*offline, *online] == list(changes.made)
    assert offline == list(changes.offline)
    assert [str(tmp_path / "trust" / name) for name in ("targets.json", "1.root.json")] == list(changes.signed)


def test_establishing_again_changes_nothing(trust):
    before = contents(trust.folder)
    assert KeyChanges() == trust.work.establish(["court"])
    assert before == contents(trust.folder)


def test_establishing_again_adds_what_is_new_and_replaces_nothing(trust):
    before = contents(trust.folder)
    changes = trust.work.establish(["bikes", "court"])
    after = contents(trust.folder)
    assert [str(trust.folder / "online" / "lists" / "bikes.pem")] == list(changes.made)
    assert {"online/lists/bikes.pem"} == after.keys() - before.keys()
    assert {"targets.json", "signers.json"} == {name for name, data in before.items() if after[name] != data}
    sign_as(trust.directory, "list-bikes")
    demand_working(trust)


@pytest.mark.parametrize(("keys", "threshold", "needed"), [(1, None, 1), (2, None, 2), (5, None, 3), (5, 4, 4)])
def test_root_has_the_keys_and_the_threshold_asked_for(tmp_path, keys, threshold, needed):
    trust = Ceremonies(tmp_path / "trust")
    trust.work.establish(root_keys=keys, root_threshold=threshold)
    role = follow_roots(trust.directory.roots()).roles["root"]
    assert (keys, needed) == (len(role.keyids), role.threshold)


def test_a_threshold_above_the_number_of_keys_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(SetupFault, match="can't need 4 of 3 keys"):
        Ceremonies(tmp_path / "trust").work.establish(root_threshold=4)
    assert {".lock"} == set(contents(tmp_path / "trust"))


@pytest.mark.parametrize("given", [{"root_keys": 5}, {"root_threshold": 1}])
def test_other_numbers_for_a_root_that_stands_are_refused(trust, given):
    with pytest.raises(SetupFault, match="with 3 keys of which 2 must sign"):
        trust.work.establish(**given)


def test_a_lost_first_root_is_not_replaced_by_another(trust):
    trust.work.rotate("head")
    trust.work.renew("root")
    (trust.folder / "1.root.json").unlink()
    with pytest.raises(SetupFault, match=r"1\.root\.json is missing, and there is a later one"):
        trust.work.establish()


@pytest.mark.parametrize("name", ["", "Court", "a--b", "../x", "a/b", "a.2", "x" * 65])
def test_a_name_that_no_list_can_have_is_refused(trust, name):
    before = contents(trust.folder)
    with pytest.raises(InvalidRequest, match="list: must be small letters"):
        trust.work.establish([name])
    with pytest.raises(InvalidRequest, match="list: must be small letters"):
        trust.work.rotate(f"list:{name}")
    assert before == contents(trust.folder)


@pytest.mark.parametrize("role", ["", "roots", "lists", "list-court"])
def test_a_role_that_does_not_exist_is_refused(trust, role):
    with pytest.raises(InvalidRequest, match="role: must be root, targets"):
        trust.work.rotate(role)


@pytest.mark.parametrize("role", ROLES)
def test_a_rotated_role_has_new_keys_alone_and_everything_is_believed(trust, role):
    before, others = trust.keys(role), {each: trust.keys(each) for each in ROLES if each != role}
    changes = trust.work.rotate(role)
    after = trust.keys(role)
    assert (len(before), set()) == (len(after), before & after)
    assert len(after) == len(changes.made)
    assert others == {each: trust.keys(each) for each in ROLES if each != role}
    demand_working(trust)


@pytest.mark.parametrize("role", ROLES)
def test_a_key_that_is_no_longer_trusted_is_deleted_or_named(trust, role):
    places = [
        trust.folder / key.uri.removeprefix("file:") for each in trust.work.roles() if each.role == role for key in each.keys
    ]
    changes = trust.work.rotate(role)
    named = [place for place in places if str(place) in changes.retired]
    assert (places if role in ("root", "targets") else []) == named
    assert [] == [place for place in places if place not in named and place.exists()]
    retired = {place.name for place in named}
    assert not any(name in (trust.folder / "signers.json").read_text() for name in retired)


def test_a_follower_of_the_first_root_comes_to_the_last_through_every_rotation(trust):
    for role in itertools.chain(ROLES, ROLES):
        trust.work.rotate(role)
    roots = trust.directory.roots()
    assert 9 == len(roots)
    assert list(range(1, 10)) == [Metadata.from_bytes(data).signed.version for data in roots]
    follow_roots(roots)
    demand_working(trust)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "head", "list:court", "targets"])
def test_what_a_stolen_key_has_signed_is_worth_nothing_after_the_rotation_of_its_role(trust, role):
    own = tuf_role(role)
    (stolen,) = trust.directory.signers(own)
    trust.work.rotate(role)
    root, targets = follow_roots(trust.directory.roots()), trusted_delegations(trust.directory)
    far_ahead = Metadata(Targets(version=1 << 52))
    far_ahead.sign(stolen)
    with pytest.raises(UnsignedMetadataError):
        (root if own in root.roles else targets).verify_delegate(own, far_ahead.signed_bytes, far_ahead.signatures)


def test_a_new_root_carries_the_old_threshold_and_its_own(trust):
    old = set(trust.keys("root"))
    trust.work.rotate("root")
    signed_by = Metadata.from_bytes(trust.directory.roots()[-1]).signatures.keys()
    assert (3, 3) == (len(signed_by & old), len(signed_by & trust.keys("root")))


def test_a_lost_root_key_does_not_hinder_a_rotation_within_the_threshold(trust):
    (trust.folder / "offline" / "root-1.pem").unlink()
    trust.work.rotate("root")
    demand_working(trust)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_too_few_root_keys_are_refused_before_anything_is_written(trust, role):
    for lost in ("root-1.pem", "root-3.pem"):
        (trust.folder / "offline" / lost).unlink()
    before = contents(trust.folder)
    with pytest.raises(SetupFault, match=r"root must sign with 2 of its 3 keys, and 1 can be used here; .*--offline"):
        trust.work.rotate(role)
    assert before == contents(trust.folder)


@pytest.mark.parametrize("role", ["head", "list:court", "list:new"])
def test_a_missing_targets_key_is_refused_before_anything_is_written(trust, role):
    (trust.folder / "offline" / "targets.pem").unlink()
    before = contents(trust.folder)
    with pytest.raises(SetupFault, match="targets must sign with its key, and none can be used here"):
        trust.work.rotate(role)
    assert before == contents(trust.folder)


def test_new_lists_are_refused_without_the_targets_key(trust):
    (trust.folder / "offline" / "targets.pem").unlink()
    with pytest.raises(SetupFault, match="targets must sign with its key"):
        trust.work.establish(["new"])


def test_a_root_signed_by_too_few_keys_is_refused_by_python_tuf(trust):
    previous = read_root(trust.directory.roots()[0], "1")
    forged = Metadata(Root.from_dict(previous.to_dict()))
    forged.signed.version = 2
    forged.sign(trust.directory.signers("root")[0])
    with pytest.raises(UnsignedMetadataError):
        follow_roots((*trust.directory.roots(), forged.to_bytes()))


def test_a_root_is_not_signed_by_too_few_keys_in_the_first_place(trust):
    previous, root = (read_root(trust.directory.roots()[0], "1") for _ in range(2))
    one, two, _ = trust.directory.signers("root")
    with pytest.raises(SetupFault, match="needs the signatures of 2 keys"):
        sign_root(root, [one], previous, now=trust.clock.now())
    new = CryptoSigner.generate_ed25519()
    set_root_keys(root, "root", [new.public_key, CryptoSigner.generate_ed25519().public_key])
    with pytest.raises(SetupFault, match="needs the signatures of 2 keys"):
        sign_root(root, [one, two, new], previous, now=trust.clock.now())


def test_offline_keys_that_were_moved_are_found_where_one_says(trust, tmp_path):
    trust.folder.joinpath("offline").rename(tmp_path / "stick")
    with pytest.raises(SetupFault, match="--offline"):
        trust.work.rotate("root")
    trust.offline = tmp_path / "stick"
    changes = trust.work.rotate("root")
    assert [str(tmp_path / "stick" / f"root-{number}.pem") for number in (4, 5, 6)] == list(changes.made)
    assert () == changes.offline
    assert not (trust.folder / "offline").exists()
    trust.work.rotate("targets")
    trust.work.rotate("list:court")
    demand_working(trust)


def test_names_of_offline_keys_are_not_used_twice(trust, tmp_path):
    """The old files may be on media that are not here."""
    for number in range(2):
        trust.work.rotate("root")
        trust.work.rotate("targets")
        for path in (trust.folder / "offline").glob("*.pem"):
            if path.name not in (trust.folder / "signers.json").read_text():
                path.rename(tmp_path / f"{number}-{path.name}")
    assert {"root-7.pem", "root-8.pem", "root-9.pem", "targets.3.pem"} == {
        path.name for path in (trust.folder / "offline").iterdir()
    }


def test_a_lost_targets_key_is_replaced_by_root(trust):
    (trust.folder / "offline" / "targets.pem").unlink()
    trust.work.rotate("targets")
    demand_working(trust)
    trust.work.establish(["new"])


@pytest.mark.parametrize("role", ["root", "targets"])
def test_renewing_keeps_the_keys_and_expires_later(trust, role):
    before, keys = trust.directory.expiries(), trust.keys(role)
    trust.clock.advance(400 * 86_400)
    assert () == trust.work.renew(role).made
    after = trust.directory.expiries()
    assert 400 * 86_400 == after[role] - before[role]
    assert keys == trust.keys(role)
    demand_working(trust)


@pytest.mark.parametrize("role", ["timestamp", "head", "list:court"])
def test_what_the_publisher_signs_is_not_renewed_by_hand(trust, role):
    with pytest.raises(SetupFault, match="only root and targets are renewed by hand"):
        trust.work.renew(role)


@pytest.mark.parametrize(
    "work", [lambda each: each.rotate("head"), lambda each: each.renew("root"), lambda each: each.roles()]
)
def test_without_keys_it_says_how_to_make_them(tmp_path, work):
    with pytest.raises(SetupFault, match="portcullis keys init"):
        work(Ceremonies(tmp_path / "trust").work)


def public_file(folder, signer):
    file = folder / "authority.pub"
    file.write_text(signer.public_key.keyval["public"] if signer.public_key.keytype != "ed25519" else pem_of(signer))
    return file


def pem_of(signer):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    private = load_pem_private_key(signer.private_bytes, None)
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_list_that_has_no_key_is_not_rotated_but_added(trust, tmp_path):
    before = contents(trust.folder)
    for given in ({}, {"public_key": public_file(tmp_path, CryptoSigner.generate_ed25519())}):
        with pytest.raises(SetupFault, match="add it with `portcullis keys init --list cuort`"):
            trust.work.rotate("list:cuort", **given)
    assert before == contents(trust.folder)


def test_a_rotation_tells_which_key_was_replaced_and_which_file_deleted(trust):
    (old,) = trust.keys("list:court")
    changes = trust.work.rotate("list:court")
    (new,) = trust.keys("list:court")
    assert (("list:court", (old,), (new,)),) == changes.replaced
    assert (str(trust.folder / "online" / "lists" / "court.pem"),) == changes.deleted


@pytest.mark.parametrize(("role", "mend"), [("list:court", "the role of a list is list-NAME"), ("heads", "leave it out")])
def test_a_role_that_does_not_exist_in_the_list_of_keys_is_named_and_nothing_dropped(trust, role, mend):
    signers = trust.folder / "signers.json"
    signers.write_text(signers.read_text().replace('"list-court"', f'"{role}"'))
    before = contents(trust.folder)
    for work in (trust.work.roles, lambda: trust.work.rotate("head")):
        with pytest.raises(SetupFault, match=rf"signers\.json names {role}, which is no role; {mend}"):
            work()
    assert before == contents(trust.folder)


def test_a_missing_list_of_keys_is_named(trust):
    (trust.folder / "signers.json").unlink()
    for work in (trust.work.roles, lambda: trust.work.renew("root")):
        with pytest.raises(SetupFault, match=r"signers\.json is missing, so no key can sign"):
            work()


def test_a_list_may_be_given_to_a_key_that_is_held_elsewhere(trust, tmp_path):
    authority = CryptoSigner.generate_ed25519()
    trust.work.rotate("list:court", public_key=public_file(tmp_path, authority))
    assert {authority.public_key.keyid} == trust.keys("list:court")
    assert () == trust.directory.signers("list-court")
    assert not (trust.folder / "online" / "lists" / "court.pem").exists()
    sign_as(trust.directory, "head")


def test_a_new_list_may_begin_with_its_authoritys_key(trust, tmp_path):
    authority = CryptoSigner.generate_ecdsa()
    trust.work.establish(["own"])
    trust.work.rotate("list:own", public_key=public_file(tmp_path, authority))
    metadata = Metadata(trusted_delegations(trust.directory))
    metadata.sign(authority)
    trusted_delegations(trust.directory).verify_delegate("list-own", metadata.signed_bytes, metadata.signatures)


def test_a_key_in_a_file_elsewhere_is_used_and_never_deleted(trust, tmp_path):
    file = tmp_path / "authority.pem"
    file.write_bytes(CryptoSigner.generate_ed25519().private_bytes)
    assert () == trust.work.rotate("list:court", uri=f"file:{file}").made
    sign_as(trust.directory, "list-court")
    changes = trust.work.rotate("list:court")
    assert [str(file)] == list(changes.retired)
    assert file.exists()
    sign_as(trust.directory, "list-court")


@pytest.mark.parametrize(
    ("role", "given", "fault"),
    [
        ("head", {"public_key": "authority.pub"}, "this host must sign for head; say with --uri"),
        ("targets", {"public_key": "authority.pub"}, "this host must sign for targets"),
        ("root", {"public_key": "authority.pub"}, "leave --uri and --public-key out"),
        ("list:court", {"uri": "awskms:key"}, "give its file with --public-key"),
        ("list:court", {"uri": "awskms:key", "public_key": "authority.pub"}, "can't be reached by its awskms: URI"),
        ("list:court", {"uri": "nonsense:key", "public_key": "authority.pub"}, "can't be reached by its nonsense: URI"),
        (
            "list:court",
            {"uri": "file:/nowhere/court.pem", "public_key": "authority.pub"},
            "there is no key at file:/nowhere",
        ),
        ("list:court", {"public_key": "no.pub"}, "does not hold a public key in PEM"),
    ],
)
def test_a_given_key_that_can_not_do_its_work_is_refused(trust, tmp_path, role, given, fault):
    public_file(tmp_path, CryptoSigner.generate_ed25519())
    (tmp_path / "no.pub").write_text("no key")
    before = contents(trust.folder)
    with pytest.raises(SetupFault, match=fault):
        trust.work.rotate(
            role, uri=given.get("uri"), public_key=tmp_path / given["public_key"] if "public_key" in given else None
        )
    assert before == contents(trust.folder)


def test_a_private_key_that_is_not_the_public_one_is_refused(trust, tmp_path):
    file = tmp_path / "authority.pem"
    file.write_bytes(CryptoSigner.generate_ed25519().private_bytes)
    with pytest.raises(SetupFault, match="does not hold the private key") as refused:
        trust.work.rotate(
            "list:court", uri=f"file:{file}", public_key=public_file(tmp_path, CryptoSigner.generate_ed25519())
        )
    assert file.read_text().splitlines()[1] not in str(refused.value)


def test_the_report_tells_where_each_key_is(trust, tmp_path):
    (trust.folder / "online" / "snapshot.pem").write_text("damaged")
    (trust.folder / "offline" / "root-2.pem").unlink()
    trust.work.rotate("list:court", public_key=public_file(tmp_path, CryptoSigner.generate_ed25519()))
    told = {each.role: [(key.uri, key.state) for key in each.keys] for each in trust.work.roles()}
    assert {
        "root": [
            ("file:offline/root-1.pem", KeyState.HERE),
            ("file:offline/root-2.pem", KeyState.NOT_HERE),
            ("file:offline/root-3.pem", KeyState.HERE),
        ],
        "targets": [("file:offline/targets.pem", KeyState.HERE)],
        "snapshot": [("file:online/snapshot.pem", KeyState.UNUSABLE)],
        "timestamp": [("file:online/timestamp.pem", KeyState.HERE)],
        "head": [("file:online/head.pem", KeyState.HERE)],
        "list:court": [("", KeyState.NOT_HERE)],
    } == told


class Crash(BaseException):
    """The process is gone."""


def crash_at(monkeypatch, step):
    """Let the process die before its ``step``-th write is in place, or after it where the step is half way to the next."""
    count = itertools.count(1)
    write = durable_files.write_durably

    def dying(path, data):
        number = next(count)
        if number == step:
            raise Crash
        write(path, data)
        if number < step < number + 1:
            raise Crash

    for module in ("key_files", "signing"):
        monkeypatch.setattr(f"portcullis.adapters.tuf.{module}.write_durably", dying)


def crash_points(monkeypatch, work):
    """Do the work once for each point at which it can die, from the same state each time; gives each point."""
    for half in itertools.count(2):
        with monkeypatch.context() as patched:
            crash_at(patched, half / 2)
            try:
                work()
            except Crash:
                died = True
            else:
                died = False
        if not died:
            return
        yield half / 2


def test_a_crash_in_the_middle_of_establishing_is_completed_by_the_same_command(tmp_path, monkeypatch):
    trust = Ceremonies(tmp_path / "trust")

    def begin():
        shutil.rmtree(trust.folder, ignore_errors=True)
        trust.work.establish(["court"])

    points = 0
    for _ in crash_points(monkeypatch, begin):
        points += 1
        trust.work.establish(["court"])
        demand_working(trust)
    assert 22 == points  # eleven files, before and after each


@pytest.mark.parametrize(
    ("role", "lost"),
    [*((role, None) for role in ROLES), *((role, "targets.pem") for role in ("root", "targets", "timestamp"))],
)
def test_a_crash_in_the_middle_of_a_rotation_leaves_what_works_or_what_the_same_command_completes(
    trust, tmp_path, monkeypatch, role, lost
):
    if lost:
        (trust.folder / "offline" / lost).unlink()
    shutil.copytree(trust.folder, tmp_path / "before")

    def begin():
        shutil.rmtree(trust.folder)
        shutil.copytree(tmp_path / "before", trust.folder)
        trust.work.rotate(role)

    broken = points = 0
    for _ in crash_points(monkeypatch, begin):
        points += 1
        try:
            demand_working(trust)
        except SetupFault:
            broken += 1
        trust.work.rotate(role)
        demand_working(trust)
    assert points >= 8
    # Only a targets key that is lost leaves a moment in which neither root holds.
    assert (2 if lost and role == "targets" else 0) == broken


def test_what_a_crash_left_listed_is_dropped_and_named(trust, monkeypatch):
    with monkeypatch.context() as patched:
        crash_at(patched, 2.5)  # the new key is there, and no metadata names it
        with pytest.raises(Crash):
            trust.work.rotate("head")
    left = trust.folder / "online" / "head.2.pem"
    assert left.exists()
    changes = trust.work.rotate("head")
    assert [str(left)] == list(changes.retired)
    assert "head.2.pem" not in (trust.folder / "signers.json").read_text()
    demand_working(trust)


def test_what_a_crash_left_beside_a_file_is_written_over(trust):
    (trust.folder / ".targets.json.new").write_text("half")
    trust.work.rotate("head")
    assert [] == list(trust.folder.glob(".*.new"))
    demand_working(trust)


def test_a_full_disk_leaves_what_was(trust, monkeypatch):
    before = contents(trust.folder)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(durable_files.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            trust.work.rotate("head")
    assert before == contents(trust.folder)
    demand_working(trust)


def test_two_at_once_do_their_work_one_after_the_other(tmp_path):
    trust = Ceremonies(tmp_path / "trust")
    lists = [f"list-{number}" for number in range(4)]
    begin, faults = threading.Barrier(len(lists)), []

    def work(name):
        begin.wait()
        try:
            Ceremonies(trust.folder).work.establish([name])
        except (SetupFault, OSError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(name,)) for name in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == faults
    assert 1 == len(trust.directory.roots())
    for name in lists:
        sign_as(trust.directory, f"list-{name}")


def test_one_that_waits_too_long_says_so(trust):
    refused = pytest.raises(SetupFault, match="another command is at work")
    with trust.directory.files.locked(), refused, KeyFiles(trust.folder).locked(0.02):
        raise AssertionError("two hold the lock")


def test_a_publisher_that_looks_in_the_middle_of_a_rotation_sees_one_state(trust):
    """It waits for the ceremony to end rather than take two files that don't belong together."""
    (trust.folder / "offline" / "targets.pem").unlink()
    directory = trust.directory
    seen, stop = [], threading.Event()

    def look():
        while not stop.wait(0.0005):
            state = directory.trust()
            root = follow_roots(state.roots)
            root.verify_delegate("targets", state.targets.signed_bytes, state.targets.signatures)
            seen.append(root.version)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(3):
            trust.work.rotate("targets")
            for key in (trust.folder / "offline").glob("targets*"):
                key.unlink()
    finally:
        stop.set()
        thread.join()
    assert sorted(seen) == seen
    assert {1, 2, 3, 4} >= set(seen) > set()
