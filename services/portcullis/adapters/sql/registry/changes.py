"""What has changed in the index since an earlier change of the log.

An entry that changed is found by ``seq``, one that left the index by age by ``until``; each through an index of its own. A
changed entry touches its tokens of now, and those of the version that was listed then, which the history keeps: a version
that came and went in between touched nothing that anybody has seen. Of an erased entry the history keeps no tokens; those it
stood under are noted with the erasure (`portcullis.adapters.sql.rights.erasure`). One whose tokens were renewed with another
key is found by the note of those it stood under before (`portcullis.adapters.sql.registry.renewal`).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ScalarSelect, Select, bindparam, case, select, union_all

from portcullis.adapters.sql.registry.entries import LISTED_STATUSES, cut_tokens
from portcullis.adapters.sql.registry.schema import entries, entry_versions, former_tokens
from portcullis.adapters.sql.rights.schema import erased_tokens


def _touched_pairs() -> Select[Any]:
    changed = entries.c.seq > bindparam("after")
    now = select(entries.c.list_id, entries.c.tokens).where(changed, entries.c.status.in_(LISTED_STATUSES))
    then = select(entries.c.list_id, _tokens_then().label("tokens")).where(changed, entries.c.version > 1)
    ended = select(entries.c.list_id, entries.c.tokens).where(
        entries.c.until > bindparam("ended_after"),
        entries.c.until <= bindparam("ended_by"),
        entries.c.status.in_(LISTED_STATUSES),
    )
    erased = select(erased_tokens.c.list_id, erased_tokens.c.token).where(erased_tokens.c.seq > bindparam("after"))
    renewed = former_tokens.c.seq > bindparam("after")
    renewed_entry = entries.c.entry_id == former_tokens.c.entry_id
    before = select(entries.c.list_id, former_tokens.c.tokens).join(former_tokens, renewed_entry).where(renewed)
    since = select(entries.c.list_id, entries.c.tokens).join(former_tokens, renewed_entry).where(renewed)
    touched = union_all(now, then, ended, erased, before, since).subquery("touched")
    pieces = cut_tokens(touched.c.list_id, touched.c.tokens)
    return select(pieces.c.token, pieces.c.owner.label("list_id")).order_by(pieces.c.token, pieces.c.owner)


def _tokens_then() -> ScalarSelect[Any]:
    """Give the tokens that an entry was indexed under as of a change of the log; null when it was under none.

    A scalar subquery and no join: it is looked up entry by entry in the history's key, whatever a planner expects.
    """
    return (
        select(case((entry_versions.c.status.in_(LISTED_STATUSES), entry_versions.c.tokens)))
        .where(entry_versions.c.entry_id == entries.c.entry_id, entry_versions.c.seq <= bindparam("after"))
        .order_by(entry_versions.c.version.desc())
        .limit(1)
        .scalar_subquery()
    )


TOUCHED_PAIRS: Final = _touched_pairs()
"""Gives (token, list_id), ascending; a pair may come several times in a row.

Its parameters: what changed later than the change ``after``, and what ended later than ``ended_after`` and up to
``ended_by`` (Unix seconds)."""
