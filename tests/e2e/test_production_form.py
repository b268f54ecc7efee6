"""One Valkey, and the publisher, the follower, the registry and two gateways as plain processes, as in production."""

import time
from contextlib import ExitStack
from http import HTTPStatus

import grpc
import pytest

from portcullis.client import Client
from portcullis.mains.children import start_child
from portcullis.mains.keys import ensure_keys
from portcullis.mains.store_health import store_fault
from portcullis.mains.valkey import discard_socket, socket_path, url_of, valkey_spec
from portcullis.v1 import registry_service_pb2, registry_service_pb2_grpc
from tests.support.parts import Part
from tests.support.processes import wait_for
from tests.support.stack import ROOT, TRANSPORTS, fetch, listed_resident, portcullis

pytestmark = pytest.mark.e2e

LIST = "court-judgment-defaulters"
POLICY = ROOT / "services" / "portcullis" / "demo" / "policy"


class Production:
    """The parts, and what their operator knows."""

    def __init__(self, folder, transport, held):
        self.home = folder / "home"
        run = self.home / "run"
        run.mkdir(parents=True)
        ensure_keys(self.home / "keys")
        socket = socket_path(run)
        held.callback(discard_socket, socket)
        valkey = start_child(valkey_spec(socket, run))
        held.callback(valkey.wait, 10)
        held.callback(valkey.terminate)
        wait_for(lambda: store_fault(url_of(socket)) is None, what="Valkey's answer")
        self.environment = {
            "PORTCULLIS_HOME": str(self.home),
            "PORTCULLIS_REDIS_URL": url_of(socket),
            "PORTCULLIS_TRANSPORT": transport,
        }
        self.prepare(folder)
        parts = [("publisher", 0), ("follower", 0), ("registry", 0), ("gateway", 1), ("gateway", 2)]
        self.parts = {}
        for part, number in parts:
            started = Part(part, folder, number, **self.environment)
            held.callback(started.clean_up)
            self.parts[started.name] = started
        for part in self.parts.values():
            part.wait_until_ready()

    def prepare(self, folder):
        rows = folder / "rows.jsonl"
        rows.write_bytes((ROOT / "services" / "portcullis" / "demo" / "lists" / f"{LIST}.jsonl").read_bytes())
        assert 0 == self.run("policy", "apply", POLICY).returncode
        imported = self.run("import", "--list", LIST, "--format", "jsonl", rows)
        assert 0 == imported.returncode, imported.stderr
        self.key = self.run("partner", "key", "new", "ticketing").stdout.strip()
        self.operator_key = self.run("partner", "key", "new", "ops", "--role", "operator").stdout.strip()

    def run(self, *arguments):
        return portcullis(*arguments, **self.environment)

    @property
    def gateways(self):
        return [self.parts["gateway-1"], self.parts["gateway-2"]]

    def outcomes(self):
        return [self.outcome(gateway) for gateway in self.gateways]

    def outcome(self, gateway):
        with Client(gateway.grpc, api_key=self.key, timeout_s=5.0) as client:
            return client.check(
                [listed_resident()], action="rail.ticket.purchase", purpose="ticketing", attributes={"train": "G101"}
            ).outcome

    def withdraw(self, key):
        request = registry_service_pb2.WithdrawEntryRequest(list=LIST, key=key, reason="performed")
        with grpc.insecure_channel(self.parts["registry-0"].grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
            registry_service_pb2_grpc.RegistryServiceStub(channel).WithdrawEntry(
                request, timeout=10, metadata=[("authorization", f"Bearer {self.operator_key}")]
            )


@pytest.fixture(scope="module", params=TRANSPORTS)
def production(request, tmp_path_factory):
    with ExitStack() as held:
        yield Production(tmp_path_factory.mktemp(f"production-{request.param}"), request.param, held)


def test_each_part_serves_its_own_metrics_and_health(production):
    telling = {
        "publisher-0": "portcullis_publishes_total 1.0",
        "follower-0": "portcullis_follower_installs_total 1.0",
        "registry-0": "portcullis_check_errors_total",
        "gateway-1": "portcullis_snapshot_records",
        "gateway-2": "portcullis_snapshot_records",
    }
    for name, sample in telling.items():
        status, text = fetch(production.parts[name].http, "/metrics")
        assert (HTTPStatus.OK, True) == (status, sample in text), name


def test_the_doctor_of_the_host_finds_nothing_to_mend(production):
    target = production.gateways[0].grpc.rpartition(":")[2]
    examined = portcullis("doctor", **production.environment, PORTCULLIS_GRPC_PORT=target)
    assert 0 == examined.returncode, examined.stdout


def test_a_second_follower_on_the_same_replica_is_refused(production, tmp_path):
    second = Part("follower", tmp_path, 2, **production.environment)
    try:
        assert 2 == second.process.wait(60)
        assert 1 == sum("portcullis: follower:" in line for line in second.stderr.read_text().splitlines())
    finally:
        second.clean_up()


def test_a_withdrawal_reaches_both_gateways_and_every_part_stops_when_told(production):
    assert ["RESTRICT", "RESTRICT"] == production.outcomes()
    production.withdraw("J0000")
    begun = time.monotonic()
    wait_for(lambda: production.outcomes() == ["ALLOW", "ALLOW"], within_s=10, what="the withdrawal on both gateways")
    assert 5 > time.monotonic() - begun
    assert dict.fromkeys(production.parts, 0) == {name: part.stop() for name, part in production.parts.items()}


def test_a_part_without_its_key_says_so_in_one_line(tmp_path):
    refused = portcullis("serve", "gateway", PORTCULLIS_HOME=str(tmp_path), PORTCULLIS_HTTP_PORT="0")
    assert (2, "") == (refused.returncode, refused.stdout)
    (line,) = refused.stderr.splitlines()
    assert "token.key" in line


def test_a_follower_without_a_store_says_so_in_one_line(tmp_path):
    refused = portcullis("serve", "follower", PORTCULLIS_HOME=str(tmp_path), PORTCULLIS_HTTP_PORT="0")
    assert 2 == refused.returncode
    assert "PORTCULLIS_REDIS_URL" in refused.stderr
    assert 1 == len(refused.stderr.splitlines())
