"""Comparing what was derived from the log's entries with them, both ways and in bounded memory.

The tree itself, its tiles and its head are not looked at here: whoever verifies a log grows it anew, and compares them
(`portcullis.exchange.verifying`). A table of the index is read in the order of sequences beside the log. A row without its
entry, an entry without its rows and a row that says something else are faults. What finds a person's decisions, and the keys
of people, are beside the log; they follow the erasures in it (`portcullis.adapters.sql.journal.handle_audit`, `key_audit`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Engine, Row, Select, Table, case, func, or_, select, tuple_

from portcullis.adapters.journal_entries import JournalSecrets, SubjectKey, open_decision, open_event
from portcullis.adapters.sql.engines import reading_consistently
from portcullis.adapters.sql.journal.guard import guarded
from portcullis.adapters.sql.journal.handle_audit import HandleAudit
from portcullis.adapters.sql.journal.key_audit import KeyAudit
from portcullis.adapters.sql.journal.keys import SubjectKeys
from portcullis.adapters.sql.journal.log import PAGE_ROWS
from portcullis.adapters.sql.journal.schema import (
    decision_handles,
    decision_reasons,
    decisions,
    events,
    log,
    log_head,
    log_tiles,
)
from portcullis.domain.log_entries import EntryKind, LogEntry, decode_entry
from portcullis.domain.log_facts import (
    DECISION_FACTS,
    ERASURE_FACTS,
    EVENT_FACTS,
    TIMELINE_FACTS,
    DecisionFacts,
    ErasureFacts,
    EventFacts,
)
from portcullis.domain.merkle import TILE_BITS

_DECISIONS = select(
    decisions.c.sequence,
    decisions.c.decision_id,
    decisions.c.partner,
    decisions.c.action,
    decisions.c.purpose,
    decisions.c.outcome,
    decisions.c.decided_at,
    decisions.c.dry_run,
    decisions.c.degraded,
    decisions.c.snapshot_version,
    decisions.c.key_id,
)
_REASONS = select(
    decision_reasons.c.sequence,
    decision_reasons.c.place,
    decision_reasons.c.list,
    decision_reasons.c.measure,
    decision_reasons.c.effect,
    decision_reasons.c.shadow,
)
_HANDLES = select(decision_handles.c.sequence, decision_handles.c.handle)
_EVENTS = select(
    events.c.sequence,
    events.c.partner,
    events.c.event_id,
    events.c.kind,
    events.c.code,
    events.c.list,
    # One that is of no decision has no place of one either.
    case((events.c.decision_sequence.is_(None), ""), else_=func.coalesce(decisions.c.decision_id, "?")).label("decision_id"),
    events.c.occurred_at_ms,
    events.c.recorded_at_ms,
    events.c.digest,
).outerjoin(decisions, decisions.c.sequence == events.c.decision_sequence)
_LOG = select(log.c.sequence, log.c.entry)

_INDEXES: Final = (decisions, decision_reasons, decision_handles, events)
_STRAYS: Final = PAGE_ROWS
"""How many rows beyond the log are named, of each table."""

_LEVELS: Final = 64 // TILE_BITS
_NOWHERE = (
    select(log_tiles.c.level, log_tiles.c.number)
    .where(or_(log_tiles.c.level < 1, log_tiles.c.level >= _LEVELS, log_tiles.c.number < 0))
    .order_by(log_tiles.c.level, log_tiles.c.number)
    .limit(_STRAYS)
)
"""Tiles that nothing which reads the tree would come by."""


class _Extent(NamedTuple):
    """How far the log goes, and what its head says of the seal key, of erasures and of the timeline; None without a head."""

    end: int
    seal_check: bytes | None
    erased: int | None
    timeline: str | None


class _Lane:
    """The rows of a table in the order of their keys, a page at a time; the first column is what they are looked up by."""

    def __init__(self, engine: Engine, wanted: Select[Any], keys: Sequence[ColumnElement[Any]], end: int) -> None:
        self._rows = _pages(engine, wanted.where(keys[0] >= 0, keys[0] < end), keys)
        self._next = next(self._rows, None)

    def before(self, place: float) -> Iterator[int]:
        """Pass over the rows before a place; gives where each belongs."""
        while self._next is not None and self._next[0] < place:
            yield self._next[0]
            self._next = next(self._rows, None)

    def at(self, place: int) -> list[Row[Any]]:
        """Give the rows of a place."""
        found = []
        while self._next is not None and self._next[0] == place:
            found.append(self._next)
            self._next = next(self._rows, None)
        return found


def _pages(engine: Engine, wanted: Select[Any], keys: Sequence[ColumnElement[Any]]) -> Iterator[Row[Any]]:
    page = _page(engine, wanted, keys)
    while page:
        yield from page
        last = tuple(getattr(page[-1], str(key.key)) for key in keys)
        page = _page(engine, wanted.where(tuple_(*keys) > last), keys) if len(page) == PAGE_ROWS else []


def _page(engine: Engine, wanted: Select[Any], keys: Sequence[ColumnElement[Any]]) -> Sequence[Row[Any]]:
    with guarded(), engine.begin() as connection:
        return connection.execute(wanted.order_by(*keys).limit(PAGE_ROWS)).all()


def find_faults(engine: Engine, secrets: JournalSecrets, keys: SubjectKeys) -> Iterator[str]:
    """Give one line for each difference: it names the table and the sequence, never a person."""
    extent, strays = _extent(engine)
    yield from strays
    opens = extent.seal_check in (None, secrets.check)
    if not opens:
        yield "log_head: the journal was written with another record key than the one given, or this was changed"
    audit = _Audit(engine, secrets, KeyAudit(engine, keys, opens=opens), extent.end)
    for page in _log_pages(engine, extent.end):
        yield from audit.compare(page)
    yield from audit.rest()
    if extent.erased is not None and extent.erased != audit.erased:
        yield "log_head: it says something else of the last erasure than the log does"
    if extent.timeline is not None and extent.timeline != audit.timeline:
        yield "log_head: it names another timeline than the log does"


def _log_pages(engine: Engine, end: int) -> Iterator[Sequence[Row[Any]]]:
    begin = 0
    while page := _page(engine, _LOG.where(log.c.sequence >= begin, log.c.sequence < end), [log.c.sequence]):
        yield page
        begin = page[-1].sequence + 1


def _extent(engine: Engine) -> tuple[_Extent, list[str]]:
    """See how far the log goes, and name what lies outside of it, as both stand at one time."""
    with guarded(), reading_consistently(engine).begin() as connection:
        head = connection.execute(select(log_head.c.seal_check, log_head.c.erased, log_head.c.timeline)).first()
        last = connection.scalar(select(func.max(log.c.sequence)))
        extent = _Extent(0 if last is None else last + 1, *(head or (None, None, None)))
        strays = [
            f"{table.name} {sequence}: it belongs to no entry of the log"
            for table in _INDEXES
            for sequence in connection.scalars(_outside(table, extent.end))
        ]
        strays += [
            f"log_tiles level {level} number {number}: no subtree has this place"
            for level, number in map(tuple, connection.execute(_NOWHERE))
        ]
    return extent, strays


def _outside(table: Table, end: int) -> Select[tuple[int]]:
    column = table.c.sequence
    return select(column).where(or_(column < 0, column >= end)).order_by(column).limit(_STRAYS)


class _Audit:
    """Compares the tables of the index with the entries, page by page of the log."""

    def __init__(self, engine: Engine, secrets: JournalSecrets, keys: KeyAudit, end: int) -> None:
        self._engine = engine
        self._secrets = secrets
        self._keys = keys
        self._end = end
        self._lanes = {
            decisions.name: _Lane(engine, _DECISIONS, [decisions.c.sequence], end),
            decision_reasons.name: _Lane(engine, _REASONS, [decision_reasons.c.sequence, decision_reasons.c.place], end),
            decision_handles.name: _Lane(engine, _HANDLES, [decision_handles.c.sequence, decision_handles.c.handle], end),
            events.name: _Lane(engine, _EVENTS, [events.c.sequence], end),
        }
        self._handles = HandleAudit()
        self.erased = 0
        """How many entries there were right after the last erasure that was compared."""
        self.timeline = ""
        """The timeline that began last among the entries that were compared."""

    def compare(self, page: Sequence[Row[Any]]) -> Iterator[str]:
        """Compare the rows of a page's entries."""
        entries = [(row.sequence, _decoded(row.entry)) for row in page]
        yield from self._keys.look(_first_uses(entries))
        for sequence, entry in entries:
            yield from self._strays(sequence)
            found = {name: [tuple(row)[1:] for row in lane.at(sequence)] for name, lane in self._lanes.items()}
            if entry is None:
                yield f"log {sequence}: it is no entry"
            else:
                yield from self._differences(sequence, entry, self._keys.key(entry.key_id), found)

    def rest(self) -> Iterator[str]:
        """Name the rows after the last entry, and the keys and handles that are gone."""
        yield from self._strays(float("inf"))
        later: list[tuple[int, ErasureFacts]] = []
        if self._keys.is_short or self._handles.is_short:
            later = list(self._later_erasures())
        for sequence, facts in later:
            yield from self._keys.erased(sequence, facts.key_ids)
        yield from self._keys.rest()
        if not later:
            # Otherwise rows were changed while they were read, and say nothing: the next audit looks at them again.
            yield from self._handles.rest()

    def _later_erasures(self) -> Iterator[tuple[int, ErasureFacts]]:
        """Give the erasures that came while the log was read."""
        begin = self._end
        while page := _page(self._engine, _LOG.where(log.c.sequence >= begin), [log.c.sequence]):
            for row in page:
                entry = _decoded(row.entry)
                if entry is not None and entry.kind == EntryKind.ERASURE:
                    yield row.sequence, ERASURE_FACTS.decode(entry.facts)
            begin = page[-1].sequence + 1

    def _strays(self, sequence: float) -> Iterator[str]:
        for name, lane in self._lanes.items():
            for stray in lane.before(sequence):
                yield f"{name} {stray}: it belongs to no entry of the log"

    def _differences(
        self, sequence: int, entry: LogEntry, key: SubjectKey | None, found: dict[str, list[tuple[Any, ...]]]
    ) -> Iterator[str]:
        handles = {handle for (handle,) in found.pop(decision_handles.name)}
        expected = _expected(entry)
        for name, rows in found.items():
            if rows != expected.get(name, []):
                yield f"{name} {sequence}: {_wrong(rows, expected.get(name, []))}"
        if entry.kind == EntryKind.DECISION:
            yield from self._handle_faults(sequence, entry, key, handles)
            return
        if handles:
            yield f"decision_handles {sequence}: it belongs to no decision"
        if entry.kind == EntryKind.ERASURE:
            self.erased = sequence + 1
            facts = ERASURE_FACTS.decode(entry.facts)
            yield from self._keys.erased(sequence, facts.key_ids)
            self._handles.erased(sequence, facts)
        elif entry.kind == EntryKind.TIMELINE:
            self.timeline = TIMELINE_FACTS.decode(entry.facts).timeline
        elif key is not None and not _opens(entry, key):
            yield f"log {sequence}: its key does not open it"

    def _handle_faults(self, sequence: int, entry: LogEntry, key: SubjectKey | None, handles: set[str]) -> Iterator[str]:
        expected = None
        if key is not None:
            try:
                tokens = open_decision(entry, key).tokens
            except ValueError:
                yield f"log {sequence}: its key does not open it"
                return
            expected = {self._secrets.token_handle(token) for token in tokens}
        yield from self._handles.decision(sequence, entry.key_id, expected, handles)


def _first_uses(entries: Iterable[tuple[int, LogEntry | None]]) -> dict[str, int]:
    """Give each key's name with the first sequence under it."""
    uses: dict[str, int] = {}
    for sequence, entry in entries:
        if entry is not None and entry.key_id:
            uses.setdefault(entry.key_id, sequence)
    return uses


def _opens(entry: LogEntry, key: SubjectKey) -> bool:
    try:
        open_event(entry, key)
    except ValueError:
        return False
    return True


def _decoded(data: bytes) -> LogEntry | None:
    try:
        entry = decode_entry(data)
        _READ[entry.kind](entry.facts)
    except ValueError:
        return None
    return entry


_READ: dict[EntryKind, Callable[[msgspec.Raw], object]] = {
    EntryKind.DECISION: DECISION_FACTS.decode,
    EntryKind.EVENT: EVENT_FACTS.decode,
    EntryKind.ERASURE: ERASURE_FACTS.decode,
    EntryKind.TIMELINE: TIMELINE_FACTS.decode,
}


def _expected(entry: LogEntry) -> dict[str, list[tuple[Any, ...]]]:
    """Give the rows that an entry must have in each table, without their sequence."""
    if entry.kind == EntryKind.DECISION:
        decision = DECISION_FACTS.decode(entry.facts)
        return {decisions.name: [_decision_row(entry, decision)], decision_reasons.name: _reason_rows(decision)}
    if entry.kind == EntryKind.EVENT:
        return {events.name: [_event_row(entry, EVENT_FACTS.decode(entry.facts))]}
    return {}


def _decision_row(entry: LogEntry, facts: DecisionFacts) -> tuple[Any, ...]:
    return (
        entry.id,
        entry.partner,
        facts.action,
        facts.purpose,
        facts.outcome,
        facts.decided_at,
        facts.dry_run,
        facts.degraded,
        facts.snapshot_version,
        entry.key_id,
    )


def _reason_rows(facts: DecisionFacts) -> list[tuple[Any, ...]]:
    return [(place, each.list, each.measure, each.effect, each.shadow) for place, each in enumerate(facts.reasons)]


def _event_row(entry: LogEntry, facts: EventFacts) -> tuple[Any, ...]:
    return (
        entry.partner,
        entry.id,
        facts.kind.value,
        facts.code,
        facts.list,
        facts.decision_id,
        facts.occurred_at_ms,
        entry.recorded_at_ms,
        facts.digest,
    )


def _wrong(found: Sequence[Any], expected: Sequence[Any]) -> str:
    if not found:
        return "it is missing"
    return "it says something else than its entry" if expected else "it belongs to no entry of its kind"
