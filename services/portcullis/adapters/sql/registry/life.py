"""Steps of one entry's life, each a version more and a line of the change log (`portcullis.domain.entry_life`).

They need a connection that holds the write lock. A row is one of ENTRY_WITH_WORDS, found on that same connection; after a
step it is out of date, and is looked up again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, select, union_all, update

from portcullis.adapters.sql.registry.database import next_change
from portcullis.adapters.sql.registry.entries import (
    ENTRY_WITH_WORDS,
    archive,
    count_by,
    drop_amendments,
    forget_tokens,
    index_tokens,
    one,
)
from portcullis.adapters.sql.registry.open_cases import asked_of
from portcullis.adapters.sql.registry.schema import change_log, entries, entry_versions, imports, lists
from portcullis.domain.entries import LISTED, EntryStatus
from portcullis.domain.entry_life import (
    Step,
    StepNote,
    check_second_person,
    effective_until,
    is_barred,
    next_status,
)
from portcullis.domain.tokens import TOKEN_BYTES
from portcullis.ports import PastStep

PROPOSE: Final = "propose"
"""The word of the change log for a put that a second person must approve."""
DISPUTE: Final = "dispute"
"""The word for a change of the time to decide a dispute."""

_DECISIONS: Final = frozenset({Step.APPROVE, Step.REJECT})
_PLAIN: Final = _DECISIONS | {Step.STAY, Step.LIFT, Step.RELEASE, Step.WITHDRAW, Step.RETRACT}


def find(connection: Connection, list_name: str, key: str) -> Row[Any] | None:
    """Look an entry up by its list and key."""
    wanted = ENTRY_WITH_WORDS.where(lists.c.name == list_name, entries.c.key == key)
    return connection.execute(wanted).first()


def find_numbered(connection: Connection, entry_id: int) -> Row[Any] | None:
    """Look an entry up by the registry's number of it."""
    return connection.execute(ENTRY_WITH_WORDS.where(entries.c.entry_id == entry_id)).first()


def take_step(
    connection: Connection, row: Row[Any], step: Step, *, note: StepNote, at: float, seq: int | None = None
) -> int:
    """Take a step other than put, renew and clear; gives the change's number, which is ``seq`` where one is given.

    An amendment that waits beside an entry is decided elsewhere (`portcullis.adapters.sql.registry.proposals`); it is given
    up when the entry leaves its list. Of a retraction this is the second step (`portcullis.domain.entry_life.single_steps`).

    Raises:
        StepNotAllowed: the step can't be taken where the entry stands.
        SecondPersonRequired: the actor has proposed what is approved.
        ValueError: the step is another.
    """
    before = EntryStatus(row.status)
    after = next_status(before, step, amendment=row.pending)
    if step not in _PLAIN or (row.pending and step in _DECISIONS):
        raise ValueError(f"{step} takes more than this")
    if step is Step.APPROVE:
        check_second_person(note.actor, actor_of(connection, row.seq))
    if before in LISTED and after not in LISTED:
        drop_amendments(connection, one(row.entry_id))
    if seq is None:
        seq = log_step(connection, row, step, note=note, at=at)
    values = {"status": after.value, "barred": is_barred(step, after, before=row.barred)}
    if step is Step.APPROVE:
        values |= listed_again(connection, row.entry_id, row.stated_until, row.lapses_at)
    write_version(connection, row, values, seq=seq)
    count_by(connection, row.list_id, (after in LISTED) - (before in LISTED))
    return seq


def bar(connection: Connection, row: Row[Any], step: Step, *, note: StepNote, at: float) -> int:
    """Have imports leave alone an entry that one of them has taken off, as if this step had; gives the change's number."""
    seq = log_step(connection, row, step, note=note, at=at)
    write_version(connection, row, {"barred": True}, seq=seq)
    return seq


def listed_again(connection: Connection, entry_id: int, stated_until: int, lapses_at: int) -> dict[str, Any]:
    """Give the columns of an entry that a person lists, first or again.

    A dispute of before does not end it. One that is still open does, and a stay outlasts the entry's absence.
    """
    decide_by, is_stayed = asked_of(connection, entry_id)
    status = EntryStatus.STAYED if is_stayed else EntryStatus.IN_FORCE
    return {
        "status": status.value,
        "decide_by": decide_by,
        "until": effective_until(stated_until, lapses_at, decide_by),
    }


def set_decide_by(connection: Connection, row: Row[Any], decide_by: int, *, note: StepNote, at: float) -> int:
    """Say until when a dispute about an entry is to be decided (Unix seconds; 0: none runs); gives the change's number."""
    seq = log_step(connection, row, DISPUTE, note=note, at=at)
    until = effective_until(row.stated_until, row.lapses_at, decide_by)
    write_version(connection, row, {"decide_by": decide_by, "until": until}, seq=seq)
    return seq


def set_clearances(connection: Connection, row: Row[Any], clearances: bytes, *, note: StepNote, at: float) -> int:
    """Put these clearance tokens, one after another, in the place of an entry's earlier ones; gives the change's number.

    A token that stands in it twice, or that an identifier has, counts once.

    Raises:
        StepNotAllowed: the entry is not listed.
    """
    next_status(EntryStatus(row.status), Step.CLEAR)
    seq = log_step(connection, row, Step.CLEAR, note=note, at=at)
    own = identifier_tokens(row)
    further = b"".join(token for token in dict.fromkeys(_cut(clearances)) if token not in set(_cut(own)))
    write_version(connection, row, {"clearances": further, "tokens": own + further}, seq=seq)
    return seq


def identifier_tokens(row: Row[Any]) -> bytes:
    """Give the tokens of an entry's identifiers, one after another."""
    return bytes(row.tokens[: len(row.tokens) - len(row.clearances)])


def _cut(tokens: bytes) -> Sequence[bytes]:
    return [tokens[place : place + TOKEN_BYTES] for place in range(0, len(tokens), TOKEN_BYTES)]


def actor_of(connection: Connection, seq: int) -> str:
    """Say who made a change of the log."""
    return str(connection.scalar(select(change_log.c.actor).where(change_log.c.seq == seq)))


def log_step(connection: Connection, row: Row[Any], change: str, *, note: StepNote, at: float) -> int:
    """Write the line of a step on one entry; gives the change's number."""
    return log_note(connection, f"{row.name}/{row.key}", change, note=note, at=at)


def log_note(connection: Connection, subject: str, change: str, *, note: StepNote, at: float) -> int:
    """Write the line of a step with all that is said with it; gives the change's number."""
    return next_change(
        connection,
        at=at,
        actor=note.actor,
        change=str(change),
        subject=subject,
        detail=note.why,
        document=note.document,
        ground=note.ground,
    )


def write_version(connection: Connection, row: Row[Any], values: Mapping[str, Any], *, seq: int) -> None:
    """Put a version in the place of an entry's present one, which goes to the history; the token index follows."""
    which = one(row.entry_id)
    retokened = "tokens" in values and values["tokens"] != row.tokens
    archive(connection, which)
    if retokened:
        forget_tokens(connection, which)
    place = {"version": row.version + 1, "seq": seq}
    connection.execute(update(entries).where(entries.c.entry_id == row.entry_id).values(dict(values) | place))
    if retokened:
        index_tokens(connection, which)


def history(connection: Connection, entry_id: int) -> Sequence[PastStep]:
    """Give every version of an entry in their order."""
    names = ("version", "status", "until", "seq")
    versions = union_all(
        *(
            select(*(table.c[name] for name in names)).where(table.c.entry_id == entry_id)
            for table in (entry_versions, entries)
        )
    ).subquery()
    # An import that took effect at once has no other name beside its change.
    held = and_(imports.c.seq == versions.c.seq, imports.c.held_seq.is_not(None))
    told = (
        select(versions, change_log, func.coalesce(imports.c.actor, "").label("importer"))
        .join(change_log, change_log.c.seq == versions.c.seq)
        .outerjoin(imports, held)
        .order_by(versions.c.version)
    )
    return [_past_step(row) for row in connection.execute(told)]


def _past_step(row: Row[Any]) -> PastStep:
    return PastStep(
        version=row.version,
        # What was held says of a version who approved it.
        step="import" if row.change == "import-approve" else row.change,
        status=EntryStatus(row.status),
        at=row.at,
        actor=row.actor,
        why=row.detail,
        document=row.document,
        ground=row.ground,
        effective_until=row.until,
        seq=row.seq,
        importer=row.importer,
    )
