"""The check desk: one check from request to answer, whichever service it came through.

Nothing here waits but the journal, and only a decision with a reason goes there: it is durable before its answer leaves
(rule 7). An ALLOW without a hit is counted and forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from portcullis.domain.decisions import ALLOWED, Hit, Probe, Verdict, decide
from portcullis.domain.errors import InvalidRequest, NotCovered, NotPermitted, RecordUnavailable
from portcullis.domain.identifiers import InvalidIdentifier
from portcullis.domain.plans import Plan
from portcullis.domain.policies import AttributeValue
from portcullis.domain.tokens import Tokeniser
from portcullis.gateway.answers import SnapshotLine, decision_ids, response_of
from portcullis.gateway.compiled import CompiledEdition, Held
from portcullis.gateway.requests import AddProbes, check_references, read_attributes, read_probes, violations
from portcullis.metrics import CheckTally
from portcullis.metrics.catalogue import SAMPLE_EVERY
from portcullis.ports import Clock, DecisionRecord, Journal, RecordedReason
from portcullis.v1 import check_service_pb2


class Answer(NamedTuple):
    """An answer and, where it gives a reason, the record that must be durable before it leaves."""

    response: check_service_pb2.CheckResponse
    record: DecisionRecord


class Question(NamedTuple):
    """One check as it is decided and recorded."""

    plan: Plan
    probes: Sequence[Probe]
    attributes: Mapping[str, AttributeValue]
    reference: str = ""
    dry_run: bool = False


class CheckDesk:
    """Answers checks from the version that a transaction holds. One a worker; not for several threads."""

    def __init__(
        self,
        *,
        held: Held,
        tokeniser: Tokeniser,
        journal: Journal,
        clock: Clock,
        tally: CheckTally,
        ids: Iterator[bytes] | None = None,
        allow_cache_ttl_s: float = 0.0,
    ) -> None:
        self._replica = held.replica
        self._probes: AddProbes = tokeniser.probes
        self._journal = journal
        self.clock = clock
        self._now = clock.now
        self.tally = tally
        self._ids = decision_ids() if ids is None else ids
        self._allow_cache_ttl_s = allow_cache_ttl_s
        self._line: SnapshotLine | None = None
        self._age_s = float("inf")

    def look(self) -> None:
        """Let the next answers carry the snapshot's present age; called a few dozen times a second."""
        self._line = None

    def line(self, compiled: CompiledEdition) -> SnapshotLine:
        """Give the snapshot's part of an answer."""
        line = self._line
        if line is None or line.version != compiled.version:
            self._age_s = self._replica.vouched_age_s()
            line = self._line = SnapshotLine(compiled.edition, self._age_s, self._allow_cache_ttl_s)
        return line

    def check(
        self,
        compiled: CompiledEdition,
        line: SnapshotLine,
        get: Callable[[bytes], bytes | None],
        holder: str,
        request: check_service_pb2.CheckRequest,
    ) -> Answer | None:
        """Decide one check; None when nothing was found, which is what nearly always happens.

        Raises:
            InvalidRequest: with every violation of the request.
            NotPermitted: outside the agreement.
            NotCovered: no list has a measure on the action.
        """
        tally = self.tally
        sampled = not tally.allowed % SAMPLE_EVERY
        started = time.perf_counter() if sampled else 0.0
        try:
            now = self._now()
            plan = compiled.plans.plan(holder, request.action, request.purpose, now)
            probes = read_probes(self._probes, request)
            attributes = plan.blank
            given = request.attributes
            if given or attributes is None:
                attributes = plan.binder.bind(read_attributes(given))
            reference = request.partner_reference
            wanted = request.at_least_snapshot
            if reference or wanted:
                check_references(reference, wanted)
        except (InvalidRequest, InvalidIdentifier, NotPermitted, NotCovered) as fault:
            found = violations(request, self._probes, compiled.plans)
            raise (InvalidRequest(found) if found else fault) from None
        verdict = decide(plan, probes, attributes, get, now, self._age_s)
        if sampled:
            tally.observe(time.perf_counter() - started)
        if verdict is ALLOWED:
            tally.allowed += 1
            return None
        question = Question(plan, probes, attributes, reference, request.dry_run)
        return self.answer(compiled, line, question, verdict, now)

    def next_id(self) -> bytes:
        """Give a fresh decision id."""
        return next(self._ids)

    def judge(
        self, compiled: CompiledEdition, line: SnapshotLine, get: Callable[[bytes], bytes | None], question: Question
    ) -> Answer | None:
        """Decide a question that is no CheckRequest; None when nothing was found."""
        now = self._now()
        verdict = decide(question.plan, question.probes, question.attributes, get, now, self._age_s)
        return None if verdict is ALLOWED else self.answer(compiled, line, question, verdict, now)

    def answer(
        self, compiled: CompiledEdition, line: SnapshotLine, question: Question, verdict: Verdict, now: float
    ) -> Answer:
        """Build the answer and the record of a verdict that is no plain miss."""
        decision_id = next(self._ids).decode()
        self.tally.verdict(verdict)
        response = response_of(verdict, decision_id, line, compiled.edition.legal)
        return Answer(response, _record(decision_id, compiled, question, verdict, now))

    async def make_durable(self, answers: Sequence[Answer]) -> None:
        """Wait until the record of every answer that gives a reason is on the disk.

        Raises:
            RecordUnavailable: it is not, and the answers must not leave.
        """
        records = [answer.record for answer in answers if answer.record.reasons]
        if not records:
            return
        started = time.perf_counter()
        try:
            await self._journal.append(records)
        except RecordUnavailable:
            self.tally.journal_failed()
            raise
        self.tally.journalled(len(records), time.perf_counter() - started)


def _record(decision_id: str, compiled: CompiledEdition, question: Question, verdict: Verdict, now: float) -> DecisionRecord:
    plan = question.plan
    return DecisionRecord(
        decision_id=decision_id,
        decided_at=now,
        partner=plan.partner,
        action=plan.action,
        purpose=plan.purpose,
        outcome=str(verdict.outcome),
        shadow_outcome=str(verdict.shadow_outcome or ""),
        degraded=verdict.degraded,
        dry_run=question.dry_run,
        snapshot_version=compiled.version,
        partner_reference=question.reference,
        tokens=tuple(token.hex() for token, _ in question.probes),
        attributes={name: value for name, value in question.attributes.items() if name in plan.looked_at},
        reasons=tuple(_recorded(hit, compiled) for hit in verdict.hits),
    )


def _recorded(hit: Hit, compiled: CompiledEdition) -> RecordedReason:
    source, record = hit.measure.list, hit.record
    legal_basis = source.legal_basis if record is None else compiled.edition.legal[record.legal_index].legal_basis
    return RecordedReason(
        list=source.name,
        measure=hit.measure.name,
        effect=str(hit.effect),
        authority=source.authority,
        legal_basis=legal_basis,
        case_reference=record.case_reference if record else "",
        entry_id=record.entry_id if record else 0,
        until=record.until if record else 0,
        weak=hit.weak,
        shadow=hit.measure.shadow,
    )
