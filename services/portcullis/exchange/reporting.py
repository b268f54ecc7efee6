"""The report desk: takes what partners report into the journal, under their agreements, and proves that it is there.

An event may be about a decision whose record is still on its way from a gateway's spool, as a rule for some tens of
milliseconds. So an event whose decision is not known is tried again for a moment, by itself: the other events of the batch
are durable by then.

What may not be reported is still looked up: a partner whose answer was lost asks again, maybe after its agreement has ended,
and gets its first receipt for as long as the log is kept.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from portcullis.domain.errors import DecisionUnknown, InvalidRequest, JournalUnavailable, PortcullisError
from portcullis.domain.event_rules import agreed_lists, check_event, is_event_id, permit_kind, permit_list
from portcullis.domain.policies import Policy
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.exchange.proving import Prover
from portcullis.ports import AgreedLists, Clock, Journal, Receipt, StoredCheckpoint

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25

Outcome = Receipt | PortcullisError

_TAKEN: Final = DecisionUnknown()
"""Holds the place of an event that is about to be recorded: what became of it takes the place."""


class EventDesk:
    """Implements `portcullis.ports.ReportDesk`.

    Args:
        journal: where events become durable.
        prover: proves that they are in the log.
        clock: wall time for the rules, monotonic time for patience.
        patience_s: how long an event's decision is waited for.
    """

    def __init__(self, journal: Journal, prover: Prover, clock: Clock, *, patience_s: float = 2.0) -> None:
        self._journal = journal
        self._prover = prover
        self._clock = clock
        self._patience_s = patience_s

    async def report(
        self,
        policy: Policy,
        partner: str,
        events: Sequence[SharedEvent | PortcullisError],
        *,
        within_s: float = math.inf,
    ) -> Sequence[Outcome]:
        """Take events in their order, under the policy's agreements; what is an error already stays one, in its place.

        An event whose decision is not in the journal yet is waited for a moment, and no longer than ``within_s`` seconds.

        Raises:
            JournalUnavailable: none of the events can be recorded just now.
        """
        deadline = self._clock.monotonic() + min(self._patience_s, within_s)
        rules = _Rules(policy, partner, self._clock.now())
        answers: list[Outcome] = []
        taken: dict[int, SharedEvent] = {}
        refused: dict[int, SharedEvent] = {}
        for place, event in enumerate(events):
            if isinstance(event, PortcullisError):
                answers.append(event)
                continue
            fault = rules.forbid(event)
            if fault is None:
                taken[place] = event
            elif is_event_id(event.event_id):
                refused[place] = event
            answers.append(fault or _TAKEN)
        await self._recognise(partner, refused, answers)
        agreed = rules.agreed({each.kind for each in taken.values() if each.decision_id})
        await self._record(partner, taken, answers, agreed)
        await self._await_decisions(partner, taken, answers, agreed, deadline=deadline)
        return answers

    async def receipt(self, partner: str, event_id: str) -> tuple[Receipt, StoredCheckpoint | None, Sequence[bytes]]:
        """Give a receipt, and the newest checkpoint with the inclusion proof; None and nothing where none covers it yet.

        Raises:
            NotFound: this partner has reported no such event.
            JournalUnavailable: the journal can't be read.
        """
        return await asyncio.to_thread(self._proven, partner, event_id)

    async def checkpoint(self) -> StoredCheckpoint | None:
        """Give the newest checkpoint; None while there is none."""
        return await asyncio.to_thread(self._prover.newest)

    async def consistency(self, first_size: int, second_size: int) -> tuple[StoredCheckpoint, Sequence[bytes]]:
        """Prove that the log of the second size (0: of the newest checkpoint) adds to that of the first.

        Raises:
            InvalidRequest: a size is less than 1, larger than the newest checkpoint, or the first is larger than the second.
            JournalUnavailable: the journal can't be read.
        """
        return await asyncio.to_thread(self._prover.consistency, first_size, second_size)

    def _proven(self, partner: str, event_id: str) -> tuple[Receipt, StoredCheckpoint | None, Sequence[bytes]]:
        receipt = self._journal.receipt(partner, event_id)
        checkpoint, hashes = self._prover.inclusion(receipt.sequence)
        return receipt, checkpoint, hashes

    async def _recognise(self, partner: str, refused: dict[int, SharedEvent], answers: list[Outcome]) -> None:
        """Answer as before what was taken before it was forbidden: an agreement may have ended since, or a year passed."""
        if not refused:
            return
        earlier = await asyncio.to_thread(self._journal.answers_before, partner, list(refused.values()))
        for place, answer in zip(refused, earlier, strict=True):
            answers[place] = answer or answers[place]

    async def _record(
        self, partner: str, taken: dict[int, SharedEvent], answers: list[Outcome], agreed: AgreedLists
    ) -> None:
        """Record events and put what became of them in their places."""
        if not taken:
            return
        outcomes = await self._journal.record_events(partner, list(taken.values()), agreed)
        for place, outcome in zip(taken, outcomes, strict=True):
            answers[place] = outcome

    async def _await_decisions(
        self,
        partner: str,
        taken: dict[int, SharedEvent],
        answers: list[Outcome],
        agreed: AgreedLists,
        *,
        deadline: float,
    ) -> None:
        """Try events of decisions that are unknown again, until they are known or the patience is over."""
        for pause in _pauses():
            pending = {place: event for place, event in taken.items() if isinstance(answers[place], DecisionUnknown)}
            patience = deadline - self._clock.monotonic()
            if not pending or patience <= 0:
                return
            await asyncio.sleep(min(pause, patience))
            try:
                await self._record(partner, pending, answers, agreed)
            except JournalUnavailable:
                # What is durable already is acknowledged; these keep an answer that asks for them again.
                return


class _Rules:
    """What is asked of the events of one call. What the agreements say of a kind and a list is looked up once."""

    def __init__(self, policy: Policy, partner: str, now: float) -> None:
        self._policy = policy
        self._partner = partner
        self._now = now
        self._permits: dict[tuple[EventKind, str], PortcullisError | None] = {}

    def forbid(self, event: SharedEvent) -> PortcullisError | None:
        """Say why an event is not even recorded; None when it is to be."""
        violations = check_event(event, self._now)
        if violations:
            return InvalidRequest(violations)
        about = event.kind, event.list
        if about not in self._permits:
            permit = permit_list if event.list else permit_kind
            self._permits[about] = permit(event, self._policy, self._partner, self._now)
        return self._permits[about]

    def agreed(self, kinds: Collection[EventKind]) -> AgreedLists:
        """Give the lists that these kinds of events may be reported about."""
        return {kind: agreed_lists(kind, self._policy, self._partner, self._now) for kind in kinds}


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE_S)
