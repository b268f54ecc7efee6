"""A log in memory, which a test can damage as it likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from portcullis.domain.merkle import Frontier, leaf_hash, root_of
from portcullis.ports.journal import LogHead, StoredCheckpoint


@dataclass
class Row:
    """An entry as a table holds it."""

    sequence: int
    leaf: bytes
    entry: bytes


@dataclass
class LogInMemory:
    """Implements `portcullis.ports.journal.LogReader`, and what a checkpointer needs besides, over plain lists."""

    name: str = "journal.example/a1b2c3"
    rows: list[Row] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    head_size: int = 0
    head_frontier: bytes = b""
    checkpoints: dict[int, StoredCheckpoint] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    read_hashes: int = 0
    _frontier: Frontier = field(default_factory=Frontier)

    def append(self, entry: bytes) -> int:
        """Add an entry; gives its sequence."""
        leaf, sequence = leaf_hash(entry), self._frontier.size
        for level, number, tile in self._frontier.append(leaf):
            self.tiles[level, number] = tile
        self.rows.append(Row(sequence, leaf, entry))
        self.head_size, self.head_frontier = self._frontier.size, self._frontier.to_bytes()
        return sequence

    def fill(self, count: int) -> LogInMemory:
        """Add a number of entries that all differ."""
        for number in range(self.head_size, self.head_size + count):
            self.append(b"entry %d" % number)
        return self

    def origin(self) -> str:
        return self.name

    def size(self) -> int:
        return self.head_size

    def head(self) -> LogHead | None:
        return LogHead(self.head_size, self.head_frontier)

    def leaf_hashes(self, begin: int, end: int) -> Sequence[bytes]:
        found = [row.leaf for row in self.rows[max(0, begin - 8) : end + 8] if begin <= row.sequence < end]
        self.read_hashes += len(found)
        return found

    def tile_hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        if end - begin > len(self.tiles):
            found = [tile for (at, number), tile in sorted(self.tiles.items()) if at == level and begin <= number < end]
        else:
            found = [self.tiles[level, number] for number in range(begin, end) if (level, number) in self.tiles]
        self.read_hashes += len(found)
        return found

    def entries(self, begin: int) -> Iterator[tuple[int, bytes, bytes]]:
        for row in self.rows:
            if row.sequence >= begin:
                yield row.sequence, row.leaf, row.entry

    def index_faults(self) -> Iterator[str]:
        yield from self.faults

    def checkpoint(self, size: int = 0) -> StoredCheckpoint | None:
        return self.checkpoints.get(size or max(self.checkpoints, default=0))

    def checkpoints_from(self, size: int) -> Iterator[StoredCheckpoint]:
        return iter([self.checkpoints[each] for each in sorted(self.checkpoints) if each >= size])

    def keep_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        self.checkpoints.setdefault(checkpoint.size, checkpoint)

    def root(self, size: int) -> bytes:
        return root_of(self, size)
