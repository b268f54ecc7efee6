"""What the open cases of an entry ask of it when it is listed again: a stay and a dispute's deadline outlast its absence.

Otherwise an authority could end either by taking the entry off its list and putting it back. Each is an expression on a row
of ``entries``, for one entry or for millions.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, ScalarSelect, case, exists, func, select

from portcullis.adapters.sql.registry.schema import entries
from portcullis.adapters.sql.rights.schema import cases
from portcullis.domain.disputes import CaseState

_OF_ENTRY = (cases.c.entry_id == entries.c.entry_id, cases.c.state == CaseState.OPEN.value)


def deadline() -> ScalarSelect[int]:
    """Give when the first of an entry's open disputes is to be decided (Unix seconds); 0 where none is open."""
    earliest = func.coalesce(func.min(cases.c.decide_by), 0)
    return select(earliest).where(*_OF_ENTRY, cases.c.decide_by > 0).correlate(entries).scalar_subquery()


def is_stayed() -> ColumnElement[bool]:
    """Say whether an open case has stayed the entry."""
    return exists().where(*_OF_ENTRY, cases.c.stayed.is_(True)).correlate(entries)


def has_cases() -> ColumnElement[bool]:
    """Say whether there ever was a case of the entry."""
    return exists().where(cases.c.entry_id == entries.c.entry_id).correlate(entries)


def earlier_of(until: ColumnElement[int], decide_by: ColumnElement[int]) -> ColumnElement[int]:
    """Give the earlier of an end and a time to decide, which is 0 where none is."""
    return case(((decide_by > 0) & (decide_by < until), decide_by), else_=until)


def asked_of(connection: Connection, entry_id: int) -> tuple[int, bool]:
    """Give the deadline of one entry, and whether it is stayed."""
    wanted = select(deadline(), is_stayed()).select_from(entries).where(entries.c.entry_id == entry_id)
    found = connection.execute(wanted).one()
    return int(found[0]), bool(found[1])
