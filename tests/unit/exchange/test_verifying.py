"""A whole log is verified, and each way of tampering with it is found and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import msgspec
import pytest

from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.domain.checkpoints import Checkpoint
from portcullis.domain.log_findings import LogFault, LogFinding, Note, Place, Proven, Verified
from portcullis.domain.merkle import leaf_hash
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.verifying import verify_log
from portcullis.ports import Journal, StoredCheckpoint
from tests.support.clocks import HandClock
from tests.support.decision_records import a_record
from tests.support.logs import LogInMemory, Row
from tests.support.signers import SignCounts, SignerInMemory

SIGNER = SignerInMemory()


def sign(log: LogInMemory, signer: SignerInMemory | None = None) -> str:
    stored = Checkpointer(cast("Journal", log), signer or SignerInMemory(), HandClock(), SignCounts()).sign_once()
    assert stored is not None
    return stored.note


@pytest.fixture
def log() -> LogInMemory:
    """A log of 1,000 entries, signed at 900."""
    log = LogInMemory().fill(900)
    sign(log)
    return log.fill(100)


def verified(log: LogInMemory, *kept: Note) -> tuple[Verified, list[LogFinding]]:
    found: list[LogFinding] = []
    return verify_log(log, SIGNER.key, kept, found=found.append), found


def faults(log: LogInMemory, *kept: Note) -> list[tuple[LogFault, int | None]]:
    outcome, found = verified(log, *kept)
    assert outcome.findings == len(found)
    return [(each.fault, each.sequence) for each in found]


def given(log: LogInMemory) -> Note:
    stored = log.checkpoint()
    assert stored is not None
    return Note(Place.GIVEN, stored.note)


def test_a_log_that_nobody_touched_is_proven_up_to_its_checkpoint(log: LogInMemory) -> None:
    outcome, found = verified(log, given(log))
    assert [] == found
    assert (log.origin(), 1000, log.root(1000)) == (outcome.origin, outcome.size, outcome.root)
    assert {Proven(Place.GIVEN, 900), Proven(Place.JOURNAL, 900)} == set(outcome.proven)
    assert (900, 100, 0) == (outcome.covered, outcome.unsigned, outcome.findings)


def test_an_empty_log_is_well() -> None:
    outcome, found = verified(LogInMemory())
    assert ([], 0, 0) == (found, outcome.size, outcome.covered)


def test_progress_is_told_now_and_then_and_at_the_end(log: LogInMemory) -> None:
    told: list[tuple[int, int]] = []
    log.fill(1500)
    verify_log(log, SIGNER.key, found=lambda _: None, progress=lambda done, total: told.append((done, total)))
    assert [(1000, 2500), (2000, 2500), (2500, 2500)] == told


def change_entry(log: LogInMemory) -> None:
    log.rows[700].entry = b"another"


def change_hash(log: LogInMemory) -> None:
    log.rows[700].leaf = leaf_hash(b"another")


def change_both(log: LogInMemory) -> None:
    log.rows[700] = Row(700, leaf_hash(b"another"), b"another")


def change_both_behind_the_checkpoint(log: LogInMemory) -> None:
    log.rows[950] = Row(950, leaf_hash(b"another"), b"another")


def swap(log: LogInMemory) -> None:
    first, second = log.rows[700], log.rows[701]
    log.rows[700], log.rows[701] = Row(700, second.leaf, second.entry), Row(701, first.leaf, first.entry)


def remove(log: LogInMemory) -> None:
    del log.rows[700]


def remove_and_close_up(log: LogInMemory) -> None:
    del log.rows[700]
    for row in log.rows[700:]:
        row.sequence -= 1


def repeat(log: LogInMemory) -> None:
    log.rows.insert(701, log.rows[700])


def insert_before_the_first(log: LogInMemory) -> None:
    log.rows.insert(0, Row(-1, leaf_hash(b"x"), b"x"))


def insert_behind_the_last(log: LogInMemory) -> None:
    log.rows.append(Row(1000, leaf_hash(b"x"), b"x"))


def insert_far_behind(log: LogInMemory) -> None:
    log.rows.append(Row(2**60, leaf_hash(b"x"), b"x"))


def cut_rows(log: LogInMemory) -> None:
    del log.rows[-20:]


def change_tile(log: LogInMemory) -> None:
    log.tiles[1, 2] = bytes(32)


def remove_tile(log: LogInMemory) -> None:
    del log.tiles[1, 2]


def add_tile(log: LogInMemory) -> None:
    log.tiles[1, 3] = bytes(32)


def change_frontier(log: LogInMemory) -> None:
    log.head_frontier = bytes(len(log.head_frontier))


def shrink_head(log: LogInMemory) -> None:
    log.head_size -= 1


def grow_head(log: LogInMemory) -> None:
    log.head_size += 1


def break_index(log: LogInMemory) -> None:
    log.faults.append("decisions 17: it is missing")


def change_checkpoint_root(log: LogInMemory) -> None:
    stored = log.checkpoints[900]
    log.checkpoints[900] = StoredCheckpoint(size=900, root=bytes(32), signed_at=0, note=stored.note)


def change_checkpoint_note(log: LogInMemory) -> None:
    stored = log.checkpoints[900]
    note = stored.note.replace("\n900\n", "\n901\n")
    log.checkpoints[900] = StoredCheckpoint(size=900, root=stored.root, signed_at=0, note=note)


def older(log: LogInMemory) -> StoredCheckpoint:
    """Put a checkpoint before the newest, as it was signed then."""
    checkpoint = Checkpoint(origin=log.origin(), size=700, root=log.root(700))
    stored = StoredCheckpoint(size=700, root=checkpoint.root, signed_at=0, note=SIGNER.sign(checkpoint))
    log.keep_checkpoint(stored)
    return stored


def change_older_root(log: LogInMemory) -> None:
    log.checkpoints[700] = msgspec.structs.replace(older(log), root=bytes(32))


def change_older_signature(log: LogInMemory) -> None:
    stored = older(log)
    start = stored.note.rindex(" ") + 20
    changed = "A" if stored.note[start] != "A" else "B"
    log.checkpoints[700] = msgspec.structs.replace(stored, note=stored.note[:start] + changed + stored.note[start + 1 :])


def change_older_signers_name(log: LogInMemory) -> None:
    stored = older(log)
    log.checkpoints[700] = msgspec.structs.replace(stored, note=stored.note.replace("— ", "— x"))


def move_older(log: LogInMemory) -> None:
    log.checkpoints[701] = msgspec.structs.replace(older(log), size=701)
    del log.checkpoints[700]


def sign_older_anew(log: LogInMemory) -> None:
    """As somebody who has the key, but not what partners hold."""
    for size in (600, 700):
        checkpoint = Checkpoint(origin=log.origin(), size=size, root=bytes(32))
        log.keep_checkpoint(StoredCheckpoint(size=size, root=bytes(32), signed_at=0, note=SIGNER.sign(checkpoint)))


def add_checkpoint_of_nothing(log: LogInMemory) -> None:
    log.checkpoints[-3] = msgspec.structs.replace(older(log), size=-3)


def forge_checkpoint(log: LogInMemory) -> None:
    checkpoint = Checkpoint(origin=log.origin(), size=1000, root=log.root(1000))
    note = SignerInMemory(bytes(32)).sign(checkpoint)
    log.keep_checkpoint(StoredCheckpoint(size=1000, root=checkpoint.root, signed_at=0, note=note))


def rename(log: LogInMemory) -> None:
    log.name = "journal.example/another"


Damage = Callable[[LogInMemory], None]
F = LogFault


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (change_entry, [(F.ENTRY_CHANGED, 700)]),
        (change_hash, [(F.ENTRY_CHANGED, 700), (F.ROOT_WRONG, None), (F.HEAD_WRONG, 999), (F.TILE_WRONG, 512)]),
        (change_both, [(F.ROOT_WRONG, None), (F.HEAD_WRONG, 999), (F.TILE_WRONG, 512)]),
        (change_both_behind_the_checkpoint, [(F.HEAD_WRONG, 999)]),
        (swap, [(F.ROOT_WRONG, None), (F.HEAD_WRONG, 999), (F.TILE_WRONG, 512)]),
        (remove, [(F.ENTRY_MISSING, 700)]),
        (remove_and_close_up, [(F.ROOT_WRONG, None), (F.TILE_WRONG, 512), (F.ENTRY_MISSING, 999)]),
        (repeat, [(F.ENTRY_SURPLUS, 700)]),
        (insert_before_the_first, [(F.ENTRY_SURPLUS, -1)]),
        (insert_behind_the_last, [(F.ENTRY_SURPLUS, 1000)]),
        (insert_far_behind, [(F.ENTRY_MISSING, 1000), (F.ENTRY_SURPLUS, 1000)]),
        (cut_rows, [(F.ENTRY_MISSING, 980)]),
        (change_tile, [(F.TILE_WRONG, 512)]),
        (remove_tile, [(F.TILE_WRONG, 512)]),
        (add_tile, [(F.TILE_WRONG, 1000)]),
        (change_frontier, [(F.HEAD_WRONG, 999)]),
        (shrink_head, [(F.HEAD_WRONG, 998), (F.ENTRY_SURPLUS, 999)]),
        (grow_head, [(F.ENTRY_MISSING, 1000)]),
        (break_index, [(F.INDEX_WRONG, None)]),
        (change_checkpoint_root, [(F.CHECKPOINT_WRONG, None)]),
        (change_checkpoint_note, [(F.CHECKPOINT_WRONG, None)]),
        (change_older_root, [(F.CHECKPOINT_WRONG, None)]),
        (change_older_signature, [(F.CHECKPOINT_WRONG, None)]),
        (change_older_signers_name, [(F.CHECKPOINT_WRONG, None)]),
        (move_older, [(F.CHECKPOINT_WRONG, None)]),
        (sign_older_anew, [(F.ROOT_WRONG, None)]),
        (add_checkpoint_of_nothing, [(F.CHECKPOINT_WRONG, None)]),
        (forge_checkpoint, [(F.CHECKPOINT_WRONG, None)]),
        (rename, [(F.OTHER_LOG, None)]),
    ],
)
def test_tampering_is_found_without_any_checkpoint_from_elsewhere(
    log: LogInMemory, damage: Damage, expected: list[tuple[LogFault, int | None]]
) -> None:
    damage(log)
    assert expected == faults(log)


def test_an_older_checkpoint_of_a_key_that_was_exchanged_since_is_no_finding(log: LogInMemory) -> None:
    note = SignerInMemory(bytes(32)).sign(Checkpoint(origin=log.origin(), size=700, root=log.root(700)))
    log.checkpoints[700] = msgspec.structs.replace(older(log), note=note)
    assert [] == faults(log)


def replace_all(log: LogInMemory, entries: list[bytes]) -> None:
    """Rewrite the log with everything that follows from it, as somebody who knows how it is made can."""
    other = LogInMemory(name=log.name)
    for entry in entries:
        other.append(entry)
    log.rows, log.tiles, log.checkpoints = other.rows, other.tiles, {}
    log.head_size, log.head_frontier = other.head_size, other.head_frontier


@pytest.mark.parametrize("place", [Place.GIVEN, Place.SIGNER])
def test_a_log_that_was_cut_off_whole_is_found_by_a_checkpoint_from_elsewhere(log: LogInMemory, place: Place) -> None:
    note = Note(place, given(log).text)
    replace_all(log, [row.entry for row in log.rows[:899]])
    assert [] == faults(log)
    assert (F.TRUNCATED, 899) in faults(log, note)


@pytest.mark.parametrize("place", [Place.GIVEN, Place.SIGNER])
def test_a_log_that_was_written_anew_is_found_by_a_checkpoint_from_elsewhere(log: LogInMemory, place: Place) -> None:
    note = Note(place, given(log).text)
    replace_all(log, [b"another", *(row.entry for row in log.rows[1:])])
    assert [] == faults(log)
    assert (F.ROOT_WRONG, None) in faults(log, note)


def test_a_log_that_was_emptied_is_found_by_a_checkpoint_from_elsewhere(log: LogInMemory) -> None:
    note = given(log)

    class Emptied(LogInMemory):
        def head(self) -> None:
            return None

    assert [F.HEAD_WRONG] == [fault for fault, _ in faults(Emptied(), note)]
    assert [] == faults(Emptied())


def test_a_checkpoint_from_elsewhere_must_still_be_in_the_journal(log: LogInMemory) -> None:
    note = given(log)
    log.checkpoints.clear()
    assert [] == faults(log)
    assert [(F.CHECKPOINT_WRONG, None)] == faults(log, note)
    assert [] == faults(log, note._replace(place=Place.SIGNER))


def test_signatures_of_witnesses_may_have_been_added_to_what_was_kept(log: LogInMemory) -> None:
    note = given(log)
    witness = "— witness.example AQIDBAUGBwg=\n"
    assert [] == faults(log, note._replace(text=note.text + witness))


def test_a_checkpoint_from_elsewhere_that_somebody_forged_is_not_believed(log: LogInMemory) -> None:
    checkpoint = Checkpoint(origin=log.origin(), size=1000, root=log.root(1000))
    forged = Note(Place.GIVEN, SignerInMemory(bytes(32)).sign(checkpoint))
    outcome, found = verified(log, forged)
    assert [F.CHECKPOINT_WRONG] == [each.fault for each in found]
    assert 900 == outcome.covered


def test_what_the_signer_remembers_is_believed_after_its_key_was_exchanged(log: LogInMemory) -> None:
    checkpoint = Checkpoint(origin=log.origin(), size=950, root=log.root(950))
    remembered = Note(Place.SIGNER, SignerInMemory(bytes(32)).sign(checkpoint))
    outcome, found = verified(log, remembered)
    assert ([], 950) == (found, outcome.covered)


def test_behind_a_gap_each_entry_is_still_judged_by_itself(log: LogInMemory) -> None:
    del log.rows[100]
    log.rows[500].entry = b"another"
    assert [(F.ENTRY_MISSING, 100), (F.ENTRY_CHANGED, 501)] == faults(log)
    outcome, _ = verified(log)
    assert (None, 0, 999) == (outcome.root, outcome.covered, outcome.size)


class Odd(LogInMemory):
    """A log whose rows can't be read from some entry on."""

    def entries(self, begin: int) -> Iterator[tuple[int, bytes, bytes]]:
        for sequence, leaf, entry in super().entries(begin):
            if sequence == 40:
                raise TypeError("string argument without an encoding")
            yield sequence, leaf, entry


def test_a_row_that_can_not_be_read_is_a_finding() -> None:
    assert (F.UNREADABLE, 40) in faults(Odd().fill(100))


def test_a_log_of_many_tiles_is_compared_some_at_a_time() -> None:
    log = LogInMemory().fill(256 * 300)
    sign(log)
    assert [] == faults(log)
    log.tiles[1, 299] = log.tiles[2, 0] = bytes(32)
    assert [(F.TILE_WRONG, 299 * 256), (F.TILE_WRONG, 0)] == faults(log)


def test_the_journal_in_memory_verifies() -> None:
    journal = MemoryJournal(clock=HandClock())
    assert [] == verified_journal(journal)
    journal.record_decisions([a_record(f"d{n}") for n in range(300)])
    Checkpointer(journal, SignerInMemory(), HandClock(), SignCounts()).sign_once()
    assert [] == verified_journal(journal)


def verified_journal(journal: Journal) -> list[LogFinding]:
    found: list[LogFinding] = []
    verify_log(journal, SIGNER.key, found=found.append)
    return found
