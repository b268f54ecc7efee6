"""The messages of RegistryService, made of what the registry holds and the other way round.

An entry that is given out has neither identifiers nor names; `write_identity` alone adds them.
"""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from portcullis.domain.decisions import Outcome
from portcullis.domain.entries import EntryDraft, EntryStatus, SubjectType
from portcullis.domain.entry_life import ReleaseGround
from portcullis.domain.errors import InvalidRequest
from portcullis.domain.policies import Disclosure, Measure
from portcullis.gateway.messages.answers import EFFECTS, OUTCOMES
from portcullis.gateway.messages.steps import GROUNDS, MAX_IDENTIFIERS, read_given, read_seconds
from portcullis.ports import (
    DecisionRecord,
    HeldImport,
    Impact,
    ImportReport,
    KnownIdentity,
    ListSummary,
    ListSwitch,
    PastStep,
    Proposal,
    Shrinkage,
    StoredEntry,
    WaitingRelease,
)
from portcullis.v1 import registry_service_pb2 as pb
from portcullis.v1 import types_pb2

MAX_DECISIONS = 1000
"""The most decisions of one partner that an answer holds."""

_TYPES = {
    SubjectType.PERSON: pb.SUBJECT_TYPE_PERSON,
    SubjectType.ORGANISATION: pb.SUBJECT_TYPE_ORGANISATION,
    SubjectType.VESSEL: pb.SUBJECT_TYPE_VESSEL,
    SubjectType.AIRCRAFT: pb.SUBJECT_TYPE_AIRCRAFT,
}
_TYPE_NAMES = {number: str(kind) for kind, number in _TYPES.items()}
_STATUSES = {
    EntryStatus.PROPOSED: pb.ENTRY_STATUS_PROPOSED,
    EntryStatus.IN_FORCE: pb.ENTRY_STATUS_IN_FORCE,
    EntryStatus.STAYED: pb.ENTRY_STATUS_STAYED,
    EntryStatus.RELEASED: pb.ENTRY_STATUS_RELEASED,
    EntryStatus.WITHDRAWN: pb.ENTRY_STATUS_WITHDRAWN,
    EntryStatus.IN_ERROR: pb.ENTRY_STATUS_WITHDRAWN_IN_ERROR,
    EntryStatus.REJECTED: pb.ENTRY_STATUS_REJECTED,
}
_DISCLOSURES = {
    Disclosure.PUBLIC: types_pb2.DISCLOSURE_PUBLIC,
    Disclosure.RESTRICTED: types_pb2.DISCLOSURE_RESTRICTED,
    Disclosure.AUTHORITY_ONLY: types_pb2.DISCLOSURE_AUTHORITY_ONLY,
}


def instant(at: float) -> Timestamp | None:
    """Write a time given in Unix seconds; 0 is none."""
    if not at:
        return None
    written = Timestamp()
    written.FromMilliseconds(round(at * 1e3))
    return written


def read_draft(entry: pb.Entry) -> EntryDraft:
    """Read an entry as it was sent.

    Raises:
        InvalidRequest: it has too many identifiers, or a time that is none.
    """
    if len(entry.identifiers) > MAX_IDENTIFIERS:
        raise InvalidRequest.at("entry.identifiers", f"at most {MAX_IDENTIFIERS}")
    return EntryDraft(
        key=entry.key,
        subject_type=_TYPE_NAMES.get(entry.subject_type, ""),
        identifiers=read_given(entry.identifiers),
        names=tuple(entry.names),
        legal_basis=entry.legal_basis,
        case_reference=entry.case_reference,
        purpose=entry.purpose,
        valid_from=read_seconds(entry, "valid_from", "entry"),
        until=read_seconds(entry, "until", "entry"),
        redress=entry.redress,
        measures=tuple(entry.measures),
    )


def write_entry(stored: StoredEntry) -> pb.Entry:
    """Write an entry without who it is about."""
    return pb.Entry(
        list=stored.list,
        key=stored.key,
        subject_type=_TYPES[stored.subject_type],
        legal_basis=stored.legal_basis,
        case_reference=stored.case_reference,
        purpose=stored.purpose,
        valid_from=Timestamp(seconds=stored.valid_from),
        until=Timestamp(seconds=stored.until),
        redress=stored.redress,
        measures=stored.measures,
        status=_STATUSES[stored.status],
        version=stored.version,
        entry_id=stored.entry_id,
        effective_until=instant(stored.effective_until),
        pending_amendment=stored.pending,
    )


def write_identity(stored: StoredEntry, identity: KnownIdentity) -> pb.Entry:
    """Write an entry with who it is about."""
    entry = write_entry(stored)
    for each in identity.identifiers:
        entry.identifiers.add(kind=each.kind, value=each.value, country=each.country)
    entry.names.extend(identity.names)
    return entry


def write_proposal(proposal: Proposal) -> pb.Proposal:
    """Write what waits for a second person."""
    return pb.Proposal(
        list=proposal.list,
        key=proposal.key,
        amendment=proposal.amendment,
        proposer=proposal.proposer,
        proposed_at=instant(proposal.proposed_at),
        version=proposal.version,
        proposed=write_entry(proposal.proposed),
        identifiers_added=proposal.identifiers_added,
        identifiers_removed=proposal.identifiers_removed,
    )


def write_step(step: PastStep) -> pb.EntryStep:
    """Write one version of an entry."""
    return pb.EntryStep(
        version=step.version,
        step=step.step,
        status=_STATUSES[step.status],
        at=instant(step.at),
        actor=step.actor,
        why=step.why,
        document=step.document,
        ground=GROUNDS[ReleaseGround(step.ground)] if step.ground else pb.RELEASE_GROUND_UNSPECIFIED,
        effective_until=instant(step.effective_until),
    )


def write_switch(switch: ListSwitch) -> pb.ListSwitch:
    """Write how a list stands."""
    return pb.ListSwitch(
        list=switch.list,
        suspended=switch.suspended,
        requested_by=switch.requested_by,
        requested_at=instant(switch.requested_at),
        reason=switch.reason,
    )


def write_settlement(waiting: WaitingRelease) -> pb.Settlement:
    """Write a release that waits."""
    return pb.Settlement(
        list=waiting.list,
        key=waiting.key,
        case_reference=waiting.case_reference,
        partner=waiting.partner,
        reported_at=instant(waiting.reported_at),
        release_at=instant(waiting.release_at),
    )


def write_impact(impact: Impact) -> pb.PartnerImpact:
    """Write what an entry caused at one partner; one whose record was erased is counted alone."""
    known = [each.record for each in impact.decisions if each.record is not None]
    return pb.PartnerImpact(
        partner=impact.partner,
        decisions=[_caused(each) for each in known[:MAX_DECISIONS]],
        total=len(impact.decisions),
    )


def _caused(record: DecisionRecord) -> pb.CausedDecision:
    return pb.CausedDecision(
        decision_id=record.decision_id,
        decided_at=instant(record.decided_at),
        action=record.action,
        purpose=record.purpose,
        outcome=OUTCOMES[Outcome(record.outcome)],
        partner_reference=record.partner_reference,
    )


def write_list(summary: ListSummary) -> pb.RestrictedList:
    """Write a list with its measures."""
    each = summary.list
    return pb.RestrictedList(
        name=each.name,
        title=each.title,
        authority=each.authority,
        legal_basis=each.legal_basis,
        purpose=each.purpose,
        disclosure=_DISCLOSURES[each.disclosure],
        redress_url=each.redress_url,
        measures=[_measure(measure) for measure in each.measures],
        entries=summary.in_force,
        four_eyes=each.four_eyes,
        suspended=each.suspended,
    )


def _measure(measure: Measure) -> pb.Measure:
    return pb.Measure(
        name=measure.name,
        actions=measure.actions,
        effect=EFFECTS[measure.effect],
        condition=measure.when,
        on_stale=str(measure.on_stale),
        shadow=measure.shadow,
    )


def write_report(report: ImportReport) -> pb.ImportEntriesResponse:
    """Write what an import did."""
    return pb.ImportEntriesResponse(
        added=report.counts.added,
        amended=report.counts.amended,
        unchanged=report.counts.unchanged,
        withdrawn=report.counts.withdrawn,
        rejected=report.rejected,
        errors=[
            pb.ImportEntriesResponse.RowError(row=fault.line, field=fault.field, description=fault.reason)
            for fault in report.faults
        ],
        held=report.held,
        import_id=report.import_id or 0,
        shrinkage=_shrinkage(report.shrinkage) if report.shrinkage else None,
    )


def _shrinkage(taken: Shrinkage) -> pb.Shrinkage:
    return pb.Shrinkage(lost=taken.lost, in_force=taken.in_force, guard=taken.guard)


def write_held(held: HeldImport) -> pb.HeldImport:
    """Write an import that waits for a second operator."""
    return pb.HeldImport(
        import_id=held.import_id,
        list=held.list,
        mode=pb.IMPORT_MODE_FULL if held.full else pb.IMPORT_MODE_ADDITIVE,
        importer=held.importer,
        held_at=instant(held.held_at),
        added=held.counts.added,
        amended=held.counts.amended,
        unchanged=held.counts.unchanged,
        withdrawn=held.counts.withdrawn,
        shrinkage=_shrinkage(held.shrinkage),
    )
