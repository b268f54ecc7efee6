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

`AioClient` has the same methods for asyncio. Every call has a deadline. An error is never an answer: see
`portcullis.client.errors`. Neither client survives a fork: make one in each process, after it (gunicorn: in
``post_fork``; multiprocessing: in the worker, or use the "spawn" start method).
"""

from portcullis.client.aio import AioClient
from portcullis.client.blocking import Client
from portcullis.client.errors import (
    Cancelled,
    ClientError,
    DeadlineExceeded,
    FailedPrecondition,
    InternalError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    UnexpectedAnswer,
    Violation,
)
from portcullis.client.values import (
    Answer,
    AttributeValue,
    CallerAnswer,
    Decision,
    Effect,
    Identifier,
    Outcome,
    Question,
    Reason,
    Snapshot,
)

__all__ = [
    "AioClient",
    "Answer",
    "AttributeValue",
    "CallerAnswer",
    "Cancelled",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Decision",
    "Effect",
    "FailedPrecondition",
    "Identifier",
    "InternalError",
    "InvalidArgument",
    "NotFound",
    "Outcome",
    "PermissionDenied",
    "Question",
    "Reason",
    "ResourceExhausted",
    "Snapshot",
    "Unauthenticated",
    "Unavailable",
    "UnexpectedAnswer",
    "Violation",
]
