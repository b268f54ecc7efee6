"""What the journal holds about a subject: their decisions and the looks at them; and the subjects who fell quiet.

What a row of the index says in clear narrows the question first; what is sealed is opened for what is left alone. Nothing
here asks by a column without an index but `find_quiet`, which reads all decisions once: it runs once a day, and holds up
nobody who writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, select

from portcullis.adapters.journal_entries import JournalSecrets
from portcullis.adapters.sql.among import Lookup, among
from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.journal.decisions import opened_decision
from portcullis.adapters.sql.journal.erasure import forget_unreadable, note_erasure
from portcullis.adapters.sql.journal.keys import SubjectKeys
from portcullis.adapters.sql.journal.log import lock_tail
from portcullis.adapters.sql.journal.schema import (
    decision_handles,
    decision_reasons,
    decisions,
    log,
    log_head,
    looks,
    subject_keys,
)
from portcullis.ports import Look, StoredDecision

QUIET_AT_ONCE: Final = 50_000
"""How many quiet subjects are found at once; each takes some 200 bytes."""

_LOOKS = Lookup(
    select(looks.c.decision_id, looks.c.actor, looks.c.at, looks.c.purpose).order_by(looks.c.number), looks.c.decision_id
)
_ENTRY = (
    select(decisions.c.sequence, decisions.c.decision_id, decisions.c.partner, decisions.c.key_id, log.c.entry)
    .outerjoin(log, log.c.sequence == decisions.c.sequence)
    .order_by(decisions.c.decided_at, decisions.c.sequence)
)


def read_decisions(
    connection: Connection, keys: SubjectKeys, handles: Collection[str], about: tuple[str, int] | None
) -> list[StoredDecision]:
    """Give the decisions that mention one of these subjects and can be read, in the order of their times.

    Raises:
        JournalUnavailable: an entry is missing or damaged.
    """
    mentioned = select(decision_handles.c.sequence).where(among(connection, decision_handles.c.handle, handles))
    wanted = _ENTRY.where(decisions.c.sequence.in_(mentioned))
    if about is not None:
        wanted = wanted.where(_rests_on(about[0]))
    found = _opened(connection, keys, connection.execute(wanted).all())
    return [each for each in found if about is None or about in _entries_of(each)]


def _rests_on(list_name: str) -> ColumnElement[bool]:
    return (
        select(decision_reasons.c.sequence)
        .where(
            decision_reasons.c.sequence == decisions.c.sequence,
            decision_reasons.c.list == list_name,
            decision_reasons.c.shadow.is_(False),
        )
        .exists()
    )


def _opened(connection: Connection, keys: SubjectKeys, rows: Sequence[Any]) -> list[StoredDecision]:
    own = keys.by_id(connection, {row.key_id for row in rows})
    return [
        StoredDecision(
            sequence=row.sequence,
            decision_id=row.decision_id,
            partner=row.partner,
            record=opened_decision(row.entry, own[row.key_id]),
        )
        for row in rows
        if row.key_id in own
    ]


def _entries_of(decision: StoredDecision) -> tuple[tuple[str, int], ...]:
    """Give (list, entry_id) of each entry that gave a reason, those in shadow left out."""
    reasons = decision.record.reasons if decision.record else ()
    return tuple(dict.fromkeys((each.list, each.entry_id) for each in reasons if each.entry_id and not each.shadow))


def read_entries(connection: Connection, keys: SubjectKeys, decision_id: str) -> tuple[tuple[str, int], ...]:
    """Give (list, entry_id) of each entry that gave one decision a reason; none where it is not there or was erased.

    Raises:
        JournalUnavailable: its entry is missing or damaged.
    """
    rows = connection.execute(_ENTRY.where(decisions.c.decision_id == decision_id)).all()
    return next((_entries_of(each) for each in _opened(connection, keys, rows)), ())


def note_looks(connection: Connection, decision_ids: Collection[str], look: Look) -> None:
    """Note one look at each of these decisions, within a writing transaction."""
    told = {"at": look.at, "actor": look.actor, "purpose": look.purpose}
    insert_many(connection, looks, [{"decision_id": decision_id} | told for decision_id in decision_ids])


def looks_of(connection: Connection, decision_ids: Collection[str]) -> dict[str, list[Look]]:
    """Give the looks at each of these decisions in their order."""
    found: dict[str, list[Look]] = {decision_id: [] for decision_id in decision_ids}
    for decision_id, actor, at, purpose in _LOOKS.rows(connection, decision_ids):
        found[decision_id].append(Look(actor=actor, at=at, purpose=purpose))
    return found


def count_quiet(connection: Connection, before: Mapping[str, float]) -> int:
    """Count the subjects about whom nothing was decided since their lists' times."""
    return connection.scalar(select(func.count()).select_from(_quiet(before).subquery())) or 0


def find_quiet(connection: Connection, before: Mapping[str, float]) -> tuple[int, Sequence[str]]:
    """Give the keys of some subjects who fell quiet, and the size that the log had before they were looked for."""
    size = connection.scalar(select(log_head.c.size)) or 0
    return size, list(connection.scalars(_quiet(before).limit(QUIET_AT_ONCE)))


def _quiet(before: Mapping[str, float]) -> Select[Any]:
    named = [(decision_reasons.c.list == name, literal(float(at))) for name, at in before.items() if name]
    rest = literal(float(before.get("", 0)))
    kept_from = case(*named, else_=rest) if named else rest
    return (
        select(decisions.c.key_id)
        .join(subject_keys, subject_keys.c.key_id == decisions.c.key_id)
        .outerjoin(decision_reasons, decision_reasons.c.sequence == decisions.c.sequence)
        .group_by(decisions.c.key_id)
        .having(func.max(decisions.c.decided_at) < func.min(kept_from))
    )


def erase_keys(  # noqa: PLR0917 - where, with what, whom and by whom
    connection: Connection, secrets: JournalSecrets, keys: SubjectKeys, size: int, key_ids: Collection[str], look: Look
) -> int:
    """Destroy keys that were found quiet, within a writing transaction; gives how many.

    One that a decision was sealed under since the log had ``size`` entries is passed over.
    """
    tail = lock_tail(connection, secrets)
    since = select(decisions.c.key_id).where(decisions.c.sequence >= size, among(connection, decisions.c.key_id, key_ids))
    quiet = set(key_ids) - set(connection.scalars(since))
    kept = keys.kept(connection, quiet)
    if not kept:
        return 0
    gone = forget_unreadable(connection, [each.handle for each in kept], [each.key_id for each in kept])
    names = keys.destroy(connection, [each.handle for each in kept])
    note_erasure(tail, names, look, blank=-gone)
    return len(names)
