"""Distribution: what a snapshot passes through on its way from the publisher to the workers of a host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from portcullis.domain.editions import Edition


class SnapshotStore(Protocol):
    """Carries published files from the publisher to the followers. Transport only, never authority.

    Metadata files are small and are replaced; target files are immutable, named by their content, and arrive in chunks.
    """

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, Iterable[bytes]]) -> None:
        """Make the targets readable, then replace the metadata and notify, in one atomic step.

        Raises:
            StoreUnavailable: nothing a reader can see has changed.
        """
        ...

    def read_metadata(self, name: str) -> bytes | None:
        """Give a metadata file, or None when there is none.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def read_target(self, name: str) -> Iterator[bytes]:
        """Give a target file in chunks.

        Raises:
            SnapshotInvalid: no such target, or a chunk of it is missing.
            StoreUnavailable: the store can't be reached.
        """
        ...

    def holds(self, name: str) -> bool:
        """Say whether a target is there with all its chunks.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def collect(self, keep: Iterable[str]) -> int:
        """Remove every target not named in ``keep``; gives how many went.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until a publish is announced or the time is over; True when one was, or may have been missed.

        The first wait, and the first after a lost connection, may give True at once.

        A store that can't be reached waits the time out and gives False: the caller looks anyway.
        """
        ...

    def close(self) -> None:
        """Give up the connections."""
        ...


class ReadTransaction(Protocol):
    """One version of the replica, unchanging until closed. Not to be shared between threads."""

    @property
    def edition(self) -> Edition:
        """The edition of this version; the same object as long as the version is the same."""
        ...

    def get(self, token: bytes, /) -> bytes | None:
        """Give a token's records (`portcullis.domain.records`), or None. Reads memory only."""
        ...

    def close(self) -> None:
        """End the transaction; one that nobody refers to any more ends by itself."""
        ...


class Replica(Protocol):
    """The reader's side of the local copy, one per worker process."""

    def begin(self) -> ReadTransaction | None:
        """Open the newest version held; None before the first. Never blocks on the writer or the network."""
        ...

    def refresh(self) -> bool:
        """Look whether the writer has installed another version or vouched anew; True when the version changed.

        Called off the check path every few milliseconds; a check in between reads the version it began with.
        """
        ...

    def vouched_age_s(self) -> float:
        """Seconds since the publisher last vouched for the version held; infinite before the first."""
        ...

    def close(self) -> None:
        """Give up the files."""
        ...


class ReplicaWriter(Protocol):
    """The follower's side of the local copy: one process a host."""

    def held(self) -> Edition | None:
        """Give the edition now installed, or None. What can't be read counts as none."""
        ...

    def install(self, edition: Edition, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Build a version beside the present one from records in ascending token order, then swap to it.

        Readers go on with the version that they began with. A crash at any point leaves the old or the new version.

        Raises:
            SnapshotInvalid: tokens out of order, doubled, or not as many as the edition says.
            OSError: the disk refused; the present version stays.
        """
        ...

    def vouch(self, version: int, age_s: float) -> None:
        """Note that the publisher vouched for this version ``age_s`` seconds ago.

        The latest vouching counts: an older one changes nothing, nor does one for a version that is not installed.
        """
        ...

    def close(self) -> None:
        """Give up the files."""
        ...
