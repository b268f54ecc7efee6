"""RegistryService over the life desk: every step of an entry's life, of many entries at once, and of a whole list."""

from __future__ import annotations

from functools import partial

from portcullis.domain.entry_life import Step, StepNote
from portcullis.domain.errors import InvalidRequest
from portcullis.domain.roles import BULK
from portcullis.gateway.admission import Caller, role_required
from portcullis.gateway.front import Front, Handlers
from portcullis.gateway.messages.entries import (
    read_draft,
    write_entry,
    write_identity,
    write_proposal,
    write_step,
    write_switch,
)
from portcullis.gateway.messages.steps import (
    MAX_IDENTIFIERS,
    read_bulk,
    read_expected,
    read_given,
    read_ground,
    read_note,
    read_query,
)
from portcullis.gateway.scopes import Scope, Scopes
from portcullis.gateway.servicers.registry import SERVICE
from portcullis.ports import LifeDesk, ListSwitch, Proposal, PutOutcome, StoredEntry
from portcullis.v1 import registry_service_pb2 as pb

MAX_PROPOSALS = 1000


class LifeServicer:
    """Answers the part of RegistryService that changes entries and lists."""

    def __init__(self, desk: LifeDesk, scopes: Scopes, front: Front) -> None:
        self._desk = desk
        self._scopes = scopes
        self._front = front

    def handlers(self) -> Handlers:
        """Give these methods."""
        unary = self._front.unary
        return {
            "PutEntry": unary(f"{SERVICE}/PutEntry", pb.PutEntryRequest, self.put_entry),
            "AddIdentifiers": unary(f"{SERVICE}/AddIdentifiers", pb.AddIdentifiersRequest, self.add_identifiers),
            "ListProposals": unary(f"{SERVICE}/ListProposals", pb.ListProposalsRequest, self.list_proposals),
            "ApproveEntry": unary(f"{SERVICE}/ApproveEntry", pb.ApproveEntryRequest, self.approve_entry),
            "RejectEntry": unary(f"{SERVICE}/RejectEntry", pb.RejectEntryRequest, self.reject_entry),
            "ReleaseEntry": unary(f"{SERVICE}/ReleaseEntry", pb.ReleaseEntryRequest, self.release_entry),
            "WithdrawEntry": unary(f"{SERVICE}/WithdrawEntry", pb.WithdrawEntryRequest, self.withdraw_entry),
            "RevealEntry": unary(f"{SERVICE}/RevealEntry", pb.RevealEntryRequest, self.reveal_entry),
            "GetEntryHistory": unary(f"{SERVICE}/GetEntryHistory", pb.GetEntryHistoryRequest, self.get_entry_history),
            "PlanBulk": unary(f"{SERVICE}/PlanBulk", pb.PlanBulkRequest, self.plan_bulk),
            "RunBulk": unary(f"{SERVICE}/RunBulk", pb.RunBulkRequest, self.run_bulk),
            "SuspendList": unary(f"{SERVICE}/SuspendList", pb.SuspendListRequest, self.suspend_list),
            "ResumeList": unary(f"{SERVICE}/ResumeList", pb.ResumeListRequest, self.resume_list),
        }

    async def put_entry(self, caller: Caller, request: pb.PutEntryRequest) -> pb.PutEntryResponse:
        """Add, amend or propose one entry."""
        put: PutOutcome = await self._scopes.on(
            caller,
            request.entry.list,
            self._desk.put_entry,
            request.entry.list,
            read_draft(request.entry),
            note=read_note(caller, request),
            expected_version=read_expected(request),
        )
        return pb.PutEntryResponse(entry=write_entry(put.entry), changed=put.changed, pending=put.pending)

    async def add_identifiers(self, caller: Caller, request: pb.AddIdentifiersRequest) -> pb.AddIdentifiersResponse:
        """Amend an entry by numbers of its subject."""
        if not 1 <= len(request.identifiers) <= MAX_IDENTIFIERS:
            raise InvalidRequest.at("identifiers", f"send 1 to {MAX_IDENTIFIERS}")
        put: PutOutcome = await self._scopes.on(
            caller,
            request.list,
            self._desk.add_identifiers,
            request.list,
            request.key,
            read_given(request.identifiers),
            note=read_note(caller, request),
            expected_version=read_expected(request),
        )
        return pb.AddIdentifiersResponse(entry=write_entry(put.entry), changed=put.changed, pending=put.pending)

    async def list_proposals(self, caller: Caller, request: pb.ListProposalsRequest) -> pb.ListProposalsResponse:
        """Give what waits for a second person; the looks are noted before."""

        def waiting(scope: Scope) -> list[Proposal]:
            found = scope.each(request.list, partial(self._desk.proposals, actor=caller.holder))
            return sorted(found, key=lambda each: each.proposed_at)[:MAX_PROPOSALS]

        found = await self._scopes.across(caller, waiting)
        return pb.ListProposalsResponse(proposals=[write_proposal(each) for each in found])

    async def approve_entry(self, caller: Caller, request: pb.ApproveEntryRequest) -> pb.ApproveEntryResponse:
        """Put a proposal in force."""
        return pb.ApproveEntryResponse(entry=write_entry(await self._step(caller, request, Step.APPROVE)))

    async def reject_entry(self, caller: Caller, request: pb.RejectEntryRequest) -> pb.RejectEntryResponse:
        """Give a proposal up."""
        return pb.RejectEntryResponse(entry=write_entry(await self._step(caller, request, Step.REJECT)))

    async def release_entry(self, caller: Caller, request: pb.ReleaseEntryRequest) -> pb.ReleaseEntryResponse:
        """End an entry before its time."""
        ground = read_ground(request.ground)
        return pb.ReleaseEntryResponse(entry=write_entry(await self._step(caller, request, Step.RELEASE, ground)))

    async def _step(
        self,
        caller: Caller,
        request: pb.ApproveEntryRequest | pb.RejectEntryRequest | pb.ReleaseEntryRequest,
        step: Step,
        ground: str = "",
    ) -> StoredEntry:
        return await self._scopes.on(
            caller,
            request.list,
            self._desk.step,
            request.list,
            request.key,
            step,
            note=read_note(caller, request, ground=ground),
            expected_version=read_expected(request),
        )

    async def withdraw_entry(self, caller: Caller, request: pb.WithdrawEntryRequest) -> pb.WithdrawEntryResponse:
        """Take an entry out of force."""
        stored = await self._scopes.on(
            caller,
            request.list,
            self._desk.withdraw,
            request.list,
            request.key,
            note=StepNote(actor=caller.holder, why=request.reason, document=request.document),
            expected_version=read_expected(request),
            in_error=request.in_error,
        )
        return pb.WithdrawEntryResponse(entry=write_entry(stored))

    async def reveal_entry(self, caller: Caller, request: pb.RevealEntryRequest) -> pb.RevealEntryResponse:
        """Give an entry with who it is about; the look is noted before."""
        stored, identity = await self._scopes.on(
            caller,
            request.list,
            self._desk.reveal,
            request.list,
            request.key,
            actor=caller.holder,
            purpose=request.purpose,
            proposed=request.proposed,
        )
        return pb.RevealEntryResponse(entry=write_identity(stored, identity))

    async def get_entry_history(self, caller: Caller, request: pb.GetEntryHistoryRequest) -> pb.GetEntryHistoryResponse:
        """Give every version of an entry; the look is noted before."""
        steps = await self._scopes.on(
            caller, request.list, self._desk.history, request.list, request.key, actor=caller.holder, purpose=request.purpose
        )
        return pb.GetEntryHistoryResponse(steps=[write_step(each) for each in steps])

    async def plan_bulk(self, caller: Caller, request: pb.PlanBulkRequest) -> pb.PlanBulkResponse:
        """Say what a step would do to every entry that a query finds."""
        step, _ = _bulk(caller, request)
        query = read_query(request.query)
        found = await self._scopes.on(caller, query.list, self._desk.plan, step, query, actor=caller.holder)
        return pb.PlanBulkResponse(
            plan=found.digest,
            entries=found.count,
            samples=[write_entry(each) for each in found.samples],
            skipped=found.skipped,
        )

    async def run_bulk(self, caller: Caller, request: pb.RunBulkRequest) -> pb.RunBulkResponse:
        """Take a step that was planned."""
        step, ground = _bulk(caller, request)
        query = read_query(request.query)
        note = read_note(caller, request, ground=ground)
        if not request.plan:
            raise InvalidRequest.at(
                "plan", "must be the plan of PlanBulk's answer: ask for it first, and look at its counts"
            )
        count = await self._scopes.on(caller, query.list, self._desk.run, step, query, digest=request.plan, note=note)
        return pb.RunBulkResponse(entries=count)

    async def suspend_list(self, caller: Caller, request: pb.SuspendListRequest) -> pb.SuspendListResponse:
        """Ask for a list to be suspended, or do it as the second person."""
        return pb.SuspendListResponse(list_switch=write_switch(await self._switch(caller, request, suspend=True)))

    async def resume_list(self, caller: Caller, request: pb.ResumeListRequest) -> pb.ResumeListResponse:
        """Ask for a list to be put back in force, or do it as the second person."""
        return pb.ResumeListResponse(list_switch=write_switch(await self._switch(caller, request, suspend=False)))

    async def _switch(
        self, caller: Caller, request: pb.SuspendListRequest | pb.ResumeListRequest, *, suspend: bool
    ) -> ListSwitch:
        note = StepNote(actor=caller.holder, why=request.reason)
        return await self._scopes.on(caller, request.list, self._desk.switch_list, request.list, suspend=suspend, note=note)


def _bulk(caller: Caller, request: pb.PlanBulkRequest | pb.RunBulkRequest) -> tuple[Step, str]:
    """Read the step of a bulk request, which not everyone may take whom the method is for."""
    step, ground = read_bulk(request.step, request.ground)
    if caller.role not in BULK[step]:
        raise role_required(f"to {step} many entries", BULK[step])
    return step, ground
