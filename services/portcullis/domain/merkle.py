r"""The Merkle tree of RFC 9162, section 2.1, over SHA-256: hashes, roots and proofs.

A leaf's hash is ``SHA-256(0x00 || entry)``, a node's ``SHA-256(0x01 || left || right)``. The tree over n > 1 leaves has the
tree over the first k on its left and that over the rest on its right, where k is the largest power of two below n. So a
subtree over 2 ** h leaves that begins at a multiple of 2 ** h never changes again: it is **complete**. What lies left of the
right edge is complete at all times, and the few complete subtrees that a size is made of, the `Frontier`, are all that one
needs to go on.

The log stores every leaf's hash, and as **tiles** the hash of each complete subtree over 256 ** level leaves. Any complete
subtree is then made of 128 stored hashes or fewer, and no proof reads more than 512 hashes for each level.

An example, of a log of five entries::

            root
           /    \
         abcd    e        the frontier is (abcd, e); the proof that c is included is (d, ab, e);
         /  \             the proof that five entries add to three is (c, d, ab, e)
       ab    cd
      / \   / \
     a   b c   d
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Protocol

from portcullis.domain.errors import PortcullisError

HASH_BYTES = 32
TILE_BITS = 8
"""A tile stands for 2 ** TILE_BITS leaves, or tiles of the level below."""

EMPTY_ROOT = sha256(b"").digest()
"""The root of a log without entries."""


class HashesMissing(PortcullisError):
    """A log lacks hashes that its own size says it has: rows were removed, or never written."""

    def __init__(self, level: int, begin: int, end: int) -> None:
        what = f"tiles of level {level}" if level else "leaf hashes"
        super().__init__(f"the journal lacks {what} between {begin} and {end}; run `portcullis journal verify`")


class HashReader(Protocol):
    """The stored hashes of a log, as `portcullis.ports.journal.LogReader` gives them."""

    def leaf_hashes(self, begin: int, end: int) -> Sequence[bytes]:
        """Give the leaf hashes in [begin, end); fewer where some are missing."""
        ...

    def tile_hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """Give the hashes of complete subtrees over 256 ** level leaves, of the numbers in [begin, end); likewise."""
        ...


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """Hash entries, each as `leaf_hash` does."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two neighbours."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the hashes of the complete subtrees that its size is made of, largest first."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Take up a tree where it stands.

        Args:
            size: how many leaves it has.
            hashes: one of 32 bytes for each bit that is set in ``size``.

        Raises:
            ValueError: there are more or fewer hashes, or one has another length.
        """
        self._hashes = list(hashes)
        if size < 0 or len(self._hashes) != size.bit_count() or any(len(each) != HASH_BYTES for each in self._hashes):
            raise ValueError(f"the frontier of {size} leaves has {size.bit_count()} hashes of {HASH_BYTES} bytes")
        self._size = size

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read what `to_bytes` gave.

        Raises:
            ValueError: the bytes are no frontier of this size.
        """
        return cls(size, (data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)))

    def to_bytes(self) -> bytes:
        """Give the hashes, joined."""
        return b"".join(self._hashes)

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    def append(self, leaf_hash: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf by its hash; gives (level, number, hash) of each tile that this completes, lower levels first."""
        tiles = []
        carry, height, size = leaf_hash, 0, self._size
        while size >> height & 1:
            carry = node_hash(self._hashes.pop(), carry)
            height += 1
            if height % TILE_BITS == 0:
                tiles.append((height // TILE_BITS, size >> height, carry))
        self._hashes.append(carry)
        self._size = size + 1
        return tiles

    def extend(self, leaf_hashes: Sequence[bytes]) -> list[tuple[int, int, bytes]]:
        """Add leaves by their hashes, as `append` does one by one, a height at a time: that takes half as long."""
        if not leaf_hashes:
            return []
        tiles: list[tuple[int, int, bytes]] = []
        edge = self._by_height()
        row, first, height = list(leaf_hashes), self._size, 0
        while row:
            if first & 1:
                # Its left neighbour is the edge that was there.
                row.insert(0, edge.pop(height))
                first -= 1
            if len(row) & 1:
                edge[height] = row.pop()
            row = [sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)]
            first, height = first >> 1, height + 1
            if height % TILE_BITS == 0:
                tiles += [(height // TILE_BITS, number, each) for number, each in enumerate(row, first)]
        self._size += len(leaf_hashes)
        self._hashes = [edge[each] for each in sorted(edge, reverse=True)]
        return tiles

    def _by_height(self) -> dict[int, bytes]:
        """Give the hashes by the heights of their subtrees."""
        heights = [height for height in range(self._size.bit_length()) if self._size >> height & 1]
        return dict(zip(reversed(heights), self._hashes, strict=True))

    def root(self) -> bytes:
        """Give the root as the tree stands."""
        return _fold(self._hashes) if self._hashes else EMPTY_ROOT


def root_of(reader: HashReader, size: int) -> bytes:
    """Give the root of a log's first ``size`` entries from its stored hashes.

    Raises:
        HashesMissing: the log does not have all that are needed.
    """
    return _range_hash(reader, 0, size) if size else EMPTY_ROOT


def inclusion_proof(reader: HashReader, index: int, size: int) -> list[bytes]:
    """Give the path from a leaf to the root of the first ``size`` entries (RFC 9162, 2.1.3.1), nearest the leaf first.

    Raises:
        ValueError: no such leaf is among them.
        HashesMissing: the log does not have all hashes that are needed.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} among the first {size}")
    proof = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_range_hash(reader, middle, end))
            end = middle
        else:
            proof.append(_range_hash(reader, begin, middle))
            begin = middle
    proof.reverse()
    return proof


def consistency_proof(reader: HashReader, first: int, second: int) -> list[bytes]:
    """Give the proof that the first ``second`` entries begin with the first ``first`` (RFC 9162, 2.1.4.1).

    Nothing is to be proven, and the proof is empty, where the sizes are equal or the first is 0.

    Raises:
        ValueError: the first size is the larger.
        HashesMissing: the log does not have all hashes that are needed.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a log of {second} entries does not begin with {first}")
    if first in (0, second):
        return []
    proof = []
    begin, end = 0, second
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            proof.append(_range_hash(reader, middle, end))
            end = middle
        else:
            proof.append(_range_hash(reader, begin, middle))
            begin = middle
    if begin:
        # Otherwise the remaining subtree is the first log as a whole, whose root the verifier has.
        proof.append(_range_hash(reader, begin, end))
    proof.reverse()
    return proof


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Say whether the leaf of this hash is the one at ``index`` of the log of this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            node, last = _up_to_left_turn(node, last)
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and compare_digest(found, root)


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether the log of the second size and root begins with that of the first (RFC 9162, 2.1.4.2).

    A log without entries begins every log; its root is `EMPTY_ROOT`.
    """
    if not 0 <= first <= second:
        return False
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    if first == second:
        return not proof and compare_digest(first_root, second_root)
    path = [first_root, *proof] if first.bit_count() == 1 else list(proof)
    return bool(path) and _verify_path(first, second, first_root, second_root, path)


def _verify_path(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _up_to_left_turn(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and compare_digest(old, first_root) and compare_digest(new, second_root)


def _up_to_left_turn(node: int, last: int) -> tuple[int, int]:
    """Climb the levels at which the last node has no sibling, and is the one above it, too."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _split(leaves: int) -> int:
    """Give the largest power of two below a number of leaves, 2 at least."""
    return 1 << (leaves - 1).bit_length() - 1


def _range_hash(reader: HashReader, begin: int, end: int) -> bytes:
    """Hash the subtree over [begin, end), where ``begin`` is a multiple of a power of two that is not below its width."""
    hashes = []
    while begin < end:
        height = (end - begin).bit_length() - 1
        hashes.append(_complete_hash(reader, begin, height))
        begin += 1 << height
    return _fold(hashes)


def _complete_hash(reader: HashReader, begin: int, height: int) -> bytes:
    level = height // TILE_BITS
    first, count = begin >> level * TILE_BITS, 1 << height % TILE_BITS
    hashes = reader.tile_hashes(level, first, first + count) if level else reader.leaf_hashes(first, first + count)
    if len(hashes) != count:
        raise HashesMissing(level, first, first + count)
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[index], row[index + 1]) for index in range(0, len(row), 2)]
    return row[0]


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Join complete subtrees, the largest first, from the right."""
    *rest, found = hashes
    for left in reversed(rest):
        found = node_hash(left, found)
    return found
