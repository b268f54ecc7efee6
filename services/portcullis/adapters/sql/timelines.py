"""Beginning a timeline on SQL: the log, the feed and the streams lie in one database, and change their names together."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, select, update

from portcullis.adapters.journal_entries import JournalSecrets, timeline_entry
from portcullis.adapters.sql.engines import open_engine, writing
from portcullis.adapters.sql.feed.schema import feed_head
from portcullis.adapters.sql.journal.guard import guarded
from portcullis.adapters.sql.journal.log import lock_tail
from portcullis.adapters.sql.journal.schema import log_head
from portcullis.adapters.sql.relay.relay import all_streams, write_stream
from portcullis.domain.errors import JournalUnavailable
from portcullis.domain.log_facts import TimelineFacts
from portcullis.domain.timelines import log_of_timeline
from portcullis.ports import Look
from portcullis.ports.relay import Place, Side, Stream
from portcullis.ports.timelines import Timeline

_WRITE_WAIT_S: Final = 30.0


class SqlTimelines:
    """Implements `portcullis.ports.timelines.TimelineStore` over the journal's database, which is migrated.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        seal_key: 32 bytes.

    Raises:
        SetupFault: the URL or the key can't be used.
    """

    def __init__(self, url: str, *, seal_key: bytes) -> None:
        self._secrets = JournalSecrets(seal_key)
        self._engine = open_engine(url, write_wait_s=_WRITE_WAIT_S)

    def begin(self, timeline: str, *, since: int, from_oldest: bool, look: Look) -> Timeline:
        """Begin a timeline, in one transaction.

        Raises:
            JournalUnavailable: the database can't be used; nothing has changed.
            SetupFault: the journal was begun with another seal key.
        """
        with guarded(), writing(self._engine).begin() as connection:
            log = self._begin_log(connection, timeline, since=since, look=look)
            feed, fed_until = _begin_feed(connection, timeline)
            turns = {Side.AUTHORITY: log, Side.PARTNER: feed}
            kept = all_streams(connection)
            now = [_carried_over(each, turns[each.side], from_oldest=from_oldest) for each in kept]
            if not all(write_stream(connection, each) for each in now if each is not None):
                # Somebody has changed one meanwhile: all of it again.
                raise JournalUnavailable
        return Timeline(
            timeline=timeline,
            log=log.now,
            entries=log.newest + 1,
            feed=feed.now,
            fed_until=fed_until,
            carried_over=tuple(each for each in now if each is not None),
            left=tuple(was for was, is_now in zip(kept, now, strict=True) if is_now is None),
        )

    def close(self) -> None:
        """Give up the database."""
        self._engine.dispose()

    def _begin_log(self, connection: Connection, timeline: str, *, since: int, look: Look) -> _Turn:
        tail = lock_tail(connection, self._secrets)
        head = connection.execute(select(log_head.c.origin, log_head.c.timeline)).one()
        facts = TimelineFacts(timeline=timeline, actor=look.actor, purpose=look.purpose)
        size = tail.size
        tail.append([timeline_entry(facts, int(look.at * 1000))])
        connection.execute(update(log_head).values(timeline=timeline))
        was, now = (log_of_timeline(head.origin, each) for each in (head.timeline, timeline))
        return _Turn(was, now, oldest=0, newest=size, from_=min(since, size))


class _Turn(NamedTuple):
    """A log that goes by another name: which it had and has, what it keeps, and from where a stream goes on at most."""

    was: str
    now: str
    oldest: int
    newest: int
    from_: int


def _begin_feed(connection: Connection, timeline: str) -> tuple[_Turn, float]:
    """Name the feed anew. Its changes and its progress stay: what the backup lacks is read from the registry again."""
    head = connection.execute(select(feed_head).with_for_update()).first()
    if head is None:
        return _Turn("", timeline, 0, 0, 0), 0.0
    connection.execute(update(feed_head).values(feed=timeline))
    return _Turn(head.feed, timeline, head.oldest, head.newest, head.newest), float(head.ended_until)


def _carried_over(stream: Stream, turn: _Turn, *, from_oldest: bool) -> Stream | None:
    """Give a stream as it goes on; None where its place was of another log before."""
    if stream.place.log != turn.was:
        return None
    return msgspec.structs.replace(stream, place=_place_again(stream.place, turn, from_oldest=from_oldest))


def _place_again(place: Place, turn: _Turn, *, from_oldest: bool) -> Place:
    # What a stream was parked for that stood beyond the end is over with the end.
    is_beyond = place.position > turn.newest
    return msgspec.structs.replace(
        place,
        log=turn.now,
        position=min(place.position, turn.oldest if from_oldest else turn.from_),
        acked=(),
        attempts=0,
        failing_since=0.0,
        retry_at=0.0,
        parked="" if is_beyond else place.parked,
        parked_at=0.0 if is_beyond else place.parked_at,
        parked_on=0 if is_beyond or place.parked_on > turn.newest else place.parked_on,
    )
