"""The Envoy configuration that is shipped, in a real Envoy before a gateway on native: who is known, and what is cut."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
import yaml

from portcullis.client import AioClient, ClientError
from portcullis.gateway.transport.transports import STREAMS
from portcullis.v1 import check_service_pb2 as pb
from tests.support import h2_attacks as attacks
from tests.support.attacked_gateway import AttackedGateway, attacked_gateway
from tests.support.bystanders import LONGEST_S, bystanders
from tests.support.envoys import SHIPPED, RunningEnvoy, manager_of, needs_envoy, running_envoy, shipped
from tests.support.h2_attacks import STREAM_CHECK, Target, Toll
from tests.support.h2_raw import until
from tests.support.people import resident_id
from tests.support.tls_gateways import BANK, LENDER, SHOP, Files, ask

pytestmark = [pytest.mark.e2e, needs_envoy]

MOST_STREAMS_BEGUN = 64 + 16 * 15
"""At once, and in the longest time that the test may take."""

LOOKS_AT_ONCE, LOOKS_A_SECOND = 32, 16
"""Of one address."""

IDLE_S = 1
"""The route's own time for a call that sends nothing, made short here."""


class Edge(NamedTuple):
    envoy: RunningEnvoy
    gateway: AttackedGateway
    files: Files

    @property
    def target(self) -> Target:
        tls = ssl.create_default_context(cafile=str(self.files.ca))
        tls.set_alpn_protocols(["h2"])
        return Target(self.envoy.port, tls)

    async def outcome(self, *names: str, key: str | None = None) -> str:
        """Ask once with a certificate of these names, or with none."""
        credentials = self.files.credentials(self.files.client(*names) if names else None)
        async with AioClient(f"localhost:{self.envoy.port}", api_key=key, timeout_s=5.0, credentials=credentials) as client:
            return await ask(client)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    pytest.importorskip("pygrpc_native")
    folder: Path = tmp_path_factory.mktemp("edge")
    files = Files(folder)
    (folder / "client-ca.crt").write_bytes(files.ca.read_bytes())
    with attacked_gateway(folder / "log", transport="native", forwarded_by="loopback") as gateway:
        configuration = shipped(gateway.port, folder)
        routes = manager_of(configuration)["route_config"]["virtual_hosts"][0]["routes"]
        (unary,) = [each["route"] for each in routes if each["match"].get("prefix") == "/portcullis.v1.CheckService/"]
        assert "10s" == unary["idle_timeout"]
        unary["idle_timeout"] = f"{IDLE_S}s"
        with running_envoy(folder, configuration) as envoy:
            yield Edge(envoy, gateway, files)


async def under(edge: Edge, name: str, attack: Callable[[], Awaitable[Toll]], kept: int = 8) -> Toll:
    """Attack Envoy while others go on through it; both processes live and take no more than they may.

    So many descriptors of the gateway may stay open: Envoy keeps the connections that it made.
    """
    envoy, gateway = edge.envoy, edge.gateway
    before = envoy.memory_mib(), gateway.memory_mib(), gateway.descriptors()
    async with bystanders(envoy.port, edge.files.credentials(None), look_pause_s=2 / LOOKS_A_SECOND) as seen:
        assert await until(lambda: seen.checks and seen.looks, 20)
        since = seen.now()
        async with asyncio.timeout(20):
            toll = await attack()
            while not seen.went_on(since):
                await attack()
        during = envoy.memory_mib(), gateway.memory_mib()
        slowest_s, over = seen.slowest_s(since), seen.now()
        assert await until(lambda: seen.went_on(over), 10)
    print(
        f"{name}: {toll.sent} in {toll.seconds:.2f} s, cut {toll.cut} code {toll.code}, reset {toll.reset}, ended "
        f"{toll.answered}; Envoy {before[0]:.0f} -> {during[0]:.0f} MiB, gateway {before[1]:.0f} -> {during[1]:.0f} MiB; "
        f"others: {len(seen.checks)} checks, {seen.failed} failed, p99 {seen.p99_ms:.1f} ms; health {len(seen.looks)}, "
        f"{seen.sick} failed, slowest {seen.slowest_look_ms:.0f} ms"
    )
    assert gateway.is_alive()
    assert envoy.process.poll() is None
    assert during[0] - before[0] < 100
    assert during[1] - before[1] < 60
    assert slowest_s < LONGEST_S
    assert 0 == seen.sick
    assert seen.failed <= max(3, len(seen.checks) // 10)
    assert await until(lambda: gateway.descriptors() <= before[2] + kept, 10)
    return toll


async def test_a_partner_is_known_through_envoy_by_its_certificate(edge: Edge) -> None:
    await until(lambda: 1 == edge.envoy.count("cluster.gateway.membership_healthy"), 10)

    assert "ALLOW" == await edge.outcome(LENDER)
    assert "ALLOW" == await edge.outcome(SHOP)
    assert "ALLOW" == await edge.outcome(BANK, key="bank-key")
    assert "ALLOW" == await edge.outcome(key="kiosk-key")


async def serial_shown(edge: Edge) -> int:
    """The serial number of the certificate that Envoy shows who comes now."""
    target = edge.target
    _, writer = await asyncio.open_connection("127.0.0.1", target.port, ssl=target.tls, server_hostname="localhost")
    shown = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return int(shown["serialNumber"], 16)


async def test_a_certificate_is_renewed_without_a_dropped_call(edge: Edge) -> None:
    credentials = edge.files.credentials(None)
    async with AioClient(
        f"localhost:{edge.envoy.port}", api_key="kiosk-key", timeout_s=10.0, credentials=credentials
    ) as standing:
        assert "ALLOW" == await ask(standing)
        renewed = edge.files.renew().certificate.serial_number

        async with asyncio.timeout(20):
            while renewed != await serial_shown(edge):
                assert ["ALLOW", "ALLOW"] == [await ask(standing), await edge.outcome(key="kiosk-key")]

        assert ["ALLOW", "ALLOW"] == [await ask(standing), await edge.outcome(key="kiosk-key")]


@pytest.mark.parametrize(("names", "key"), [((), None), ((BANK,), None), ((LENDER,), "kiosk-key"), ((), "lender-key")])
async def test_who_proves_too_little_is_refused_through_envoy(edge: Edge, names: tuple[str, ...], key: str | None) -> None:
    with pytest.raises(ClientError, match="API key"):
        await edge.outcome(*names, key=key)


async def test_a_forged_header_of_a_certificate_is_removed(edge: Edge) -> None:
    forged = edge.files.client(LENDER).pem()[0].decode().replace("\n", "%0A").replace(" ", "%20")
    credentials = edge.files.credentials(None)
    async with grpc.aio.secure_channel(f"localhost:{edge.envoy.port}", credentials) as channel:
        call = channel.unary_unary("/portcullis.v1.CheckService/Check")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("x-forwarded-client-cert", f'Cert="{forged}"'),), timeout=5)

    assert grpc.StatusCode.UNAUTHENTICATED == caught.value.code()


OPERATORS_METHODS = ("AdminService/ListApiKeys", "RegistryService/GetEntry", "RedressService/OpenDispute")


def upstream(envoy: RunningEnvoy) -> dict[str, int]:
    """Give how many requests went on to each cluster."""
    stats = json.loads(envoy.get("/stats?format=json&filter=^cluster%5C..*%5C.upstream_rq_total$"))["stats"]
    return {each["name"]: each["value"] for each in stats}


@pytest.mark.parametrize("method", OPERATORS_METHODS)
async def test_services_of_operators_are_not_reached_through_envoy(edge: Edge, method: str) -> None:
    assert "ALLOW" == await edge.outcome(key="kiosk-key")
    before = upstream(edge.envoy)
    async with grpc.aio.secure_channel(f"localhost:{edge.envoy.port}", edge.files.credentials(None)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/portcullis.v1.{method}")(b"", timeout=5)

    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()
    # The gateway here would say the same, so what counts is that nobody was asked.
    assert before == upstream(edge.envoy)
    assert 1 <= before["cluster.gateway.upstream_rq_total"]


async def test_a_message_over_the_limit_is_refused_by_envoy_and_taken_up_by_nobody(edge: Edge) -> None:
    before = upstream(edge.envoy), edge.envoy.memory_mib(), edge.gateway.memory_mib()
    async with grpc.aio.secure_channel(f"localhost:{edge.envoy.port}", edge.files.credentials(None)) as channel:
        check = channel.unary_unary("/portcullis.v1.CheckService/Check")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check(bytes(20_000_000), metadata=(("authorization", "Bearer kiosk-key"),), timeout=10)

    assert caught.value.code() in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL}
    assert before[0] == upstream(edge.envoy)
    assert edge.envoy.memory_mib() - before[1] < 10
    assert edge.gateway.memory_mib() - before[2] < 10


async def test_a_rapid_reset_is_cut(edge: Edge) -> None:
    toll = await under(edge, "rapid reset", lambda: attacks.rapid_reset(edge.target, 20_000, "shop-key"))

    assert toll.cut
    assert 1 <= edge.envoy.count("http.partners.downstream_rq_too_many_premature_resets")


async def test_streams_that_send_headers_alone_are_ended(edge: Edge) -> None:
    async def attack() -> Toll:
        async with attacks.held_open(edge.target, 4, 120, key="shop-key") as siege:
            assert await until(lambda: siege.toll().reset + siege.toll().answered >= 480, IDLE_S + 6)
            return siege.toll()

    began = edge.envoy.count("cluster.gateway.upstream_rq_total")
    await under(edge, "header-only streams", attack)

    # What reached the gateway is the bystanders' alone: a call without its body goes no further.
    assert edge.envoy.count("cluster.gateway.upstream_rq_active") <= 1
    assert edge.envoy.count("cluster.gateway.upstream_rq_total") > began


async def test_streams_begun_by_the_hundred_hardly_reach_the_gateway(edge: Edge) -> None:
    async def attack() -> Toll:
        async with attacks.held_open(edge.target, 4, 100, path=STREAM_CHECK, key="shop-key") as siege:
            assert await until(lambda: siege.toll().answered >= 400 - MOST_STREAMS_BEGUN, 10)
            return siege.toll()

    reached = edge.envoy.count("cluster.streams.upstream_rq_total")
    await under(edge, "held streams", attack, kept=8 + 3 * MOST_STREAMS_BEGUN // places_of_envoy())

    # Were a connection given more than the gateway takes, it would refuse them.
    assert 0 == edge.envoy.count("cluster.streams.upstream_rq_503")
    assert 1 <= edge.envoy.count("cluster.streams.upstream_rq_total") - reached <= MOST_STREAMS_BEGUN
    assert 400 - MOST_STREAMS_BEGUN <= edge.envoy.count("stream_starts.http_local_rate_limit.rate_limited")


def places_of_envoy() -> int:
    """How many streams Envoy has under way on one connection to a gateway."""
    clusters = yaml.safe_load(SHIPPED.read_text())["static_resources"]["clusters"]
    (options,) = next(each for each in clusters if each["name"] == "gateway")["typed_extension_protocol_options"].values()
    return int(options["explicit_http_config"]["http2_protocol_options"]["max_concurrent_streams"])


def test_envoy_has_fewer_streams_on_a_connection_than_any_gateway_takes() -> None:
    assert places_of_envoy() < min(STREAMS.values())


async def test_a_header_block_without_end_is_cut(edge: Edge) -> None:
    toll = await under(edge, "CONTINUATION flood", lambda: attacks.continuation_flood(edge.target, 5_000))

    assert toll.cut


@pytest.mark.parametrize("flood", [attacks.ping_flood, attacks.settings_flood])
async def test_floods_of_frames_are_survived(edge: Edge, flood: Callable[..., Awaitable[Toll]]) -> None:
    await under(edge, flood.__name__, lambda: flood(edge.target, 20_000))


async def test_20_kb_of_metadata_do_not_reach_the_gateway(edge: Edge) -> None:
    given = resident_id(7)
    item = pb.CheckRequest(action="loan.apply", purpose="lending")
    item.identifiers.add(kind=given.kind, value=given.value)
    body = item.SerializeToString()
    usual = await attacks.calls_with_metadata(edge.target, 16, 10, body, key="shop-key")
    reached = upstream(edge.envoy)
    toll = await attacks.calls_with_metadata(edge.target, 16, 20_000, body, key="shop-key")

    assert 16 == usual.good
    assert 0 == toll.good
    assert reached == upstream(edge.envoy)


async def test_requests_over_what_gateways_can_answer_are_refused_by_envoy_and_health_goes_on(edge: Edge) -> None:
    given = resident_id(7)
    item = pb.CheckRequest(action="loan.apply", purpose="lending")
    item.identifiers.add(kind=given.kind, value=given.value)
    body = pb.BatchCheckRequest(requests=[item] * 500).SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1)]
    before = edge.gateway.memory_mib()
    async with AsyncExitStack() as stack:
        target, credentials = f"localhost:{edge.envoy.port}", edge.files.credentials(None)
        channels = [
            await stack.enter_async_context(grpc.aio.secure_channel(target, credentials, options=options)) for _ in range(4)
        ]
        metadata = (("authorization", "Bearer kiosk-key"),)
        calls = [
            channels[number % 4].unary_unary("/portcullis.v1.CheckService/BatchCheck")(body, metadata=metadata, timeout=20)
            for number in range(160)
        ]
        answers = asyncio.gather(*(call.code() for call in calls))
        async with asyncio.timeout(5):
            check = channels[0].unary_unary("/portcullis.v1.CheckService/Check")
            assert await check(item.SerializeToString(), metadata=metadata)
            assert await channels[0].unary_unary("/grpc.health.v1.Health/Check")(b"")
        codes = Counter(await answers)
    print(f"batches: {dict(codes)}; gateway {before:.0f} -> {edge.gateway.memory_mib():.0f} MiB")

    assert codes.keys() == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert edge.gateway.memory_mib() - before < 60


async def test_an_address_that_looks_at_health_without_end_fills_no_place_of_others(edge: Edge) -> None:
    began, reached = time.monotonic(), edge.envoy.count("cluster.health.upstream_rq_total")
    async with grpc.aio.secure_channel(f"localhost:{edge.envoy.port}", edge.files.credentials(None)) as channel:
        look = channel.unary_unary("/grpc.health.v1.Health/Check")
        codes = Counter([await call.code() for call in [look(b"", timeout=10) for _ in range(400)]])
        most = LOOKS_AT_ONCE + LOOKS_A_SECOND * (2 + time.monotonic() - began)
        reached = edge.envoy.count("cluster.health.upstream_rq_total") - reached

        # After a moment it may look again.
        deadline = time.monotonic() + 10
        while await look(b"", timeout=10).code() is not grpc.StatusCode.OK:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)

    assert {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED} == codes.keys()
    assert codes[grpc.StatusCode.OK] == reached <= most
