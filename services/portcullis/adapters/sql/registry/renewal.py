"""Bringing entries over from one token key to the next, a small batch at a time.

The rules:

1. Nothing of an entry changes but its tokens, so it gets no version: neither its history nor a partner's feed has anything
   to tell. What it stood under before is noted with the batch's change, for whoever follows the index.
2. What an entry's identifiers are is opened and hashed outside the writing transaction, and written only if the entry is
   still the version that was read. So a batch holds other writers up for milliseconds.
3. A batch that was broken off has done nothing, and one that was done is not done again: which key an entry stands under
   stands beside its tokens.
4. Amendments and rows of held imports that wait come over too, lest they bring a key back that nobody looks under.

Example: entry 7 stands under two tokens of key 1. Change 812 puts it under two of key 2, and notes the two of key 1: a
publisher that has published change 811 looks under all four, finds nothing under two and entry 7 under two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Table, bindparam, delete, select, tuple_, update

from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.registry.database import RegistryDatabase, next_change
from portcullis.adapters.sql.registry.entries import forget_tokens, index_tokens
from portcullis.adapters.sql.registry.rows import EntryWriter, tokens_of
from portcullis.adapters.sql.registry.schema import entries, entry_amendments, former_tokens, held_rows, imports, lists
from portcullis.adapters.sql.registry.token_columns import cut, joined
from portcullis.adapters.sql.registry.token_keys import noted_keys, present_epoch
from portcullis.domain.errors import RegistryUnavailable
from portcullis.domain.tokens import Tokeniser
from portcullis.ports.token_keys import Renewed, WaitingPlace

RENEWED: Final = "token-renew"
"""The word of the change log for a batch of entries that came over to another token key."""

_REGISTRY: Final = "registry"


class _Fresh(NamedTuple):
    """An entry as it was read, with the tokens that it shall have."""

    row: Row[Any]
    tokens: bytes


def renew_tokens(database: RegistryDatabase, writer: EntryWriter, after_id: int, limit: int) -> Renewed[int]:
    """Bring some entries over; see `portcullis.ports.token_keys.TokenKeyStore.renew_tokens`.

    Raises:
        RegistryUnavailable: the database can't be used.
        SetupFault: the key in use is not here.
    """
    with database.reading() as connection:
        epoch, fingerprint = _present(connection)
        rows = connection.execute(_standing_elsewhere(epoch, after_id, limit)).all()
    if not rows:
        return Renewed(0, None)
    tokeniser = writer.tokeniser(epoch, fingerprint)
    fresh, unreadable = _hashed(writer, tokeniser, rows)
    renewed = 0
    if fresh:
        with database.writing() as connection:
            if present_epoch(connection) == epoch:
                renewed = _write(connection, fresh, epoch, at=database.now())
    return Renewed(renewed, rows[-1].entry_id, len(fresh) - renewed, unreadable)


def renew_waiting(database: RegistryDatabase, writer: EntryWriter, after: WaitingPlace, limit: int) -> Renewed[WaitingPlace]:
    """Bring over some of what waits; see `portcullis.ports.token_keys.TokenKeyStore.renew_waiting`.

    Raises:
        RegistryUnavailable: the database can't be used.
        SetupFault: the key in use is not here.
    """
    with database.reading() as connection:
        epoch, fingerprint = _present(connection)
        amended = connection.execute(_amendments_elsewhere(epoch, after, limit)).all()
        held = connection.execute(_held_elsewhere(epoch, after, limit)).all()
    if not (amended or held):
        return Renewed(0, None)
    tokeniser = writer.tokeniser(epoch, fingerprint)
    place, renewed, missed, unreadable = after, 0, 0, 0
    for table, rows in ((entry_amendments, amended), (held_rows, held)):
        if rows:
            place = place._replace(**{name: getattr(rows[-1], name) for name in _key_names(table)})
        fresh, lost = _hashed(writer, tokeniser, rows)
        unreadable += lost
        if fresh:
            with database.writing() as connection:
                written = sum(_write_waiting(connection, table, each, epoch) for each in fresh)
            renewed += written
            missed += len(fresh) - written
    return Renewed(renewed, place, missed, unreadable)


def _present(connection: Connection) -> tuple[int, str]:
    """Give the epoch and the fingerprint of the key in use."""
    epoch = present_epoch(connection)
    return epoch, next((each.fingerprint for each in noted_keys(connection) if each.epoch == epoch), "")


def _standing_elsewhere(epoch: int, after_id: int, limit: int) -> Any:
    columns = ("entry_id", "version", "key", "tokens", "clearances", "token_epoch", "sealed")
    return (
        select(*(entries.c[name] for name in columns), lists.c.name)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(entries.c.entry_id > after_id, entries.c.token_epoch != epoch)
        .order_by(entries.c.entry_id)
        .limit(limit)
    )


def _amendments_elsewhere(epoch: int, after: WaitingPlace, limit: int) -> Any:
    amendments = entry_amendments
    return (
        select(
            amendments.c.entry_id, amendments.c.seq, amendments.c.sealed, amendments.c.tokens, entries.c.key, lists.c.name
        )
        .join(entries, entries.c.entry_id == amendments.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .where(amendments.c.token_epoch != epoch, amendments.c.entry_id > after.entry_id)
        .order_by(amendments.c.entry_id)
        .limit(limit)
    )


def _held_elsewhere(epoch: int, after: WaitingPlace, limit: int) -> Any:
    number = (held_rows.c.import_id, held_rows.c.row_no)
    return (
        select(*number, held_rows.c.sealed, held_rows.c.tokens, held_rows.c.key, lists.c.name)
        .join(imports, imports.c.import_id == held_rows.c.import_id)
        .join(lists, lists.c.list_id == imports.c.list_id)
        .where(held_rows.c.token_epoch != epoch, tuple_(*number) > tuple_(after.import_id, after.row_no))
        .order_by(*number)
        .limit(limit)
    )


def _key_names(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _hashed(writer: EntryWriter, tokeniser: Tokeniser, rows: Sequence[Row[Any]]) -> tuple[list[_Fresh], int]:
    """Make the tokens of what was read; gives them, and how many identities can't be opened."""
    fresh, unreadable = [], 0
    for row in rows:
        try:
            # One that was erased stands under nothing.
            known = writer.identity(row.sealed, list_name=row.name, key=row.key).identifiers if row.sealed else ()
        except RegistryUnavailable:
            unreadable += 1
        else:
            fresh.append(_Fresh(row, tokens_of(known, tokeniser)))
    return fresh, unreadable


def _write(connection: Connection, fresh: Sequence[_Fresh], epoch: int, *, at: float) -> int:
    """Write what is still as it was read, with a line of the change log; gives how many entries that is."""
    wanted = {each.row.entry_id: each for each in fresh}
    present = connection.execute(
        select(entries.c.entry_id, entries.c.version, entries.c.tokens).where(entries.c.entry_id.in_(list(wanted)))
    )
    still = [
        wanted[row.entry_id]
        for row in present
        if (row.version, row.tokens) == (wanted[row.entry_id].row.version, wanted[row.entry_id].row.tokens)
    ]
    if not still:
        return 0
    names = sorted({each.row.name for each in still})
    detail = f"{len(still)} entries to epoch {epoch}"
    seq = next_change(connection, at=at, actor=_REGISTRY, change=RENEWED, subject=", ".join(names), detail=detail)
    which = select(entries.c.entry_id).where(entries.c.entry_id.in_([each.row.entry_id for each in still]))
    _note_former(connection, still, seq=seq)
    forget_tokens(connection, which)
    values = {"tokens": bindparam("_tokens"), "token_epoch": epoch}
    connection.execute(
        update(entries).where(entries.c.entry_id == bindparam("_entry")).values(values),
        [{"_entry": each.row.entry_id, "_tokens": joined([*cut(each.tokens), *cut(each.row.clearances)])} for each in still],
    )
    index_tokens(connection, which)
    return len(still)


def _note_former(connection: Connection, still: Sequence[_Fresh], *, seq: int) -> None:
    """Note what the entries stood under, beside what they stood under before with the same key."""
    table = former_tokens
    ids = [each.row.entry_id for each in still]
    earlier = {
        (row.entry_id, row.token_epoch): row.tokens
        for row in connection.execute(select(table).where(table.c.entry_id.in_(ids)))
    }
    noted = []
    for each in still:
        row = each.row
        own = bytes(row.tokens[: len(row.tokens) - len(row.clearances)])
        before = earlier.get((row.entry_id, row.token_epoch), b"")
        if before:
            this = (table.c.entry_id == row.entry_id) & (table.c.token_epoch == row.token_epoch)
            connection.execute(delete(table).where(this))
        if own or before:
            tokens = joined([*cut(before), *cut(own)])
            noted.append({"entry_id": row.entry_id, "token_epoch": row.token_epoch, "tokens": tokens, "seq": seq})
    insert_many(connection, table, noted)


def _write_waiting(connection: Connection, table: Table, fresh: _Fresh, epoch: int) -> int:
    """Write the tokens of one amendment or row that waits, if it is still what was read."""
    row = fresh.row
    if table is entry_amendments:
        this = (table.c.entry_id == row.entry_id) & (table.c.seq == row.seq)
    else:
        this = (table.c.import_id == row.import_id) & (table.c.row_no == row.row_no)
    values = {"tokens": fresh.tokens, "token_epoch": epoch}
    return connection.execute(update(table).where(this, table.c.tokens == row.tokens).values(values)).rowcount
