"""What partners report, and what they are told of the lists: plain frozen values, no protobuf messages.

A `repr` shows neither references nor subjects, so that a logged event names no one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from portcullis.client.errors import ClientError


class ReviewVerdict(StrEnum):
    """What a person decided about a REVIEW: it is the one named and was refused, or it is not and went on."""

    UPHELD = "UPHELD"
    CLEARED = "CLEARED"


class OverrideReason(StrEnum):
    """Why a customer was let through in spite of the decision."""

    AUTHORITY_PERMIT = "AUTHORITY_PERMIT"
    EMERGENCY = "EMERGENCY"
    PARTNER_ERROR = "PARTNER_ERROR"
    ENTRY_CHANGED = "ENTRY_CHANGED"
    PROTECTED_NEED = "PROTECTED_NEED"


class NoticeChannel(StrEnum):
    """How a notice reached the customer."""

    SCREEN = "SCREEN"
    PAPER = "PAPER"
    MESSAGE = "MESSAGE"
    SPOKEN = "SPOKEN"


@dataclass(frozen=True, slots=True)
class Enforced:
    """A refusal was carried out."""

    decision_id: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A person has decided about a REVIEW."""

    decision_id: str
    verdict: ReviewVerdict


@dataclass(frozen=True, slots=True)
class Overridden:
    """The customer was let through in spite of the decision."""

    decision_id: str
    reason: OverrideReason


@dataclass(frozen=True, slots=True)
class NoticeServed:
    """The customer was told the reason, the authority, the law and how to object."""

    decision_id: str
    channel: NoticeChannel


@dataclass(frozen=True, slots=True)
class SettlementClaimed:
    """The customer says that the matter behind the entry is settled; ``case_reference`` as the reason gave it."""

    list: str
    case_reference: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settled:
    """The matter behind the entry is settled, as you can show; ``case_reference`` as the reason gave it."""

    list: str
    case_reference: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdentityMismatch:
    """The customer is not the person whom the entry names."""

    decision_id: str


@dataclass(frozen=True, slots=True)
class CommitmentPublished:
    """A provider has published its promise letter, under a reference of its own, at ``url``."""

    list: str
    commitment_reference: str
    url: str


@dataclass(frozen=True, slots=True)
class Terminated:
    """You ended your service for misconduct; the customer is named by ``subject`` or by ``decision_id``, by one of them."""

    list: str
    subject: str = field(default="", repr=False)
    decision_id: str = ""


Detail = (
    Enforced
    | Reviewed
    | Overridden
    | NoticeServed
    | SettlementClaimed
    | Settled
    | IdentityMismatch
    | CommitmentPublished
    | Terminated
)
"""What happened."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact to report.

    ``event_id`` is yours, names the event for ever, and makes it safe to report it again. ``occurred_at`` knows its time
    zone. ``reference`` is your own reference of the matter: 128 characters of ``A-Z a-z 0-9 . _ : / -``, no text.
    """

    event_id: str
    occurred_at: datetime
    detail: Detail
    reference: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that an event is durable: its place in the log, and the hash of its entry there (RFC 9162, section 2.1.1)."""

    event_id: str
    sequence: int
    recorded_at: datetime
    entry_hash: bytes


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """What became of one event: a receipt or the event's own error, never both."""

    event_id: str
    receipt: Receipt | None = None
    error: ClientError | None = None

    def get(self) -> Receipt:
        """Give the receipt.

        Raises:
            ClientError: the event's own error.
        """
        if self.receipt is None:
            raise self.error or ClientError("the answer holds neither a receipt nor an error")
        return self.receipt


class ChangeKind(StrEnum):
    """What happened to an entry. UNKNOWN is a kind that this release of the SDK does not know."""

    ENTRY_ADDED = "ENTRY_ADDED"
    AMENDED = "AMENDED"
    STAYED = "STAYED"
    RELEASED = "RELEASED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    REINSTATED = "REINSTATED"
    RELEASED_IN_ERROR = "RELEASED_IN_ERROR"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Change:
    """One change on a list, and the cursor to keep once it is dealt with; ``subject`` names the entry for you alone."""

    cursor: str
    kind: ChangeKind
    list: str
    subject: str = field(repr=False)
    happened_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The watch is alive; ``lag_s`` is how old, in seconds, the oldest change is that is known and not given yet."""

    cursor: str
    lag_s: float


Watched = Change | Heartbeat
"""What a watch gives."""
