"""What a gateway does when more is asked of it than it can answer in time, on both transports."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import get_args

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from portcullis.config import Settings, Transport
from portcullis.domain.errors import PortcullisError
from portcullis.domain.policies import Partner
from portcullis.gateway.transport import shedding
from portcullis.gateway.transport.serving import serving
from portcullis.gateway.transport.shedding import MOST_A_TURN, TURN_S
from portcullis.gateway.transport.transports import STREAMS, STREAMS_OF_DESKS, WAITING, WAITING_AT_MOST, available
from portcullis.gateway.transport.vital import VITAL
from portcullis.v1 import check_service_pb2 as pb
from tests.support.gateways import Bench, arrival, refusal, running_gateway
from tests.support.people import resident_id
from tests.support.policies import a_list, agreement, policy

FAR_BEHIND_S = 10_000.0
SLOW = "portcullis.tests.Slow"


@pytest.fixture(params=get_args(Transport))
def transport(request: pytest.FixtureRequest) -> Transport:
    if not available(request.param):
        pytest.skip(f"the transport {request.param} is not installed")
    name: Transport = request.param
    return name


@pytest.fixture
async def bench(transport: Transport) -> AsyncIterator[Bench]:
    async with running_gateway(transport) as running:
        agreed = (agreement(("court",), valid_from=0, valid_until=4_000_000_000),)
        version = running.publish(policy(a_list("court"), partners=(Partner("lender", "A lender", agreed),)), {})
        await arrival(running, version)
        yield running


def check() -> bytes:
    given = resident_id(3)
    request = pb.CheckRequest(action="loan.apply", purpose="lending")
    request.identifiers.add(kind=given.kind, value=given.value)
    return request.SerializeToString()


@pytest.mark.parametrize("method", ["CheckService/Check", "CheckService/BatchCheck", "CallerService/LookupCaller"])
async def test_a_call_whose_deadline_is_nearer_than_the_loop_is_behind_is_not_begun(bench: Bench, method: str) -> None:
    bench.gateway.front.pressure.behind_s = FAR_BEHIND_S
    code, reason, _, text = await refusal(bench.call(method, check(), timeout=8.0))

    assert (grpc.StatusCode.UNAVAILABLE, "OVERLOADED") == (code, reason)
    assert "try again" in text


async def test_a_call_with_time_enough_is_answered_while_the_loop_is_behind(bench: Bench) -> None:
    bench.gateway.front.pressure.behind_s = 1.0

    assert await bench.call("CheckService/Check", check(), timeout=8.0)


async def test_health_is_answered_however_far_the_loop_is_behind(bench: Bench) -> None:
    bench.gateway.front.pressure.behind_s = FAR_BEHIND_S
    answer = await health_pb2_grpc.HealthStub(bench.channel).Check(health_pb2.HealthCheckRequest(), timeout=2)

    assert health_pb2.HealthCheckResponse.SERVING == answer.status


async def test_the_loop_is_found_to_be_behind_when_something_holds_it_up(bench: Bench) -> None:
    pressure = bench.gateway.front.pressure
    deadline = time.monotonic() + 10
    seen = 0.0
    while seen < 0.05:
        assert time.monotonic() < deadline
        # On purpose: what a turn that is too long does to the loop.
        time.sleep(0.2)  # noqa: ASYNC251
        for _ in range(20):
            await asyncio.sleep(0)
            seen = max(seen, pressure.behind_s)


async def slow(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
    time.sleep(TURN_S / 20)  # noqa: ASYNC251 - a call that takes the processor for so long
    return body


async def ended(call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, float]:
    """Wait for a call's end; gives when that was, too."""
    return await call.code(), time.monotonic()


async def test_more_than_can_wait_is_refused_at_once_and_health_is_not(transport: Transport) -> None:
    handlers = {"Do": grpc.unary_unary_rpc_method_handler(slow)}
    settings = Settings(grpc_port=0, transport=transport, drain_s=0.1)
    options = [("grpc.use_local_subchannel_pool", 1)]
    offered = STREAMS_OF_DESKS * 20
    async with serving(settings, {SLOW: handlers}) as (port, health):
        health.set(serving=True)
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(21)]
        try:
            for each in channels:
                await each.channel_ready()
            calls = [channels[n % 20].unary_unary(f"/{SLOW}/Do")(b"x", timeout=30) for n in range(offered)]
            ends = asyncio.gather(*(ended(call) for call in calls))
            looks = [
                await health_pb2_grpc.HealthStub(channels[20]).Check(health_pb2.HealthCheckRequest(), timeout=10)
                for _ in range(5)
            ]
            taken = await ends
            found = Counter(code for code, _ in taken)
            refused = [call for call in calls if await call.code() is grpc.StatusCode.UNAVAILABLE]
            details = await rpc_status.aio.from_call(refused[0]) if refused else None
        finally:
            for each in channels:
                await each.close()
    assert {health_pb2.HealthCheckResponse.SERVING} == {each.status for each in looks}
    assert offered == sum(found.values())
    assert found[grpc.StatusCode.OK] >= min(WAITING_AT_MOST, MOST_A_TURN) // 2
    # grpcio's core says no more than that.
    refusal_code = grpc.StatusCode.CANCELLED if transport == "grpcio" else grpc.StatusCode.UNAVAILABLE
    assert {grpc.StatusCode.OK, refusal_code} == found.keys()
    # At once: most have been told no long before those who wait have all been answered.
    first_half = sorted(at for code, at in taken if code is refusal_code)[: found[refusal_code] // 2]
    assert first_half[-1] < max(at for code, at in taken if code is grpc.StatusCode.OK)
    if transport == "native":
        assert details is not None
        info = error_details_pb2.ErrorInfo()
        assert details.details[0].Unpack(info)
        assert "ERROR_REASON_OVERLOADED" == info.reason
        assert details.details[1].Is(error_details_pb2.RetryInfo.DESCRIPTOR)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls wait however slow this machine is, so that the room alone is what is counted; unit tests have the pace."""
    monkeypatch.setattr(shedding, "LONGEST_WAIT_S", 60.0)


@pytest.mark.usefixtures("patience")
async def test_a_burst_for_which_there_is_room_to_wait_is_answered_whole(transport: Transport) -> None:
    handlers = {"Do": grpc.unary_unary_rpc_method_handler(slow)}
    settings = Settings(grpc_port=0, transport=transport, drain_s=0.1)
    options = [("grpc.use_local_subchannel_pool", 1)]
    streams = STREAMS[transport]
    async with serving(settings, {SLOW: handlers}, streams=streams) as (port, _):
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(WAITING // streams)]
        try:
            # More than a connection takes wait on their caller's side.
            calls = [each.unary_unary(f"/{SLOW}/Do")(b"x", timeout=30) for each in channels for _ in range(2 * streams)]
            found = Counter([await call.code() for call in calls])
        finally:
            for each in channels:
                await each.close()
    # grpcio's core refuses some streams that come as others end, which the SDK tries again; on a busy machine a third.
    refused = found.pop(grpc.StatusCode.UNAVAILABLE, 0)
    assert refused <= (WAITING if transport == "grpcio" else 0)
    assert {grpc.StatusCode.OK: 2 * WAITING - refused} == found


@pytest.mark.usefixtures("patience")
async def test_a_call_that_is_given_up_while_it_waits_is_never_begun(transport: Transport) -> None:
    begun = Counter[bytes]()

    async def count(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        begun[body] += 1
        return await slow(body, context)

    settings = Settings(grpc_port=0, transport=transport, drain_s=0.1)
    handlers = {"Do": grpc.unary_unary_rpc_method_handler(count)}
    options = [("grpc.use_local_subchannel_pool", 1)]
    # More than a turn of native begins, and fewer than grpcio's core refuses.
    before = MOST_A_TURN + 100 if transport == "native" else WAITING // 2
    async with serving(settings, {SLOW: handlers}) as (port, _):
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(11)]
        try:
            for each in channels:
                await each.channel_ready()
            patient = [channels[n % 10].unary_unary(f"/{SLOW}/Do")(b"patient", timeout=30) for n in range(before)]
            await asyncio.sleep(0)
            hasty = [channels[10].unary_unary(f"/{SLOW}/Do")(b"hasty", timeout=0.02) for _ in range(20)]
            late = Counter([await call.code() for call in hasty])
            assert {grpc.StatusCode.OK} == {await call.code() for call in patient}
        finally:
            for each in channels:
                await each.close()
    assert {grpc.StatusCode.DEADLINE_EXCEEDED: 20} == late
    assert before == begun[b"patient"]
    assert begun[b"hasty"] < 20


def test_what_is_vital_is_services_that_exist() -> None:
    assert {"/grpc.health.v1.Health/", "/portcullis.v1.AdminService/"} == set(VITAL)


async def test_a_caller_that_hangs_up_without_reading_is_no_fault(bench: Bench) -> None:
    metadata = [("authorization", "Bearer lender-key")]
    item = pb.StreamCheckRequest(check=pb.CheckRequest.FromString(check())).SerializeToString()
    gate = bench.gateway.gates.of("lender")
    # A window of 64 KiB that does not grow.
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{bench.port}", options=[("grpc.http2.bdp_probe", 0)])
    held = [channel.stream_stream("/portcullis.v1.CheckService/StreamCheck")(metadata=metadata) for _ in range(8)]

    async def send(stream: grpc.aio.StreamStreamCall) -> None:
        for _ in range(1_500):
            await stream.write(item)

    sending = [asyncio.create_task(send(each)) for each in held]
    began = time.monotonic()
    allowed = -1
    # Until nothing more is answered, since nobody reads.
    while allowed != (allowed := bench.gateway.desk.tally.allowed):
        assert time.monotonic() < began + 20
        await asyncio.sleep(0.3)
    with structlog.testing.capture_logs() as logs:
        for each in held:
            each.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        deadline = time.monotonic() + 10
        while gate.streams.here:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        await channel.close()

    assert 0 < allowed < 8 * 1_500
    assert [] == logs


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("CheckService/Check", b""),
        ("CheckService/Check", b"\xff"),
        ("CheckService/BatchCheck", b""),
        ("CallerService/LookupCaller", b""),
    ],
)
async def test_a_refused_call_leaves_nothing_for_the_garbage_collector(bench: Bench, method: str, body: bytes) -> None:
    with no_collection():
        before = errors_alive()
        for _ in range(20):
            await refusal(bench.call(method, body, timeout=8.0))
        # A call is over for its caller a moment before its handler is forgotten.
        await until(lambda: errors_alive() <= before)


@contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def errors_alive() -> int:
    return sum(isinstance(each, PortcullisError) for each in gc.get_objects())


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
