"""The feed on SQL, in the journal's database.

Whoever writes takes the lock of the one row of ``feed_head`` first (on SQLite, the database's): so positions are given and
become visible in one order, and what another process has taken over meanwhile is seen before anything is written.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from portcullis.adapters.sql.bulk import insert_many
from portcullis.adapters.sql.engines import DATABASE_ERRORS, open_engine, writing
from portcullis.adapters.sql.feed.schema import feed, feed_head
from portcullis.domain.changes import ChangeKind, FeedChange
from portcullis.domain.errors import JournalUnavailable
from portcullis.ports import BEGINNING, FeedEnds, Progress

WRITE_WAIT_S: Final = 5.0
"""How long a writer waits for other processes."""

_TRIMMED_AT_ONCE: Final = 10_000
_HEAD: Final = 1


class SqlFeed:
    """A feed in SQLite or PostgreSQL, migrated by `portcullis.adapters.sql.migrating.migrate_journal`.

    Implements `portcullis.ports.FeedStore`; safe for threads, and for several processes on one database. Any method blocks
    on the database, and raises JournalUnavailable when it can't be used: then nothing of a change is there, unless the
    connection broke in the middle of its commit.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        write_wait_s: how long a writer waits for other processes, in seconds.

    Raises:
        SetupFault: the URL can't be used.
    """

    def __init__(self, url: str, *, write_wait_s: float = WRITE_WAIT_S) -> None:
        self._engine = open_engine(url, write_wait_s=write_wait_s)

    def ends(self) -> FeedEnds:
        """Say where the feed begins and ends."""
        head = self._head()
        return FeedEnds(head.feed, head.oldest, head.newest, as_of=float(head.ended_until))

    def progress(self) -> Progress:
        """Say how far the feed has taken over the registry."""
        return _progress(self._head())

    def read(self, after: int, limit: int) -> Sequence[FeedChange]:
        """Give changes after a position, in their order."""
        page = select(feed).where(feed.c.position > after).order_by(feed.c.position).limit(limit)
        with _guarded(), self._engine.begin() as connection:
            return [_change(row) for row in connection.execute(page)]

    def append(self, changes: Sequence[FeedChange], then: Progress, *, expected: Progress) -> bool:
        """Add changes at the end, and note the progress, in one transaction.

        False, and nothing done, when the progress is not what was expected any more.
        """
        with self._locked() as (connection, head):
            if _progress(head) != expected:
                return False
            insert_many(connection, feed, [_row(change, head.newest + place) for place, change in enumerate(changes, 1)])
            _set_head(connection, newest=head.newest + len(changes), **then._asdict())
            return True

    def trim(self, before: float) -> int:
        """Forget changes that happened before a time (Unix seconds), from the old end on: ten thousand at most at once."""
        kept = select(feed.c.position).where(feed.c.happened_at >= before).order_by(feed.c.position).limit(1)
        with self._locked() as (connection, head):
            first_kept = connection.scalar(kept.where(feed.c.position <= head.oldest + _TRIMMED_AT_ONCE))
            last_gone = min(head.newest, head.oldest + _TRIMMED_AT_ONCE) if first_kept is None else first_kept - 1
            if last_gone > head.oldest:
                connection.execute(delete(feed).where(feed.c.position <= last_gone))
                _set_head(connection, oldest=last_gone)
            return int(last_gone - head.oldest)

    def begin_anew(self, *, expected: Progress) -> bool:
        """Forget everything and begin another feed; False, and nothing done, when the progress is not what was expected."""
        with self._locked() as (connection, head):
            if _progress(head) != expected:
                return False
            connection.execute(delete(feed))
            connection.execute(update(feed_head).values(_new_head()))
            return True

    def close(self) -> None:
        """Give up the connections."""
        self._engine.dispose()

    def _head(self) -> Row[Any]:
        with _guarded(), self._engine.begin() as connection:
            head = connection.execute(select(feed_head)).first()
        return self._first_head() if head is None else head

    def _first_head(self) -> Row[Any]:
        """Name the feed at its first use; of several processes that do, one does it."""
        with _guarded(), suppress(IntegrityError), writing(self._engine).begin() as connection:
            connection.execute(insert(feed_head).values(_new_head()))
        with _guarded(), self._engine.begin() as connection:
            return connection.execute(select(feed_head)).one()

    @contextmanager
    def _locked(self) -> Iterator[tuple[Connection, Row[Any]]]:
        """Open a writing transaction that no other writer of the feed is in."""
        self._head()
        with _guarded(), writing(self._engine).begin() as connection:
            yield connection, connection.execute(select(feed_head).with_for_update()).one()


def _new_head() -> dict[str, Any]:
    return {"number": _HEAD, "feed": secrets.token_hex(4), "oldest": 0, "newest": 0} | BEGINNING._asdict()


def _set_head(connection: Connection, **values: Any) -> None:
    connection.execute(update(feed_head).values(values))


def _progress(head: Row[Any]) -> Progress:
    return Progress(*(getattr(head, name) for name in Progress._fields))


def _row(change: FeedChange, position: int) -> dict[str, Any]:
    return {
        "position": position,
        "kind": change.kind.value,
        "list": change.list,
        "list_number": change.list_number,
        "entry_id": change.entry_id,
        "happened_at": change.happened_at,
        "until": change.until,
    }


def _change(row: Row[Any]) -> FeedChange:
    return FeedChange(
        position=row.position,
        kind=ChangeKind(row.kind),
        list=row.list,
        list_number=row.list_number,
        entry_id=row.entry_id,
        happened_at=row.happened_at,
        until=row.until,
    )


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS:
        raise JournalUnavailable from None
