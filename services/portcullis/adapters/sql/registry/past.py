"""The registry as it once stood: every policy and every version of an entry is kept."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, select, union_all

from portcullis.adapters.sql.registry.database import head
from portcullis.adapters.sql.registry.policies import with_suspended
from portcullis.adapters.sql.registry.rows import read_measures
from portcullis.adapters.sql.registry.schema import entries, entry_versions, lists, policies
from portcullis.adapters.sql.registry.switches import suspended_lists
from portcullis.domain.entries import EntryStatus
from portcullis.domain.errors import NotFound, RegistryUnavailable
from portcullis.domain.policies import Policy
from portcullis.ports import Past, PastEntry

_IN_FORCE = EntryStatus.IN_FORCE.value
_DECODER = msgspec.json.Decoder(Policy)


def past(connection: Connection, seq: int, entry_ids: Collection[int]) -> Past:
    """Give the policy and some entries as they stood once change ``seq`` was made.

    Raises:
        NotFound: the registry has not come to that change.
        RegistryUnavailable: the policy of then can't be read by this release.
    """
    if seq > head(connection):
        raise NotFound(
            "the registry has not come to the change that this decision was made from; open the registry it belongs to"
        )
    policy = with_suspended(_policy(connection, seq), suspended_lists(connection, seq=seq))
    return Past(policy=policy, entries=tuple(_entries(connection, seq, entry_ids)))


def _policy(connection: Connection, seq: int) -> Policy:
    newest = select(policies.c.document).where(policies.c.seq <= seq).order_by(policies.c.version.desc()).limit(1)
    document = connection.scalar(newest)
    try:
        return Policy() if document is None else _DECODER.decode(document)
    except msgspec.MsgspecError:
        raise RegistryUnavailable("the policy of then can't be read by this release; use the release of then") from None


def _entries(connection: Connection, seq: int, entry_ids: Collection[int]) -> list[PastEntry]:
    wanted = sorted(entry_ids)
    versions = union_all(_versions(entries, wanted, seq), _versions(entry_versions, wanted, seq)).subquery()
    found = (
        select(versions, lists.c.name)
        .join(entries, entries.c.entry_id == versions.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .order_by(versions.c.entry_id, versions.c.version)
    )
    # The last version of an entry is the one that stood then.
    return list({row.entry_id: _past_entry(row) for row in connection.execute(found)}.values())


def _versions(table: Table, entry_ids: list[int], seq: int) -> Select[Any]:
    names = ("entry_id", "version", "status", "case_reference", "valid_from", "until", "measures")
    return select(*(table.c[name] for name in names)).where(table.c.entry_id.in_(entry_ids), table.c.seq <= seq)


def _past_entry(row: Any) -> PastEntry:
    return PastEntry(
        list=row.name,
        entry_id=row.entry_id,
        case_reference=row.case_reference,
        valid_from=row.valid_from,
        until=row.until,
        in_force=row.status == _IN_FORCE,
        measures=read_measures(row.measures),
    )
