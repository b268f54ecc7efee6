"""Puts, and what waits for a second person: entries that are proposed, and amendments beside entries that are listed.

A proposed entry is one of that status. An amendment stands in a table of its own, one for each entry, until it is approved,
rejected, replaced by a newer one, or its entry leaves the list. Whatever writes here needs a connection that holds the write
lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, literal_column, select

from portcullis.adapters.sql.registry.entries import count_by, drop_amendments, index_tokens, list_number, one
from portcullis.adapters.sql.registry.life import (
    PROPOSE,
    find,
    listed_again,
    log_note,
    log_step,
    write_version,
)
from portcullis.adapters.sql.registry.schema import CONTENT_COLUMNS, change_log, entries, entry_amendments, lists
from portcullis.adapters.sql.registry.token_keys import demand_looked_under
from portcullis.domain.entries import LISTED, Entry, EntryStatus
from portcullis.domain.entry_life import (
    Step,
    StepNote,
    check_second_person,
    check_version,
    effective_until,
    is_barred,
    next_status,
)
from portcullis.domain.lapses import later_lapse

_PROPOSED: ColumnElement[str] = literal_column("'proposed'")
"""The status of proposed entries, written out so that the index over them is of use."""

_proposed, _amendments = entries.alias("proposed"), entry_amendments.alias("amendments")

WAITING: Select[Any] = (
    select(
        entries.c.entry_id,
        entries.c.version,
        entries.c.key,
        lists.c.name,
        entry_amendments.c.entry_id.is_not(None).label("amendment"),
        func.coalesce(entry_amendments.c.proposer, change_log.c.actor).label("proposer"),
        func.coalesce(entry_amendments.c.proposed_at, change_log.c.at).label("proposed_at"),
        func.coalesce(entry_amendments.c.seq, entries.c.seq).label("proposed_by_change"),
    )
    .join(lists, lists.c.list_id == entries.c.list_id)
    .join(change_log, change_log.c.seq == entries.c.seq)
    .outerjoin(entry_amendments, entry_amendments.c.entry_id == entries.c.entry_id)
    .where(
        entries.c.entry_id.in_(
            select(_proposed.c.entry_id).where(_proposed.c.status == _PROPOSED).union_all(select(_amendments.c.entry_id))
        )
    )
)
"""What waits for a second person, one row an entry. A proposed entry's present version is the proposal."""


def put(
    connection: Connection,
    entry: Entry,
    content: Mapping[str, Any],
    *,
    note: StepNote,
    at: float,
    four_eyes: bool,
    expected: int,
) -> tuple[bool, bool]:
    """Put an entry as `portcullis.ports.LifeStore.put` says; gives whether anything changed, and whether it waits.

    ``content`` is the entry's row, and its wording is kept already.

    Raises:
        VersionMissed: another version than ``expected`` is present.
    """
    known = find(connection, entry.list, entry.key)
    check_version(expected, known.version if known is not None else 0)
    if known is None:
        return True, _add(connection, entry, content, note=note, at=at, four_eyes=four_eyes)
    standing = EntryStatus(known.status)
    if _says_the_same(known, content) and standing in {*LISTED, EntryStatus.PROPOSED}:
        return False, standing is EntryStatus.PROPOSED
    if four_eyes and standing in LISTED:
        return _propose_amendment(connection, known, content, note=note, at=at), True
    after = EntryStatus.PROPOSED if four_eyes else next_status(standing, Step.PUT)
    drop_amendments(connection, one(known.entry_id))
    seq = log_step(connection, known, _word(after), note=note, at=at)
    _replace(connection, known, content, after, seq=seq)
    return True, after is EntryStatus.PROPOSED


def approve_amendment(connection: Connection, known: Row[Any], *, note: StepNote, at: float, seq: int | None = None) -> int:
    """Put the amendment that waits beside an entry in force; gives the change's number, ``seq`` where one is given.

    An entry that was reaffirmed since the proposal lapses no sooner for it.

    Raises:
        SecondPersonRequired: the actor has proposed it.
    """
    amendment = _amendment(connection, known.entry_id)
    assert amendment is not None  # noqa: S101 - tells mypy; the row of the entry says that one waits
    check_second_person(note.actor, amendment.proposer)
    if seq is None:
        seq = log_step(connection, known, Step.APPROVE, note=note, at=at)
    drop_amendments(connection, one(known.entry_id))
    content = {name: getattr(amendment, name) for name in CONTENT_COLUMNS}
    content["lapses_at"] = later_lapse(amendment.lapses_at, known.lapses_at)
    _replace(connection, known, content, EntryStatus(known.status), seq=seq)
    return seq


def reject_amendment(connection: Connection, known: Row[Any], *, note: StepNote, at: float) -> None:
    """Give the amendment that waits beside an entry up."""
    drop_amendments(connection, one(known.entry_id))
    write_version(connection, known, {}, seq=log_step(connection, known, Step.REJECT, note=note, at=at))


def _add(
    connection: Connection, entry: Entry, content: Mapping[str, Any], *, note: StepNote, at: float, four_eyes: bool
) -> bool:
    status = EntryStatus.PROPOSED if four_eyes else EntryStatus.IN_FORCE
    seq = log_note(connection, f"{entry.list}/{entry.key}", _word(status), note=note, at=at)
    list_id = list_number(connection, entry.list)
    place = {"list_id": list_id, "version": 1, "status": status.value, "seq": seq}
    marks = {"decide_by": 0, "clearances": b"", "barred": False}
    added = insert(entries).values(dict(content) | place | marks).returning(entries.c.entry_id)
    entry_id = connection.execute(added).scalar_one()
    index_tokens(connection, one(entry_id))
    count_by(connection, list_id, 0 if four_eyes else 1)
    return four_eyes


def _replace(connection: Connection, known: Row[Any], content: Mapping[str, Any], after: EntryStatus, *, seq: int) -> None:
    """Write another content of a known entry. Its clearances outlast that, and a dispute's deadline an amendment."""
    before = EntryStatus(known.status)
    values = {name: content[name] for name in CONTENT_COLUMNS}
    values |= {"status": after.value, "tokens": content["tokens"] + known.clearances}
    values["barred"] = is_barred(Step.PUT, after, before=known.barred)
    if after in LISTED and before not in LISTED:
        values |= listed_again(connection, known.entry_id, content["stated_until"], content["lapses_at"])
    else:
        values["until"] = effective_until(content["stated_until"], content["lapses_at"], known.decide_by)
    write_version(connection, known, values, seq=seq)
    count_by(connection, known.list_id, (after in LISTED) - (before in LISTED))


def _propose_amendment(
    connection: Connection, known: Row[Any], content: Mapping[str, Any], *, note: StepNote, at: float
) -> bool:
    """Let an amendment wait; False when the same one waits already."""
    waiting = _amendment(connection, known.entry_id)
    if waiting is not None and _says_the_same(waiting, content):
        return False
    seq = log_step(connection, known, PROPOSE, note=note, at=at)
    drop_amendments(connection, one(known.entry_id))
    values = {name: content[name] for name in CONTENT_COLUMNS}
    place = {"entry_id": known.entry_id, "proposer": note.actor, "proposed_at": at, "seq": seq}
    connection.execute(insert(entry_amendments).values(values | place))
    demand_looked_under(connection, entry_amendments, entry_amendments.c.entry_id == known.entry_id)
    write_version(connection, known, {}, seq=seq)
    return True


def _amendment(connection: Connection, entry_id: int) -> Row[Any] | None:
    return connection.execute(select(entry_amendments).where(entry_amendments.c.entry_id == entry_id)).first()


def _says_the_same(known: Row[Any], content: Mapping[str, Any]) -> bool:
    """Say whether a row has the same content, and lapses when the other does."""
    end = effective_until(known.stated_until, known.lapses_at, 0)
    return bool(known.digest == content["digest"] and end == content["until"])


def _word(status: EntryStatus) -> str:
    return PROPOSE if status is EntryStatus.PROPOSED else Step.PUT.value
