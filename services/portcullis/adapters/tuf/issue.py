"""What a repository has signed: one version of every role, and how it is read back from the disk.

An `Issue` is never changed; the next one shares the roles that did not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from typing import NamedTuple, TypeVar

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import Metadata, MetaFile, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from portcullis.adapters.tuf.key_roles import ROOT, SNAPSHOT, TARGETS
from portcullis.adapters.tuf.names import HASH, TIMESTAMP_FILE, metadata_file, stored_target
from portcullis.adapters.tuf.vouching import vouched_of
from portcullis.domain.errors import SnapshotInvalid
from portcullis.ports import Vouched

_SUFFIX = ".json"
_Signed = TypeVar("_Signed", bound=Signed)


class RoleFile(NamedTuple):
    """One role's metadata file. ``targets`` is empty for those that have none."""

    role: str
    version: int
    data: bytes
    meta: MetaFile
    expires: datetime
    targets: Mapping[str, TargetFile]

    @classmethod
    def of(cls, role: str, signed: Signed, data: bytes) -> RoleFile:
        """Describe a file that was signed or read."""
        targets = signed.targets if isinstance(signed, Targets) else {}
        meta = MetaFile.from_data(signed.version, data, [HASH])
        return cls(role, signed.version, data, meta, signed.expires, targets)

    @property
    def name(self) -> str:
        """Its name in a store."""
        return metadata_file(self.role, self.version)

    def is_half_over(self, lifetime_s: float, now: float) -> bool:
        """Say whether half of its lifetime is over."""
        return datetime.fromtimestamp(now, UTC) + timedelta(seconds=lifetime_s / 2) >= self.expires


class Issue(NamedTuple):
    """One version of everything; ``roots`` are all up to the one it was signed under."""

    roots: tuple[bytes, ...]
    delegations: RoleFile
    snapshot: RoleFile
    roles: Mapping[str, RoleFile]
    timestamp: bytes
    vouched: Vouched

    @property
    def files(self) -> dict[str, bytes]:
        """Every metadata file, by its name in a store."""
        roots = {metadata_file(ROOT, number): data for number, data in enumerate(self.roots, 1)}
        signed = {each.name: each.data for each in (self.delegations, self.snapshot, *self.roles.values())}
        return {**roots, **signed, TIMESTAMP_FILE: self.timestamp}

    @property
    def targets(self) -> dict[str, TargetFile]:
        """Every target that is in force, by its name."""
        return {name: target for each in self.roles.values() for name, target in each.targets.items()}

    @property
    def stored_targets(self) -> dict[str, TargetFile]:
        """The same, by their names in a store."""
        return {stored_name(target): target for target in self.targets.values()}


def stored_name(target: TargetFile) -> str:
    """Name a target as it is named in a store."""
    return stored_target(target.path, target.hashes[HASH])


def read_issue(files: Mapping[str, bytes]) -> Issue | None:
    """Read back the metadata files of an issue, by their names in a store; None where they are not whole.

    What is read here was signed here, so hashes are all that is looked at.
    """
    try:
        timestamp = files[TIMESTAMP_FILE]
        stamp = parse(timestamp, Timestamp)
        snapshot = _read_role(SNAPSHOT, stamp.snapshot_meta, Snapshot, files)
        metas = parse(snapshot.data, Snapshot).meta
        roles = {}
        for file, meta in metas.items():
            role = file.removesuffix(_SUFFIX)
            roles[role] = _read_role(role, meta, Targets, files)
        delegations = roles.pop(TARGETS)
        return Issue(_roots(files), delegations, snapshot, roles, timestamp, vouched_of(stamp))
    except (DeserializationError, LengthOrHashMismatchError, SnapshotInvalid, KeyError):
        return None


def parse(data: bytes, kind: type[_Signed]) -> _Signed:
    """Read a metadata file of a kind.

    Raises:
        DeserializationError: it is none.
    """
    signed = Metadata.from_bytes(data).signed
    if not isinstance(signed, kind):
        raise DeserializationError(f"this is no metadata of the type {kind.type}")
    return signed


def _roots(files: Mapping[str, bytes]) -> tuple[bytes, ...]:
    names = takewhile(files.__contains__, (metadata_file(ROOT, number) for number in count(1)))
    return tuple(files[name] for name in names)


def _read_role(role: str, meta: MetaFile, kind: type[Signed], files: Mapping[str, bytes]) -> RoleFile:
    data = files[metadata_file(role, meta.version)]
    meta.verify_length_and_hashes(data)
    return RoleFile.of(role, parse(data, kind), data)
