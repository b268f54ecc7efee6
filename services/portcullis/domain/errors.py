"""Every error of Portcullis, in one family.

    PortcullisError
    ├── InvalidRequest          a field breaks the contract; carries the field violations
    │   ├── EntryRejected       an entry breaks a rule of its list, or one that nothing switches off
    │   └── InvalidIdentifier   one identifier can't be what its kind says; names which part of it
    ├── Unauthenticated         no key, a wrong key or a revoked one: deliberately one answer
    ├── NotPermitted            outside the agreement, or another role's method
    │   ├── RoleRequired        the credential is good, but the method is for another role
    │   ├── OutsideScope        the key does not cover this list
    │   ├── SecondPersonRequired    a step takes another person than who proposed or approved
    │   └── SecondOperatorRequired  an import is approved by another than its importer
    ├── NotCovered              no list of the agreement has a measure on the action
    ├── NotFound                no such thing, or none that this caller may see
    ├── StepNotAllowed          an entry or case stands where this step can't be taken; names those that can
    ├── KeyChangeRefused        a key can't be changed or retired as things stand; says what to do first
    ├── VersionMissed           somebody else has changed it since
    ├── PlanChanged             the entries of a planned step are others by now
    ├── ImportNotHeld           an import that can't be approved or rejected any more
    ├── EventConflict           another event of this id was reported before
    ├── DecisionUnknown         no such decision of this partner, or not here yet
    ├── CursorExpired           a cursor that the feed has nothing for any more
    ├── ReaderTooSlow           a stream that was not read for too long
    ├── Refused                 it may be asked again later, and not before
    │   ├── QuotaExceeded       a quota is used up
    │   ├── ProbingSuspected    the questions look like somebody going through numbers
    │   └── WatchesHeld         many Watch of health are held, and the connection has its share
    ├── SnapshotBehind          the snapshot asked for did not arrive in time
    ├── Unavailable             a part that this call needs is not there just now
    │   ├── NoSnapshot          no verified snapshot yet
    │   ├── RecordUnavailable   a decision can't be made durable
    │   ├── RegistryUnavailable the registry's database can't be used
    │   ├── JournalUnavailable  the journal's database can't be used
    │   ├── StoreUnavailable    the transport of snapshots can't be reached
    │   └── LeaseLost           another publisher holds the lease
    ├── SnapshotInvalid         a published file is not what its metadata says
    ├── PolicyInvalid           a policy that must not be loaded; carries the problems
    ├── ConditionInvalid        an expression that can't be a condition (domain/conditions.py)
    ├── ConditionFault          a condition that can't be evaluated for these attributes (likewise)
    └── SetupFault              the stack can't start; says what to do

No message of theirs ever holds the value of an identifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec


class FieldViolation(msgspec.Struct, frozen=True):
    """One faulty field: its path in the request, and what is wrong with it, without its value."""

    field: str
    description: str


class PortcullisError(Exception):
    """The root. ``reason`` is a name of ``error_reason.proto``; ``metadata`` holds no personal data."""

    reason = "ERROR_REASON_INTERNAL"

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})


class InvalidRequest(PortcullisError):
    """One or more fields break the contract."""

    reason = "ERROR_REASON_INVALID_FIELD"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in violations))
        self.violations = tuple(violations)

    @classmethod
    def at(cls, field: str, description: str) -> InvalidRequest:
        """Build the error of one faulty field."""
        return cls([FieldViolation(field, description)])


class EntryRejected(InvalidRequest):
    """An entry breaks a rule of its list, or a rule that nothing switches off."""

    reason = "ERROR_REASON_ENTRY_REJECTED"


class InvalidIdentifier(InvalidRequest):
    """One identifier can't be what its kind says. ``field`` is "kind", "value" or "country", within the identifier."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__([FieldViolation(field, description)])
        self.field = field
        self.description = description


class Unparsable(PortcullisError):
    """Bytes that are no message of the method's type."""

    reason = "ERROR_REASON_UNPARSABLE"


class Unauthenticated(PortcullisError):
    """No key, a wrong key or a revoked one, or a proof or session that does not hold; the caller is not told which."""

    reason = "ERROR_REASON_UNAUTHENTICATED"

    def __init__(self, message: str = "a valid API key is needed: send it as metadata 'authorization: Bearer KEY'") -> None:
        super().__init__(message)


class NotPermitted(PortcullisError):
    """The agreement does not cover the list, action or purpose."""

    reason = "ERROR_REASON_OUTSIDE_AGREEMENT"


class RoleRequired(NotPermitted):
    """The credential is good, but the method is for another role."""

    reason = "ERROR_REASON_ROLE_REQUIRED"


class SecondOperatorRequired(NotPermitted):
    """A held import is approved by another operator than the one who imported it."""

    reason = "ERROR_REASON_SECOND_OPERATOR_REQUIRED"

    def __init__(self, importer: str) -> None:
        super().__init__(
            f"{importer} has imported it, so another operator must approve it; have one do it, with a key of their own",
            metadata={"importer": importer},
        )


class SecondPersonRequired(NotPermitted):
    """A step takes another person than who proposed it, or approved what is reviewed."""

    reason = "ERROR_REASON_SECOND_PERSON_REQUIRED"


class OutsideScope(NotPermitted):
    """The key does not cover this list; "" where it takes one that covers every list."""

    reason = "ERROR_REASON_OUTSIDE_SCOPE"

    def __init__(self, list_name: str) -> None:
        told = "list: your key does not cover this list; use one that does"
        whole = "this concerns every list, and your key covers some alone; use one without lists"
        super().__init__(told if list_name else whole, metadata={"list": list_name})


class NotCovered(PortcullisError):
    """No list of the agreement has a measure on the action, so an ALLOW would mean nothing."""

    reason = "ERROR_REASON_ACTION_NOT_COVERED"


class NotFound(PortcullisError):
    """No such thing, or none that this caller may see."""

    reason = "ERROR_REASON_NOT_FOUND"


class StepNotAllowed(PortcullisError):
    """An entry or a case stands where this step can't be taken."""

    reason = "ERROR_REASON_STEP_NOT_ALLOWED"

    def __init__(self, step: str, status: str, allowed: Sequence[str]) -> None:
        told = ", ".join(allowed) or "none"
        super().__init__(
            f"{step}: can't be done while it is {status}; what can be done: {told}",
            metadata={"step": str(step), "status": str(status), "allowed": told},
        )


class KeyChangeRefused(PortcullisError):
    """A key of the stack can't be changed, or retired, as things stand."""


class VersionMissed(PortcullisError):
    """Somebody else has changed it since the caller looked."""

    reason = "ERROR_REASON_VERSION_MISSED"

    def __init__(self, expected: int, present: int) -> None:
        super().__init__(
            f"expected_version: {expected} is not the present one, which is {present}; look again, then decide again",
            metadata={"expected": str(expected), "present": str(present)},
        )


class PlanChanged(PortcullisError):
    """The entries that a step was planned for are others by now."""

    reason = "ERROR_REASON_PLAN_CHANGED"

    def __init__(self) -> None:
        super().__init__(
            "plan: these are other entries by now, or another step; plan again, look at the counts, then run it"
        )


class ImportNotHeld(PortcullisError):
    """An import that can't be approved or rejected any more: it was decided, replaced, or its list's rules have changed."""

    reason = "ERROR_REASON_IMPORT_NOT_HELD"


class EventConflict(PortcullisError):
    """Another event of this id was reported before."""

    reason = "ERROR_REASON_EVENT_CONFLICT"

    def __init__(self) -> None:
        super().__init__("event_id: another event of this id was reported before; give every event an id of its own")


class DecisionUnknown(PortcullisError):
    """The partner has no decision of this id, or its record has not arrived yet."""

    reason = "ERROR_REASON_DECISION_UNKNOWN"

    def __init__(self) -> None:
        super().__init__(
            "decision_id: no decision of yours with this id is in the journal; a record follows its answer within seconds: "
            "try again, then look at the id"
        )


class CursorExpired(PortcullisError):
    """The changes after a cursor are not kept any more, or it is of another feed."""

    reason = "ERROR_REASON_CURSOR_EXPIRED"

    def __init__(self, oldest: str) -> None:
        super().__init__(
            f"cursor: what followed it is not kept any more; start from {oldest}, and check again whom you act upon",
            metadata={"oldest": oldest},
        )


class ReaderTooSlow(PortcullisError):
    """A stream was not read for too long."""

    reason = "ERROR_REASON_READER_TOO_SLOW"

    def __init__(self, advice: str = "resume from the last cursor received") -> None:
        super().__init__(f"the stream was not read for too long; {advice}")


class Refused(PortcullisError):
    """It may be asked again later: ``retry_after_s`` seconds from now, and not before."""

    def __init__(self, message: str, *, retry_after_s: float, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message, metadata=metadata)
        self.retry_after_s = retry_after_s


class QuotaExceeded(Refused):
    """The caller has used up a quota (`portcullis.domain.quotas`)."""

    reason = "ERROR_REASON_QUOTA_EXCEEDED"

    def __init__(self, quota: str, *, retry_after_s: float) -> None:
        super().__init__(
            f"your quota {quota} is used up; ask again after the time given, or agree on a larger one",
            retry_after_s=retry_after_s,
            metadata={"quota": quota},
        )


class ProbingSuspected(Refused):
    """The caller's questions look like somebody going through numbers; the operator has been told."""

    reason = "ERROR_REASON_PROBING_SUSPECTED"

    def __init__(self, *, retry_after_s: float) -> None:
        super().__init__(
            "the numbers asked about look gone through one by one, so answers are held back; the operator has been told and "
            "can release them",
            retry_after_s=retry_after_s,
        )


class WatchesHeld(Refused):
    """Many Watch of health are held, and the caller's connection holds as many as one may then."""

    reason = "ERROR_REASON_QUOTA_EXCEEDED"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"many Watch of health are held here, and this connection holds {most} or more; end some, or ask by Check",
            retry_after_s=1.0,
            metadata={"quota": "health_watches"},
        )


class SnapshotBehind(PortcullisError):
    """The snapshot asked for did not arrive within the deadline."""

    reason = "ERROR_REASON_SNAPSHOT_BEHIND"


class Unavailable(PortcullisError):
    """A part that this call needs is not there just now; trying again later may help."""


class NoSnapshot(Unavailable):
    """No verified snapshot has arrived yet."""

    reason = "ERROR_REASON_NO_SNAPSHOT"

    def __init__(self) -> None:
        super().__init__("no snapshot has arrived yet; the gateway serves as soon as its follower has verified one")


class RecordUnavailable(Unavailable):
    """A decision could not be made durable, so it is not given."""

    reason = "ERROR_REASON_RECORD_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the decision can't be recorded just now, so it is not given; try again")


class Overloaded(Unavailable):
    """More is asked than can be answered in time, so this was not begun."""

    reason = "ERROR_REASON_OVERLOADED"

    def __init__(self) -> None:
        super().__init__("more is asked of this gateway than it can answer in time, so this was not begun; try again")


class RegistryUnavailable(Unavailable):
    """The registry's database can't be reached or written."""

    reason = "ERROR_REASON_REGISTRY_UNAVAILABLE"


class JournalUnavailable(Unavailable):
    """The journal's database can't be reached or written; nothing was acknowledged."""

    reason = "ERROR_REASON_JOURNAL_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the journal can't be written or read just now, and nothing was acknowledged; try again")


class StoreUnavailable(Unavailable):
    """The transport of snapshots can't be reached."""

    reason = "ERROR_REASON_STORE_UNAVAILABLE"


class LeaseLost(Unavailable):
    """Another publisher holds the lease; this one must not publish."""


class Refusal(StrEnum):
    """Why a published file was refused: the label that refusals are counted by."""

    STORE_EMPTY = "store-empty"
    TOKEN_KEY_MISSING = "token-key-missing"  # noqa: S105 - a label
    FORMAT = "format"
    ROLLBACK = "rollback"
    MIXED_VERSIONS = "mixed-versions"
    EQUIVOCATION = "equivocation"
    ROOT_INVALID = "root-invalid"
    METADATA_MISSING = "metadata-missing"
    METADATA_MALFORMED = "metadata-malformed"
    METADATA_SIGNATURE = "metadata-signature"
    METADATA_DIGEST = "metadata-digest"
    METADATA_LENGTH = "metadata-length"
    METADATA_VERSION = "metadata-version"
    METADATA_EXPIRED = "metadata-expired"
    UNDELEGATED = "undelegated"
    TARGET_MISSING = "target-missing"
    TARGET_LENGTH = "target-length"
    TARGET_DIGEST = "target-digest"
    CHUNK_MISSING = "chunk-missing"
    HEAD_MALFORMED = "head-malformed"
    MANIFEST_MALFORMED = "manifest-malformed"
    TERMS_MALFORMED = "terms-malformed"
    RECORDS_MALFORMED = "records-malformed"
    DIGEST_MISMATCH = "digest-mismatch"
    EDITION_MALFORMED = "edition-malformed"


class SnapshotInvalid(PortcullisError):
    """A published file is not what its metadata says, or of a format this release does not read."""

    def __init__(self, message: str, *, refusal: Refusal = Refusal.EDITION_MALFORMED) -> None:
        super().__init__(message, metadata={"refusal": refusal.value})
        self.refusal = refusal


class PolicyProblem(msgspec.Struct, frozen=True):
    """One fault of a policy: where it stands, what is wrong, and what to write instead."""

    where: str
    what: str
    instead: str
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.instead}"


class PolicyInvalid(PortcullisError):
    """A policy that must not be loaded."""

    def __init__(self, problems: Sequence[PolicyProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class SetupFault(PortcullisError):
    """The stack or a command can't start as it is set up; the message says what to do."""
