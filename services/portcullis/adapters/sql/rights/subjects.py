"""Codes and sessions of subjects on SQL, and what the registry keeps about one.

Of a code and of a session's credential only digests stand here. Whoever holds an identifier is told by its tokens: a code
is for exactly one set of them.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from portcullis.adapters.sql.registry.entries import ENTRY_WITH_WORDS
from portcullis.adapters.sql.registry.life import find, identifier_tokens, log_note
from portcullis.adapters.sql.registry.rows import stored_entry
from portcullis.adapters.sql.registry.schema import entries, entry_looks, entry_tokens, entry_versions, former_tokens
from portcullis.adapters.sql.registry.token_columns import cut, joined
from portcullis.adapters.sql.rights.schema import subject_codes, subject_sessions
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import NotFound
from portcullis.ports import Look, StoredEntry, SubjectSession


def keep_code(
    connection: Connection,
    digest: str,
    tokens: Sequence[bytes],
    *,
    expires_at: float,
    tries: int,
    note: StepNote,
    at: float,
) -> None:
    """Keep the digest of a code in the place of an earlier one; the log says who has issued one, not for whom."""
    holder = _holder(tokens)
    log_note(connection, "subject", "subject-code", note=note, at=at)
    connection.execute(delete(subject_codes).where(subject_codes.c.tokens == holder))
    connection.execute(insert(subject_codes).values(tokens=holder, digest=digest, expires_at=expires_at, tries=tries))


def end_codes(connection: Connection, tokens: Collection[bytes]) -> None:
    """Delete the codes of holders who are known by one token alone, which is one of these."""
    connection.execute(delete(subject_codes).where(subject_codes.c.tokens.in_(tokens)))


def use_code(connection: Connection, digest: str, tokens: Sequence[bytes], *, now: float) -> bool:
    """Use a code up. The try is taken before the code is compared, so that of two at once only one can have the last."""
    known = subject_codes.c.tokens == _holder(tokens)
    kept = connection.scalar(
        update(subject_codes)
        .where(known, subject_codes.c.expires_at > now, subject_codes.c.tries > 0)
        .values(tries=subject_codes.c.tries - 1)
        .returning(subject_codes.c.digest)
    )
    if kept is None or not hmac.compare_digest(kept.encode(), digest.encode()):
        return False
    connection.execute(delete(subject_codes).where(known))
    return True


def keep_session(connection: Connection, digest: str, session: SubjectSession) -> None:
    """Keep a session under the digest of its credential."""
    connection.execute(
        insert(subject_sessions).values(
            digest=digest, handle=session.handle, tokens=joined(session.tokens), expires_at=session.expires_at
        )
    )


def find_session(connection: Connection, digest: str, *, now: float) -> SubjectSession | None:
    """Give a session that has not ended; None where there is none."""
    row = connection.execute(
        select(subject_sessions).where(subject_sessions.c.digest == digest, subject_sessions.c.expires_at > now)
    ).first()
    if row is None:
        return None
    return SubjectSession(handle=row.handle, tokens=cut(row.tokens), expires_at=row.expires_at)


def end_access(connection: Connection, tokens: Collection[bytes]) -> None:
    """Delete the codes and sessions of whoever one of these tokens names.

    Those of one code or session are of one identifier, each under another key.
    """
    gone = set(tokens)
    for table, key in ((subject_codes, subject_codes.c.tokens), (subject_sessions, subject_sessions.c.digest)):
        held = connection.execute(select(key.label("key"), table.c.tokens.label("of"))).all()
        for row in held:
            if not gone.isdisjoint(cut(row.of)):
                connection.execute(delete(table).where(key == row.key))


def entries_of(connection: Connection, tokens: Collection[bytes]) -> Sequence[StoredEntry]:
    """Give every entry that names the holder of these tokens, listed or not, in the order of entry_id.

    What stands under one of them as a clearance alone names somebody else.
    """
    wanted = set(tokens)
    under = select(entry_tokens.c.entry_id).where(entry_tokens.c.token.in_(wanted))
    found = ENTRY_WITH_WORDS.where(entries.c.entry_id.in_(under)).order_by(entries.c.entry_id)
    return [stored_entry(row) for row in connection.execute(found) if not wanted.isdisjoint(cut(identifier_tokens(row)))]


def tokens_of(connection: Connection, list_name: str, key: str) -> Sequence[bytes]:
    """Give the tokens that an entry is found by, clearances left out.

    Raises:
        NotFound: no such entry.
    """
    row = find(connection, list_name, key)
    if row is None:
        raise NotFound("no entry of this list has this key")
    return cut(identifier_tokens(row))


def ever_tokens_of(connection: Connection, list_name: str, key: str) -> Collection[bytes]:
    """Give the tokens that an entry is or ever was found by, clearances left out.

    Raises:
        NotFound: no such entry.
    """
    row = find(connection, list_name, key)
    if row is None:
        raise NotFound("no entry of this list has this key")
    past = select(entry_versions.c.tokens, entry_versions.c.clearances).where(entry_versions.c.entry_id == row.entry_id)
    versions = [row, *connection.execute(past.distinct())]
    former = select(former_tokens.c.tokens).where(former_tokens.c.entry_id == row.entry_id)
    columns = [*map(identifier_tokens, versions), *connection.scalars(former)]
    return {token for column in columns for token in cut(column)}


def looks_at(connection: Connection, entry_ids: Collection[int]) -> Mapping[int, Sequence[Look]]:
    """Give the looks at each of these entries in their order."""
    looks: dict[int, list[Look]] = {entry_id: [] for entry_id in entry_ids}
    wanted = select(entry_looks).where(entry_looks.c.entry_id.in_(looks)).order_by(entry_looks.c.number)
    for row in connection.execute(wanted):
        looks[row.entry_id].append(Look(actor=row.actor, at=row.at, purpose=row.purpose))
    return looks


def _holder(tokens: Collection[bytes]) -> bytes:
    return joined(sorted(tokens))
