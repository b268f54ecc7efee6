"""Who looked at which entry, when and why: kept for the entry's subject, and no part of the change log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.registry.schema import entries, entry_looks, lists
from portcullis.domain.errors import NotFound
from portcullis.ports import Look


def note(connection: Connection, list_name: str, keys: Sequence[str], look: Look) -> None:
    """Note one look at each of these entries.

    Raises:
        NotFound: one of them is no entry.
    """
    wanted = set(keys)
    numbers = (
        select(entries.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(lists.c.name == list_name, entries.c.key.in_(wanted))
        .order_by(entries.c.entry_id)
    )
    seen = connection.scalars(numbers).all()
    if len(seen) != len(wanted):
        raise NotFound("no entry of this list has this key")
    told = {"at": look.at, "actor": look.actor, "purpose": look.purpose}
    insert_many(connection, entry_looks, [{"entry_id": entry_id} | told for entry_id in seen])


def noted(connection: Connection, list_name: str, key: str) -> Sequence[Look]:
    """Give the looks at one entry in their order."""
    wanted = (
        select(entry_looks.c.actor, entry_looks.c.at, entry_looks.c.purpose)
        .join(entries, entries.c.entry_id == entry_looks.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(lists.c.name == list_name, entries.c.key == key)
        .order_by(entry_looks.c.number)
    )
    return [Look(actor=row.actor, at=row.at, purpose=row.purpose) for row in connection.execute(wanted)]
