"""Checkpoints of a log: signed notes (`portcullis.domain.signed_notes`) that say how many entries it has, and their root.

The text is that of c2sp.org/tlog-checkpoint::

    journal.example/a1b2c3                                              the log's origin
    3                                                                   how many entries
    rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=                        base64 of the root (RFC 9162, section 2.1)

The name of a log's key is the log's origin. Beside the rules of reading a signed note, lines after the root are refused: our
logs write none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portcullis.domain.merkle import HASH_BYTES
from portcullis.domain.signed_notes import (
    KEY_NAME,
    MAX_NOTE_LENGTH,
    NoteInvalid,
    VerifierKey,
    parse_key,
    prove_signed,
    read_base64,
    sign_note,
    split_note,
    verifier_key,
    write_base64,
)

__all__ = [
    "MAX_NOTE_LENGTH",
    "Checkpoint",
    "CheckpointInvalid",
    "VerifierKey",
    "key_ids",
    "parse_checkpoint",
    "read_checkpoint",
    "read_key",
    "sign_checkpoint",
    "verifier_key",
]

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointInvalid(NoteInvalid):
    """A checkpoint or a verifier key that can't be believed; the message says what is wrong with it."""

    kind = "checkpoint"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says: the log of this origin has ``size`` entries, and ``root`` (32 bytes) over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Give the text that is signed."""
        return f"{self.origin}\n{self.size}\n{write_base64(self.root)}\n"


def read_key(text: str) -> VerifierKey:
    """Read a verifier key.

    Raises:
        CheckpointInvalid: it is none, or not one of Ed25519.
    """
    return parse_key(text, CheckpointInvalid)


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Give the signed note of a checkpoint, signed in the name of its origin.

    Raises:
        ValueError: the origin can't be a key's name, or the size or root is none.
    """
    if not KEY_NAME.fullmatch(checkpoint.origin) or checkpoint.size < 0 or len(checkpoint.root) != HASH_BYTES:
        raise ValueError("no checkpoint: an origin without spaces and plus, a size and a root of 32 bytes are needed")
    return sign_note(checkpoint.text(), checkpoint.origin, key)


def read_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Read a note and prove that this key has signed it.

    Raises:
        CheckpointInvalid: it is no checkpoint, of another log, or not signed by this key.
    """
    lines, signatures = split_note(note, CheckpointInvalid)
    checkpoint = _parsed(lines)
    if checkpoint.origin != key.name:
        raise CheckpointInvalid("the checkpoint is of another log than the key; give those of one log")
    prove_signed(checkpoint.text(), signatures, key, CheckpointInvalid)
    return checkpoint


def parse_checkpoint(note: str) -> Checkpoint:
    """Read what a note says without asking who signed it; not to be believed.

    Raises:
        CheckpointInvalid: it is no checkpoint.
    """
    return _parsed(split_note(note, CheckpointInvalid)[0])


def key_ids(note: str, name: str) -> list[bytes]:
    """Give the ids of the keys of a name that a note says it is signed by; not to be believed.

    Raises:
        CheckpointInvalid: it is no checkpoint.
    """
    lines, signatures = split_note(note, CheckpointInvalid)
    _parsed(lines)
    return [each.key_id for each in signatures if each.name == name]


def _parsed(lines: Sequence[str]) -> Checkpoint:
    if len(lines) != 3:
        raise CheckpointInvalid("the checkpoint's text does not have the three lines origin, size and root")
    origin, size, encoded = lines
    if not KEY_NAME.fullmatch(origin):
        raise CheckpointInvalid("the checkpoint's first line is no origin: it is empty, or has spaces or a plus")
    if not _SIZE.fullmatch(size):
        raise CheckpointInvalid("the checkpoint's second line is no size: decimal digits without leading zeroes")
    root = read_base64(encoded)
    if root is None or len(root) != HASH_BYTES:
        raise CheckpointInvalid("the checkpoint's third line is no root: 32 bytes in base64")
    return Checkpoint(origin=origin, size=int(size), root=root)
