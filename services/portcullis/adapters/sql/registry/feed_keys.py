"""The epochs of partners' feed keys: a partner that is rotated knows every entry by another name from then on."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, insert, select, update

from portcullis.adapters.sql.registry.database import next_change
from portcullis.adapters.sql.registry.schema import feed_keys
from portcullis.domain.entry_life import StepNote
from portcullis.domain.policies import Policy
from portcullis.domain.subjects import FIRST_EPOCH

ROTATED = "feed-key-rotate"
"""The word of the change log for a partner's next feed key."""


def feed_epochs(connection: Connection) -> Mapping[str, tuple[int, float]]:
    """Give the epoch of each partner that was rotated, and since when (Unix seconds)."""
    return {row.partner: (row.epoch, row.since) for row in connection.execute(select(feed_keys))}


def with_feed_epochs(policy: Policy, epochs: Mapping[str, int]) -> Policy:
    """Say of a policy's partners which of their keys is in use: those of these epochs, and for all others the first."""
    if not any(each.feed_epoch != epochs.get(each.name, FIRST_EPOCH) for each in policy.partners):
        return policy
    told = (msgspec.structs.replace(each, feed_epoch=epochs.get(each.name, FIRST_EPOCH)) for each in policy.partners)
    return msgspec.structs.replace(policy, partners=tuple(told))


def rotate_feed_key(connection: Connection, partner: str, *, note: StepNote, at: float) -> int:
    """Have a partner's next key be the one in use; gives its epoch. The connection holds the write lock."""
    next_change(connection, at=at, actor=note.actor, change=ROTATED, subject=partner, detail=note.why)
    present = connection.scalar(select(feed_keys.c.epoch).where(feed_keys.c.partner == partner))
    if present is None:
        connection.execute(insert(feed_keys).values(partner=partner, epoch=FIRST_EPOCH + 1, since=at))
        return FIRST_EPOCH + 1
    connection.execute(update(feed_keys).where(feed_keys.c.partner == partner).values(epoch=present + 1, since=at))
    return int(present) + 1
