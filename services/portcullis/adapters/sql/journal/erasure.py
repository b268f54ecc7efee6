"""Erasing people: their keys, and what finds decisions by them, by whichever of the tokens that a decision mentions.

A decision that another's key still opens keeps a row for each person whom it mentions. That of the erased one is made blank:
it says that there was somebody, and not who. So an audit can still tell when a row was taken away.

What a partner reported without a decision is under a key of the case or of the entry's name. Those names come from the
registry (`portcullis.registry.reported_names`); here they are handles as a token's is, by which no decision is found.

SQLite fills what it deletes with zeros, first in its write-ahead log, where the older frames still hold the key: so the log
is carried over and cut at once (`portcullis.adapters.sql.engines`). PostgreSQL keeps a deleted row until it is vacuumed, and
so does every backup. What is left there is a key wrapped under the seal key, which is worth nothing without that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, delete, func, select

from portcullis.adapters.journal_entries import JournalSecrets, erasure_entry
from portcullis.adapters.sql.among import among
from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.journal.keys import SubjectKeys
from portcullis.adapters.sql.journal.log import LogTail, lock_tail
from portcullis.adapters.sql.journal.schema import decision_handles, decisions
from portcullis.domain.log_facts import ErasureFacts
from portcullis.ports import Erasure, Look, ReportedBy

BLANK: Final = "erased-"
"""What a handle begins with that was somebody's who is erased, before its number in the decision; others are hexadecimal."""

_AT_ONCE: Final = 400


def erase_people(  # noqa: PLR0917 - where, with what, whom and by whom
    connection: Connection,
    secrets: JournalSecrets,
    keys: SubjectKeys,
    tokens: Sequence[bytes],
    reported: ReportedBy,
    look: Look,
) -> Erasure:
    """Erase the subjects of tokens, within a writing transaction; ``look`` says who does it, when and why."""
    tail = lock_tail(connection, secrets)
    handles = {secrets.token_handle(token.hex()) for token in tokens}
    key_ids = keys.destroy(connection, handles | secrets.reported_handles(reported))
    left = _under_other_keys(connection, handles, key_ids)
    gone = forget_unreadable(connection, handles, key_ids)
    note_erasure(tail, key_ids, look, blank=_make_blank(connection, handles) - gone)
    return Erasure(keys=len(key_ids), left=left)


def erase_reports(
    connection: Connection, secrets: JournalSecrets, keys: SubjectKeys, handles: Collection[str], look: Look
) -> int:
    """Destroy the keys of these cases and names, within a writing transaction; gives how many. None is no entry."""
    tail = lock_tail(connection, secrets)
    key_ids = keys.destroy(connection, handles)
    if key_ids:
        note_erasure(tail, key_ids, look, blank=0)
    return len(key_ids)


def forget_unreadable(connection: Connection, handles: Collection[str], key_ids: Collection[str]) -> int:
    """Delete what finds the decisions of these subjects that are sealed under these keys; gives how much of it was blank."""
    unreadable = (
        select(decision_handles.c.sequence)
        .join(decisions, decisions.c.sequence == decision_handles.c.sequence)
        .where(among(connection, decision_handles.c.handle, handles), among(connection, decisions.c.key_id, key_ids))
    )
    theirs = decision_handles.c.sequence.in_(unreadable)
    blank = select(func.count()).select_from(decision_handles).where(theirs, decision_handles.c.handle.startswith(BLANK))
    gone = connection.scalar(blank) or 0
    connection.execute(delete(decision_handles).where(theirs))
    return gone


def _make_blank(connection: Connection, handles: Collection[str]) -> int:
    """Have nothing found by these handles any more; gives how many rows that were."""
    theirs = among(connection, decision_handles.c.handle, handles)
    sequences = connection.scalars(select(decision_handles.c.sequence).where(theirs)).all()
    connection.execute(delete(decision_handles).where(theirs))
    for start in range(0, len(sequences), _AT_ONCE):
        # Those of one decision come together, or each finds the blank ones of before.
        some = sequences[start : start + _AT_ONCE]
        own = select(decision_handles.c.sequence).where(
            decision_handles.c.sequence.in_(some), decision_handles.c.handle.startswith(BLANK)
        )
        taken = Counter(connection.scalars(own))
        blank = []
        for sequence in some:
            blank.append({"sequence": sequence, "handle": f"{BLANK}{taken[sequence]}"})
            taken[sequence] += 1
        insert_many(connection, decision_handles, blank)
    return len(sequences)


def note_erasure(tail: LogTail, key_ids: Sequence[str], look: Look, *, blank: int) -> None:
    """Note an erasure in the log; ``blank`` is how many more handles are blank after it than before."""
    facts = ErasureFacts(key_ids=tuple(key_ids), actor=look.actor, purpose=look.purpose, blank=blank)
    tail.append([erasure_entry(facts, int(look.at * 1000))])
    tail.note_erasure()


def _under_other_keys(connection: Connection, handles: Collection[str], key_ids: Sequence[str]) -> int:
    """Count the decisions that mention one of the subjects and can still be read."""
    counted = (
        select(func.count(decision_handles.c.sequence.distinct()))
        .join(decisions, decisions.c.sequence == decision_handles.c.sequence)
        .where(among(connection, decision_handles.c.handle, handles), decisions.c.key_id.not_in(key_ids))
    )
    return connection.scalar(counted) or 0
