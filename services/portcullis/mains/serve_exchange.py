"""The exchange as a process: SharingService, and what keeps journal, feed and relay going.

It ships the spool of its own home, feeds the feed, signs the journal's checkpoints and carries events to other systems. In
the embedded stack the gateway's workers answer SharingService, and this process serves nothing itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from functools import partial

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from portcullis.adapters.clock import SystemClock
from portcullis.adapters.log_signing import LogSigner
from portcullis.adapters.redis.announcer import RedisAnnouncer
from portcullis.adapters.sql.journal.journal import SqlJournal
from portcullis.adapters.sql.registry.registry import SqlRegistry
from portcullis.config import Settings
from portcullis.domain.errors import NotPermitted, Unauthenticated
from portcullis.exchange.checkpointing import Checkpointer
from portcullis.exchange.feeding import Feeder
from portcullis.gateway.collecting import settle
from portcullis.gateway.front import Front, peers_of
from portcullis.gateway.operators import serving_beside_the_registry
from portcullis.gateway.quotas.gates import Gates
from portcullis.gateway.registry_knowledge import RegistryKnowledge
from portcullis.gateway.servicers import sharing as sharing_servicer
from portcullis.gateway.servicers.sharing import SharingServicer
from portcullis.gateway.transport.transports import run_in_batches
from portcullis.mains import lifeline
from portcullis.mains.background import Background
from portcullis.mains.home_keys import FolderKeys, note_key_ages
from portcullis.mains.keeping import open_keeper
from portcullis.mains.keys import JOURNAL_KEY, read_key
from portcullis.mains.parts import (
    demand_durable_journal,
    demand_durable_registry,
    open_feed,
    open_journal,
    open_registry,
    open_token_keys,
)
from portcullis.mains.quotas import open_quota_sharing
from portcullis.mains.readiness import Check, Listening, registry_check, token_key_check
from portcullis.mains.relaying import open_relay, open_streams, receivers_server
from portcullis.mains.sharing import open_sharing
from portcullis.mains.shipping import open_shipper
from portcullis.mains.stack_file import locate_store
from portcullis.mains.status import status
from portcullis.mains.stopping import stop_event
from portcullis.metrics import CheckTally
from portcullis.metrics.exchange import AnnouncementMetrics, CheckpointMetrics, FeedMetrics
from portcullis.metrics.keys import KeyMetrics
from portcullis.ports import Clock
from portcullis.registry.token_renewal import TokenRenewer

Work = Callable[[threading.Event], object]

_FEED_EVERY_S = 0.1
_KEEP_EVERY_S = 0.5
_log = structlog.get_logger(__name__)


def run_exchange(settings: Settings) -> None:
    """Work until told to stop.

    Raises:
        SetupFault: a key, a database or the store's URL is missing, a database could lose what it commits, another process
            ships this home's spool, or a port is taken.
    """
    # The commits and the answers take turns at the interpreter; what wakes up meanwhile is not to come in between.
    run_in_batches()
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    clock = SystemClock()
    metrics = CollectorRegistry()
    with stop_event() as stop, ExitStack() as held:
        journal = held.enter_context(open_journal(settings, clock))
        registry = held.enter_context(open_registry(settings, open_token_keys(settings), clock))
        demand_durable_journal(settings)
        demand_durable_registry(settings)
        known = RegistryKnowledge(registry, clock.now)
        await asyncio.to_thread(known.look)
        faults = AnnouncementMetrics(metrics)
        works = [
            *_bookkeeping(settings, journal, registry, clock=clock, metrics=metrics, faults=faults, held=held),
            *_relaying(settings, known, clock=clock, metrics=metrics, held=held),
        ]
        background = held.enter_context(Background())
        for name, work in works:
            background.run(name, work)
        draining = Check("draining", lambda: "a stop was asked for" if stop.is_set() else None)
        keys = token_key_check(registry.check_token_keys, vital=False)
        listening = Listening()
        held.enter_context(status(settings, metrics, [registry_check(registry), keys, listening.check(), draining]))
        if lifeline.supervised():
            background.run("registry-look", known.keep_looking)
            await stop.wait()
        else:
            await _answer(
                settings, journal, known, clock=clock, metrics=metrics, faults=faults, listening=listening, stop=stop
            )


def _bookkeeping(
    settings: Settings,
    journal: SqlJournal,
    registry: SqlRegistry,
    *,
    clock: Clock,
    metrics: CollectorRegistry,
    faults: AnnouncementMetrics,
    held: ExitStack,
) -> Iterator[tuple[str, Work]]:
    """Give the work on the journal, the feed and the terms of entries."""
    yield "shipper", open_shipper(settings, journal, clock=clock, metrics=metrics, held=held).run
    announcer = held.enter_context(closing(RedisAnnouncer(locate_store(settings), count_fault=faults.fault)))
    feed = held.enter_context(open_feed(settings))
    feeder = Feeder(registry, feed, announcer, clock, settings.feed_kept_d, FeedMetrics(metrics))
    yield "feeder", partial(feeder.run, interval_s=_FEED_EVERY_S)
    keeper = open_keeper(settings, registry, journal, clock=clock, metrics=metrics, held=held)
    yield "keeper", partial(keeper.run, interval_s=_KEEP_EVERY_S)
    counts = KeyMetrics(metrics)
    yield "key-ages", partial(note_key_ages, FolderKeys(settings, clock), clock, counts)
    yield "token-renewer", partial(TokenRenewer(registry, clock=clock, counts=counts).run, interval_s=_KEEP_EVERY_S)
    signer = LogSigner(read_key(settings.keys_path, JOURNAL_KEY), settings.keys_path)
    checkpointer = Checkpointer(journal, signer, clock, CheckpointMetrics(metrics))
    yield "checkpointer", partial(checkpointer.run, interval_s=settings.checkpoint_interval_s)


def _relaying(
    settings: Settings, known: RegistryKnowledge, *, clock: Clock, metrics: CollectorRegistry, held: ExitStack
) -> Iterator[tuple[str, Work]]:
    """Give the work on the streams to other systems."""
    streams = held.enter_context(open_streams(settings, known=known, clock=clock))
    opened = open_relay(settings, streams, partner_of=partial(_partner_of, known), clock=clock, metrics=metrics)
    yield "relay", opened.relay.run
    if settings.relay_issuer:
        yield "relay-receivers", receivers_server(settings, opened.app)


def _partner_of(known: RegistryKnowledge, api_key: str) -> str | None:
    """Name the partner whose key this is; None where it is nobody's."""
    try:
        return known.callers().admit([("authorization", f"Bearer {api_key}")], sharing_servicer.WATCHING).holder
    except (Unauthenticated, NotPermitted):
        return None


async def _answer(
    settings: Settings,
    journal: SqlJournal,
    known: RegistryKnowledge,
    *,
    clock: Clock,
    metrics: CollectorRegistry,
    faults: AnnouncementMetrics,
    listening: Listening,
    stop: asyncio.Event,
) -> None:
    """Serve SharingService until told to stop."""
    async with AsyncExitStack() as stack:
        desks = await stack.enter_async_context(
            open_sharing(settings, journal, known=known, clock=clock, count_fault=faults.fault)
        )
        gates = Gates(clock.monotonic, clock.now)
        gates.follow(known.policy())

        async def follow() -> None:
            gates.follow(known.policy())

        tally = CheckTally(metrics)
        servicer = SharingServicer(desks, known.policy, Front(known.callers, tally, peers_of(settings)), gates)
        quotas = open_quota_sharing(settings, gates, clock=clock, metrics=metrics)
        await stack.enter_async_context(quotas.running())
        services = {sharing_servicer.SERVICE: servicer.handlers()}
        port = await stack.enter_async_context(
            serving_beside_the_registry(settings=settings, known=known, services=services, tally=tally, also=follow)
        )
        listening.begin()
        settle()
        _log.info("serving", port=port, transport=settings.transport)
        await stop.wait()
        _log.info("draining", drain_s=settings.drain_s)
