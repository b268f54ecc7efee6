"""Distribution: what a snapshot passes through on its way from the publisher to the workers of a host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from portcullis.domain.editions import Edition
from portcullis.domain.segments import Change


class Acknowledgement(NamedTuple):
    """What a host's follower serves: the snapshot's version and the registry's change it includes up to.

    ``at`` is when it said so, Unix seconds. ``token_keys`` are the fingerprints of the token keys that it holds.
    """

    host: str
    version: int
    registry_seq: int
    at: float
    token_keys: tuple[str, ...] = ()


ACKNOWLEDGED_KEPT_S = 86_400.0
"""How long a host that has fallen silent is remembered."""


class Acknowledgements(Protocol):
    """Where followers say what they serve. One that is silent for `ACKNOWLEDGED_KEPT_S` is forgotten."""

    def acknowledge(self, said: Acknowledgement) -> None:
        """Say what a host serves, in the place of what it said before.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def acknowledged(self) -> Sequence[Acknowledgement]:
        """Give what every host has said last, in the order of their names.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...


class SnapshotStore(Protocol):
    """Carries published files from the publisher to the followers. Transport only, never authority.

    Metadata files are small. Target files are immutable, named by their content, and arrive in chunks. Nothing here is
    believed: whoever reads proves it (`portcullis.ports.trust`).
    """

    def publish(self, metadata: Mapping[str, bytes], targets: Mapping[str, bytes], *, lease: str = "") -> None:
        """Put small targets and metadata in place and notify, in one atomic step.

        With a ``lease`` it is done only while that holder has the lease.

        Raises:
            LeaseLost: another has it; nothing has changed.
            StoreUnavailable: nothing a reader can see has changed.
        """
        ...

    def upload(self, name: str, chunks: Iterable[bytes]) -> Iterator[int]:
        """Put a target in place, a chunk for each step that is taken of the iterator, which gives the chunk's length.

        The target can be read once the iterator has come to its end. What an upload that was given up has left is
        replaced by the next, or removed by `collect`.

        Raises:
            StoreUnavailable: the store can't be reached; so does the iterator.
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

    def holds(self, names: Collection[str]) -> bool:
        """Say whether these targets are all there with all their chunks.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def collect(self, metadata: Collection[str], targets: Collection[str], *, lease: str = "") -> int:
        """Remove every metadata file and every target that is not named; gives how many went.

        With a ``lease`` only while that holder has it, so that one who lost it in between removes nothing of another's.

        Raises:
            LeaseLost: another has it; what was removed before stays so.
            StoreUnavailable: the store can't be reached.
        """
        ...

    def lease(self, holder: str, ttl_s: float) -> bool:
        """Take the publisher's lease, or prolong it; False while another holds it.

        Raises:
            StoreUnavailable: the store can't be reached.
        """
        ...

    def release(self, holder: str) -> None:
        """Give the lease back, if this holder has it.

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

    def records(self) -> Iterator[Change]:
        """Give every body, strictly ascending by token and list; for proving a replica, not for the check path.

        Raises:
            SnapshotInvalid: what is there can't be read.
        """
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


class Space(NamedTuple):
    """The room that a replica's file takes, and about how much it would take if it were built anew, in bytes."""

    file_bytes: int
    needed_bytes: int


class ReplicaWriter(Protocol):
    """The writing side of a local copy: the follower's, one process a host, and the publisher's own mirror.

    A `Change` is a token, a list's number and the body that they have from now on; an empty body is none.
    """

    def held(self) -> Edition | None:
        """Give the edition now installed, or None. What can't be read, or is of another format, counts as none."""
        ...

    def install(self, edition: Edition, records: Iterable[Change], changes: Iterable[Change] = ()) -> None:
        """Build a version beside the present one, then swap to it.

        Args:
            edition: the version.
            records: every body of some earlier state, strictly ascending by token and list.
            changes: what leads on from there; any order, later ones win.

        Readers go on with the version that they began with. A crash at any point leaves the old or the new version.

        Raises:
            SnapshotInvalid: the records are out of order, a body is malformed, or a list's records and digest are not
                what the edition says (DIGEST_MISMATCH).
            OSError: the disk refused; the present version stays.
        """
        ...

    def apply(self, edition: Edition, changes: Iterable[Change]) -> None:
        """Lead the present version on to the next in one transaction: bodies, edition and version.

        ``changes`` may come in any order, later ones win. A list may come, and may leave once it has no records; one that
        has keeps its legal rows. Whatever else there is to do, `install` does.

        Raises:
            SnapshotInvalid: nothing is installed, a body is malformed, or a list's records and digest would not be what
                the edition says (DIGEST_MISMATCH; so too where a list left with records); the present version stays.
            OSError: the disk refused; the present version stays.
        """
        ...

    def body(self, token: bytes, number: int) -> bytes:
        """Give the body of a token in a list as of the version installed; empty where it has none."""
        ...

    def records(self) -> Iterator[Change]:
        """Give every body, strictly ascending by token and list, as of the version installed when this is called.

        The iterator may be read in steps while newer versions are applied; its version stays for as long.
        """
        ...

    def space(self) -> Space | None:
        """Say how much room the version installed takes; None where none is installed, or it is not in a file.

        A file that versions were applied to does not become shorter by itself: `install` builds it anew.
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
