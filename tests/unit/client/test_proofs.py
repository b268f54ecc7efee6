from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from portcullis.client import (
    Checkpoint,
    CheckpointKey,
    ConsistencyProof,
    InclusionProof,
    ProofFailed,
    ProvenReceipt,
    Receipt,
)
from portcullis.client.proofs import is_consistent, root_of_inclusion
from portcullis.domain import checkpoints
from portcullis.domain.merkle import consistency_proof, inclusion_proof, leaf_hash, root_of

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ORIGIN = "journal.example/a1b2c3"
KEY = CheckpointKey.parse(str(checkpoints.verifier_key(ORIGIN, SIGNER)))


class Leaves:
    """A log of some entries, without tiles: of less than 256 leaves there are none."""

    def __init__(self, size: int) -> None:
        self.hashes = [leaf_hash(b"%d" % number) for number in range(size)]

    def leaf_hashes(self, begin: int, end: int) -> list[bytes]:
        return self.hashes[begin:end]

    def tile_hashes(self, level: int, begin: int, end: int) -> list[bytes]:
        return []


LOG = Leaves(200)


def signed(size: int, signer: Ed25519PrivateKey = SIGNER, origin: str = ORIGIN) -> Checkpoint:
    root = root_of(LOG, size)
    note = checkpoints.sign_checkpoint(checkpoints.Checkpoint(origin=origin, size=size, root=root), signer)
    return Checkpoint(size, root, note)


def proven(index: int, size: int, **changes: Any) -> ProvenReceipt:
    values: dict[str, Any] = {"sequence": index, "entry_hash": LOG.hashes[index]} | changes
    receipt = Receipt(event_id="event-1", recorded_at=datetime(2090, 1, 1, tzinfo=UTC), **values)
    return ProvenReceipt(receipt, InclusionProof(signed(size), tuple(inclusion_proof(LOG, index, size))))


SIZES = st.integers(1, 200)


@given(SIZES.flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_an_entry_is_proven_to_be_in_the_log(place: tuple[int, int]) -> None:
    proven(*place).verify(KEY)


@given(st.tuples(SIZES, SIZES).map(sorted))
def test_a_log_is_proven_to_be_added_to(sizes: list[int]) -> None:
    first, second = sizes
    proof = ConsistencyProof(signed(second), tuple(consistency_proof(LOG, first, second)))

    proof.verify(signed(first), KEY)


@given(st.data())
def test_no_inclusion_proof_survives_a_change(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    index = data.draw(st.integers(0, size - 1))
    hashes, root = inclusion_proof(LOG, index, size), root_of(LOG, size)
    place = data.draw(st.integers(0, len(hashes) - 1))
    damaged = list(hashes)
    damaged[place] = bytes(32)

    leaf = LOG.hashes[index]
    for given_leaf, given_index, path in (
        (leaf, index, damaged),
        (leaf, index, hashes[:-1]),
        (leaf, index, [*hashes, bytes(32)]),
        (bytes(32), index, hashes),
        (leaf, size, hashes),
        (leaf, -1, hashes),
    ):
        assert root != root_of_inclusion(given_leaf, given_index, size, path)


@given(st.data())
def test_no_consistency_proof_survives_a_change(data: st.DataObject) -> None:
    first, second = sorted(data.draw(st.lists(SIZES, min_size=2, max_size=2, unique=True)))
    hashes = list(consistency_proof(LOG, first, second))
    roots = root_of(LOG, first), root_of(LOG, second)

    assert is_consistent(first, roots[0], second, roots[1], hashes)
    assert not is_consistent(first, bytes(32), second, roots[1], hashes)
    assert not is_consistent(first, roots[0], second, bytes(32), hashes)
    assert not is_consistent(first, roots[0], second, roots[1], [*hashes, bytes(32)])
    assert not is_consistent(first, roots[0], second, roots[1], hashes[:-1])
    assert not is_consistent(second, roots[1], first, roots[0], hashes)
    assert not is_consistent(0, roots[0], second, roots[1], hashes)


def test_a_log_of_one_size_is_consistent_with_itself_alone() -> None:
    root = root_of(LOG, 5)

    assert is_consistent(5, root, 5, root, [])
    assert not is_consistent(5, root, 5, root_of(LOG, 6), [])
    assert not is_consistent(5, root, 5, root, [root])


def test_a_receipt_without_a_proof_proves_nothing() -> None:
    unproven = ProvenReceipt(proven(1, 3).receipt, None)

    with pytest.raises(ProofFailed, match="no proof yet"):
        unproven.verify(KEY)


def test_a_receipt_of_another_entry_is_found_out() -> None:
    with pytest.raises(ProofFailed, match="does not include"):
        proven(1, 3, entry_hash=LOG.hashes[2]).verify(KEY)


def test_a_log_that_was_exchanged_is_found_out() -> None:
    older = Checkpoint(3, bytes(32), "")
    proof = ConsistencyProof(signed(5), tuple(consistency_proof(LOG, 3, 5)))

    with pytest.raises(ProofFailed, match="changed or shortened"):
        proof.verify(older, KEY)


@pytest.mark.parametrize(
    "checkpoint",
    [
        signed(3, OTHER),
        signed(3, origin="journal.example/other"),
        Checkpoint(3, root_of(LOG, 3), ""),
        Checkpoint(4, signed(3).root_hash, signed(3).note),
        Checkpoint(3, bytes(32), signed(3).note),
        Checkpoint(3, signed(3).root_hash, signed(3).note.replace("\n3\n", "\n4\n")),
        Checkpoint(3, signed(3).root_hash, signed(3).note.replace("— ", "- ")),
        Checkpoint(3, signed(3).root_hash, signed(3).note.partition("\n\n")[0] + "\n\n— journal.example/a1b2c3 !!!\n"),
    ],
)
def test_a_checkpoint_that_the_key_has_not_signed_as_it_is_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ProofFailed, match=r"^checkpoint: "):
        checkpoint.verify(KEY)


def test_signatures_of_others_beside_ours_do_no_harm() -> None:
    ours = signed(3)
    witness = "— witness.example AAAAAAAAAAAA\n"
    text, _, lines = ours.note.partition("\n\n")

    Checkpoint(3, ours.root_hash, f"{text}\n\n{witness}{lines}").verify(KEY)


def test_a_key_is_read_as_the_domain_writes_it() -> None:
    assert (ORIGIN, SIGNER.public_key().public_bytes_raw()) == (KEY.name, KEY.public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+xyz+AQ==",
        "name+00000000+!!!",
        f"name+00000000+{b64encode(bytes([1]) + bytes(32)).decode()}",
        f"name+00000000+{b64encode(bytes([2]) + bytes(32)).decode()}",
        f"name+00000000+{b64encode(bytes([1]) + bytes(31)).decode()}",
    ],
)
def test_what_is_no_checkpoint_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="checkpoint key"):
        CheckpointKey.parse(text)
