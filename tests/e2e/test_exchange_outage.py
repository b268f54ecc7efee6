"""The exchange in its production form while PostgreSQL or Valkey is dead, and while it is itself told to stop.

The client's own lists are the witness: the refusals that it was answered, the receipts that it was given, and the changes
that its watch has brought.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from portcullis.client import (
    Change,
    Client,
    ClientError,
    Decision,
    Enforced,
    Event,
    Heartbeat,
    Identifier,
    Receipt,
    Unavailable,
)
from portcullis.config import Settings
from portcullis.demo.people import resident_id
from portcullis.mains.parts import open_registry, open_token_keys
from portcullis.v1 import sharing_service_pb2 as pb
from portcullis.v1 import sharing_service_pb2_grpc
from tests.support.exchange_deployment import LIST, Deployment, assert_recorded
from tests.support.processes import wait_for
from tests.support.stack import fetch, listed_resident

pytestmark = pytest.mark.e2e

UNLISTED = Identifier("cn.resident-id", resident_id(900_001).value)
CHECKS = 50
"""So many of each kind, at least, while PostgreSQL is dead."""

DRAIN_S = 1.0
STOPPING_S = 4.0
"""What ending takes beside the drain, on a machine that does much else."""
IMPORTED = 40
"""The list's entries when it was imported, each of them one change."""


def ask(client: Client, identifier: Identifier) -> Decision:
    return client.check([identifier], action="rail.ticket.purchase", purpose="ticketing", attributes={"train": "G101"})


class Checks:
    """A checkout that asks on and on, now for one who is listed and now for one who is not."""

    def __init__(self, target: str, key: str) -> None:
        self._client = Client(target, api_key=key, timeout_s=5.0)
        self._over = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self.refused: list[str] = []
        self.thread = threading.Thread(target=self._work, name="checks")

    def close(self) -> None:
        self._over.set()
        self.thread.join(10)
        self._client.close()

    def _work(self) -> None:
        while not self._over.wait(0.02):
            for identifier in (listed_resident(), UNLISTED):
                try:
                    decision = ask(self._client, identifier)
                except ClientError as fault:
                    self.outcomes[type(fault).__name__] += 1
                    continue
                if decision.outcome == "RESTRICT":
                    self.refused.append(decision.decision_id)
                self.outcomes[decision.outcome] += 1


class Watcher:
    """A partner's watch, from the oldest change on, that only the SDK resumes."""

    def __init__(self, target: str, key: str) -> None:
        self._client = Client(target, api_key=key)
        self.changes: list[Change] = []
        self.beats = 0
        self.fault = ""
        self._over = False
        self.thread = threading.Thread(target=self._work, name="watch")

    def close(self) -> None:
        self._over = True
        self._client.close()
        self.thread.join(10)

    def _work(self) -> None:
        try:
            for watched in self._client.watch_changes("oldest"):
                if isinstance(watched, Change):
                    self.changes.append(watched)
                self.beats += isinstance(watched, Heartbeat)
        except (ClientError, RuntimeError) as fault:
            self.fault = "" if self._over else repr(fault)


class Exchange:
    """The deployment, with a checkout and a watch that go on through all of the tests."""

    def __init__(self, folder: Path, held: ExitStack) -> None:
        given = {"PORTCULLIS_HEARTBEAT_S": "1", "PORTCULLIS_DRAIN_S": str(DRAIN_S)}
        self.deployment = Deployment(folder, held, **given)
        settings = Settings(home=self.deployment.home)
        self.registry = held.enter_context(open_registry(settings, open_token_keys(settings)))
        self.checks = Checks(self.parts["gateway"].grpc, self.deployment.key)
        self.watcher = Watcher(self.parts["exchange"].grpc, self.deployment.key)
        for each in (self.checks, self.watcher):
            held.callback(each.close)
            each.thread.start()
        self.reports = held.enter_context(Client(self.parts["exchange"].grpc, api_key=self.deployment.key))
        self.receipts: dict[str, Receipt] = {}
        self.withdrawn = 0

    @property
    def parts(self):
        return self.deployment.parts

    def withdraw(self) -> None:
        """Take one more entry out of force; one that no checkout asks for."""
        self.withdrawn += 1
        self.registry.withdraw_entry(LIST, f"J{IMPORTED - self.withdrawn:04}", reason="performed", actor="ops")

    def wait_for_changes(self, within_s: float) -> float:
        """Wait until the watch has brought all changes; gives how many seconds that took."""
        begun = time.monotonic()
        expected = IMPORTED + self.withdrawn
        seen = self.watcher
        wait_for(lambda: seen.fault or len(seen.changes) >= expected, within_s=within_s, what="the watch's changes")
        assert "" == seen.fault
        return time.monotonic() - begun

    def report(self, *events: Event) -> None:
        """Report events, which all have to be taken."""
        for answer in self.reports.report_events(events):
            receipt = answer.get()
            self.receipts[receipt.event_id] = receipt

    def metric(self, part: str, name: str) -> float:
        _, text = fetch(self.parts[part].http, "/metrics")
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    @contextmanager
    def stub(self) -> Iterator[sharing_service_pb2_grpc.SharingServiceStub]:
        """Give the service without the SDK."""
        options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
        with grpc.insecure_channel(self.parts["exchange"].grpc, options=options) as channel:
            yield sharing_service_pb2_grpc.SharingServiceStub(channel)

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.deployment.key}")]

    def assert_nothing_lost(self) -> None:
        """The journal has what was answered; and a second watch brings what the first one has, each change once."""
        assert_recorded(self.deployment, list(self.checks.refused), dict(self.receipts))
        again: list[Change] = []
        for watched in self.reports.watch_changes("oldest"):
            if isinstance(watched, Heartbeat):
                break
            again.append(watched)
        assert "" == self.watcher.fault
        assert IMPORTED + self.withdrawn == len({change.cursor for change in again}) == len(again)
        assert again == self.watcher.changes


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with ExitStack() as held:
        running = Exchange(tmp_path_factory.mktemp("outage"), held)
        running.wait_for_changes(30)
        yield running


def enforced(decision_id: str, name: str = "enforced") -> Event:
    return Event(f"{name}-{decision_id}", datetime.now(UTC), Enforced(decision_id))


def later(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Do something that is expected to fail in a thread; gives the thread, and where its fault will be."""
    faults: list[BaseException] = []

    def catch() -> None:
        try:
            work()
        except Exception as fault:  # noqa: BLE001 - the test looks at it
            faults.append(fault)

    thread = threading.Thread(target=catch)
    thread.start()
    return thread, faults


def status_of(fault: BaseException) -> tuple[grpc.StatusCode, bool]:
    """Give a failed call's code, and whether it says when to try again."""
    assert isinstance(fault, grpc.RpcError)
    assert isinstance(fault, grpc.Call)
    status, retry = rpc_status.from_call(fault), error_details_pb2.RetryInfo()
    hinted = status is not None and any(detail.Unpack(retry) for detail in status.details)
    return fault.code(), hinted and retry.retry_delay.ToNanoseconds() > 0


def test_with_valkey_dead_a_change_reaches_a_watcher_all_the_same(exchange: Exchange) -> None:
    exchange.deployment.valkey.kill()
    try:
        for _ in range(2):
            exchange.withdraw()
            assert 3.0 > exchange.wait_for_changes(10)
    finally:
        exchange.deployment.valkey.start()


def test_with_postgresql_dead_checks_go_on_and_all_the_rest_waits_for_it(exchange: Exchange) -> None:
    parts = dict(exchange.parts)
    exchange.report(enforced(exchange.checks.refused[-1]))
    with exchange.stub() as stub:
        raw = stub.WatchChanges(pb.WatchChangesRequest(), metadata=exchange.metadata)
        next(raw)
        exchange.deployment.postgres.kill()
        try:
            begun, before = time.monotonic(), exchange.checks.outcomes.copy()
            watch, ended = later(lambda: list(raw))
            exchange.withdraw()
            refused = exchange.checks.refused[-1]
            assert_unreported(exchange, stub, enforced(refused, "meanwhile"))
            assert_waiting_grows(exchange)
            wait_for(
                lambda: min((exchange.checks.outcomes - before)[kind] for kind in ("RESTRICT", "ALLOW")) >= CHECKS,
                within_s=30,
                what="checks without PostgreSQL",
            )
            watch.join(20)
            assert [(grpc.StatusCode.UNAVAILABLE, True)] == [status_of(fault) for fault in ended]
            assert len(exchange.watcher.changes) < IMPORTED + exchange.withdrawn
            print(f"\nPostgreSQL dead for {time.monotonic() - begun:.1f} s: {exchange.checks.outcomes - before}")
        finally:
            exchange.deployment.postgres.start()
    print(f"the watch had resumed {exchange.wait_for_changes(30):.1f} s after its start")
    wait_for(lambda: reported(exchange, enforced(refused, "meanwhile")), within_s=30, what="a receipt")
    wait_for(lambda: not exchange.metric("shipper", "portcullis_spool_oldest_age_seconds") > 2, within_s=30)
    assert {"RESTRICT", "ALLOW"} == set(exchange.checks.outcomes)
    exchange.assert_nothing_lost()
    assert parts == exchange.parts
    assert dict.fromkeys(parts) == {name: part.process.poll() for name, part in parts.items()}


def assert_unreported(exchange: Exchange, stub: sharing_service_pb2_grpc.SharingServiceStub, event: Event) -> None:
    """A report is told that it is to come again, by the SDK and on the wire."""
    (answer,) = exchange.reports.report_events([event])
    with pytest.raises(Unavailable) as refused:
        answer.get()
    assert (refused.value.retry_after_s or 0) > 0
    message = pb.Event(event_id=event.event_id, enforced=pb.Enforced(decision_id=event.detail.decision_id))
    message.occurred_at.FromDatetime(event.occurred_at)
    with pytest.raises(grpc.RpcError) as wire:
        stub.ReportEvents(pb.ReportEventsRequest(events=[message]), timeout=10, metadata=exchange.metadata)
    assert (grpc.StatusCode.UNAVAILABLE, True) == status_of(wire.value)


def assert_waiting_grows(exchange: Exchange) -> None:
    """The shipper tells that more and more waits in the spool."""
    seen = wait_for(lambda: exchange.metric("shipper", "portcullis_spool_waiting_bytes"), what="decisions in the spool")
    wait_for(lambda: exchange.metric("shipper", "portcullis_spool_waiting_bytes") > seen, what="more of them")


def reported(exchange: Exchange, event: Event) -> bool:
    try:
        exchange.report(event)
    except ClientError:
        return False
    return True


def test_an_exchange_told_to_stop_ends_in_time_with_streams_open_and_loses_nothing(exchange: Exchange) -> None:
    events = [enforced(decision, "streamed") for decision in exchange.checks.refused[:5]]
    sent, over = threading.Event(), threading.Event()

    def requests() -> Iterator[pb.StreamEventsRequest]:
        for event in events:
            message = pb.Event(event_id=event.event_id, enforced=pb.Enforced(decision_id=event.detail.decision_id))
            message.occurred_at.FromDatetime(event.occurred_at)
            yield pb.StreamEventsRequest(event=message)
        sent.set()
        over.wait(30)

    with exchange.stub() as stub:
        raw = stub.WatchChanges(pb.WatchChangesRequest(), metadata=exchange.metadata)
        next(raw)
        watch, watch_ended = later(lambda: list(raw))
        stream, stream_ended = later(lambda: stub.StreamEvents(requests(), metadata=exchange.metadata))
        assert sent.wait(10)
        begun = time.monotonic()
        assert 0 == exchange.parts["exchange"].stop()
        took = time.monotonic() - begun
        over.set()
        for thread in (watch, stream):
            thread.join(10)
    assert [1, 1] == [len(watch_ended), len(stream_ended)]
    assert DRAIN_S + STOPPING_S > took
    exchange.withdraw()
    exchange.deployment.start("exchange")
    exchange.wait_for_changes(60)
    wait_for(lambda: all(reported(exchange, event) for event in events), within_s=30, what="receipts of what was streamed")
    exchange.assert_nothing_lost()
    print(f"\nended {took:.1f} s after SIGTERM")
