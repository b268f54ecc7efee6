"""The journal on SQL: decisions are on the disk before they are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import DataError, IntegrityError

from portcullis.adapters.sql.bulk import Row, insert_many
from portcullis.adapters.sql.engines import DATABASE_ERRORS, open_engine, writing
from portcullis.adapters.sql.group_commit import GroupCommit, RowRefused, Write
from portcullis.adapters.sql.journal_schema import decisions, looks
from portcullis.domain.errors import NotFound, RecordUnavailable
from portcullis.ports import Clock, DecisionRecord, Look

WRITE_WAIT_S = 5.0
"""How long a commit waits for other processes; a check's deadline is about to pass by then."""

WAITING_RECORDS = 10_000
"""How many records may wait for a commit before more are refused."""

_ENCODE = msgspec.json.Encoder().encode
_DECODER = msgspec.json.Decoder(DecisionRecord)


class SqlJournal:
    """A journal in SQLite or PostgreSQL, migrated by `portcullis.adapters.sql.migrating.migrate_journal`.

    Implements `portcullis.ports.Journal`; safe for threads and event loops, and for several processes on one database.
    When a connection breaks in the middle of a COMMIT, nobody can tell whether it took place: the decision is refused,
    and its record may be there all the same. It is never the other way round.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        clock: dates the looks.
        waiting_records: how many records may wait for a commit before more are refused.
        write_wait_s: how long a commit waits for other processes, in seconds.

    Raises:
        SetupFault: the URL can't be used.
    """

    def __init__(
        self, url: str, *, clock: Clock, waiting_records: int = WAITING_RECORDS, write_wait_s: float = WRITE_WAIT_S
    ) -> None:
        self._engine = open_engine(url, write_wait_s=write_wait_s)
        self._clock = clock
        self._commits = GroupCommit(_inserter(self._engine), waiting_rows=waiting_records)

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        """Make records durable; concurrent calls share one commit.

        Raises:
            RecordUnavailable: they are not durable (the disk, the database, a decision_id that is there already), too
                many wait already, or the journal is closed.
        """
        if not records:
            return
        rows = [{"decision_id": record.decision_id, "record": _ENCODE(record)} for record in records]
        await self._commits.add(rows)

    def get(self, decision_id: str, *, actor: str, purpose: str) -> DecisionRecord:
        """Give one record; the look is on the disk before that.

        Raises:
            NotFound: no such decision.
            RecordUnavailable: the database can't be used, or the look can't be noted.
        """
        wanted = select(decisions.c.record).where(decisions.c.decision_id == decision_id)
        with _guarded(), writing(self._engine).begin() as connection:
            record = connection.scalar(wanted)
            if record is None:
                raise NotFound("no decision has this id; an ALLOW without a hit is not recorded")
            look = {"decision_id": decision_id, "at": self._clock.now(), "actor": actor, "purpose": purpose}
            connection.execute(insert(looks).values(look))
        return _DECODER.decode(record)

    def looks(self, decision_id: str) -> Sequence[Look]:
        """Give the looks at one record in their order.

        Raises:
            RecordUnavailable: the database can't be used.
        """
        wanted = select(looks).where(looks.c.decision_id == decision_id).order_by(looks.c.number)
        with _guarded(), self._engine.begin() as connection:
            return [Look(actor=row.actor, at=row.at, purpose=row.purpose) for row in connection.execute(wanted)]

    def close(self) -> None:
        """Write what is waiting, then give up the database."""
        self._commits.close()
        self._engine.dispose()


def _inserter(engine: Engine) -> Write:
    writer = writing(engine)

    def write(rows: Sequence[Row]) -> None:
        try:
            with writer.begin() as connection:
                insert_many(connection, decisions, rows)
        except (IntegrityError, DataError):
            raise RowRefused from None

    return write


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS:
        # Not chained: a driver's message may quote the record.
        raise RecordUnavailable from None
