"""Whole lists taken out of force and put back by two people: every request is kept, and the last one done counts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from portcullis.adapters.sql.registry.entries import list_number
from portcullis.adapters.sql.registry.life import log_note
from portcullis.adapters.sql.registry.schema import change_log, list_switches, lists
from portcullis.domain.entry_life import StepNote
from portcullis.ports import ListSwitch

_REQUESTED = "requested"
_DONE = "done"
_VOID = "void"


def switch(connection: Connection, list_name: str, *, suspend: bool, note: StepNote, at: float) -> ListSwitch:
    """Ask for a list to be suspended or resumed, or do what another has asked; the connection holds the write lock."""
    waiting = _waiting(connection, list_name)
    word = "suspend" if suspend else "resume"
    if suspend == _is_suspended(connection, list_name):
        if waiting is not None:
            _decide(connection, waiting, _VOID, f"{word}-keep", note=note, at=at)
    elif waiting is None:
        seq = log_note(connection, list_name, f"{word}-request", note=note, at=at)
        asked = {"suspend": suspend, "requested_by": note.actor, "requested_at": at, "reason": note.why}
        place = {"list_id": list_number(connection, list_name), "state": _REQUESTED, "requested_seq": seq}
        connection.execute(insert(list_switches).values(asked | place))
    elif waiting.requested_by.casefold() != note.actor.casefold():
        _decide(connection, waiting, _DONE, word, note=note, at=at)
    return present(connection, list_name)


def present(connection: Connection, list_name: str) -> ListSwitch:
    """Say how a list stands and what is asked for, or what was said last where nothing is."""
    suspended = _is_suspended(connection, list_name)
    waiting = _waiting(connection, list_name)
    if waiting is None:
        return ListSwitch(list=list_name, suspended=suspended, reason=_last_reason(connection, list_name))
    return ListSwitch(
        list=list_name,
        suspended=suspended,
        requested_by=waiting.requested_by,
        requested_at=waiting.requested_at,
        reason=waiting.reason,
    )


def suspended_lists(connection: Connection, *, seq: int | None = None) -> frozenset[str]:
    """Name the lists that are suspended now, or that were once a change of the log was made."""
    done = select(func.max(list_switches.c.decided_seq)).where(list_switches.c.state == _DONE)
    if seq is not None:
        done = done.where(list_switches.c.decided_seq <= seq)
    last = done.group_by(list_switches.c.list_id)
    found = (
        select(lists.c.name)
        .join(list_switches, list_switches.c.list_id == lists.c.list_id)
        .where(list_switches.c.state == _DONE, list_switches.c.suspend, list_switches.c.decided_seq.in_(last))
    )
    return frozenset(connection.scalars(found))


def _is_suspended(connection: Connection, list_name: str) -> bool:
    return list_name in suspended_lists(connection)


def _waiting(connection: Connection, list_name: str) -> Row[Any] | None:
    wanted = (
        select(list_switches)
        .join(lists, lists.c.list_id == list_switches.c.list_id)
        .where(lists.c.name == list_name, list_switches.c.state == _REQUESTED)
    )
    return connection.execute(wanted).first()


def _last_reason(connection: Connection, list_name: str) -> str:
    said = (
        select(change_log.c.detail)
        .join(list_switches, list_switches.c.decided_seq == change_log.c.seq)
        .join(lists, lists.c.list_id == list_switches.c.list_id)
        .where(lists.c.name == list_name)
        .order_by(change_log.c.seq.desc())
        .limit(1)
    )
    return connection.scalar(said) or ""


def _decide(connection: Connection, waiting: Row[Any], state: str, change: str, *, note: StepNote, at: float) -> None:
    name = connection.execute(select(lists.c.name).where(lists.c.list_id == waiting.list_id)).scalar_one()
    seq = log_note(connection, name, change, note=note, at=at)
    decided = {"state": state, "decided_by": note.actor, "decided_seq": seq}
    connection.execute(update(list_switches).where(list_switches.c.number == waiting.number).values(decided))
