"""Every method of a running server, found by reflection and called in every role: allowed or refused on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import get_args

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from portcullis.adapters.memory.feed import MemoryAnnouncer, MemoryFeed
from portcullis.config import Transport
from portcullis.domain.entries import GivenIdentifier
from portcullis.domain.roles import MATRIX, Role
from portcullis.exchange.proving import Prover
from portcullis.exchange.reporting import EventDesk
from portcullis.exchange.watching import FeedWatch
from portcullis.gateway.front import Handlers
from portcullis.gateway.server import Gateway
from portcullis.gateway.servicers.sharing import SERVICE, SharingDesks, SharingServicer
from tests.support.gateways import SUBJECTS
from tests.support.people import resident_id
from tests.support.policies import KnownBy
from tests.support.reflection import methods_of
from tests.support.staff import KEYS, Staff, StaffHome, running_staff, staff_home

LEFT_OUT_BY_THE_LIBRARY = {"grpc.health.v1.Health/List"}
"""In the descriptor, and answered with UNIMPLEMENTED by the library's own servicer."""
FAULTS = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}


@pytest.fixture(params=get_args(Transport))
async def staff(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Staff]:
    """All that the embedded stack's workers serve, on one port."""
    with staff_home(tmp_path) as home:
        feed, announcer = MemoryFeed(), MemoryAnnouncer()
        watch = FeedWatch(feed, announcer, SUBJECTS, KnownBy(home.registry.policy), home.clock, heartbeat_s=0.05)
        desks = SharingDesks(EventDesk(home.journal, Prover(home.journal), home.clock), watch)

        def sharing(gateway: Gateway) -> Mapping[str, Handlers]:
            return {SERVICE: SharingServicer(desks, home.registry.policy, gateway.front, gateway.gates).handlers()}

        async with watch, running_staff(request.param, home, also=sharing) as running:
            yield running


def credentials_of(home: StaffHome) -> dict[Role | None, str | None]:
    """A credential of every role, the subject's from a proof; None for a caller without any."""
    keys = {role: key for key, (_, role) in KEYS.items()}
    person = resident_id(1)
    given = GivenIdentifier(person.kind, person.value, person.country)
    code, _ = home.desks.subjects.issue_code(given, actor="olga")
    session, _ = home.desks.subjects.begin_session(given, code)
    return {**keys, Role.SUBJECT: session, None: None}


async def outcome(channel: grpc.aio.Channel, name: str, method: MethodDescriptor, credential: str | None) -> str:
    """Call a method with an empty request: "passed", the reason for which it was not admitted, or a fault's code."""
    metadata = [("authorization", f"Bearer {credential}")] if credential else []
    try:
        async with asyncio.timeout(10):
            await call(channel, name, method, metadata)
    except grpc.aio.AioRpcError as fault:
        if fault.code() in FAULTS and name not in LEFT_OUT_BY_THE_LIBRARY:
            return f"{fault.code()}: {fault.details()}"
        return admission_fault(fault) or "passed"
    return "passed"


async def call(channel: grpc.aio.Channel, name: str, method: MethodDescriptor, metadata: list[tuple[str, str]]) -> None:
    """Call a method with nothing in its request, until its first answer."""
    path = f"/{name}"
    if method.client_streaming and method.server_streaming:
        async for _ in channel.stream_stream(path)(iter(()), metadata=metadata):
            return
    elif method.client_streaming:
        await channel.stream_unary(path)(iter(()), metadata=metadata)
    elif method.server_streaming:
        stream = channel.unary_stream(path)(b"", metadata=metadata)
        await stream.read()
        stream.cancel()
    else:
        await channel.unary_unary(path)(b"", metadata=metadata)


def admission_fault(fault: grpc.aio.AioRpcError) -> str | None:
    """Give the reason of a refusal that is admission's."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(fault)  # type: ignore[arg-type]
    for detail in status.details if status else ():
        detail.Unpack(info)
    reason = info.reason.removeprefix("ERROR_REASON_")
    return reason if reason in {"ROLE_REQUIRED", "UNAUTHENTICATED"} else None


def expected(method: str, role: Role | None) -> str:
    """Say what the table makes of a call."""
    roles = MATRIX[method]
    if Role.ANYONE in roles or role in roles:
        return "passed"
    return "UNAUTHENTICATED" if role is None else "ROLE_REQUIRED"


async def test_every_method_is_open_to_exactly_the_roles_of_its_row(staff: Staff) -> None:
    methods = await asyncio.to_thread(methods_of, staff.bench.port)
    credentials = await asyncio.to_thread(credentials_of, staff.home)
    cells = [(method, role) for method in methods for role in credentials]
    wanted = {cell: expected(*cell) for cell in cells}
    found = {
        (method, role): await outcome(staff.bench.channel, method, methods[method], credentials[role])
        for method, role in cells
    }
    assert {} == {cell: (wanted[cell], found[cell]) for cell in cells if wanted[cell] != found[cell]}


async def test_every_row_is_of_a_method_that_is_served_and_every_method_has_one(staff: Staff) -> None:
    methods = await asyncio.to_thread(methods_of, staff.bench.port)
    under_another_name = {"grpc.reflection.v1.ServerReflection/ServerReflectionInfo"}
    assert set(MATRIX) == set(methods) | under_another_name
