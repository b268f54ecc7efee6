"""Trust: what makes a published file believed. The publisher signs through one port, a follower proves through the other.

Private keys are reached by URIs, in files or in services that sign without showing them (`portcullis.adapters.tuf.signing`);
who makes and exchanges them works through `portcullis.ports.keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol


class Vouched(NamedTuple):
    """What the newest timestamp says: the version in force, its own serial, and when (Unix seconds) it was signed."""

    version: int
    serial: int
    vouched_at: float


class TrustedSnapshots(Protocol):
    """The follower's side: metadata and targets that are proven before anyone sees them.

    What was trusted once survives restarts, so an older or another state is refused even after the replica was wiped.
    """

    def look(self) -> Vouched:
        """Bring the trusted metadata up to date, and give what it says. Until the next look all reads are of that state.

        Raises:
            SnapshotInvalid: metadata that is missing, malformed, not rightly signed, expired, older than what was trusted
                before, or not of one state; what was trusted stays.
            StoreUnavailable: the store can't be reached.
            OSError: the disk refused.
        """
        ...

    def root_version(self) -> int:
        """Give the version of root that proved the state last looked at; before the first look, that of the anchor."""
        ...

    def read(self, name: str, longest: int) -> bytes:
        """Give a small target that the metadata names.

        Raises:
            SnapshotInvalid: the metadata does not name it, it is longer, or it is not what was signed.
            StoreUnavailable: the store can't be reached.
        """
        ...

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Fetch a target of any size, prove it whole, and open it; it is deleted at the end of the block.

        Raises:
            SnapshotInvalid: as `read`.
            StoreUnavailable: the store can't be reached.
            OSError: the disk has no room for it.
        """
        ...


class Publication(NamedTuple):
    """What a store must hold, by the names in the store: metadata files, and targets with the files their bytes lie in."""

    metadata: Mapping[str, bytes]
    targets: Mapping[str, Path]


class SnapshotRepository(Protocol):
    """The publisher's side: its own durable copy of everything in force, and the keys to sign it.

    Targets are named as in `portcullis.domain.manifests`. A publisher that is killed finds here what it had signed.
    """

    def version(self) -> int:
        """Give the greatest version known: signed here, or seen in a store (`surpass`); 0 before the first."""
        ...

    def vouched(self) -> Vouched | None:
        """Give what the timestamp last signed says; None before the first."""
        ...

    def can_sign(self, list_name: str) -> bool:
        """Say whether this publisher holds the key of a list and the list is delegated to it.

        A list that is new is delegated here and now where the targets key is at hand.

        Raises:
            SetupFault: the keys are out of order.
            OSError: the disk refused.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """Give a target in force, or None."""
        ...

    def path(self, name: str) -> Path:
        """Give the file of a target in force."""
        ...

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Write a new target. It is on the disk at the end of the block, and in force once `sign` names it.

        It is hashed as it is written, so that neither the end of the block nor `sign` reads it again. Several may be open
        at once, and other versions may be signed meanwhile. It has a descriptor, for a writer of much to force it to the
        disk on the way.

        Raises:
            OSError: the disk refused.
        """
        ...

    def created(self, name: str) -> tuple[str, Path]:
        """Give the name in the store, and the file, of a target created and not in force yet.

        Raises:
            KeyError: no such target.
        """
        ...

    def collect(self, keep: Collection[str]) -> None:
        """Delete the files of targets that were created, are not in force, and are not named here."""
        ...

    def sign(self, version: int, *, now: float, targets: Collection[str]) -> None:
        """Put exactly these targets in force, under a version greater than any before; signs every role that changed.

        It is on the disk when this returns; a crash before leaves the last state. ``now`` is Unix seconds.

        Raises:
            SetupFault: a key is missing, or a target's list can't be signed for; then ``metadata["list"]`` names the list.
            OSError: the disk refused.
        """
        ...

    def vouch(self, *, now: float) -> None:
        """Sign the timestamp anew for the version in force; nothing before the first.

        Raises:
            SetupFault: the key is not here, or it was exchanged and no version was signed since (`due`).
            OSError: the disk refused.
        """
        ...

    def due(self, *, now: float) -> bool:
        """Say whether metadata must be signed anew, by `sign`: before it expires, or since a key was changed."""
        ...

    def surpass(self, read: Callable[[str], bytes | None]) -> None:
        """Take note of versions that a store holds, rightly signed, so that what is signed next is newer than all of it.

        ``read`` gives the store's metadata files by name, or None. ``version`` gives the greatest version known from then
        on; it is greater than the one in force here, too, where another has signed something newer under an older one.
        """
        ...

    def publication(self) -> Publication:
        """Give everything that a store must hold for the state in force."""
        ...
