"""Generations as a worker opens them: a replica that was wiped, and many calls under way."""

from __future__ import annotations

import pytest

from portcullis.adapters.lmdb.pointer import CURRENT_FILE, VOUCHED_FILE
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from tests.support.clocks import HandClock
from tests.support.distribution import contents, edition, records

NOT_UTF8 = b'{"version":4,"wall":1.0,"monotonic":1.0,"boot_id":"\xff\xfe"}'


@pytest.fixture
def home(tmp_path):
    return tmp_path / "replica"


def install(home, version, count, mark=b"v"):
    writer = LmdbReplicaWriter(home, HandClock())
    writer.install(edition(version, count), records(range(count), mark))
    writer.vouch(version, 0.0)
    writer.close()


def test_a_worker_reads_a_replica_that_was_built_anew_in_the_place_of_a_wiped_one(home):
    install(home, 1, 3, b"old")
    reader = LmdbReplica(home, HandClock())
    (home / CURRENT_FILE).unlink()
    install(home, 2, 5, b"new")
    assert reader.refresh()
    transaction = reader.begin()
    found = contents(transaction, range(9))
    assert (2, {0, 1, 2, 3, 4}) == (transaction.edition.version, found.keys())
    assert all(value.startswith(b"new") for value in found.values())


def test_calls_that_wait_do_not_fill_the_table_of_readers_that_workers_share(home):
    install(home, 1, 3)
    busy, other = LmdbReplica(home, HandClock()), LmdbReplica(home, HandClock())
    waiting = [busy.begin() for _ in range(3000)]
    assert 3 == len(contents(other.begin(), range(9)))
    assert 3 == len(contents(waiting[-1], range(9)))


def test_a_version_held_by_a_call_is_read_after_its_worker_went_on_to_the_next(home):
    install(home, 1, 3, b"old")
    reader = LmdbReplica(home, HandClock())
    held = reader.begin()
    install(home, 2, 5, b"new")
    reader.refresh()
    held.close()
    reader.begin().close()
    assert (1, 3) == (held.edition.version, len(contents(held, range(9))))
    reader.close()
    assert 3 == len(contents(held, range(9)))


def test_a_note_of_vouching_that_is_no_text_stops_neither_worker_nor_follower(home):
    install(home, 4, 3)
    (home / VOUCHED_FILE).write_bytes(NOT_UTF8)
    reader = LmdbReplica(home, HandClock())
    assert 4 == reader.begin().edition.version
    writer = LmdbReplicaWriter(home, HandClock())
    assert 4 == writer.held().version
    writer.close()
