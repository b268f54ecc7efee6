"""The Python SDK: ask a gateway whether a customer may do something.

    from portcullis.client import Client, Identifier

    with Client("127.0.0.1:50051", api_key=key) as client:
        decision = client.check(
            [Identifier.parse("passport:XA:A1234567")],
            action="rail.ticket.purchase",
            purpose="ticketing",
            attributes={"train": "G101"},
        )
    if not decision.allowed:
        ...

`report_events` tells the authorities what became of a decision, `watch_changes` what changed on their lists.

`AioClient` has the same methods for asyncio. Every call has a deadline. An error is never an answer: see
`portcullis.client.errors`. Neither client survives a fork: make one in each process, after it (gunicorn: in
``post_fork``; multiprocessing: in the worker, or use the "spawn" start method).
"""

from portcullis.client.aio import AioClient
from portcullis.client.blocking import Client
from portcullis.client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    ClientError,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ProofFailed,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    Violation,
)
from portcullis.client.events import (
    Change,
    ChangeKind,
    CommitmentPublished,
    Enforced,
    Event,
    EventAnswer,
    Heartbeat,
    IdentityMismatch,
    NoticeChannel,
    NoticeServed,
    Overridden,
    OverrideReason,
    Receipt,
    Reviewed,
    ReviewVerdict,
    Settled,
    SettlementClaimed,
    Terminated,
)
from portcullis.client.proofs import Checkpoint, CheckpointKey, ConsistencyProof, InclusionProof, ProvenReceipt
from portcullis.client.tls import tls_credentials
from portcullis.client.values import (
    Answer,
    AttributeValue,
    CallerAnswer,
    Decision,
    Effect,
    Identifier,
    Notice,
    Outcome,
    Question,
    Reason,
    Snapshot,
)

__all__ = [
    "Aborted",
    "AioClient",
    "AlreadyExists",
    "Answer",
    "AttributeValue",
    "CallerAnswer",
    "Cancelled",
    "Change",
    "ChangeKind",
    "Checkpoint",
    "CheckpointKey",
    "Client",
    "ClientError",
    "CommitmentPublished",
    "ConsistencyProof",
    "DeadlineExceeded",
    "Decision",
    "Effect",
    "Enforced",
    "Event",
    "EventAnswer",
    "FailedPrecondition",
    "Heartbeat",
    "Identifier",
    "IdentityMismatch",
    "InclusionProof",
    "InternalError",
    "InvalidArgument",
    "NotFound",
    "Notice",
    "NoticeChannel",
    "NoticeServed",
    "OutOfRange",
    "Outcome",
    "Overridden",
    "OverrideReason",
    "PermissionDenied",
    "ProofFailed",
    "ProvenReceipt",
    "Question",
    "Reason",
    "Receipt",
    "ResourceExhausted",
    "ReviewVerdict",
    "Reviewed",
    "Settled",
    "SettlementClaimed",
    "Snapshot",
    "Terminated",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "Violation",
    "tls_credentials",
]
