"""A gateway worker on a real port, over an in-memory replica that a test fills, for either transport."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import grpc
import msgspec
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.config import Settings, Transport
from portcullis.domain.editions import FORMAT, Credential, Edition
from portcullis.domain.errors import RecordUnavailable
from portcullis.domain.multisets import MultisetDigest
from portcullis.domain.policies import Policy
from portcullis.domain.records import Record, encode_body
from portcullis.domain.segments import Change
from portcullis.domain.subjects import SubjectNames
from portcullis.domain.tokens import Tokeniser
from portcullis.gateway.front import Handlers
from portcullis.gateway.operators import OperatorDesks, operator_services
from portcullis.gateway.server import Gateway
from portcullis.metrics import CheckTally
from portcullis.ports import Clock, DecisionRecord, Journal, ReplicaWriter
from tests.support.policies import published_lists

TOKEN_KEY = b"a key of tests, and of tests alone"
TOKENISER = Tokeniser(TOKEN_KEY)
SUBJECTS = SubjectNames(TOKEN_KEY)


class ScriptedSpool:
    """A spool in memory that fails when told to; with ``holding`` an append waits until that is set."""

    def __init__(self) -> None:
        self.records: dict[str, DecisionRecord] = {}
        self.failing = False
        self.holding: asyncio.Event | None = None

    async def append(self, records: Sequence[DecisionRecord]) -> None:
        if self.holding is not None:
            await self.holding.wait()
        if self.failing:
            raise RecordUnavailable
        self.records.update({record.decision_id: record for record in records})

    def close(self) -> None: ...


def credential(key: str, holder: str, role: str = "partner", expires_at: float | None = None) -> Credential:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return Credential(key_id=f"id-{key}", holder=holder, digest=digest, role=role, expires_at=expires_at)


def edition_of(
    version: int,
    policy: Policy,
    index: Mapping[bytes, Sequence[Record]],
    stalled: Mapping[str, float] | None = None,
    **changes: Any,
) -> Edition:
    """The edition of a snapshot of these records; ``stalled`` says since when some lists, by name, are out of date."""
    bodies = list(bodies_of(index))
    lists = []
    for each in published_lists(policy, version):
        digest = MultisetDigest()
        digest.add_all((token, body) for token, number, body in bodies if number == each.number)
        since = (stalled or {}).get(each.name)
        lists.append(msgspec.structs.replace(each, records=digest.count, digest=digest.hex(), stalled_at=since))
    values: dict[str, Any] = {"published_at": SystemClock().now(), "registry_seq": version, "credentials": ()}
    return Edition(format=FORMAT, version=version, policy=policy, lists=tuple(lists), **(values | changes))


def bodies_of(index: Mapping[bytes, Sequence[Record]]) -> Iterator[Change]:
    """Give the bodies of these records, ascending by token and list."""
    for token in sorted(index):
        records = sorted(index[token], key=lambda each: each.list_number)
        for number, own in groupby(records, key=lambda each: each.list_number):
            yield token, number, encode_body(own)


def installed(writer: ReplicaWriter, edition: Edition, index: Mapping[bytes, Sequence[Record]]) -> None:
    """Install a snapshot of these records."""
    writer.install(edition, bodies_of(index))


@dataclass
class Bench:
    """What a test holds of a running gateway."""

    gateway: Gateway
    writer: MemoryReplicaWriter
    spool: ScriptedSpool
    channel: grpc.aio.Channel
    port: int
    credentials: list[Credential] = field(default_factory=list)
    version: int = 0

    def publish(self, policy: Policy, index: Mapping[bytes, Sequence[Record]], **changes: Any) -> int:
        """Install the next version and let the gateway see it."""
        self.version += 1
        edition = edition_of(self.version, policy, index, credentials=tuple(self.credentials), **changes)
        installed(self.writer, edition, index)
        return self.version

    async def call(self, method: str, body: bytes, key: str | None = "lender-key", timeout: float = 10.0) -> bytes:
        """Call a unary method with raw bytes."""
        metadata = [("authorization", f"Bearer {key}")] if key is not None else []
        answer: bytes = await self.channel.unary_unary(f"/portcullis.v1.{method}")(body, metadata=metadata, timeout=timeout)
        return answer


@asynccontextmanager
async def running_gateway(
    transport: Transport,
    operators: OperatorDesks | None = None,
    clock: Clock | None = None,
    spool: Any = None,
    *,
    journal: Journal | None = None,
    also: Callable[[Gateway], Mapping[str, Handlers]] | None = None,
    forwarded_by: str = "",
) -> AsyncIterator[Bench]:
    """Run a gateway with the keys lender-key (partner lender) and operator-key, without a snapshot yet.

    It answers operators where it is given their desks, with an empty journal unless another is given; ``spool`` stands in
    for the scripted one, and ``also`` gives what it serves besides.
    """
    clock = clock or SystemClock()
    writer = MemoryReplicaWriter(clock)
    scripted = ScriptedSpool()
    settings = Settings(
        grpc_port=0,
        transport=transport,
        refresh_interval_s=0.005,
        drain_s=1.0,
        max_message_bytes=1_000_000,
        forwarded_by=forwarded_by,
    )
    gateway = Gateway(
        settings=settings,
        replica=MemoryReplica(writer, clock),
        spool=spool or scripted,
        tokeniser=TOKENISER,
        subjects=SUBJECTS,
        clock=clock,
        tally=CheckTally(CollectorRegistry()),
    )
    if operators is not None:
        gateway.services |= operator_services(
            operators,
            held=gateway.held,
            journal=journal or MemoryJournal(clock=clock),
            front=gateway.front,
            transport=transport,
            clock=clock,
        )
    if also is not None:
        gateway.services |= also(gateway)
    async with gateway.running() as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        bench = Bench(gateway, writer, scripted, channel, port)
        bench.credentials += [credential("lender-key", "lender"), credential("operator-key", "olga", "operator")]
        yield bench


async def arrival(bench: Bench, version: int) -> None:
    """Wait until the gateway has seen a version."""
    deadline = time.monotonic() + 10
    while not bench.gateway.serving() or bench.gateway.held.present().version < version:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def refusal(awaitable: Any) -> tuple[grpc.StatusCode, str, list[str], str]:
    """Give a failing call's code, reason, violated fields and all of its text."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        for message in (info, bad):
            detail.Unpack(message)
    fields = [violation.field for violation in bad.field_violations]
    return caught.value.code(), info.reason.removeprefix("ERROR_REASON_"), fields, f"{caught.value.details()} {status}"
