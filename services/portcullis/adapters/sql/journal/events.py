"""Events in the database: taking them into the log once each, and giving their receipts.

Nearly every event is a new one. So nobody asks first whether it is there: its row is put into the index, which takes no
second one of that name. Only where it did not take all of a group is it asked which were there, and the others get their
places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, or_, select

from portcullis.adapters.journal_entries import JournalSecrets, SubjectKey, event_entry, is_personal, open_event
from portcullis.adapters.sql.among import Lookup
from portcullis.adapters.sql.journal.decisions import FoundDecision, find_decisions
from portcullis.adapters.sql.journal.keys import SubjectKeys
from portcullis.adapters.sql.journal.log import LogTail
from portcullis.adapters.sql.journal.recent import RecentDecisions
from portcullis.adapters.sql.journal.rows import Insertion, Rows
from portcullis.adapters.sql.journal.schema import events, log, log_head
from portcullis.domain.errors import EventConflict, JournalUnavailable, PortcullisError
from portcullis.domain.event_rules import match_decision
from portcullis.domain.log_entries import LogEntry, decode_entry
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.ports import EventsRead, JournalEvent, Receipt


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


class _Judged(NamedTuple):
    """The reports of a group: those that are new and fit, in their order, and what is answered to those that are refused."""

    fresh: dict[_Name, EventReport]
    refused: dict[int, PortcullisError]


_KINDS: Final = {kind: kind.value for kind in EventKind}
"""To ask a kind for its value takes as long as to make the rest of its row."""

_NEW: Final = Insertion(events, unless_there=("partner", "event_id"))
_ALL: Final = Insertion(events)
_RECEIPTS = Lookup(
    select(events.c.event_id, events.c.sequence, events.c.recorded_at_ms, events.c.digest, log.c.leaf_hash)
    .join(log, log.c.sequence == events.c.sequence)
    .where(events.c.partner == bindparam("partner")),
    events.c.event_id,
)


class EventWriter:
    """Takes events into the log, within a transaction that has locked its tail."""

    def __init__(self, secrets: JournalSecrets, keys: SubjectKeys, recent: RecentDecisions) -> None:
        self._secrets = secrets
        self._keys = keys
        self._recent = recent

    def take(
        self, connection: Connection, tail: LogTail, reports: Sequence[EventReport], at_ms: int
    ) -> Sequence[Receipt | PortcullisError]:
        """Take the events that are new and fit, in their order; gives the answer to each report."""
        found = self._decisions(connection, reports, tail.erased)
        known: dict[_Name, _Known] = {}
        judged = _judge(reports, known, found)
        if judged.refused or not _put_new(connection, _rows(judged, found, tail.size, at_ms)):
            # One that is there keeps its receipt, whatever would be said of it now.
            known = _known_events(connection, {(each.partner, each.event.event_id) for each in reports})
            judged = _judge(reports, known, found)
            _ALL.put(connection, _rows(judged, found, tail.size, at_ms))
        receipts = self._append(connection, tail, judged.fresh, found, at_ms)
        if len(receipts) == len(reports):
            return list(receipts.values())
        receipts |= {name: each.receipt for name, each in known.items()}
        return [
            judged.refused.get(place) or receipts[each.partner, each.event.event_id] for place, each in enumerate(reports)
        ]

    def _decisions(self, connection: Connection, reports: Sequence[EventReport], erased: int) -> dict[str, FoundDecision]:
        """Give the decisions that these events name, as far as they are recorded."""
        named = {each.event.decision_id for each in reports if each.event.decision_id}
        found = self._recent.find(named, erased)
        if len(found) < len(named):
            # Other transactions have committed these, so they stay whatever becomes of this one.
            looked_up = find_decisions(connection, named - found.keys())
            self._recent.remember(looked_up, erased)
            found |= looked_up
        return found

    def _append(
        self,
        connection: Connection,
        tail: LogTail,
        fresh: Mapping[_Name, EventReport],
        found: Mapping[str, FoundDecision],
        at_ms: int,
    ) -> dict[_Name, Receipt]:
        if not fresh:
            return {}
        begin = tail.size
        keys = self._keys_of(connection, fresh, found, at_ms)
        nonces = self._secrets.nonces(len(fresh))
        hashes = tail.append(
            [
                event_entry(partner, event, digest, at_ms, key, nonce)
                for (partner, event, digest, _), key, nonce in zip(fresh.values(), keys, nonces, strict=True)
            ]
        )
        return {
            name: Receipt(event_id=name[1], sequence=sequence, recorded_at_ms=at_ms, entry_hash=own)
            for sequence, (name, own) in enumerate(zip(fresh, hashes, strict=True), begin)
        }

    def _keys_of(
        self,
        connection: Connection,
        fresh: Mapping[_Name, EventReport],
        found: Mapping[str, FoundDecision],
        at_ms: int,
    ) -> list[SubjectKey | None]:
        """Give each event's key; None where there is nothing to seal, or the person it is about was erased."""
        personal = [(place, each.event) for place, each in enumerate(fresh.values()) if is_personal(each.event)]
        handles = {place: self._secrets.event_handle(event) for place, event in personal if not event.decision_id}
        own = self._keys.of_handles(connection, handles.values(), at_ms) if handles else {}
        keys: list[SubjectKey | None] = [None] * len(fresh)
        for place, event in personal:
            kept = found[event.decision_id].key if event.decision_id else own[handles[place]]
            keys[place] = self._keys.open(kept) if kept else None
        return keys


def _put_new(connection: Connection, rows: Rows) -> bool:
    """Put rows of events if none of them is there; otherwise, say so and put none."""
    if _NEW.put(connection, rows) == len(rows):
        return True
    # All of these sequences are ours: one that was taken would have failed the transaction.
    connection.execute(delete(events).where(events.c.sequence.between(rows[0][0], rows[-1][0])))
    return False


def _judge(reports: Sequence[EventReport], known: Mapping[_Name, _Known], found: Mapping[str, FoundDecision]) -> _Judged:
    judged = _Judged({}, {})
    fresh, refused = judged
    for place, each in enumerate(reports):
        partner, event, digest, agreed = each
        name = partner, event.event_id
        earlier = known.get(name) or fresh.get(name)
        refusal: PortcullisError | None = None
        if earlier is not None:
            refusal = None if earlier.digest == digest else EventConflict()
        elif event.decision_id:
            decision = found.get(event.decision_id)
            refusal = match_decision(event, decision.known if decision else None, partner, agreed)
        if refusal is not None:
            refused[place] = refusal
        elif earlier is None:
            fresh[name] = each
    return judged


def _rows(judged: _Judged, found: Mapping[str, FoundDecision], begin: int, at_ms: int) -> Rows:
    """Give the rows of new events, in the order of the table's columns."""
    return [
        (
            sequence,
            partner,
            event.event_id,
            _KINDS[event.kind],
            event.code,
            event.list,
            found[event.decision_id].sequence if event.decision_id else None,
            event.occurred_at_ms,
            at_ms,
            digest,
        )
        for sequence, (partner, event, digest, _) in enumerate(judged.fresh.values(), begin)
    ]


def _known_events(connection: Connection, names: Collection[_Name]) -> dict[_Name, _Known]:
    by_partner: defaultdict[str, list[str]] = defaultdict(list)
    for partner, event_id in names:
        by_partner[partner].append(event_id)
    return {
        (partner, event_id): _Known(
            digest, Receipt(event_id=event_id, sequence=sequence, recorded_at_ms=at_ms, entry_hash=own)
        )
        for partner, event_ids in by_partner.items()
        for event_id, sequence, at_ms, digest, own in _RECEIPTS.rows(connection, event_ids, partner=partner)
    }


def answers_before(connection: Connection, reports: Sequence[EventReport]) -> Sequence[Receipt | EventConflict | None]:
    """Give for each report what is answered to it if it was made before; None where it was not."""
    known = _known_events(connection, {(each.partner, each.event.event_id) for each in reports})
    answers: list[Receipt | EventConflict | None] = []
    for each in reports:
        earlier = known.get((each.partner, each.event.event_id))
        answers.append(earlier and (earlier.receipt if earlier.digest == each.digest else EventConflict()))
    return answers


def find_receipt(connection: Connection, partner: str, event_id: str) -> Receipt | None:
    """Give the receipt of a partner's event; None when it has reported none of this id."""
    return next((each.receipt for each in _known_events(connection, [(partner, event_id)]).values()), None)


def read_events(
    connection: Connection,
    keys: SubjectKeys,
    after: int,
    wanted: Mapping[EventKind, Collection[str] | None],
    limit: int,
) -> EventsRead:
    """Give the events of some kinds after a sequence, and how far that was read.

    Raises:
        JournalUnavailable: an entry is missing or damaged.
    """
    # Sequences follow commits: what is below the size that was read first can be seen from then on.
    size = connection.scalar(select(log_head.c.size)) or 0
    found_by = (
        select(events.c.sequence, events.c.partner, events.c.recorded_at_ms, log.c.entry)
        .outerjoin(log, log.c.sequence == events.c.sequence)
        .where(events.c.sequence > after, events.c.sequence < size, or_(*map(_is_wanted, wanted, wanted.values())))
        .order_by(events.c.sequence)
        .limit(limit)
    )
    rows = connection.execute(found_by).all()
    entries = [_decoded(row.entry) for row in rows]
    own = keys.by_id(connection, {entry.key_id for entry in entries if entry.key_id})
    found = [
        JournalEvent(
            sequence=row.sequence,
            partner=row.partner,
            recorded_at=row.recorded_at_ms / 1000,
            event=_opened(entry, own),
        )
        for row, entry in zip(rows, entries, strict=True)
    ]
    return EventsRead(found, found[-1].sequence if len(found) == limit else max(after, size - 1))


def _is_wanted(kind: EventKind, lists: Collection[str] | None) -> ColumnElement[bool]:
    of_kind = events.c.kind == _KINDS[kind]
    return of_kind if lists is None else and_(of_kind, events.c.list.in_(lists))


def _decoded(data: bytes | None) -> LogEntry:
    try:
        return decode_entry(data or b"")
    except ValueError:
        raise JournalUnavailable from None


def _opened(entry: LogEntry, keys: Mapping[str, SubjectKey]) -> SharedEvent | None:
    """Open an event; None where its key was erased."""
    if entry.key_id and entry.key_id not in keys:
        return None
    try:
        return open_event(entry, keys.get(entry.key_id))
    except ValueError:
        raise JournalUnavailable from None
