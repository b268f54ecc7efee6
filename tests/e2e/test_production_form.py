"""One Valkey, and the publisher, the follower, the registry and two gateways as plain processes, as in production."""

import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

import grpc
import pytest

from portcullis.adapters.redis.store import RedisSnapshotStore
from portcullis.client import Client, ClientError, Identifier
from portcullis.demo.people import resident_id
from portcullis.mains.keys import ensure_keys
from portcullis.v1 import registry_service_pb2, registry_service_pb2_grpc
from tests.support.parts import Part
from tests.support.processes import wait_for
from tests.support.stack import ROOT, TRANSPORTS, fetch, listed_resident, portcullis
from tests.support.valkey import running_valkey

pytestmark = pytest.mark.e2e

LIST = "court-judgment-defaulters"
UNLISTED = Identifier("cn.resident-id", resident_id(900_001).value)
CHECKS = 300
"""So many of each kind at each gateway while nothing behind them lives."""

POLICY = ROOT / "services" / "portcullis" / "demo" / "policy"


class Production:
    """The parts, and what their operator knows."""

    def __init__(self, folder, transport, held):
        self.home = folder / "home"
        self.home.mkdir()
        self.folder = folder
        self.held = held
        ensure_keys(self.home / "keys")
        self.valkey = held.enter_context(running_valkey())
        self.environment = {
            "PORTCULLIS_HOME": str(self.home),
            "PORTCULLIS_REDIS_URL": self.valkey.url,
            "PORTCULLIS_TRANSPORT": transport,
        }
        self.prepare(folder)
        parts = [("publisher", 0), ("follower", 0), ("registry", 0), ("gateway", 1), ("gateway", 2)]
        self.parts = {}
        for part, number in parts:
            self.start(part, number)
        for part in self.parts.values():
            part.wait_until_ready()

    def start(self, part, number=0):
        started = Part(part, self.folder, number, **self.environment)
        self.held.callback(started.clean_up)
        self.parts[started.name] = started
        return started

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

    def outcomes(self, place=0):
        return [self.outcome(gateway, place) for gateway in self.gateways]

    def outcome(self, gateway, place):
        with Client(gateway.grpc, api_key=self.key, timeout_s=5.0) as client:
            return ask(client, listed_resident(place)).outcome

    @contextmanager
    def under_load(self):
        """Check at every gateway without a pause; gives what came, by outcome or by error, for each of them."""
        over, seen = threading.Event(), [Counter() for _ in self.gateways]

        def check(gateway, counted):
            with Client(gateway.grpc, api_key=self.key, timeout_s=5.0) as client:
                while not over.is_set():
                    try:
                        counted[ask(client, listed_resident(2)).outcome] += 1
                        counted[ask(client, UNLISTED).outcome] += 1
                    except ClientError as fault:
                        counted[type(fault).__name__] += 1

        threads = [threading.Thread(target=check, args=each) for each in zip(self.gateways, seen, strict=True)]
        for thread in threads:
            thread.start()
        try:
            yield seen
        finally:
            over.set()
            for thread in threads:
                thread.join(30)

    def withdraw(self, key):
        request = registry_service_pb2.WithdrawEntryRequest(list=LIST, key=key, reason="performed")
        with grpc.insecure_channel(self.parts["registry-0"].grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
            registry_service_pb2_grpc.RegistryServiceStub(channel).WithdrawEntry(
                request, timeout=10, metadata=[("authorization", f"Bearer {self.operator_key}")]
            )


def ask(client, identifier):
    return client.check([identifier], action="rail.ticket.purchase", purpose="ticketing", attributes={"train": "G101"})


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


def test_the_follower_says_in_the_store_what_its_host_serves(production):
    store = RedisSnapshotStore(production.valkey.url)
    said = wait_for(store.acknowledged, what="the follower having said what it serves")
    store.close()
    assert [socket.gethostname()] == [each.host for each in said]
    assert said[0].version >= 1
    assert said[0].registry_seq >= 1


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


def test_with_valkey_and_the_publisher_dead_checks_answer_and_after_their_return_a_change_is_seen_within_5_s(production):
    with production.under_load() as seen:
        production.valkey.kill()
        production.parts["publisher-0"].clean_up()
        production.withdraw("J0001")
        wait_for(
            lambda: all(min(each["RESTRICT"], each["ALLOW"]) >= CHECKS for each in seen), within_s=60, what="the checks"
        )
        assert ["RESTRICT", "RESTRICT"] == production.outcomes(1)
        production.valkey.start()
        production.start("publisher").wait_until_ready()
        begun = time.monotonic()
        wait_for(lambda: production.outcomes(1) == ["ALLOW", "ALLOW"], within_s=30, what="the change made meanwhile")
        assert 5 > time.monotonic() - begun
    assert [{"RESTRICT", "ALLOW"}] * 2 == [set(each) for each in seen]


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
