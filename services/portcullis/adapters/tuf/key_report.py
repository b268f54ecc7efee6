"""What can be told of the keys without showing one."""

from __future__ import annotations

from securesystemslib.signer import Key

from portcullis.adapters.tuf.key_directory import KeyDirectory
from portcullis.adapters.tuf.key_roles import ROOT, TARGETS, TOP_ROLES, command_role, keys_of
from portcullis.adapters.tuf.signing import open_signer
from portcullis.domain.errors import SetupFault
from portcullis.ports.keys import KeyState, RoleKey, RoleKeys


def report(directory: KeyDirectory) -> tuple[RoleKeys, ...]:
    """Tell of every role: root and what it names, then the delegations, the lists by name.

    Raises:
        SetupFault: there is no trust in the folder, it is damaged, or ``signers.json`` is not what it should be.
    """
    trust = directory.trust()
    targets = trust.targets.signed
    directory.files.checked_signers()
    delegated = tuple((targets.delegations.roles if targets.delegations else None) or {})
    versions, expiries = {ROOT: trust.root.version, TARGETS: targets.version}, directory.expiries()
    return tuple(
        RoleKeys(
            role=command_role(role),
            threshold=(trust.root if role in TOP_ROLES else targets).get_delegated_role(role).threshold,
            keys=tuple(_key(directory, role, key) for key in keys_of(role, trust.root, targets).values()),
            version=versions.get(role),
            expires_at=expiries.get(role),
        )
        for role in (*TOP_ROLES, *delegated)
    )


def _key(directory: KeyDirectory, role: str, key: Key) -> RoleKey:
    uri = directory.places().get(role, {}).get(key.keyid, "")
    if not uri:
        return RoleKey(key.keyid, uri, KeyState.NOT_HERE)
    try:
        signer = open_signer(directory.files, uri, key)
    except SetupFault as fault:
        return RoleKey(key.keyid, uri, KeyState.UNUSABLE, fault=fault.message)
    if signer is None:
        return RoleKey(key.keyid, uri, KeyState.NOT_HERE)
    path = directory.files.path_of(uri)
    return RoleKey(key.keyid, uri, KeyState.HERE, made_at=path.stat().st_mtime if path else None)
