"""CallerService: a label for a caller's number, where the law makes the list public (rule 10)."""

from __future__ import annotations

from portcullis.domain.decisions import Probe
from portcullis.domain.errors import FieldViolation, InvalidRequest
from portcullis.domain.identifiers import InvalidIdentifier
from portcullis.domain.plans import CALL_IDENTIFY
from portcullis.domain.roles import roles_of
from portcullis.gateway.admission import Caller
from portcullis.gateway.desk import CheckDesk, Question
from portcullis.gateway.front import Context, Front, Handlers
from portcullis.gateway.messages.padding import CALLER_BYTES, CALLER_TAG, padded
from portcullis.gateway.messages.requests import MAX_NAME, parse_texts
from portcullis.gateway.quotas.finds import note_canaries, note_found
from portcullis.gateway.quotas.gate import Gate
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.quotas.turned_away import TurnedAway
from portcullis.gateway.views import Held, View
from portcullis.v1 import caller_service_pb2 as pb
from portcullis.v1 import check_service_pb2, types_pb2

SERVICE = pb.DESCRIPTOR.services_by_name["CallerService"].full_name
ROLES = roles_of(f"{SERVICE}/LookupCaller")
DEFAULT_PURPOSE = "caller-identification"


class CallerServicer:
    """Answers CallerService; its parts are those of `portcullis.gateway.servicers.check.CheckServicer`."""

    def __init__(self, held: Held, desk: CheckDesk, front: Front, gates: Gates, turned_away: TurnedAway) -> None:
        self._held = held
        self._desk = desk
        self._front = front
        self._gate_of = gates.of
        self._take = turned_away.take

    def handlers(self) -> Handlers:
        """Give the service's methods."""
        return {"LookupCaller": self._front.raw_unary(f"{SERVICE}/LookupCaller", self.lookup_caller)}

    async def lookup_caller(self, body: bytes, context: Context) -> bytes:
        """Look one number up.

        Whether a label may be shown is settled before it is known whether there is one: the refusal says nothing of it.
        """
        caller = self._front.admit(context, ROLES)
        gate = self._gate_of(caller.holder)
        self._take(gate, context)
        gate.may_show()
        found = await self._look(caller, parse_texts(pb.LookupCallerRequest, body), gate)
        return padded(found.SerializeToString(), CALLER_TAG, CALLER_BYTES)

    async def _look(self, caller: Caller, request: pb.LookupCallerRequest, gate: Gate) -> pb.LookupCallerResponse:
        view = self._held.present()
        probes = _probes(view, request, gate)
        plan = view.plans.plan(caller.holder, CALL_IDENTIFY, request.purpose or DEFAULT_PURPOSE, self._desk.clock.now())
        answer = self._desk.judge(view, Question(plan, probes, plan.binder.bind(())))
        found = pb.LookupCallerResponse(snapshot=view.line.info)
        if answer is None:
            note_canaries(view, gate, probes)
        else:
            note_found(view, gate, probes, answer.verdict)
        # No version is kept while the record is written.
        del view
        if answer is not None:
            found = _label(answer.response)
            with gate.decided():
                if found.label:
                    gate.label_shown()
                await self._desk.make_durable((answer,))
        if found.label:
            self._desk.tally.label_shown()
        else:
            self._desk.tally.lookups_empty += 1
        return found


def _probes(view: View, request: pb.LookupCallerRequest, gate: Gate) -> list[Probe]:
    if len(request.purpose) > MAX_NAME:
        raise InvalidRequest.at("purpose", f"must be at most {MAX_NAME} characters")
    probes: list[Probe] = []
    try:
        view.probes("phone", request.phone, "", probes)
    except InvalidIdentifier as fault:
        gate.miswritten()
        raise InvalidRequest([FieldViolation("phone", fault.description)]) from None
    gate.noted.append(("phone", request.phone, probes[0][0]))
    return probes


def _label(answer: check_service_pb2.CheckResponse) -> pb.LookupCallerResponse:
    found = pb.LookupCallerResponse(snapshot=answer.snapshot, degraded=answer.degraded)
    notices = [reason for reason in answer.reasons if reason.effect == types_pb2.EFFECT_NOTICE]
    if notices:
        found.label = notices[0].message
        found.reasons.extend(notices)
        found.decision_id = answer.decision_id
    return found
