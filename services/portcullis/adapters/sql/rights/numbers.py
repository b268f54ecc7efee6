"""Redress numbers on SQL. Of a number stand here the clearance tokens alone, which are keyed: it can't be told from them.

The clearances of all numbers of an entry that have not ended are tokens of the entry (`portcullis.domain.tokens`), so they
reach every gateway as its identifiers do, by a new version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from portcullis.adapters.sql.registry.entries import forget_tokens, index_tokens, one
from portcullis.adapters.sql.registry.life import find, find_numbered, identifier_tokens, log_step, set_clearances
from portcullis.adapters.sql.registry.rows import stored_entry
from portcullis.adapters.sql.registry.schema import entries, lists
from portcullis.adapters.sql.registry.token_columns import cut, joined
from portcullis.adapters.sql.rights.cases import is_case
from portcullis.adapters.sql.rights.schema import redress_numbers
from portcullis.domain.entries import LISTED
from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import NotFound
from portcullis.ports import RedressNumber, StoredEntry

_NAMED = (
    select(redress_numbers, lists.c.name, entries.c.key)
    .join(entries, entries.c.entry_id == redress_numbers.c.entry_id)
    .join(lists, lists.c.list_id == entries.c.list_id)
)
"""Every number with the entry that it is about."""


def issue_number(connection: Connection, number: RedressNumber, *, note: StepNote, at: float) -> StoredEntry:
    """Keep a number and index its clearances.

    Raises:
        NotFound: no such entry, or no such case.
        StepNotAllowed: the entry is not listed.
    """
    row = find(connection, number.list, number.key)
    if row is None:
        raise NotFound("no entry of this list has this key")
    if number.case_id and not is_case(connection, number.case_id):
        raise NotFound("no case has this id")
    connection.execute(
        insert(redress_numbers).values(
            number_id=number.number_id,
            entry_id=row.entry_id,
            issued_by=number.issued_by,
            issued_at=number.issued_at,
            case_id=number.case_id or None,
            clearances=joined(number.clearances),
            token_epoch=number.token_epoch,
            revoked_at=number.revoked_at,
        )
    )
    set_clearances(connection, row, _clearances(connection, row.entry_id), note=note, at=at)
    return stored_entry(find(connection, number.list, number.key))


def revoke_number(connection: Connection, number_id: str, *, note: StepNote, at: float) -> None:
    """End a number and take its clearances out of the index; one that has ended already stays so.

    Raises:
        NotFound: no such number.
    """
    number = connection.execute(select(redress_numbers).where(redress_numbers.c.number_id == number_id)).first()
    if number is None:
        raise NotFound("no redress number has this id; list those of its entry")
    if number.revoked_at is not None:
        return
    connection.execute(update(redress_numbers).where(redress_numbers.c.number_id == number_id).values(revoked_at=at))
    row = find_numbered(connection, number.entry_id)
    assert row is not None  # noqa: S101 - tells mypy; a foreign key
    left = _clearances(connection, row.entry_id)
    if row.status in LISTED:
        set_clearances(connection, row, left, note=note, at=at)
    else:
        _clear_unlisted(connection, row, left, note=note, at=at)


def number(connection: Connection, number_id: str) -> RedressNumber:
    """Give one number by its id.

    Raises:
        NotFound: no such number.
    """
    row = connection.execute(_NAMED.where(redress_numbers.c.number_id == number_id)).first()
    if row is None:
        raise NotFound("no redress number has this id; list those of its entry")
    return _redress_number(row)


def numbers(connection: Connection, list_name: str, key: str) -> Sequence[RedressNumber]:
    """Give the numbers of an entry, oldest first."""
    wanted = _NAMED.where(lists.c.name == list_name, entries.c.key == key)
    in_order = wanted.order_by(redress_numbers.c.issued_at, redress_numbers.c.number_id)
    return [_redress_number(row) for row in connection.execute(in_order)]


def _clearances(connection: Connection, entry_id: int) -> bytes:
    """Give the clearances of an entry's numbers that have not ended."""
    wanted = (
        select(redress_numbers.c.clearances)
        .where(redress_numbers.c.entry_id == entry_id, redress_numbers.c.revoked_at.is_(None))
        .order_by(redress_numbers.c.issued_at, redress_numbers.c.number_id)
    )
    return joined(token for column in connection.scalars(wanted) for token in cut(column))


def _clear_unlisted(connection: Connection, row: Row[Any], clearances: bytes, *, note: StepNote, at: float) -> None:
    """Take clearances from an entry that no gateway has, lest they come back with it; that makes no version."""
    log_step(connection, row, Step.CLEAR, note=note, at=at)
    this = one(row.entry_id)
    forget_tokens(connection, this)
    tokens = identifier_tokens(row) + clearances
    connection.execute(
        update(entries).where(entries.c.entry_id == row.entry_id).values(tokens=tokens, clearances=clearances)
    )
    index_tokens(connection, this)


def _redress_number(row: Row[Any]) -> RedressNumber:
    return RedressNumber(
        number_id=row.number_id,
        list=row.name,
        key=row.key,
        issued_by=row.issued_by,
        issued_at=row.issued_at,
        case_id=row.case_id or "",
        clearances=cut(row.clearances),
        token_epoch=row.token_epoch,
        revoked_at=row.revoked_at,
    )
