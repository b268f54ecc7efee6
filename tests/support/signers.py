"""A signer of checkpoints in memory, and what a checkpointer counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from portcullis.domain.checkpoints import Checkpoint, VerifierKey, sign_checkpoint, verifier_key


@dataclass
class SignerInMemory:
    """Signs with the key of a seed; ``refuse`` is raised by what would write."""

    seed: bytes = bytes(range(32))
    note: str | None = None
    refuse: OSError | None = None

    @property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def key(self, origin: str) -> VerifierKey:
        return verifier_key(origin, self.private)

    def sign(self, checkpoint: Checkpoint) -> str:
        return sign_checkpoint(checkpoint, self.private)

    def last(self) -> str | None:
        return self.note

    def remember(self, note: str) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.note = note


@dataclass
class SignCounts:
    """What was counted."""

    sizes: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def signed(self, size: int) -> None:
        self.sizes.append(size)

    def failed(self, part: str) -> None:
        self.failures.append(part)
