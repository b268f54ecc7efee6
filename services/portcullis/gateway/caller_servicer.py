"""CallerService: a label for a caller's number, where the law makes the list public (rule 10)."""

from __future__ import annotations

from portcullis.domain.decisions import Probe
from portcullis.domain.errors import FieldViolation, InvalidRequest
from portcullis.domain.identifiers import InvalidIdentifier
from portcullis.domain.plans import CALL_IDENTIFY
from portcullis.gateway.admission import Caller
from portcullis.gateway.desk import CheckDesk, Question
from portcullis.gateway.front import Front, Handlers
from portcullis.gateway.requests import MAX_NAME, AddProbes
from portcullis.gateway.views import Held
from portcullis.v1 import caller_service_pb2 as pb
from portcullis.v1 import check_service_pb2, types_pb2

SERVICE = pb.DESCRIPTOR.services_by_name["CallerService"].full_name
DEFAULT_PURPOSE = "caller-identification"


class CallerServicer:
    """Answers CallerService."""

    def __init__(self, held: Held, desk: CheckDesk, add_probes: AddProbes, front: Front) -> None:
        self._held = held
        self._desk = desk
        self._add_probes = add_probes
        self._front = front

    def handlers(self) -> Handlers:
        """Give the service's methods."""
        return {"LookupCaller": self._front.unary(f"{SERVICE}/LookupCaller", pb.LookupCallerRequest, self.lookup_caller)}

    async def lookup_caller(self, caller: Caller, request: pb.LookupCallerRequest) -> pb.LookupCallerResponse:
        """Look one number up."""
        probes = self._probes(request)
        view = self._held.present()
        plan = view.plans.plan(caller.holder, CALL_IDENTIFY, request.purpose or DEFAULT_PURPOSE, self._desk.clock.now())
        answer = self._desk.judge(view, Question(plan, probes, plan.binder.bind(())))
        found = pb.LookupCallerResponse(snapshot=view.line.info)
        # No version is kept while the record is written.
        del view
        if answer is not None:
            await self._desk.make_durable((answer,))
            found = _label(answer.response)
        if found.label:
            self._desk.tally.label_shown()
        else:
            self._desk.tally.lookups_empty += 1
        return found

    def _probes(self, request: pb.LookupCallerRequest) -> list[Probe]:
        if len(request.purpose) > MAX_NAME:
            raise InvalidRequest.at("purpose", f"must be at most {MAX_NAME} characters")
        probes: list[Probe] = []
        try:
            self._add_probes("phone", request.phone, "", probes)
        except InvalidIdentifier as fault:
            raise InvalidRequest([FieldViolation("phone", fault.description)]) from None
        return probes


def _label(answer: check_service_pb2.CheckResponse) -> pb.LookupCallerResponse:
    found = pb.LookupCallerResponse(snapshot=answer.snapshot, degraded=answer.degraded)
    notices = [reason for reason in answer.reasons if reason.effect == types_pb2.EFFECT_NOTICE]
    if notices:
        found.label = notices[0].message
        found.reasons.extend(notices)
        found.decision_id = answer.decision_id
    return found
