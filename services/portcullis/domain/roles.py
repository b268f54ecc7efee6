"""Roles: who may call which method of the API. One table: a method without a row there can't be served.

Partner.            Asks and reports within its agreements.
Authority editor.   Keeps the entries of an authority's lists.
Authority approver. Is the second person: approves what an editor has put in, and takes it out of force.
Reviewer.           Decides disputes. Sees who an entry is about, and never approved it (`portcullis.domain.disputes`).
Operator.           Runs the registry and stands at the counter. Does not see who an entry is about, and decides no dispute.
Auditor.            Reads everything and changes nothing.
Subject.            A listed person in a session of their own, never a key: sees and disputes what is about them alone.
Anyone.             Needs no credential.

A key of a role other than partner and subject may be limited to some lists; that is judged with the request, since only the
request names the list. What a partner's key is good for, its agreements say.

Example: an operator who calls ``RedressService/Resolve`` is refused, and told that it is for reviewers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from portcullis.domain.entry_life import Step


class Role(StrEnum):
    """What a caller is. ``anyone`` stands in the table alone."""

    PARTNER = "partner"
    AUTHORITY_EDITOR = "authority-editor"
    AUTHORITY_APPROVER = "authority-approver"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    SUBJECT = "subject"
    ANYONE = "anyone"


KEY_ROLES = (
    Role.PARTNER,
    Role.OPERATOR,
    Role.AUTHORITY_EDITOR,
    Role.AUTHORITY_APPROVER,
    Role.REVIEWER,
    Role.AUDITOR,
)
"""The roles that an API key may have."""

SESSION_PREFIX = "pcs_"
"""What the credential of a subject's session begins with, so that it is told from a key before anything is looked up."""


class Row(NamedTuple):
    """Who may call a method, and why so where that is not obvious."""

    method: str
    roles: frozenset[Role]
    why: str


_PARTNER = frozenset({Role.PARTNER})
_ANYONE = frozenset({Role.ANYONE})
_OPERATOR = frozenset({Role.OPERATOR})
_REVIEWER = frozenset({Role.REVIEWER})
_SUBJECT = frozenset({Role.SUBJECT})
_AUDITED_PARTNER = frozenset({Role.PARTNER, Role.AUDITOR})
_EDITING = frozenset({Role.AUTHORITY_EDITOR, Role.OPERATOR})
_APPROVING = frozenset({Role.AUTHORITY_APPROVER, Role.OPERATOR})
_AUTHORITY = frozenset({Role.AUTHORITY_EDITOR, Role.AUTHORITY_APPROVER})
_ENDING = _EDITING | _APPROVING
_COUNTER = frozenset({Role.REVIEWER, Role.OPERATOR})
_STAFF = _ENDING | _REVIEWER
_READING = _STAFF | {Role.AUDITOR}
_SEEING_WHO = _AUTHORITY | {Role.REVIEWER, Role.AUDITOR}
_AFTERMATH = _COUNTER | {Role.AUDITOR}
_RUNNING = frozenset({Role.OPERATOR, Role.AUDITOR})

_OWN = "A partner's own, by the credential alone: an auditor has none."
_LOG = "The log's proofs name nobody, and an auditor needs them."
_FAVOUR = "In the subject's favour, so one person is enough."
_ONE_BY_ONE = "Each step for those who may take it on one entry."

_TABLE: Mapping[str, tuple[tuple[str, frozenset[Role], str], ...]] = {
    "portcullis.v1.CheckService": (
        ("Check", _PARTNER, ""),
        ("BatchCheck", _PARTNER, ""),
        ("StreamCheck", _PARTNER, ""),
    ),
    "portcullis.v1.CallerService": (("LookupCaller", _PARTNER, ""),),
    "portcullis.v1.SharingService": (
        ("ReportEvents", _PARTNER, ""),
        ("StreamEvents", _PARTNER, ""),
        ("GetReceipt", _PARTNER, _OWN),
        ("GetCheckpoint", _AUDITED_PARTNER, _LOG),
        ("GetConsistencyProof", _AUDITED_PARTNER, _LOG),
        ("WatchChanges", _PARTNER, _OWN),
    ),
    "portcullis.v1.RegistryService": (
        ("ImportEntries", _EDITING, ""),
        ("ListHeldImports", _READING, ""),
        ("ApproveImport", _APPROVING, "The desk sees to it that it is not who imported it."),
        ("RejectImport", _APPROVING, ""),
        ("PutEntry", _EDITING, ""),
        ("AddIdentifiers", _EDITING, "An amendment, as PutEntry makes one."),
        ("ListProposals", _READING, ""),
        ("ApproveEntry", _APPROVING, "The desk sees to it that it is not who proposed it."),
        ("RejectEntry", _APPROVING, ""),
        ("ReleaseEntry", _ENDING, _FAVOUR),
        ("WithdrawEntry", _ENDING, _FAVOUR),
        (
            "RevealEntry",
            _SEEING_WHO,
            "Who keeps or judges the entry must see whom it names; who runs the registry need not.",
        ),
        ("GetEntryHistory", _READING, ""),
        ("PlanBulk", _ENDING, _ONE_BY_ONE + " An auditor reads the same entries with ListEntries."),
        ("RunBulk", _ENDING, _ONE_BY_ONE),
        ("SuspendList", _APPROVING, "Two of them."),
        ("ResumeList", _APPROVING, "Two of them."),
        ("ListSettlements", _READING, ""),
        ("ObjectToRelease", _AUTHORITY, "Only the authority knows whether its case is settled."),
        ("GetImpact", _AFTERMATH, "It tells of partners' customers, so not for an authority."),
        ("GetReleaseCertificate", _AFTERMATH, "It is handed to the person, at the counter."),
        ("RunRetention", _OPERATOR, ""),
        ("GetEntry", _READING, ""),
        ("ListEntries", _READING, ""),
        ("GetList", _READING, ""),
        ("ListLists", _READING, ""),
    ),
    "portcullis.v1.RedressService": (
        ("IssueSubjectCode", _COUNTER, "Whoever has seen the person's document."),
        ("BeginSession", _ANYONE, "The proof in the request is the credential."),
        ("GetMyRecord", _SUBJECT, "Others read entry by entry, each look noted."),
        ("OpenDispute", _SUBJECT | _COUNTER, "Others on the subject's behalf."),
        (
            "AddEvidence",
            _SUBJECT | _COUNTER | {Role.AUTHORITY_EDITOR},
            "Both sides bring documents; an approver takes no side.",
        ),
        ("AssignReviewer", _COUNTER, ""),
        ("TellSource", _COUNTER, ""),
        ("Stay", _REVIEWER, ""),
        ("LiftStay", _REVIEWER, ""),
        ("ExtendDispute", _REVIEWER, ""),
        ("Resolve", _REVIEWER, ""),
        ("GetCase", _READING | {Role.SUBJECT}, "A subject their own alone."),
        ("ListCases", _READING, ""),
        ("IssueRedressNumber", _REVIEWER, "It takes a person out of a list's effect: a decision."),
        ("RevokeRedressNumber", _REVIEWER, ""),
        ("EraseSubject", _OPERATOR, ""),
    ),
    "portcullis.v1.AdminService": (
        ("GetStatus", _RUNNING, ""),
        ("GetDecision", _AFTERMATH, ""),
        ("CreateApiKey", _OPERATOR, ""),
        ("RotateApiKey", _OPERATOR, ""),
        ("RevokeApiKey", _OPERATOR, ""),
        ("ListApiKeys", _RUNNING, ""),
        ("ListAlarms", _RUNNING, ""),
        ("ReleaseAlarm", _OPERATOR, ""),
    ),
    "grpc.health.v1.Health": (
        ("Check", _ANYONE, "Load balancers ask, and have no key."),
        ("List", _ANYONE, "Likewise."),
        ("Watch", _ANYONE, "Likewise."),
    ),
    "grpc.reflection.v1alpha.ServerReflection": (("ServerReflectionInfo", _ANYONE, "It gives the published contract."),),
    "grpc.reflection.v1.ServerReflection": (("ServerReflectionInfo", _ANYONE, "It gives the published contract."),),
}


def _rows() -> Iterator[Row]:
    for service, methods in _TABLE.items():
        for name, roles, why in methods:
            yield Row(f"{service}/{name}", roles, why)


ROWS: tuple[Row, ...] = tuple(_rows())
"""The table, service by service."""

MATRIX: Mapping[str, frozenset[Role]] = MappingProxyType({row.method: row.roles for row in ROWS})
"""Who may call a method, by its full name, such as ``portcullis.v1.RegistryService/PutEntry``."""

BULK: Mapping[Step, frozenset[Role]] = MappingProxyType(
    {Step.APPROVE: _APPROVING, Step.RENEW: _EDITING, Step.RELEASE: _ENDING}
)
"""Who may take a step on many entries at once: who may take it on one."""


def roles_of(method: str) -> frozenset[Role]:
    """Say who may call a method, by its full name.

    Raises:
        LookupError: the table has no row for it.
    """
    roles = MATRIX.get(method)
    if roles is None:
        raise LookupError(f"{method} has no row in portcullis.domain.roles: say there who may call it")
    return roles
