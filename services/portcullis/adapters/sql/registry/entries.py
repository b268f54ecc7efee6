"""The steps that every change of entries is made of. Each works on a set of entries, one or a million alike.

``which`` is a SELECT of entry ids. All of them need a connection that holds the write lock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)

from portcullis.adapters.sql.registry.schema import (
    VERSION_COLUMNS,
    entries,
    entry_amendments,
    entry_tokens,
    entry_versions,
    lists,
    wordings,
)
from portcullis.adapters.sql.registry.token_keys import demand_in_use
from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.tokens import TOKEN_BYTES

LISTED_STATUSES = tuple(each.value for each in LISTED)
"""The statuses of entries that a snapshot knows, as their column holds them."""

ENTRY_WITH_WORDS = (
    select(
        entries,
        exists().where(entry_amendments.c.entry_id == entries.c.entry_id).label("pending"),
        lists.c.name,
        wordings.c.authority,
        wordings.c.legal_basis,
        wordings.c.purpose,
        wordings.c.redress,
    )
    .join(lists, lists.c.list_id == entries.c.list_id)
    .join(wordings, wordings.c.wording == entries.c.wording)
)
"""Entries as `portcullis.adapters.sql.registry.rows.stored_entry` reads them."""


def list_number(connection: Connection, name: str) -> int:
    """Give the number of a list, a new one at its first use."""
    number = connection.scalar(select(lists.c.list_id).where(lists.c.name == name))
    if number is None:
        number = connection.scalar(insert(lists).values(name=name, in_force=0).returning(lists.c.list_id))
    assert number is not None  # noqa: S101 - tells mypy; RETURNING always gives a row
    return int(number)


def keep_wording(connection: Connection, row: dict[str, Any]) -> None:
    """Keep a wording that is not there yet."""
    if connection.scalar(select(wordings.c.wording).where(wordings.c.wording == row["wording"])) is None:
        connection.execute(insert(wordings).values(row))


def archive(connection: Connection, which: Select[Any]) -> None:
    """Copy the present versions to the history, before they are superseded."""
    columns = ("entry_id", *VERSION_COLUMNS)
    present = select(*(entries.c[name] for name in columns)).where(entries.c.entry_id.in_(which))
    connection.execute(insert(entry_versions).from_select(columns, present))


def forget_tokens(connection: Connection, which: Select[Any]) -> None:
    """Take the present versions out of the token index."""
    pieces = _pieces(which)
    key = tuple_(entry_tokens.c.token, entry_tokens.c.entry_id)
    connection.execute(delete(entry_tokens).where(key.in_(select(pieces.c.token, pieces.c.owner))))


def index_tokens(connection: Connection, which: Select[Any]) -> None:
    """Put the present versions into the token index, in the index's own order.

    Raises:
        RegistryUnavailable: one stands under a token key that nobody looks under any more.
    """
    demand_in_use(connection, which)
    pieces = _pieces(which)
    found = select(pieces.c.token, pieces.c.owner).order_by(pieces.c.token)
    connection.execute(insert(entry_tokens).from_select(("token", "entry_id"), found))


def drop_amendments(connection: Connection, which: Select[Any]) -> None:
    """Give up the amendments that wait beside entries."""
    connection.execute(delete(entry_amendments).where(entry_amendments.c.entry_id.in_(which)))


def withdraw(connection: Connection, which: Select[Any], *, seq: int) -> None:
    """Take entries off their list. They stay in the token index: their subjects may still ask about them."""
    drop_amendments(connection, which)
    archive(connection, which)
    connection.execute(
        update(entries)
        .where(entries.c.entry_id.in_(which))
        .values(status=EntryStatus.WITHDRAWN.value, version=entries.c.version + 1, seq=seq)
    )


def count_by(connection: Connection, list_id: int, difference: int) -> None:
    """Correct the count of a list's entries, in force or stayed."""
    if difference:
        connection.execute(update(lists).where(lists.c.list_id == list_id).values(in_force=lists.c.in_force + difference))


def one(entry_id: int) -> Select[Any]:
    """Select one entry's number, as a set of entries."""
    return select(entries.c.entry_id).where(entries.c.entry_id == entry_id)


def cleared_tokens(tokens: ColumnElement[Any]) -> ColumnElement[Any]:
    """Put the clearances of an entry's present version after other tokens of its identifiers."""
    # SQLite makes a text of two blobs, with the same bytes.
    both = cast(tokens.op("||")(entries.c.clearances), LargeBinary)
    return case((func.length(entries.c.clearances) > 0, both), else_=tokens)


def cut_tokens(
    owner: ColumnElement[Any], tokens: ColumnElement[Any], *conditions: ColumnElement[bool], name: str = "pieces"
) -> CTE:
    """Cut columns of tokens into rows (owner, token); each turn of the recursion takes the first token off."""
    first, rest = _cut(tokens)
    pieces = (
        select(owner.label("owner"), first.label("token"), rest.label("rest"))
        .where(func.length(tokens) > 0, *conditions)
        .cte(name, recursive=True)
    )
    first, rest = _cut(pieces.c.rest)
    return pieces.union_all(select(pieces.c.owner, first, rest).where(func.length(pieces.c.rest) > 0))


def _pieces(which: Select[Any]) -> CTE:
    return cut_tokens(entries.c.entry_id, entries.c.tokens, entries.c.entry_id.in_(which))


def _cut(column: Any) -> tuple[Any, Any]:
    return (
        func.substr(column, 1, TOKEN_BYTES, type_=LargeBinary),
        func.substr(column, TOKEN_BYTES + 1, type_=LargeBinary),
    )
