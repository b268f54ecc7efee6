"""What only the replica as files has to stand: crashes, restarts, reboots, damage, other processes."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.pointer import CURRENT_FILE, GENERATIONS, VOUCHED_FILE
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.domain.errors import SetupFault
from tests.support.clocks import HandClock
from tests.support.distribution import contents, edition, records
from tests.support.install_children import versioned

ROOT = Path(__file__).resolve().parents[3]
KILLS = 24


@pytest.fixture
def home(tmp_path):
    return tmp_path / "replica"


@pytest.fixture
def clock():
    return HandClock()


def install(home, clock, version, count=3, boot="boot-1"):
    writer = LmdbReplicaWriter(home, clock, boot=boot)
    writer.install(edition(version, count), records(range(count)))
    writer.vouch(version, 0.0)
    writer.close()


def generations(home):
    return sorted(each.name for each in (home / GENERATIONS).iterdir())


# --- restarts -----------------------------------------------------------------------------------------------------------


def test_a_restarted_writer_holds_what_was_installed(home, clock):
    install(home, clock, 4)
    writer = LmdbReplicaWriter(home, clock)
    assert edition(4, 3) == writer.held()
    writer.close()


def test_a_new_worker_reads_at_once_what_is_installed(home, clock):
    install(home, clock, 4)
    transaction = LmdbReplica(home, clock).begin()
    assert (4, 3) == (transaction.edition.version, len(contents(transaction, range(9))))
    transaction.close()


def test_a_worker_may_start_before_the_folder_is_there(home, clock):
    reader = LmdbReplica(home, clock)
    assert reader.begin() is None
    install(home, clock, 4)
    assert reader.refresh()


def test_only_the_generation_in_force_stays(home, clock):
    writer = LmdbReplicaWriter(home, clock)
    for version in range(1, 5):
        writer.install(edition(version, 2), records(range(2)))
    assert ["4"] == generations(home)
    writer.close()


def test_half_built_generations_go_at_the_next_start(home, clock):
    install(home, clock, 4)
    half_built = home / GENERATIONS / "77"
    half_built.mkdir()
    (half_built / "data.mdb").write_bytes(b"rubbish")
    install(home, clock, 5)
    assert 1 == len(generations(home))
    assert "77" not in generations(home)


def test_a_second_writer_is_refused_until_the_first_is_closed(home, clock):
    first = LmdbReplicaWriter(home, clock)
    with pytest.raises(SetupFault, match="another follower"):
        LmdbReplicaWriter(home, clock)
    first.close()
    first.close()
    LmdbReplicaWriter(home, clock).close()


def test_a_folder_that_cannot_be_made_is_a_setup_fault(tmp_path, clock):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupFault, match="PORTCULLIS_REPLICA_DIR"):
        LmdbReplicaWriter(tmp_path / "file" / "replica", clock)


def test_a_version_larger_than_the_first_map_is_installed(home, clock):
    pairs = [(key, value * 2000) for key, value in records(range(3000))]
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, len(pairs)), pairs)
    transaction = LmdbReplica(home, clock).begin()
    assert pairs == [(key, transaction.get(key)) for key, _ in pairs]
    transaction.close()
    writer.close()


def test_other_users_of_the_group_may_read_and_nobody_else(home, clock):
    install(home, clock, 4)
    folder = home / GENERATIONS / generations(home)[0]

    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    assert (0o640, 0o660) == (mode(folder / "data.mdb"), mode(folder / "lock.mdb"))
    assert (0o640, 0o640) == (mode(home / CURRENT_FILE), mode(home / VOUCHED_FILE))
    assert 0 == mode(folder) & 0o007


# --- damage -------------------------------------------------------------------------------------------------------------


def damaged(home, clock):
    """See that damage counts as nothing held, kills nobody, and is mended by the next install."""
    writer = LmdbReplicaWriter(home, clock)
    reader = LmdbReplica(home, clock)
    assert (None, None) == (writer.held(), reader.begin())
    writer.install(edition(9, 3), records(range(3)))
    assert reader.refresh()
    transaction = reader.begin()
    assert 9 == transaction.edition.version
    transaction.close()
    writer.close()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format":1}', b"\xff\xfe"], ids=repr)
def test_a_damaged_pointer_counts_as_nothing_held(home, clock, data):
    install(home, clock, 4)
    (home / CURRENT_FILE).write_bytes(data)
    damaged(home, clock)


def test_a_replica_of_another_format_counts_as_nothing_held(home, clock):
    install(home, clock, 4)
    pointer = json.loads((home / CURRENT_FILE).read_bytes())
    (home / CURRENT_FILE).write_text(json.dumps(pointer | {"format": 0}))
    damaged(home, clock)


def test_a_file_cut_short_counts_as_nothing_held(home, clock):
    install(home, clock, 4, count=3000)
    data = home / GENERATIONS / generations(home)[0] / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    damaged(home, clock)


def test_a_file_that_is_no_database_counts_as_nothing_held(home, clock):
    install(home, clock, 4)
    data = home / GENERATIONS / generations(home)[0] / "data.mdb"
    data.write_bytes(b"\xaa" * data.stat().st_size)
    damaged(home, clock)


def test_files_that_vanish_leave_a_reader_what_it_has(home, clock):
    install(home, clock, 4)
    reader = LmdbReplica(home, clock)
    shutil.rmtree(home)
    clock.advance(5)
    assert not reader.refresh()
    transaction = reader.begin()
    assert 3 == len(contents(transaction, range(9)))
    assert 5 == pytest.approx(reader.vouched_age_s())
    transaction.close()


def test_a_disk_that_refuses_the_pointer_leaves_the_present_version(home, clock):
    install(home, clock, 4)
    writer = LmdbReplicaWriter(home, clock)
    (home / "current.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        writer.install(edition(5, 1), records(range(1)))
    assert 4 == writer.held().version
    assert 1 == len(generations(home))
    (home / "current.new").rmdir()
    writer.install(edition(5, 1), records(range(1)))
    writer.close()
    assert 5 == LmdbReplica(home, clock).begin().edition.version


# --- age over restarts and reboots --------------------------------------------------------------------------------------


def test_the_age_goes_on_over_a_restart_by_monotonic_time(home, clock):
    install(home, clock, 4)
    clock.advance(30)
    clock.set_wall(7200)
    assert 30 == pytest.approx(LmdbReplica(home, clock, boot="boot-1").vouched_age_s())


def test_the_age_goes_on_over_a_reboot_by_the_wall_clock(home, clock):
    install(home, clock, 4)
    clock.advance(30)
    clock.reboot()
    reader = LmdbReplica(home, clock, boot="boot-2")
    assert 30 == pytest.approx(reader.vouched_age_s())
    clock.set_wall(7200)
    reader.refresh()
    assert 30 == pytest.approx(reader.vouched_age_s())


def test_a_host_that_does_not_tell_its_boot_goes_by_the_wall_clock(home, clock):
    install(home, clock, 4, boot="")
    clock.advance(30)
    clock.reboot()
    assert 30 == pytest.approx(LmdbReplica(home, clock, boot="").vouched_age_s())


@pytest.mark.parametrize("data", [b"", b"{}", b'{"version":3,"wall":0,"monotonic":0,"boot_id":""}'], ids=repr)
def test_a_lost_note_of_vouching_leaves_the_time_of_publication(home, clock, data):
    install(home, clock, 4)
    clock.advance(30)
    (home / VOUCHED_FILE).write_bytes(data)
    assert 30 == pytest.approx(LmdbReplica(home, clock).vouched_age_s())


def test_an_older_statement_after_a_restart_makes_nothing_older(home, clock):
    install(home, clock, 4)
    clock.advance(1)
    writer = LmdbReplicaWriter(home, clock, boot="boot-1")
    writer.vouch(4, 3600.0)
    assert 1 == pytest.approx(LmdbReplica(home, clock, boot="boot-1").vouched_age_s())
    writer.close()


# --- many at once -------------------------------------------------------------------------------------------------------


def test_every_transaction_reads_one_version_while_versions_are_installed_quickly(home):
    clock = SystemClock()
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, len(versioned(1))), versioned(1))
    stop = threading.Event()
    installed = []

    def install_until_told() -> None:
        version = 1
        while not stop.is_set():
            version += 1
            pairs = versioned(version)
            writer.install(edition(version, len(pairs)), pairs)
            installed.append(version)

    loop = threading.Thread(target=install_until_told)
    loop.start()
    seen = set()
    try:
        reader = LmdbReplica(home, clock)
        deadline = time.monotonic() + 3.0
        while time.monotonic() < deadline and len(seen) < 150:
            reader.refresh()
            transaction = reader.begin()
            version = transaction.edition.version
            expected = versioned(version)
            reader.refresh()
            assert expected == [(key, transaction.get(key)) for key, _ in expected]
            assert transaction.get(records(range(600, 601))[0][0]) is None
            transaction.close()
            assert version >= max(seen, default=0)
            seen.add(version)
    finally:
        stop.set()
        loop.join(20)
        writer.close()
    assert len(seen) > 10
    assert installed


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_version(home):
    chance = random.Random(2026)
    clock = SystemClock()
    for _ in range(KILLS):
        begun, done = killed_after(home, installs=chance.randrange(1, 4), pause_s=chance.random() * 0.012)
        reader = LmdbReplica(home, clock)
        transaction = reader.begin()
        version = transaction.edition.version
        assert version in {done, begun}, "an install that was reported is there, and none that never began"
        assert versioned(version) == [(key, transaction.get(key)) for key, _ in versioned(version)]
        assert math.isfinite(reader.vouched_age_s())
        transaction.close()
    writer = LmdbReplicaWriter(home, clock)
    assert writer.held().version == version
    assert 1 == len(generations(home))
    writer.close()


def killed_after(home: Path, *, installs: int, pause_s: float) -> tuple[int, int]:
    """Kill a writer a moment after some installs; gives the last version begun and the last one reported."""
    argv = [sys.executable, "-m", "tests.support.install_children", str(home)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child:
        lines = []
        try:
            while sum(line.startswith("installed") for line in lines) < installs:
                line = child.stdout.readline()
                assert line, "the writer ended by itself"
                lines.append(line)
            time.sleep(pause_s)
        finally:
            child.kill()
        lines += child.stdout.readlines()
    whole = [line.split() for line in lines if line.endswith("\n")]
    begun = max(int(number) for word, number in whole if word == "begins")
    done = max(int(number) for word, number in whole if word == "installed")
    return begun, done
