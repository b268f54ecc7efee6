"""Signing the journal's checkpoints on schedule.

The rules:

1. A checkpoint is signed when the log has grown since the last, and never for an empty log.
2. Before that, the log must be proven to begin with what the last checkpoint said (RFC 9162, 2.1.4): a log that was
   shortened, changed or exchanged is never signed. That is logged and counted until it is put right, and it is for a person
   to judge.
3. The last checkpoint is the one that this signer remembers, outside the journal's database. Where it remembers none, it is
   the journal's newest, which must then be signed by this very key.
4. A note is remembered, durably, before it is kept in the journal, where partners read it.
5. No fault ends the loop.

Example: somebody restores last week's database. The log has fewer entries than were signed, so nothing is signed until a
person puts the right database back, or takes ``journal.checkpoint`` away and answers for it to those who hold checkpoints.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Protocol

import structlog

from portcullis.domain.checkpoints import (
    Checkpoint,
    CheckpointInvalid,
    VerifierKey,
    parse_checkpoint,
    read_checkpoint,
)
from portcullis.domain.errors import JournalUnavailable, PortcullisError
from portcullis.domain.merkle import HashReader, consistency_proof, root_of, verify_consistency
from portcullis.ports import Clock, Journal, StoredCheckpoint

_log = structlog.get_logger("portcullis.exchange")


class LogNotExtended(PortcullisError):
    """The log does not begin with what its last checkpoint says, or that can't be read: nothing is signed."""


class NoteSigner(Protocol):
    """Who signs, and remembers what was signed (`portcullis.adapters.log_signing`)."""

    def key(self, origin: str) -> VerifierKey:
        """Give what the signatures for a log are verified with."""
        ...

    def sign(self, checkpoint: Checkpoint) -> str:
        """Give the signed note of a checkpoint."""
        ...

    def last(self) -> str | None:
        """Give the note that was remembered last; raises OSError."""
        ...

    def remember(self, note: str) -> None:
        """Put a note on the disk; raises OSError."""
        ...


class CheckpointCounts(Protocol):
    """Where the checkpointer's events are counted."""

    def signed(self, size: int) -> None:
        """Note a new checkpoint, of so many entries."""
        ...

    def failed(self, part: str) -> None:
        """Count a failed try by the part that failed: journal (not there), log (not extended), disk."""
        ...


class Checkpointer:
    """Signs one journal's checkpoints.

    Args:
        journal: whose.
        signer: signs and remembers.
        clock: for the time of signing.
        counts: where its events are counted.
    """

    def __init__(self, journal: Journal, signer: NoteSigner, clock: Clock, counts: CheckpointCounts) -> None:
        self._journal = journal
        self._signer = signer
        self._clock = clock
        self._counts = counts
        self._last: Checkpoint | None = None
        self._fault = ""

    def sign_once(self) -> StoredCheckpoint | None:
        """Sign the log as it stands, if it has grown; None where it has not. Blocks on the database and the disk.

        Raises:
            LogNotExtended: it does not begin with what was signed last.
            HashesMissing: it lacks hashes.
            JournalUnavailable: the database can't be used.
            OSError: the note can't be remembered.
        """
        origin = self._journal.origin()
        if self._last is None:
            self._last = self._take_up(origin)
        size = self._journal.size()
        if size == (self._last.size if self._last else 0):
            return None
        hashes = _ReadOnce(self._journal)
        checkpoint = Checkpoint(origin=origin, size=size, root=root_of(hashes, size) if size else b"")
        if self._last is not None:
            self._demand_extended(self._last, checkpoint, hashes)
        note = self._signer.sign(checkpoint)
        self._signer.remember(note)
        stored = self._stored(checkpoint, note)
        self._journal.keep_checkpoint(stored)
        self._last = checkpoint
        self._counts.signed(size)
        return stored

    def run(self, stop: threading.Event, interval_s: float) -> None:
        """Sign every ``interval_s`` seconds until told to stop. Blocks."""
        while not stop.is_set():
            self._try()
            stop.wait(interval_s)

    def _try(self) -> None:
        try:
            self.sign_once()
        except JournalUnavailable as fault:
            # The next try takes up anew what was remembered, whatever the journal has of it.
            self._last = None
            self._note("journal", fault.message)
        except OSError as fault:
            self._note("disk", fault.strerror or type(fault).__name__)
        except PortcullisError as fault:
            self._note("log", fault.message)
        except (TypeError, ValueError):
            # A database without strict types may hold a text or a number in place of a hash.
            self._note("log", "the journal's hashes can't be read; run `portcullis journal verify`, and restore the journal")
        else:
            if self._fault:
                _log.info("checkpoints are signed again")
            self._fault = ""

    def _note(self, part: str, text: str) -> None:
        self._counts.failed(part)
        if text != self._fault:
            level = _log.error if part == "log" else _log.warning
            level("no checkpoint can be signed", part=part, reason=text)
        self._fault = text

    def _take_up(self, origin: str) -> Checkpoint | None:
        """Find what was signed last; rules 3 and 4."""
        remembered = self._signer.last()
        if remembered is not None:
            return self._remembered(remembered, origin)
        newest = self._journal.checkpoint()
        if newest is None:
            return None
        try:
            return read_checkpoint(newest.note, self._signer.key(origin))
        except CheckpointInvalid as fault:
            raise LogNotExtended(
                f"the journal's newest checkpoint can't be believed, and none is remembered here: {fault.message}; put a "
                "checkpoint that was kept elsewhere into journal.checkpoint, beside the key"
            ) from fault

    def _remembered(self, note: str, origin: str) -> Checkpoint:
        try:
            last = parse_checkpoint(note)
        except CheckpointInvalid as fault:
            raise LogNotExtended(
                f"journal.checkpoint, beside the key, can't be read: {fault.message}; put the newest checkpoint that was "
                "kept elsewhere there"
            ) from fault
        if last.origin != origin:
            raise LogNotExtended(
                "the journal is another log than the one last signed; restore the right one, or if it begins anew on "
                "purpose, move journal.checkpoint, beside the key, away"
            )
        if self._journal.checkpoint(last.size) is None and last.size <= self._journal.size():
            now = Checkpoint(origin=origin, size=last.size, root=self._journal.root(last.size))
            self._demand_extended(last, now, self._journal)
            self._journal.keep_checkpoint(self._stored(last, note))
        return last

    def _demand_extended(self, last: Checkpoint, now: Checkpoint, hashes: HashReader) -> None:
        if last.size > now.size or not verify_consistency(
            last.size, now.size, last.root, now.root, consistency_proof(hashes, last.size, now.size)
        ):
            raise LogNotExtended(
                f"the journal, of {now.size} entries, does not begin with the {last.size} that were signed last; run "
                "`portcullis journal verify`, and restore the journal; was it restored from a backup, see `journal restored`"
            )

    def _stored(self, checkpoint: Checkpoint, note: str) -> StoredCheckpoint:
        return StoredCheckpoint(size=checkpoint.size, root=checkpoint.root, signed_at=self._clock.now(), note=note)


class _ReadOnce:
    """Stored hashes for one checkpoint, whose root and proof are mostly made of the same ones."""

    def __init__(self, reader: HashReader) -> None:
        self.leaf_hashes = cache(reader.leaf_hashes)
        self.tile_hashes = cache(reader.tile_hashes)
