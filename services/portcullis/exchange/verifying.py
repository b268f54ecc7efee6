"""Verifying a whole log: every entry, everything that follows from it, and the checkpoints that were signed over it.

The rules:

1. Entries are read once, in their order, in bounded memory. Each must follow the one before it, and have the hash that is
   stored with it.
2. The tree is computed anew from the stored hashes. The tiles and the head must be what it gives.
3. A checkpoint is believed if the log's key has signed it; what this host's signer remembers is believed as it stands. At
   its size, the tree must have its root. A log that ends before was cut off.
4. A checkpoint that was given from elsewhere must still be in the journal, as it was signed. Of the journal's own, those
   before the newest must say what the tree says at their size; their signatures may be of a key that was exchanged since.
5. Whatever was derived from the entries, to find them by, must be what they say.
6. A fault is told and the rest goes on. Behind an entry that is missing no tree can be computed: from there on each entry
   is judged by itself.

The log may grow meanwhile. What it can't tell: whether entries behind the newest checkpoint were exchanged together with
everything that follows from them, and whether all checkpoints before those given are still kept.

Example: somebody overwrites entry 700 and its hash. Tile 2 of level 1, over entries 512 to 767, is found wrong, and every
checkpoint from 701 entries on. If they compute all tiles and the head anew, the checkpoints still are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from portcullis.domain.checkpoints import (
    Checkpoint,
    CheckpointInvalid,
    VerifierKey,
    key_ids,
    parse_checkpoint,
    read_checkpoint,
)
from portcullis.domain.log_findings import LogFault, LogFinding, Note, Place, Proven, Verified
from portcullis.domain.merkle import HASH_BYTES, TILE_BITS, Frontier, leaf_hash
from portcullis.ports import LogHead, LogReader, StoredCheckpoint

_FIRST: Final = -(2**63)
"""Below every sequence that a database can hold, so that none is overlooked."""

_LAST: Final = 2**63 - 1
_LEVELS: Final = 64 // TILE_BITS
_TILES_AT_ONCE: Final = 256
_TELL_EVERY: Final = 1_000

_Row = TypeVar("_Row")

Found = Callable[[LogFinding], None]
"""Told each finding as it is made."""


def verify_log(
    log: LogReader,
    key_of: Callable[[str], VerifierKey],
    kept: Sequence[Note] = (),
    *,
    found: Found,
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Verify a log. Blocks on the database.

    Args:
        log: what is verified.
        key_of: gives the key that the log of an origin is signed with.
        kept: checkpoints from outside the journal; its own newest is compared anyway.
        found: told of everything that is wrong.
        progress: told (entries read, of how many), now and then.

    Raises:
        JournalUnavailable: the database can't be read.
    """
    return _Verification(log, key_of, found, progress).run(kept)


class _Verification:
    def __init__(
        self,
        log: LogReader,
        key_of: Callable[[str], VerifierKey],
        found: Found,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._log = log
        self._key_of = key_of
        self._found = found
        self._progress = progress
        self._findings = 0
        self._next = 0
        self._frontier: Frontier | None = Frontier()
        """The tree over what was read; None behind an entry that is missing."""
        self._waiting: list[tuple[Place, Checkpoint]] = []
        """Checkpoints whose size was not reached yet, the smallest last."""
        self._proven: list[Proven] = []
        self._older = _Older(log, self._tell)
        self._tiles = _Tiles(log, self._tell)
        self._head: LogHead | None = None
        self._read = 0

    def run(self, kept: Sequence[Note]) -> Verified:
        """Verify; rules in the module's docstring."""
        self._head = self._stored_head(kept)
        origin = self._log.origin() if self._head else ""
        if origin:
            self._waiting = sorted(self._checkpoints(origin, kept), key=lambda each: each[1].size)[::-1]
            self._older.begin(self._key_of(origin))
        self._compare()
        self._read_entries()
        self._judge_end()
        for line in self._readable(self._log.index_faults(), "what was derived from the entries can't be read"):
            self._tell(LogFault.INDEX_WRONG, line)
        root = self._frontier.root() if self._frontier else None
        return Verified(origin, self._read, root, tuple(self._proven), self._findings)

    def _tell(self, fault: LogFault, what: str, sequence: int | None = None) -> None:
        self._findings += 1
        self._found(LogFinding(fault, what, sequence))

    def _readable(self, rows: Iterator[_Row], otherwise: str) -> Iterator[_Row]:
        """Give rows up to one that can't be read: a database without strict types may hold a number in place of bytes."""
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except (TypeError, ValueError):
                self._tell(LogFault.UNREADABLE, otherwise, self._next)
                self._frontier = None
                return
            yield row

    def _stored_head(self, kept: Sequence[Note]) -> LogHead | None:
        try:
            head = self._log.head()
        except (TypeError, ValueError):
            head = LogHead(-1, b"")
        if head is None and (kept or self._log.checkpoint() or next(self._log.entries(_FIRST), None)):
            self._tell(LogFault.HEAD_WRONG, "the head is missing, and with it the log's name; no checkpoint can be compared")
        elif head is not None and not (isinstance(head.size, int) and isinstance(head.frontier, bytes) and head.size >= 0):
            self._tell(LogFault.HEAD_WRONG, "the head can't be read; no checkpoint can be compared")
            return None
        return head

    # --- checkpoints -----------------------------------------------------------------------------------------------------

    def _checkpoints(self, origin: str, kept: Sequence[Note]) -> Iterator[tuple[Place, Checkpoint]]:
        key = self._key_of(origin)
        for place, text in kept:
            checkpoint = self._believed(place, text, key, origin)
            if checkpoint is not None:
                yield place, checkpoint
                if place is Place.GIVEN:
                    self._demand_kept(checkpoint)
        newest = self._log.checkpoint()
        if newest is None:
            return
        checkpoint = self._believed(Place.JOURNAL, newest.note, key, origin)
        if checkpoint is not None:
            if (checkpoint.size, checkpoint.root) != (newest.size, newest.root):
                self._tell(LogFault.CHECKPOINT_WRONG, f"the journal's checkpoint of {newest.size} is not what its note says")
            yield Place.JOURNAL, checkpoint

    def _believed(self, place: Place, text: str, key: VerifierKey, origin: str) -> Checkpoint | None:
        try:
            checkpoint = parse_checkpoint(text)
            if checkpoint.origin == origin and place is not Place.SIGNER:
                read_checkpoint(text, key)
        except CheckpointInvalid as fault:
            self._tell(LogFault.CHECKPOINT_WRONG, f"{_NAMES[place]}: {fault.message}")
            return None
        if checkpoint.origin != origin:
            self._tell(LogFault.OTHER_LOG, f"{_NAMES[place]} is of another log than this one")
            return None
        return checkpoint

    def _demand_kept(self, given: Checkpoint) -> None:
        """Rule 4. Signatures of witnesses may have been added to either."""
        stored = self._log.checkpoint(given.size) if given.size else None
        if given.size and (stored is None or not stored.note.startswith(given.text())):
            self._tell(LogFault.CHECKPOINT_WRONG, f"the checkpoint of {given.size} that was given is not in the journal")

    def _compare(self) -> None:
        """Compare the tree with the checkpoints of its size."""
        while self._frontier and self._waiting and self._waiting[-1][1].size == self._frontier.size:
            place, checkpoint = self._waiting.pop()
            if checkpoint.root == self._frontier.root():
                self._proven.append(Proven(place, checkpoint.size))
            else:
                self._tell(
                    LogFault.ROOT_WRONG,
                    f"the first {checkpoint.size} entries are not those that were signed, as {_NAMES[place]} tells",
                )

    # --- entries ---------------------------------------------------------------------------------------------------------

    def _read_entries(self) -> None:
        rows = self._log.entries(_FIRST)
        for sequence, leaf, entry in self._readable(rows, "the entries from here on can't be read"):
            self._take(sequence, leaf, entry)
        self._tiles.flush()

    def _take(self, sequence: int, leaf: bytes, entry: bytes) -> None:
        if sequence < self._next:
            where = "before the first entry" if sequence < 0 else "a second time, or out of order"
            self._tell(LogFault.ENTRY_SURPLUS, f"an entry stands {where}", sequence)
            return
        if sequence > self._next:
            self._tell(LogFault.ENTRY_MISSING, f"entries up to {sequence - 1} are missing", self._next)
            self._frontier = None
        self._next = sequence + 1
        self._read += 1
        # SQLite may hold a text where bytes belong.
        sound = isinstance(entry, bytes) and leaf_hash(entry) == leaf
        if not sound:
            self._tell(LogFault.ENTRY_CHANGED, "the entry or its hash was changed", sequence)
        if self._frontier is not None:
            # The stored hash, so that an entry that was changed alone does not make the rest of the tree look changed.
            self._tiles.expect(self._frontier.append(leaf if _is_hash(leaf) else bytes(HASH_BYTES)))
            self._compare()
            self._older.compare(self._frontier)
            self._compare_head(self._frontier)
        if self._progress is not None and self._read % _TELL_EVERY == 0:
            self._progress(self._read, max(self._read, self._head.size if self._head else 0))

    def _compare_head(self, frontier: Frontier) -> None:
        # The head as it was when the verification began: it moves on while others write.
        head = self._head
        if head is not None and frontier.size == head.size and frontier.to_bytes() != head.frontier:
            self._tell(LogFault.HEAD_WRONG, "the head's hashes are not those of the entries", frontier.size - 1)

    def _judge_end(self) -> None:
        if self._progress is not None:
            self._progress(self._read, self._read)
        for place, checkpoint in reversed(self._waiting):
            if checkpoint.size > self._next:
                self._tell(
                    LogFault.TRUNCATED,
                    f"there are {self._next} entries, and {_NAMES[place]} says {checkpoint.size}",
                    self._next,
                )
        if self._head is not None:
            self._judge_head(self._head)
            self._tiles.demand_no_more()

    def _judge_head(self, head: LogHead) -> None:
        if head.size > self._next:
            self._tell(LogFault.ENTRY_MISSING, f"the head counts {head.size} entries; the last are missing", self._next)
        if head.size == 0 and head.frontier:
            self._tell(LogFault.HEAD_WRONG, "the head of an empty log has hashes")
        size = self._log.size()
        if size < self._next:
            self._tell(LogFault.ENTRY_SURPLUS, f"the head counts {size} entries, and there are more", size)


class _Older:
    """Compares the journal's checkpoints before its newest with the tree, as it grows."""

    def __init__(self, log: LogReader, tell: Callable[[LogFault, str, int | None], None]) -> None:
        self._log = log
        self._tell = tell
        self._key: VerifierKey | None = None
        self._rows: Iterator[StoredCheckpoint] = iter(())
        self._next: StoredCheckpoint | None = None
        self._newest = 0
        self._is_tree_signed = True
        """Until one differs: then all that follow do."""

    def begin(self, key: VerifierKey) -> None:
        """Take up the checkpoints as they stand; those that are signed meanwhile are left out."""
        newest = self._log.checkpoint()
        self._key, self._newest = key, newest.size if newest else 0
        self._rows = self._log.checkpoints_from(_FIRST)
        self._step()
        while self._next is not None and self._next.size < 1:
            self._tell(LogFault.CHECKPOINT_WRONG, "the journal has a checkpoint of no entries", None)
            self._step()

    def compare(self, frontier: Frontier) -> None:
        """Compare the checkpoint of the tree's size, if there is one."""
        if self._key is not None and self._next is not None and self._next.size == frontier.size:
            self._judge(self._next, frontier.root(), self._key)
            self._step()

    def _step(self) -> None:
        following = next(self._rows, None)
        self._next = following if following is not None and following.size < self._newest else None

    def _judge(self, stored: StoredCheckpoint, root: bytes, key: VerifierKey) -> None:
        noted = _noted(stored.note, key) if isinstance(stored.note, str) else None
        if noted is None or (noted.origin, noted.size, noted.root) != (key.name, stored.size, stored.root):
            self._tell(
                LogFault.CHECKPOINT_WRONG, f"the journal's checkpoint of {stored.size} is not what its note says", None
            )
        elif stored.root != root and self._is_tree_signed:
            self._is_tree_signed = False
            what = (
                f"the first {stored.size} entries are not those that were signed, as the journal's checkpoint of them tells"
            )
            self._tell(LogFault.ROOT_WRONG, what, None)


def _noted(note: str, key: VerifierKey) -> Checkpoint | None:
    """Give what a note of the log says; None where it is not signed in the log's name, or not as its key has signed it."""
    try:
        ids = key_ids(note, key.name)
        if key.key_id in ids:
            return read_checkpoint(note, key)
        # By a key that was exchanged since, as far as can be told.
        return parse_checkpoint(note) if ids else None
    except CheckpointInvalid:
        return None


def _is_hash(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == HASH_BYTES


class _Tiles:
    """Compares the stored tiles with those computed, some at a time."""

    def __init__(self, log: LogReader, tell: Callable[[LogFault, str, int | None], None]) -> None:
        self._log = log
        self._tell = tell
        self._expected: dict[int, list[tuple[int, bytes]]] = {}
        """Level -> the tiles to be compared, in the order of their numbers, which has no gaps."""

    def expect(self, tiles: Sequence[tuple[int, int, bytes]]) -> None:
        """Note what tiles there must be."""
        for level, number, tile in tiles:
            row = self._expected.setdefault(level, [])
            row.append((number, tile))
            if len(row) == _TILES_AT_ONCE:
                self._compare(level, row)

    def flush(self) -> None:
        """Compare all that were noted."""
        for level, row in self._expected.items():
            self._compare(level, row)

    def demand_no_more(self) -> None:
        """Look for tiles of subtrees that are not complete yet."""
        size = self._log.size()
        for level in range(1, _LEVELS):
            surplus = self._surplus(level, size)
            # What the log has grown by since its size was read is no surplus.
            while surplus and (now := self._log.size()) != size:
                size = now
                surplus = self._surplus(level, size)
            if surplus:
                self._tell(LogFault.TILE_WRONG, f"level {level} has {surplus} tiles too many", size)

    def _surplus(self, level: int, size: int) -> int:
        return len(self._log.tile_hashes(level, size >> level * TILE_BITS, _LAST))

    def _compare(self, level: int, row: list[tuple[int, bytes]]) -> None:
        if row and list(self._log.tile_hashes(level, row[0][0], row[-1][0] + 1)) != [tile for _, tile in row]:
            for number, tile in row:
                self._compare_one(level, number, tile)
        row.clear()

    def _compare_one(self, level: int, number: int, tile: bytes) -> None:
        stored = list(self._log.tile_hashes(level, number, number + 1))
        if stored != [tile]:
            first, width = number << level * TILE_BITS, 1 << level * TILE_BITS
            what = "is not that of its entries" if stored else "is missing"
            self._tell(
                LogFault.TILE_WRONG, f"the hash of entries {first} to {first + width - 1} (level {level}) {what}", first
            )


_NAMES: Final = {
    Place.GIVEN: "the checkpoint given",
    Place.SIGNER: "the checkpoint that this host's signer remembers",
    Place.JOURNAL: "the journal's newest checkpoint",
}
