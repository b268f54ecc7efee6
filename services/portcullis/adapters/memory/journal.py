"""The journal in memory: the port's rules without its durability, for tests and trials."""

from __future__ import annotations

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from portcullis.adapters.journal_entries import (
    JournalSecrets,
    SubjectKey,
    decision_entry,
    erasure_entry,
    event_entry,
    is_personal,
    known_decision,
    open_decision,
    open_event,
)
from portcullis.adapters.memory.journal_kept import KeptDecision, KeptEvent, month_of, refused
from portcullis.adapters.sealed_box import BOX_KEY_BYTES
from portcullis.domain.errors import EventConflict, JournalUnavailable, NotFound, PortcullisError
from portcullis.domain.event_rules import lists_of, match_decision
from portcullis.domain.log_entries import decode_entry
from portcullis.domain.log_facts import DECISION_FACTS, EVENT_FACTS, ErasureFacts
from portcullis.domain.merkle import Frontier, leaf_hash, root_of
from portcullis.domain.shared_events import EventKind, KnownDecision, SharedEvent
from portcullis.ports import (
    NOTHING_REPORTED,
    AgreedLists,
    Clock,
    DecisionRecord,
    Erasure,
    EventsRead,
    JournalEvent,
    LogHead,
    Look,
    Receipt,
    Refusals,
    Reported,
    ReportedBy,
    StoredCheckpoint,
    StoredDecision,
)

_ORIGIN_BYTES = 16


class MemoryJournal:
    """A journal in memory. Implements `portcullis.ports.Journal`; safe for threads. Its keys live as long as it does.

    Args:
        clock: dates entries and looks.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._secrets = JournalSecrets(os.urandom(BOX_KEY_BYTES))
        self._origin = f"portcullis/journal/{os.urandom(_ORIGIN_BYTES).hex()}"
        self._log: list[tuple[bytes, bytes]] = []
        self._frontier = Frontier()
        self._tiles: defaultdict[int, list[bytes]] = defaultdict(list)
        self._checkpoints: dict[int, StoredCheckpoint] = {}
        self._keys: dict[str, SubjectKey] = {}
        self._handles: dict[str, str] = {}
        self._decisions: dict[str, KeptDecision] = {}
        self._mentions: defaultdict[str, set[str]] = defaultdict(set)
        self._events: dict[tuple[str, str], KeptEvent] = {}
        self._looks: defaultdict[str, list[Look]] = defaultdict(list)
        self._closed = False

    def record_decisions(self, records: Sequence[DecisionRecord]) -> int:
        """Take decisions in their order; those whose decision_id is there already are left out. Gives how many were new."""
        with self._writing():
            return sum(self._take_decision(record) for record in records)

    def _take_decision(self, record: DecisionRecord) -> bool:
        if record.decision_id in self._decisions:
            return False
        key = self._key_of(self._secrets.decision_handle(record))
        data = decision_entry(record, key, self._now_ms())
        sequence, _ = self._append(data)
        entry = decode_entry(data)
        facts = DECISION_FACTS.decode(entry.facts)
        self._decisions[record.decision_id] = KeptDecision(sequence, key.key_id, facts, known_decision(entry, facts))
        for token in record.tokens:
            self._mentions[self._secrets.token_handle(token)].add(record.decision_id)
        return True

    async def record_events(
        self, partner: str, events: Sequence[SharedEvent], agreed: AgreedLists | None = None
    ) -> Sequence[Receipt | PortcullisError]:
        """Take a partner's events in their order; each has its receipt or its error in its place.

        Raises:
            JournalUnavailable: the journal is closed.
        """
        if not events:
            return []
        with self._writing():
            return [
                self._take_event(partner, each, None if agreed is None else agreed.get(each.kind, ())) for each in events
            ]

    def _take_event(self, partner: str, event: SharedEvent, agreed: Collection[str] | None) -> Receipt | PortcullisError:
        earlier = self._answer_before(partner, event)
        if earlier is not None:
            return earlier
        digest = self._secrets.event_digest(event)
        decision = self._decisions.get(event.decision_id)
        known = decision.known if decision else None
        refusal = match_decision(event, known, partner, agreed) if event.decision_id else None
        if refusal is not None:
            return refusal
        at_ms = self._now_ms()
        (nonce,) = self._secrets.nonces(1)
        sequence, own = self._append(event_entry(partner, event, digest, at_ms, self._event_key(event, decision), nonce))
        receipt = Receipt(event_id=event.event_id, sequence=sequence, recorded_at_ms=at_ms, entry_hash=own)
        lists = lists_of(event, known) or ("",)
        counted = [(month_of(at_ms / 1000), name, partner, event.kind.value, event.code) for name in lists]
        self._events[partner, event.event_id] = KeptEvent(event.kind, digest, receipt, counted)
        return receipt

    def _event_key(self, event: SharedEvent, decision: KeptDecision | None) -> SubjectKey | None:
        if not is_personal(event):
            return None
        return self._key_named(decision.key_id) if decision else self._key_of(self._secrets.event_handle(event))

    def answers_before(self, partner: str, events: Sequence[SharedEvent]) -> Sequence[Receipt | EventConflict | None]:
        """Give for each event its first receipt where it was taken before, EventConflict where another of its id was."""
        with self._lock:
            return [self._answer_before(partner, each) for each in events]

    def _answer_before(self, partner: str, event: SharedEvent) -> Receipt | EventConflict | None:
        earlier = self._events.get((partner, event.event_id))
        if earlier is None:
            return None
        return earlier.receipt if earlier.digest == self._secrets.event_digest(event) else EventConflict()

    def receipt(self, partner: str, event_id: str) -> Receipt:
        """Give an event's receipt.

        Raises:
            NotFound: this partner has reported no such event.
        """
        with self._lock:
            found = self._events.get((partner, event_id))
        if found is None:
            raise NotFound("no event of yours has this id")
        return found.receipt

    def known_decision(self, decision_id: str) -> KnownDecision | None:
        """Give what the journal knows of a decision."""
        with self._lock:
            found = self._decisions.get(decision_id)
        return found.known if found else None

    def decision(self, decision_id: str, *, actor: str, purpose: str) -> StoredDecision:
        """Give one decision, and note who looked at it and why.

        Raises:
            NotFound: no such decision.
        """
        with self._lock:
            if decision_id not in self._decisions:
                raise NotFound("no decision has this id; an ALLOW without a hit is not recorded")
            self._looks[decision_id].append(Look(actor=actor, at=self._clock.now(), purpose=purpose))
            return self._opened(decision_id)

    def decisions_of(
        self, tokens: Collection[bytes], *, actor: str, purpose: str, about: tuple[str, int] | None = None
    ) -> Sequence[StoredDecision]:
        """Give every decision about the holder of one of these tokens, and note the look at each."""
        look = Look(actor=actor, at=self._clock.now(), purpose=purpose)
        with self._lock:
            handles = {self._secrets.token_handle(token.hex()) for token in tokens}
            mentioned = {each for handle in handles for each in self._mentions.get(handle, ())}
            opened = [self._opened(decision_id) for decision_id in mentioned]
            found = [each for each in opened if each.record and (about is None or about in _entries_of(each.record))]
            for each in found:
                self._looks[each.decision_id].append(look)
        return sorted(found, key=lambda each: (each.record.decided_at if each.record else 0, each.sequence))

    def _opened(self, decision_id: str) -> StoredDecision:
        kept = self._decisions[decision_id]
        key = self._key_named(kept.key_id)
        record = open_decision(decode_entry(self._log[kept.sequence][1]), key) if key else None
        return StoredDecision(sequence=kept.sequence, decision_id=decision_id, partner=kept.known.partner, record=record)

    def looks_at(self, decision_ids: Collection[str]) -> Mapping[str, Sequence[Look]]:
        """Give the looks at each of these decisions in their order."""
        with self._lock:
            return {each: tuple(self._looks.get(each, ())) for each in decision_ids}

    def events_after(self, sequence: int, wanted: Mapping[EventKind, Collection[str] | None], *, limit: int) -> EventsRead:
        """Give the events of some kinds after a sequence, and how far that was read."""
        with self._lock:
            of_kinds = [
                (kept.receipt, partner)
                for (partner, _), kept in self._events.items()
                if kept.receipt.sequence > sequence and kept.kind in wanted
            ]
            named = [each for each in of_kinds if self._names_one_of(each[0].sequence, wanted)]
            found = [self._opened_event(*each) for each in named[:limit]]
            return EventsRead(found, found[-1].sequence if len(found) == limit else max(sequence, len(self._log) - 1))

    def _names_one_of(self, sequence: int, wanted: Mapping[EventKind, Collection[str] | None]) -> bool:
        facts = EVENT_FACTS.decode(decode_entry(self._log[sequence][1]).facts)
        lists = wanted[facts.kind]
        return lists is None or facts.list in lists

    def _opened_event(self, receipt: Receipt, partner: str) -> JournalEvent:
        entry = decode_entry(self._log[receipt.sequence][1])
        key = self._key_named(entry.key_id)
        event = None if entry.key_id and key is None else open_event(entry, key)
        return JournalEvent(
            sequence=receipt.sequence, partner=partner, recorded_at=receipt.recorded_at_ms / 1000, event=event
        )

    def entries_of_decision(self, decision_id: str) -> Sequence[tuple[str, int]]:
        """Give (list, entry_id) of each entry that gave a decision a reason; no look is noted."""
        with self._lock:
            record = self._opened(decision_id).record if decision_id in self._decisions else None
        return _entries_of(record) if record else ()

    def looks(self, decision_id: str) -> Sequence[Look]:
        """Give the looks at one decision in their order."""
        with self._lock:
            return tuple(self._looks.get(decision_id, ()))

    def erase(
        self, tokens: Sequence[bytes], *, actor: str, purpose: str, reported: ReportedBy = NOTHING_REPORTED
    ) -> Erasure:
        """Destroy the keys of these tokens and of what was reported without a decision; the log tells when and by whom."""
        if not tokens:
            return Erasure(keys=0, left=0)
        with self._writing():
            handles = {self._secrets.token_handle(token.hex()) for token in tokens}
            mentioned = {each for handle in handles for each in self._mentions.get(handle, ())}
            key_ids = self._destroy(handles | self._secrets.reported_handles(reported), actor, purpose)
            for handle in handles:
                self._mentions.pop(handle, None)
            return Erasure(keys=len(key_ids), left=sum(self._decisions[each].key_id not in key_ids for each in mentioned))

    def erase_reports(self, reported: ReportedBy, *, actor: str, purpose: str, dry_run: bool = False) -> int:
        """Destroy the keys of what partners have reported without a decision; gives how many."""
        with self._writing():
            held = self._secrets.reported_handles(reported).intersection(self._keys)
            if held and not dry_run:
                self._destroy(held, actor, purpose)
            return len(held)

    def _destroy(self, handles: Collection[str], actor: str, purpose: str) -> Sequence[str]:
        """Destroy the keys of subjects, and what finds the decisions that are sealed under them; gives their names."""
        key_ids = sorted(self._keys.pop(handle).key_id for handle in handles if handle in self._keys)
        for key_id in key_ids:
            del self._handles[key_id]
        for mentioned in self._mentions.values():
            mentioned.difference_update([each for each in mentioned if self._decisions[each].key_id in key_ids])
        self._append(
            erasure_entry(ErasureFacts(key_ids=tuple(key_ids), actor=actor, purpose=purpose, blank=0), self._now_ms())
        )
        return key_ids

    def erase_quiet(self, before: Mapping[str, float], *, actor: str, dry_run: bool) -> int:
        """Destroy the keys of the subjects about whom nothing was decided since their lists' times; gives how many."""
        with self._writing():
            kept = [each for each in self._decisions.values() if each.key_id in self._handles]
            loud = {each.key_id for each in kept if each.facts.decided_at >= self._last_time(each.key_id, before)}
            quiet = {self._handles[each.key_id] for each in kept if each.key_id not in loud}
            if quiet and not dry_run:
                self._destroy(quiet, actor, "retention")
            return len(quiet)

    def _last_time(self, key_id: str, before: Mapping[str, float]) -> float:
        """Give the earliest of the times of the lists that have given a subject's decisions reasons."""
        rest = before.get("", 0)
        own = [each.facts.reasons for each in self._decisions.values() if each.key_id == key_id]
        lists = [reason.list for reasons in own for reason in reasons or ()]
        times = [before.get(name, rest) for name in lists] + [rest] * any(not reasons for reasons in own)
        return min(times)

    def origin(self) -> str:
        """Give the log's own name, which its checkpoints carry; made at random with the log."""
        return self._origin

    def timeline(self) -> str:
        """Name the log as those know it who keep places in it: what is in memory is never restored."""
        return self._origin

    def size(self) -> int:
        """Give how many entries the log has."""
        with self._lock:
            return len(self._log)

    def head(self) -> LogHead | None:
        """Give the head; None before the first entry."""
        with self._lock:
            return LogHead(self._frontier.size, self._frontier.to_bytes()) if self._log else None

    def root(self, size: int) -> bytes:
        """Give the root of the log as it had a size, from the stored hashes.

        Raises:
            HashesMissing: the log is shorter.
        """
        return root_of(self, size)

    def leaf_hashes(self, begin: int, end: int) -> Sequence[bytes]:
        """Give the leaf hashes in [begin, end); fewer where the log is shorter."""
        with self._lock:
            return [own for own, _ in self._log[begin:end]]

    def tile_hashes(self, level: int, begin: int, end: int) -> Sequence[bytes]:
        """Give the hashes of whole subtrees of 256 ** level leaves, of the numbers in [begin, end); ``level`` from 1."""
        with self._lock:
            return self._tiles[level][begin:end]

    def entries(self, begin: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Give (sequence, stored leaf hash, entry) from a sequence on, ascending."""
        with self._lock:
            begin = max(begin, 0)
            log = self._log[begin:]
        for sequence, (own, entry) in enumerate(log, start=begin):
            yield sequence, own, entry

    def index_faults(self) -> Iterator[str]:
        """Give nothing: what is derived can't be reached but through the entries."""
        return iter(())

    def checkpoint(self, size: int = 0) -> StoredCheckpoint | None:
        """Give the checkpoint of a size, 0 for the newest; None where none was signed."""
        with self._lock:
            return self._checkpoints.get(size or max(self._checkpoints, default=0))

    def checkpoints_from(self, size: int) -> Iterator[StoredCheckpoint]:
        """Give the checkpoints from a size on, ascending."""
        with self._lock:
            kept = [self._checkpoints[each] for each in sorted(self._checkpoints) if each >= size]
        return iter(kept)

    def keep_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        """Keep a checkpoint; one of the same size stays as it is."""
        with self._lock:
            self._checkpoints.setdefault(checkpoint.size, checkpoint)

    def refusals(self) -> Sequence[Refusals]:
        """Count decisions that gave an outcome other than ALLOW, ascending by every field."""
        with self._lock:
            counts = Counter(each for kept in self._decisions.values() for each in refused(kept))
        return [
            Refusals(month=month, list=name, action=action, partner=partner, outcome=outcome, count=count)
            for (month, name, action, partner, outcome), count in sorted(counts.items())
        ]

    def reported(self) -> Sequence[Reported]:
        """Count events, ascending by every field, by the month in which they were reported."""
        with self._lock:
            counts = Counter(each for event in self._events.values() for each in event.counted)
        return [
            Reported(month=month, list=name, partner=partner, kind=kind, code=code, count=count)
            for (month, name, partner, kind, code), count in sorted(counts.items())
        ]

    def close(self) -> None:
        """Take no more."""
        with self._lock:
            self._closed = True

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise JournalUnavailable
            yield

    def _append(self, entry: bytes) -> tuple[int, bytes]:
        own = leaf_hash(entry)
        for level, _, tile in self._frontier.append(own):
            self._tiles[level].append(tile)
        self._log.append((own, entry))
        return len(self._log) - 1, own

    def _key_of(self, handle: str) -> SubjectKey:
        if handle not in self._keys:
            key = self._secrets.new_key(handle, self._now_ms()).key
            self._keys[handle] = key
            self._handles[key.key_id] = handle
        return self._keys[handle]

    def _key_named(self, key_id: str) -> SubjectKey | None:
        handle = self._handles.get(key_id, "")
        return self._keys.get(handle)

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _entries_of(record: DecisionRecord) -> tuple[tuple[str, int], ...]:
    """Give (list, entry_id) of each entry that gave a reason, those in shadow left out."""
    reasons = (each for each in record.reasons if each.entry_id and not each.shadow)
    return tuple(dict.fromkeys((each.list, each.entry_id) for each in reasons))
