r"""Holding a log to its word: what a receipt, a checkpoint and their proofs claim is computed anew here.

The log is a Merkle tree over its entries (RFC 9162, section 2.1): ``SHA-256(0x00 || entry)`` for a leaf,
``SHA-256(0x01 || left || right)`` for a node. A checkpoint is a note after C2SP tlog-checkpoint, signed with Ed25519 as C2SP
signed-note lays down:

    the log's origin
    its size
    base64 of its root hash

    — NAME base64(key id || signature)

The log's origin is the name of its key. The key to check it with is a signed-note verifier key,
``NAME+hexadecimal key id+base64(0x01 || public key)``. Get it from
the authority once, by another way than this connection, and keep it.

    key = CheckpointKey.parse("journal.example+1a2b3c4d+AQ...")
    proven = client.get_receipt("event-4711")
    if proven.inclusion is not None:
        proven.verify(key)                     # the log has the event
        keep(proven.inclusion.checkpoint)

    proof = client.get_consistency_proof(kept.size)
    proof.verify(kept, key)                    # and has only been added to since
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from portcullis.client.errors import ProofFailed
from portcullis.client.events import Receipt

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_BYTES = 32
_SIGNATURE_START = "\u2014 "


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """A key that checkpoints are checked with: the signer's name, the key's id (4 bytes) and its public half (32 bytes)."""

    name: str
    key_id: bytes
    public: bytes

    @classmethod
    def parse(cls, text: str) -> CheckpointKey:
        """Read a verifier key of C2SP signed-note.

        Raises:
            ValueError: it is none, or none of Ed25519.
        """
        try:
            # Base64 has a + of its own.
            name, key_id, encoded = text.strip().split("+", 2)
            material = b64decode(encoded, validate=True)
            given = bytes.fromhex(key_id)
        except ValueError:
            raise ValueError("a checkpoint key is written NAME+ID+KEY, as the authority publishes it") from None
        if material[:1] != _ED25519 or len(material) != len(_ED25519) + _PUBLIC_BYTES:
            raise ValueError("the checkpoint key is none of Ed25519")
        if given != sha256(name.encode() + b"\n" + material).digest()[:_KEY_ID_BYTES]:
            raise ValueError("the checkpoint key's id does not fit it; copy it again")
        return cls(name, given, material[1:])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its whole content of one size. ``note`` is "" where none of that size was signed."""

    size: int
    root_hash: bytes
    note: str

    def verify(self, key: CheckpointKey) -> None:
        """Check that the key's holder has signed this size and root.

        Raises:
            ProofFailed: it has not.
        """
        text, blank, signatures = self.note.partition("\n\n")
        body = f"{text}\n"
        if not blank or not any(_is_signature(line, body.encode(), key) for line in signatures.splitlines()):
            raise ProofFailed("checkpoint: the key given has not signed it")
        lines = text.split("\n")
        if len(lines) < 3 or lines[:2] != [key.name, str(self.size)] or _decoded(lines[2]) != self.root_hash:
            raise ProofFailed("checkpoint: what is signed is another log, size or root")


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The sibling subtrees' hashes from a leaf up to the checkpoint's root."""

    checkpoint: Checkpoint
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProvenReceipt:
    """A receipt, and the proof of it; None until a checkpoint covers it, as a rule for a second."""

    receipt: Receipt
    inclusion: InclusionProof | None

    def verify(self, key: CheckpointKey) -> None:
        """Check that a log which the key's holder has signed includes the event's entry.

        Raises:
            ProofFailed: there is no proof yet, or it does not show that.
        """
        if self.inclusion is None:
            raise ProofFailed("inclusion: there is no proof yet; ask for the receipt again in a few seconds")
        checkpoint = self.inclusion.checkpoint
        checkpoint.verify(key)
        root = root_of_inclusion(self.receipt.entry_hash, self.receipt.sequence, checkpoint.size, self.inclusion.hashes)
        if root is None or not compare_digest(root, checkpoint.root_hash):
            raise ProofFailed("inclusion: the log of the checkpoint does not include the entry of the receipt")


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """The nodes that join the log of an earlier size to that of ``checkpoint``."""

    checkpoint: Checkpoint
    hashes: tuple[bytes, ...]

    def verify(self, kept: Checkpoint, key: CheckpointKey) -> None:
        """Check that the signed log of the checkpoint only adds to the one kept.

        Raises:
            ProofFailed: the newer one is not signed, or the proof does not show that.
        """
        self.checkpoint.verify(key)
        if not is_consistent(kept.size, kept.root_hash, self.checkpoint.size, self.checkpoint.root_hash, self.hashes):
            raise ProofFailed("consistency: the log has been changed or shortened behind the checkpoint that was kept")


def root_of_inclusion(leaf: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes | None:
    """Compute the root that an inclusion proof leads to (RFC 9162, section 2.1.3.2); None where it can't be one."""
    if not 0 <= index < size:
        return None
    node, last, computed = index, size - 1, leaf
    for sibling in hashes:
        if last == 0:
            return None
        if node & 1 or node == last:
            computed = _node(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = _node(computed, sibling)
        node, last = node >> 1, last >> 1
    return computed if last == 0 else None


def is_consistent(first: int, first_root: bytes, second: int, second_root: bytes, hashes: Sequence[bytes]) -> bool:
    """Tell whether a proof joins two logs (RFC 9162, section 2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not hashes and compare_digest(first_root, second_root)
    path = list(hashes)
    if not first & (first - 1):
        path.insert(0, first_root)
    if not path:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            older, newer = _node(sibling, older), _node(sibling, newer)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            newer = _node(newer, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and compare_digest(older, first_root) and compare_digest(newer, second_root)


def _is_signature(line: str, body: bytes, key: CheckpointKey) -> bool:
    """Tell whether a line of a note is the key's signature of its text."""
    # Imported here because a partner who only asks has no need of it.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    name, space, encoded = line.removeprefix(_SIGNATURE_START).partition(" ")
    signed = _decoded(encoded)
    if not line.startswith(_SIGNATURE_START) or not space or name != key.name or signed[:_KEY_ID_BYTES] != key.key_id:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signed[_KEY_ID_BYTES:], body)
    except InvalidSignature:
        return False
    return True


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
