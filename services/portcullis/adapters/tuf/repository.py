"""The publisher's repository: a durable copy of everything in force, signed by the roles of The Update Framework.

The rules:

1. A version is signed as a whole (`portcullis.adapters.tuf.drafting`), then put on the disk in one step (`Shelf`).
2. Timestamps have serials: the milliseconds of the clock, and in any case more than any before. They are signed every
   second and not each of them is put on the disk: what is there is never more than a minute's worth behind, and a
   repository that is opened goes on from there plus that minute.
3. Keys are taken as they are when a version is signed. When they change, `due` says so, and the next version is signed by
   the new ones; until then what is in force stays, and its timestamp is signed by the keys that go with it.

Example: three lists, one target of one list is new. Signed are ``list-NAME``, ``head`` (its file names the version),
``snapshot`` and ``timestamp``; the other two lists' metadata is shared with the version before.

One process at a time works in a folder. A publisher that waits for the lease opens it once it has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tuf.api.metadata import Snapshot, TargetFile, Timestamp
from tuf.api.serialization import DeserializationError

from portcullis.adapters.tuf.drafting import TIMESTAMP_LIFETIME_S, draft, is_half_over, is_signed_by
from portcullis.adapters.tuf.issue import Issue, parse, read_issue, stored_name
from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.key_roles import HEAD, SNAPSHOT, TIMESTAMP, list_of, list_role, read_root
from portcullis.adapters.tuf.keyset import Keyset
from portcullis.adapters.tuf.names import HASH, TIMESTAMP_FILE, metadata_file, role_of_target
from portcullis.adapters.tuf.shelf import Shelf
from portcullis.adapters.tuf.vouching import make_timestamp, milliseconds, vouched_of
from portcullis.domain.errors import SetupFault
from portcullis.ports import Clock, Publication, Vouched

GREATEST_VERSION = 1 << 52
"""Versions beyond are not surpassed: no clock gives them, so only a stolen key does, and its rotation mends that."""

_RESERVE = 60_000
"""How far serials may go on, in milliseconds, before one must be on the disk (rule 2)."""


class TufRepository:
    """One folder, and the keys to sign what is in it.

    Args:
        folder: where everything that is published lies; made when it is needed.
        keys: the key directory.
        clock: tells when a list is delegated to.

    Raises:
        SetupFault: there is no root or no delegations.
        OSError: the disk refused.
    """

    def __init__(self, folder: Path, keys: KeyDirectory, clock: Clock) -> None:
        self._shelf = Shelf(folder)
        self._keys = keys
        self._clock = clock
        self._keyset = Keyset.read(keys)
        self._under: Keyset | None = None
        """The keys and delegations that what is in force was signed under or compared with; None where it must be anew."""
        self._vouching = self._keyset
        """The keys that its timestamp is signed by, and the root that goes with it."""
        self._issue: Issue | None = None
        self._stored: dict[str, TargetFile] = {}
        self._created: dict[str, TargetFile] = {}
        self._version = self._serial = self._durable = 0
        self._swept = False
        self._open()

    def version(self) -> int:
        """Give the greatest version known: signed here, or seen in a store (`surpass`)."""
        return self._version

    def vouched(self) -> Vouched | None:
        """Give what the timestamp last signed says."""
        return self._issue.vouched if self._issue else None

    def can_sign(self, list_name: str) -> bool:
        """Say whether a list's key is here, and delegate to it if it is new and the targets key is here.

        Raises:
            SetupFault: there is no root or no delegations.
            OSError: the disk refused.
        """
        role = list_role(list_name)
        if role in self._read_keys().signers:
            return True
        self._keys.delegate(list_name, now=self._clock.now())
        return role in self._read_keys().signers

    def read(self, name: str) -> bytes | None:
        """Give a target in force."""
        return self.path(name).read_bytes() if self._issue and name in self._issue.targets else None

    def path(self, name: str) -> Path:
        """Give the file of a target in force.

        Raises:
            KeyError: it is not in force.
        """
        if self._issue is None:
            raise KeyError(name)
        return self._shelf.path(stored_name(self._issue.targets[name]))

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Write a new target of any size; many may be open at once.

        Raises:
            ValueError: no role signs a target of this name.
            OSError: the disk refused.
        """
        role_of_target(name)
        self._sweep()
        with self._shelf.receive(name) as (out, incoming):
            yield out
        replaced = self._created.get(name)
        self._created[name] = TargetFile(incoming.length, {HASH: incoming.sha256}, name)
        self._remove([replaced] if replaced else [])

    def created(self, name: str) -> tuple[str, Path]:
        """Give the name in the store, and the file, of a target that was created and is not in force yet.

        Raises:
            KeyError: no such target.
        """
        stored = stored_name(self._created[name])
        return stored, self._shelf.path(stored)

    def collect(self, keep: Collection[str]) -> None:
        """Delete what was created, is not in force, and is not named here."""
        gone = [self._created.pop(name) for name in self._created.keys() - set(keep)]
        self._remove(gone)

    def sign(self, version: int, *, now: float, targets: Collection[str]) -> None:
        """Put exactly these targets in force under a version.

        Raises:
            ValueError: the version is not greater than every one known, or a target was not written.
            SetupFault: a key is missing, or a target's list can't be signed for; then ``metadata["list"]`` names it.
            OSError: the disk refused.
        """
        self._sweep()
        if version <= self._version:
            raise ValueError("a version must be greater than every version known")
        issue, under = draft(
            self._by_role(targets),
            self._issue,
            self._read_keys(),
            under=self._under,
            version=version,
            serial=self._next_serial(now),
            now=now,
        )
        self._shelf.commit(issue.files)
        before = list(self._stored.values())
        self._put_in_force(issue)
        self._under = self._vouching = under
        self._version, self._serial, self._durable = version, issue.vouched.serial, issue.vouched.serial
        for name in [name for name, target in self._created.items() if issue.targets.get(name) == target]:
            del self._created[name]
        self._remove(before)

    def vouch(self, *, now: float) -> None:
        """Sign the timestamp anew; does nothing before the first version.

        Raises:
            SetupFault: the timestamp's key is not here, can't be used, or was exchanged and no version signed since.
            OSError: the disk refused.
        """
        if self._issue is None:
            return
        serial = self._next_serial(now)
        timestamp = make_timestamp(self._issue.snapshot.meta, serial, now=now, lifetime_s=TIMESTAMP_LIFETIME_S)
        data = self._vouching.sign(TIMESTAMP, timestamp)
        durable = serial > self._durable + _RESERVE
        self._shelf.vouch(data, durable=durable)
        self._serial = serial
        if durable:
            self._durable = serial
        self._issue = self._issue._replace(timestamp=data, vouched=vouched_of(timestamp))

    def due(self, *, now: float) -> bool:
        """Say whether a version must be signed because the last one expires, or since keys or delegations changed.

        So it is, too, where the key directory is out of order: `sign` says what is wrong with it.
        """
        if self._issue is None:
            return False
        try:
            keyset = self._read_keys()
        except SetupFault:
            return True
        if self._under is None or self._under.stamp != keyset.stamp:
            self._under = keyset if is_signed_by(self._issue, keyset) else None
        return self._under is None or is_half_over(self._issue, keyset, now)

    def surpass(self, read: Callable[[str], bytes | None]) -> None:
        """Take note of the versions of a store's timestamp, if the present key has signed it, and of its snapshot.

        What was signed here and never sent may be greater than what another signed since, whose clock is behind this one;
        what that holds of the roles is newer all the same, and no follower that has it goes back.
        """
        data = read(TIMESTAMP_FILE)
        timestamp = _read_timestamp(data)
        if data is None or timestamp is None or not self._keyset.verifies(TIMESTAMP, data):
            return
        self._serial = max(self._serial, _plausible(timestamp.version))
        self._version = max(self._version, _plausible(timestamp.snapshot_meta.version))
        if self._issue is None or self._version > self._issue.snapshot.version:
            return
        snapshot = read(metadata_file(SNAPSHOT, timestamp.snapshot_meta.version))
        if snapshot is not None and self._keyset.verifies(SNAPSHOT, snapshot) and _is_ahead(snapshot, self._issue):
            self._version += 1

    def publication(self) -> Publication:
        """Give everything that a store must hold; nothing before the first version."""
        if self._issue is None:
            return Publication({}, {})
        return Publication(self._issue.files, {stored: self._shelf.path(stored) for stored in self._stored})

    def _open(self) -> None:
        """Read what is in force, and from which version and serial to go on.

        What is not whole is not in force: the publisher then signs everything anew, under a version that is greater.
        """
        files, vouched = self._shelf.metadata(), self._shelf.vouched()
        stamps = [each for data in (files.get(TIMESTAMP_FILE), vouched) if (each := _read_timestamp(data))]
        self._version = max((each.snapshot_meta.version for each in stamps), default=0)
        self._durable = max((each.version for each in stamps), default=0)
        self._serial = self._durable + _RESERVE if stamps else 0
        issue = read_issue(files)
        if issue is None or not issue.roots:
            return
        self._vouching = self._keyset._replace(root=read_root(issue.roots[-1], "the root in force"))
        issue = _with_newer(issue, vouched, self._vouching)
        if all(self._shelf.holds(stored, each.length) for stored, each in issue.stored_targets.items()):
            self._put_in_force(issue)
            self._under = self._keyset if is_signed_by(issue, self._keyset) else None

    def _put_in_force(self, issue: Issue) -> None:
        self._issue, self._stored = issue, issue.stored_targets

    def _sweep(self) -> None:
        """Clear the folder before the first write."""
        if not self._swept:
            self._shelf.sweep(self._stored)
            self._swept = True

    def _remove(self, targets: Collection[TargetFile]) -> None:
        """Remove the files of targets, but for those that are in force or created."""
        kept = {*self._stored, *map(stored_name, self._created.values())}
        self._shelf.remove({stored_name(each) for each in targets} - kept)

    def _read_keys(self) -> Keyset:
        if self._keys.stamp() != self._keyset.stamp:
            self._keyset = Keyset.read(self._keys)
        return self._keyset

    def _by_role(self, names: Collection[str]) -> dict[str, dict[str, TargetFile]]:
        """Sort targets by the roles that sign them, with an empty place for every role there was, here or elsewhere.

        What another publisher may have signed is not known here. It had the same keys, so every list that has one counts.
        """
        held = self._issue.targets if self._issue else {}
        lists = [role for role in self._keyset.signers if list_of(role) is not None]
        wanted: dict[str, dict[str, TargetFile]] = {
            role: {} for role in (HEAD, *(self._issue.roles if self._issue else ()), *lists)
        }
        for name in names:
            target = self._created.get(name) or held.get(name)
            if target is None:
                raise ValueError(f"the target {name} was not written")
            wanted.setdefault(role_of_target(name), {})[name] = target
        return wanted

    def _next_serial(self, now: float) -> int:
        return max(milliseconds(now), self._serial + 1)


def _with_newer(issue: Issue, vouched: bytes | None, keyset: Keyset) -> Issue:
    """Take the timestamp that was signed since, if it goes with this version."""
    newer = _read_timestamp(vouched)
    if vouched is None or newer is None or newer.version <= issue.vouched.serial:
        return issue
    if newer.snapshot_meta != issue.snapshot.meta or not keyset.verifies(TIMESTAMP, vouched):
        return issue
    return issue._replace(timestamp=vouched, vouched=vouched_of(newer))


def _read_timestamp(data: bytes | None) -> Timestamp | None:
    try:
        return None if data is None else parse(data, Timestamp)
    except DeserializationError:
        return None


def _is_ahead(snapshot: bytes, issue: Issue) -> bool:
    """Say whether a snapshot names a newer version of a role than an issue, or a role that this lacks."""
    held = {f"{each.role}.json": each.version for each in (issue.delegations, *issue.roles.values())}
    return any(meta.version > held.get(file, 0) for file, meta in parse(snapshot, Snapshot).meta.items())


def _plausible(version: int) -> int:
    return version if version <= GREATEST_VERSION else 0
