"""AdminService: the gateway's state, decisions' records and API keys."""

from __future__ import annotations

from functools import partial

import msgspec
import structlog
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.config import Transport
from portcullis.domain.alarms import Alarm, Board
from portcullis.domain.decisions import Outcome
from portcullis.domain.entry_rules import is_plain_text
from portcullis.domain.errors import InvalidRequest, NotFound
from portcullis.domain.roles import Role
from portcullis.gateway.admission import Caller
from portcullis.gateway.front import Front, Handlers
from portcullis.gateway.messages.answers import OUTCOMES
from portcullis.gateway.scopes import Scope, Scopes
from portcullis.gateway.views import Held
from portcullis.ports import AlarmBoard, ApiKey, ApiKeyDesk, Clock, Journal, StoredDecision
from portcullis.v1 import admin_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["AdminService"].full_name
_INQUIRY = "{} inquiry over gRPC"
MAX_REASON = 500
"""The most characters of a release's reason."""
_log = structlog.get_logger(__name__)


class AdminServicer:
    """Answers AdminService."""

    def __init__(
        self,
        *,
        held: Held,
        keys: ApiKeyDesk,
        journal: Journal,
        alarms: AlarmBoard,
        scopes: Scopes,
        front: Front,
        transport: Transport,
        clock: Clock,
    ) -> None:
        self._held = held
        self._scopes = scopes
        self._keys = keys
        self._journal = journal
        self._alarms = alarms
        self._now = clock.now
        self._front = front
        self._transport = transport

    def handlers(self) -> Handlers:
        """Give the service's methods."""
        unary = self._front.unary
        return {
            "GetStatus": unary(f"{SERVICE}/GetStatus", pb.GetStatusRequest, self.get_status),
            "GetDecision": unary(f"{SERVICE}/GetDecision", pb.GetDecisionRequest, self.get_decision),
            "CreateApiKey": unary(f"{SERVICE}/CreateApiKey", pb.CreateApiKeyRequest, self.create_api_key),
            "RotateApiKey": unary(f"{SERVICE}/RotateApiKey", pb.RotateApiKeyRequest, self.rotate_api_key),
            "RevokeApiKey": unary(f"{SERVICE}/RevokeApiKey", pb.RevokeApiKeyRequest, self.revoke_api_key),
            "ListApiKeys": unary(f"{SERVICE}/ListApiKeys", pb.ListApiKeysRequest, self.list_api_keys),
            "ListAlarms": unary(f"{SERVICE}/ListAlarms", pb.ListAlarmsRequest, self.list_alarms),
            "ReleaseAlarm": unary(f"{SERVICE}/ReleaseAlarm", pb.ReleaseAlarmRequest, self.release_alarm),
        }

    async def get_status(self, caller: Caller, request: pb.GetStatusRequest) -> pb.GetStatusResponse:  # noqa: ARG002
        """Say what this gateway serves from."""
        view = self._held.view
        if view is None:
            return pb.GetStatusResponse(transport=self._transport)
        edition = view.edition
        return pb.GetStatusResponse(
            snapshot=view.line.info,
            transport=self._transport,
            records=edition.records,
            lists=len(edition.policy.lists),
            partners=len(edition.policy.partners),
        )

    async def get_decision(self, caller: Caller, request: pb.GetDecisionRequest) -> pb.GetDecisionResponse:
        """Give the record of one decision; the look is noted."""

        def decision(scope: Scope) -> StoredDecision:
            purpose = _INQUIRY.format(caller.role)
            look = partial(self._journal.decision, request.decision_id, actor=caller.holder, purpose=purpose)
            return scope.found("decision_id", look, _lists_of)

        return _decision(await self._scopes.across(caller, decision))

    async def create_api_key(self, caller: Caller, request: pb.CreateApiKeyRequest) -> pb.CreateApiKeyResponse:
        """Make a key. Who may act on some lists alone makes none: it might open others."""
        made, key = await self._scopes.on(
            caller,
            "",
            self._keys.create,
            request.partner,
            request.role or Role.PARTNER,
            request.note,
            actor=caller.holder,
            lists=tuple(request.lists),
            expires_at=_moment(request.expires_at) if request.HasField("expires_at") else None,
        )
        return pb.CreateApiKeyResponse(key_id=made.key_id, key=key)

    async def rotate_api_key(self, caller: Caller, request: pb.RotateApiKeyRequest) -> pb.RotateApiKeyResponse:
        """Make a key's successor. Who may act on some lists alone makes none: it might open others."""
        made, key = await self._scopes.on(
            caller,
            "",
            self._keys.rotate,
            request.key_id,
            overlap_s=request.overlap.seconds + request.overlap.nanos / 1e9,
            actor=caller.holder,
            expires_at=_moment(request.expires_at) if request.HasField("expires_at") else None,
        )
        return pb.RotateApiKeyResponse(key_id=made.key_id, key=key)

    async def revoke_api_key(self, caller: Caller, request: pb.RevokeApiKeyRequest) -> pb.RevokeApiKeyResponse:
        """End a key. Who may act on some lists alone ends none: it might be somebody else's for others."""
        await self._scopes.on(caller, "", self._keys.revoke, request.key_id, actor=caller.holder)
        return pb.RevokeApiKeyResponse()

    async def list_api_keys(self, caller: Caller, request: pb.ListApiKeysRequest) -> pb.ListApiKeysResponse:
        """Give a partner's keys. They tell who else works on which lists, so it takes a key that covers every one."""
        keys = await self._scopes.on(caller, "", self._keys.list, request.partner or None)
        return pb.ListApiKeysResponse(keys=[_key(each) for each in keys])

    async def list_alarms(self, caller: Caller, request: pb.ListAlarmsRequest) -> pb.ListAlarmsResponse:  # noqa: ARG002
        """Give the alarms. They are of partners, not of lists, so it takes a key that covers every list."""
        board = await self._scopes.on(caller, "", self._alarms.look)
        return pb.ListAlarmsResponse(alarms=[_alarm(each, board) for each in board.seen(self._now())])

    async def release_alarm(self, caller: Caller, request: pb.ReleaseAlarmRequest) -> pb.ReleaseAlarmResponse:
        """Release a partner; it takes a key that covers every list, as above."""
        why = request.reason.strip()
        if not 1 <= len(why) <= MAX_REASON or not is_plain_text(why):
            raise InvalidRequest.at("reason", f"say why in one line of 1 to {MAX_REASON} characters, without personal data")

        def release() -> None:
            view = self._held.view
            known = {each.name for each in view.edition.policy.partners} if view else set()
            if request.partner not in known | {each.partner for each in self._alarms.look().alarms}:
                raise NotFound("partner: no partner has this name; ListAlarms gives those with an alarm")
            self._alarms.release(request.partner, by=caller.holder, at=self._now(), why=why)

        await self._scopes.on(caller, "", release)
        # Why stands on the board: somebody's own words have no place in a log, for they may name a customer.
        _log.warning("partner released", partner=request.partner, by=caller.holder)
        return pb.ReleaseAlarmResponse()


def _alarm(alarm: Alarm, board: Board) -> pb.Alarm:
    release = board.released(alarm)
    return pb.Alarm(
        partner=alarm.partner,
        level=alarm.level,
        signs=alarm.signs,
        raised_at=Timestamp(seconds=int(alarm.raised_at)),
        until=Timestamp(seconds=int(alarm.until)),
        gateway=alarm.gateway,
        probes=alarm.probes,
        released_by=release.by if release else "",
    )


def _lists_of(stored: StoredDecision) -> list[str]:
    return [reason.list for reason in stored.record.reasons] if stored.record else []


def _decision(stored: StoredDecision) -> pb.GetDecisionResponse:
    record = stored.record
    if record is None:
        raise NotFound("who this decision was about was erased on request; the log still proves that it was made")
    # The tokens stand for the person's identifiers; an operator who looks at a decision has no need of them.
    shown = {name: value for name, value in msgspec.to_builtins(record).items() if name != "tokens"}
    response = pb.GetDecisionResponse(
        decision_id=record.decision_id,
        partner=record.partner,
        action=record.action,
        purpose=record.purpose,
        outcome=OUTCOMES[Outcome(record.outcome)],
        snapshot_version=str(record.snapshot_version),
        record=json_format.ParseDict(shown, Struct()),
    )
    response.decided_at.FromNanoseconds(int(record.decided_at * 1e9))
    return response


def _moment(given: Timestamp) -> float:
    return given.seconds + given.nanos / 1e9


def _key(key: ApiKey) -> pb.ApiKey:
    shown = pb.ApiKey(
        key_id=key.key_id,
        partner=key.holder,
        note=key.note,
        created_at=Timestamp(seconds=int(key.created_at)),
        role=key.role,
        lists=key.lists,
        successor=key.successor,
    )
    if key.expires_at is not None:
        shown.expires_at.seconds = int(key.expires_at)
    if key.revoked_at is not None:
        shown.revoked_at.seconds = int(key.revoked_at)
    return shown
