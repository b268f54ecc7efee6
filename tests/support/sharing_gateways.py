"""SharingService on a real port, over real desks: a SQLite journal and a feed in memory, for either transport."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.migrating import migrate_journal
from portcullis.config import Settings, Transport
from portcullis.domain.changes import ChangeKind, FeedChange
from portcullis.domain.checkpoints import Checkpoint, sign_checkpoint
from portcullis.domain.editions import Credential
from portcullis.domain.event_rules import CODE_FIELDS
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.quotas import UNLIMITED
from portcullis.domain.shared_events import EventKind, SharedEvent
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.proving import Prover
from portcullis.exchange.reporting import EventDesk
from portcullis.exchange.watching import FeedWatch
from portcullis.gateway.admission import Callers
from portcullis.gateway.front import Front
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.servicers.sharing import SERVICE, SharingDesks, SharingServicer
from portcullis.gateway.transport.serving import serving
from portcullis.metrics import CheckTally
from portcullis.ports import FeedDesk, Progress, StoredCheckpoint
from portcullis.v1 import sharing_service_pb2 as pb
from tests.support.gateways import credential
from tests.support.policies import KnownBy, a_list, agreement, policy

SUBJECTS = SubjectNames(b"a key of tests, and of tests alone")
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FAR = 4_000_000_000

_CODE_PREFIXES = {
    EventKind.REVIEWED: "REVIEW_VERDICT_",
    EventKind.OVERRIDDEN: "OVERRIDE_REASON_",
    EventKind.NOTICE_SERVED: "NOTICE_CHANNEL_",
}


def the_policy(**changes: Any) -> Policy:
    """Two partners, lender and shop, who share the lists court and rentals; elsewhere is nobody's."""
    lists = (a_list("court"), a_list("rentals", takes_terminations=True), a_list("elsewhere"))
    agreed = agreement(("court", "rentals"), valid_from=0, valid_until=FAR, **changes)
    partners = tuple(Partner(name=name, title=name, agreements=(agreed,), quota=UNLIMITED) for name in ("lender", "shop"))
    return policy(*lists, partners=partners)


def message_of(event: SharedEvent) -> pb.Event:
    """Write an event as a partner would."""
    message = pb.Event(event_id=event.event_id, reference=event.reference)
    message.occurred_at.FromMilliseconds(event.occurred_at_ms)
    detail = getattr(message, event.kind.value.lower())
    detail.SetInParent()
    for name in ("decision_id", "list", "case_reference", "subject", "commitment_reference", "url"):
        if getattr(event, name):
            setattr(detail, name, getattr(event, name))
    if event.code:
        field = CODE_FIELDS[event.kind]
        enum = detail.DESCRIPTOR.fields_by_name[field].enum_type
        setattr(detail, field, enum.values_by_name[f"{_CODE_PREFIXES[event.kind]}{event.code}"].number)
    return message


def a_change(entry_id: int = 1, **changes: Any) -> FeedChange:
    """A change on the list court, the policy's first."""
    values: dict[str, Any] = {
        "position": 0,
        "kind": ChangeKind.ENTRY_ADDED,
        "list": "court",
        "list_number": 1,
        "entry_id": entry_id,
        "happened_at": time.time(),
        "until": FAR,
    }
    return FeedChange(**(values | changes))


class SharingBench:
    """What a test holds of a running service."""

    def __init__(self, journal: SqlJournal) -> None:
        self.journal = journal
        self.policy = the_policy()
        self.credentials: list[Credential] = [
            credential("lender-key", "lender"),
            credential("shop-key", "shop"),
            credential("operator-key", "olga", "operator"),
        ]
        self.tally = CheckTally(CollectorRegistry())
        self.gates = Gates()
        self.gates.follow(self.policy)
        self.feed = MemoryFeed()
        self.announcer = MemoryAnnouncer()
        self.port = 0
        self.channel: grpc.aio.Channel

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def callers(self) -> Callers:
        return Callers(self.credentials)

    def grow(self, changes: Sequence[FeedChange]) -> None:
        """Let the feed grow."""
        before = self.feed.progress()
        then = Progress(before.registry_seq + 1, before.ended_until)
        assert self.feed.append(changes, then, expected=before)
        self.announcer.announce(self.feed.ends())

    def sign(self) -> StoredCheckpoint:
        """Sign a checkpoint of the log as it is."""
        size = self.journal.size()
        checkpoint = Checkpoint(origin=self.journal.origin(), size=size, root=self.journal.root(size))
        note = sign_checkpoint(checkpoint, SIGNING_KEY)
        stored = StoredCheckpoint(size=size, root=checkpoint.root, signed_at=time.time(), note=note)
        self.journal.keep_checkpoint(stored)
        return stored

    async def call(
        self, method: str, request: Message | bytes, kind: Any, key: str | None = "lender-key", timeout: float = 20.0
    ) -> Any:
        """Call a unary method."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        answer = await self.channel.unary_unary(f"/{SERVICE}/{method}")(body, metadata=bearer(key), timeout=timeout)
        return kind.FromString(answer)

    async def report(self, *events: SharedEvent | pb.Event, **options: Any) -> list[pb.EventResult]:
        """Report events in one batch."""
        messages = [each if isinstance(each, pb.Event) else message_of(each) for each in events]
        request = pb.ReportEventsRequest(events=messages)
        return list((await self.call("ReportEvents", request, pb.ReportEventsResponse, **options)).results)

    async def stream(self, bodies: AsyncIterator[bytes], key: str = "lender-key") -> list[pb.EventResult]:
        """Report events on a stream."""
        answer = await self.channel.stream_unary(f"/{SERVICE}/StreamEvents")(bodies, metadata=bearer(key), timeout=20.0)
        return list(pb.StreamEventsResponse.FromString(answer).results)

    def watch(self, cursor: str = "", lists: Sequence[str] = (), key: str = "lender-key") -> Any:
        """Open a watch; its ``read`` gives raw messages."""
        body = pb.WatchChangesRequest(cursor=cursor, lists=lists).SerializeToString()
        return self.channel.unary_stream(f"/{SERVICE}/WatchChanges")(body, metadata=bearer(key), timeout=30.0)


def bearer(key: str | None) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {key}")] if key is not None else []


@cache
def _empty_database() -> bytes:
    """Migrate once a process; it takes longer than all else that a test sets up."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "journal.db")
        migrate_journal(f"sqlite:///{file}")
        assert ["journal.db"] == [each.name for each in file.parent.iterdir()]
        return file.read_bytes()


def fresh_journal(directory: Path) -> SqlJournal:
    """Make a journal on SQLite."""
    file = directory / "journal.db"
    file.write_bytes(_empty_database())
    return SqlJournal(f"sqlite:///{file}", seal_key=bytes(32), clock=SystemClock())


@asynccontextmanager
async def running_sharing(
    transport: Transport,
    directory: Path,
    *,
    patience_s: float = 1.0,
    heartbeat_s: float = 0.1,
    reader_patience_s: float = 30.0,
    feed: FeedDesk | None = None,
    port: int = 0,
    journal: SqlJournal | None = None,
) -> AsyncIterator[SharingBench]:
    """Serve with the keys lender-key, shop-key and operator-key; ``feed`` and ``journal`` replace its own."""
    clock = SystemClock()
    bench = SharingBench(journal or fresh_journal(directory))
    watch = FeedWatch(bench.feed, bench.announcer, SUBJECTS, KnownBy(lambda: bench.policy), clock, heartbeat_s=heartbeat_s)
    desk = EventDesk(bench.journal, Prover(bench.journal), clock, patience_s=patience_s)
    servicer = SharingServicer(
        SharingDesks(desk, feed or watch),
        lambda: bench.policy,
        Front(bench.callers, bench.tally),
        bench.gates,
        reader_patience_s=reader_patience_s,
    )
    settings = Settings(grpc_port=port, transport=transport, drain_s=0.0)
    try:
        async with (
            watch,
            serving(settings, {SERVICE: servicer.handlers()}) as (bench.port, _),
            grpc.aio.insecure_channel(bench.target) as bench.channel,
        ):
            yield bench
    finally:
        if journal is None:
            await asyncio.to_thread(bench.journal.close)
