"""What only the replica as files has to stand: restarts, reboots, damage, files of other formats."""

from __future__ import annotations

import gc
import json
import os
import shutil
import stat
from hashlib import blake2b

import lmdb
import pytest

from portcullis.adapters.lmdb.bloom import BLOOM_FILE
from portcullis.adapters.lmdb.generations import Generation
from portcullis.adapters.lmdb.pointer import CURRENT_FILE, GENERATIONS, VOUCHED_FILE
from portcullis.adapters.lmdb.replica import LmdbReplica
from portcullis.adapters.lmdb.writer import LmdbReplicaWriter
from portcullis.domain.errors import SetupFault
from portcullis.domain.segments import body_of
from tests.support.clocks import HandClock
from tests.support.distribution import COURT, body, contents, edition, records, token
from tests.support.policies import NOW


@pytest.fixture
def home(tmp_path):
    return tmp_path / "replica"


@pytest.fixture
def clock():
    return HandClock()


def install(home, clock, version, count=3, boot="boot-1"):
    writer = LmdbReplicaWriter(home, clock, boot=boot)
    writer.install(edition(version, records(range(count))), records(range(count)))
    writer.vouch(version, 0.0)
    writer.close()


def grow(writer, version, count):
    """Lead a replica of the first numbers on to more of them."""
    writer.apply(edition(version, records(range(count))), records(range(count)))


def generations(home):
    return sorted(each.name for each in (home / GENERATIONS).iterdir())


def folder_of(home):
    return home / GENERATIONS / generations(home)[0]


# --- restarts -----------------------------------------------------------------------------------------------------------


def test_a_restarted_writer_holds_what_was_installed_and_applied(home, clock):
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(4, records(range(3))), records(range(3)))
    grow(writer, 5, 6)
    writer.close()
    writer = LmdbReplicaWriter(home, clock)
    assert edition(5, records(range(6))) == writer.held()
    assert records(range(6)) == list(writer.records())
    grow(writer, 6, 9)
    assert 9 == len(contents(LmdbReplica(home, clock).begin(), range(20)))
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
        writer.install(edition(version, records(range(2))), records(range(2)))
    assert ["4"] == generations(home)
    grow(writer, 5, 4)
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


def test_a_version_larger_than_a_few_megabytes_is_installed_and_applied(home, clock):
    wide = records(range(2000), "w" * 200)
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, wide), wide)
    wider = records(range(2000), "x" * 240)
    writer.apply(edition(2, wider), wider)
    assert wider == list(writer.records())
    writer.close()


def test_other_users_of_the_group_may_read_and_nobody_else(home, clock):
    install(home, clock, 4)
    folder = folder_of(home)

    def mode(path):
        return stat.S_IMODE(path.stat().st_mode)

    assert (0o640, 0o660, 0o640) == tuple(mode(folder / name) for name in ("data.mdb", "lock.mdb", BLOOM_FILE))
    assert (0o640, 0o640) == (mode(home / CURRENT_FILE), mode(home / VOUCHED_FILE))
    assert 0 == mode(folder) & 0o007


def test_the_table_of_readers_has_its_room_on_the_disk(home, clock):
    install(home, clock, 4)
    lock = (folder_of(home) / "lock.mdb").stat()
    assert lock.st_blocks * 512 >= lock.st_size > 64 * 4000


def test_where_this_process_only_reads_a_replica_an_apply_builds_another(home, clock):
    install(home, clock, 4)
    reader = LmdbReplica(home, clock)
    before = generations(home)
    writer = LmdbReplicaWriter(home, clock)
    grow(writer, 5, 6)
    assert before != generations(home)
    in_place = generations(home)
    grow(writer, 6, 9)
    assert in_place == generations(home)
    assert reader.refresh()
    assert 9 == len(contents(reader.begin(), range(20)))
    writer.close()


def test_the_room_it_takes_is_told(home, clock):
    writer = LmdbReplicaWriter(home, clock)
    bodies = records(range(10_000))
    writer.install(edition(1, bodies), bodies)
    space = writer.space()
    assert space.file_bytes == (folder_of(home) / "data.mdb").stat().st_size
    assert 0.9 <= space.needed_bytes / space.file_bytes <= 1.1
    gone = [(key, on, b"") for key, on, _ in bodies[30:]]
    writer.apply(edition(2, bodies[:30]), gone)
    assert writer.space().needed_bytes < 0.2 * writer.space().file_bytes
    writer.install(edition(3, bodies[:30]), writer.records())
    assert writer.space().file_bytes < 0.2 * space.file_bytes
    writer.close()


# --- damage -------------------------------------------------------------------------------------------------------------


def damaged(home, clock):
    """See that damage counts as nothing held, kills nobody, and is mended by the next install."""
    gc.collect()
    writer = LmdbReplicaWriter(home, clock)
    reader = LmdbReplica(home, clock)
    assert (None, None) == (writer.held(), reader.begin())
    writer.install(edition(9, records(range(3))), records(range(3)))
    assert reader.refresh()
    transaction = reader.begin()
    assert (9, 3) == (transaction.edition.version, len(contents(transaction, range(9))))
    assert 1 == len(generations(home))
    writer.close()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format":1}', b"\xff\xfe"], ids=repr)
def test_a_damaged_pointer_counts_as_nothing_held(home, clock, data):
    install(home, clock, 4)
    (home / CURRENT_FILE).write_bytes(data)
    damaged(home, clock)


def test_a_replica_of_another_format_counts_as_nothing_held(home, clock):
    install(home, clock, 4)
    pointer = json.loads((home / CURRENT_FILE).read_bytes())
    (home / CURRENT_FILE).write_text(json.dumps(pointer | {"format": 3}))
    damaged(home, clock)


def old_replica(home):
    """Make a replica as format 1 had it: the edition and the records in one database, a filter without a mark."""
    folder = home / GENERATIONS / "3"
    folder.mkdir(parents=True)
    head = {
        "format": 1,
        "version": 7,
        "published_at": float(NOW),
        "registry_seq": 7,
        "policy": {"actions": [], "lists": [], "partners": []},
        "legal": [{"legal_basis": "Demonstration Act, section 1", "redress": "https://redress.example/court"}],
        "credentials": [],
        "records": 3,
    }
    environment = lmdb.open(str(folder), map_size=16 << 20, max_readers=1024)
    with environment, environment.begin(write=True) as transaction:
        transaction.put(b"\x00", json.dumps(head).encode())
        for number in range(3):
            # flags, list, legal, until, entry, length, case reference
            transaction.put(token(number), bytes(5) + b"\xff" * 4 + bytes(4) + b"\x04XA-1")
    words = b"\xff" * 8192
    (folder / BLOOM_FILE).write_bytes(blake2b(words, digest_size=32).digest() + words)
    size = (folder / "data.mdb").stat().st_size
    pointer = {"format": 1, "generation": 3, "version": 7, "data_bytes": size}
    vouching = {"version": 7, "wall": float(NOW), "monotonic": 5000.0, "boot_id": "boot-1"}
    (home / CURRENT_FILE).write_text(json.dumps(pointer))
    (home / VOUCHED_FILE).write_text(json.dumps(vouching))
    return pointer


def test_a_replica_of_the_first_format_is_built_anew_and_not_misread(home, clock):
    old_replica(home)
    damaged(home, clock)
    assert "3" not in generations(home)


def test_a_generation_of_the_first_format_is_not_misread_whatever_the_pointer_says(home, clock):
    pointer = old_replica(home)
    (home / CURRENT_FILE).write_text(json.dumps(pointer | {"format": 2}))
    damaged(home, clock)


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (b"head", None),
        (b"head", b""),
        (b"head", b"\xff\xfe"),
        (b"head", b'{"format":2}'),
        (b"shared", None),
        (b"shared", b"{}"),
        (b"list-1", None),
        (b"list-1", b'{"name":"court"}'),
    ],
    ids=repr,
)
def test_a_damaged_edition_counts_as_nothing_held(home, clock, key, data):
    install(home, clock, 4)
    tamper(home, key, lambda _: data)
    damaged(home, clock)


def test_an_edition_of_another_format_counts_as_nothing_held(home, clock):
    install(home, clock, 4)
    tamper(home, b"head", lambda head: json.dumps(json.loads(head) | {"format": 3}).encode())
    damaged(home, clock)


def tamper(home, key, change):
    gc.collect()
    with lmdb.open(str(folder_of(home)), max_dbs=2, map_size=1 << 30) as environment:
        about = environment.open_db(b"about", create=False)
        with environment.begin(about, write=True) as transaction:
            data = change(transaction.get(key))
            if data is None:
                transaction.delete(key)
            else:
                transaction.put(key, data)


def test_a_file_cut_short_counts_as_nothing_held(home, clock):
    install(home, clock, 4, count=3000)
    data = folder_of(home) / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    damaged(home, clock)


def test_a_file_that_is_no_database_counts_as_nothing_held(home, clock):
    install(home, clock, 4)
    data = folder_of(home) / "data.mdb"
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


def test_a_writer_whose_files_vanish_holds_nothing_and_leads_nothing_on(home, clock):
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, records(range(3))), records(range(3)))
    shutil.rmtree(home)
    assert (None, [], b"") == (writer.held(), list(writer.records()), writer.body(token(1), COURT))
    writer.install(edition(2, records(range(3))), records(range(3)))
    grow(writer, 3, 5)
    assert 5 == len(contents(LmdbReplica(home, clock).begin(), range(20)))
    writer.close()


def test_a_disk_that_refuses_the_pointer_leaves_the_present_version(home, clock):
    install(home, clock, 4)
    writer = LmdbReplicaWriter(home, clock)
    (home / ".current.json.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        writer.install(edition(5, records(range(1))), records(range(1)))
    assert 4 == writer.held().version
    assert 1 == len(generations(home))
    grow(writer, 5, 6)
    (home / ".current.json.new").rmdir()
    writer.install(edition(6, records(range(1))), records(range(1)))
    writer.close()
    assert 6 == LmdbReplica(home, clock).begin().edition.version


def test_a_writer_that_lmdb_gave_up_on_opens_its_file_again(home, clock, monkeypatch):
    def given_up(_: Generation) -> None:
        raise lmdb.PanicError("mdb_txn_begin", -30795)

    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, records(range(3))), records(range(3)))
    with monkeypatch.context() as patch:
        patch.setattr(Generation, "change", given_up)
        with pytest.raises(OSError, match="refused"):
            grow(writer, 2, 5)
    assert edition(1, records(range(3))) == writer.held()
    grow(writer, 2, 5)
    assert records(range(5)) == list(writer.records())
    writer.close()


# --- the filter ---------------------------------------------------------------------------------------------------------


def filter_in_use(reader):
    return "look_up" in repr(reader.begin().get)


def test_a_worker_asks_the_filter_first_and_so_after_every_version(home, clock):
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, records(range(3))), records(range(3)))
    reader = LmdbReplica(home, clock)
    for version in range(2, 6):
        assert filter_in_use(reader)
        grow(writer, version, 3 * version)
        assert reader.refresh()
        assert 3 * version == len(contents(reader.begin(), range(30)))
    writer.close()


def test_a_filter_changed_before_a_reboot_is_used_once_the_writer_has_restored_it(home, clock):
    writer = LmdbReplicaWriter(home, clock, boot="boot-1")
    writer.install(edition(1, records(range(3))), records(range(3)))
    grow(writer, 2, 6)
    os.close(writer._lock)  # Ended by a power cut: nothing is put in order.
    del writer
    reader = LmdbReplica(home, clock, boot="boot-2")
    assert not filter_in_use(reader)
    assert 6 == len(contents(reader.begin(), range(20)))
    writer = LmdbReplicaWriter(home, clock, boot="boot-2")
    grow(writer, 3, 9)
    assert reader.refresh()
    assert 9 == len(contents(reader.begin(), range(20)))
    assert filter_in_use(LmdbReplica(home, clock, boot="boot-2"))
    assert filter_in_use(reader)
    writer.close()


def test_a_writer_without_readers_builds_no_filter(home, clock):
    writer = LmdbReplicaWriter(home, clock, filtered=False)
    writer.install(edition(1, records(range(3))), records(range(3)))
    before = generations(home)
    grow(writer, 2, 6)
    assert not (folder_of(home) / BLOOM_FILE).exists()
    assert before == generations(home)
    reader = LmdbReplica(home, clock)
    assert 6 == len(contents(reader.begin(), range(20)))
    writer.close()


def test_a_writer_without_readers_keeps_up_a_filter_that_is_there(home, clock):
    install(home, clock, 1)
    writer = LmdbReplicaWriter(home, clock, filtered=False)
    grow(writer, 2, 6)
    reader = LmdbReplica(home, clock)
    assert filter_in_use(reader)
    assert 6 == len(contents(reader.begin(), range(20)))
    writer.close()


def test_a_replica_whose_filter_is_lost_is_built_anew_for_the_next_version(home, clock):
    install(home, clock, 1)
    reader = LmdbReplica(home, clock)
    (folder_of(home) / BLOOM_FILE).unlink()
    writer = LmdbReplicaWriter(home, clock)
    assert 1 == writer.held().version
    grow(writer, 2, 6)
    assert reader.refresh()
    assert filter_in_use(reader)
    assert 6 == len(contents(reader.begin(), range(20)))
    writer.close()


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


def test_a_value_that_was_damaged_is_no_version_to_lead_on(home, clock):
    install(home, clock, 4)
    gc.collect()
    with lmdb.open(str(folder_of(home)), max_dbs=2, map_size=1 << 30) as environment:
        tokens = environment.open_db(b"tokens", create=False)
        with environment.begin(tokens, write=True) as transaction:
            transaction.put(token(1), transaction.get(token(1))[:-1])
    writer = LmdbReplicaWriter(home, clock)
    with pytest.raises(Exception, match="can't be read") as caught:
        grow(writer, 5, 6)
    assert "digest-mismatch" == caught.value.refusal
    with pytest.raises(Exception, match="can't be read"):
        writer.body(token(1), COURT)
    assert body(2) == body_of(LmdbReplica(home, clock).begin().get(token(2)), COURT)
    writer.close()


# --- room ---------------------------------------------------------------------------------------------------------------


def test_the_first_tokens_that_come_later_find_room_in_the_pages_that_are_there(home, clock):
    def leaves():
        return writer._opened._generation.begin().stat()["leaf_pages"]

    bodies = records(range(20_000))
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, bodies), bodies)
    before = leaves()
    added = records(range(20_000, 20_100))
    writer.apply(edition(2, sorted(bodies + added)), added)
    assert leaves() < before + 10
    writer.close()


def test_nothing_but_the_records_is_in_a_generation(home, clock):
    bodies = records(range(5000))
    writer = LmdbReplicaWriter(home, clock)
    writer.install(edition(1, bodies), bodies)
    assert bodies == list(writer.records())
    writer.close()
