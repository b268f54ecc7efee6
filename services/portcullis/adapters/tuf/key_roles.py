"""The roles, who delegates to them, and how root and targets are signed. No I/O but signing.

The rules:

1. ``root`` names the keys of root, targets, snapshot and timestamp. ``targets`` has no targets of its own: it delegates
   ``head/*`` to the role ``head`` and ``lists/NAME/*`` to ``list-NAME``, each terminating, by one key.
2. Versions of root are 1, 2, 3. A root is signed by the threshold of the root before and by its own.
3. A version of targets is the milliseconds of the clock, and in any case more than the last.
4. Root and targets live for two years: long enough that a yearly ceremony may be late by a year, short enough that a key
   that was forgotten is found out. What signs every second or on every publish is online, and lives as its publisher says.
5. Nothing is given out that python-tuf itself would not verify.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Role, Root, Targets
from tuf.api.serialization import DeserializationError

from portcullis.domain.errors import InvalidRequest, SetupFault
from portcullis.domain.manifests import HEAD_TARGET, list_folder
from portcullis.domain.policy_places import MAX_NAME_LENGTH, NAME

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
HEAD = "head"
TOP_ROLES = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)

LIFETIME = timedelta(days=730)
"""How long root and targets live (rule 4)."""

_LIST_PREFIX = "list-"


def list_role(name: str) -> str:
    """Name the role of a list."""
    return f"{_LIST_PREFIX}{name}"


def list_of(role: str) -> str | None:
    """Give the list of a role; None for a role that is no list's."""
    return role.removeprefix(_LIST_PREFIX) if role.startswith(_LIST_PREFIX) else None


def is_role(role: str) -> bool:
    """Say whether metadata can have a role of this name."""
    name = list_of(role)
    return role in (*TOP_ROLES, HEAD) if name is None else NAME.fullmatch(name) is not None


def tuf_role(given: str) -> str:
    """Give the role that a command calls "root", "targets", "snapshot", "timestamp", "head" or "list:NAME".

    Raises:
        InvalidRequest: it is none of them.
    """
    if given in (*TOP_ROLES, HEAD):
        return given
    prefix, _, name = given.partition(":")
    if prefix != "list":
        raise InvalidRequest.at("role", "must be root, targets, snapshot, timestamp, head or list:NAME")
    return list_role(checked_list(name))


def command_role(role: str) -> str:
    """Give the name that commands have for a role."""
    name = list_of(role)
    return role if name is None else f"list:{name}"


def checked_list(name: str) -> str:
    """Give the name of a list.

    Raises:
        InvalidRequest: it can't be one.
    """
    if len(name) > MAX_NAME_LENGTH or not NAME.fullmatch(name):
        raise InvalidRequest.at("list", "must be small letters, digits and single hyphens, as carrier-misconduct")
    return name


def keys_of(role: str, root: Root, targets: Targets | None) -> dict[str, Key]:
    """Give the public keys of a role, by their ids; none for a role that nobody delegates to."""
    delegator = root if role in TOP_ROLES else targets
    if delegator is None:
        return {}
    try:
        ids = delegator.get_delegated_role(role).keyids
        return {key_id: delegator.get_key(key_id) for key_id in ids}
    except ValueError:
        return {}


def new_targets(head: Key) -> Targets:
    """Make the delegations without any list."""
    targets = Targets(version=1, delegations=Delegations({}, {}))
    set_delegation(targets, HEAD, [head])
    return targets


def set_delegation(targets: Targets, role: str, keys: Collection[Key]) -> None:
    """Delegate to a role by these keys and no others, one of which must sign."""
    delegations = targets.delegations or Delegations({}, {})
    roles = dict(delegations.roles or {})
    name = list_of(role)
    folder = HEAD_TARGET.partition("/")[0] if name is None else list_folder(name)
    roles[role] = DelegatedRole(role, [key.keyid for key in keys], 1, terminating=True, paths=[f"{folder}/*"])
    known = {**delegations.keys, **{key.keyid: key for key in keys}}
    used = {key_id for each in roles.values() for key_id in each.keyids}
    # The head comes first and lists by name, so that the same delegations are the same bytes.
    ordered = {each: roles[each] for each in sorted(roles, key=lambda each: (each != HEAD, each))}
    targets.delegations = Delegations({key_id: known[key_id] for key_id in sorted(used)}, ordered)


def new_root(keys: Mapping[str, Collection[Key]], threshold: int) -> Root:
    """Make the first root; ``threshold`` is that of root itself, every other role needs one key."""
    roles = {role: Role([], threshold if role == ROOT else 1) for role in TOP_ROLES}
    root = Root(version=1, consistent_snapshot=True, roles=roles)
    for role, own in keys.items():
        for key in own:
            root.add_key(key, role)
    return root


def set_root_keys(root: Root, role: str, keys: Collection[Key]) -> None:
    """Give a role these keys and no others."""
    for key_id in list(root.roles[role].keyids):
        root.revoke_key(key_id, role)
    for key in keys:
        root.add_key(key, role)


def sign_root(root: Root, signers: Collection[Signer], previous: Root | None, *, now: float) -> bytes:
    """Sign a root, which follows ``previous`` or is the first.

    Raises:
        SetupFault: a signer failed, or too few keys signed.
    """
    root.version = 1 if previous is None else previous.version + 1
    root.expires = expiry(now)
    metadata = Metadata(root)
    _sign(metadata, signers)
    for judge in (root, previous or root):
        _demand_signed(judge, ROOT, metadata)
    return metadata.to_bytes()


def sign_targets(targets: Targets, signers: Collection[Signer], roots: Collection[Root], *, now: float) -> bytes:
    """Sign the delegations anew, under a greater version, so that each of these roots accepts them.

    Raises:
        SetupFault: a signer failed, or no key of the role signed.
    """
    targets.version = max(targets.version + 1, int(now * 1000))
    targets.expires = expiry(now)
    metadata = Metadata(targets)
    _sign(metadata, signers)
    for root in roots:
        _demand_signed(root, TARGETS, metadata)
    return metadata.to_bytes()


def expiry(now: float) -> datetime:
    """Say when what is signed now expires."""
    return datetime.fromtimestamp(int(now), UTC) + LIFETIME


def read_root(data: bytes, place: str) -> Root:
    """Read a root; ``place`` says in a fault where it stands.

    Raises:
        SetupFault: it is no root.
    """
    signed = _read(data, place).signed
    if not isinstance(signed, Root):
        raise _damaged(place)
    return signed


def read_targets(data: bytes, place: str) -> Metadata[Targets]:
    """Read the delegations with their signatures; raises as `read_root`."""
    metadata = _read(data, place)
    if not isinstance(metadata.signed, Targets):
        raise _damaged(place)
    return metadata


def is_signed(judge: Root, role: str, metadata: Metadata[Targets] | Metadata[Root]) -> bool:
    """Say whether enough keys of a role have signed."""
    try:
        judge.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError):
        return False
    return True


def _read(data: bytes, place: str) -> Metadata[Root] | Metadata[Targets]:
    try:
        return Metadata.from_bytes(data)
    except DeserializationError as fault:
        raise _damaged(place) from fault


def _damaged(place: str) -> SetupFault:
    return SetupFault(f"{place} is not the metadata that it should be; restore it from its backup")


def _sign(metadata: Metadata[Root] | Metadata[Targets], signers: Collection[Signer]) -> None:
    for signer in signers:
        try:
            metadata.sign(signer, append=True)
        except RepositoryError as fault:
            raise SetupFault(
                f"the key {signer.public_key.keyid[:8]} can't sign ({type(fault.__cause__ or fault).__name__}); "
                "see that the service or device that holds it can be reached"
            ) from fault


def _demand_signed(judge: Root, role: str, metadata: Metadata[Root] | Metadata[Targets]) -> None:
    if not is_signed(judge, role, metadata):
        needed = judge.roles[role].threshold
        raise SetupFault(f"the new {role} metadata needs the signatures of {needed} keys of {role}, and has too few")
