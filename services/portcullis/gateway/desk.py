"""The check desk: one check from request to answer, whichever service it came through.

Nothing here waits but the spool, and only a decision with a reason goes there: it is durable before its answer leaves
(rule 7). An ALLOW without a hit is counted and forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from portcullis.domain.clearing import Clearing
from portcullis.domain.decisions import ALLOWED, Hit, Probe, Speaking, Verdict, decide, speaking, speaks
from portcullis.domain.errors import InvalidRequest, NotCovered, NotPermitted, RecordUnavailable
from portcullis.domain.identifiers import InvalidIdentifier
from portcullis.domain.plans import Plan
from portcullis.domain.policies import AttributeValue
from portcullis.domain.subjects import FIRST_EPOCH, SubjectNames
from portcullis.gateway.messages.answers import DecisionIds, Wording, alone, response_of
from portcullis.gateway.messages.requests import (
    IDENTIFIER_AT,
    MAX_IDENTIFIERS,
    bounded_reference,
    identifier_count,
    read_attributes,
    violations,
    wanted_locale,
    wanted_number,
)
from portcullis.gateway.quotas.finds import note_canaries, note_found
from portcullis.gateway.quotas.gate import Gate
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

    def alone(self) -> bytes:
        """Encode the response as it goes out alone or on a stream: in the size of every answer."""
        return alone(self.response)


class Question(NamedTuple):
    """One check as it is decided and recorded.

    ``locale`` is the language wanted of a notice; ``clearing`` takes away what a redress number clears.
    """

    plan: Plan
    probes: Sequence[Probe]
    attributes: Mapping[str, AttributeValue]
    reference: str = ""
    dry_run: bool = False
    locale: str = ""
    clearing: Clearing | None = None

    def meaning(self) -> tuple[Plan, Speaking]:
        """Give what the question means whoever it is about."""
        return self.plan, speaking(self.plan, self.attributes)


class CheckDesk:
    """Answers checks from a view. One a worker; not for several threads.

    Attributes:
        next_id: gives a fresh decision id.
    """

    def __init__(
        self,
        *,
        subjects: SubjectNames,
        spool: DecisionSpool,
        clock: Clock,
        tally: CheckTally,
    ) -> None:
        self._subjects = subjects
        self._spool = spool
        self.clock = clock
        self._now = clock.now
        self.tally = tally
        self.next_id = DecisionIds()

    def passes(self, view: View, holder: str, body: bytes, gate: Gate) -> bool:
        """Say that nothing speaks about a check, if its bytes tell so by the short path; False leaves it to `check`.

        What it lets pass is noted at the caller's ``gate``, and `check` notes the rest. Who is on no list, and who is on one
        that does not speak here, pass alike.
        """
        customer = split(body)
        if customer is None:
            return False
        kind, value, country, tail = customer
        meaning = view.tails.known((holder, tail))
        if meaning is None:
            return False
        plan, among = meaning
        now = self._now()
        if not plan.begins <= now < plan.ends or (view.stale and not view.stale.isdisjoint(plan.by_list)):
            return False
        probes: list[Probe] = []
        try:
            view.probes(kind, value, country, probes)
        except InvalidIdentifier:
            return False
        get = view.get
        silent = False
        for token, weak in probes:
            found = get(token)
            if found is not None:
                if speaks(found, among.weak if weak else among.exact, now):
                    return False
                silent = True
        if silent:
            note_canaries(view, gate, probes)
        gate.noted.append((kind, value, probes[0][0]))
        return True

    def check(
        self, view: View, holder: str, request: check_service_pb2.CheckRequest, gate: Gate, body: bytes = b""
    ) -> Answer | None:
        """Decide one check; None when nothing was found, as nearly always; the caller counts it.

        What was asked is noted at the caller's ``gate``. ``body`` is the request's bytes where the short path may know the
        question next time.

        Raises:
            InvalidRequest: with every violation of the request.
            NotPermitted: outside the agreement.
            NotCovered: no list has a measure on the action.
        """
        now = self._now()
        try:
            question = _read(view, holder, request, gate, now)
        except (InvalidRequest, InvalidIdentifier, NotPermitted, NotCovered) as fault:
            if isinstance(fault, InvalidIdentifier):
                gate.miswritten()
            found = violations(request, view.probes, view.plans.binder(holder, request.action, request.purpose, now))
            raise (InvalidRequest(found) if found else fault) from None
        get = question.clearing.get if question.clearing else view.get
        verdict = decide(question.plan, question.probes, question.attributes, get, now, view.stale)
        if verdict is ALLOWED:
            note_canaries(view, gate, question.probes)
            if body:
                view.tails.learn(holder, body, request, question.meaning)
            return None
        note_found(view, gate, question.probes, verdict)
        return self.answer(view, question, verdict, now)

    def vet(self, view: View, holder: str, request: check_service_pb2.CheckRequest, gate: Gate) -> None:
        """Find what is wrong with a check that has to wait, before it waits.

        An identifier that could not be what it says is noted at the caller's ``gate``, as `check` does.

        Raises:
            InvalidRequest: with every violation of the request.
            NotPermitted: outside the agreement.
            NotCovered: no list has a measure on the action.
        """
        now = self._now()
        found = violations(request, view.probes, view.plans.binder(holder, request.action, request.purpose, now))
        if found:
            if any(each.field.startswith(IDENTIFIER_AT) for each in found):
                gate.miswritten()
            raise InvalidRequest(found)
        view.plans.plan(holder, request.action, request.purpose, now)

    def judge(self, view: View, question: Question) -> Answer | None:
        """Decide a question that is no CheckRequest; None when nothing was found."""
        now = self._now()
        verdict = decide(question.plan, question.probes, question.attributes, view.get, now, view.stale)
        return None if verdict is ALLOWED else self.answer(view, question, verdict, now)

    def answer(self, view: View, question: Question, verdict: Verdict, now: float) -> Answer:
        """Build the answer and the record of a verdict that is no plain miss."""
        decision_id = self.next_id().decode()
        partner = question.plan.partner
        known = view.edition.policy.partner_named(partner)
        epoch = known.feed_epoch if known else FIRST_EPOCH
        wording = Wording(self._subjects, partner, question.plan.title, question.locale, epoch)
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


def _read(view: View, holder: str, request: check_service_pb2.CheckRequest, gate: Gate, now: float) -> Question:
    """Take a check as if it were good; raises at the first thing that is wrong with it."""
    plan = view.plans.plan(holder, request.action, request.purpose, now)
    probes = _probes(view, request, gate)
    attributes = plan.blank
    given = request.attributes
    if given or attributes is None:
        attributes = plan.binder.bind(read_attributes(given))
    reference = request.partner_reference
    if reference:
        bounded_reference(reference)
    clearing: Clearing | None = None
    if request.redress_number:
        written = [(each.kind, each.value, each.country) for each in request.identifiers]
        clearing = Clearing(wanted_number(request.redress_number), view.probe_sets(written), view.get)
    locale = request.locale
    if locale:
        wanted_locale(locale)
    return Question(plan, probes, attributes, reference, request.dry_run, locale, clearing)


def _probes(view: View, request: check_service_pb2.CheckRequest, gate: Gate) -> list[Probe]:
    identifiers = request.identifiers
    if not 0 < len(identifiers) <= MAX_IDENTIFIERS:
        raise InvalidRequest([identifier_count()])
    probes: list[Probe] = []
    add_probes = view.probes
    for each in identifiers:
        first = len(probes)
        add_probes(each.kind, each.value, each.country, probes)
        gate.noted.append((each.kind, each.value, probes[first][0]))
    return probes


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
        cleared=question.clearing.entries if question.clearing else (),
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
