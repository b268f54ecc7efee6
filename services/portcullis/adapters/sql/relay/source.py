"""What partners reported, as the relay reads it from the journal.

A partner's own reference is left where it is: nobody else is to see it. Of a decision that an event is about only the cases
are read: which list gave a reason, and the authority's own reference of it, as long as the person was not erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, select

from portcullis.adapters.journal_entries import JournalSecrets, SubjectKey, open_decision, open_event
from portcullis.adapters.sql.engines import open_engine
from portcullis.adapters.sql.journal.guard import guarded
from portcullis.adapters.sql.journal.keys import SubjectKeys
from portcullis.adapters.sql.journal.log import SqlLog
from portcullis.adapters.sql.journal.schema import events, log
from portcullis.domain.errors import JournalUnavailable
from portcullis.domain.log_entries import LogEntry, decode_entry
from portcullis.domain.log_facts import DECISION_FACTS
from portcullis.domain.shared_events import SharedEvent
from portcullis.ports.relay import ReportedCase, ReportedEvent

_WRITE_WAIT_S = 5.0


class SqlReportedEvents:
    """Implements `portcullis.ports.relay.ReportedEvents` over the journal's database, which is migrated.

    Args:
        url: ``sqlite:///PATH`` or ``postgresql://...``.
        seal_key: 32 bytes.

    Raises:
        SetupFault: the URL or the key can't be used.
    """

    def __init__(self, url: str, *, seal_key: bytes) -> None:
        secrets = JournalSecrets(seal_key)
        self._engine = open_engine(url, write_wait_s=_WRITE_WAIT_S)
        self._log = SqlLog(self._engine, secrets)
        self._keys = SubjectKeys(secrets)

    def timeline(self) -> str:
        """Name the log as those know it who keep places in it."""
        return self._log.timeline()

    def size(self) -> int:
        """Give how many entries the log has."""
        return self._log.size()

    def read(self, begin: int, limit: int) -> Sequence[ReportedEvent]:
        """Give events from a sequence on, ascending.

        Raises:
            JournalUnavailable: the database can't be used, or an entry is damaged.
        """
        about = log.alias("about")
        wanted = (
            select(events.c.sequence, log.c.entry, about.c.entry.label("about"))
            .join(log, log.c.sequence == events.c.sequence)
            .outerjoin(about, about.c.sequence == events.c.decision_sequence)
            .where(events.c.sequence >= begin)
            .order_by(events.c.sequence)
            .limit(limit)
        )
        with guarded(), self._engine.begin() as connection:
            rows = [_decoded(row) for row in connection.execute(wanted)]
            keys = self._keys.by_id(connection, {each.key_id for row in rows for each in row.entries() if each.key_id})
        try:
            return [_reported(row, keys) for row in rows]
        except (ValueError, msgspec.MsgspecError):
            raise JournalUnavailable from None

    def close(self) -> None:
        """Give up the database."""
        self._engine.dispose()


class _Stored(msgspec.Struct, frozen=True):
    sequence: int
    entry: LogEntry
    about: LogEntry | None

    def entries(self) -> Iterator[LogEntry]:
        yield self.entry
        if self.about is not None:
            yield self.about


def _decoded(row: Row[Any, Any, Any]) -> _Stored:
    try:
        return _Stored(row.sequence, decode_entry(row.entry), decode_entry(row.about) if row.about is not None else None)
    except ValueError:
        raise JournalUnavailable from None


def _reported(stored: _Stored, keys: Mapping[str, SubjectKey]) -> ReportedEvent:
    event = open_event(stored.entry, keys.get(stored.entry.key_id))
    return ReportedEvent(
        sequence=stored.sequence,
        partner=stored.entry.partner,
        recorded_at_ms=stored.entry.recorded_at_ms,
        event=msgspec.structs.replace(event, reference=""),
        cases=_cases(event, stored.about, keys),
    )


def _cases(event: SharedEvent, about: LogEntry | None, keys: Mapping[str, SubjectKey]) -> tuple[ReportedCase, ...]:
    if event.list and event.case_reference:
        return (ReportedCase(event.list, event.case_reference),)
    decided = _decided_cases(about, keys) if about is not None else ()
    if not event.list:
        return decided
    return tuple(each for each in decided if each.list == event.list) or (ReportedCase(event.list, ""),)


def _decided_cases(about: LogEntry, keys: Mapping[str, SubjectKey]) -> tuple[ReportedCase, ...]:
    key = keys.get(about.key_id)
    if key is None:
        reasons = DECISION_FACTS.decode(about.facts).reasons
        return tuple(dict.fromkeys(ReportedCase(each.list, "") for each in reasons if not each.shadow))
    recorded = open_decision(about, key).reasons
    return tuple(dict.fromkeys(ReportedCase(each.list, each.case_reference) for each in recorded if not each.shadow))
