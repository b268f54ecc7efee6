"""Signed notes as c2sp.org/signed-note has them, with Ed25519 (RFC 8032): a text, a blank line, and lines of signatures.

::

    journal.example/a1b2c3                                              the text, of one line or more
    ...

    — journal.example/a1b2c3 oeRYlz2CXW49...                             em dash, key name, base64 of key id and signature

The signature is over the text up to and with the newline before the blank line. A key is named by its **verifier key**,
``NAME+KEY_ID+BASE64``: the key id is ``SHA-256(NAME || 0x0A || 0x01 || public key)[:4]`` in hexadecimal, the base64 that of
``0x01 || public key``.

The rules of reading:

1. A note that is not in this form to the letter is refused, whatever its signature.
2. Signatures of other keys are passed over; they may be those of witnesses, or of a key that was exchanged.
3. One of the key's own that does not verify refuses the note, as does the lack of any.

What a note says is not told by its signature: two kinds of note that one key signs must differ in their first lines.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import ClassVar, NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from portcullis.domain.errors import PortcullisError

MAX_NOTE_LENGTH = 16_384
"""Notes of more characters are refused unread, where a kind of note does not allow more: 100 witnesses' signatures fit."""

KEY_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
"""What the name of a key may be."""

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteInvalid(PortcullisError):
    """A note or a verifier key that can't be believed; the message says what is wrong with it."""

    kind: ClassVar[str] = "note"


class Signature(NamedTuple):
    """One line of signature: the key's name, its id and the signature."""

    name: str
    key_id: bytes
    data: bytes


class VerifierKey(msgspec.Struct, frozen=True):
    """Who signs: the key's name and the Ed25519 public key's 32 bytes."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Its four bytes in a signature."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{write_base64(_ED25519 + self.public)}"


def verifier_key(name: str, key: Ed25519PrivateKey) -> VerifierKey:
    """Give what a private key's signatures are verified with."""
    return VerifierKey(name, key.public_key().public_bytes_raw())


def parse_key(text: str, fault: type[NoteInvalid]) -> VerifierKey:
    """Read a verifier key.

    Raises:
        NoteInvalid: as ``fault``: it is none, or not one of Ed25519.
    """
    # The name has no plus; base64 may.
    name, _, rest = text.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    if not (KEY_NAME.fullmatch(name) and _KEY_ID.fullmatch(key_id)):
        raise fault("the verifier key is not written NAME+8 hexadecimal digits+BASE64; print it anew")
    data = read_base64(encoded)
    if data is None or data[:1] != _ED25519 or len(data) != 1 + _PUBLIC_KEY_BYTES:
        raise fault("the verifier key does not hold an Ed25519 key after its second plus; print it anew")
    key = VerifierKey(name, data[1:])
    if key.key_id.hex() != key_id:
        raise fault("the verifier key's id is not that of its name and key; it was changed, so print it anew")
    return key


def sign_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """Give the note of a text of whole lines, signed in a name that can be a key's (`KEY_NAME`)."""
    signature = verifier_key(name, key).key_id + key.sign(text.encode())
    return f"{text}\n— {name} {write_base64(signature)}\n"


def split_note(
    note: str, fault: type[NoteInvalid], *, max_length: int = MAX_NOTE_LENGTH
) -> tuple[list[str], list[Signature]]:
    """Give the lines of a note's text, and its signatures; not to be believed.

    Raises:
        NoteInvalid: as ``fault``: it is no note.
    """
    kind = fault.kind
    if len(note) > max_length:
        raise fault(f"the {kind} is longer than {max_length} characters; give one note alone")
    if _CONTROL.search(note) or not _is_unicode(note):
        raise fault(f"the {kind} holds characters that no note has, such as carriage returns; keep it as it was printed")
    text, blank, signed = note.rpartition("\n\n")
    if not blank or not signed.endswith("\n"):
        raise fault(f"the {kind} is not a text, a blank line and whole lines of signatures; it was cut")
    return text.split("\n"), [_read_signature(line, fault) for line in signed[:-1].split("\n")]


def prove_signed(text: str, signatures: Sequence[Signature], key: VerifierKey, fault: type[NoteInvalid]) -> None:
    """Prove that a key has signed a text of whole lines; rules 2 and 3.

    Raises:
        NoteInvalid: as ``fault``: it has not.
    """
    kind = fault.kind
    ours = [each.data for each in signatures if (each.name, each.key_id) == (key.name, key.key_id)]
    if not ours:
        raise fault(f"the {kind} is not signed by this key; give the key that the log had at that time")
    public = Ed25519PublicKey.from_public_bytes(key.public)
    for data in ours:
        if len(data) != _SIGNATURE_BYTES:
            raise fault(f"the {kind}'s signature is not 64 bytes long; fetch it anew from where it is kept")
        try:
            public.verify(data, text.encode())
        except InvalidSignature:
            raise fault(
                f"the {kind}'s signature does not verify: its text was changed, or it was signed by another key"
            ) from None


def write_base64(data: bytes) -> str:
    """Encode bytes in the one way that `read_base64` takes."""
    return base64.b64encode(data).decode("ascii")


def read_base64(text: str) -> bytes | None:
    """Decode base64 that is written in the one way that encoding gives; None where it is not."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if write_base64(data) == text else None


def _read_signature(line: str, fault: type[NoteInvalid]) -> Signature:
    form = _SIGNATURE_LINE.fullmatch(line)
    data = read_base64(form[2]) if form else None
    if form is None or data is None or len(data) <= _KEY_ID_BYTES:
        raise fault(f"a line after the {fault.kind}'s blank line is no signature: em dash, key name, base64")
    return Signature(form[1], data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def _is_unicode(text: str) -> bool:
    """Say whether a text has no lone surrogates, as bytes that are no UTF-8 may have left behind."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
