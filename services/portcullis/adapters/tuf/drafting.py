"""The next version, signed from below: roles whose targets changed, snapshot, timestamp. No I/O but the signing.

The rules:

1. A role stays as it is while its targets are the same, it is rightly signed under the present delegations, and less than
   half of its lifetime is over. Otherwise it is signed anew, with the snapshot's version as its own.
2. A role that was once in a snapshot stays in it, without targets if need be: followers refuse a snapshot that lacks one.
3. A list whose key is not here stays as it was last signed. Naming other targets for it is a fault; naming none gives the
   list up, and its last metadata stays.
4. A list whose key was exchanged, and whose new key is not here, must not stop the others: then the delegations stay as
   they were published last, with its old key, until the new one is here. A new root whose targets key did not sign those
   is a fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from tuf.api.metadata import Snapshot, TargetFile, Targets

from portcullis.adapters.tuf.issue import Issue, RoleFile, parse
from portcullis.adapters.tuf.key_roles import SNAPSHOT, TARGETS, TIMESTAMP
from portcullis.adapters.tuf.keyset import Keyset
from portcullis.adapters.tuf.vouching import make_timestamp, vouched_of
from portcullis.domain.errors import SetupFault

TIMESTAMP_LIFETIME_S = 86_400.0
"""How long a timestamp lives: a publisher that is gone for longer leaves followers with what they hold."""

LIFETIME_S = 7 * 86_400.0
"""How long snapshot, head and lists live; they are signed anew when half of it is over."""

Wanted = Mapping[str, Mapping[str, TargetFile]]
"""Role -> name of the target -> the target."""


def draft(
    wanted: Wanted, held: Issue | None, keyset: Keyset, *, under: Keyset | None, version: int, serial: int, now: float
) -> tuple[Issue, Keyset]:
    """Sign the next version.

    Args:
        wanted: the targets of every role that is to be in the snapshot.
        held: the version before.
        keyset: the keys and delegations as they are now.
        under: those that everything in ``held`` is known to be rightly signed under, if that is known.
        version: of the snapshot, and of the roles that are signed.
        serial: of the timestamp.
        now: Unix seconds.

    Returns:
        The version, and the keys and delegations that it is signed under.

    Raises:
        SetupFault: a key is missing, or can't be used.
    """
    keyset = _held_back(wanted, held, keyset)
    delegations = _delegations(held, keyset)
    last = held.roles if held else {}
    roles = {
        role: _role(role, own, last.get(role), keyset, known=keyset is under, version=version, now=now)
        for role, own in wanted.items()
    }
    snapshot = _snapshot([delegations, *roles.values()], keyset, version, now)
    timestamp = make_timestamp(snapshot.meta, serial, now=now, lifetime_s=TIMESTAMP_LIFETIME_S)
    data = keyset.sign(TIMESTAMP, timestamp)
    return Issue(keyset.roots, delegations, snapshot, roles, data, vouched_of(timestamp)), keyset


def is_signed_by(issue: Issue, keyset: Keyset) -> bool:
    """Say whether everything in force is as these keys and delegations would have it."""
    if issue.roots != keyset.roots or issue.delegations.data != keyset.delegations:
        return False
    in_use = {role: each.data for role, each in issue.roles.items() if role in keyset.signers or each.targets}
    signed = {TIMESTAMP: issue.timestamp, SNAPSHOT: issue.snapshot.data, **in_use}
    return all(keyset.verifies(role, data) for role, data in signed.items())


def is_half_over(issue: Issue, keyset: Keyset, now: float) -> bool:
    """Say whether something in force that can be signed here has lived half of its lifetime."""
    ours = [issue.snapshot, *(each for role, each in issue.roles.items() if role in keyset.signers)]
    return any(each.is_half_over(LIFETIME_S, now) for each in ours)


def _held_back(wanted: Wanted, held: Issue | None, keyset: Keyset) -> Keyset:
    """Keep the delegations published last where a list can't be signed under the new ones (rule 4)."""
    if held is None or held.delegations.data == keyset.delegations:
        return keyset
    stuck = [
        role
        for role, each in held.roles.items()
        if wanted[role] and role not in keyset.signers and not keyset.verifies(role, each.data)
    ]
    if not stuck or not keyset.verifies(TARGETS, held.delegations.data):
        return keyset
    return keyset._replace(delegations=held.delegations.data, targets=parse(held.delegations.data, Targets))


def _role(
    role: str,
    wanted: Mapping[str, TargetFile],
    last: RoleFile | None,
    keyset: Keyset,
    *,
    known: bool,
    version: int,
    now: float,
) -> RoleFile:
    """Sign a role anew, or keep its ``last`` file; ``known`` says that it is known to be rightly signed."""
    ours = role in keyset.signers
    if last is not None:
        if not ours and not wanted:
            return last
        stands = last.targets == wanted and (known or keyset.verifies(role, last.data))
        if stands and not (ours and last.is_half_over(LIFETIME_S, now)):
            return last
    signed = Targets(version=version, expires=_expiry(now), targets=dict(wanted))
    return RoleFile.of(role, signed, keyset.sign(role, signed))


def _delegations(held: Issue | None, keyset: Keyset) -> RoleFile:
    new = RoleFile.of(TARGETS, keyset.targets, keyset.delegations)
    last = held.delegations if held else new
    if new.version < last.version or (new.version == last.version and new.data != last.data):
        raise SetupFault(
            f"the delegations have version {new.version}, which is not newer than version {last.version} in force; "
            "restore the key directory from its newest backup, or sign the delegations anew"
        )
    return new


def _snapshot(roles: Collection[RoleFile], keyset: Keyset, version: int, now: float) -> RoleFile:
    meta = {f"{each.role}.json": each.meta for each in roles}
    signed = Snapshot(version=version, expires=_expiry(now), meta=meta)
    return RoleFile.of(SNAPSHOT, signed, keyset.sign(SNAPSHOT, signed))


def _expiry(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC) + timedelta(seconds=LIFETIME_S)
