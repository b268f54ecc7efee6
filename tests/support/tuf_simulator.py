"""A publisher that can be made to misbehave: it holds every key and signs whatever a test wants, right or wrong.

After the repository simulator of python-tuf's own tests: the roles are plain objects to be changed, `publish` signs them all
as they are and puts them into a store. What is signed is proven by real keys; only the publisher's good manners are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from portcullis.adapters.memory.store import MemorySnapshotStore
from portcullis.domain.manifests import HEAD_TARGET
from portcullis.ports import Clock

AnySigned = Root | Timestamp | Snapshot | Targets
DAY_S = 86_400


class TufSimulator:
    """Roles of one publisher: ``head`` and a role for each list, in ``store``.

    ``signers`` are the keys that each role signs with, which may be others than those that are delegated to.
    """

    def __init__(self, clock: Clock, *lists: str, root_keys: int = 3, root_threshold: int = 2) -> None:
        self.clock = clock
        self.store = MemorySnapshotStore()
        self.targets_of: dict[str, bytes] = {}
        roles = ("targets", "snapshot", "timestamp", "head", *(f"list-{name}" for name in lists))
        self.signers = {role: [CryptoSigner.generate_ed25519()] for role in roles}
        self.signers["root"] = [CryptoSigner.generate_ed25519() for _ in range(root_keys)]
        self.root = Root(version=1)
        for role in ("root", "targets", "snapshot", "timestamp"):
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)
        self.root.roles["root"].threshold = root_threshold
        self.targets = Targets(delegations=Delegations({}, {}))
        self.roles: dict[str, Targets] = {}
        self.timestamp = Timestamp(version=int(clock.now() * 1000))
        self.snapshot = Snapshot(version=1)
        self.expires_in_s: dict[str, float] = {}
        self.extra: dict[str, object] = {}
        """Fields that the timestamp has besides the usual ones, or instead of them."""
        self.delegate("head", "head/*")
        for name in lists:
            self.delegate(f"list-{name}", f"lists/{name}/*")
        self.published_roots: list[bytes] = []
        self.put(HEAD_TARGET, b"the head")
        for name in lists:
            self.put(f"lists/{name}/manifest.json", f"the manifest of {name}".encode())
        self.publish_root()
        self.publish()

    @property
    def anchor(self) -> bytes:
        """The first root."""
        return self.published_roots[0]

    def delegate(self, role: str, pattern: str) -> None:
        """Delegate to a role, by the keys that it signs with."""
        delegations = self.targets.delegations
        assert delegations is not None
        assert delegations.roles is not None
        keys = [signer.public_key for signer in self.signers[role]]
        delegations.keys.update({key.keyid: key for key in keys})
        delegations.roles[role] = DelegatedRole(role, [key.keyid for key in keys], 1, terminating=True, paths=[pattern])
        self.roles.setdefault(role, Targets())

    def put(self, name: str, data: bytes, *, role: str | None = None) -> None:
        """Have a target signed by the role that it belongs to, or by another."""
        first, _, rest = name.partition("/")
        owner = role or (first if first == "head" else f"list-{rest.partition('/')[0]}")
        self.roles[owner].targets[name] = TargetFile.from_data(name, data)
        self.targets_of[name] = data

    def rotate(self, *roles: str) -> None:
        """Give top-level roles new keys in a new version of root, signed by the old keys of root and the new."""
        before = list(self.signers["root"])
        for role in roles:
            for key_id in list(self.root.roles[role].keyids):
                self.root.revoke_key(key_id, role)
            self.signers[role] = [CryptoSigner.generate_ed25519() for _ in self.signers[role]]
            for signer in self.signers[role]:
                self.root.add_key(signer.public_key, role)
        self.root.version += 1
        self.publish_root([*before, *(each for each in self.signers["root"] if each not in before)])

    def publish_root(self, signers: list[CryptoSigner] | None = None) -> None:
        """Sign root as it is and put it into the store, by the keys of root or by these."""
        data = self._sign("root", self.root, signers, 365 * DAY_S)
        self.published_roots.append(data)
        self.store.publish({f"{self.root.version}.root.json": data}, {})

    def advance(self, snapshot: int = 1) -> None:
        """Publish again, under greater versions of snapshot and timestamp."""
        self.snapshot.version += snapshot
        self.timestamp.version += 1
        self.publish()

    def vouch(self) -> None:
        """Sign the timestamp alone anew, with the next serial."""
        self.timestamp.version += 1
        self.store.publish({"timestamp.json": self.sign_timestamp()}, {})

    def publish(self) -> None:
        """Sign every role but root as it is, in order, and put everything into the store."""
        files = self.sign_targets_roles()
        data = self._sign("snapshot", self.snapshot, None, 7 * DAY_S)
        self.timestamp.snapshot_meta = MetaFile.from_data(self.snapshot.version, data, ["sha256"])
        files[f"{self.snapshot.version}.snapshot.json"] = data
        files["timestamp.json"] = self.sign_timestamp()
        self.store.publish(files, self.stored_targets())

    def sign_targets_roles(self) -> dict[str, bytes]:
        """Sign the delegations and what they delegate to, and name them in the snapshot."""
        files = {}
        self.snapshot.meta = {}
        for role, signed in {"targets": self.targets, **self.roles}.items():
            data = self._sign(role, signed, None, 7 * DAY_S)
            files[f"{signed.version}.{role}.json"] = data
            self.snapshot.meta[f"{role}.json"] = MetaFile.from_data(signed.version, data, ["sha256"])
        return files

    def sign_timestamp(self) -> bytes:
        """Sign the timestamp as it is, vouching as of now."""
        self.timestamp.unrecognized_fields = {"vouched_at_ms": int(self.clock.now() * 1000), **self.extra}
        return self._sign("timestamp", self.timestamp, None, DAY_S)

    def stored_targets(self) -> Mapping[str, bytes]:
        """Every target by its name in a store."""
        return {stored(name, data): data for name, data in self.targets_of.items()}

    def _sign(self, role: str, signed: AnySigned, signers: list[CryptoSigner] | None, lifetime_s: float) -> bytes:
        lives = timedelta(seconds=self.expires_in_s.get(role, lifetime_s))
        signed.expires = datetime.fromtimestamp(int(self.clock.now()), UTC) + lives
        metadata = Metadata(signed)
        for signer in signers if signers is not None else self.signers[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()


def stored(name: str, data: bytes) -> str:
    """Name a target as it is named in a store."""
    folder, separator, file = name.rpartition("/")
    return f"{folder}{separator}{hashlib.sha256(data).hexdigest()}.{file}"
