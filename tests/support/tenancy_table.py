"""What is asked of every method with names that are somebody else's, and with names that were never given out.

A row either has its asks, or says why nothing in the method's request can name what is another's. An ask makes a request of
`Names`: it is made of both kinds of names, and who asks gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from portcullis.v1 import admin_service_pb2 as admin
from portcullis.v1 import caller_service_pb2 as caller
from portcullis.v1 import check_service_pb2 as check
from portcullis.v1 import redress_service_pb2 as redress
from portcullis.v1 import registry_service_pb2 as registry
from portcullis.v1 import sharing_service_pb2 as sharing
from portcullis.v1 import types_pb2
from tests.support.people import passport, resident_id
from tests.support.staff import an_entry
from tests.support.tenants import OWN, Names, an_event, wire


class Ask(NamedTuple):
    """One question. ``alike`` says why even whose the name is gets the same answer for both, "" where they do not."""

    what: str
    requests: Callable[[Names], Sequence[Message]]
    alike: str = ""


class Row(NamedTuple):
    """A method's questions, or ``why`` there are none."""

    asks: tuple[Ask, ...] = ()
    why: str = ""


NAMING = frozenset(
    (
        *("decision_id", "event_id", "case_id", "number_id", "import_id", "key_id", "cursor", "page_token", "plan"),
        *("subject", "list", "lists", "key", "partner", "reviewer", "case_reference", "redress_number", "value", "phone"),
        *("name", "CheckRequest.action", "CheckRequest.purpose"),
    )
)
"""The fields that name what may be somebody else's: an ask of the method must set each of them."""

CONTENT = {
    "kind": "of an identifier",
    "country": "of an identifier",
    "purpose": "why one looks, or what for",
    "string_value": "of an attribute",
    "int_value": "of an attribute",
    "double_value": "of an attribute",
    "bool_value": "of an attribute",
    "partner_reference": "the caller's own",
    "reference": "the caller's own, or a document's",
    "commitment_reference": "a publisher's own",
    "url": "a publisher's own",
    "at_least_snapshot": "one number for all: the edition of the lists",
    "dry_run": "a switch",
    "locale": "a language",
    "request_id": "the caller's own",
    "first_size": "of the log, which is one for all",
    "second_size": "of the log, which is one for all",
    "why": "a reason",
    "reason": "a reason, or its code",
    "document": "of a letter",
    "evidence": "of documents",
    "note": "a remark",
    "role": "of a key",
    "proof": "a secret",
    "expected_version": "of what the other fields name",
    "page_size": "a count",
    "key_prefix": "within the list named",
    "case_reference_prefix": "within the list named",
    "seconds": "a time",
    "nanos": "a time",
    "strict": "a switch",
    "proposed": "a switch",
    "in_error": "a switch",
    "service": "of the health service",
    "pending_amendment": "output only",
    "version": "output only",
    "entry_id": "output only",
    "names": "of the subject, only written",
    "legal_basis": "of the entry",
    "redress": "of the entry",
    "measures": "of the list named",
}
"""The fields that name nothing of anybody's, and what they are."""

_WHY = "a reason"
_LIST_ONLY = "a list of its own kind of key; the key of another's entry finds nothing there"
_FREE = "what it names is not looked up when it is taken"


def _entry(request: type[Any], **more: Any) -> tuple[Ask, ...]:
    """Ask about an entry: on a list outside, and by another list's key on one's own."""
    return (
        Ask("an entry of a list outside", lambda n: [request(list=n.list, key=n.key, **more)]),
        Ask("the key of another list's entry", lambda n: [request(list=OWN, key=n.key, **more)], _LIST_ONLY),
    )


def _case(request: type[Any], **more: Any) -> tuple[Ask, ...]:
    return (
        Ask("a case", lambda n: [request(case_id=n.case_id, **more)]),
        Ask("a case from a partner's report", lambda n: [request(case_id=n.mismatch_id, **more)]),
    )


def _question(n: Names | None = None, **changes: Any) -> check.CheckRequest:
    values: dict[str, Any] = {"action": "bike.hire", "purpose": "hiring"}
    values["identifiers"] = [wire(n.person if n else resident_id(1))]
    return check.CheckRequest(**(values | changes))


def _amount(name: str) -> list[types_pb2.Attribute]:
    return [types_pb2.Attribute(name=name, string_value="no number")]


_QUESTIONS: tuple[tuple[str, Callable[[Names], check.CheckRequest], str], ...] = (
    ("somebody on a list outside", _question, "it is no list of this action's"),
    ("somebody, as its owner asks", lambda n: _question(n, action="loan.apply", purpose="lending"), ""),
    ("an action", lambda n: _question(action=n.action), "the owner's purpose is another"),
    ("an action and its purpose", lambda n: _question(action=n.action, purpose=n.purpose), ""),
    ("a purpose", lambda n: _question(action="loan.apply", purpose=n.purpose), ""),
    (
        "an attribute",
        lambda n: _question(action="loan.apply", purpose="lending", attributes=_amount(n.attribute)),
        "",
    ),
    ("an attribute of its action", lambda n: _question(action=n.action, attributes=_amount(n.attribute)), _FREE),
    ("a redress number", lambda n: _question(redress_number=n.redress_number), "without its document it does not count"),
    (
        "a redress number with its document",
        lambda n: _question(
            redress_number=n.redress_number,
            identifiers=[wire(resident_id(2)), wire(passport(1))],
        ),
        "it is of another entry",
    ),
)


def _event(n: Names, **detail: Any) -> sharing.Event:
    return an_event(n.mark, **detail)


_EVENTS: tuple[tuple[str, Callable[[Names], sharing.Event], str], ...] = (
    ("ENFORCED", lambda n: _event(n, enforced=sharing.Enforced(decision_id=n.decision_id)), ""),
    (
        "REVIEWED",
        lambda n: _event(n, reviewed=sharing.Reviewed(decision_id=n.decision_id, verdict=sharing.REVIEW_VERDICT_UPHELD)),
        "",
    ),
    (
        "OVERRIDDEN",
        lambda n: _event(
            n, overridden=sharing.Overridden(decision_id=n.decision_id, reason=sharing.OVERRIDE_REASON_EMERGENCY)
        ),
        "",
    ),
    (
        "NOTICE_SERVED",
        lambda n: _event(
            n, notice_served=sharing.NoticeServed(decision_id=n.decision_id, channel=sharing.NOTICE_CHANNEL_PAPER)
        ),
        "",
    ),
    ("IDENTITY_MISMATCH", lambda n: _event(n, identity_mismatch=sharing.IdentityMismatch(decision_id=n.decision_id)), ""),
    ("TERMINATED", lambda n: _event(n, terminated=sharing.Terminated(list="court", decision_id=n.decision_id)), ""),
    (
        "TERMINATED, a subject",
        lambda n: _event(n, terminated=sharing.Terminated(list="court", subject=n.subject)),
        _FREE,
    ),
    (
        "TERMINATED, a list",
        lambda n: _event(n, terminated=sharing.Terminated(list=n.partner_list, subject="1" * 32)),
        "",
    ),
    (
        "SETTLED, a list",
        lambda n: _event(n, settled=sharing.Settled(list=n.partner_list, case_reference="case-4")),
        "",
    ),
    (
        "SETTLED, a case reference",
        lambda n: _event(n, settled=sharing.Settled(list="court", case_reference=n.case_reference)),
        _FREE,
    ),
    (
        "SETTLEMENT_CLAIMED, a list",
        lambda n: _event(n, settlement_claimed=sharing.SettlementClaimed(list=n.partner_list, case_reference="case-4")),
        "",
    ),
    (
        "SETTLEMENT_CLAIMED, a case reference",
        lambda n: _event(n, settlement_claimed=sharing.SettlementClaimed(list="court", case_reference=n.case_reference)),
        _FREE,
    ),
    (
        "COMMITMENT_PUBLISHED, a list",
        lambda n: _event(
            n,
            commitment_published=sharing.CommitmentPublished(
                list=n.partner_list, commitment_reference="letter-1", url="https://shop.example/letter"
            ),
        ),
        "",
    ),
    (
        "an event's id",
        lambda n: an_event(n.event_id, settled=sharing.Settled(list="court", case_reference="case-2")),
        "",
    ),
)


def _in_batch(n: Names, make: Callable[[Names], sharing.Event], place: int) -> list[Message]:
    return [sharing.ReportEventsRequest(events=[_numbered(make(n), n, place)])]


def _on_stream(n: Names, make: Callable[[Names], sharing.Event], place: int) -> list[Message]:
    return [sharing.StreamEventsRequest(event=_numbered(make(n), n, place + len(_EVENTS)))]


def _numbered(event: sharing.Event, n: Names, place: int) -> sharing.Event:
    """Give each question an event of its own; that about an event's id keeps it."""
    if event.event_id == n.mark:
        event.event_id = f"{n.mark}-{place:02}"
    return event


def _events(wrapped: Callable[[Names, Callable[[Names], sharing.Event], int], list[Message]]) -> Row:
    return Row(
        tuple(
            Ask(what, lambda n, make=make, place=place: wrapped(n, make, place), alike)  # type: ignore[misc]
            for place, (what, make, alike) in enumerate(_EVENTS)
        )
    )


def _checks(wrapped: Callable[[check.CheckRequest], Message]) -> Row:
    return Row(
        tuple(
            Ask(what, lambda n, make=make: [wrapped(make(n))], alike)  # type: ignore[misc]
            for what, make, alike in _QUESTIONS
        )
    )


def _query(list_name: str) -> registry.EntryQuery:
    return registry.EntryQuery(list=list_name, key_prefix="key-2")


def _renamed(n: Names, **changes: Any) -> registry.Entry:
    return an_entry(8, **({"list": n.list, "key": n.key, "case_reference": n.case_reference} | changes))


def _opening(list_name: str) -> registry.ImportEntriesRequest:
    return registry.ImportEntriesRequest(opening=registry.ImportEntriesRequest.Opening(list=list_name))


def _rows(*entries: registry.Entry) -> registry.ImportEntriesRequest:
    return registry.ImportEntriesRequest(rows=registry.ImportEntriesRequest.Rows(entries=entries))


_PAID = {"ground": registry.RELEASE_GROUND_PAID}
_RELEASE: dict[str, Any] = {"step": registry.BULK_STEP_RELEASE, **_PAID}
_OWN_PERSON = {"identifiers": [wire(resident_id(8))]}
_SESSION = "The session says whose record it is, and nothing in the request does."
_ONE_LOG = "One log for all: that everybody is told the same of it is what shows tampering. Its proofs name nobody."
_NO_NAMES = "Nothing in the request names anything."

_CHECK: Mapping[str, Row] = {
    "CheckService/Check": _checks(lambda question: question),
    "CheckService/BatchCheck": _checks(lambda question: check.BatchCheckRequest(requests=[question])),
    "CheckService/StreamCheck": _checks(lambda question: check.StreamCheckRequest(request_id="1", check=question)),
    "CallerService/LookupCaller": Row(
        (Ask("a number on a list outside", lambda n: [caller.LookupCallerRequest(phone=n.phone)]),)
    ),
}

_SHARING: Mapping[str, Row] = {
    "SharingService/ReportEvents": _events(_in_batch),
    "SharingService/StreamEvents": _events(_on_stream),
    "SharingService/GetReceipt": Row((Ask("a receipt", lambda n: [sharing.GetReceiptRequest(event_id=n.receipt_of)]),)),
    "SharingService/GetCheckpoint": Row(why=_ONE_LOG),
    "SharingService/GetConsistencyProof": Row(why=_ONE_LOG),
    "SharingService/WatchChanges": Row(
        (
            Ask("a cursor", lambda n: [sharing.WatchChangesRequest(cursor=n.cursor)]),
            Ask("a cursor on a shared list", lambda n: [sharing.WatchChangesRequest(cursor=n.cursor, lists=["court"])]),
            Ask("a list", lambda n: [sharing.WatchChangesRequest(lists=[n.partner_list])]),
            Ask("a list among others", lambda n: [sharing.WatchChangesRequest(lists=["court", n.partner_list])]),
        )
    ),
}

_REGISTRY: Mapping[str, Row] = {
    "RegistryService/ImportEntries": Row(
        (
            Ask("a list", lambda n: [_opening(n.list)]),
            Ask(
                "rows of another list",
                lambda n: [
                    _opening(OWN),
                    _rows(_renamed(n, list=n.list, identifiers=[wire(n.person)], key=f"other-{n.key}")),
                ],
                _LIST_ONLY,
            ),
        )
    ),
    "RegistryService/ListHeldImports": Row(why=_NO_NAMES),
    "RegistryService/ApproveImport": Row(
        (Ask("an import", lambda n: [registry.ApproveImportRequest(import_id=n.import_id)]),)
    ),
    "RegistryService/RejectImport": Row(
        (Ask("an import", lambda n: [registry.RejectImportRequest(import_id=n.import_id)]),)
    ),
    "RegistryService/PutEntry": Row(
        (
            Ask(
                "an entry of a list outside",
                lambda n: [registry.PutEntryRequest(entry=_renamed(n, identifiers=[wire(n.person)]))],
            ),
            Ask(
                "an entry of another version",
                lambda n: [registry.PutEntryRequest(entry=_renamed(n, list=OWN), expected_version=7)],
                _LIST_ONLY,
            ),
        )
    ),
    "RegistryService/AddIdentifiers": Row(
        (
            *_entry(registry.AddIdentifiersRequest, **_OWN_PERSON, expected_version=7),
            Ask(
                "somebody on a list outside",
                lambda n: [registry.AddIdentifiersRequest(list=n.list, key=n.key, identifiers=[wire(n.person)])],
            ),
        )
    ),
    "RegistryService/ListProposals": Row((Ask("a list", lambda n: [registry.ListProposalsRequest(list=n.list)]),)),
    "RegistryService/ApproveEntry": Row(_entry(registry.ApproveEntryRequest)),
    "RegistryService/RejectEntry": Row(_entry(registry.RejectEntryRequest, why=_WHY)),
    "RegistryService/ReleaseEntry": Row(_entry(registry.ReleaseEntryRequest, why=_WHY, expected_version=7, **_PAID)),
    "RegistryService/WithdrawEntry": Row(_entry(registry.WithdrawEntryRequest, reason=_WHY, expected_version=7)),
    "RegistryService/RevealEntry": Row(_entry(registry.RevealEntryRequest, purpose="review")),
    "RegistryService/GetEntryHistory": Row(_entry(registry.GetEntryHistoryRequest)),
    "RegistryService/PlanBulk": Row(
        (Ask("a list", lambda n: [registry.PlanBulkRequest(**_RELEASE, query=_query(n.list))]),)
    ),
    "RegistryService/RunBulk": Row(
        (
            Ask(
                "a list and its plan",
                lambda n: [registry.RunBulkRequest(**_RELEASE, query=_query(n.list), plan="0" * 32, why=_WHY)],
            ),
            Ask(
                "a plan of another list",
                lambda n: [registry.RunBulkRequest(**_RELEASE, query=_query(OWN), plan=n.plan, why=_WHY)],
                "a plan is of one list",
            ),
        )
    ),
    "RegistryService/SuspendList": Row((Ask("a list", lambda n: [registry.SuspendListRequest(list=n.list, reason=_WHY)]),)),
    "RegistryService/ResumeList": Row((Ask("a list", lambda n: [registry.ResumeListRequest(list=n.list, reason=_WHY)]),)),
    "RegistryService/ListSettlements": Row((Ask("a list", lambda n: [registry.ListSettlementsRequest(list=n.list)]),)),
    "RegistryService/ObjectToRelease": Row(
        (
            Ask(
                "a release that waits",
                lambda n: [
                    registry.ObjectToReleaseRequest(list=n.list, key="key-3" if n.list == "court" else n.key, why=_WHY)
                ],
            ),
            *_entry(registry.ObjectToReleaseRequest, why=_WHY)[1:],
        )
    ),
    "RegistryService/GetImpact": Row(_entry(registry.GetImpactRequest)),
    "RegistryService/GetReleaseCertificate": Row(_entry(registry.GetReleaseCertificateRequest)),
    "RegistryService/RunRetention": Row(why=_NO_NAMES),
    "RegistryService/GetEntry": Row(_entry(registry.GetEntryRequest)),
    "RegistryService/ListEntries": Row(
        (
            Ask("a list", lambda n: [registry.ListEntriesRequest(list=n.list)]),
            Ask("a page of a list", lambda n: [registry.ListEntriesRequest(list=n.list, page_token=n.entries_token)]),
            Ask(
                "another list's page",
                lambda n: [registry.ListEntriesRequest(list=OWN, page_token=n.entries_token)],
                "a token is of one question",
            ),
        )
    ),
    "RegistryService/GetList": Row((Ask("a list", lambda n: [registry.GetListRequest(name=n.list)]),)),
    "RegistryService/ListLists": Row(why=_NO_NAMES),
}

_REDRESS: Mapping[str, Row] = {
    "RedressService/IssueSubjectCode": Row(
        (
            Ask(
                "somebody",
                lambda n: [redress.IssueSubjectCodeRequest(identifier=wire(n.person))],
                "a code is made for whoever stands at the counter, listed or not",
            ),
        )
    ),
    "RedressService/BeginSession": Row(
        (
            Ask(
                "somebody",
                lambda n: [redress.BeginSessionRequest(identifier=wire(n.person), proof="AAAA-AAAA-AA")],
                "the proof is wrong for both",
            ),
        )
    ),
    "RedressService/GetMyRecord": Row(why=_SESSION),
    "RedressService/OpenDispute": Row(
        (
            Ask(
                "an entry, as a subject names it",
                lambda n: [
                    redress.OpenDisputeRequest(
                        list="court", case_reference=n.case_reference, ground=redress.DISPUTE_GROUND_WRONG_FACTS
                    )
                ],
            ),
            Ask(
                "a list, as a subject names it",
                lambda n: [
                    redress.OpenDisputeRequest(
                        list=n.list, case_reference=n.case_reference, ground=redress.DISPUTE_GROUND_WRONG_FACTS
                    )
                ],
            ),
            *_entry(redress.OpenDisputeRequest, ground=redress.DISPUTE_GROUND_WRONG_FACTS),
        )
    ),
    "RedressService/AddEvidence": Row(_case(redress.AddEvidenceRequest, reference="letter/1")),
    "RedressService/AssignReviewer": Row(
        (
            *_case(redress.AssignReviewerRequest, reviewer="rita"),
            Ask(
                "a reviewer of another list",
                lambda n: [redress.AssignReviewerRequest(case_id=n.case_id, reviewer=n.reviewer)],
            ),
        )
    ),
    "RedressService/TellSource": Row(_case(redress.TellSourceRequest)),
    "RedressService/Stay": Row(_case(redress.StayRequest, why=_WHY)),
    "RedressService/LiftStay": Row(_case(redress.LiftStayRequest, why=_WHY)),
    "RedressService/ExtendDispute": Row(_case(redress.ExtendDisputeRequest, why=_WHY)),
    "RedressService/Resolve": Row(_case(redress.ResolveRequest, why=_WHY, resolution=redress.RESOLUTION_UPHELD)),
    "RedressService/GetCase": Row(_case(redress.GetCaseRequest)),
    "RedressService/ListCases": Row(
        (
            Ask("a list", lambda n: [redress.ListCasesRequest(list=n.list)]),
            Ask("a page of a list", lambda n: [redress.ListCasesRequest(list=n.list, page_token=n.cases_token)]),
            Ask(
                "another list's page",
                lambda n: [redress.ListCasesRequest(list=OWN, page_token=n.cases_token)],
                "a token is of one question",
            ),
        )
    ),
    "RedressService/IssueRedressNumber": Row(
        (
            Ask(
                "an entry of a list outside",
                lambda n: [
                    redress.IssueRedressNumberRequest(
                        list=n.list, key=n.key, mistaken=wire(n.person), own=wire(passport(2)), why=_WHY
                    )
                ],
            ),
            Ask(
                "a case of another list",
                lambda n: [
                    redress.IssueRedressNumberRequest(
                        list=OWN,
                        key="key-7",
                        mistaken=wire(resident_id(7)),
                        own=wire(passport(2)),
                        case_id=n.case_id,
                        why=_WHY,
                    )
                ],
                "a case is of one entry",
            ),
        )
    ),
    "RedressService/RevokeRedressNumber": Row(
        (Ask("a number", lambda n: [redress.RevokeRedressNumberRequest(number_id=n.number_id, why=_WHY)]),)
    ),
    "RedressService/EraseSubject": Row(
        (
            Ask(
                "somebody",
                lambda n: [redress.EraseSubjectRequest(identifier=wire(n.person), why=_WHY)],
            ),
        )
    ),
}

_ADMIN: Mapping[str, Row] = {
    "AdminService/GetStatus": Row(why=_NO_NAMES),
    "AdminService/GetDecision": Row((Ask("a decision", lambda n: [admin.GetDecisionRequest(decision_id=n.decision_id)]),)),
    "AdminService/CreateApiKey": Row(
        (
            Ask("a partner", lambda n: [admin.CreateApiKeyRequest(partner=n.partner)]),
            Ask("a list", lambda n: [admin.CreateApiKeyRequest(partner="rosa", role="auditor", lists=[n.list])]),
        )
    ),
    "AdminService/RotateApiKey": Row((Ask("a key", lambda n: [admin.RotateApiKeyRequest(key_id=n.key_id)]),)),
    "AdminService/RevokeApiKey": Row((Ask("a key", lambda n: [admin.RevokeApiKeyRequest(key_id=n.key_id)]),)),
    "AdminService/ListApiKeys": Row((Ask("a partner", lambda n: [admin.ListApiKeysRequest(partner=n.partner)]),)),
    "AdminService/ListAlarms": Row(why=_NO_NAMES),
    "AdminService/ReleaseAlarm": Row(
        (
            Ask(
                "a partner",
                lambda n: [admin.ReleaseAlarmRequest(partner=n.partner, reason=_WHY)],
            ),
        )
    ),
}

_LIBRARIES: Mapping[str, Row] = {
    "grpc.health.v1.Health/Check": Row(why="It knows services of the published contract, and nothing of callers."),
    "grpc.health.v1.Health/List": Row(why="It knows services of the published contract, and nothing of callers."),
    "grpc.health.v1.Health/Watch": Row(why="It knows services of the published contract, and nothing of callers."),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Row(why="It gives the published contract."),
}

ROWS: Mapping[str, Row] = {
    **{
        f"portcullis.v1.{name}": row
        for part in (_CHECK, _SHARING, _REGISTRY, _REDRESS, _ADMIN)
        for name, row in part.items()
    },
    **_LIBRARIES,
}
"""Every method, by its full name."""
