"""The key that the journal's checkpoints and release certificates are signed with, and the checkpoint that it signed last.

``journal.key`` is an Ed25519 seed of 32 random bytes in hexadecimal, with the other key files of the home. Beside it,
``journal.checkpoint`` is the last note signed, on the disk before anybody is given it: whoever changes the journal's
database, but not this folder, is found out by it.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portcullis.adapters.durable_files import write_durably
from portcullis.domain.certificates import ReleaseCertificate, sign_certificate
from portcullis.domain.checkpoints import Checkpoint, VerifierKey, sign_checkpoint, verifier_key

MEMORY = "journal.checkpoint"
"""The file of the last note, in the folder of the key."""


def remembered(folder: Path) -> str | None:
    """Give the note that was signed last with the key of a folder; None where none was.

    Raises:
        OSError: the file can't be read.
    """
    try:
        # What is no text is for whoever reads the note to refuse.
        return (folder / MEMORY).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None


class LogSigner:
    """Signs checkpoints, in one process at a time, and certificates, in any.

    Args:
        seed: the 32 bytes of the key file.
        folder: where it lies.
    """

    def __init__(self, seed: bytes, folder: Path) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._memory = folder / MEMORY

    def key(self, origin: str) -> VerifierKey:
        """Give what the signatures for a log are verified with."""
        return verifier_key(origin, self._key)

    def sign(self, checkpoint: Checkpoint) -> str:
        """Give the signed note of a checkpoint."""
        return sign_checkpoint(checkpoint, self._key)

    def certify(self, certificate: ReleaseCertificate) -> str:
        """Give the signed note of a release certificate.

        Raises:
            ValueError: it can't be written as one.
        """
        return sign_certificate(certificate, self._key)

    def last(self) -> str | None:
        """Give the note that was remembered last; None where none was.

        Raises:
            OSError: the file can't be read.
        """
        return remembered(self._memory.parent)

    def remember(self, note: str) -> None:
        """Put a note on the disk in place of the one before.

        Raises:
            OSError: the disk refused; the one before stays.
        """
        write_durably(self._memory, note.encode())
