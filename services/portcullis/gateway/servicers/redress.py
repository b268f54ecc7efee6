"""RedressService over the dispute desk: cases, from the objection to the decision.

Who a subject is, and what they may see, stands in `portcullis.gateway.servicers.subject`. Both wait for the database, so
they run beside the event loop. A subject's credential is proved there too, and limits them to what is about themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from portcullis.domain.errors import InvalidRequest
from portcullis.domain.roles import Role
from portcullis.gateway.admission import Caller
from portcullis.gateway.front import Front, Handlers
from portcullis.gateway.messages.cases import read_ground, read_resolution, read_state, write_case, write_own_case
from portcullis.gateway.messages.steps import read_expected
from portcullis.gateway.scopes import Scope, Scopes
from portcullis.ports import CaseView, DisputeDesk, SubjectDesk, SubjectSession
from portcullis.v1 import redress_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["RedressService"].full_name


class RedressServicer:
    """Answers the part of RedressService about cases."""

    def __init__(self, desk: DisputeDesk, subjects: SubjectDesk, scopes: Scopes, front: Front) -> None:
        self._desk = desk
        self._subjects = subjects
        self._scopes = scopes
        self._front = front

    def handlers(self) -> Handlers:
        """Give these methods."""
        unary = self._front.unary
        return {
            "OpenDispute": unary(f"{SERVICE}/OpenDispute", pb.OpenDisputeRequest, self.open_dispute),
            "AddEvidence": unary(f"{SERVICE}/AddEvidence", pb.AddEvidenceRequest, self.add_evidence),
            "AssignReviewer": unary(f"{SERVICE}/AssignReviewer", pb.AssignReviewerRequest, self.assign_reviewer),
            "TellSource": unary(f"{SERVICE}/TellSource", pb.TellSourceRequest, self.tell_source),
            "Stay": unary(f"{SERVICE}/Stay", pb.StayRequest, self.stay),
            "LiftStay": unary(f"{SERVICE}/LiftStay", pb.LiftStayRequest, self.lift_stay),
            "ExtendDispute": unary(f"{SERVICE}/ExtendDispute", pb.ExtendDisputeRequest, self.extend_dispute),
            "Resolve": unary(f"{SERVICE}/Resolve", pb.ResolveRequest, self.resolve),
            "GetCase": unary(f"{SERVICE}/GetCase", pb.GetCaseRequest, self.get_case),
            "ListCases": unary(f"{SERVICE}/ListCases", pb.ListCasesRequest, self.list_cases),
        }

    async def open_dispute(self, caller: Caller, request: pb.OpenDisputeRequest) -> pb.OpenDisputeResponse:
        """Object to an entry."""
        ground = read_ground(request.ground)
        _check_named(caller, request)

        def opened(scope: Scope) -> CaseView:
            scope.demand(request.list)
            return self._desk.open_dispute(
                list_name=request.list,
                case_reference=request.case_reference,
                key=request.key,
                ground=ground,
                evidence=list(request.evidence),
                by=self._by(caller),
            )

        return pb.OpenDisputeResponse(case=_shown(caller, await self._scopes.across(caller, opened)))

    async def add_evidence(self, caller: Caller, request: pb.AddEvidenceRequest) -> pb.AddEvidenceResponse:
        """Add the reference of a document."""
        view = await self._in_case(
            caller, request.case_id, lambda: self._desk.add_evidence(request.case_id, request.reference, by=self._by(caller))
        )
        return pb.AddEvidenceResponse(case=_shown(caller, view))

    async def assign_reviewer(self, caller: Caller, request: pb.AssignReviewerRequest) -> pb.AssignReviewerResponse:
        """Name who decides."""
        expected = read_expected(request)
        view = await self._in_case(
            caller,
            request.case_id,
            lambda: self._desk.assign(request.case_id, request.reviewer, actor=caller.holder, expected_version=expected),
        )
        return pb.AssignReviewerResponse(case=write_case(view))

    async def tell_source(self, caller: Caller, request: pb.TellSourceRequest) -> pb.TellSourceResponse:
        """Note that the authority was told."""
        view = await self._in_case(
            caller,
            request.case_id,
            lambda: self._desk.tell_source(request.case_id, document=request.document, actor=caller.holder),
        )
        return pb.TellSourceResponse(case=write_case(view))

    async def stay(self, caller: Caller, request: pb.StayRequest) -> pb.StayResponse:
        """Take the entry out of force until the case is decided."""
        return pb.StayResponse(case=write_case(await self._act(caller, request, self._desk.stay)))

    async def lift_stay(self, caller: Caller, request: pb.LiftStayRequest) -> pb.LiftStayResponse:
        """Put a stayed entry back in force."""
        return pb.LiftStayResponse(case=write_case(await self._act(caller, request, self._desk.lift)))

    async def extend_dispute(self, caller: Caller, request: pb.ExtendDisputeRequest) -> pb.ExtendDisputeResponse:
        """Put the deadline off, once."""
        return pb.ExtendDisputeResponse(case=write_case(await self._act(caller, request, self._desk.extend)))

    async def _act(
        self,
        caller: Caller,
        request: pb.StayRequest | pb.LiftStayRequest | pb.ExtendDisputeRequest,
        act: Callable[..., CaseView],
    ) -> CaseView:
        expected = read_expected(request)
        return await self._in_case(
            caller,
            request.case_id,
            lambda: act(request.case_id, why=request.why, actor=caller.holder, expected_version=expected),
        )

    async def resolve(self, caller: Caller, request: pb.ResolveRequest) -> pb.ResolveResponse:
        """Decide a case."""
        resolution, expected = read_resolution(request.resolution), read_expected(request)
        view = await self._in_case(
            caller,
            request.case_id,
            lambda: self._desk.resolve(
                request.case_id,
                resolution,
                why=request.why,
                document=request.document,
                actor=caller.holder,
                expected_version=expected,
            ),
        )
        return pb.ResolveResponse(case=write_case(view))

    async def get_case(self, caller: Caller, request: pb.GetCaseRequest) -> pb.GetCaseResponse:
        """Give a case; the look is noted."""
        view = await self._in_case(caller, request.case_id, lambda: self._desk.case(request.case_id, by=self._by(caller)))
        return pb.GetCaseResponse(case=_shown(caller, view))

    async def list_cases(self, caller: Caller, request: pb.ListCasesRequest) -> pb.ListCasesResponse:
        """Give a page of cases; the looks are noted, so a limited key asks for the cases of a list that it covers."""
        state = read_state(request.state)

        def page(scope: Scope) -> tuple[Sequence[CaseView], str]:
            return self._desk.cases(
                list_name=scope.one(request.list),
                state=state,
                page_size=request.page_size,
                page_token=request.page_token,
                actor=caller.holder,
            )

        views, token = await self._scopes.across(caller, page)
        return pb.ListCasesResponse(cases=[write_case(each) for each in views], next_page_token=token)

    async def _in_case(self, caller: Caller, case_id: str, act: Callable[[], CaseView]) -> CaseView:
        """Do something in a case, once the caller's scope covers its list."""

        def within(scope: Scope) -> CaseView:
            if scope.lists:
                scope.found("case_id", lambda: self._desk.list_of(case_id), lambda name: (name,))
            return act()

        return await self._scopes.across(caller, within)

    def _by(self, caller: Caller) -> SubjectSession | str:
        """Say who acts.

        Raises:
            Unauthenticated: the session of a subject has ended, or never was.
        """
        return self._subjects.session(caller.session) if caller.role == Role.SUBJECT else caller.holder


def _check_named(caller: Caller, request: pb.OpenDisputeRequest) -> None:
    """Let a subject name an entry by its case reference, and whoever acts on their behalf by its key.

    Raises:
        InvalidRequest: it is not named so.
    """
    if not request.list:
        raise InvalidRequest.at("list", "must name the list, as the notice and the record give it")
    if caller.role == Role.SUBJECT and (request.key or not request.case_reference):
        raise InvalidRequest.at("case_reference", "must be the authority's reference, as the notice and the record give it")
    if caller.role != Role.SUBJECT and (request.case_reference or not request.key):
        raise InvalidRequest.at("key", "must name the entry within its list; leave case_reference to the subject")


def _shown(caller: Caller, view: CaseView) -> pb.Case:
    return write_own_case(view) if caller.role == Role.SUBJECT else write_case(view)
