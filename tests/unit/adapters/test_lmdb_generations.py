"""Generations as a worker opens them: a replica that was wiped, many calls under way, and versions that come in place."""

from __future__ import annotations

import shutil
import threading
from queue import SimpleQueue

import lmdb
import msgspec
import pytest

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.lmdb import parts
from portcullis.adapters.lmdb.bloom import BLOOM_FILE
from portcullis.adapters.lmdb.generations import LOCK_FILE, TABLE_BYTES, Generation, open_environment
from portcullis.adapters.lmdb.pointer import CURRENT_FILE, VOUCHED_FILE
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.domain.editions import Legal
from portcullis.domain.segments import body_of
from tests.support.clocks import HandClock
from tests.support.distribution import CARRIERS, COURT, body, contents, edition, list_edition, records
from tests.support.install_children import bodies_in, edition_of, running
from tests.support.policies import a_list

NOT_UTF8 = b'{"version":4,"wall":1.0,"monotonic":1.0,"boot_id":"\xff\xfe"}'


@pytest.fixture
def home(tmp_path):
    return tmp_path / "replica"


def install(home, version, count, mark="v"):
    bodies = records(range(count), mark)
    writer = LmdbReplicaWriter(home, HandClock())
    writer.install(edition(version, bodies), bodies)
    writer.vouch(version, 0.0)
    writer.close()


def marks(transaction, numbers, mark):
    """See that a version has these numbers with this mark; gives how many of the first nine it has."""
    found = contents(transaction, range(9))
    assert all(body(number, mark) == body_of(found[number], COURT) for number in numbers)
    return len(found)


def test_a_worker_reads_a_replica_that_was_built_anew_in_the_place_of_a_wiped_one(home):
    install(home, 1, 3, "old")
    reader = LmdbReplica(home, HandClock())
    (home / CURRENT_FILE).unlink()
    install(home, 2, 5, "new")
    assert reader.refresh()
    transaction = reader.begin()
    assert (2, 5) == (transaction.edition.version, marks(transaction, range(5), "new"))


def test_calls_that_wait_do_not_fill_the_table_of_readers_that_workers_share(home):
    install(home, 1, 3)
    busy, other = LmdbReplica(home, HandClock()), LmdbReplica(home, HandClock())
    waiting = [busy.begin() for _ in range(6000)]
    assert 3 == len(contents(other.begin(), range(9)))
    assert 3 == len(contents(waiting[-1], range(9)))


def test_a_version_held_by_a_call_is_read_after_its_worker_went_on_to_the_next(home):
    install(home, 1, 3, "old")
    reader = LmdbReplica(home, HandClock())
    held = reader.begin()
    install(home, 2, 5, "new")
    reader.refresh()
    held.close()
    reader.begin().close()
    assert (1, 3) == (held.edition.version, marks(held, range(3), "old"))
    reader.close()
    assert 3 == marks(held, range(3), "old")


def test_a_worker_that_finds_no_room_in_the_table_of_readers_keeps_what_it_has(home, monkeypatch):
    monkeypatch.setattr("portcullis.adapters.lmdb.generations.MAX_READERS", 3)
    monkeypatch.setattr("portcullis.adapters.lmdb.building.TABLE_BYTES", 1024)
    writer = LmdbReplicaWriter(home, HandClock())
    writer.install(edition(1, records(range(3))), records(range(3)))
    reader = LmdbReplica(home, HandClock())
    held = []
    for version in range(2, 30):
        held.append(reader.begin())
        bodies = records(range(version + 2))
        writer.apply(edition(version, bodies), bodies)
        reader.refresh()
    assert len({each.edition.version for each in held}) < len(held)
    assert all(each.edition.records == len(contents(each, range(40))) for each in held)
    held.clear()
    bodies = records(range(40))
    writer.apply(edition(40, bodies), bodies)
    assert reader.refresh()
    writer.close()


def test_a_note_of_vouching_that_is_no_text_stops_neither_worker_nor_follower(home):
    install(home, 4, 3)
    (home / VOUCHED_FILE).write_bytes(NOT_UTF8)
    reader = LmdbReplica(home, HandClock())
    assert 4 == reader.begin().edition.version
    writer = LmdbReplicaWriter(home, HandClock())
    assert 4 == writer.held().version
    writer.close()


def test_what_a_version_did_not_change_is_not_read_again(home, monkeypatch):
    legal = tuple(Legal(f"Demonstration Act, section {row}", "https://redress.example/court") for row in range(50))
    bodies = records(range(4))
    lists = (list_edition(COURT, 1, bodies, legal=legal), list_edition(CARRIERS, 1, bodies))
    of = edition(1, bodies, of=(COURT, CARRIERS), lists=lists)
    writer = LmdbReplicaWriter(home, HandClock())
    writer.install(of, bodies)
    reader = LmdbReplica(home, HandClock())
    first = reader.begin().edition
    read = []
    monkeypatch.setattr(parts, "_decoded", spying(parts._decoded, lambda _, kind: read.append(kind.__name__)))

    fewer = records(range(3))
    changed = msgspec.structs.replace(lists[0], version=2, records=3, digest=list_edition(COURT, 2, fewer).digest)
    next_one = msgspec.structs.replace(of, version=2, lists=(changed, lists[1]))
    writer.apply(next_one, [(each[0], COURT, b"") for each in bodies if each not in fewer])
    assert reader.refresh()
    second = reader.begin().edition
    assert next_one == second
    assert ["_Head"] == read
    assert second.policy is first.policy
    assert all(new.legal is old.legal for new, old in zip(second.lists, first.lists, strict=True))

    policy = msgspec.structs.replace(of.policy, lists=(a_list("court", title="New"), of.policy.lists[1]))
    renamed = msgspec.structs.replace(next_one, version=3, policy=policy)
    writer.apply(renamed, [])
    assert reader.refresh()
    third = reader.begin().edition
    assert renamed == third
    assert ["_Head", "_Head", "_Terms"] == read
    assert third.policy.lists[1] is first.policy.lists[1]
    assert third.lists[1].legal is first.lists[1].legal
    writer.close()


def spying(function, note):
    def spy(*arguments):
        note(*arguments)
        return function(*arguments)

    return spy


def test_nothing_is_read_while_no_version_comes(home, monkeypatch):
    install(home, 4, 3)
    reader = LmdbReplica(home, HandClock())
    transaction = reader.begin()
    monkeypatch.setattr(parts, "_decoded", None)
    assert not any(reader.refresh() for _ in range(20))
    assert transaction is reader.begin()


def test_a_version_that_is_not_told_to_readers_yet_is_no_other_version(home, monkeypatch):
    install(home, 4, 3)
    reader = LmdbReplica(home, HandClock())
    transaction = reader.begin()
    monkeypatch.setattr(Generation, "last_change", lambda _: transaction.change + 1)
    assert not reader.refresh()
    assert transaction is reader.begin()


def test_a_worker_of_another_generation_takes_no_filter_that_came_into_its_folder(home):
    install(home, 1, 3)
    (home / "generations" / "1" / BLOOM_FILE).unlink()
    reader = LmdbReplica(home, HandClock())
    (home / CURRENT_FILE).unlink()
    install(home, 2, 0)
    assert (home / "generations" / "1").exists()
    assert not reader._generation.is_in_place()
    reader._take(reader._generation, reader._generation.begin(), reader._bloom)
    assert 3 == len(contents(reader.begin(), range(9)))


def test_where_there_is_little_address_space_less_of_it_is_taken(home):
    writer = LmdbReplicaWriter(home, SystemClock())
    writer.install(edition_of(1), bodies_in(1))
    writer.close()
    with running("read-in-little-space", home) as child:
        assert "read 1\n" == child.stdout.readline()


def test_an_environment_opens_while_another_thread_closes_a_deleted_one_whose_inode_it_got(tmp_path):
    deleted = SimpleQueue()
    closing = threading.Thread(target=lambda: all(iter(deleted.get, None)))
    closing.start()
    try:
        for turn in range(300):
            folder = tmp_path / str(turn)
            folder.mkdir()
            (folder / LOCK_FILE).write_bytes(bytes(TABLE_BYTES))
            environment = open_environment(folder, sync=False)
            shutil.rmtree(folder)
            deleted.put(environment)
            del environment
    finally:
        deleted.put(None)
        closing.join(20)
    assert not closing.is_alive()


def test_an_environment_that_stays_open_elsewhere_in_the_process_is_refused_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("portcullis.adapters.lmdb.generations._CLOSING_S", 0.05)
    first = open_environment(tmp_path)
    with pytest.raises(lmdb.Error, match="already open"):
        open_environment(tmp_path)
    first.close()
