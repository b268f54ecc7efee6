"""Checkpoints of a log: C2SP signed notes that say how many entries it has and what their root is.

The text is that of c2sp.org/tlog-checkpoint, the signature that of c2sp.org/signed-note with Ed25519 (RFC 8032)::

    journal.example/a1b2c3                                              the log's origin
    3                                                                   how many entries
    rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=                        base64 of the root (RFC 9162, section 2.1)

    — journal.example/a1b2c3 oeRYlz2CXW49...                             em dash, key name, base64 of key id and signature

The signature is over the text up to and with the newline before the blank line. A key is named by its **verifier key**,
``NAME+KEY_ID+BASE64``: the key id is ``SHA-256(NAME || 0x0A || 0x01 || public key)[:4]`` in hexadecimal, the base64 that of
``0x01 || public key``. The name of a log's key is the log's origin.

The rules of reading:

1. A note that is not in this form to the letter is refused, whatever its signature.
2. Signatures of other keys are passed over; they may be those of witnesses, or of a key that was exchanged.
3. One of the key's own that does not verify refuses the note, as does the lack of any.
4. Lines after the root are refused: our logs write none.
"""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import sha256

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from portcullis.domain.errors import PortcullisError
from portcullis.domain.merkle import HASH_BYTES

MAX_NOTE_LENGTH = 16_384
"""Notes of more characters are refused unread: the signatures of 100 witnesses fit."""

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class CheckpointInvalid(PortcullisError):
    """A checkpoint or a verifier key that can't be believed; the message says what is wrong with it."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says: the log of this origin has ``size`` entries, and ``root`` (32 bytes) over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Give the text that is signed."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"


class VerifierKey(msgspec.Struct, frozen=True):
    """Who signs a log: the key's name, which is the log's origin, and the Ed25519 public key's 32 bytes."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Its four bytes in a signature."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(_ED25519 + self.public)}"


def read_key(text: str) -> VerifierKey:
    """Read a verifier key.

    Raises:
        CheckpointInvalid: it is none, or not one of Ed25519.
    """
    # The name has no plus; base64 may.
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    if not (_NAME.fullmatch(name) and _KEY_ID.fullmatch(key_id)):
        raise CheckpointInvalid("the verifier key is not written NAME+8 hexadecimal digits+BASE64; print it anew")
    data = _bytes_of(encoded)
    if data is None or data[:1] != _ED25519 or len(data) != 1 + _PUBLIC_KEY_BYTES:
        raise CheckpointInvalid("the verifier key does not hold an Ed25519 key after its second plus; print it anew")
    key = VerifierKey(name, data[1:])
    if key.key_id.hex() != key_id:
        raise CheckpointInvalid("the verifier key's id is not that of its name and key; it was changed, so print it anew")
    return key


def verifier_key(name: str, key: Ed25519PrivateKey) -> VerifierKey:
    """Give what a private key's signatures are verified with."""
    return VerifierKey(name, key.public_key().public_bytes_raw())


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Give the signed note of a checkpoint, signed in the name of its origin.

    Raises:
        ValueError: the origin can't be a key's name, or the size or root is none.
    """
    if not _NAME.fullmatch(checkpoint.origin) or checkpoint.size < 0 or len(checkpoint.root) != HASH_BYTES:
        raise ValueError("no checkpoint: an origin without spaces and plus, a size and a root of 32 bytes are needed")
    text = checkpoint.text()
    signature = verifier_key(checkpoint.origin, key).key_id + key.sign(text.encode())
    return f"{text}\n— {checkpoint.origin} {_base64(signature)}\n"


def read_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Read a note and prove that this key has signed it.

    Raises:
        CheckpointInvalid: it is no checkpoint, of another log, or not signed by this key.
    """
    checkpoint, signatures = _parsed(note)
    if checkpoint.origin != key.name:
        raise CheckpointInvalid("the checkpoint is of another log than the key; give those of one log")
    ours = [signature for name, key_id, signature in signatures if (name, key_id) == (key.name, key.key_id)]
    if not ours:
        raise CheckpointInvalid("the checkpoint is not signed by this key; give the key that the log had at that time")
    public = Ed25519PublicKey.from_public_bytes(key.public)
    for signature in ours:
        if len(signature) != _SIGNATURE_BYTES:
            raise CheckpointInvalid("the checkpoint's signature is not 64 bytes long; fetch it anew from where it is kept")
        try:
            public.verify(signature, checkpoint.text().encode())
        except InvalidSignature:
            raise CheckpointInvalid(
                "the checkpoint's signature does not verify: its text was changed, or it was signed by another key"
            ) from None
    return checkpoint


def parse_checkpoint(note: str) -> Checkpoint:
    """Read what a note says without asking who signed it; not to be believed.

    Raises:
        CheckpointInvalid: it is no checkpoint.
    """
    return _parsed(note)[0]


def key_ids(note: str, name: str) -> list[bytes]:
    """Give the ids of the keys of a name that a note says it is signed by; not to be believed.

    Raises:
        CheckpointInvalid: it is no checkpoint.
    """
    return [key_id for signer, key_id, _ in _parsed(note)[1] if signer == name]


def _parsed(note: str) -> tuple[Checkpoint, list[tuple[str, bytes, bytes]]]:
    """Give what the note says, and (key name, key id, signature) of each signature."""
    if len(note) > MAX_NOTE_LENGTH:
        raise CheckpointInvalid(f"the checkpoint is longer than {MAX_NOTE_LENGTH} characters; give one note alone")
    if _CONTROL.search(note) or not _is_unicode(note):
        raise CheckpointInvalid(
            "the checkpoint holds characters that no note has, such as carriage returns; keep it as it was printed"
        )
    text, blank, signed = note.rpartition("\n\n")
    if not blank or not signed.endswith("\n"):
        raise CheckpointInvalid("the checkpoint is not a text, a blank line and whole lines of signatures; it was cut")
    return _parsed_text(text), [_parsed_signature(line) for line in signed[:-1].split("\n")]


def _parsed_text(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 3:
        raise CheckpointInvalid("the checkpoint's text does not have the three lines origin, size and root")
    origin, size, encoded = lines
    if not _NAME.fullmatch(origin):
        raise CheckpointInvalid("the checkpoint's first line is no origin: it is empty, or has spaces or a plus")
    if not _SIZE.fullmatch(size):
        raise CheckpointInvalid("the checkpoint's second line is no size: decimal digits without leading zeroes")
    root = _bytes_of(encoded)
    if root is None or len(root) != HASH_BYTES:
        raise CheckpointInvalid("the checkpoint's third line is no root: 32 bytes in base64")
    return Checkpoint(origin=origin, size=int(size), root=root)


def _parsed_signature(line: str) -> tuple[str, bytes, bytes]:
    form = _SIGNATURE_LINE.fullmatch(line)
    data = _bytes_of(form[2]) if form else None
    if form is None or data is None or len(data) <= _KEY_ID_BYTES:
        raise CheckpointInvalid("a line after the checkpoint's blank line is no signature: em dash, key name, base64")
    return form[1], data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes_of(text: str) -> bytes | None:
    """Decode base64 that is written in the one way that encoding gives; None where it is not."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _base64(data) == text else None


def _is_unicode(text: str) -> bool:
    """Say whether a text has no lone surrogates, as bytes that are no UTF-8 may have left behind."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
