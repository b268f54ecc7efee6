"""Gateway, shipper, exchange, Valkey and PostgreSQL killed in turn under load: nothing that was acknowledged is lost.

The client's own list is the witness: the ids of every RESTRICT that it was answered, and every receipt that it was given.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portcullis.client import Client, ClientError, Enforced, Event, Receipt
from tests.support.exchange_deployment import DRAIN_S, Deployment, assert_recorded
from tests.support.processes import wait_for
from tests.support.result_pages import keep_page, table
from tests.support.stack import listed_resident

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("PORTCULLIS_KILLS", "10"))
SEED = int(os.environ.get("PORTCULLIS_SEED", "2026"))


class Checkout:
    """A partner's checkout: asks, and reports what it did, again and again until it has a receipt."""

    def __init__(self, deployment: Deployment, number: int, over: threading.Event) -> None:
        self._deployment = deployment
        self._number = number
        self._over = over
        self.answered: list[str] = []
        self.receipts: dict[str, Receipt] = {}
        self.faults: Counter[str] = Counter()
        self.thread = threading.Thread(target=self._work, name=f"checkout-{number}")

    def _work(self) -> None:
        gateway, exchange = (self._deployment.parts[name].grpc for name in ("gateway", "exchange"))
        with (
            Client(gateway, api_key=self._deployment.key, timeout_s=5.0) as checks,
            Client(exchange, api_key=self._deployment.key, timeout_s=5.0) as reports,
        ):
            while not self._over.is_set():
                self._once(checks, reports)

    def _once(self, checks: Client, reports: Client) -> None:
        try:
            decision = checks.check(
                [listed_resident(self._number)],
                action="rail.ticket.purchase",
                purpose="ticketing",
                attributes={"train": "G101"},
            )
        except ClientError as fault:
            self.faults[type(fault).__name__] += 1
            time.sleep(0.05)
            return
        assert "RESTRICT" == decision.outcome
        self.answered.append(decision.decision_id)
        event = Event(f"enforced-{decision.decision_id}", datetime.now(UTC), Enforced(decision.decision_id))
        deadline = time.monotonic() + DRAIN_S
        while event.event_id not in self.receipts:
            assert time.monotonic() < deadline, "an event could not be reported"
            self._report(reports, event)

    def _report(self, reports: Client, event: Event) -> None:
        try:
            (answer,) = reports.report_events([event], timeout_s=5.0)
            self.receipts[event.event_id] = answer.get()
        except ClientError as fault:
            self.faults[type(fault).__name__] += 1
            time.sleep(0.05)


def test_what_was_acknowledged_is_in_the_journal_exactly_once_whatever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    targets = ("gateway", "exchange", "postgres", "valkey", "shipper")
    killed: Counter[str] = Counter()
    with ExitStack() as held:
        deployment = Deployment(tmp_path, held)
        over = threading.Event()
        checkouts = [Checkout(deployment, number, over) for number in range(3)]
        for each in checkouts:
            each.thread.start()
        try:
            for turn in range(KILLS):
                time.sleep(chance.uniform(0.05, 0.6))
                target = targets[turn % len(targets)]
                deployment.kill(target)
                killed[target] += 1
                # Under load again, before the next one dies: every kill meets work under way.
                seen = len(checkouts[0].receipts)
                wait_for(lambda seen=seen: more_than(seen, checkouts[0]), within_s=DRAIN_S, what="the next receipts")
        finally:
            over.set()
            for each in checkouts:
                each.thread.join(DRAIN_S + 10)
        assert not any(each.thread.is_alive() for each in checkouts)
        answered = [decision for each in checkouts for decision in each.answered]
        receipts = {event_id: receipt for each in checkouts for event_id, receipt in each.receipts.items()}
        assert_recorded(deployment, answered, receipts)
        met = sum((each.faults for each in checkouts), Counter())
        print(
            f"\n{KILLS} kills: {len(answered)} refusals, {len(receipts)} receipts, all there once; faults met: {dict(met)}"
        )
        keep_page("exchange-kills", "The exchange's parts killed under load", described(killed, answered, receipts, met))


def described(
    killed: Mapping[str, int], answered: Sequence[str], receipts: Mapping[str, Receipt], faults: Mapping[str, int]
) -> Iterator[str]:
    """Write what was killed, what was acknowledged meanwhile and what the callers met."""
    yield (
        f"`make kill-exchange`, seed {SEED}: {sum(killed.values()):,} kills, in turn, each into work under way. Three "
        "checkouts asked and reported all the while, again and again until they had an answer. At the end every refusal "
        "that they were given is in the journal once, and every receipt's event, where the receipt says; and the log "
        "verifies. A run in which one is missing, or there twice, fails and leaves no page."
    )
    yield table(["part", "kills"], killed.items())
    acknowledged = [["refusals", len(answered)], ["receipts of events", len(receipts)]]
    yield table(["acknowledged, and in the journal", "times"], acknowledged)
    yield table(["what a call met meanwhile, before it was tried again", "times"], sorted(faults.items()))


def more_than(seen: int, checkout: Checkout) -> bool:
    assert checkout.thread.is_alive(), "a checkout broke"
    return len(checkout.receipts) > seen + 1
