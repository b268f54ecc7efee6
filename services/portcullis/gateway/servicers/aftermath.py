"""RegistryService over the aftermath desk: what follows when an entry ends."""

from __future__ import annotations

from portcullis.gateway.admission import Caller
from portcullis.gateway.front import Front, Handlers
from portcullis.gateway.messages.entries import write_impact, write_settlement
from portcullis.gateway.messages.steps import read_note
from portcullis.gateway.scopes import Scope, Scopes
from portcullis.gateway.servicers.registry import SERVICE
from portcullis.ports import AftermathDesk, WaitingRelease
from portcullis.v1 import registry_service_pb2 as pb

MAX_SETTLEMENTS = 1000


class AftermathServicer:
    """Answers the part of RegistryService about releases that wait, harm done, proof of the end, and what is kept."""

    def __init__(self, desk: AftermathDesk, scopes: Scopes, front: Front) -> None:
        self._desk = desk
        self._scopes = scopes
        self._front = front

    def handlers(self) -> Handlers:
        """Give these methods."""
        unary = self._front.unary
        return {
            "ListSettlements": unary(f"{SERVICE}/ListSettlements", pb.ListSettlementsRequest, self.list_settlements),
            "ObjectToRelease": unary(f"{SERVICE}/ObjectToRelease", pb.ObjectToReleaseRequest, self.object_to_release),
            "GetImpact": unary(f"{SERVICE}/GetImpact", pb.GetImpactRequest, self.get_impact),
            "GetReleaseCertificate": unary(
                f"{SERVICE}/GetReleaseCertificate", pb.GetReleaseCertificateRequest, self.get_release_certificate
            ),
            "RunRetention": unary(f"{SERVICE}/RunRetention", pb.RunRetentionRequest, self.run_retention),
        }

    async def list_settlements(self, caller: Caller, request: pb.ListSettlementsRequest) -> pb.ListSettlementsResponse:
        """Give the releases that wait."""

        def waiting(scope: Scope) -> list[WaitingRelease]:
            found = scope.each(request.list, self._desk.settlements)
            return sorted(found, key=lambda each: each.release_at)[:MAX_SETTLEMENTS]

        found = await self._scopes.across(caller, waiting)
        return pb.ListSettlementsResponse(settlements=[write_settlement(each) for each in found])

    async def object_to_release(self, caller: Caller, request: pb.ObjectToReleaseRequest) -> pb.ObjectToReleaseResponse:
        """Stop a release."""
        note = read_note(caller, request)
        await self._scopes.on(caller, request.list, self._desk.object_to, request.list, request.key, note=note)
        return pb.ObjectToReleaseResponse()

    async def get_impact(self, caller: Caller, request: pb.GetImpactRequest) -> pb.GetImpactResponse:
        """Give the decisions that an entry has caused; the look is noted before."""
        found = await self._scopes.on(
            caller, request.list, self._desk.impact, request.list, request.key, actor=caller.holder, purpose=request.purpose
        )
        return pb.GetImpactResponse(partners=[write_impact(each) for each in found])

    async def get_release_certificate(
        self, caller: Caller, request: pb.GetReleaseCertificateRequest
    ) -> pb.GetReleaseCertificateResponse:
        """Give the certificate, or say who may still hold the entry."""
        given = await self._scopes.on(caller, request.list, self._desk.certificate, request.list, request.key)
        return pb.GetReleaseCertificateResponse(certificate=given.text, waiting_for=given.waiting_for)

    async def run_retention(self, caller: Caller, request: pb.RunRetentionRequest) -> pb.RunRetentionResponse:
        """Remove what is no longer kept, and report what that was."""
        removed = await self._scopes.on(caller, "", self._desk.retain, actor=caller.holder, dry_run=request.dry_run)
        return pb.RunRetentionResponse(
            removed=[
                pb.RunRetentionResponse.Removed(list=each.list, kind=each.kind, count=each.count)
                for each in sorted(removed, key=lambda each: (each.list, each.kind))
                if each.count
            ]
        )
