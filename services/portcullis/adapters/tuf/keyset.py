"""The keys and delegations as they were at one moment: everything of one version is signed under one state of them."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from securesystemslib.signer import Signature, Signer
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.key_roles import HEAD, SNAPSHOT, TIMESTAMP, TOP_ROLES, list_of, read_root, read_targets
from portcullis.domain.errors import SetupFault

_Signed = TypeVar("_Signed", Targets, Snapshot, Timestamp)


class Keyset(NamedTuple):
    """One state of a key directory; ``signers`` holds the roles whose keys are here."""

    stamp: tuple[object, ...]
    roots: tuple[bytes, ...]
    root: Root
    delegations: bytes
    targets: Targets
    signers: dict[str, tuple[Signer, ...]]

    @classmethod
    def read(cls, keys: KeyDirectory) -> Keyset:
        """Read the present state.

        Raises:
            SetupFault: there is no root or no delegations, or one is damaged.
        """
        # The stamp comes first: what changes while the rest is read is noticed by the next comparison.
        stamp = keys.stamp()
        roots, delegations = keys.roots(), keys.delegations()
        root = read_root(roots[-1], "the newest root")
        targets = read_targets(delegations, "the delegations").signed
        lists = () if targets.delegations is None else targets.delegations.roles or ()
        found = {role: keys.signers(role) for role in {TIMESTAMP, SNAPSHOT, HEAD, *lists}}
        return cls(stamp, roots, root, delegations, targets, {role: own for role, own in found.items() if own})

    def verifies(self, role: str, data: bytes) -> bool:
        """Say whether a metadata file is rightly signed for a role under these keys."""
        return is_rightly_signed(self._delegator(role), role, data)

    def sign(self, role: str, signed: _Signed) -> bytes:
        """Sign a role's metadata with the keys that are here, and give the file.

        Raises:
            SetupFault: there is no key here, too few, or one can't be used.
        """
        signers = self.signers.get(role, ())
        if not signers:
            raise SetupFault(
                f"no key of the role {role} is here; put it in its place, or see `portcullis keys show`",
                metadata=_about(role),
            )
        metadata = Metadata(signed)
        payload = metadata.signed_bytes
        metadata.signatures = {each.keyid: each for each in (_signature(role, signer, payload) for signer in signers)}
        try:
            self._delegator(role).verify_delegate(role, payload, metadata.signatures)
        except (UnsignedMetadataError, ValueError):
            raise SetupFault(
                f"the keys of the role {role} that are here are too few, or not those that are delegated to; "
                "see `portcullis keys show`",
                metadata=_about(role),
            ) from None
        return metadata.to_bytes()

    def _delegator(self, role: str) -> Root | Targets:
        return self.root if role in TOP_ROLES else self.targets


def is_rightly_signed(delegator: Root | Targets, role: str, data: bytes) -> bool:
    """Say whether enough of a role's keys, as its delegator names them, have signed a metadata file."""
    try:
        metadata = Metadata.from_bytes(data)
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError):
        return False
    return True


def _signature(role: str, signer: Signer, payload: bytes) -> Signature:
    try:
        return signer.sign(payload)
    except Exception as fault:  # securesystemslib leaves open what a signer of others may raise
        raise SetupFault(
            f"the key of the role {role} can't sign ({type(fault).__name__}); see that what holds it can be reached",
            metadata=_about(role),
        ) from fault


def _about(role: str) -> dict[str, str]:
    """Tell which list a fault is of, so that the others can go on without it."""
    name = list_of(role)
    return {} if name is None else {"list": name}
