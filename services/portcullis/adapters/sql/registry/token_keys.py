"""The token keys that the registry knows: which one is in use, and which ones a snapshot names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, func, insert, select, update

from portcullis.adapters.sql.registry.database import next_change
from portcullis.adapters.sql.registry.schema import (
    change_log,
    entries,
    entry_amendments,
    former_tokens,
    held_rows,
    token_keys,
)
from portcullis.adapters.sql.rights.schema import redress_numbers, subject_sessions
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import KeyChangeRefused, NotFound, RegistryUnavailable
from portcullis.domain.token_keys import FIRST_EPOCH, TokenKey
from portcullis.domain.tokens import Tokeniser
from portcullis.ports.token_keys import KeyState, KnownTokenKey

SWITCHED: Final = "token-key-switch"
"""The word of the change log for another token key that is written with."""
_LEFT: Final = "token-key-left"
_RETIRED: Final = "token-key-retire"
_SUBJECT: Final = "token-key"


def noted_keys(connection: Connection) -> Sequence[KnownTokenKey]:
    """Give the keys that are known, the newest first, without counting what needs them."""
    rows = connection.execute(select(token_keys).order_by(token_keys.c.epoch.desc()))
    return [KnownTokenKey(row.epoch, row.fingerprint, KeyState(row.state), row.since, row.left_at) for row in rows]


def all_keys(connection: Connection) -> Sequence[KnownTokenKey]:
    """Give the keys that are known, the newest first."""
    needed = _numbers_by_epoch(connection)
    return [each._replace(numbers=needed.get(each.epoch, 0)) for each in noted_keys(connection)]


def present_epoch(connection: Connection) -> int:
    """Give the epoch of the key in use."""
    found = select(token_keys.c.epoch).where(token_keys.c.state == KeyState.IN_USE.value)
    return connection.scalar(found) or FIRST_EPOCH


def named_keys(connection: Connection) -> tuple[TokenKey, ...]:
    """Give the keys that a snapshot of this state names; none where no key was ever noted."""
    return tuple(
        TokenKey(epoch=key.epoch, fingerprint=key.fingerprint, records=key.state is not KeyState.LEFT)
        for key in all_keys(connection)
        if key.state is not KeyState.LEFT or key.numbers
    )


def note_first(connection: Connection, tokeniser: Tokeniser, *, at: float) -> None:
    """Note the key of a registry that knows none yet; the connection holds the write lock."""
    if not connection.scalar(select(func.count()).select_from(token_keys)):
        _add(connection, tokeniser, at=at)


def switch_key(connection: Connection, tokeniser: Tokeniser, *, note: StepNote, at: float) -> None:
    """Have this key be the one in use; the connection holds the write lock.

    Sessions of subjects end: one that was begun before this key was here knows its holder by former keys alone, and would
    find nothing about them once their entries have come over.

    Raises:
        KeyChangeRefused: it is not the next one, or entries still come over.
    """
    known = all_keys(connection)
    if any(key.state is KeyState.LEAVING for key in known):
        raise KeyChangeRefused("entries still come over from the key before; wait until `portcullis keys` shows it as left")
    newest = known[0].epoch if known else FIRST_EPOCH
    if tokeniser.epoch != newest + 1:
        raise KeyChangeRefused(f"epoch {newest} is in use, so the next one is {newest + 1}; see `portcullis keys`")
    _log(connection, SWITCHED, tokeniser.epoch, note=note, at=at)
    connection.execute(
        update(token_keys).where(token_keys.c.state == KeyState.IN_USE.value).values(state=KeyState.LEAVING.value)
    )
    _add(connection, tokeniser, at=at)
    connection.execute(delete(subject_sessions))


def leave_keys(connection: Connection, since: int, *, at: float) -> bool:
    """Note that no entry is left under the leaving keys; False where one that changed after ``since`` still is.

    What stood under one before ``since`` was looked through already. A look that began before the last switch has looked
    for what stands under another key, so it says nothing. The connection holds the write lock.
    """
    leaving = [key.epoch for key in all_keys(connection) if key.state is KeyState.LEAVING]
    if not leaving:
        return True
    switched = select(change_log.c.seq).where(change_log.c.seq > since, change_log.c.change == SWITCHED)
    late = select(entries.c.entry_id).where(entries.c.seq > since, entries.c.token_epoch.in_(leaving))
    waiting = [
        select(table.c.token_epoch).where(table.c.token_epoch.in_(leaving)) for table in (entry_amendments, held_rows)
    ]
    if any(connection.scalar(each.limit(1)) is not None for each in (switched, late, *waiting)):
        return False
    for epoch in leaving:
        _log(connection, _LEFT, epoch, note=StepNote(actor="registry"), at=at)
        done = {"state": KeyState.LEFT.value, "left_at": at}
        connection.execute(update(token_keys).where(token_keys.c.epoch == epoch).values(done))
    return True


def named_until(connection: Connection, epoch: int) -> int:
    """Give the change that a snapshot must include not to name a key that was left; 0 where it never was.

    By then the last entry has come over from it, and the last redress number that needed it was revoked.
    """
    left_at = select(token_keys.c.left_at).where(token_keys.c.epoch == epoch)
    revoked_at = select(func.max(redress_numbers.c.revoked_at)).where(redress_numbers.c.token_epoch == epoch)
    times = [at for at in (connection.scalar(left_at), connection.scalar(revoked_at)) if at is not None]
    if not times:
        return 0
    found = select(change_log.c.seq).where(change_log.c.at <= max(times)).order_by(change_log.c.seq.desc()).limit(1)
    return connection.scalar(found) or 0


def retire_key(connection: Connection, epoch: int, *, note: StepNote, at: float) -> None:
    """Forget a key that was left; the connection holds the write lock.

    Raises:
        NotFound: there is no such key.
        KeyChangeRefused: entries or redress numbers stand under it.
    """
    key = next((each for each in all_keys(connection) if each.epoch == epoch), None)
    if key is None:
        raise NotFound("the registry knows no token key of this epoch; see `portcullis keys`")
    if key.state is not KeyState.LEFT:
        raise KeyChangeRefused(f"entries stand under the token key of epoch {epoch}; rotate it first, see `portcullis keys`")
    if key.numbers:
        raise KeyChangeRefused(
            f"{key.numbers} redress numbers in force count under the token key of epoch {epoch}; revoke them and issue "
            "others, or keep the key"
        )
    _log(connection, _RETIRED, epoch, note=note, at=at)
    connection.execute(delete(former_tokens).where(former_tokens.c.token_epoch == epoch))
    connection.execute(delete(token_keys).where(token_keys.c.epoch == epoch))


def forgot_renewals(connection: Connection, since: int) -> bool:
    """Say whether entries came over after a change of the log from a key that was retired meanwhile.

    What they stood under is forgotten with it, so nobody who knows the index as of that change can follow it on.
    """
    gone, left = change_log.alias("gone"), change_log.alias("left_key")
    both = (gone.c.subject == left.c.subject, gone.c.change == _RETIRED, left.c.change == _LEFT)
    return bool(connection.scalar(select(exists().where(gone.c.seq > since, left.c.seq > since, *both))))


def demand_in_use(connection: Connection, which: Select[Any]) -> None:
    """Demand that entries about to be indexed stand under a key that checks look under.

    Raises:
        RegistryUnavailable: one does not: it was made ready before the key was changed.
    """
    demand_looked_under(connection, entries, entries.c.entry_id.in_(which))


def demand_looked_under(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> None:
    """Demand that these rows of a table were made with a key that checks look under.

    Raises:
        RegistryUnavailable: one was not: it was made ready before the key was changed.
    """
    known = select(token_keys.c.epoch)
    if connection.scalar(known.limit(1)) is None:
        return
    looked_under = known.where(token_keys.c.state != KeyState.LEFT.value)
    late = exists().where(*conditions, table.c.token_epoch.not_in(looked_under))
    if connection.scalar(select(late)):
        raise RegistryUnavailable("the token key was changed while this was under way, and nothing was written; do it again")


def _add(connection: Connection, tokeniser: Tokeniser, *, at: float) -> None:
    row = {"epoch": tokeniser.epoch, "fingerprint": tokeniser.fingerprint, "state": KeyState.IN_USE.value, "since": at}
    connection.execute(insert(token_keys).values(row))


def _log(connection: Connection, change: str, epoch: int, *, note: StepNote, at: float) -> None:
    next_change(connection, at=at, actor=note.actor, change=change, subject=f"{_SUBJECT}/{epoch}", detail=note.why)


def _numbers_by_epoch(connection: Connection) -> dict[int, int]:
    """Count the redress numbers in force that need each key: the newest that they were made with and that is in use."""
    present = present_epoch(connection)
    made_with = redress_numbers.c.token_epoch
    rows = connection.execute(
        select(made_with, func.count())
        # One of an entry that was erased counts under nothing.
        .where(redress_numbers.c.revoked_at.is_(None), func.length(redress_numbers.c.clearances) > 0)
        .group_by(made_with)
    )
    counts: dict[int, int] = {}
    for epoch, count in rows:
        counts[min(epoch, present)] = counts.get(min(epoch, present), 0) + count
    return counts
