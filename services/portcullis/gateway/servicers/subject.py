"""RedressService over the subject desk: who a subject is, what they may see, and who is not the subject at all."""

from __future__ import annotations

import asyncio

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from portcullis.gateway.admission import Caller
from portcullis.gateway.front import Front, Handlers
from portcullis.gateway.messages.entries import instant
from portcullis.gateway.messages.steps import read_identifier, read_locale, read_proof
from portcullis.gateway.scopes import Scope, Scopes
from portcullis.gateway.servicers.redress import SERVICE
from portcullis.ports import SubjectDesk, SubjectRecord
from portcullis.v1 import redress_service_pb2 as pb


class SubjectServicer:
    """Answers the part of RedressService about subjects."""

    def __init__(self, desk: SubjectDesk, scopes: Scopes, front: Front) -> None:
        self._desk = desk
        self._scopes = scopes
        self._front = front

    def handlers(self) -> Handlers:
        """Give these methods."""
        unary = self._front.unary
        return {
            "IssueSubjectCode": unary(f"{SERVICE}/IssueSubjectCode", pb.IssueSubjectCodeRequest, self.issue_subject_code),
            "BeginSession": unary(f"{SERVICE}/BeginSession", pb.BeginSessionRequest, self.begin_session),
            "GetMyRecord": unary(f"{SERVICE}/GetMyRecord", pb.GetMyRecordRequest, self.get_my_record),
            "IssueRedressNumber": unary(
                f"{SERVICE}/IssueRedressNumber", pb.IssueRedressNumberRequest, self.issue_redress_number
            ),
            "RevokeRedressNumber": unary(
                f"{SERVICE}/RevokeRedressNumber", pb.RevokeRedressNumberRequest, self.revoke_redress_number
            ),
            "EraseSubject": unary(f"{SERVICE}/EraseSubject", pb.EraseSubjectRequest, self.erase_subject),
        }

    async def issue_subject_code(self, caller: Caller, request: pb.IssueSubjectCodeRequest) -> pb.IssueSubjectCodeResponse:
        """Make a code. It opens the person's whole record, so it takes a key that covers every list."""
        identifier = read_identifier(request, "identifier")
        code, expires_at = await self._scopes.on(caller, "", self._desk.issue_code, identifier, actor=caller.holder)
        return pb.IssueSubjectCodeResponse(code=code, expires_at=instant(expires_at))

    async def begin_session(self, caller: Caller, request: pb.BeginSessionRequest) -> pb.BeginSessionResponse:  # noqa: ARG002
        """Exchange a proof for a session."""
        identifier, proof = read_identifier(request, "identifier"), read_proof(request.proof)
        session, expires_at = await asyncio.to_thread(self._desk.begin_session, identifier, proof)
        return pb.BeginSessionResponse(session=session, expires_at=instant(expires_at))

    async def get_my_record(self, caller: Caller, request: pb.GetMyRecordRequest) -> pb.GetMyRecordResponse:
        """Give a subject all that is kept about them."""
        locale = read_locale(request.locale)

        def record() -> SubjectRecord:
            return self._desk.record(self._desk.session(caller.session), locale=locale)

        given = await asyncio.to_thread(record)
        return pb.GetMyRecordResponse(
            record=json_format.ParseDict(dict(given.record), Struct()), text=given.text, locale=given.locale
        )

    async def issue_redress_number(
        self, caller: Caller, request: pb.IssueRedressNumberRequest
    ) -> pb.IssueRedressNumberResponse:
        """Clear a person who is mistaken for the subject of an entry."""
        mistaken, own = read_identifier(request, "mistaken"), read_identifier(request, "own")
        number, number_id = await self._scopes.on(
            caller,
            request.list,
            self._desk.issue_number,
            request.list,
            request.key,
            mistaken=mistaken,
            own=own,
            case_id=request.case_id,
            why=request.why,
            actor=caller.holder,
        )
        return pb.IssueRedressNumberResponse(redress_number=number, number_id=number_id)

    async def revoke_redress_number(
        self, caller: Caller, request: pb.RevokeRedressNumberRequest
    ) -> pb.RevokeRedressNumberResponse:
        """End a redress number."""

        def revoke(scope: Scope) -> None:
            if scope.lists:
                scope.found("number_id", lambda: self._desk.list_of_number(request.number_id), lambda name: (name,))
            self._desk.revoke_number(request.number_id, why=request.why, actor=caller.holder)

        await self._scopes.across(caller, revoke)
        return pb.RevokeRedressNumberResponse()

    async def erase_subject(self, caller: Caller, request: pb.EraseSubjectRequest) -> pb.EraseSubjectResponse:
        """Destroy what tells who somebody is, on whichever list: it takes a key that covers every one."""
        identifier = read_identifier(request, "identifier")
        erased = await self._scopes.on(caller, "", self._desk.erase, identifier, why=request.why, actor=caller.holder)
        return pb.EraseSubjectResponse(entries=erased.entries, keys=erased.keys, kept=erased.kept, left=erased.left)
