"""The replica's files while much happens at once: writers killed at any moment, full disks, readers of other processes."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb.pointer import GENERATIONS
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.domain.multisets import MultisetDigest
from tests.support.disks import Ballast, small_disk
from tests.support.install_children import (
    LISTS,
    bodies_in,
    changes_to,
    check,
    edition_of,
    running,
)

INSTALL_KILLS = 24
APPLY_KILLS = 80
STEPS_OF_AN_APPLY = 160
VERSIONS = 240


@pytest.fixture
def home(tmp_path):
    return tmp_path / "replica"


def install(home, version=1):
    writer = LmdbReplicaWriter(home, SystemClock())
    writer.install(edition_of(version), bodies_in(version))
    writer.close()


def generations(home):
    return sorted(each.name for each in (home / GENERATIONS).iterdir())


def filter_in_use(reader):
    return "look_up" in repr(reader.begin().get)


def assert_proven(writer):
    """See that the writer holds what the edition says, digests included."""
    held = writer.held()
    digests = {number: MultisetDigest() for number in LISTS}
    for key, on, each in writer.records():
        digests[on].replace(key, b"", each)
    assert {each.number: each.digest for each in held.lists} == {on: each.hex() for on, each in digests.items()}
    assert edition_of(held.version) == held


# --- killed writers -----------------------------------------------------------------------------------------------------


def test_a_writer_killed_at_any_moment_of_an_install_leaves_the_old_or_the_new_version(home):
    chance = random.Random(2026)
    install(home)
    clock = SystemClock()
    seen = 1
    with running("fork-writers", home) as parent:
        for _ in range(INSTALL_KILLS):
            lines = killed_writer(parent, "install", 0, pause_s=chance.random() * 0.03, versions=chance.randrange(3))
            begun, done = last_begun_and_done(lines)
            reader = LmdbReplica(home, clock)
            version = check(reader.begin())
            assert version in {max(done, seen), begun}, "an install that was reported is there, and none that never began"
            assert math.isfinite(reader.vouched_age_s())
            seen = version
    writer = LmdbReplicaWriter(home, clock)
    assert_proven(writer)
    assert 1 == len(generations(home))
    writer.close()


def test_a_writer_killed_at_any_moment_of_an_apply_leaves_the_old_or_the_new_version(home):
    chance = random.Random(1123)
    install(home)
    clock = SystemClock()
    worker = LmdbReplica(home, clock)
    version = begun = check(worker.begin())
    between = 0
    with running("fork-writers", home) as parent:
        for turn in range(APPLY_KILLS):
            # Two in three die by themselves while they read the changes, the rest wherever they are: while it commits, too.
            dies_at = chance.randrange(1, 3 * STEPS_OF_AN_APPLY) if turn % 3 else 0
            lines = killed_writer(parent, "apply", dies_at, pause_s=chance.random() * 0.02, versions=chance.randrange(3))
            held = first_begun(lines) - 1
            assert held in {version, begun}, "a commit may have been whole on the disk before any worker was told of it"
            begun, done = last_begun_and_done(lines)
            worker.refresh()
            anew = LmdbReplica(home, clock)
            version = check(anew.begin())
            assert filter_in_use(anew)
            assert filter_in_use(worker)
            assert version == check(worker.begin())
            assert version in {max(done, held), begun}, "an apply that was reported is there, and none that never began"
            between += begun > done
    assert between >= 50, "so many were killed between the beginning of an apply and its report"
    assert 1 == len(generations(home))
    worker.close()
    del anew
    writer = LmdbReplicaWriter(home, clock)
    assert_proven(writer)
    version = writer.held().version
    writer.apply(edition_of(version + 1), changes_to(version + 1))
    assert version + 1 == check(LmdbReplica(home, clock).begin())
    writer.close()


def killed_writer(parent: subprocess.Popen[str], what: str, dies_at: int, *, pause_s: float, versions: int) -> list[str]:
    """Let a process write until it ends; gives what it said.

    It ends by itself at a change, if there is one to die at, or else a moment after it said that it begins a version.
    """
    parent.stdin.write(f"{what} {dies_at}\n")
    parent.stdin.flush()
    lines = [parent.stdout.readline()]
    child = int(lines[0].split()[1])
    while not lines[-1].startswith("ended"):
        if not dies_at and sum(line.startswith("begins") for line in lines) > versions:
            time.sleep(pause_s)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            dies_at = -1
        lines.append(parent.stdout.readline())
        assert lines[-1], "the parent ended by itself"
    return lines


def first_begun(lines: list[str]) -> int:
    return next(int(line.split()[1]) for line in lines if line.startswith("begins"))


def last_begun_and_done(lines: list[str]) -> tuple[int, int]:
    words = [line.split() for line in lines]
    begun = max((int(number) for word, number in words if word == "begins"), default=0)
    done = max((int(number) for word, number in words if word == "done"), default=0)
    return begun, done


# --- readers of other processes -----------------------------------------------------------------------------------------


def test_workers_read_one_version_each_time_while_versions_are_applied_without_a_pause(home):
    install(home)
    writer = LmdbReplicaWriter(home, SystemClock())
    with running("read", home) as first, running("read", home) as second:
        for each in (first, second):
            assert "read 1\n" == each.stdout.readline()
        for version in range(2, VERSIONS + 1):
            if version % 40:
                writer.apply(edition_of(version), changes_to(version))
            else:
                writer.install(edition_of(version), bodies_in(version))
        seen = [versions_until(each, VERSIONS) for each in (first, second)]
    assert all(len(each) > 10 for each in seen)
    assert all(each == sorted(set(each)) for each in seen)
    writer.close()


def versions_until(child: subprocess.Popen[str], last: int) -> list[int]:
    """Collect the versions that a worker found right, up to one."""
    seen = [1]
    while seen[-1] != last:
        line = child.stdout.readline()
        assert line, "a worker found a version that was not as it should be"
        seen.append(int(line.split()[1]))
    return seen


def test_a_thread_reads_one_version_each_time_while_another_installs_and_applies(home):
    install(home)
    writer = LmdbReplicaWriter(home, SystemClock())
    stop = threading.Event()
    reader = LmdbReplica(home, SystemClock())

    def write_until_told() -> None:
        version = 1
        while not stop.is_set():
            version += 1
            if version % 5:
                writer.apply(edition_of(version), changes_to(version))
            else:
                writer.install(edition_of(version), bodies_in(version))

    loop = threading.Thread(target=write_until_told)
    loop.start()
    seen = set()
    try:
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline and len(seen) < 30 and loop.is_alive():
            reader.refresh()
            transaction = reader.begin()
            reader.refresh()
            version = check(transaction)
            assert version >= max(seen, default=0)
            seen.add(version)
    finally:
        stop.set()
        loop.join(20)
        writer.close()
    assert 30 == len(seen)


def test_a_killed_worker_does_not_keep_the_file_growing(home):
    install(home)
    writer = LmdbReplicaWriter(home, SystemClock())
    version = 1
    with running("hold", home) as worker:
        assert "holds 1\n" == worker.stdout.readline()
        for version in range(2, 12):
            writer.apply(edition_of(version), changes_to(version))
        held = writer.space().file_bytes
        for version in range(12, 22):
            writer.apply(edition_of(version), changes_to(version))
        assert writer.space().file_bytes > held, "while somebody reads an old version its pages are not used again"
    for version in range(22, 27):
        writer.apply(edition_of(version), changes_to(version))
    settled = writer.space().file_bytes
    for version in range(27, 60):
        writer.apply(edition_of(version), changes_to(version))
    assert settled == writer.space().file_bytes
    writer.close()


# --- full disks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path) -> Iterator[Path]:
    """A disk of four megabytes."""
    with small_disk(tmp_path / "small") as folder:
        yield folder


def test_a_disk_that_is_full_during_an_apply_leaves_the_present_version(small):
    home = small / "replica"
    install(home)
    writer = LmdbReplicaWriter(home, SystemClock())
    reader = LmdbReplica(home, SystemClock())
    ballast = Ballast(small)
    refused = 0
    version = 1
    # What a reader holds keeps its pages, so that each apply needs room for new ones.
    held = [reader.begin()]
    for kilobytes in [*range(0, 260, 8)] * 2:
        ballast.leave(kilobytes)
        try:
            writer.apply(edition_of(version + 1), changes_to(version + 1))
        except OSError:
            refused += 1
            assert edition_of(version) == writer.held()
            assert not reader.refresh()
        else:
            version += 1
            assert reader.refresh()
        assert version == check(reader.begin())
        held.append(reader.begin())
        assert version == check(LmdbReplica(home, SystemClock()).begin())
    assert refused >= 5
    assert version > 5
    ballast.drop()
    writer.apply(edition_of(version + 1), changes_to(version + 1))
    assert_proven(writer)
    assert [each.edition.version for each in held] == [check(each) for each in held]
    writer.close()


def test_a_disk_that_is_full_during_an_install_leaves_the_present_version(small):
    home = small / "replica"
    install(home)
    writer = LmdbReplicaWriter(home, SystemClock())
    reader = LmdbReplica(home, SystemClock())
    ballast = Ballast(small)
    refused = 0
    for kilobytes in range(0, 420, 20):
        ballast.leave(kilobytes)
        before = reader.begin().edition.version
        try:
            writer.install(edition_of(before + 1), bodies_in(before + 1))
        except OSError:
            refused += 1
            assert not reader.refresh()
            assert edition_of(before) == writer.held()
        else:
            assert reader.refresh()
        assert 1 == len(generations(home))
        check(reader.begin())
    assert 5 <= refused < 21
    version = writer.held().version
    writer.apply(edition_of(version + 1), changes_to(version + 1))
    assert_proven(writer)
    writer.close()


@pytest.mark.parametrize("way", ["apply", "install"])
def test_files_that_can_not_grow_leave_the_present_version(home, way):
    install(home)
    reader = LmdbReplica(home, SystemClock())
    size = (home / GENERATIONS / "1" / "data.mdb").stat().st_size
    first, beyond = (size, size + 300_000) if way == "apply" else (4096, size + 300_000)
    held = []
    said = []
    with running("write-limited-files", home) as child:
        for limit in range(first, beyond, 8192):
            held.append(reader.begin())
            child.stdin.write(f"{way} {limit}\n")
            child.stdin.flush()
            what, number = child.stdout.readline().split()
            said.append(what)
            assert (what == "done") == reader.refresh()
            assert int(number) - (what == "refused") == check(reader.begin())
    assert {"done", "refused"} == set(said)
    reader.close()
    held.clear()
    writer = LmdbReplicaWriter(home, SystemClock())
    assert_proven(writer)
    assert 1 == len(generations(home))
    writer.close()
