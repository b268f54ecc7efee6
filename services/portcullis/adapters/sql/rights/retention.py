"""What is removed from the registry by age or on demand, on SQL.

An entry that a second person may still approve is kept as a listed one is: it would come into force without its subject.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, or_, select

from portcullis.adapters.sql.registry.entries import LISTED_STATUSES
from portcullis.adapters.sql.registry.life import log_note
from portcullis.adapters.sql.registry.schema import change_log, entries, entry_looks, lists
from portcullis.adapters.sql.rights.erasure import ENTRIES_AT_ONCE, erase
from portcullis.adapters.sql.rights.schema import subject_codes, subject_sessions
from portcullis.adapters.sql.rights.subjects import end_access, entries_of
from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.entry_life import StepNote
from portcullis.ports import StoredEntry

_ERASE: Final = "erase"
_LEFT: Final = tuple(status.value for status in EntryStatus if status not in {*LISTED, EntryStatus.PROPOSED})


def ended_of(connection: Connection, tokens: Collection[bytes], *, at: float) -> tuple[Sequence[int], int]:
    """Give the entries of these tokens that are not listed or have ended, and how many others there are."""
    found = entries_of(connection, tokens)
    ended = [entry.entry_id for entry in found if _is_over(entry, at)]
    return ended, len(found) - len(ended)


def erase_of(
    connection: Connection, tokens: Collection[bytes], *, only: Collection[int] | None, note: StepNote, at: float
) -> tuple[int, int]:
    """Destroy who the entries of these tokens are about, where they are not listed or have ended; gives (erased, kept)."""
    found = entries_of(connection, tokens)
    gone = [entry for entry in found if _is_over(entry, at) and (only is None or entry.entry_id in only)]
    theirs = set(tokens)
    for entry in gone:
        seq = log_note(connection, f"{entry.list}/{entry.key}", _ERASE, note=note, at=at)
        theirs |= erase(connection, [entry.entry_id], seq=seq, at=at)
    end_access(connection, theirs)
    return len(gone), len(found) - len(gone)


def _is_over(entry: StoredEntry, at: float) -> bool:
    """Say whether an entry has left its list, or ended by the clock, which nobody notes."""
    return entry.status in _LEFT or (entry.status in LISTED and entry.effective_until <= at)


def old_identities(connection: Connection, list_name: str, before: float) -> Sequence[int]:
    """Find the entries that left a list, or ended, before a time, and still say who they are about."""
    return connection.scalars(_old(list_name, before)).all()


def forget_identities(
    connection: Connection, list_name: str, before: float, candidates: Sequence[int], *, note: StepNote, at: float
) -> int:
    """Destroy who these entries are about, as far as that is still to be done; gives how many."""
    old = _old(list_name, before)
    entry_ids: list[int] = []
    for start in range(0, len(candidates), ENTRIES_AT_ONCE):
        some = candidates[start : start + ENTRIES_AT_ONCE]
        entry_ids.extend(connection.scalars(old.where(entries.c.entry_id.in_(some))))
    if entry_ids:
        why = f"{len(entry_ids)} entries" + (f": {note.why}" if note.why else "")
        told = msgspec.structs.replace(note, why=why)
        erase(connection, entry_ids, seq=log_note(connection, list_name, _ERASE, note=told, at=at), at=at)
    return len(entry_ids)


def count_looks(connection: Connection, list_name: str, before: float) -> int:
    """Count the looks at a list's entries from before a time."""
    wanted = select(func.count()).select_from(entry_looks).where(_old_look(list_name, before))
    return connection.scalar(wanted) or 0


def forget_looks(connection: Connection, list_name: str, before: float) -> int:
    """Delete the looks at a list's entries from before a time; gives how many."""
    return connection.execute(delete(entry_looks).where(_old_look(list_name, before))).rowcount


def count_sessions(connection: Connection, before: float) -> int:
    """Count the codes and sessions that ended before a time."""
    counts = (select(func.count()).select_from(table).where(table.c.expires_at < before) for table in _ENDING)
    return sum(connection.scalar(count) or 0 for count in counts)


def forget_sessions(connection: Connection, before: float) -> int:
    """Delete the codes and sessions that ended before a time; gives how many."""
    return sum(connection.execute(delete(table).where(table.c.expires_at < before)).rowcount for table in _ENDING)


_ENDING: Final = (subject_codes, subject_sessions)


def _old(list_name: str, before: float) -> Select[Any]:
    left = and_(entries.c.status.in_(_LEFT), change_log.c.at < before)
    ended = and_(entries.c.status.in_(LISTED_STATUSES), entries.c.until < math.ceil(before))
    return (
        select(entries.c.entry_id)
        .join(lists, lists.c.list_id == entries.c.list_id)
        .join(change_log, change_log.c.seq == entries.c.seq)
        .where(lists.c.name == list_name, func.length(entries.c.sealed) > 0, or_(left, ended))
        .order_by(entries.c.entry_id)
    )


def _old_look(list_name: str, before: float) -> ColumnElement[bool]:
    of_list = exists().where(
        entries.c.entry_id == entry_looks.c.entry_id, entries.c.list_id == lists.c.list_id, lists.c.name == list_name
    )
    return and_(entry_looks.c.at < before, of_list)
