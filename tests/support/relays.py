"""Relays for tests: a feed in memory, streams in any store, real receivers."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from portcullis.adapters.http_delivery import HttpDelivery
from portcullis.adapters.line_files import DurableLines
from portcullis.adapters.memory.feed import MemoryFeed
from portcullis.adapters.memory.relay import MemoryRelay
from portcullis.adapters.set_signing import FileSigner, ensure_set_key
from portcullis.domain.policies import Partner, Policy
from portcullis.domain.subjects import SubjectNames
from portcullis.exchange.relay.delivering import Deliveries
from portcullis.exchange.relay.desk import Streams
from portcullis.exchange.relay.envelopes import Envelopes
from portcullis.exchange.relay.relay import Relay
from portcullis.exchange.relay.sources import AuthoritySource, PartnerSource
from portcullis.metrics.relay import RelayMetrics
from portcullis.ports import Clock
from portcullis.ports.relay import DeliveryMethod, LineFiles, RelayStore, ReportedEvent, Side, Stream, StreamSettings
from tests.support.clocks import HandClock
from tests.support.feeds import a_change
from tests.support.policies import KnownBy, a_list, agreement, policy

ISSUER = "https://portcullis.example/relay"
NAMES = SubjectNames(bytes(range(32)))
LOOK_EVERY_S = 0.01
TRUST = ssl.create_default_context()
"""Made once: it takes longer than a test should."""


@dataclass
class ReportedInMemory:
    """Implements `portcullis.ports.relay.ReportedEvents` over a list; ``extra`` entries of the log are no events."""

    events: list[ReportedEvent] = field(default_factory=list)
    extra: int = 0

    def timeline(self) -> str:
        return "journal.example/a1b2"

    def size(self) -> int:
        return max((each.sequence + 1 for each in self.events), default=0) + self.extra

    def read(self, begin: int, limit: int) -> Sequence[ReportedEvent]:
        return [each for each in self.events if each.sequence >= begin][:limit]


class World:
    """Everything a relay needs, in one place."""

    def __init__(self, folder: Path, *, store: RelayStore | None = None, clock: Clock | None = None) -> None:
        ensure_set_key(folder)
        self.feed = MemoryFeed()
        self.reported = ReportedInMemory()
        self.store = store or MemoryRelay()
        self.clock = clock or HandClock()
        self.policy: Policy = two_partners()
        self.signer = FileSigner(folder)
        self.sources = {
            Side.PARTNER: PartnerSource(self.feed, known=KnownBy(lambda: self.policy), names=NAMES, clock=self.clock),
            Side.AUTHORITY: AuthoritySource(self.reported, known=KnownBy(lambda: self.policy)),
        }
        self.registry = CollectorRegistry()
        self.metrics = RelayMetrics(self.registry)
        self.envelopes = Envelopes(self.signer, names=NAMES, issuer=ISSUER, clock=self.clock)
        self.desk = Streams(self.store, sources=self.sources, clock=self.clock)

    def grow(self, *entry_ids: int, **values: Any) -> None:
        """Add changes to the feed."""
        progress = self.feed.progress()
        then = progress._replace(registry_seq=progress.registry_seq + 1)
        assert self.feed.append([a_change(each, **values) for each in entry_ids], then, expected=progress)

    def stream(self, method: DeliveryMethod, endpoint: str = "", holder: str = "lender", **values: Any) -> Stream:
        """Make a stream that begins at the oldest change."""
        settings = StreamSettings(method=method, endpoint=endpoint, **values)
        return self.desk.create(holder=holder, side=Side.PARTNER, settings=settings, from_oldest=True).stream

    def relay(self, **values: Any) -> Relay:
        """Make a relay on this world."""
        files: LineFiles = values.pop("files", None) or DurableLines()
        timeout_s = values.pop("timeout_s", 5.0)
        store: RelayStore = values.pop("store", self.store)
        defaults: dict[str, Any] = {
            "sources": self.sources,
            "envelopes": self.envelopes,
            "deliveries": Deliveries(store, poster=HttpDelivery(timeout_s=timeout_s, trust=TRUST), files=files),
            "clock": self.clock,
            "metrics": self.metrics,
            "owner": "relay-1",
            "look_every_s": LOOK_EVERY_S,
        }
        return Relay(store, **(defaults | values))

    def metric(self, name: str, **labels: str) -> float | None:
        """Give a metric's value."""
        return self.registry.get_sample_value(name, labels)


def two_partners() -> Policy:
    """A policy with two lists of two authorities, and two partners that may ask both."""
    lists = (a_list("court"), a_list("rentals", authority="Rentals Committee"))
    both = agreement(("court", "rentals"))
    partners = tuple(Partner(name=name, title=name, agreements=(both,)) for name in ("lender", "shop"))
    return policy(*lists, partners=partners)


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[None]:
    """Let relays work within the block."""
    stop = threading.Event()
    tasks = [asyncio.create_task(relay.serve(stop)) for relay in relays]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        await asyncio.sleep(0.005)
