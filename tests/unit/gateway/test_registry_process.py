"""The operators' services in a process of their own, beside the database."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc
import pytest
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.memory.journal import MemoryJournal
from portcullis.adapters.memory.registry import MemoryRegistry
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.config import Settings
from portcullis.domain.caller_certificates import CallerCertificate
from portcullis.domain.errors import Unauthenticated
from portcullis.domain.policies import Credentials, Partner
from portcullis.domain.roles import roles_of
from portcullis.gateway.operators import OperatorDesks, running_registry, serving_beside_the_registry
from portcullis.gateway.registry_knowledge import RegistryKnowledge
from portcullis.metrics import CheckTally
from portcullis.v1 import admin_service_pb2 as pb
from tests.support.distribution import DictRegistry, edition, records
from tests.support.gateways import TOKENISER, credential
from tests.support.imports import StillClock
from tests.support.policies import policy

PARTNERS = roles_of("portcullis.v1.CheckService/Check")


class FaultyOnce(DictRegistry):
    """A registry whose next look fails in a way that nobody foresaw."""

    faulty = False

    def head(self) -> int:
        if self.faulty:
            self.faulty = False
            raise KeyError("unforeseen")
        return super().head()


async def status(channel: grpc.aio.Channel, key: str) -> pb.GetStatusResponse:
    call = channel.unary_unary("/portcullis.v1.AdminService/GetStatus")
    answer = await call(b"", metadata=[("authorization", f"Bearer {key}")], timeout=5)
    return pb.GetStatusResponse.FromString(answer)


async def eventually(channel: grpc.aio.Channel, key: str, version: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            if (await status(channel, key)).snapshot.version == version:
                return
        except grpc.aio.AioRpcError as fault:
            if fault.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_the_status_follows_the_replica_and_an_unforeseen_fault_ends_no_look() -> None:
    clock = SystemClock()
    registry, writer = FaultyOnce(), MemoryReplicaWriter(clock)
    registry.credentials = (credential("old-key", "olga", "operator"),)
    serving = running_registry(
        settings=Settings(grpc_port=0, drain_s=0.1),
        reader=registry,
        desks=OperatorDesks(*[cast("Any", None)] * len(OperatorDesks._fields)),
        replica=MemoryReplica(writer, clock),
        journal=MemoryJournal(clock=clock),
        tokeniser=TOKENISER,
        clock=clock,
        tally=CheckTally(CollectorRegistry()),
    )
    async with serving as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert not (await status(channel, "old-key")).HasField("snapshot")
        writer.install(edition(7, records(range(2))), records(range(2)))
        await eventually(channel, "old-key", "7")
        registry.faulty = True
        registry.credentials = (credential("new-key", "olga", "operator"),)
        registry.seq += 1
        writer.install(edition(8, records(range(2))), records(range(2)))
        await eventually(channel, "new-key", "8")
        assert not registry.faulty


def is_admitted(known: RegistryKnowledge, key: str) -> bool:
    try:
        known.callers().admit([("authorization", f"Bearer {key}")], PARTNERS)
    except Unauthenticated:
        return False
    return True


async def test_a_key_is_revoked_though_every_thread_of_the_loop_waits_for_readers_that_do_not_read() -> None:
    registry = DictRegistry()
    registry.credentials = (credential("old-key", "shop"),)
    known = RegistryKnowledge(registry)
    known.look()
    assert is_admitted(known, "old-key")
    read = threading.Event()
    threads = ThreadPoolExecutor(1, thread_name_prefix="unread")
    asyncio.get_running_loop().set_default_executor(threads)
    threads.submit(read.wait)
    settings, tally = Settings(grpc_port=0, drain_s=0.1), CheckTally(CollectorRegistry())
    try:
        async with serving_beside_the_registry(settings=settings, known=known, services={}, tally=tally):
            registry.credentials = ()
            registry.seq += 1
            deadline = time.monotonic() + 5
            while is_admitted(known, "old-key"):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
    finally:
        read.set()
    assert [] == [each.name for each in threading.enumerate() if each.name.startswith("portcullis-callers")]


def test_what_a_registry_knows_of_certificates_counts_where_there_is_no_replica() -> None:
    clock = StillClock()
    store = MemoryRegistry(tokeniser=TOKENISER, clock=clock)
    partner = Partner("bank", "A bank", (), credentials=Credentials.CERTIFICATE, certificates=("bank.example",))
    store.apply_policy(policy(partners=(partner,)), actor="test")
    known = RegistryKnowledge(store, clock.now)
    known.look()
    shown = CallerCertificate("a1b", "0" * 64, frozenset({"bank.example"}), clock.now() - 60, clock.now() + 60)
    assert "bank" == known.callers().admit([], PARTNERS, shown).holder
    store.revoke_certificate("a1b", note="", at=clock.now(), actor="test")
    known.look()
    with pytest.raises(Unauthenticated):
        known.callers().admit([], PARTNERS, shown)
    clock.time += 60
    with pytest.raises(Unauthenticated):
        known.callers().admit([], PARTNERS, shown._replace(serial="c"))
