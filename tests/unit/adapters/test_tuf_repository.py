"""The publisher's repository: what is in force, what is signed when, and what a crash leaves."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from tuf.api.metadata import Metadata

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.adapters.tuf.drafting import LIFETIME_S, TIMESTAMP_LIFETIME_S
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.repository import GREATEST_VERSION, TufRepository
from portcullis.domain.errors import SetupFault
from portcullis.domain.manifests import HEAD_TARGET
from portcullis.ports import Publication, Vouched
from tests.support.clocks import HandClock
from tests.support.policies import NOW
from tests.support.signed_snapshots import SMALL, make_keys, make_trusted, put, sign_snapshot
from tests.support.tuf_simulator import TufSimulator

VERSION = NOW * 1000
COURT = "lists/court/manifest.json"
CARRIERS = "lists/carriers/manifest.json"
FILES = {**SMALL, CARRIERS: b"the carriers' manifest"}


class Bench:
    """A key directory for two lists, and a repository over it."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.folder = folder / "repository"
        self.trust = folder / "trust"
        self.keys = make_keys(self.trust, "court", "carriers", clock=self.clock)
        self.open()

    def open(self) -> TufRepository:
        """Open the repository, as a new process does."""
        self.repository = TufRepository(self.folder, KeyDirectory(self.trust), self.clock)
        return self.repository

    def sign(self, version: int, files: dict[str, bytes] | None = None, kept: set[str] | None = None) -> None:
        new = FILES if files is None else files
        sign_snapshot(self.repository, version, new, now=self.clock.now(), kept=kept or set())

    def metadata(self, role: str) -> Metadata:
        """The metadata of a role, as it would be published."""
        return Metadata.from_bytes(self.files(role)[1])

    def files(self, role: str) -> tuple[str, bytes]:
        published = self.repository.publication().metadata
        found = [name for name in published if name.removesuffix(".json").rpartition(".")[2] == role]
        assert 1 == len(found)
        return found[0], published[found[0]]

    def on_disk(self) -> set[str]:
        return {path.name for path in (self.folder / "targets").rglob("*") if path.is_file()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def write(repository: TufRepository, name: str, data: bytes) -> None:
    with repository.create(name) as out:
        out.write(data)


# --- what is in force ---------------------------------------------------------------------------------------------------


def test_before_the_first_version_there_is_nothing(bench):
    repository = bench.repository
    assert 0 == repository.version()
    assert repository.vouched() is None
    assert repository.read(HEAD_TARGET) is None
    assert Publication({}, {}) == repository.publication()
    assert not repository.due(now=NOW)
    repository.vouch(now=NOW)
    assert repository.vouched() is None
    with pytest.raises(KeyError):
        repository.path(HEAD_TARGET)


def test_a_version_is_in_force_once_it_is_signed(bench):
    bench.sign(VERSION)
    repository = bench.repository
    assert VERSION == repository.version()
    assert Vouched(VERSION, NOW * 1000, NOW) == repository.vouched()
    for name, data in FILES.items():
        assert data == repository.read(name) == repository.path(name).read_bytes()
    assert repository.read("lists/court/base-2") is None


def test_a_new_content_is_in_force_once_a_version_names_it(bench):
    bench.sign(VERSION)
    write(bench.repository, COURT, b"another manifest")
    assert FILES[COURT] == bench.repository.read(COURT)
    bench.repository.sign(VERSION + 1, now=NOW, targets=FILES)
    assert b"another manifest" == bench.repository.read(COURT)


def test_a_publication_names_files_as_a_client_asks_for_them(bench):
    bench.sign(VERSION)
    publication = bench.repository.publication()
    targets_version = Metadata.from_bytes(bench.keys.delegations()).signed.version
    assert {
        "1.root.json",
        f"{targets_version}.targets.json",
        f"{VERSION}.snapshot.json",
        f"{VERSION}.head.json",
        f"{VERSION}.list-court.json",
        f"{VERSION}.list-carriers.json",
        "timestamp.json",
    } == publication.metadata.keys()
    digest = hashlib.sha256(FILES[COURT]).hexdigest()
    assert FILES[COURT] == publication.targets[f"lists/court/{digest}.manifest.json"].read_bytes()
    assert len(FILES) == len(publication.targets)


def test_only_roles_whose_targets_changed_are_signed_anew(bench):
    bench.sign(VERSION)
    before = {role: bench.files(role) for role in ("list-court", "list-carriers", "targets")}
    bench.clock.advance(1)
    bench.sign(VERSION + 5, {HEAD_TARGET: b"another head", COURT: b"another manifest"}, kept=set(FILES))
    assert before["list-carriers"] == bench.files("list-carriers")
    assert before["targets"] == bench.files("targets")
    for role in ("list-court", "head", "snapshot"):
        assert VERSION + 5 == bench.metadata(role).signed.version


def test_a_snapshot_names_every_role_by_version_length_and_hash(bench):
    bench.sign(VERSION)
    meta = bench.metadata("snapshot").signed.meta
    assert {"targets.json", "head.json", "list-court.json", "list-carriers.json"} == meta.keys()
    for role in ("targets", "head", "list-court", "list-carriers"):
        data = bench.files(role)[1]
        assert len(data) == meta[f"{role}.json"].length
        assert {"sha256": hashlib.sha256(data).hexdigest()} == meta[f"{role}.json"].hashes


def test_what_is_no_longer_named_is_gone_from_the_disk(bench):
    bench.sign(VERSION)
    bench.sign(VERSION + 1, {COURT: b"another manifest"}, kept=set(FILES) - {"lists/court/base-1"})
    assert {path.name for path in bench.repository.publication().targets.values()} == bench.on_disk()
    assert 3 == len(bench.on_disk())


def test_a_list_that_is_given_up_stays_in_the_snapshot_without_targets(bench):
    bench.sign(VERSION)
    bench.repository.sign(VERSION + 1, now=NOW, targets=set(FILES) - {CARRIERS})
    assert {} == bench.metadata("list-carriers").signed.targets
    assert "list-carriers.json" in bench.metadata("snapshot").signed.meta
    assert bench.repository.read(CARRIERS) is None


@pytest.mark.parametrize("version", [VERSION, VERSION - 1, 0])
def test_a_version_that_is_not_greater_is_a_mistake_in_the_program(bench, version):
    bench.sign(VERSION)
    with pytest.raises(ValueError, match="greater"):
        bench.repository.sign(version, now=NOW, targets=FILES)


def test_a_target_that_was_not_written_is_a_mistake_in_the_program(bench):
    bench.sign(VERSION)
    with pytest.raises(ValueError, match="not written"):
        bench.repository.sign(VERSION + 1, now=NOW, targets={*FILES, "lists/court/base-2"})
    assert VERSION == bench.repository.version()


@pytest.mark.parametrize("name", ["", "head.json", "lists/court", "lists/../x", "other/file", "lists/a/b/c", "head/../../x"])
def test_a_target_that_no_role_signs_is_a_mistake_in_the_program(bench, name):
    with pytest.raises(ValueError, match="a target is named"):
        write(bench.repository, name, b"x")


# --- writing targets ----------------------------------------------------------------------------------------------------


def test_a_created_target_can_be_sent_before_it_is_in_force(bench):
    bench.sign(VERSION)
    write(bench.repository, "lists/court/base-2", b"a base")
    stored, path = bench.repository.created("lists/court/base-2")
    assert f"lists/court/{hashlib.sha256(b'a base').hexdigest()}.base-2" == stored
    assert b"a base" == path.read_bytes()
    bench.sign(VERSION + 1, {HEAD_TARGET: b"another head"}, kept=set(FILES))
    assert b"a base" == path.read_bytes(), "a version that does not name it leaves it alone"
    bench.repository.sign(VERSION + 2, now=NOW, targets={*FILES, "lists/court/base-2"})
    assert path == bench.repository.path("lists/court/base-2")
    with pytest.raises(KeyError):
        bench.repository.created("lists/court/base-2")


def test_created_targets_that_nobody_needs_are_collected(bench):
    bench.sign(VERSION)
    for name in ("lists/court/base-2", "lists/court/base-3", COURT):
        write(bench.repository, name, FILES[COURT] if name == COURT else name.encode())
    bench.repository.collect(["lists/court/base-3"])
    with pytest.raises(KeyError):
        bench.repository.created("lists/court/base-2")
    assert b"lists/court/base-3" == bench.repository.created("lists/court/base-3")[1].read_bytes()
    assert FILES[COURT] == bench.repository.read(COURT), "the same bytes are in force, and stay"
    bench.repository.collect([])
    assert {path.name for path in bench.repository.publication().targets.values()} == bench.on_disk()


def test_a_target_written_twice_is_what_was_written_last(bench):
    write(bench.repository, COURT, b"first")
    write(bench.repository, COURT, b"second")
    bench.sign(VERSION, {HEAD_TARGET: b"h"}, kept={COURT})
    assert b"second" == bench.repository.read(COURT)
    assert 2 == len(bench.on_disk())


def test_targets_may_be_written_while_others_are_signed(bench):
    bench.sign(VERSION)
    with bench.repository.create("lists/court/base-2") as base, bench.repository.create("lists/carriers/base-2") as other:
        base.write(b"be")
        bench.sign(VERSION + 1, {HEAD_TARGET: b"another head"}, kept=set(FILES))
        other.write(b"gone")
        base.write(b"gun")
        assert 5 == base.tell()
        base.flush()
        os.fsync(base.fileno())
    bench.repository.sign(VERSION + 2, now=NOW, targets={*FILES, "lists/court/base-2", "lists/carriers/base-2"})
    assert b"begun" == bench.repository.read("lists/court/base-2")
    assert b"gone" == bench.repository.read("lists/carriers/base-2")


def fill_the_disk(out: BinaryIO) -> None:
    out.write(b"x" * 5_000_000)
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_target_whose_writing_failed_leaves_nothing(bench):
    with pytest.raises(OSError, match="No space"), bench.repository.create(COURT) as out:
        fill_the_disk(out)
    assert [] == list((bench.folder / "incoming").iterdir())
    with pytest.raises(ValueError, match="not written"):
        bench.repository.sign(VERSION, now=NOW, targets={COURT})


def test_a_large_target_is_never_in_memory(bench):
    piece = os.urandom(1 << 20)
    tracemalloc.start()
    try:
        with bench.repository.create("lists/court/base-2") as out:
            for _ in range(32):
                out.write(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    bench.sign(VERSION, kept={"lists/court/base-2"})
    assert 32 << 20 == bench.repository.path("lists/court/base-2").stat().st_size
    digest = hashlib.sha256(piece * 32).hexdigest()
    assert digest == bench.metadata("list-court").signed.targets["lists/court/base-2"].hashes["sha256"]


# --- vouching -----------------------------------------------------------------------------------------------------------


def test_vouching_signs_the_timestamp_alone(bench):
    bench.sign(VERSION)
    before = bench.repository.publication().metadata
    bench.repository.vouch(now=NOW + 1.25)
    after = bench.repository.publication().metadata
    assert {"timestamp.json"} == {name for name in after if after[name] != before[name]}
    assert Vouched(VERSION, NOW * 1000 + 1250, NOW + 1.25) == bench.repository.vouched()


def test_serials_grow_even_when_the_clock_goes_back(bench):
    bench.sign(VERSION)
    serials = []
    for now in (NOW + 1, NOW + 2, NOW - 7200, NOW - 7200, NOW + 3):
        bench.repository.vouch(now=now)
        serials.append(bench.repository.vouched().serial)
    assert sorted(set(serials)) == serials
    bench.sign(VERSION + 1)
    assert bench.repository.vouched().serial > serials[-1]


def test_the_newest_vouching_is_found_again(bench):
    bench.sign(VERSION)
    bench.repository.vouch(now=NOW + 5)
    vouched, published = bench.repository.vouched(), bench.repository.publication()
    assert vouched == bench.open().vouched()
    assert published == bench.repository.publication()


@pytest.mark.parametrize("damage", [b"", b"{", None])
def test_vouchings_lost_in_a_power_cut_are_not_fallen_behind(bench, damage):
    bench.sign(VERSION)
    for second in range(1, 40):
        bench.repository.vouch(now=NOW + second)
    last = bench.repository.vouched().serial
    file = bench.folder / "vouched.json"
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    bench.clock.set_wall(-7200)
    bench.open()
    assert VERSION == bench.repository.vouched().version
    bench.repository.vouch(now=bench.clock.now())
    assert bench.repository.vouched().serial > last


def test_vouching_waits_for_the_disk_once_a_minute_and_no_more(bench, monkeypatch):
    bench.sign(VERSION)
    synced: list[int] = []
    really = os.fsync
    monkeypatch.setattr("os.fsync", lambda descriptor: (synced.append(descriptor), really(descriptor)))
    for second in range(1, 61):
        bench.repository.vouch(now=NOW + second)
    assert [] == synced
    bench.repository.vouch(now=NOW + 61)
    assert 2 == len(synced)
    for second in range(62, 122):
        bench.repository.vouch(now=NOW + second)
    assert 2 == len(synced)


def test_a_clock_that_leaps_puts_its_serial_on_the_disk_at_once(bench):
    bench.sign(VERSION)
    bench.repository.vouch(now=NOW + 7200)
    leapt = bench.repository.vouched().serial
    copy = (bench.folder / "vouched.json").read_bytes()
    for second in range(1, 30):
        bench.repository.vouch(now=NOW + 7200 + second)
    last = bench.repository.vouched().serial
    (bench.folder / "vouched.json").write_bytes(copy)
    assert leapt == bench.open().vouched().serial
    bench.repository.vouch(now=NOW)
    assert bench.repository.vouched().serial > last


def test_a_version_lives_a_week_and_its_timestamp_a_day(bench):
    bench.sign(VERSION)
    for role in ("snapshot", "head", "list-court"):
        assert NOW + LIFETIME_S == bench.metadata(role).signed.expires.timestamp()
    assert NOW + TIMESTAMP_LIFETIME_S == bench.metadata("timestamp").signed.expires.timestamp()


def test_a_version_is_due_when_half_of_its_life_is_over(bench):
    bench.sign(VERSION)
    assert not bench.repository.due(now=NOW + LIFETIME_S / 2 - 1)
    assert bench.repository.due(now=NOW + LIFETIME_S / 2)
    bench.clock.advance(LIFETIME_S / 2)
    bench.repository.sign(VERSION + 1, now=bench.clock.now(), targets=FILES)
    assert not bench.repository.due(now=bench.clock.now())
    assert VERSION + 1 == bench.metadata("list-carriers").signed.version


# --- opening it again ---------------------------------------------------------------------------------------------------


def test_a_repository_opened_again_is_as_it_was(bench):
    bench.sign(VERSION)
    before = bench.repository.publication()
    bench.open()
    assert before == bench.repository.publication()
    assert VERSION == bench.repository.version()
    assert not bench.repository.due(now=NOW)
    bench.sign(VERSION + 1)


def test_leftovers_are_cleared_before_the_first_write_and_not_on_opening(bench):
    bench.sign(VERSION)
    write(bench.repository, "lists/court/base-2", b"never named")
    (bench.folder / "incoming").mkdir(exist_ok=True)
    (bench.folder / "incoming" / "half").write_bytes(b"half a base")
    bench.open()
    assert 5 == len(bench.on_disk())
    write(bench.repository, COURT, b"another manifest")
    assert 5 == len(bench.on_disk()), "the leftover is gone, and the new one is there"
    assert not (bench.folder / "incoming" / "half").exists()


@pytest.mark.parametrize("file", ["metadata.msgpack", "vouched.json"])
def test_any_truncation_of_the_repositorys_files_is_the_last_state_or_none(bench, file):
    bench.sign(VERSION)
    bench.repository.vouch(now=NOW + 1)
    whole = bench.repository.publication()
    path = bench.folder / file
    content = path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        bench.open()
        if file == "metadata.msgpack":
            assert Publication({}, {}) == bench.repository.publication()
        else:
            assert whole.targets == bench.repository.publication().targets
        assert VERSION == bench.repository.version()


def test_a_damaged_repository_signs_everything_anew_under_greater_versions(bench):
    store, trusted = MemorySnapshotStore(), None
    bench.sign(VERSION)
    put(bench.repository, store)
    trusted = make_trusted(bench.folder.parent / "follower", store, bench.keys, bench.clock)
    trusted.look()
    (bench.folder / "metadata.msgpack").write_bytes(b"\x00")
    bench.open()
    bench.repository.surpass({"timestamp.json": store.read_metadata("timestamp.json") or b""}.get)
    assert VERSION == bench.repository.version()
    bench.sign(VERSION + 1, {HEAD_TARGET: b"another head", COURT: b"m", CARRIERS: b"c"})
    put(bench.repository, store)
    assert VERSION + 1 == trusted.look().version


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"short")])
def test_a_version_whose_target_is_lost_is_not_in_force(bench, spoil):
    bench.sign(VERSION)
    spoil(bench.repository.path(COURT))
    bench.open()
    assert bench.repository.vouched() is None
    assert VERSION == bench.repository.version()


# --- crashes ------------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("fault", [Crash(), OSError(errno.ENOSPC, "No space left on device")], ids=["crash", "full disk"])
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "os.open", "os.fdopen", "pathlib.Path.unlink"])
def test_a_fault_at_any_call_to_the_disk_leaves_the_last_version_or_the_next(bench, monkeypatch, call, fault):
    """Every such call of a version in its turn fails; then the folder is opened by a new process."""
    bench.sign(VERSION)
    version, point, completed = VERSION, 0, False
    while not completed:
        point += 1
        version += 1
        completed = not _fails_at(bench, monkeypatch, call, point=point, fault=fault, version=version)
        found = bench.open().version()
        assert found in (version - 1, version)
        assert bench.repository.read(COURT) == _court(found)
        assert not bench.repository.due(now=NOW)
        version = found
    assert point > 1, "it was never called"


def _court(version: int) -> bytes:
    return FILES[COURT] if version == VERSION else f"manifest of {version}".encode()


def _fails_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str, *, point: int, fault: BaseException, version: int
) -> bool:
    """Sign a version while the call fails at its ``point``-th time; False where it is called less often."""
    calls = 0
    holder, _, name = call.rpartition(".")
    really: Callable[..., object] = getattr(Path if holder.endswith("Path") else os, name)

    def failing(*given: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == point:
            raise fault
        return really(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(call, failing)
        try:
            bench.sign(version, {COURT: _court(version), HEAD_TARGET: b"head %d" % version}, kept=set(FILES))
        except type(fault):
            return True
    return calls >= point


def test_a_full_disk_leaves_this_process_with_the_last_version_too(bench, monkeypatch):
    bench.sign(VERSION)
    before = bench.repository.publication()
    with monkeypatch.context() as patched:
        patched.setattr("portcullis.adapters.tuf.shelf.write_durably", _full)
        with pytest.raises(OSError, match="No space"):
            bench.sign(VERSION + 1, {COURT: b"another manifest"}, kept=set(FILES))
    assert before == bench.repository.publication()
    assert FILES[COURT] == bench.repository.read(COURT)
    bench.repository.sign(VERSION + 2, now=NOW, targets=FILES)
    assert b"another manifest" == bench.repository.read(COURT)


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_fifty_kills_at_random_points_leave_the_last_version_or_the_next(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.tuf_children", str(tmp_path), "50", "20261123"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == run.returncode, run.stderr
    found = [line.split() for line in run.stdout.splitlines()]
    assert 50 == len(found)
    versions = [int(version) for version, _ in found]
    assert sorted(versions) == versions
    assert versions[-1] > 10, "it was killed before it did anything"


# --- keys ---------------------------------------------------------------------------------------------------------------


def test_a_key_directory_without_keys_is_a_fault_of_the_setup(tmp_path):
    with pytest.raises(SetupFault, match="keys init"):
        TufRepository(tmp_path / "repository", KeyDirectory(tmp_path / "trust"), HandClock())


def test_a_new_list_is_delegated_to_where_the_targets_key_is_here(bench):
    bench.sign(VERSION)
    assert bench.repository.can_sign("court")
    assert not bench.repository.due(now=NOW)
    assert bench.repository.can_sign("bank")
    assert bench.repository.due(now=NOW)
    bench.sign(VERSION + 1, {"lists/bank/manifest.json": b"the bank's manifest"}, kept=set(FILES))
    assert b"the bank's manifest" == bench.repository.read("lists/bank/manifest.json")
    assert not bench.repository.due(now=NOW)


def test_a_new_list_can_not_be_signed_for_where_the_targets_key_is_elsewhere(bench):
    bench.sign(VERSION)
    shutil.rmtree(bench.trust / "offline")
    assert not bench.repository.can_sign("bank")
    write(bench.repository, "lists/bank/manifest.json", b"the bank's manifest")
    with pytest.raises(SetupFault, match="list-bank") as caught:
        bench.repository.sign(VERSION + 1, now=NOW, targets={*FILES, "lists/bank/manifest.json"})
    assert {"list": "bank"} == caught.value.metadata
    bench.repository.sign(VERSION + 2, now=NOW, targets=FILES)


class _Authority:
    """Takes the key of the court's list away from a bench."""

    def __init__(self, bench: Bench) -> None:
        bench.sign(VERSION)
        self.before = bench.files("list-court")
        (bench.trust / "online" / "lists" / "court.pem").unlink()
        self.kept = {name for name in FILES if "court" in name}


def test_a_list_whose_key_is_elsewhere_stays_as_it_was_signed(bench):
    authority = _Authority(bench)
    assert not bench.repository.can_sign("court")
    bench.sign(VERSION + 1, {HEAD_TARGET: b"another head", CARRIERS: b"another manifest"}, kept=authority.kept)
    assert authority.before == bench.files("list-court")
    bench.clock.advance(LIFETIME_S)
    bench.sign(VERSION + 2, {HEAD_TARGET: b"yet another head", CARRIERS: b"c"}, kept=authority.kept)
    assert authority.before == bench.files("list-court")
    assert not bench.repository.due(now=bench.clock.now()), "nobody here can sign what runs out"


def test_other_targets_for_a_list_whose_key_is_elsewhere_are_a_fault_that_names_it(bench):
    _Authority(bench)
    write(bench.repository, COURT, b"another manifest")
    with pytest.raises(SetupFault, match="list-court") as caught:
        bench.repository.sign(VERSION + 1, now=NOW, targets=FILES)
    assert {"list": "court"} == caught.value.metadata
    assert VERSION == bench.repository.version()


def test_a_list_whose_key_is_elsewhere_can_be_given_up(bench):
    authority = _Authority(bench)
    bench.repository.sign(VERSION + 1, now=NOW, targets=set(FILES) - authority.kept)
    assert authority.before == bench.files("list-court")
    assert f"{VERSION}.list-court.json" in bench.repository.publication().metadata


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "head"])
def test_a_missing_key_of_a_role_is_a_fault_that_names_it(bench, role):
    (bench.trust / "online" / f"{role}.pem").unlink()
    with pytest.raises(SetupFault, match=role) as caught:
        bench.sign(VERSION)
    assert {} == caught.value.metadata
    assert 0 == bench.repository.version()


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "head", "list-court"])
def test_an_exchanged_key_is_due_and_the_next_version_is_signed_by_the_new_one(bench, role):
    store = MemorySnapshotStore()
    bench.sign(VERSION)
    put(bench.repository, store)
    trusted = make_trusted(bench.folder.parent / "follower", store, bench.keys, bench.clock)
    trusted.look()
    rotate(bench, role)
    bench.repository.vouch(now=NOW + 1)
    put(bench.repository, store)
    trusted.look()
    assert bench.repository.due(now=NOW)
    bench.repository.sign(VERSION + 1, now=NOW, targets=FILES)
    assert not bench.repository.due(now=NOW)
    bench.repository.vouch(now=NOW + 2)
    put(bench.repository, store)
    assert VERSION + 1 == trusted.look().version
    for name, data in FILES.items():
        assert data == trusted.read(name, 1 << 20)
    bench.open()
    assert not bench.repository.due(now=NOW)


def rotate(bench: Bench, role: str, **given: object) -> None:
    from portcullis.adapters.tuf.ceremony import TrustCeremony

    bench.clock.advance(1)
    name = f"list:{role.removeprefix('list-')}" if role.startswith("list-") else role
    TrustCeremony(bench.trust, bench.clock).rotate(name, **given)


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_a_key_exchanged_while_no_publisher_ran_is_due_at_once(bench, role):
    bench.sign(VERSION)
    published = bench.repository.publication()
    rotate(bench, role)
    bench.open()
    assert published == bench.repository.publication(), "the new root is not shown before what it wants is signed"
    assert bench.repository.due(now=NOW)
    bench.repository.sign(VERSION + 1, now=NOW, targets=FILES)
    assert "2.root.json" in bench.repository.publication().metadata
    assert not bench.repository.due(now=NOW)


def test_a_list_whose_new_key_is_elsewhere_does_not_stop_the_others(bench):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    store = MemorySnapshotStore()
    bench.sign(VERSION)
    public = bench.folder.parent / "court.pub"
    key = Ed25519PrivateKey.generate().public_key()
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    rotate(bench, "list-court", public_key=public)
    assert not bench.repository.can_sign("court")
    assert bench.repository.due(now=NOW)
    bench.sign(VERSION + 1, {HEAD_TARGET: b"another head", CARRIERS: b"another manifest"}, kept=set(FILES))
    assert not bench.repository.due(now=NOW)
    put(bench.repository, store)
    trusted = make_trusted(bench.folder.parent / "follower", store, bench.keys, bench.clock)
    assert VERSION + 1 == trusted.look().version
    assert b"another manifest" == trusted.read(CARRIERS, 100)
    assert FILES[COURT] == trusted.read(COURT, 100)
    write(bench.repository, COURT, b"another manifest")
    with pytest.raises(SetupFault, match="list-court"):
        bench.repository.sign(VERSION + 2, now=NOW, targets=FILES)


def test_keys_that_are_out_of_order_are_due_and_the_fault_is_told_on_signing(bench):
    bench.sign(VERSION)
    (bench.trust / "targets.json").unlink()
    assert bench.repository.due(now=NOW)
    with pytest.raises(SetupFault, match=r"targets\.json"):
        bench.repository.sign(VERSION + 1, now=NOW, targets=FILES)


def test_a_key_directory_older_than_what_is_in_force_is_a_fault(bench):
    older = (bench.trust / "targets.json").read_bytes()
    bench.repository.can_sign("bank")
    bench.sign(VERSION)
    (bench.trust / "targets.json").write_bytes(older)
    with pytest.raises(SetupFault, match="newest backup"):
        bench.repository.sign(VERSION + 1, now=NOW, targets=FILES)


# --- going on from a store ----------------------------------------------------------------------------------------------


def test_versions_that_a_store_holds_are_surpassed(bench, tmp_path):
    bench.sign(VERSION + 1000)
    timestamp = bench.repository.publication().metadata["timestamp.json"]
    shutil.rmtree(bench.folder)
    bench.open()
    assert 0 == bench.repository.version()
    bench.repository.surpass({"timestamp.json": timestamp}.get)
    assert VERSION + 1000 == bench.repository.version()
    with pytest.raises(ValueError, match="greater"):
        bench.sign(VERSION + 1000)
    bench.sign(VERSION + 1001)
    assert bench.repository.vouched().serial > VERSION


@pytest.mark.parametrize("data", [b"", b"{}", None])
def test_a_stores_metadata_that_is_none_is_not_surpassed(bench, data):
    bench.repository.surpass({"timestamp.json": data}.get)
    assert 0 == bench.repository.version()


def test_a_stores_metadata_of_another_publisher_is_not_surpassed(bench):
    other = TufSimulator(bench.clock, "court")
    data = other.store.read_metadata("timestamp.json")
    assert data is not None
    bench.repository.surpass({"timestamp.json": data}.get)
    assert 0 == bench.repository.version()


def test_a_version_that_no_clock_gives_is_not_surpassed(bench):
    bench.sign(GREATEST_VERSION + 1)
    timestamp = bench.repository.publication().metadata["timestamp.json"]
    shutil.rmtree(bench.folder)
    bench.open()
    bench.repository.surpass({"timestamp.json": timestamp}.get)
    assert 0 == bench.repository.version()
