"""Callers' certificates on real ports: who is let in by one, who is refused, and what a proxy may say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from structlog.testing import capture_logs

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.dev_ca import Pair
from portcullis.client import Identifier, Question, Unauthenticated, Unavailable
from portcullis.gateway.transport.peers import FORWARDED, read_certificate
from tests.support.gateways import Bench, arrival, credential, refusal, running_gateway
from tests.support.people import resident_id
from tests.support.tls_gateways import BANK, KEYS, LENDER, PROXY, SHOP, Files, TlsBench, ask, the_policy, tls_gateway

DAY = timedelta(days=1)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
async def bench(files: Files) -> AsyncIterator[TlsBench]:
    async with tls_gateway(files) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "key"),
    [(LENDER, ""), (SHOP, ""), (SHOP, "shop"), (BANK, "bank"), ("stranger.example", "kiosk"), ("stranger.example", "shop")],
)
async def test_who_proves_itself_as_its_policy_says_is_answered(bench: TlsBench, name: str, key: str) -> None:
    assert "ALLOW" == await bench.outcome(bench.files.client(name), KEYS.get(key))


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("stranger.example",), ""),  # a good authority, and nobody's name
        ((LENDER + "/desk",), ""),
        (("lender.partners.example",), ""),
        ((BANK,), ""),  # one half of both
        (("stranger.example",), "bank"),  # the other half
        ((LENDER,), "bank"),  # two halves of two
        ((LENDER,), "kiosk"),
        (("stranger.example",), "lender"),  # whose keys are good for nothing
        ((LENDER, SHOP), ""),  # two partners at once
        ((LENDER, BANK), ""),  # two SPIFFE IDs
        ((SHOP,), "nobody"),
    ],
)
async def test_who_proves_anything_else_is_refused_with_one_answer(
    bench: TlsBench, names: tuple[str, ...], key: str
) -> None:
    with pytest.raises(Unauthenticated):
        await bench.outcome(bench.files.client(*names), KEYS.get(key, key) or None)


async def test_a_certificate_that_ended_has_not_begun_or_is_of_another_authority_opens_no_connection(
    bench: TlsBench, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    other = tmp_path / "other"
    other.mkdir()
    refused: dict[str, Pair | None] = {
        "ended": bench.files.client(LENDER, begins=now - 2 * DAY, ends=now - DAY),
        "to come": bench.files.client(LENDER, begins=now + DAY, ends=now + 2 * DAY),
        "of another authority": Files(other).client(LENDER),
        "none": None,
    }
    for what, pair in refused.items():
        with pytest.raises(Unavailable):
            assert not await bench.outcome(pair, KEYS["kiosk"]), what
    assert "ALLOW" == await bench.outcome(bench.files.client(LENDER))


async def test_plain_text_is_refused_where_there_is_tls(bench: TlsBench) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bench.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/portcullis.v1.CheckService/Check")(b"", timeout=5)
    assert grpc.StatusCode.UNAVAILABLE == caught.value.code()


@pytest.mark.parametrize("by", ["serial", "key_digest"])
async def test_a_revoked_certificate_is_refused_on_the_connection_that_stands_whatever_key_it_brings(
    bench: TlsBench, by: str
) -> None:
    pair, another = bench.files.client(SHOP), bench.files.client(SHOP)
    async with bench.client(pair) as standing, bench.client(pair, KEYS["shop"]) as keyed:
        assert ["ALLOW", "ALLOW"] == [await ask(standing), await ask(keyed)]
        await bench.publish(revoked=[getattr(read_certificate(pair.pem()[0]), by)])
        for client in (standing, keyed):
            with pytest.raises(Unauthenticated):
                await ask(client)
    assert "ALLOW" == await bench.outcome(another)


async def test_a_stream_that_stands_ends_with_its_certificate(bench: TlsBench) -> None:
    pair, revoked = bench.files.client(LENDER), asyncio.Event()
    given = resident_id(7)
    question = Question((Identifier(given.kind, given.value),), "loan.apply", "lending")

    async def questions() -> AsyncIterator[tuple[str, Question]]:
        yield "q", question
        await revoked.wait()
        yield "q", question

    async with bench.client(pair) as client:
        answers = client.stream_check(questions())
        first = await anext(answers)
        assert first.decision is not None
        await bench.publish(revoked=[read_certificate(pair.pem()[0]).serial])
        revoked.set()
        with pytest.raises(Unauthenticated):
            await anext(answers)


class HandClock(SystemClock):
    """The clock of this host, moved."""

    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


async def test_certificates_and_keys_end_by_the_clock_on_connections_that_stand(files: Files) -> None:
    clock = HandClock()
    async with tls_gateway(files, clock) as bench:
        await bench.publish(kiosk=clock.now() + 3600)
        stranger = files.client("stranger.example")
        ending = files.client(LENDER, ends=datetime.now(UTC) + timedelta(hours=2))
        async with bench.client(ending) as certified, bench.client(stranger, KEYS["kiosk"]) as keyed:
            clock.ahead_s = 3590
            assert ["ALLOW", "ALLOW"] == [await ask(certified), await ask(keyed)]
            clock.ahead_s = 3610
            assert "ALLOW" == await ask(certified)
            with pytest.raises(Unauthenticated):
                await ask(keyed)
            clock.ahead_s = 7210
            with pytest.raises(Unauthenticated):
                await ask(certified)


async def test_a_new_certificate_is_shown_from_the_next_connection_on_and_a_broken_one_never(bench: TlsBench) -> None:
    pair = bench.files.client(LENDER)
    assert "ALLOW" == await bench.outcome(pair)
    before = shown(bench)
    renewed = bench.files.renew()
    assert renewed.pem()[0] == shown(bench) != before
    # A certificate whose key has not followed, then no certificate at all.
    for broken in (bench.files.authority.issue("localhost", []).pem()[0], b"no certificate"):
        bench.files.cert.write_bytes(broken)
        assert renewed.pem()[0] == shown(bench)
        assert "ALLOW" == await bench.outcome(pair)
    bench.files.cert.unlink()
    assert renewed.pem()[0] == shown(bench)
    again = bench.files.renew()
    assert again.pem()[0] == shown(bench)


def shown(bench: TlsBench) -> bytes:
    """The certificate that a new connection is shown."""
    import ssl

    return ssl.get_server_certificate(("localhost", bench.port)).encode().replace(b"\r", b"")


async def test_authorities_are_followed_too(bench: TlsBench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    newcomer = Files(other).client(LENDER)
    with pytest.raises(Unavailable):
        await bench.outcome(newcomer)
    both = bench.files.ca.read_bytes() + (other / "ca.crt").read_bytes()
    bench.files.ca.write_bytes(both)
    assert "ALLOW" == await bench.outcome(newcomer)


async def test_rotation_under_load_drops_none_of_10_000_calls(bench: TlsBench) -> None:
    pair, calls, streams = bench.files.client(LENDER), 10_000, 20
    shares = iter(range(calls))
    renewed, done = 0, 0

    async def caller() -> None:
        nonlocal done
        while True:
            # Each caller comes back on a new connection again and again: some meet each certificate.
            async with bench.client(pair) as client:
                for _ in range(50):
                    if next(shares, None) is None:
                        return
                    assert "ALLOW" == await ask(client)
                    done += 1

    async def renewing() -> None:
        nonlocal renewed
        while True:
            bench.files.renew()
            renewed += 1
            await asyncio.sleep(0.1)

    with capture_logs() as logs:
        rotation = asyncio.create_task(renewing())
        await asyncio.gather(*(caller() for _ in range(streams)))
        rotation.cancel()
    assert calls == done
    assert sum(each["event"] == "the server's certificate was read anew" for each in logs) > 5


def forwarded(pair: Pair, **more: str) -> str:
    told = "".join(f";{name}={value}" for name, value in more.items())
    return f'Hash=00;Cert="{quote(pair.pem()[0].decode(), safe="")}"{told}'


async def call_with(bench: TlsBench, pair: Pair, *headers: str, key: str = "") -> str:
    """Call with these headers through a connection of this certificate; gives the status."""
    metadata = [(FORWARDED, header) for header in headers]
    metadata += [("authorization", f"Bearer {key}")] if key else []
    target = f"localhost:{bench.port}"
    options = [("grpc.enable_http_proxy", 0)]
    async with grpc.aio.secure_channel(target, bench.files.credentials(pair), options) as channel:
        return await status_of(channel, metadata)


async def status_of(channel: grpc.aio.Channel, metadata: list[tuple[str, str]]) -> str:
    """Send a check that says nothing: one who is admitted is told so."""
    try:
        await channel.unary_unary("/portcullis.v1.CheckService/Check")(b"", metadata=metadata, timeout=5)
    except grpc.aio.AioRpcError as fault:
        return fault.code().name
    return "OK"


ADMITTED, REFUSED = "INVALID_ARGUMENT", "UNAUTHENTICATED"


async def test_a_forwarded_certificate_is_believed_from_the_proxy_alone(files: Files) -> None:
    proxy, lender, stranger = files.client(PROXY), files.client(LENDER), files.client("stranger.example")
    async with tls_gateway(files, forwarded_by=PROXY) as bench:
        assert ADMITTED == await call_with(bench, proxy, forwarded(lender, URI=LENDER))
        # From anybody else the header is as if it were not there.
        assert REFUSED == await call_with(bench, stranger, forwarded(lender))
        assert ADMITTED == await call_with(bench, lender, forwarded(stranger))
        assert ADMITTED == await call_with(bench, stranger, forwarded(lender), key=KEYS["kiosk"])
        # The proxy is nobody by itself, and passes keys on.
        assert REFUSED == await call_with(bench, proxy)
        assert ADMITTED == await call_with(bench, proxy, key=KEYS["kiosk"])
        assert REFUSED == await call_with(bench, proxy, forwarded(stranger))
        assert REFUSED == await call_with(bench, proxy, forwarded(lender), key=KEYS["bank"])
        for mark in (proxy, lender):
            await bench.publish(revoked=[read_certificate(mark.pem()[0]).serial])
            assert REFUSED == await call_with(bench, proxy, forwarded(lender))


async def test_what_is_not_one_certificate_that_is_good_now_is_not_believed_from_the_proxy_either(files: Files) -> None:
    now = datetime.now(UTC)
    lender, proxy = files.client(LENDER), files.client(PROXY)
    ended = files.client(LENDER, begins=now - 2 * DAY, ends=now - DAY)
    one = forwarded(lender)
    async with tls_gateway(files, forwarded_by=PROXY) as bench:
        for headers in (
            [forwarded(ended)],
            [f"{one},{one}"],
            [one, one],
            [f"{one};{one}"],
            ["Hash=00;URI=" + LENDER],
            ['Cert="nonsense"'],
            ["nonsense"],
            [""],
        ):
            assert REFUSED == await call_with(bench, proxy, *headers), headers


@pytest.mark.parametrize("transport", ["grpcio", "native"])
async def test_a_proxy_on_this_host_is_believed_where_the_settings_say_so(transport: str, files: Files) -> None:
    header = [(FORWARDED, forwarded(files.client(LENDER)))]
    for forwarded_by, expected in (("loopback", ADMITTED), ("", REFUSED)):
        async with running_gateway(transport, forwarded_by=forwarded_by) as bench:  # type: ignore[arg-type]
            await known(bench)
            assert expected == await status_of(bench.channel, header)


async def test_the_loopback_of_this_host_is_no_other_address() -> None:
    from portcullis.gateway.transport.peers import Peers

    class Context:
        def __init__(self, peer: str) -> None:
            self._peer = peer

        def peer(self) -> str:
            return self._peer

    peers = Peers("loopback")
    near = ["ipv4:127.0.0.1:5", "127.0.0.9:50", "ipv6:[::1]:5", "ipv6:%5B::1%5D:5", "[::1]:7"]
    far = ["ipv4:10.0.0.1:5", "ipv4:127.0.0.1.evil.example:5", "unix:", "ipv6:[::2]:5", "ipv4:1127.0.0.1:5", ""]
    assert near == [peer for peer in near + far if peers._is_proxy(Context(peer), None)]


async def known(bench: Bench) -> None:
    bench.credentials[:] = [credential(KEYS["kiosk"], "kiosk")]
    await arrival(bench, bench.publish(the_policy(), {}))


async def test_without_tls_a_certificates_partner_is_not_let_in_by_a_key() -> None:
    async with running_gateway("grpcio") as bench:
        bench.credentials[:] = [credential(key, name) for name, key in KEYS.items()]
        await arrival(bench, bench.publish(the_policy(), {}))
        for name, expected in (("kiosk", ADMITTED), ("shop", ADMITTED), ("lender", REFUSED), ("bank", REFUSED)):
            assert expected == await status_of(bench.channel, [("authorization", f"Bearer {KEYS[name]}")]), name
        code, reason, _, text = await refusal(bench.call("CheckService/Check", b"", key=KEYS["bank"]))
        assert (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED") == (code, reason)
        assert KEYS["bank"] not in text
