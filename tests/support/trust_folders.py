"""Trust folders with keys that are the same in every run, and what python-tuf makes of them."""

from __future__ import annotations

from pathlib import Path

from tuf.api.metadata import Metadata, Root, Targets
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from portcullis.adapters.tuf.ceremony import TrustCeremony
from portcullis.adapters.tuf.key_directory import KeyDirectory
from tests.support.clocks import HandClock


class CountedBytes:
    """Randomness that is a count: the first key is made of ones, the second of twos."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, length: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(length, "big")


class Ceremonies:
    """The ceremonies of one folder, each by a new object as each command is a new process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.randomness = CountedBytes()
        self.offline: Path | None = None

    @property
    def work(self) -> TrustCeremony:
        return TrustCeremony(self.folder, self.clock, offline=self.offline, randomness=self.randomness)

    @property
    def directory(self) -> KeyDirectory:
        return KeyDirectory(self.folder, offline=self.offline, randomness=self.randomness)

    def keys(self, role: str) -> set[str]:
        """The ids of a role's keys, by the newest metadata."""
        return {key.key_id for each in self.work.roles() if each.role == role for key in each.keys}


def follow_roots(roots: tuple[bytes, ...]) -> Root:
    """Go from the first root to the last as a follower does; python-tuf raises where one is not rightly signed."""
    trusted = TrustedMetadataSet(roots[0], EnvelopeType.METADATA)
    for data in roots[1:]:
        trusted.update_root(data)
    return trusted.root


def trusted_delegations(directory: KeyDirectory) -> Targets:
    """Give the delegations as a follower believes them, having followed every root."""
    metadata = Metadata[Targets].from_bytes(directory.delegations())
    follow_roots(directory.roots()).verify_delegate("targets", metadata.signed_bytes, metadata.signatures)
    return metadata.signed


def sign_as(directory: KeyDirectory, role: str) -> None:
    """Sign something as a role with the keys that are here, and have python-tuf verify it."""
    root, targets = follow_roots(directory.roots()), trusted_delegations(directory)
    metadata = Metadata(Targets(version=1))
    for signer in directory.signers(role):
        metadata.sign(signer, append=True)
    delegator = root if role in root.roles else targets
    delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
