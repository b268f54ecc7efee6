"""The check desk: one check from request to answer, whichever service it came through.

Nothing here waits but the spool, and only a decision with a reason goes there: it is durable before its answer leaves
(rule 7). An ALLOW without a hit is counted and forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from portcullis.domain.clearing import Clearing
from portcullis.domain.decisions import ALLOWED, Hit, Probe, Verdict, decide
from portcullis.domain.errors import InvalidRequest, NotCovered, NotPermitted, RecordUnavailable
from portcullis.domain.identifiers import InvalidIdentifier
from portcullis.domain.plans import Plan
from portcullis.domain.policies import AttributeValue
from portcullis.domain.subjects import SubjectNames
from portcullis.domain.tokens import Tokeniser
from portcullis.gateway.answers import DecisionIds, Wording, response_of
from portcullis.gateway.requests import (
    MAX_IDENTIFIERS,
    AddProbes,
    bounded_reference,
    identifier_count,
    read_attributes,
    violations,
    wanted_locale,
    wanted_number,
)
from portcullis.gateway.short_path import split
from portcullis.gateway.views import View
from portcullis.metrics import CheckTally
from portcullis.ports import Clock, DecisionRecord, DecisionSpool, RecordedReason
from portcullis.v1 import check_service_pb2


class Answer(NamedTuple):
    """An answer and, where it gives a reason, the record that must be durable before it leaves."""

    response: check_service_pb2.CheckResponse
    record: DecisionRecord
    verdict: Verdict


class Question(NamedTuple):
    """One check as it is decided and recorded.

    ``locale`` is the language wanted of a notice; ``cleared`` are the entries that a redress number took away.
    """

    plan: Plan
    probes: Sequence[Probe]
    attributes: Mapping[str, AttributeValue]
    reference: str = ""
    dry_run: bool = False
    locale: str = ""
    cleared: tuple[int, ...] = ()


class CheckDesk:
    """Answers checks from a view. One a worker; not for several threads.

    Attributes:
        next_id: gives a fresh decision id.
    """

    def __init__(
        self,
        *,
        tokeniser: Tokeniser,
        subjects: SubjectNames,
        spool: DecisionSpool,
        clock: Clock,
        tally: CheckTally,
    ) -> None:
        self._probes: AddProbes = tokeniser.probes
        self._clearance = tokeniser.clearance
        self._subjects = subjects
        self._spool = spool
        self.clock = clock
        self._now = clock.now
        self.tally = tally
        self.next_id = DecisionIds()

    def passes(self, view: View, holder: str, body: bytes) -> bool:
        """Say that a check finds nothing, if its bytes tell so by the short path; False leaves it to `check`."""
        customer = split(body)
        if customer is None:
            return False
        kind, value, country, tail = customer
        plan = view.tails.plan((holder, tail))
        now = self._now()
        if plan is None or not plan.begins <= now < plan.ends or (view.stale and not view.stale.isdisjoint(plan.by_list)):
            return False
        probes: list[Probe] = []
        try:
            self._probes(kind, value, country, probes)
        except InvalidIdentifier:
            return False
        get = view.get
        for token, _ in probes:  # noqa: SIM110 - a generator costs as much as the look-up
            if get(token) is not None:
                return False
        return True

    def check(self, view: View, holder: str, request: check_service_pb2.CheckRequest, body: bytes = b"") -> Answer | None:
        """Decide one check; None when nothing was found, as nearly always; the caller counts it.

        ``body`` is the request's bytes where the short path may know the question next time.

        Raises:
            InvalidRequest: with every violation of the request.
            NotPermitted: outside the agreement.
            NotCovered: no list has a measure on the action.
        """
        add_probes = self._probes
        get = view.get
        clearing: Clearing | None = None
        try:
            now = self._now()
            plan = view.plans.plan(holder, request.action, request.purpose, now)
            identifiers = request.identifiers
            if not 0 < len(identifiers) <= MAX_IDENTIFIERS:
                raise InvalidRequest([identifier_count()])  # noqa: TRY301 - a call costs as much as the check
            probes: list[Probe] = []
            for each in identifiers:
                add_probes(each.kind, each.value, each.country, probes)
            attributes = plan.blank
            given = request.attributes
            if given or attributes is None:
                attributes = plan.binder.bind(read_attributes(given))
            reference = request.partner_reference
            if reference:
                bounded_reference(reference)
            if request.redress_number:
                clearing = Clearing(wanted_number(request.redress_number), probes, get, self._clearance)
                get = clearing.get
            if request.locale:
                wanted_locale(request.locale)
        except (InvalidRequest, InvalidIdentifier, NotPermitted, NotCovered) as fault:
            found = violations(request, self._probes, view.plans)
            raise (InvalidRequest(found) if found else fault) from None
        verdict = decide(plan, probes, attributes, get, now, view.stale)
        if verdict is ALLOWED:
            if body:
                view.tails.learn(holder, plan, body, request)
            return None
        cleared = clearing.entries if clearing else ()
        question = Question(plan, probes, attributes, reference, request.dry_run, request.locale, cleared)
        return self.answer(view, question, verdict, now)

    def vet(self, view: View, holder: str, request: check_service_pb2.CheckRequest) -> None:
        """Find what is wrong with a check that has to wait, before it waits.

        Raises:
            InvalidRequest: with every violation of the request.
            NotPermitted: outside the agreement.
            NotCovered: no list has a measure on the action.
        """
        found = violations(request, self._probes, view.plans)
        if found:
            raise InvalidRequest(found)
        view.plans.plan(holder, request.action, request.purpose, self._now())

    def judge(self, view: View, question: Question) -> Answer | None:
        """Decide a question that is no CheckRequest; None when nothing was found."""
        now = self._now()
        verdict = decide(question.plan, question.probes, question.attributes, view.get, now, view.stale)
        return None if verdict is ALLOWED else self.answer(view, question, verdict, now)

    def answer(self, view: View, question: Question, verdict: Verdict, now: float) -> Answer:
        """Build the answer and the record of a verdict that is no plain miss."""
        decision_id = self.next_id().decode()
        wording = Wording(self._subjects, question.plan.partner, question.plan.title, question.locale)
        response = response_of(verdict, decision_id, view.line, view.legal, wording)
        return Answer(response, _record(decision_id, view, question, verdict, now), verdict)

    async def make_durable(self, answers: Sequence[Answer]) -> None:
        """Wait until the record of every answer that gives a reason is on the disk, then count the answers.

        Raises:
            RecordUnavailable: it is not, and the answers that give a reason must not leave; the others are counted.
        """
        records = [answer.record for answer in answers if answer.record.reasons]
        if records:
            await self._append(records, answers)
        for answer in answers:
            self.tally.verdict(answer.verdict)

    async def _append(self, records: Sequence[DecisionRecord], answers: Sequence[Answer]) -> None:
        started = time.perf_counter()
        try:
            await self._spool.append(records)
        except RecordUnavailable:
            self.tally.spool_failed()
            for answer in answers:
                if not answer.record.reasons:
                    self.tally.verdict(answer.verdict)
            raise
        self.tally.spooled(len(records), time.perf_counter() - started)


def _record(decision_id: str, view: View, question: Question, verdict: Verdict, now: float) -> DecisionRecord:
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
        snapshot_version=view.version,
        registry_seq=view.edition.registry_seq,
        stale=_stale_names(plan, view),
        partner_reference=question.reference,
        tokens=tuple(token.hex() for token, _ in question.probes),
        attributes={name: value for name, value in question.attributes.items() if name in plan.looked_at},
        reasons=tuple(_recorded(hit, view) for hit in verdict.hits),
        cleared=question.cleared,
    )


def _stale_names(plan: Plan, view: View) -> tuple[str, ...]:
    """Name the lists of the plan that were past their greatest age."""
    return tuple(sorted(bound[0].list.name for number, bound in plan.by_list.items() if number in view.stale))


def _recorded(hit: Hit, view: View) -> RecordedReason:
    source, record = hit.measure.list, hit.record
    legal_basis = source.legal_basis if record is None else view.legal[record.list_number][record.legal_index].legal_basis
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
