"""Events in the database: taking them into the log once each, and giving their receipts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select

from portcullis.adapters.journal_entries import JournalSecrets, SubjectKey, event_entry, is_personal
from portcullis.adapters.sql.among import Lookup
from portcullis.adapters.sql.bulk import insert_tuples
from portcullis.adapters.sql.journal_decisions import FoundDecision, find_decisions
from portcullis.adapters.sql.journal_keys import SubjectKeys
from portcullis.adapters.sql.journal_log import LogTail
from portcullis.adapters.sql.journal_schema import events, log
from portcullis.domain.errors import EventConflict, PortcullisError
from portcullis.domain.event_rules import match_decision
from portcullis.domain.shared_events import SharedEvent
from portcullis.ports import Receipt


class EventReport(NamedTuple):
    """An event, who reported it, and the digest that tells it from others.

    ``agreed`` has the lists that its partner may report its kind about; None when that is not asked.
    """

    partner: str
    event: SharedEvent
    digest: bytes
    agreed: Collection[str] | None


class _Known(NamedTuple):
    digest: bytes
    receipt: Receipt


_Name = tuple[str, str]

_COLUMNS: Final = (
    "sequence",
    "partner",
    "event_id",
    "kind",
    "code",
    "list",
    "decision_sequence",
    "occurred_at_ms",
    "recorded_at_ms",
    "digest",
)

_RECEIPTS = Lookup(
    select(events.c.event_id, events.c.sequence, events.c.recorded_at_ms, events.c.digest, log.c.leaf_hash)
    .join(log, log.c.sequence == events.c.sequence)
    .where(events.c.partner == bindparam("partner")),
    events.c.event_id,
)


class EventWriter:
    """Takes events into the log, within a transaction that has locked its tail."""

    def __init__(self, secrets: JournalSecrets, keys: SubjectKeys) -> None:
        self._secrets = secrets
        self._keys = keys

    def take(
        self, connection: Connection, tail: LogTail, reports: Sequence[EventReport], at_ms: int
    ) -> Sequence[Receipt | PortcullisError]:
        """Take the events that are new and fit, in their order; gives the answer to each report."""
        names = [(each.partner, each.event.event_id) for each in reports]
        known = _known_events(connection, names)
        found = _named_decisions(connection, reports)
        answers: dict[int, PortcullisError] = {}
        fresh: dict[_Name, EventReport] = {}
        for place, (name, each) in enumerate(zip(names, reports, strict=True)):
            earlier = known.get(name) or fresh.get(name)
            refusal = _conflict(each, earlier) if earlier else _misfit(each, found)
            if refusal is not None:
                answers[place] = refusal
            elif earlier is None:
                fresh[name] = each
        receipts = {name: each.receipt for name, each in known.items()}
        if fresh:
            receipts |= self._append(connection, tail, fresh, found, at_ms)
        return [answers[place] if place in answers else receipts[name] for place, name in enumerate(names)]

    def _append(
        self,
        connection: Connection,
        tail: LogTail,
        fresh: dict[_Name, EventReport],
        found: dict[str, FoundDecision],
        at_ms: int,
    ) -> dict[_Name, Receipt]:
        taken = list(fresh.values())
        begin = tail.size
        keys = self._keys_of(connection, taken, found, at_ms)
        entries = [
            event_entry(each.partner, each.event, each.digest, key, at_ms) for each, key in zip(taken, keys, strict=True)
        ]
        hashes = tail.append(entries)
        rows = [_row(sequence, each, found, at_ms) for sequence, each in enumerate(taken, start=begin)]
        insert_tuples(connection, events, _COLUMNS, rows)
        return {
            name: Receipt(event_id=name[1], sequence=sequence, recorded_at_ms=at_ms, entry_hash=own)
            for sequence, (name, own) in enumerate(zip(fresh, hashes, strict=True), start=begin)
        }

    def _keys_of(
        self, connection: Connection, taken: Sequence[EventReport], found: dict[str, FoundDecision], at_ms: int
    ) -> list[SubjectKey | None]:
        """Give each event's key; None where there is nothing to seal, or the person it is about was erased."""
        handles = {
            place: self._secrets.event_handle(each.event)
            for place, each in enumerate(taken)
            if not each.event.decision_id and is_personal(each.event)
        }
        own = self._keys.of_handles(connection, set(handles.values()), at_ms)
        return [
            own[handles[place]] if place in handles else self._decisions_key(each.event, found)
            for place, each in enumerate(taken)
        ]

    def _decisions_key(self, event: SharedEvent, found: dict[str, FoundDecision]) -> SubjectKey | None:
        kept = found[event.decision_id].key if event.decision_id and is_personal(event) else None
        return self._keys.open(kept) if kept else None


def _named_decisions(connection: Connection, reports: Sequence[EventReport]) -> dict[str, FoundDecision]:
    named = {each.event.decision_id for each in reports if each.event.decision_id}
    with_lists = {each.event.decision_id for each in reports if each.event.list or each.agreed is not None} & named
    return find_decisions(connection, named, with_lists=with_lists)


def _conflict(each: EventReport, earlier: EventReport | _Known) -> PortcullisError | None:
    return None if earlier.digest == each.digest else EventConflict()


def _misfit(each: EventReport, found: dict[str, FoundDecision]) -> PortcullisError | None:
    if not each.event.decision_id:
        return None
    decision = found.get(each.event.decision_id)
    return match_decision(each.event, decision.known if decision else None, each.partner, each.agreed)


def _row(sequence: int, each: EventReport, found: dict[str, FoundDecision], at_ms: int) -> tuple[object, ...]:
    """Give an event's row, in the order of `_COLUMNS`."""
    event = each.event
    decision_sequence = found[event.decision_id].sequence if event.decision_id else None
    return (
        sequence,
        each.partner,
        event.event_id,
        event.kind.value,
        event.code,
        event.list,
        decision_sequence,
        event.occurred_at_ms,
        at_ms,
        each.digest,
    )


def _known_events(connection: Connection, names: Sequence[_Name]) -> dict[_Name, _Known]:
    by_partner: defaultdict[str, set[str]] = defaultdict(set)
    for partner, event_id in names:
        by_partner[partner].add(event_id)
    return {
        (partner, row.event_id): _Known(row.digest, _receipt(row))
        for partner, event_ids in by_partner.items()
        for row in _RECEIPTS.rows(connection, event_ids, partner=partner)
    }


def find_receipt(connection: Connection, partner: str, event_id: str) -> Receipt | None:
    """Give the receipt of a partner's event; None when it has reported none of this id."""
    return next(map(_receipt, _RECEIPTS.rows(connection, [event_id], partner=partner)), None)


def _receipt(row: Row[Any]) -> Receipt:
    return Receipt(event_id=row.event_id, sequence=row.sequence, recorded_at_ms=row.recorded_at_ms, entry_hash=row.leaf_hash)
