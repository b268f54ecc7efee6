"""The journal on SQL: one log of decisions and events, which is on the disk before anything is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from portcullis.adapters.group_commit import GroupCommit, ItemRefused
from portcullis.adapters.journal_entries import JournalSecrets
from portcullis.adapters.sql.engines import forget_deleted, open_engine, writing
from portcullis.adapters.sql.journal.audit import find_faults
from portcullis.adapters.sql.journal.counts import count_findable, count_refusals, count_reported
from portcullis.adapters.sql.journal.decisions import (
    DecisionWriter,
    FoundDecision,
    find_decisions,
    noted_looks,
    read_decision,
)
from portcullis.adapters.sql.journal.erasure import erase_people, erase_reports
from portcullis.adapters.sql.journal.events import EventReport, EventWriter, answers_before, find_receipt, read_events
from portcullis.adapters.sql.journal.guard import guarded
from portcullis.adapters.sql.journal.keys import SubjectKeys
from portcullis.adapters.sql.journal.log import SqlLog, lock_tail
from portcullis.adapters.sql.journal.recent import RecentDecisions
from portcullis.adapters.sql.journal.rows import ROW_ERRORS
from portcullis.adapters.sql.journal.subjects import (
    QUIET_AT_ONCE,
    count_quiet,
    erase_keys,
    find_quiet,
    looks_of,
    note_looks,
    read_decisions,
    read_entries,
)
from portcullis.domain.errors import EventConflict, JournalUnavailable, NotFound, PortcullisError
from portcullis.domain.merkle import root_of
from portcullis.domain.shared_events import EventKind, KnownDecision, SharedEvent
from portcullis.ports import (
    NOTHING_REPORTED,
    AgreedLists,
    Clock,
    DecisionRecord,
    Erasure,
    EventsRead,
    LogHead,
    Look,
    Receipt,
    Refusals,
    Reported,
    ReportedBy,
    StoredCheckpoint,
    StoredDecision,
)

WRITE_WAIT_S = 5.0
"""How long a commit waits for other processes."""

WAITING_EVENTS = 20_000
"""How many events may wait for a commit before more are refused."""

_DECISIONS_AT_ONCE = 1_000
"""Keeps one commit short; a caller with more has several."""

_ERASED_AT_ONCE = 1_000
"""Keeps the commits of `SqlJournal.erase_quiet` and `erase_reports` short, and the entry that each makes."""

_CACHE_KIB = 32 * 1024
_CHECKPOINT_PAGES = 8_000
"""32 MiB of pages; the log keeps its size then (`portcullis.adapters.sql.engines`)."""

_Result = TypeVar("_Result")


class SqlJournal:
    """A journal in SQLite or PostgreSQL, migrated by `portcullis.adapters.sql.migrating.migrate_journal`.

    Implements `portcullis.ports.Journal`; safe for threads and event loops, and for several processes on one database.
    When a connection breaks in the middle of a COMMIT, nobody can tell whether it took place: the call fails, and what it
    brought may be there all the same. Doing it again gives the same answer. It is never the other way round.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        seal_key: 32 bytes; people are unreadable without it.
        clock: dates entries and looks.
        waiting_events: how many events may wait for a commit before more are refused.
        write_wait_s: how long a commit waits for other processes, in seconds.

    Raises:
        SetupFault: the URL or the key can't be used.
    """

    def __init__(
        self,
        url: str,
        *,
        seal_key: bytes,
        clock: Clock,
        waiting_events: int = WAITING_EVENTS,
        write_wait_s: float = WRITE_WAIT_S,
    ) -> None:
        secrets = JournalSecrets(seal_key)
        self._engine = _open(url, write_wait_s)
        self._writing = writing(self._engine)
        self._secrets = secrets
        self._clock = clock
        self._log = SqlLog(self._engine, secrets)
        self._keys = SubjectKeys(secrets)
        self._decisions = DecisionWriter(secrets, self._keys)
        self._recent = RecentDecisions()
        self._events = EventWriter(secrets, self._keys, self._recent)
        self._commits: GroupCommit[EventReport, Receipt | PortcullisError] = GroupCommit(
            self._take_events, waiting_items=waiting_events, refusal=JournalUnavailable, name="portcullis-journal"
        )

    def record_decisions(self, records: Sequence[DecisionRecord]) -> int:
        """Take decisions in their order; those whose decision_id is there already are left out. Gives how many were new.

        Raises:
            JournalUnavailable: not all of them are durable; doing it again is safe.
            SetupFault: the journal was begun with another seal key.
        """
        new = 0
        for start in range(0, len(records), _DECISIONS_AT_ONCE):
            part = records[start : start + _DECISIONS_AT_ONCE]
            taken, erased = self._write(partial(self._take_decisions, part))
            self._recent.remember(taken, erased)
            new += len(taken)
        return new

    def _take_decisions(
        self, records: Sequence[DecisionRecord], connection: Connection
    ) -> tuple[dict[str, FoundDecision], int]:
        tail = lock_tail(connection, self._secrets)
        return self._decisions.take(connection, tail, records, self._now_ms()), tail.erased

    async def record_events(
        self, partner: str, events: Sequence[SharedEvent], agreed: AgreedLists | None = None
    ) -> Sequence[Receipt | PortcullisError]:
        """Take a partner's events in their order; concurrent calls share one commit.

        Each has its first receipt, or EventConflict, DecisionUnknown, InvalidRequest or, where a list of its decision is not
        among those agreed, NotPermitted in its place.

        Raises:
            JournalUnavailable: they are not durable, too many wait already, or the journal is closed.
        """
        if not events:
            return []
        digest = self._secrets.event_digest
        lists = dict.fromkeys(EventKind) if agreed is None else {kind: agreed.get(kind, ()) for kind in EventKind}
        return await self._commits.add([EventReport(partner, each, digest(each), lists[each.kind]) for each in events])

    def _take_events(self, reports: Sequence[EventReport]) -> Sequence[Receipt | PortcullisError]:
        try:
            with self._writing.begin() as connection:
                tail = lock_tail(connection, self._secrets)
                return self._events.take(connection, tail, reports, self._now_ms())
        except ROW_ERRORS:
            raise ItemRefused from None

    def answers_before(self, partner: str, events: Sequence[SharedEvent]) -> Sequence[Receipt | EventConflict | None]:
        """Give for each event its first receipt where it was taken before, EventConflict where another of its id was.

        Raises:
            JournalUnavailable: the database can't be used.
        """
        reports = [EventReport(partner, each, self._secrets.event_digest(each), None) for each in events]
        return self._read(lambda connection: answers_before(connection, reports))

    def receipt(self, partner: str, event_id: str) -> Receipt:
        """Give an event's receipt.

        Raises:
            NotFound: this partner has reported no such event.
            JournalUnavailable: the database can't be used.
        """
        found = self._read(lambda connection: find_receipt(connection, partner, event_id))
        if found is None:
            raise NotFound("no event of yours has this id")
        return found

    def known_decision(self, decision_id: str) -> KnownDecision | None:
        """Give what the journal knows of a decision."""
        found = self._read(lambda connection: find_decisions(connection, [decision_id]))
        return found[decision_id].known if found else None

    def decision(self, decision_id: str, *, actor: str, purpose: str) -> StoredDecision:
        """Give one decision; the look at it is on the disk before that.

        Raises:
            NotFound: no such decision.
            JournalUnavailable: the database can't be used, the look can't be noted, or the entry is damaged.
        """
        look = Look(actor=actor, at=self._clock.now(), purpose=purpose)
        return self._write(lambda connection: read_decision(connection, self._keys, decision_id, look))

    def decisions_of(
        self, tokens: Collection[bytes], *, actor: str, purpose: str, about: tuple[str, int] | None = None
    ) -> Sequence[StoredDecision]:
        """Give every decision about the holder of one of these tokens; the look at each is on the disk before that.

        Raises:
            JournalUnavailable: the database can't be used, the looks can't be noted, or an entry is damaged.
        """
        handles = {self._secrets.token_handle(token.hex()) for token in tokens}
        found = self._read(lambda connection: read_decisions(connection, self._keys, handles, about))
        look = Look(actor=actor, at=self._clock.now(), purpose=purpose)
        if found:
            self._write(lambda connection: note_looks(connection, [each.decision_id for each in found], look))
        return found

    def decisions_before(self, at: float) -> int:
        """Count the decisions made before a time (Unix seconds) that somebody may still find by a document."""
        return self._read(lambda connection: count_findable(connection, at))

    def looks_at(self, decision_ids: Collection[str]) -> Mapping[str, Sequence[Look]]:
        """Give the looks at each of these decisions in their order."""
        return self._read(lambda connection: looks_of(connection, decision_ids))

    def events_after(self, sequence: int, wanted: Mapping[EventKind, Collection[str] | None], *, limit: int) -> EventsRead:
        """Give the events of some kinds after a sequence, and how far that was read."""
        return self._read(lambda connection: read_events(connection, self._keys, sequence, wanted, limit))

    def entries_of_decision(self, decision_id: str) -> Sequence[tuple[str, int]]:
        """Give (list, entry_id) of each entry that gave a decision a reason; no look is noted."""
        return self._read(lambda connection: read_entries(connection, self._keys, decision_id))

    def looks(self, decision_id: str) -> Sequence[Look]:
        """Give the looks at one decision in their order."""
        return self._read(lambda connection: noted_looks(connection, decision_id))

    def erase(
        self, tokens: Sequence[bytes], *, actor: str, purpose: str, reported: ReportedBy = NOTHING_REPORTED
    ) -> Erasure:
        """Destroy the keys of these tokens and of what was reported without a decision; the log tells when and by whom."""
        if not tokens:
            return Erasure(keys=0, left=0)
        look = Look(actor=actor, at=self._clock.now(), purpose=purpose)
        erased = self._write(lambda connection: erase_people(connection, self._secrets, self._keys, tokens, reported, look))
        forget_deleted(self._engine)
        return erased

    def erase_reports(self, reported: ReportedBy, *, actor: str, purpose: str, dry_run: bool = False) -> int:
        """Destroy the keys of what partners have reported without a decision; gives how many.

        Nearly every name that is asked about has none, so they are looked up before whoever writes is held up. Those done
        before a fault stay so.
        """
        handles = self._secrets.reported_handles(reported)
        held = self._read(lambda connection: self._keys.held(connection, handles))
        if dry_run or not held:
            return len(held)
        look, erased = Look(actor=actor, at=self._clock.now(), purpose=purpose), 0
        for start in range(0, len(held), _ERASED_AT_ONCE):
            erased += self._write(partial(self._erase_reports, held[start : start + _ERASED_AT_ONCE], look))
        forget_deleted(self._engine)
        return erased

    def _erase_reports(self, handles: Sequence[str], look: Look, connection: Connection) -> int:
        return erase_reports(connection, self._secrets, self._keys, handles, look)

    def erase_quiet(self, before: Mapping[str, float], *, actor: str, dry_run: bool) -> int:
        """Destroy the keys of the subjects about whom nothing was decided since their lists' times; gives how many.

        Some at a time, so that whoever writes is not held up; those done before a fault stay so.
        """
        if dry_run:
            return self._read(lambda connection: count_quiet(connection, before))
        look, erased = Look(actor=actor, at=self._clock.now(), purpose="retention"), 0
        while True:
            size, key_ids = self._read(lambda connection: find_quiet(connection, before))
            for start in range(0, len(key_ids), _ERASED_AT_ONCE):
                some = key_ids[start : start + _ERASED_AT_ONCE]
                erased += self._write(partial(self._erase_keys, size, some, look))
            if len(key_ids) < QUIET_AT_ONCE:
                break
        forget_deleted(self._engine)
        return erased

    def _erase_keys(self, size: int, key_ids: Sequence[str], look: Look, connection: Connection) -> int:
        return erase_keys(connection, self._secrets, self._keys, size, key_ids, look)

    def refusals(self) -> Sequence[Refusals]:
        """Count decisions that gave an outcome other than ALLOW, ascending by every field."""
        return self._read(count_refusals)

    def reported(self) -> Sequence[Reported]:
        """Count events, ascending by every field, by the month in which they were reported."""
        return self._read(count_reported)

    def origin(self) -> str:
        """Give the log's own name, which its checkpoints carry; made at random with the log."""
        return self._log.origin()

    def timeline(self) -> str:
        """Name the log as those know it who keep places in it: another name from each restore of a backup on."""
        return self._log.timeline()

    def size(self) -> int:
        """Give how many entries the log has."""
        return self._log.size()

    def head(self) -> LogHead | None:
        """Give the head as it is stored; None where it is missing, as it is before the first entry."""
        return self._log.head()

    def root(self, size: int) -> bytes:
        """Give the root of the log as it had a size, from the stored hashes.

        Raises:
            HashesMissing: the log lacks some of them.
        """
        return root_of(self._log, size)

    def leaf_hashes(self, begin: int, end: int) -> Sequence[bytes]:
        """Give the leaf hashes in [begin, end) as they are stored; fewer where the log is shorter or has a gap."""
        return self._log.leaf_hashes(begin, end)

    def tile_hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """Give the hashes of whole subtrees of 256 ** level leaves, of the numbers in [begin, end); ``level`` from 1."""
        return self._log.tile_hashes(level, begin, end)

    def entries(self, begin: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Give (sequence, stored leaf hash, entry) from a sequence on, ascending, in bounded memory."""
        return self._log.entries(begin)

    def checkpoint(self, size: int = 0) -> StoredCheckpoint | None:
        """Give the checkpoint of a size, 0 for the newest; None where none was signed."""
        return self._log.checkpoint(size)

    def checkpoints_from(self, size: int) -> Iterator[StoredCheckpoint]:
        """Give the checkpoints from a size on, ascending, in bounded memory."""
        return self._log.checkpoints_from(size)

    def keep_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint; one of the same size stays as it is."""
        self._log.keep_checkpoint(checkpoint)

    def index_faults(self) -> Iterator[str]:
        """Compare what was derived from the entries with them, in bounded memory; gives one line for each difference."""
        return find_faults(self._engine, self._secrets, self._keys)

    def close(self) -> None:
        """Write what is waiting, then give up the database."""
        self._commits.close()
        self._engine.dispose()

    def _write(self, work: Callable[[Connection], _Result]) -> _Result:
        with guarded(), self._writing.begin() as connection:
            return work(connection)

    def _read(self, work: Callable[[Connection], _Result]) -> _Result:
        with guarded(), self._engine.begin() as connection:
            return work(connection)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _open(url: str, write_wait_s: float) -> Engine:
    engine = open_engine(url, write_wait_s=write_wait_s)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up)
    return engine


def _set_up(raw: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    with closing(raw.cursor()) as cursor:
        # Keys and ids are random, so every commit touches pages all over their indexes: those pages are kept at hand, and
        # carried over from the write-ahead log once they have gathered more than one commit's changes.
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        cursor.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
