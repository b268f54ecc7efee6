"""Checkpoints are signed as the log grows, and never over a log that does not extend what was signed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from portcullis.adapters.log_signing import LogSigner
from portcullis.domain.checkpoints import read_checkpoint
from portcullis.domain.errors import JournalUnavailable
from portcullis.domain.merkle import HashesMissing, leaf_hash
from portcullis.exchange.checkpointing import Checkpointer, LogNotExtended
from portcullis.ports import Journal, StoredCheckpoint
from tests.support.clocks import HandClock
from tests.support.logs import LogInMemory
from tests.support.signers import SignCounts, SignerInMemory


class Desk:
    """A checkpointer and everything it works on."""

    def __init__(self, log: LogInMemory, signer: SignerInMemory | None = None) -> None:
        self.log = log
        self.signer = signer or SignerInMemory()
        self.counts = SignCounts()
        self.clock = HandClock()
        self.restart()

    def restart(self) -> None:
        self.checkpointer = Checkpointer(cast("Journal", self.log), self.signer, self.clock, self.counts)

    def sign(self) -> StoredCheckpoint | None:
        return self.checkpointer.sign_once()


def test_a_log_that_has_grown_is_signed_and_kept() -> None:
    desk = Desk(LogInMemory().fill(5))
    stored = desk.sign()
    assert stored is not None
    checkpoint = read_checkpoint(stored.note, desk.signer.key(desk.log.origin()))
    assert (5, desk.log.root(5)) == (checkpoint.size, checkpoint.root) == (stored.size, stored.root)
    assert stored == desk.log.checkpoint()
    assert (desk.clock.now(), stored.note) == (stored.signed_at, desk.signer.note)
    assert [5] == desk.counts.sizes


def test_a_log_that_has_not_grown_is_not_signed_again() -> None:
    desk = Desk(LogInMemory())
    assert desk.sign() is None
    desk.log.fill(3)
    assert desk.sign() is not None
    assert desk.sign() is None
    desk.restart()
    assert desk.sign() is None
    assert [3] == desk.counts.sizes


def test_every_growth_extends_what_was_signed_before() -> None:
    desk = Desk(LogInMemory())
    for more in (1, 1, 5, 250, 1, 700):
        desk.log.fill(more)
        assert desk.sign() is not None
        desk.restart()
    assert [1, 2, 7, 257, 258, 958] == desk.counts.sizes == sorted(desk.log.checkpoints)


def shorten(log: LogInMemory) -> None:
    del log.rows[-10:]
    log.head_size -= 10


def rewrite(log: LogInMemory) -> None:
    other = LogInMemory().fill(250)
    other.rows.clear()
    other = LogInMemory()
    other.append(b"another entry")
    other.fill(320)
    log.rows, log.tiles, log.head_size = other.rows, other.tiles, other.head_size


def change_hash(log: LogInMemory) -> None:
    log.rows[299].leaf = leaf_hash(b"another entry")
    log.fill(5)


def exchange(log: LogInMemory) -> None:
    log.name = "journal.example/another"


@pytest.mark.parametrize("damage", [shorten, rewrite, change_hash, exchange])
@pytest.mark.parametrize("remembered", [True, False])
def test_a_log_that_does_not_extend_what_was_signed_is_never_signed(
    damage: Callable[[LogInMemory], None], remembered: bool
) -> None:
    desk = Desk(LogInMemory().fill(300))
    desk.sign()
    if not remembered:
        desk.signer.note = None
    damage(desk.log)
    desk.restart()
    with pytest.raises(LogNotExtended):
        desk.sign()
    assert [300] == sorted(desk.log.checkpoints) == desk.counts.sizes


def test_a_log_that_lacks_hashes_is_not_signed() -> None:
    desk = Desk(LogInMemory().fill(300))
    del desk.log.tiles[1, 0]
    with pytest.raises(HashesMissing):
        desk.sign()
    assert desk.signer.note is None


def test_a_forged_checkpoint_is_not_built_upon() -> None:
    desk = Desk(LogInMemory().fill(300))
    forger = Desk(LogInMemory(), SignerInMemory(bytes(32)))
    rewrite(forger.log)
    desk.log.checkpoints = {}
    forged = forger.sign()
    assert forged is not None
    desk.log.keep_checkpoint(forged)
    rewrite(desk.log)
    with pytest.raises(LogNotExtended, match="can't be believed"):
        desk.sign()


def test_a_signer_goes_on_with_a_new_key_from_what_it_remembers() -> None:
    desk = Desk(LogInMemory().fill(3))
    desk.sign()
    desk.signer.seed = bytes(32)
    desk.log.fill(1)
    desk.restart()
    stored = desk.sign()
    assert stored is not None
    assert 4 == read_checkpoint(stored.note, desk.signer.key(desk.log.origin())).size


def test_a_memory_that_is_damaged_says_what_to_do() -> None:
    desk = Desk(LogInMemory().fill(3), SignerInMemory(note="portcullis/journal/00\n"))
    with pytest.raises(LogNotExtended, match=r"journal\.checkpoint, beside the key, can't be read"):
        desk.sign()


def test_what_was_remembered_but_not_kept_is_kept_at_the_next_start() -> None:
    desk = Desk(LogInMemory().fill(3))
    stored = desk.sign()
    desk.log.checkpoints.clear()
    desk.restart()
    assert desk.sign() is None
    assert stored == desk.log.checkpoint()


def test_nothing_is_kept_that_could_not_be_remembered() -> None:
    desk = Desk(LogInMemory().fill(3), SignerInMemory(refuse=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        desk.sign()
    assert desk.log.checkpoint() is None
    desk.signer.refuse = None
    assert desk.sign() is not None


class Flaky(LogInMemory):
    """A log whose database goes away now and then."""

    down = False

    def size(self) -> int:
        if self.down:
            raise JournalUnavailable
        return super().size()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_loop_outlives_every_fault_and_goes_on_by_itself() -> None:
    log = Flaky()
    log.fill(3)
    desk, stop = Desk(log), threading.Event()
    thread = threading.Thread(target=desk.checkpointer.run, args=(stop, 0.001))
    thread.start()
    try:
        wait_until(lambda: desk.counts.sizes == [3])
        log.down = True
        wait_until(lambda: "journal" in desk.counts.failures)
        desk.signer.refuse = OSError(28, "No space left on device")
        log.fill(1)
        log.down = False
        wait_until(lambda: "disk" in desk.counts.failures)
        desk.signer.refuse = None
        wait_until(lambda: desk.counts.sizes == [3, 4])
        leaf = log.rows[0].leaf
        log.rows[0].leaf = bytes(32)
        log.fill(1)
        wait_until(lambda: "log" in desk.counts.failures)
        log.rows[0].leaf = leaf
        wait_until(lambda: desk.counts.sizes == [3, 4, 5])
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def test_hashes_of_another_type_do_not_end_the_signing() -> None:
    """As a database without strict types may hold them."""
    desk = Desk(LogInMemory().fill(3))
    leaf, stop = desk.log.rows[0].leaf, threading.Event()
    desk.log.rows[0].leaf = cast("bytes", "a text")
    thread = threading.Thread(target=desk.checkpointer.run, args=(stop, 0.001))
    thread.start()
    try:
        wait_until(lambda: "log" in desk.counts.failures)
        desk.log.rows[0].leaf = leaf
        wait_until(lambda: desk.counts.sizes == [3])
    finally:
        stop.set()
        thread.join(10)


def test_the_signer_on_the_disk_remembers_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    signer, log = LogSigner(bytes(range(32)), folder), LogInMemory().fill(9)
    assert signer.last() is None
    stored = Checkpointer(cast("Journal", log), signer, HandClock(), SignCounts()).sign_once()
    assert stored is not None
    again = LogSigner(bytes(range(32)), folder)
    assert stored.note == again.last()
    assert 0o600 == (folder / "journal.checkpoint").stat().st_mode & 0o777
    assert 9 == read_checkpoint(stored.note, again.key(log.origin())).size


def test_a_memory_that_is_no_text_is_read_as_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "journal.checkpoint").write_bytes(b"\xff\xfe\n")
    checkpointer = Checkpointer(
        cast("Journal", LogInMemory().fill(1)), LogSigner(bytes(32), folder), HandClock(), SignCounts()
    )
    with pytest.raises(LogNotExtended, match="can't be read"):
        checkpointer.sign_once()
