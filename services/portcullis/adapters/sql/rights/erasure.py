"""Destroying who an entry is about, in every place of the registry that tells it.

What stays is the shell: that there was an entry, its versions with their steps and dates, its cases, and the looks at it. An
entry is erased when its present version has no seal. The version that a publisher has last seen may be one whose tokens are
gone by now; so they are left for a while, without saying whose they were, for it to look under.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, delete, exists, select, tuple_, union_all, update

from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.registry.entries import forget_tokens
from portcullis.adapters.sql.registry.schema import (
    change_log,
    entries,
    entry_amendments,
    entry_versions,
    former_tokens,
    held_rows,
    imports,
)
from portcullis.adapters.sql.registry.token_columns import cut
from portcullis.adapters.sql.rights.schema import erased_tokens, redress_numbers

ERASED_TOKENS_KEPT_S: Final = 7 * 86_400.0
"""For how long a publisher may stand still and still learn which tokens were erased."""

ENTRIES_AT_ONCE: Final = 500
"""How many entries one statement works on."""

_NOTHING: Final = b""


def erase(connection: Connection, entry_ids: Sequence[int], *, seq: int, at: float) -> set[bytes]:
    """Erase the entries of these numbers, as change ``seq`` of the log; gives the tokens that they stood under.

    The connection holds the write lock.
    """
    _forget_old_tokens(connection, at=at)
    told: set[tuple[int, bytes]] = set()
    for start in range(0, len(entry_ids), ENTRIES_AT_ONCE):
        some = entry_ids[start : start + ENTRIES_AT_ONCE]
        tokens = _tokens(connection, some)
        _leave_tokens(connection, tokens - told, seq=seq)
        told |= tokens
        _erase_some(connection, some)
    return {token for _, token in told}


def _forget_old_tokens(connection: Connection, *, at: float) -> None:
    old = exists().where(change_log.c.seq == erased_tokens.c.seq, change_log.c.at < at - ERASED_TOKENS_KEPT_S)
    connection.execute(delete(erased_tokens).where(old))


def _leave_tokens(connection: Connection, tokens: Collection[tuple[int, bytes]], *, seq: int) -> None:
    rows = [{"seq": seq, "list_id": list_id, "token": token} for list_id, token in sorted(tokens)]
    insert_many(connection, erased_tokens, rows)


def _erase_some(connection: Connection, entry_ids: Sequence[int]) -> None:
    which = select(entries.c.entry_id).where(entries.c.entry_id.in_(entry_ids))
    forget_tokens(connection, which)
    _drop_proposed(connection, entry_ids)
    connection.execute(update(redress_numbers).where(redress_numbers.c.entry_id.in_(entry_ids)).values(clearances=_NOTHING))
    connection.execute(delete(former_tokens).where(former_tokens.c.entry_id.in_(entry_ids)))
    gone = {"tokens": _NOTHING, "clearances": _NOTHING, "sealed": _NOTHING, "digest": _NOTHING}
    for table in (entry_versions, entries):
        connection.execute(update(table).where(table.c.entry_id.in_(entry_ids)).values(gone))


def _tokens(connection: Connection, entry_ids: Sequence[int]) -> set[tuple[int, bytes]]:
    """Give the tokens of all versions of these entries, each with the number of its list."""
    present = select(entries.c.list_id, entries.c.tokens).where(entries.c.entry_id.in_(entry_ids))
    past = (
        select(entries.c.list_id, entry_versions.c.tokens)
        .join(entries, entries.c.entry_id == entry_versions.c.entry_id)
        .where(entry_versions.c.entry_id.in_(entry_ids))
    )
    former = (
        select(entries.c.list_id, former_tokens.c.tokens)
        .join(entries, entries.c.entry_id == former_tokens.c.entry_id)
        .where(former_tokens.c.entry_id.in_(entry_ids))
    )
    rows = connection.execute(union_all(present, past, former))
    return {(row.list_id, token) for row in rows for token in cut(row.tokens)}


def _drop_proposed(connection: Connection, entry_ids: Sequence[int]) -> None:
    """Drop the amendments that wait beside these entries, and the rows of held imports that would change them."""
    connection.execute(delete(entry_amendments).where(entry_amendments.c.entry_id.in_(entry_ids)))
    # What a row of a held import is about is told by its list and key.
    doomed = (
        select(held_rows.c.import_id, held_rows.c.row_no)
        .join(imports, imports.c.import_id == held_rows.c.import_id)
        .join(entries, (entries.c.list_id == imports.c.list_id) & (entries.c.key == held_rows.c.key))
        .where(entries.c.entry_id.in_(entry_ids))
    )
    connection.execute(delete(held_rows).where(tuple_(held_rows.c.import_id, held_rows.c.row_no).in_(doomed)))
