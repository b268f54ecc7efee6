"""What follows from partners' events: releases that wait after a settlement, cases after an identity mismatch.

The rules:

1. Events are taken over from the journal in their order. How far is kept beside what followed, by the name of the
   journal's timeline, so that another journal is read from its beginning, and one that was restored from where the backup
   ends. What is taken over twice has no further effect.
2. SETTLED lets the listed entries of its case reference wait ``settled_days`` working days of their list, counted from when
   the journal took the event, since that is when the authority could begin to object. On a list where that is 0 the
   authority alone releases, and nothing waits.
3. IDENTITY_MISMATCH opens a case on each listed entry that gave its decision a reason, or is one document more of the case
   that is open. It names the event as ``event:PARTNER/EVENT_ID``, and never stays the entry by itself.
4. What there is nothing left to follow from is passed over: an event whose key was erased, an entry or a list that is gone.
   An event is judged by a policy that is no older, or one on a list that has just been given its ``settled_days`` would be.

Example: on a Friday a shop reports a judgment as settled, on a list of three working days. The entry is released on
Wednesday at that time of day, unless the court has objected.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Final

from portcullis.domain import dispute_rules as rules
from portcullis.domain.disputes import Case, CaseKind, CaseState
from portcullis.domain.entries import LISTED
from portcullis.domain.entry_life import StepNote
from portcullis.domain.errors import InvalidRequest, NotFound, StepNotAllowed
from portcullis.domain.policies import Policy, RestrictedList
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.domain.working_days import add_working_days
from portcullis.ports import Clock, EventsRead, Journal, JournalEvent, RegistryStore, RightsStore, Settlement, StoredEntry
from portcullis.registry.disputes import RandomBytes, case_name

KEEPER: Final = "portcullis:keeper"
"""Who acts where no person does; no person's name has a colon."""

_PAGE: Final = 100
_MARKED_EVERY: Final = 1_000


class PartnerReports:
    """Takes over what partners have reported. Blocks on both databases; safe for several at once.

    Args:
        registry: the policy.
        rights: the cases and the releases that wait.
        journal: where the events are.
        clock: wall time opens cases.
        random_bytes: makes the names of cases.
    """

    def __init__(
        self,
        registry: RegistryStore,
        rights: RightsStore,
        journal: Journal,
        *,
        clock: Clock,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        self._registry = registry
        self._rights = rights
        self._journal = journal
        self._clock = clock
        self._random_bytes = random_bytes

    def take_over(self) -> int:
        """Take over the next page of the journal's events; gives how many, 0 where there is none left.

        Raises:
            RegistryUnavailable, JournalUnavailable: a database can't be used; what was not taken over is the next time.
            VersionMissed: somebody has changed a case meanwhile; likewise.
        """
        journal = self._journal.timeline()
        begin = self._rights.read_up_to(journal)
        # Asked before the policy: what is reported after it is left to the next turn, and a later policy.
        size = self._journal.size()
        policy = self._registry.policy()
        read = _before(size, self._journal.events_after(begin - 1, _wanted(policy), limit=_PAGE))
        # What settles has no effect on cases, nor they on it, so all of it is noted in one transaction.
        settled = [each for each in (_settlement(taken, policy) for taken in read.events) if each is not None]
        if settled:
            self._rights.note_settlements(settled)
        for each in read.events:
            self._follow(each, policy)
        # A log that grows by decisions alone is read again rather than written about in every turn.
        if read.events or read.up_to - begin >= _MARKED_EVERY:
            self._rights.mark_read(journal, read.up_to + 1)
        return len(read.events)

    def _follow(self, taken: JournalEvent, policy: Policy) -> None:
        event = taken.event
        if event is None or event.kind is not EventKind.IDENTITY_MISMATCH:
            return
        for list_name, entry_id in self._journal.entries_of_decision(event.decision_id):
            self._mismatched(taken, event, policy.list_named(list_name), entry_id)

    def _mismatched(self, taken: JournalEvent, event: SharedEvent, on: RestrictedList | None, entry_id: int) -> None:
        entry = self._listed(entry_id)
        if entry is None or on is None or entry.list != on.name:
            return
        reference = f"event:{taken.partner}/{event.event_id}"
        cases = [each for each in self._rights.cases_of([entry_id]) if each.kind is CaseKind.IDENTITY_MISMATCH]
        if any(document.reference == reference for each in cases for document in each.evidence):
            return
        still_open = next((each for each in cases if each.state is CaseState.OPEN), None)
        if still_open is None:
            self._open(on, entry, reference)
        else:
            self._add(still_open, reference)

    def _open(self, on: RestrictedList, entry: StoredEntry, reference: str) -> None:
        case, effect = rules.open_case(
            on,
            case_id=case_name(self._random_bytes),
            entry_id=entry.entry_id,
            kind=CaseKind.IDENTITY_MISMATCH,
            ground=None,
            evidence=(reference,),
            actor=KEEPER,
            now=self._clock.now(),
        )
        try:
            self._rights.open_case(case, effect, note=StepNote(actor=KEEPER, document=reference))
        except (NotFound, StepNotAllowed):
            # It has left its list in this moment, or another keeper was faster; that one has the event as well.
            return

    def _add(self, case: Case, reference: str) -> None:
        try:
            after, effect = rules.add_evidence(case, reference, actor=KEEPER, now=self._clock.now())
        except InvalidRequest:
            # The case is full of reports. One more says nothing new.
            return
        self._rights.keep_case(after, effect, note=StepNote(actor=KEEPER, document=reference))

    def _listed(self, entry_id: int) -> StoredEntry | None:
        try:
            entry = self._rights.entry_numbered(entry_id)
        except NotFound:
            return None
        return entry if entry.status in LISTED else None


def _settlement(taken: JournalEvent, policy: Policy) -> Settlement | None:
    """Give what an event settles; None where it is of another kind, or nothing follows from it."""
    event = taken.event
    if event is None or event.kind is not EventKind.SETTLED:
        return None
    on = policy.list_named(event.list)
    if on is None or not on.settled_days:
        return None
    return Settlement(
        list=event.list,
        case_reference=event.case_reference,
        partner=taken.partner,
        event_id=event.event_id,
        reported_at=taken.recorded_at,
        release_at=add_working_days(taken.recorded_at, on.settled_days, on.calendar),
    )


def _before(size: int, read: EventsRead) -> EventsRead:
    """Give what was read of the log's first ``size`` entries."""
    return EventsRead([each for each in read.events if each.sequence < size], min(read.up_to, size - 1))


def _wanted(policy: Policy) -> Mapping[EventKind, Collection[str] | None]:
    """Name what is followed: settlements count on the lists alone that release by themselves."""
    released = [each.name for each in policy.lists if each.settled_days]
    return {EventKind.SETTLED: released, EventKind.IDENTITY_MISMATCH: None}
