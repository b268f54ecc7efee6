"""The Merkle tree against the definitions of RFC 9162, written out as they stand there, and against published vectors."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.domain.merkle import (
    EMPTY_ROOT,
    Frontier,
    HashesMissing,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.support.logs import LogInMemory

# The eight leaves and the hashes that certificate transparency's implementations share: they stand in
# google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc, and in transparency-dev/merkle, testonly/constants.go.
VECTOR_ENTRIES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
VECTOR_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
VECTOR_INCLUSION = [
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
VECTOR_CONSISTENCY = [
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def plain_root(leaves: list[bytes]) -> bytes:
    """MTH of section 2.1.1, over hashed leaves."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = plain_split(len(leaves))
    return sha256(b"\x01" + plain_root(leaves[:k]) + plain_root(leaves[k:])).digest()


def plain_split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def plain_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = plain_split(len(leaves))
    if m < k:
        return [*plain_path(m, leaves[:k]), plain_root(leaves[k:])]
    return [*plain_path(m - k, leaves[k:]), plain_root(leaves[:k])]


def plain_subproof(m: int, leaves: list[bytes], known: bool) -> list[bytes]:
    """SUBPROOF of section 2.1.4.1."""
    if m == len(leaves):
        return [] if known else [plain_root(leaves)]
    k = plain_split(len(leaves))
    if m <= k:
        return [*plain_subproof(m, leaves[:k], known), plain_root(leaves[k:])]
    return [*plain_subproof(m - k, leaves[k:], False), plain_root(leaves[:k])]


LOG = LogInMemory().fill(1500)
LEAVES = [row.leaf for row in LOG.rows]
SIZES = st.one_of(st.integers(1, 40), st.integers(250, 260), st.integers(505, 520), st.integers(1, 1500))


@st.composite
def positions(draw: st.DrawFn) -> tuple[int, int]:
    size = draw(SIZES)
    return draw(st.integers(0, size - 1)), size


def test_the_shared_vectors_hold_for_every_size() -> None:
    frontier = Frontier()
    roots = [frontier.root()]
    for entry in VECTOR_ENTRIES:
        frontier.append(leaf_hash(entry))
        roots.append(frontier.root())
    assert [bytes.fromhex(each) for each in VECTOR_ROOTS] == roots


def test_the_shared_vectors_hold_for_proofs() -> None:
    log = LogInMemory()
    for entry in VECTOR_ENTRIES:
        log.append(entry)
    roots = [bytes.fromhex(each) for each in VECTOR_ROOTS]
    for index, size, expected in VECTOR_INCLUSION:
        proof = inclusion_proof(log, index, size)
        assert expected == [each.hex() for each in proof]
        assert verify_inclusion(leaf_hash(VECTOR_ENTRIES[index]), index, size, proof, roots[size])
    for first, second, expected in VECTOR_CONSISTENCY:
        proof = consistency_proof(log, first, second)
        assert expected == [each.hex() for each in proof]
        assert verify_consistency(first, second, roots[first], roots[second], proof)


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert VECTOR_ROOTS[0] == EMPTY_ROOT.hex() == root_of(LogInMemory(), 0).hex() == Frontier().root().hex()


@given(SIZES)
def test_the_root_is_that_of_the_plain_definition(size: int) -> None:
    assert plain_root(LEAVES[:size]) == root_of(LOG, size)


@given(positions())
def test_inclusion_proofs_are_those_of_the_plain_definition_and_verify(position: tuple[int, int]) -> None:
    index, size = position
    proof = inclusion_proof(LOG, index, size)
    assert plain_path(index, LEAVES[:size]) == proof
    assert verify_inclusion(LEAVES[index], index, size, proof, root_of(LOG, size))


@given(positions())
def test_consistency_proofs_are_those_of_the_plain_definition_and_verify(position: tuple[int, int]) -> None:
    first, second = position[0] + 1, position[1]
    proof = consistency_proof(LOG, first, second)
    assert plain_subproof(first, LEAVES[:second], True) == proof
    assert verify_consistency(first, second, root_of(LOG, first), root_of(LOG, second), proof)


def test_an_inclusion_proof_fits_its_own_place_only() -> None:
    for size in range(1, 20):
        root = root_of(LOG, size)
        for index in range(size):
            proof = inclusion_proof(LOG, index, size)
            assert [index] == [at for at in range(-1, size + 2) if verify_inclusion(LEAVES[index], at, size, proof, root)]


def test_a_consistency_proof_fits_its_own_sizes_only() -> None:
    roots = [root_of(LOG, size) for size in range(20)]
    for second in range(1, 20):
        for first in range(1, second):
            proof = consistency_proof(LOG, first, second)
            accepted = [
                (earlier, later)
                for later in (second, second - 1)
                for earlier in range(-1, 20)
                if verify_consistency(earlier, later, roots[max(earlier, 0)], roots[later], proof)
            ]
            assert [(first, second)] == accepted


@given(positions(), st.data())
def test_a_proof_that_was_changed_does_not_verify(position: tuple[int, int], data: st.DataObject) -> None:
    index, size = position
    root, first = root_of(LOG, size), index + 1
    inclusion = changed(inclusion_proof(LOG, index, size), data)
    assert not verify_inclusion(LEAVES[index], index, size, inclusion, root)
    consistency = changed(consistency_proof(LOG, first, size), data)
    assert not verify_consistency(first, size, root_of(LOG, first), root, consistency)


def changed(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    how = data.draw(st.sampled_from(("flip", "drop", "add") if proof else ("add",)))
    place = data.draw(st.integers(0, max(0, len(proof) - 1)))
    if how == "add":
        return [*proof[:place], bytes(32), *proof[place:]]
    if how == "drop":
        return proof[:place] + proof[place + 1 :]
    bit = data.draw(st.integers(0, 255))
    flipped = int.from_bytes(proof[place]) ^ 1 << bit
    return [*proof[:place], flipped.to_bytes(32), *proof[place + 1 :]]


def test_an_empty_log_begins_every_log_and_no_root_but_its_own_is_taken() -> None:
    assert consistency_proof(LOG, 0, 7) == []
    assert verify_consistency(0, 7, EMPTY_ROOT, root_of(LOG, 7), [])
    assert not verify_consistency(0, 7, root_of(LOG, 1), root_of(LOG, 7), [])
    assert not verify_consistency(7, 7, root_of(LOG, 7), root_of(LOG, 6), [])


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_that_is_not_in_the_log_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="there is no leaf"):
        inclusion_proof(LOG, index, size)


def test_a_log_does_not_begin_with_a_longer_one() -> None:
    with pytest.raises(ValueError, match="does not begin"):
        consistency_proof(LOG, 8, 7)


@given(st.integers(0, 1400), st.integers(0, 300))
def test_a_frontier_that_was_kept_goes_on_as_if_it_had_not_been(size: int, more: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    taken_up = Frontier.from_bytes(frontier.size, frontier.to_bytes())
    for leaf in LEAVES[size : size + more]:
        taken_up.append(leaf)
    end = min(size + more, len(LEAVES))
    assert (end, root_of(LOG, end)) == (taken_up.size, taken_up.root())


@given(st.integers(0, 700), st.lists(st.integers(0, 600), max_size=3))
def test_leaves_that_come_together_make_the_tree_that_they_make_one_by_one(size: int, groups: list[int]) -> None:
    one_by_one, together = Frontier(), Frontier()
    for count in (size, *groups):
        leaves = [sha256(f"{count} {number}".encode()).digest() for number in range(count)]
        expected = [tile for leaf in leaves for tile in one_by_one.append(leaf)]
        assert sorted(expected) == sorted(together.extend(leaves))
        assert (one_by_one.size, one_by_one.to_bytes()) == (together.size, together.to_bytes())


def test_entries_are_hashed_together_as_each_is_by_itself() -> None:
    assert [leaf_hash(b""), leaf_hash(b"a")] == leaf_hashes([b"", b"a"])


@pytest.mark.parametrize(("size", "data"), [(1, b""), (3, bytes(32)), (0, bytes(32)), (3, bytes(63)), (-1, bytes(32))])
def test_bytes_that_are_no_frontier_are_refused(size: int, data: bytes) -> None:
    with pytest.raises(ValueError, match="the frontier of"):
        Frontier.from_bytes(size, data)


def test_tiles_come_as_they_are_completed_and_are_the_hashes_of_their_subtrees() -> None:
    frontier, seen = Frontier(), {}
    leaves = [sha256(number.to_bytes(4)).digest() for number in range(65_536 + 300)]
    for at, leaf in enumerate(leaves, 1):
        for level, number, tile in frontier.append(leaf):
            assert (number + 1) * 256**level == at
            seen[level, number] = tile
    assert {(1, number) for number in range(257)} | {(2, 0)} == seen.keys()
    for number in (0, 1, 255, 256):
        assert plain_root(leaves[number * 256 : (number + 1) * 256]) == seen[1, number]
    assert plain_root([seen[1, number] for number in range(256)]) == seen[2, 0]


def test_proofs_of_a_long_log_read_few_hashes() -> None:
    log = LogInMemory().fill(70_000)
    leaves = [row.leaf for row in log.rows]
    log.read_hashes = 0
    proof = inclusion_proof(log, 40_000, 70_000)
    assert log.read_hashes <= 3 * 512
    assert verify_inclusion(leaves[40_000], 40_000, 70_000, proof, plain_root(leaves))
    log.read_hashes = 0
    proof = consistency_proof(log, 65_537, 70_000)
    assert log.read_hashes <= 3 * 512
    assert verify_consistency(65_537, 70_000, plain_root(leaves[:65_537]), plain_root(leaves), proof)


def test_a_log_that_lacks_hashes_says_which() -> None:
    log = LogInMemory().fill(600)
    del log.rows[599]
    with pytest.raises(HashesMissing, match="leaf hashes between 592 and 600"):
        root_of(log, 600)
    del log.tiles[1, 1]
    with pytest.raises(HashesMissing, match="tiles of level 1 between 0 and 2"):
        root_of(log, 600)
    assert len(inclusion_proof(log, 100, 256)) == 8


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
