"""A gateway worker with TLS on a real port, and the certificates of its callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.dev_ca import DevAuthority, Pair, general_name
from portcullis.adapters.memory.replica import MemoryReplica, MemoryReplicaWriter
from portcullis.client import AioClient, Identifier
from portcullis.config import Settings
from portcullis.domain.policies import Credentials, Partner, Policy
from portcullis.gateway.server import Gateway
from portcullis.metrics import CheckTally
from portcullis.ports import Clock
from tests.support.gateways import SUBJECTS, TOKENISER, ScriptedSpool, arrival, credential, edition_of, installed
from tests.support.people import resident_id
from tests.support.policies import a_list, agreement, policy

FAR = 4_000_000_000
LENDER = "spiffe://portcullis.example/partner/lender"
SHOP = "shop.partners.example"
BANK = "spiffe://portcullis.example/partner/bank"
PROXY = "spiffe://portcullis.example/envoy"
KEYS = {name: f"{name}-key" for name in ("lender", "shop", "bank", "kiosk")}


def the_policy() -> Policy:
    """Four partners: lender by certificate, shop by either, bank by both, kiosk by key."""
    agreed = (agreement(("court",), valid_from=0, valid_until=FAR),)
    partners = (
        Partner("lender", "A lender", agreed, credentials=Credentials.CERTIFICATE, certificates=(LENDER,)),
        Partner("shop", "A shop", agreed, credentials=Credentials.EITHER, certificates=(SHOP,)),
        Partner("bank", "A bank", agreed, credentials=Credentials.BOTH, certificates=(BANK,)),
        Partner("kiosk", "A kiosk", agreed),
    )
    return policy(a_list("court"), partners=partners)


class Files:
    """The files of a server, signed by an authority of its own."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.authority = DevAuthority(clock or SystemClock())
        self.cert, self.key, self.ca = folder / "server.crt", folder / "server.key", folder / "ca.crt"
        self.ca.write_bytes(self.authority.pair.pem()[0])
        self.renew()

    def renew(self) -> Pair:
        """Give the server another certificate, as a tool does that renews them: each file replaced whole."""
        pair = self.authority.issue("localhost", [general_name("localhost")])
        for path, data in zip((self.cert, self.key), pair.pem(), strict=True):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(data)
            fresh.replace(path)
        return pair

    def client(self, *names: str, **times: Any) -> Pair:
        return self.authority.issue("a caller", [general_name(name) for name in names], **times)

    def credentials(self, pair: Pair | None) -> grpc.ChannelCredentials:
        """What a caller's channel needs to show a certificate, or none."""
        cert, key = pair.pem() if pair is not None else (None, None)
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), key, cert)

    def settings(self, **changes: Any) -> Settings:
        values: dict[str, Any] = {"tls_cert": self.cert, "tls_key": self.key, "tls_client_ca": self.ca}
        return Settings(grpc_port=0, refresh_interval_s=0.005, drain_s=1.0, **(values | changes))


class TlsBench:
    """A running gateway, asked as a partner would."""

    def __init__(self, gateway: Gateway, writer: MemoryReplicaWriter, files: Files) -> None:
        self.gateway = gateway
        self.writer = writer
        self.files = files
        self.port = 0
        self.version = 0

    async def publish(self, *, revoked: Sequence[str] = (), **ends: float) -> None:
        """Let the gateway know the policy, the keys and what is revoked; ``ends`` says when a partner's key ends."""
        self.version += 1
        keys = tuple(credential(key, name, expires_at=ends.get(name)) for name, key in KEYS.items())
        edition = edition_of(self.version, the_policy(), {}, credentials=keys, revoked=tuple(revoked))
        installed(self.writer, edition, {})
        await arrival(self, self.version)  # type: ignore[arg-type]

    @asynccontextmanager
    async def client(self, pair: Pair | None, key: str | None = None) -> AsyncIterator[AioClient]:
        """A caller with this certificate and this key, on a connection of its own."""
        async with AioClient(
            f"localhost:{self.port}", api_key=key, timeout_s=5.0, credentials=self.files.credentials(pair)
        ) as client:
            yield client

    async def outcome(self, pair: Pair | None, key: str | None = None) -> str:
        """Ask once, and give the answer's outcome."""
        async with self.client(pair, key) as client:
            return await ask(client)


async def ask(client: AioClient) -> str:
    given = resident_id(7)
    decision = await client.check([Identifier(given.kind, given.value)], action="loan.apply", purpose="lending")
    return decision.outcome


@asynccontextmanager
async def tls_gateway(files: Files, clock: Clock | None = None, **changes: Any) -> AsyncIterator[TlsBench]:
    """Run a gateway of these files that knows the policy; ``changes`` are of the settings."""
    clock = clock or SystemClock()
    writer = MemoryReplicaWriter(clock)
    gateway = Gateway(
        settings=files.settings(**changes),
        replica=MemoryReplica(writer, clock),
        spool=ScriptedSpool(),
        tokeniser=TOKENISER,
        subjects=SUBJECTS,
        clock=clock,
        tally=CheckTally(CollectorRegistry()),
    )
    bench = TlsBench(gateway, writer, files)
    async with gateway.running() as bench.port:
        await bench.publish()
        yield bench
