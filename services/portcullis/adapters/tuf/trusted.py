"""The follower's trust: python-tuf's client over a snapshot store.

The rules:

1. Each look is a new `Updater`, which goes through the client workflow of the specification: roots, timestamp, snapshot,
   delegations. Roles of lists are loaded when a target of theirs is read.
2. What was trusted lies in the folder as the client writes it and survives restarts: ``root_history/N.root.json``,
   ``timestamp.json``, ``snapshot.json``, ``targets.json``, ``head.json``, ``list-NAME.json``. Whatever is wrong there is
   ignored by the client and fetched anew, for each file is proven from the trust anchor on whenever it is used.
3. The client puts a timestamp in place before it has the snapshot. That is no harm: it is rightly signed, so the next look
   wants its snapshot or a newer one, and every honest store will have that.
4. Metadata expires by a time that does not jump (`portcullis.adapters.tuf.steady_time`).
5. Another content under a version that was seen is refused: a timestamp of the same serial, a snapshot of the same version.
   The client would keep the one it knows and say nothing.
6. A file that was replaced while it was looked for is no fault: it looks again.

The client does not wait for the disk. A power cut may lose what was written in the seconds before, or leave files torn;
then the client begins with what is left, in the worst case the trust anchor alone. Until it has looked once it would follow
a store that goes back by those seconds, or, with everything lost, one that is rightly signed, not expired, and older; the
replica's own version is what still refuses that. Nothing that was not rightly signed is ever accepted.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from tuf.api.exceptions import DownloadError, LengthOrHashMismatchError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.ngclient import Updater

from portcullis.adapters.durable_files import make_private_folder
from portcullis.adapters.tuf.fetcher import BASE_URL, StoreFetcher
from portcullis.adapters.tuf.issue import parse
from portcullis.adapters.tuf.key_roles import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from portcullis.adapters.tuf.names import HASH, TIMESTAMP_FILE, role_of_target, stored_target
from portcullis.adapters.tuf.refusing import refused
from portcullis.adapters.tuf.steady_time import SteadyTime
from portcullis.adapters.tuf.vouching import vouched_of
from portcullis.domain.errors import Refusal, SetupFault, SnapshotInvalid
from portcullis.ports import Clock, SnapshotStore, Vouched

_TRIES = 3


class _State(NamedTuple):
    """What the last good look found, and the client that found it."""

    vouched: Vouched
    updater: Updater


class _SteadyUpdater(Updater):
    """An updater that judges expiry at a time it is given.

    python-tuf takes the time from the host's clock and has no argument for another. The time is a public attribute of its
    set of trusted metadata, set once and not used before `refresh`; a subclass may reach that set. Tests hold that it is so.
    """

    def __init__(self, folder: Path, fetcher: StoreFetcher, root: bytes, now: float) -> None:
        super().__init__(str(folder), BASE_URL, fetcher=fetcher, bootstrap=root)
        self._trusted_set.reference_time = datetime.fromtimestamp(now, UTC)


class TufTrustedSnapshots:
    """One store as a follower trusts it. One process and thread uses a folder.

    Args:
        store: where the metadata and targets come from.
        folder: where what is trusted is kept; targets pass through it.
        root: the trust anchor, a root file.
        clock: the host's.

    Raises:
        SetupFault: the anchor is no root that is rightly signed by itself.
        OSError: the disk refused.
    """

    def __init__(self, store: SnapshotStore, folder: Path, root: bytes, clock: Clock) -> None:
        self._store = store
        self._folder = folder
        self._root = _demand_anchor(root)
        self._time = SteadyTime(clock)
        self._clock = clock
        self._fetcher = StoreFetcher(store, folder)
        self._state: _State | None = None
        self._serial = 0
        self._small: dict[str, bytes] = {}
        self._small_before: dict[str, bytes] = {}
        _tidy(folder)

    def look(self) -> Vouched:
        """Bring the trusted metadata up to date, and give what it says.

        Raises:
            SnapshotInvalid: as the port says; reads go on from the state before.
            StoreUnavailable: the store can't be reached.
            OSError: the disk refused.
        """
        for left in reversed(range(_TRIES)):
            try:
                return self._look()
            except SnapshotInvalid as fault:
                if not left or fault.refusal is not Refusal.METADATA_MISSING or not self._was_replaced():
                    raise
        raise AssertionError("unreachable: the last try raises or returns")

    def root_version(self) -> int:
        """Give the version of root that proved the state last looked at; before the first look, that of the anchor."""
        return parse(self._root, Root).version

    def read(self, name: str, longest: int) -> bytes:
        """Give a small target of the state last looked at.

        Raises:
            SnapshotInvalid: the metadata does not name it, it is longer, or it is not what was signed.
            StoreUnavailable: the store can't be reached.
        """
        target = self._describe(name)
        if target.length > longest:
            raise SnapshotInvalid("a target is longer than it may be", refusal=Refusal.TARGET_LENGTH)
        stored = stored_target(name, target.hashes[HASH])
        data = self._small.get(stored) or self._small_before.get(stored)
        if data is None:
            data = b"".join(self._chunks(stored, target))
        self._small[stored] = data
        return data

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Fetch a target of any size, prove it whole, and open it.

        It takes its length of disk once, has no name there, and goes with the block or with the process.

        Raises:
            SnapshotInvalid: as `read`.
            StoreUnavailable: the store can't be reached.
            OSError: the disk has no room for it.
        """
        target = self._describe(name)
        stored = stored_target(name, target.hashes[HASH])
        with tempfile.TemporaryFile(dir=self._folder) as file:
            for chunk in self._chunks(stored, target):
                file.write(chunk)
            file.seek(0)
            yield cast("BinaryIO", file)

    def _look(self) -> Vouched:
        try:
            updater = self._refresh(self._time.now())
        except SnapshotInvalid as fault:
            if fault.refusal is not Refusal.METADATA_EXPIRED or not self._is_wall_vouched_for():
                raise
            updater = self._refresh(self._clock.now())
        vouched = self._vouched()
        if vouched.serial != self._serial:
            self._time.hear(vouched.vouched_at)
            self._serial = vouched.serial
        if self._state is None or self._state.vouched.version != vouched.version:
            self._small, self._small_before = {}, self._small
        self._state = _State(vouched, updater)
        return vouched

    def _refresh(self, now: float) -> Updater:
        self._fetcher.forget()
        try:
            updater = _SteadyUpdater(self._folder, self._fetcher, self._root, now)
            updater.refresh()
        except (RepositoryError, DownloadError) as fault:
            raise self._refused(fault, TARGETS) from fault
        # The next look starts from the newest root, so that its cost does not grow with every rotation.
        self._root = self._trusted(f"{ROOT}.json")
        return updater

    def _vouched(self) -> Vouched:
        """Read what the client trusts now, and hold it against what the store showed (rule 5)."""
        data = self._trusted(TIMESTAMP_FILE)
        shown = self._fetcher.timestamp
        timestamp = parse(data, Timestamp)
        if shown is not None and shown.data != data:
            raise _equivocation(TIMESTAMP)
        try:
            timestamp.snapshot_meta.verify_length_and_hashes(self._trusted(f"{SNAPSHOT}.json"))
        except LengthOrHashMismatchError as fault:
            raise _equivocation(SNAPSHOT) from fault
        return vouched_of(timestamp)

    def _describe(self, name: str) -> TargetFile:
        if self._state is None:
            raise RuntimeError("look before you read")
        try:
            target = self._state.updater.get_targetinfo(name)
        except (RepositoryError, DownloadError) as fault:
            raise self._refused(fault, _role_of(name)) from fault
        if target is None:
            raise SnapshotInvalid("the metadata does not name a target", refusal=self._why_unnamed(name))
        if HASH not in target.hashes:
            raise SnapshotInvalid(f"a target is signed without its {HASH}", refusal=Refusal.METADATA_MALFORMED)
        return target

    def _why_unnamed(self, name: str) -> Refusal:
        delegations = parse(self._trusted(f"{TARGETS}.json"), Targets).delegations
        delegated = delegations is not None and any(True for _ in delegations.get_roles_for_target(name))
        return Refusal.TARGET_MISSING if delegated else Refusal.UNDELEGATED

    def _chunks(self, stored: str, target: TargetFile) -> Iterator[bytes]:
        received, digest = 0, hashlib.sha256()
        for chunk in self._store.read_target(stored):
            received += len(chunk)
            # A store may claim any number of empty chunks; they would lead nowhere.
            if not chunk or received > target.length:
                break
            digest.update(chunk)
            yield chunk
        if received != target.length:
            raise SnapshotInvalid("a target has not the length that was signed", refusal=Refusal.TARGET_LENGTH)
        if digest.hexdigest() != target.hashes[HASH]:
            raise SnapshotInvalid("a target is not what was signed", refusal=Refusal.TARGET_DIGEST)

    def _refused(self, fault: RepositoryError | DownloadError, role: str) -> SnapshotInvalid:
        return refused(fault, self._fetcher.last, absent=None if self._is_in_snapshot(role) else role)

    def _is_in_snapshot(self, role: str) -> bool:
        try:
            snapshot = parse(self._trusted(f"{SNAPSHOT}.json"), Snapshot)
        except (FileNotFoundError, DeserializationError):
            return True
        return f"{role}.json" in snapshot.meta

    def _is_wall_vouched_for(self) -> bool:
        """Say whether what was found expired says that it is new and was signed just now, by the wall clock."""
        shown = self._fetcher.timestamp
        try:
            vouched = vouched_of(parse(shown.data if shown else b"", Timestamp))
        except (DeserializationError, SnapshotInvalid):
            return False
        return vouched.serial > self._serial and self._time.is_agreed(vouched.vouched_at)

    def _was_replaced(self) -> bool:
        shown = self._fetcher.timestamp
        return shown is not None and self._store.read_metadata(TIMESTAMP_FILE) not in (None, shown.data)

    def _trusted(self, file: str) -> bytes:
        return (self._folder / file).read_bytes()


def _role_of(name: str) -> str:
    """Name the role that was loaded for a target; one that is no role's is looked for in the delegations alone."""
    try:
        return role_of_target(name)
    except ValueError:
        return TARGETS


def _demand_anchor(data: bytes) -> bytes:
    try:
        metadata = Metadata[Root].from_bytes(data)
        root = parse(data, Root)
        root.verify_delegate(ROOT, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, UnsignedMetadataError):
        raise SetupFault(
            "the trusted root is no signed root metadata; set trusted_root to a root file of the publisher's keys"
        ) from None
    return data


def _equivocation(role: str) -> SnapshotInvalid:
    return SnapshotInvalid(
        f"there are two {role} files of one version, both rightly signed: two publishers sign, or a key is stolen",
        refusal=Refusal.EQUIVOCATION,
    )


def _tidy(folder: Path) -> None:
    """Make the folder, and remove what the client has no use for: leftovers of a crash, and folders where files belong."""
    history = folder / "root_history"
    if history.exists() and not history.is_dir():
        history.unlink()
    make_private_folder(history)
    for path in (*folder.iterdir(), *history.iterdir()):
        if path == history or path.is_symlink():
            continue
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".json":
            path.unlink()
