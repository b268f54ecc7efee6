"""What a verification of the journal finds. Nothing of it says anything about a person."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class LogFault(StrEnum):
    """What can be wrong with a log: the whole of it, for there is no other."""

    ENTRY_CHANGED = "entry-changed"
    """An entry's bytes do not have the hash that is stored with them."""
    ENTRY_MISSING = "entry-missing"
    """There is no entry where one must be."""
    ENTRY_SURPLUS = "entry-surplus"
    """There is an entry where none can be: before the first, twice, or after the last that the head counts."""
    TILE_WRONG = "tile-wrong"
    """A stored subtree's hash is missing, surplus, or not that of its entries: one of the two was changed."""
    HEAD_WRONG = "head-wrong"
    """The head is missing, or is not that of the entries."""
    TRUNCATED = "truncated"
    """The log is shorter than a checkpoint says: its end was cut off."""
    ROOT_WRONG = "root-wrong"
    """The entries are not those that a checkpoint was signed over."""
    CHECKPOINT_WRONG = "checkpoint-wrong"
    """A checkpoint is missing, damaged, or not signed by the log's key."""
    OTHER_LOG = "other-log"
    """A checkpoint is of another log: this one was exchanged, or the checkpoint was mistaken."""
    INDEX_WRONG = "index-wrong"
    """A row that was derived from an entry is not what the entry says."""
    UNREADABLE = "unreadable"
    """A row holds what no row can hold; what follows it was not read."""


class LogFinding(NamedTuple):
    """One thing that is wrong; ``sequence`` is the first entry concerned, None where it can't be told."""

    fault: LogFault
    what: str
    sequence: int | None = None


class Place(StrEnum):
    """Where a checkpoint comes from that a log is compared with."""

    GIVEN = "given"
    """From elsewhere: the one that shows what whoever holds this host has done."""
    SIGNER = "signer"
    """What this host's signer remembers, outside the database."""
    JOURNAL = "journal"
    """The newest in the journal's own database."""


class Note(NamedTuple):
    """A checkpoint's note, and where it comes from."""

    place: Place
    text: str


class Proven(NamedTuple):
    """A checkpoint that the log was found to agree with."""

    place: Place
    size: int


class Verified(NamedTuple):
    """What a verification came to.

    Attributes:
        origin: the log's name; "" where the head is missing.
        size: how many entries were read.
        root: over them; None where some are missing.
        proven: the checkpoints that the log agrees with.
        findings: how many there were.
    """

    origin: str
    size: int
    root: bytes | None
    proven: tuple[Proven, ...]
    findings: int

    @property
    def covered(self) -> int:
        """How many entries, from the first on, a checkpoint vouches for."""
        return max((each.size for each in self.proven), default=0)

    @property
    def unsigned(self) -> int:
        """How many entries follow that nobody has signed: had they been changed as a whole, it would not show."""
        return max(self.size - self.covered, 0)
