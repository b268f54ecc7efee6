"""The policies of the registry: every version is kept, the last is in force.

Which lists are suspended is no part of a policy as it is kept (`portcullis.adapters.sql.registry.switches`), nor are the
epochs of partners' feed keys (`portcullis.adapters.sql.registry.feed_keys`); both are told with the policies that are given
out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final

import msgspec
from sqlalchemy import Connection, Row, insert, select

from portcullis.adapters.sql.registry.feed_keys import feed_epochs, with_feed_epochs
from portcullis.adapters.sql.registry.schema import policies
from portcullis.adapters.sql.registry.switches import suspended_lists
from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.policies import Policy
from portcullis.domain.subjects import FIRST_EPOCH

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(Policy)


class _Partner(msgspec.Struct):
    name: str


class _Partners(msgspec.Struct):
    """As much of a policy as every release can read."""

    partners: tuple[_Partner, ...] = ()


_PARTNERS: Final = msgspec.json.Decoder(_Partners)


def present_policy(connection: Connection) -> Policy:
    """Give the policy in force, with the lists that are suspended; an empty one before the first.

    Raises:
        RegistryUnavailable: another release wrote it, in a form that this one can't read.
    """
    _, policy = numbered_policy(connection)
    epochs = {name: epoch for name, (epoch, _) in feed_epochs(connection).items()}
    return with_feed_epochs(with_suspended(policy, suspended_lists(connection)), epochs)


def with_suspended(policy: Policy, names: Collection[str]) -> Policy:
    """Say of a policy's lists whether they are suspended: those of these names are, and no other."""
    if not any(each.suspended != (each.name in names) for each in policy.lists):
        return policy
    told = (msgspec.structs.replace(each, suspended=each.name in names) for each in policy.lists)
    return msgspec.structs.replace(policy, lists=tuple(told))


def numbered_policy(connection: Connection) -> tuple[int, Policy]:
    """Give the policy in force as it is kept, with its version; an empty one, of version 0, before the first.

    Raises:
        RegistryUnavailable: another release wrote it, in a form that this one can't read.
    """
    row = _newest(connection)
    if row is None:
        return 0, Policy()
    try:
        return row.version, _DECODER.decode(row.document)
    except msgspec.MsgspecError:
        raise RegistryUnavailable(
            "the policy in force can't be read by this release; apply it again from its files"
        ) from None


def earlier_policy(connection: Connection, version: int) -> Policy:
    """Give a policy that was in force; an empty one for version 0, and for one that this release can't read."""
    document = connection.scalar(select(policies.c.document).where(policies.c.version == version))
    try:
        return Policy() if document is None else _DECODER.decode(document)
    except msgspec.MsgspecError:
        return Policy()


def partners_ever(connection: Connection) -> Mapping[str, int]:
    """Give every partner that a policy ever had, with the epoch of their present feed key.

    A policy that this release can't read at all tells of none.
    """
    names: set[str] = set()
    for document in connection.scalars(select(policies.c.document)):
        with suppress(msgspec.MsgspecError):
            names.update(each.name for each in _PARTNERS.decode(document).partners)
    rotated = {name: epoch for name, (epoch, _) in feed_epochs(connection).items()}
    return dict.fromkeys(names, FIRST_EPOCH) | rotated


def is_present(connection: Connection, policy: Policy) -> bool:
    """Say whether this very policy is in force already, whichever lists are suspended."""
    row = _newest(connection)
    return row is not None and bytes(row.document) == _as_kept(policy)


def keep_policy(connection: Connection, policy: Policy, *, seq: int) -> None:
    """Put a policy in force as the next version; the connection holds the write lock."""
    row = _newest(connection)
    version = row.version + 1 if row is not None else 1
    connection.execute(insert(policies).values(version=version, document=_as_kept(policy), seq=seq))


def _as_kept(policy: Policy) -> bytes:
    return _ENCODER.encode(with_feed_epochs(with_suspended(policy, ()), {}))


def _newest(connection: Connection) -> Row[int, bytes] | None:
    newest = select(policies.c.version, policies.c.document).order_by(policies.c.version.desc()).limit(1)
    return connection.execute(newest).first()
